//! Which archives of a game root are unpacked, and in which order.

use std::io;
use std::path::{Path, PathBuf};

use lanspread_proto::foreign::is_foreign_file;

use crate::rar::{RarStart, inspect};

const EXTENSION: &str = "eti";

/// The archives directly in `directory` that an installation unpacks, by name.
///
/// These are the regular files named `*.eti`, in any case. Later volumes of a set are left out, because they
/// are read with the first one. Files that systems leave behind, such as `._game.eti`, are left out as well.
/// A file that is not a RAR archive is listed: unpacking it then reports what it is.
///
/// # Errors
/// Whatever reading the directory or the start of such a file reports.
pub fn root_archives(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        let is_named = path.extension().is_some_and(|name| name.eq_ignore_ascii_case(EXTENSION));
        let is_named = is_named && !is_foreign_file(entry.file_name().as_encoded_bytes());
        if is_named && entry.file_type()?.is_file() && inspect(&path)? != RarStart::Continuation {
            archives.push(path);
        }
    }
    archives.sort();
    Ok(archives)
}
