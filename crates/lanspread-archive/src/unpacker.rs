//! What the rest of Lanspread asks of an archive.

use std::path::Path;

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::error::UnpackError;
use crate::pass::UnpackSummary;

/// Unpacks archives into folders. It blocks the thread.
pub trait Unpacker: Send + Sync {
    /// Unpacks every entry of `archive` below `target`.
    ///
    /// No file is overwritten and no link is followed. After a failure `target` holds what was written
    /// until then. Nothing is synced to disk.
    ///
    /// # Errors
    /// [`UnpackError`] for an archive that is damaged, protected, unsafe or unknown, for a file that
    /// is already there, and when `control` cancels or the disk fails.
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError>;
}
