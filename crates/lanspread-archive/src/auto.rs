//! The choice of who unpacks an archive, by its first bytes.

use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::dictionary::MaxDictionary;
use crate::error::UnpackError;
use crate::external::ExternalUnrar;
use crate::fixture::{self, FixtureUnpacker};
use crate::pass::UnpackSummary;
use crate::rar::{self, RarUnpacker};
use crate::regular;
use crate::unpacker::Unpacker;

/// What an archive is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// RAR, any version since 1.5, also behind the program of a self-extracting archive.
    Rar,
    /// The archive format of tests and fixtures.
    Fixture,
}

impl ArchiveFormat {
    /// Looks at the first bytes of `path`, at up to 2 MiB where they are those of a program. Its name
    /// does not matter.
    ///
    /// # Errors
    /// Whatever opening or reading the file reports.
    pub fn detect(path: &Path) -> io::Result<Option<Self>> {
        let mut reader = BufReader::new(regular::open(path)?);
        if rar::find_signature(&mut reader)?.is_some() {
            return Ok(Some(Self::Rar));
        }
        let mut start = Vec::new();
        reader.rewind()?;
        reader.take(fixture::MAGIC.len() as u64).read_to_end(&mut start)?;
        Ok((start == fixture::MAGIC).then_some(Self::Fixture))
    }
}

/// Unpacks every known format, chosen by the first bytes of the archive.
///
/// It is also what streams them ([`StreamInstallProvider`](crate::StreamInstallProvider)).
#[derive(Debug, Clone, Default)]
pub struct AutoUnpacker {
    pub(crate) external: Option<ExternalUnrar>,
    pub(crate) max_dictionary: MaxDictionary,
}

impl AutoUnpacker {
    /// RAR goes through the `external` program where one is named, and is unpacked in this process
    /// otherwise.
    #[must_use]
    pub fn new(external: Option<PathBuf>) -> Self {
        let max_dictionary = MaxDictionary::default();
        Self { external: external.map(ExternalUnrar::new), max_dictionary }
    }

    /// Refuses archives that need a larger dictionary than this, rather than the default.
    #[must_use]
    pub fn with_max_dictionary(self, max_dictionary: MaxDictionary) -> Self {
        let external = self.external.map(|external| external.with_max_dictionary(max_dictionary));
        Self { external, max_dictionary }
    }
}

impl Unpacker for AutoUnpacker {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        let format = ArchiveFormat::detect(archive).map_err(UnpackError::io("open", archive))?;
        match (format, &self.external) {
            (Some(ArchiveFormat::Rar), Some(external)) => external.unpack(archive, target, control),
            (Some(ArchiveFormat::Rar), None) => {
                RarUnpacker::new(self.max_dictionary).unpack(archive, target, control)
            }
            (Some(ArchiveFormat::Fixture), _) => FixtureUnpacker.unpack(archive, target, control),
            (None, _) => Err(UnpackError::UnknownFormat { archive: archive.to_path_buf() }),
        }
    }
}
