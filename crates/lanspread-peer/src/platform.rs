//! The parts that differ between operating systems, here for Unix. No other module of this crate names one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Tells the files and directories that exist at one moment apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file that has this metadata.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What tests alone need of the system.
#[cfg(test)]
pub(crate) mod testing {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::ExitStatus;

    pub(crate) use std::os::unix::fs::symlink;

    pub(crate) use rustix::io::Errno;
    use rustix::mount::{UnmountFlags, mount_bind, unmount};
    use rustix::process::Signal;

    /// Shows `disk` at `at` as well, as if a disk was mounted there.
    pub(crate) fn mount(disk: &Path, at: &Path) {
        mount_bind(disk, at).unwrap();
    }

    /// Ends what [`mount`] began, also while somebody uses it.
    pub(crate) fn detach(at: &Path) {
        unmount(at, UnmountFlags::DETACH).unwrap();
    }

    /// Whether a process ended without a chance to do anything, as with a power cut.
    pub(crate) fn was_killed(status: ExitStatus) -> bool {
        status.signal() == Some(Signal::KILL.as_raw())
    }
}
