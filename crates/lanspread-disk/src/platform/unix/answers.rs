//! What answers of the system mean.

use std::io;

use rustix::io::Errno;

/// Says what stands in the way where the words of the system would not. A link is as
/// [`io::ErrorKind::InvalidInput`] as anything else that is no regular file.
pub(super) fn refusal(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => io::Error::new(
            io::ErrorKind::InvalidInput,
            "a symbolic link is in the way, and links are not followed",
        ),
        error => error.into(),
    }
}

/// Returns whether the system does not have an operation at all. Kernels answer `EINVAL` where a file system
/// has no function for it.
pub(crate) fn is_not_supported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// Returns whether a file system syncs no directories. `EBADF`: some network file systems only sync what is
/// open for writing, which a directory never is. `EISDIR`: they sync nothing but files.
pub(crate) fn cannot_sync_directory(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::ISDIR))
}

/// Returns whether a file system has no locks.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOLCK)
}

/// Returns whether a file system cannot make a file longer by its size alone.
pub(crate) fn cannot_grow(error: &io::Error) -> bool {
    is_not_supported(error) || Errno::from_io_error(error) == Some(Errno::PERM)
}

/// Returns what the system answers to a path that cannot be one.
pub(crate) fn invalid_argument() -> io::Error {
    Errno::INVAL.into()
}
