//! Unix.

mod answers;
mod dir_handle;
mod dir_reader;
mod mounts;
mod resolve;
mod rights;
mod stat;
#[cfg(any(test, feature = "failpoints"))]
pub mod testing;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags, fadvise, statvfs};

pub(crate) use self::answers::{
    cannot_grow, cannot_sync_directory, has_no_locks, invalid_argument, is_not_supported,
};
pub(crate) use self::dir_handle::{Access, DirHandle};
pub use self::dir_reader::DirReader;
pub use self::mounts::mount_of;

/// The unit of `st_blocks`, whatever the block size of the file system.
const STAT_BLOCK_BYTES: u64 = 512;
/// The permissions of a mode, without setuid, setgid and sticky.
const PERMISSIONS: u32 = 0o777;
const EXECUTE: u32 = 0o111;
const READ: u32 = 0o444;
const READ_TO_EXECUTE: u32 = 2;
const OTHERS: u32 = 0o077;
const OWNER_ALONE: u32 = 0o600;
const OWNER_ALONE_ENTERS: u32 = 0o700;
const OTHERS_WRITE: u32 = 0o022;

/// Returns what tells a file from every other that exists at the same moment: device and inode. Some file
/// systems draw new inodes at each mount.
#[must_use]
pub fn file_id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Returns whether other names lead to the same file.
#[must_use]
pub fn has_other_names(found: &Metadata) -> bool {
    found.nlink() > 1
}

/// Returns how many bytes of the disk a file takes, holes left out.
#[must_use]
pub fn allocated_bytes(found: &Metadata) -> u64 {
    found.blocks().saturating_mul(STAT_BLOCK_BYTES)
}

/// Returns when the content of a file changed last: seconds and nanoseconds since 1970.
#[must_use]
pub fn modified(found: &Metadata) -> (i64, i64) {
    (found.mtime(), found.mtime_nsec())
}

/// Returns when anything about a file changed last, as [`modified`] does.
#[must_use]
pub fn changed(found: &Metadata) -> (i64, i64) {
    (found.ctime(), found.ctime_nsec())
}

/// Fills `bytes` from `offset` on. The position of the file stays.
///
/// # Errors
/// Whatever the system reports; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
pub fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

/// Writes all `bytes` from `offset` on. The position of the file stays.
///
/// # Errors
/// Whatever the system reports; a part may be written then.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Tells the system that a file is read from its beginning to its end. A system that does not listen reads
/// it all the same.
pub fn advise_sequential(file: &File) {
    let _ = fadvise(file, 0, None, Advice::Sequential);
}

/// Makes a file without a name in `directory`, for writing. It is gone when it is closed.
///
/// # Errors
/// Whatever the system reports, also that the file system has no such files.
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Returns the name that consists of these bytes, as [`OsStr::as_encoded_bytes`] gave them.
#[must_use]
pub fn name_from_bytes(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// Returns how many bytes are free at `place` for whoever is not root; `None` where the file system does
/// not tell.
pub(crate) fn free_bytes(place: &Path) -> io::Result<Option<u64>> {
    let space = statvfs(place)?;
    // File systems in user space that do not know their size say that they have none.
    Ok((space.f_blocks != 0).then(|| space.f_bavail.saturating_mul(space.f_frsize)))
}

/// Returns whether anybody may execute a file.
pub(crate) fn is_executable(found: &Metadata) -> bool {
    found.mode() & EXECUTE != 0
}

/// Returns the permissions with which all who may read a file may execute it, or nobody; `None` where they
/// are so already.
pub(crate) fn executable_permissions(found: &Metadata, is_wanted: bool) -> Option<Permissions> {
    let mode = found.mode();
    let wanted = match is_wanted {
        true => mode | (mode & READ) >> READ_TO_EXECUTE,
        false => mode & !EXECUTE,
    };
    (wanted != mode).then(|| Permissions::from_mode(wanted & PERMISSIONS))
}

/// Returns whether anybody but its owner may do anything with a file.
pub(crate) fn is_open_to_others(found: &Metadata) -> bool {
    found.mode() & OTHERS != 0
}

/// Returns whether somebody else may add and remove what is in a directory, also what is not theirs.
#[must_use]
pub fn may_be_changed_by_others(found: &Metadata) -> bool {
    found.mode() & OTHERS_WRITE != 0
}

/// Makes directories that only their owner may look into.
pub(crate) fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(OWNER_ALONE_ENTERS);
    builder
}

/// Lets a file that these options make be read and written by its owner alone.
pub(crate) fn owner_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(OWNER_ALONE)
}
