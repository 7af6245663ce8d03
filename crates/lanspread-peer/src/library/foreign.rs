//! What operating systems, file systems and network drives leave behind in a game root.
//!
//! It is no content of a game (see [`lanspread_proto::foreign`]), and nothing here removes it.

use std::io;
use std::os::unix::ffi::OsStrExt;

use lanspread_disk::{Dir, Entry, Kind};
use lanspread_proto::foreign::{is_foreign_directory, is_foreign_file};

/// Whether an entry of a directory is foreign.
pub(crate) fn is_foreign_entry(entry: &Entry) -> bool {
    match entry.kind {
        Kind::File => is_foreign_file(entry.name.as_bytes()),
        Kind::Directory => is_foreign_directory(entry.name.as_bytes()),
        Kind::Link | Kind::Other => false,
    }
}

/// Whether anything foreign is in a directory, at any depth.
///
/// # Errors
/// When something below cannot be listed.
pub(crate) fn holds_foreign(directory: &Dir) -> io::Result<bool> {
    for entry in directory.entries()? {
        let is_foreign = is_foreign_entry(&entry)
            || entry.kind == Kind::Directory && holds_foreign(&directory.dir(&entry.name)?)?;
        if is_foreign {
            return Ok(true);
        }
    }
    Ok(false)
}
