//! Making the files of a manifest: anew, or in the place of what was there.
//!
//! Bytes that are on disk already may be those of the game, so a file stays where it is if nothing
//! but this name leads to it. What is a link, has other names or cannot be opened gives way; of a
//! file with other names the content is copied first.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use lanspread_proto::Manifest;
use rustix::fs::OFlags;

use super::{StorageError, failed, is_sentinel, unlink};
use crate::disk::{self, Point};

/// Brings every file of `manifest` but the sentinel to its size, and returns the numbers of those
/// that may hold bytes from before.
pub(super) fn make_files(
    root: &Path,
    manifest: &Manifest,
) -> Result<BTreeSet<usize>, StorageError> {
    let files: Vec<_> = manifest.files().iter().enumerate().collect();
    let files = || files.iter().filter(|(_, file)| !is_sentinel(&file.path));
    let mut kept = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (number, file) in files() {
        let path = file.path.under(root);
        let Some(opened) = keep(&path, file.size)? else { continue };
        // On a file system that does not tell upper from lower case, two names can be one file.
        if !seen.insert((opened.dev(), opened.ino())) {
            return Err(failed("create", &path)(io::ErrorKind::AlreadyExists.into()));
        }
        kept.insert(*number);
    }
    // Made only after all others gave way, so that two such names fail here as well.
    for (number, file) in files() {
        if !kept.contains(number) {
            make_file(&file.path.under(root), file.size)?;
        }
    }
    Ok(kept)
}

/// Opens a file for reading and writing. Never follows a link there.
pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(path)
}

/// Brings the file at `path` to `size` if it can stay; else there is nothing of that name after.
fn keep(path: &Path, size: u64) -> Result<Option<Metadata>, StorageError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return unlink(path).map(|()| None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("look at", path)(error)),
    }
    let Ok(file) = open_no_follow(path) else { return unlink(path).map(|()| None) };
    let resized = || {
        let found = file.metadata()?;
        // A file system that does not count names says 0 or 1.
        if found.nlink() > 1 {
            return copy_of(&file, path, size).map(Some);
        }
        disk::reach(Point::GameFileResize, path)?;
        disk::set_len(&file, size)?;
        Ok(Some(found))
    };
    resized().map_err(failed("resize", path))
}

/// Puts a copy in the place of a file that has other names, which are not ours to change.
fn copy_of(file: &File, path: &Path, size: u64) -> io::Result<Metadata> {
    fs::remove_file(path)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
    io::copy(&mut file.take(size), &mut copy)?;
    disk::set_len(&copy, size)?;
    copy.metadata()
}

fn make_file(path: &Path, size: u64) -> Result<(), StorageError> {
    let make = || {
        disk::reach(Point::GameFileCreate, path)?;
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        disk::set_len(&file, size)
    };
    make().map_err(failed("create", path))
}
