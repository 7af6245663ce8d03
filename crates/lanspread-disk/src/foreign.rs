//! What operating systems, file systems and network drives leave behind in a game root.
//!
//! It is no content of a game (see [`lanspread_proto::foreign`]), and nothing here removes it.

use std::io;
use std::path::PathBuf;

use lanspread_proto::foreign::{is_foreign_directory, is_foreign_file};

use crate::{Dir, Entry, Kind};

/// Returns whether an entry of a directory is foreign.
pub fn is_foreign_entry(entry: &Entry) -> bool {
    match entry.kind {
        Kind::File => is_foreign_file(entry.name.as_encoded_bytes()),
        Kind::Directory => is_foreign_directory(entry.name.as_encoded_bytes()),
        Kind::Link | Kind::Pipe | Kind::Socket | Kind::Device => false,
    }
}

/// Returns whether anything foreign is in a directory, at any depth.
///
/// # Errors
/// When something below cannot be listed.
pub fn holds_foreign(directory: &Dir) -> io::Result<bool> {
    find_foreign(directory).map(|found| found.is_some())
}

/// Finds something foreign in a directory, at any depth; its path begins with that of the directory.
///
/// # Errors
/// When something below cannot be listed.
pub fn find_foreign(directory: &Dir) -> io::Result<Option<PathBuf>> {
    for entry in directory.entries()? {
        if is_foreign_entry(&entry) {
            return Ok(Some(directory.at(&entry.name)));
        }
        if entry.kind == Kind::Directory
            && let Some(found) = find_foreign(&directory.dir(&entry.name)?)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
