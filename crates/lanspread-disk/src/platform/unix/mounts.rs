//! How Unix tells mount points.
//!
//! Linux has an attribute of `statx` for them, also for a bind mount within one file system. Where a kernel
//! lacks the attribute, a directory of another device than its parent counts as a mount point; a bind mount
//! within one file system is then not noticed.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, fstat, stat, statat};

/// Returns whether something is mounted at `name` in the directory `parent`. A link is not
/// followed.
pub(super) fn is_mounted_at(parent: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<bool> {
    if let Some(answer) = attribute(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        return Ok(answer);
    }
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // Overlays give files, and files alone, devices other than that of their directory.
    let is_dir = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    Ok(is_dir && found.st_dev != fstat(parent)?.st_dev)
}

/// Returns whether an open directory is the root of a mount in the directory `parent`.
pub(super) fn is_mount_root(
    directory: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
) -> rustix::io::Result<bool> {
    match attribute(directory, Path::new(""), AtFlags::EMPTY_PATH) {
        Some(answer) => Ok(answer),
        None => Ok(fstat(directory)?.st_dev != fstat(parent)?.st_dev),
    }
}

/// Tells the mount in which `path` lies from others, also from an earlier mount of the same disk where the
/// kernel can (Linux 5.8; reliably since 6.8, which gives no number twice). An older one tells devices alone.
/// Links are followed.
///
/// # Errors
/// Whatever the system reports.
pub fn mount_of(path: &Path) -> io::Result<u64> {
    match mount_id(path) {
        Some(id) => Ok(id),
        None => Ok(stat(path)?.st_dev),
    }
}

#[cfg(target_os = "linux")]
fn mount_id(path: &Path) -> Option<u64> {
    use rustix::fs::{CWD, StatxFlags, statx};
    /// `STATX_MNT_ID_UNIQUE`. A kernel that does not know it answers with neither kind.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    [UNIQUE, StatxFlags::MNT_ID].into_iter().find_map(|kind| {
        let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, kind).ok()?;
        (found.stx_mask & kind.bits() != 0).then_some(found.stx_mnt_id)
    })
}

#[cfg(not(target_os = "linux"))]
fn mount_id(_path: &Path) -> Option<u64> {
    None
}

/// `None` where the system does not say.
#[cfg(target_os = "linux")]
fn attribute(directory: BorrowedFd<'_>, path: &Path, flags: AtFlags) -> Option<bool> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    // No server is asked: the kernel itself knows.
    let flags = flags | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let found = statx(directory, path, flags, StatxFlags::empty()).ok()?;
    let is_told = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_told.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn attribute(_directory: BorrowedFd<'_>, _path: &Path, _flags: AtFlags) -> Option<bool> {
    None
}
