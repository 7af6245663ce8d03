//! Changes below a game root, each under the name of its moment. No link is followed.
//!
//! A point is told the path, by which the model of the crash tests knows files; the change itself
//! goes through the directory that is open.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Guarantee, Point, reach, sync};
use crate::foreign::is_foreign_entry;
use crate::{Dir, points};

/// Renames `from` to `to`.
pub fn rename(
    point: Point,
    dir: &Dir,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> io::Result<()> {
    reach(point, &dir.at(&to))?;
    dir.rename(from, to)
}

/// Removes a file or a link itself.
pub fn remove_file(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    reach(point, &dir.at(&name))?;
    dir.remove_file(name)
}

/// Removes an empty directory.
pub fn remove_dir(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    reach(point, &dir.at(&name))?;
    dir.remove_dir(name)
}

/// Removes whatever has this name, a directory with all that is in it.
pub fn remove_tree(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    reach(point, &dir.at(&name))?;
    dir.remove_tree(name)
}

/// Removes whatever has this name, as [`remove_tree`], but foreign files, and returns whether nothing of it
/// is left.
pub fn remove_own(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<bool> {
    reach(point, &dir.at(&name))?;
    dir.remove_tree_but(name, &is_foreign_entry)
}

/// Removes whatever has this name, as [`remove_tree`]; that there is nothing is fine, and is no
/// moment at which anything changes.
pub fn remove_any(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    match dir.look(&name)? {
        Some(_) => remove_tree(point, dir, name),
        None => Ok(()),
    }
}

/// Makes a directory.
pub fn create_dir(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    reach(point, &dir.at(&name))?;
    dir.create_dir(name)
}

/// Makes a file.
pub fn create_file(point: Point, dir: &Dir, name: impl AsRef<Path>) -> io::Result<File> {
    reach(point, &dir.at(&name))?;
    dir.create_new(name)
}

/// Removes a file, durably. Not an error if it is not there.
pub fn remove_file_durably(dir: &Dir, name: &str) -> io::Result<()> {
    match remove_file(points::FILE_REMOVE, dir, name) {
        Ok(()) => sync_dir_as(points::FILE_REMOVE_SYNC, dir, &dir.at(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a regular file and makes it durable: its content, and its mode if `change` says that it has changed
/// it.
pub fn finish_file(
    point: Point,
    dir: &Dir,
    path: impl AsRef<Path>,
    change: impl FnOnce(&File) -> io::Result<bool>,
) -> io::Result<File> {
    let at = dir.at(&path);
    reach(point, &at)?;
    // Some servers only sync what is open for writing, and some files may only be read.
    let file = dir.read_write(&path).or_else(|_| dir.read(&path))?;
    match change(&file)? {
        true => sync(Guarantee::FileSync, &at, &file, File::sync_all)?,
        false => sync(Guarantee::FileSync, &at, &file, File::sync_data)?,
    }
    Ok(file)
}

/// Makes the content of a regular file durable that somebody else has written.
pub fn sync_file(point: Point, dir: &Dir, path: impl AsRef<Path>) -> io::Result<()> {
    finish_file(point, dir, path, |_| Ok(false)).map(drop)
}

/// Makes what was created, renamed or removed in `dir` durable.
pub fn sync_dir(point: Point, dir: &Dir) -> io::Result<()> {
    sync_dir_as(point, dir, dir.path())
}

/// Like [`sync_dir`], at a point that is told the path of what changed in it.
fn sync_dir_as(point: Point, dir: &Dir, path: &Path) -> io::Result<()> {
    reach(point, path)?;
    sync(Guarantee::DirectorySync, dir.path(), &dir.readable()?, File::sync_all)
}
