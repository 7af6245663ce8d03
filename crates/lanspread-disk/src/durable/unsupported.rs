//! What a file system may not have: guarantees that a peer asks for and can do without.
//!
//! Shared folders of virtual machines, SMB and NFS mounts, FUSE file systems and the FAT family have
//! less than a local disk. This module alone decides which answer of the system means "this does not
//! exist here" and which one is a failure. What does not exist is told once for each file system, in
//! a warning that names the path and what is not guaranteed, and then passed over.
//!
//! An answer that can mean lost bytes (`EIO`, `ENOSPC`, `EDQUOT`, `EROFS`, `ESTALE`, …) is always a
//! failure.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::guarantee::Guarantee;
use crate::platform;

/// Most warnings of a process: more file systems than any machine mounts for its games.
const NOTES_MAX: usize = 256;

/// Returns whether the system says with `error` that it does not have an operation at all.
pub fn is_not_supported(error: &io::Error) -> bool {
    platform::is_not_supported(error)
}

/// Passes over `outcome` if it says that the file system of `file`, which is at `path`, does not
/// have this.
///
/// # Errors
/// `outcome`, where it is a failure.
pub(super) fn pass_over(
    guarantee: Guarantee,
    path: &Path,
    file: &File,
    outcome: io::Result<()>,
) -> io::Result<()> {
    match outcome {
        Err(error) if guarantee.is_denied_by(&error) => {
            note(guarantee, path, file, &error);
            Ok(())
        }
        outcome => outcome,
    }
}

/// Locks `file`, which is at `path`, without waiting. Returns `false` if another process has it.
///
/// # Errors
/// What the system said. A file system without locks gives the lock to everybody.
pub fn try_lock(path: &Path, file: &File) -> io::Result<bool> {
    #[cfg(any(test, feature = "failpoints"))]
    if let Some(error) = super::faults::refusal(Guarantee::Lock, path) {
        return pass_over(Guarantee::Lock, path, file, Err(error)).map(|()| true);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            pass_over(Guarantee::Lock, path, file, Err(error)).map(|()| true)
        }
    }
}

/// Tells if `file`, which was made for its owner alone, can be read by others.
pub fn check_private(path: &Path, file: &File) {
    let is_open = file.metadata().is_ok_and(|found| platform::is_open_to_others(&found));
    if is_open {
        note(Guarantee::PrivateMode, path, file, &io::ErrorKind::Unsupported.into());
    }
}

/// What became of an executable bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutableBit {
    /// It was as it should be.
    Kept,
    /// It is as it should be now.
    Changed,
    /// The file system does not keep it.
    Lost,
}

/// Lets all who may read `file`, which is at `path`, execute it, or nobody. No other bit of its mode is
/// set: neither setuid, setgid nor sticky.
pub fn set_executable(path: &Path, file: &File, is_wanted: bool) -> ExecutableBit {
    let Ok(before) = file.metadata() else { return ExecutableBit::Lost };
    let Some(wanted) = platform::executable_permissions(&before, is_wanted) else {
        return ExecutableBit::Kept;
    };
    #[cfg(any(test, feature = "failpoints"))]
    if super::faults::refusal(Guarantee::ExecutableBits, path).is_some() {
        return ExecutableBit::Lost;
    }
    // Whether it is refused, or done without effect: what counts is how the file looks then.
    let changed = file.set_permissions(wanted);
    match file.metadata() {
        Ok(after) if platform::is_executable(&after) == is_wanted => ExecutableBit::Changed,
        _ => {
            let error = changed.err().unwrap_or_else(|| io::ErrorKind::Unsupported.into());
            note(Guarantee::ExecutableBits, path, file, &error);
            ExecutableBit::Lost
        }
    }
}

/// Returns whether anybody may execute `file`.
pub fn is_executable(file: &File) -> bool {
    file.metadata().is_ok_and(|found| platform::is_executable(&found))
}

