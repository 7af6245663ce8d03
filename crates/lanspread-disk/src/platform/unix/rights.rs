//! Rights inside a tree that belongs to the peer.
//!
//! A game that was copied from a mounted disc has directories that nobody may write to, also not
//! their owner. Who may change the rights of a directory is not kept out by them, so they are no
//! reason to give up in the middle of a removal.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, Stat};
use rustix::fs::{CWD, Mode, OFlags, chmodat, fchmod, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::answers::refusal;

/// Whether missing rights are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    are_given: bool,
}

impl Rights {
    /// A missing right is an error.
    pub(super) const AS_THEY_ARE: Self = Self { are_given: false };
    /// The owner of a directory may read, write and enter it, whatever its mode was.
    pub(super) const OF_OWNER: Self = Self { are_given: true };

    pub(super) fn may_be_given(self) -> bool {
        self.are_given
    }

    /// Does something in `directory`; once more after its owner got the rights, if that helps.
    pub(super) fn retried<T>(
        self,
        directory: BorrowedFd<'_>,
        act: impl FnMut() -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        self.retried_in([directory], act)
    }

    /// Like [`Self::retried`], for what concerns several directories.
    pub(super) fn retried_in<T, const N: usize>(
        self,
        directories: [BorrowedFd<'_>; N],
        mut act: impl FnMut() -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let error = match act() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !self.are_given || !matches!(error, Errno::ACCESS | Errno::PERM) {
            return Err(refusal(error));
        }
        let mut has_changed = false;
        for directory in directories {
            has_changed |= give(directory);
        }
        let error = match has_changed.then(&mut act) {
            Some(Ok(done)) => return Ok(done),
            Some(Err(error)) => error,
            None => error,
        };
        Err(match error {
            Errno::ACCESS | Errno::PERM => explained(error, &directories),
            error => refusal(error),
        })
    }
}

/// Lets the owner do everything in a directory; returns whether that changed anything.
fn give(directory: BorrowedFd<'_>) -> bool {
    let Ok(stat) = fstat(directory) else { return false };
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !is_ours(&stat) || mode.contains(Mode::RWXU) {
        return false;
    }
    let mode = mode | Mode::RWXU;
    // A directory that is open as a place alone has to be opened to change it; what cannot even be
    // opened is reached by the name that the kernel has for it.
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let changed = match openat(directory, ".", readable, Mode::empty()) {
        Ok(opened) => fchmod(opened, mode),
        Err(_) => {
            let name = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
            chmodat(CWD, name, mode, AtFlags::empty())
        }
    };
    changed.is_ok()
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

/// Says why the rights of the directory do not help.
fn explained(error: Errno, directories: &[BorrowedFd<'_>]) -> io::Error {
    let foreign = directories.iter().filter_map(|directory| fstat(directory).ok());
    let reason = match foreign.filter(|stat| !is_ours(stat)).map(|stat| stat.st_uid).next() {
        Some(owner) => format!(
            "its directory belongs to user {owner}, and the peer runs as user {}: change the owner, \
             or remove it as that user",
            geteuid().as_raw(),
        ),
        None => format!(
            "{error}, although its directory may be written to: look for an immutable flag \
             (`lsattr`) or a protected mount, and remove it by hand",
        ),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}
