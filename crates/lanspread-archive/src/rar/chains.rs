//! Whether the volumes of an archive are whole, as far as their headers tell.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::format::{ChainError, check_rar5_chain};
use super::old_chain::{self, OldChain};
use super::start::{Generation, find_signature};
use crate::error::{Damage, UnpackError};
use crate::pass::EntryPass;
use crate::regular;

/// What the chains of the volumes that were checked hold together.
#[derive(Debug, Default)]
pub(crate) struct VolumeChains {
    old_entries: u64,
    has_odd_headers: bool,
}

impl VolumeChains {
    /// Checks one volume of the archive that is read.
    ///
    /// # Errors
    /// [`UnpackError::Damaged`] for one that is cut or has a broken header; what reading it reports.
    pub(crate) fn check(
        &mut self,
        pass: &mut EntryPass<'_>,
        volume: &Path,
    ) -> Result<(), UnpackError> {
        let archive = pass.archive();
        let chain = follow(volume, &mut || pass.check_cancelled().is_err())
            .map_err(UnpackError::io("read", volume))?;
        let damage = match chain {
            Ok(OldChain { entries, is_odd, .. }) => {
                self.old_entries += entries;
                self.has_odd_headers |= is_odd;
                return Ok(());
            }
            Err(ChainError::Cancelled) => return Err(UnpackError::Cancelled),
            Err(ChainError::Truncated) => Damage::Truncated,
            Err(ChainError::BrokenHeader) => Damage::Malformed("a header is broken"),
        };
        let is_following = archive != volume;
        let entry = is_following.then(|| volume.display().to_string());
        Err(UnpackError::Damaged { archive: archive.to_path_buf(), entry, damage })
    }

    /// Returns whether the library calls headers broken that are not: the volumes have the headers about
    /// which it is wrong, and all entries were delivered.
    pub(crate) fn is_false_alarm(&self, delivered: u64) -> bool {
        self.has_odd_headers && self.old_entries == delivered
    }
}

/// Follows the chain of one volume. What RAR 5 has is not told.
fn follow(
    volume: &Path,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> io::Result<Result<OldChain, ChainError>> {
    let file: File = regular::open(volume)?;
    let length_bytes = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    match find_signature(&mut reader)? {
        Some(Generation::Rar5) => {
            let chain = check_rar5_chain(&mut reader, length_bytes, is_cancelled)?;
            Ok(chain.map(|()| OldChain::default()))
        }
        Some(Generation::Old) => old_chain::check(&mut reader, length_bytes, is_cancelled),
        Some(Generation::Newer | Generation::Unknown) | None => Ok(Err(ChainError::BrokenHeader)),
    }
}
