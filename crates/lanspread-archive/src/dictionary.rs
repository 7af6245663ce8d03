//! How much memory the dictionary of an archive may take.

use std::fmt;
use std::path::Path;

use crate::error::UnpackError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The largest dictionary that an archive may ask for.
///
/// It is memory that an unpacking takes at once, so an archive that asks for more is refused before
/// anything of it is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxDictionary(u64);

impl MaxDictionary {
    /// Below this no archive of today could be unpacked.
    pub const SMALLEST: Self = Self(MIB);
    /// The largest that RAR 7 makes.
    pub const LARGEST: Self = Self(64 * GIB);
    /// The largest that RAR 5 makes.
    pub const DEFAULT: Self = Self(GIB);

    /// Takes a power of two between [`Self::SMALLEST`] and [`Self::LARGEST`].
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        let is_within = (Self::SMALLEST.0..=Self::LARGEST.0).contains(&bytes);
        (bytes.is_power_of_two() && is_within).then_some(Self(bytes))
    }

    /// The limit in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Refuses an archive that needs more.
    pub(crate) fn require(self, archive: &Path, needed_bytes: u64) -> Result<(), UnpackError> {
        if needed_bytes <= self.0 {
            return Ok(());
        }
        let needed = Size(needed_bytes);
        let reason = format!("needs a dictionary of {needed}, more than {self} (--max-dictionary)");
        Err(UnpackError::Unsupported { archive: archive.to_path_buf(), reason })
    }
}

impl Default for MaxDictionary {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for MaxDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0).fmt(f)
    }
}

/// A number of bytes in the largest unit of which it is a whole number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        let unit = units.into_iter().find(|(bytes, _)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        let (bytes, name) = unit.unwrap_or((1, "bytes"));
        write!(f, "{} {name}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_powers_of_two_within_bounds() {
        for (bytes, text) in [(MIB, "1 MiB"), (GIB, "1 GiB"), (64 * GIB, "64 GiB")] {
            assert_eq!(MaxDictionary::new(bytes).unwrap().to_string(), text);
        }
        for bytes in [0, 1, MIB / 2, MIB + 1, 3 * MIB, 128 * GIB, u64::MAX] {
            assert_eq!(MaxDictionary::new(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn the_message_has_both_numbers() {
        let limit = MaxDictionary::new(4 * GIB).unwrap();
        let archive = Path::new("a.eti");
        limit.require(archive, 4 * GIB).unwrap();
        let error = limit.require(archive, 4 * GIB + 128 * MIB).unwrap_err().to_string();
        let expected =
            "archive a.eti needs a dictionary of 4224 MiB, more than 4 GiB (--max-dictionary)";
        assert_eq!(error, expected);
    }
}
