//! Effects on the disk that a crash must not catch in between, each under the name of its moment.
//!
//! What a transaction does to the disk goes through here, with the [`Point`] at which it does so.
//! What lies below a game root is changed through [`below`], which follows no link; the functions here
//! are for the state directory and the games directory itself.
//!
//! Outside of the unit tests of this crate a point is nothing at all: the functions are those of the
//! standard library and of `lanspread-disk`, and neither names nor hooks are compiled. In the tests a point can be made to
//! end the process, to fail, or to cut the power: see `faults` and the crash tests.
//!
//! What a file system does not have is decided in `lacks`, here and nowhere else: a sync that does not
//! exist is told once and passed over.
//!
//! Everything here blocks.

pub(crate) mod below;
#[cfg(test)]
pub(crate) mod faults;
mod lacks;
mod point;
#[cfg(test)]
pub(crate) mod shadow;

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub(crate) use self::lacks::Lack;
pub(crate) use self::lacks::{
    Bit, check_private, is_executable, is_not_supported, set_executable, set_len, try_lock,
};
pub(crate) use self::point::Point;

/// Comes to a point at which `path` is about to change. What changes it follows at once.
///
/// # Errors
/// Only in tests that let the disk fail here.
#[cfg(not(test))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk can fail here")]
pub(crate) fn reach(_point: Point, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) fn reach(point: Point, path: &Path) -> io::Result<()> {
    faults::reach(point, path)
}

/// Renames `from` to `to`.
pub(crate) fn rename(point: Point, from: &Path, to: &Path) -> io::Result<()> {
    reach(point, to)?;
    fs::rename(from, to)
}

/// Removes a file or a link itself.
pub(crate) fn remove_file(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::remove_file(path)
}

/// Removes an empty directory.
pub(crate) fn remove_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::remove_dir(path)
}

/// Makes a directory.
pub(crate) fn create_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::create_dir(path)
}

/// Makes the content of `file`, which is at `path`, durable, and all that is known of it.
pub(crate) fn sync_all(point: Point, path: &Path, file: &File) -> io::Result<()> {
    reach(point, path)?;
    sync(Lack::FileSync, path, file, File::sync_all)
}

/// Like [`sync_all`], without what reading the content does not need.
pub(crate) fn sync_data(point: Point, path: &Path, file: &File) -> io::Result<()> {
    reach(point, path)?;
    sync(Lack::FileSync, path, file, File::sync_data)
}

/// Makes what was created, renamed or removed in the directory `path` durable.
pub(crate) fn sync_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    sync(Lack::DirectorySync, path, &File::open(path)?, File::sync_all)
}

/// Makes durable that `path` was created, renamed or removed in its directory.
pub(crate) fn sync_name(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    let directory = parent_of(path);
    sync(Lack::DirectorySync, directory, &File::open(directory)?, File::sync_all)
}

/// Takes from this thread what lets root pass by the rights of files.
#[cfg(test)]
pub(crate) fn without_privileges() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    let passing_by = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective.remove(passing_by | CapabilitySet::FOWNER);
    set_capabilities(None, sets).unwrap();
}

/// Gives this thread mounts of its own; `false`, with a word about it, where that is not permitted.
#[cfg(test)]
#[expect(unsafe_code, reason = "the call itself has no safe form")]
pub(crate) fn may_mount() -> bool {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: no table of open files is unshared, so that no descriptor goes out of sight.
    let own = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let is_permitted = own.and_then(|()| mount_change("/", private)).is_ok();
    if !is_permitted {
        tracing::warn!("skipped: mounting is not permitted here");
    }
    is_permitted
}

/// Mounts an empty disk at the directory `path`, which is made if it is missing. [`may_mount`] comes first.
#[cfg(test)]
pub(crate) fn mount_disk(path: &Path, options: Option<&std::ffi::CStr>) {
    use rustix::mount::{MountFlags, mount};
    fs::create_dir_all(path).unwrap();
    mount("none", path, "tmpfs", MountFlags::empty(), options).unwrap();
}

/// The directory in which `path` lies.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

type Sync = fn(&File) -> io::Result<()>;

#[cfg(not(test))]
fn sync(lack: Lack, path: &Path, file: &File, sync: Sync) -> io::Result<()> {
    lacks::pass_over(lack, path, file, sync(file))
}

/// What is read before the sync is durable after it, whatever else is written meanwhile.
#[cfg(test)]
fn sync(lack: Lack, path: &Path, file: &File, sync: Sync) -> io::Result<()> {
    if let Some(error) = faults::refusal(lack, path) {
        return lacks::pass_over(lack, path, file, Err(error));
    }
    let seen = faults::see(path);
    lacks::pass_over(lack, path, file, sync(file))?;
    faults::made_durable(seen);
    Ok(())
}
