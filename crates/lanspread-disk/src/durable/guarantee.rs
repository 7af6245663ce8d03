//! The guarantees that a peer asks for and can do without.

use std::io;

use crate::platform;

/// A guarantee that a file system may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Syncing a directory.
    DirectorySync,
    /// Syncing a file.
    FileSync,
    /// Locking a file.
    Lock,
    /// Keeping a file from being read by others.
    PrivateMode,
    /// Keeping which files are executable. It is no cause for a warning, as the index remembers it.
    ExecutableBits,
}

impl Guarantee {
    /// Returns whether the system says with `error` that it does not have this.
    pub(super) fn is_denied_by(self, error: &io::Error) -> bool {
        let is_special = match self {
            Self::DirectorySync => platform::cannot_sync_directory(error),
            Self::Lock => platform::has_no_locks(error),
            Self::FileSync | Self::PrivateMode | Self::ExecutableBits => false,
        };
        is_special || platform::is_not_supported(error)
    }

    /// Returns what is not guaranteed, for the log.
    pub(super) fn consequence(self) -> &'static str {
        match self {
            Self::DirectorySync => {
                "directories cannot be synced there: after a power cut the last changes of names may be \
                 undone"
            }
            Self::FileSync => {
                "files cannot be synced there: after a power cut the last writes may be lost"
            }
            Self::Lock => {
                "files cannot be locked there: nothing keeps a second peer from the same state directory"
            }
            Self::PrivateMode => {
                "it keeps no file modes: others on this machine may be able to read the private key"
            }
            Self::ExecutableBits => {
                "it does not keep which files are executable: the index remembers those of downloads"
            }
        }
    }
}
