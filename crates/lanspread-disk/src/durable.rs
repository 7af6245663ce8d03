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
//! What a file system does not have is decided in `unsupported`, here and nowhere else: a sync that does not
//! exist is told once and passed over.
//!
//! Everything here blocks.

pub mod below;
#[cfg(any(test, feature = "failpoints"))]
pub mod faults;
mod guarantee;
#[cfg(any(test, feature = "failpoints"))]
pub mod shadow;
mod unsupported;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::{Point, platform};

pub use self::guarantee::Guarantee;
pub use self::unsupported::{
    ExecutableBit, check_private, is_executable, is_not_supported, set_executable, set_len,
    try_lock,
};

/// Comes to a point at which `path` is about to change. What changes it follows at once.
///
/// # Errors
/// Only in tests that let the disk fail here.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk can fail here")]
pub fn reach(_point: Point, _path: &Path) -> io::Result<()> {
    Ok(())
}

/// Comes to a point at which `path` is about to change. What changes it follows at once.
///
/// # Errors
/// Only in tests that let the disk fail here.
#[cfg(any(test, feature = "failpoints"))]
pub fn reach(point: Point, path: &Path) -> io::Result<()> {
    faults::reach(point, path)
}

/// Renames `from` to `to`.
pub fn rename(point: Point, from: &Path, to: &Path) -> io::Result<()> {
    reach(point, to)?;
    fs::rename(from, to)
}

/// Removes a file or a link itself.
pub fn remove_file(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::remove_file(path)
}

/// Removes an empty directory.
pub fn remove_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::remove_dir(path)
}

/// Makes a directory.
pub fn create_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    fs::create_dir(path)
}

/// Makes a directory that only its owner may look into, whatever the umask is.
pub fn create_private_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    platform::private_directory().create(path)
}

/// Makes the content of `file`, which is at `path`, durable, and all that is known of it.
pub fn sync_all(point: Point, path: &Path, file: &File) -> io::Result<()> {
    reach(point, path)?;
    sync(Guarantee::FileSync, path, file, File::sync_all)
}

/// Like [`sync_all`], without what reading the content does not need.
pub fn sync_data(point: Point, path: &Path, file: &File) -> io::Result<()> {
    reach(point, path)?;
    sync(Guarantee::FileSync, path, file, File::sync_data)
}

/// Makes what was created, renamed or removed in the directory `path` durable.
pub fn sync_dir(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    sync(Guarantee::DirectorySync, path, &File::open(path)?, File::sync_all)
}

/// Makes durable that `path` was created, renamed or removed in its directory.
pub fn sync_name(point: Point, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    let directory = parent_of(path);
    sync(Guarantee::DirectorySync, directory, &File::open(directory)?, File::sync_all)
}

/// Returns the directory in which `path` lies.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

type Sync = fn(&File) -> io::Result<()>;

#[cfg(not(any(test, feature = "failpoints")))]
fn sync(guarantee: Guarantee, path: &Path, file: &File, sync: Sync) -> io::Result<()> {
    unsupported::pass_over(guarantee, path, file, sync(file))
}

/// What is read before the sync is durable after it, whatever else is written meanwhile.
#[cfg(any(test, feature = "failpoints"))]
fn sync(guarantee: Guarantee, path: &Path, file: &File, sync: Sync) -> io::Result<()> {
    if let Some(error) = faults::refusal(guarantee, path) {
        return unsupported::pass_over(guarantee, path, file, Err(error));
    }
    let seen = faults::see(path);
    unsupported::pass_over(guarantee, path, file, sync(file))?;
    faults::made_durable(seen);
    Ok(())
}