/// Brings `file` to `size` bytes. What it grows by reads as zeros.
///
/// # Errors
/// What the system said. A file system that cannot make a file longer by its size alone (`EPERM`) gets
/// the last byte written.
pub fn set_len(file: &File, size: u64) -> io::Result<()> {
    let Err(error) = file.set_len(size) else { return Ok(()) };
    let last = size.checked_sub(1).filter(|_| platform::cannot_grow(&error));
    match last {
        Some(last) if file.metadata()?.len() < size => platform::write_all_at(file, &[0], last),
        _ => Err(error),
    }
}

fn note(guarantee: Guarantee, path: &Path, file: &File, error: &io::Error) {
    static NOTES: Mutex<Notes> = Mutex::new(Notes(BTreeSet::new()));
    // A file that cannot be asked counts as one file system with all others of that kind.
    let device = file.metadata().map_or(0, |found| platform::file_id(&found).0);
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.is_new(device, guarantee) {
        let (path, consequence) = (path.display(), guarantee.consequence());
        match guarantee {
            Guarantee::ExecutableBits => {
                tracing::info!(%error, "the file system of {path}: {consequence}")
            }
            _ => tracing::warn!(
                %error,
                "the file system of {path} lacks a guarantee: {consequence}"
            ),
        }
    }
}

/// What was told already.
#[derive(Debug)]
struct Notes(BTreeSet<(u64, Guarantee)>);

impl Notes {
    fn is_new(&mut self, device: u64, guarantee: Guarantee) -> bool {
        self.0.len() < NOTES_MAX && self.0.insert((device, guarantee))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Errno;

    fn is_meant(guarantee: Guarantee, errno: Errno) -> bool {
        guarantee.is_denied_by(&errno.into())
    }

    #[test]
    fn what_can_mean_lost_bytes_is_never_passed_over() {
        let failures = [
            Errno::IO,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::STALE,
            Errno::TIMEDOUT,
            Errno::NODEV,
            Errno::ACCESS,
            Errno::INTR,
        ];
        for guarantee in [Guarantee::DirectorySync, Guarantee::FileSync, Guarantee::Lock] {
            for errno in failures {
                assert!(!is_meant(guarantee, errno), "{guarantee:?} {errno:?}");
            }
            for errno in [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS] {
                assert!(is_meant(guarantee, errno), "{guarantee:?} {errno:?}");
            }
        }
        assert!(!Guarantee::FileSync.is_denied_by(&io::ErrorKind::StorageFull.into()));
    }

    #[test]
    fn some_answers_mean_it_for_one_guarantee_alone() {
        for errno in [Errno::BADF, Errno::ISDIR] {
            assert!(is_meant(Guarantee::DirectorySync, errno));
            assert!(!is_meant(Guarantee::FileSync, errno) && !is_meant(Guarantee::Lock, errno));
        }
        assert!(
            is_meant(Guarantee::Lock, Errno::NOLCK) && !is_meant(Guarantee::FileSync, Errno::NOLCK)
        );
    }

    #[test]
    fn each_guarantee_is_told_once_for_each_file_system() {
        let mut notes = Notes(BTreeSet::new());
        assert!(notes.is_new(1, Guarantee::DirectorySync));
        assert!(!notes.is_new(1, Guarantee::DirectorySync));
        assert!(notes.is_new(2, Guarantee::DirectorySync) && notes.is_new(1, Guarantee::Lock));
        for device in 3..10_000 {
            notes.is_new(device, Guarantee::FileSync);
        }
        assert_eq!(notes.0.len(), NOTES_MAX);
    }

    #[test]
    fn a_lock_is_held_against_others_where_there_are_locks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::options().write(true).create(true).truncate(false).open(&path);
        let (ours, theirs) = (open().unwrap(), open().unwrap());
        assert!(try_lock(&path, &ours).unwrap());
        assert!(!try_lock(&path, &theirs).unwrap());
    }
}
