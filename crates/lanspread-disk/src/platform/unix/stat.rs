//! What the system says of a name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{DirEntry, FileType, Mode, Stat};

use crate::found::{Entry, Found, Kind};

/// Returns an entry of a directory. `None` for the directory itself and the one above, and for what is gone
/// when `look` asks for its kind, which some file systems do not say in the directory.
pub(super) fn entry_of(
    entry: &DirEntry,
    look: impl FnOnce(&OsStr) -> io::Result<Found>,
) -> io::Result<Option<Entry>> {
    let name = OsStr::from_bytes(entry.file_name().to_bytes());
    if name == "." || name == ".." {
        return Ok(None);
    }
    let kind = match entry.file_type() {
        FileType::Unknown => match look(name) {
            Ok(found) => found.kind,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        },
        known => kind_of(known),
    };
    Ok(Some(Entry { name: name.to_owned(), kind }))
}

#[expect(clippy::useless_conversion, reason = "the types of the fields differ by platform")]
pub(super) fn found_of(stat: &Stat) -> Found {
    let mode = Mode::from_raw_mode(stat.st_mode);
    Found {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        has_other_names: stat.st_nlink > 1,
        is_executable: mode.intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH),
        id: (stat.st_dev, stat.st_ino),
        modified: (i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        _ => Kind::Device,
    }
}
