//! Lists the transferable files of a game root.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use lanspread_proto::manifest::{MANIFEST_MAX_FILES, ManifestError};
use lanspread_proto::{ManifestFile, RelPath};

use crate::library::names::root_name;
use crate::library::reserved::is_reserved_root_name;
use crate::library::warning::{Problems, ScanProblem};

/// Lists every transferable file of a root, without hashes and in no order.
pub(super) fn walk(root: &Path, problems: &mut Problems) -> Result<Vec<ManifestFile>, ScanProblem> {
    let mut files = Vec::new();
    // Paths relative to the root. That they become no deeper than a `RelPath` bounds the walk.
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let is_root = directory.as_os_str().is_empty();
        for_each_entry(&root.join(&directory), |entry| {
            let name = entry.file_name();
            if is_root && name.to_str().is_some_and(is_reserved_root_name) {
                return Ok(());
            }
            // The sentinel travels under its name, however this disk spells it.
            let native = match name.to_str().filter(|_| is_root) {
                Some(name) => PathBuf::from(root_name(root, name)),
                None => directory.join(&name),
            };
            let kind = entry.file_type()?;
            if !kind.is_dir() && !kind.is_file() {
                problems.add(ScanProblem::Special(entry.path()));
                return Ok(());
            }
            match RelPath::from_native(&native) {
                Err(error) => problems.add(error.into()),
                Ok(_) if kind.is_dir() => directories.push(native),
                // One more than may be is enough to know that there are too many.
                Ok(_) if files.len() > MANIFEST_MAX_FILES => {}
                Ok(path) => files.push(unhashed(path, entry.metadata()?.len())),
            }
            Ok(())
        })?;
        if files.len() > MANIFEST_MAX_FILES {
            return Err(ManifestError::TooManyFiles(files.len()).into());
        }
    }
    Ok(files)
}

fn unhashed(path: RelPath, size: u64) -> ManifestFile {
    ManifestFile { path, size, hashes: None }
}

/// Calls `visit` with every entry of a directory. What vanishes meanwhile, be it the directory, is
/// as good as never seen.
pub(super) fn for_each_entry(
    directory: &Path,
    mut visit: impl FnMut(&DirEntry) -> io::Result<()>,
) -> Result<(), ScanProblem> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ScanProblem::Unreadable { path, source }
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(unreadable(directory)(source)),
    };
    for entry in entries {
        let entry = entry.map_err(unreadable(directory))?;
        match visit(&entry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(unreadable(&entry.path()))?,
        }
    }
    Ok(())
}
