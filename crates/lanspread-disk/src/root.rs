//! The root of a game that has none yet.

use std::path::Path;
use std::{fs, io};

use crate::{durable, points};

/// Makes the root of a game that was never downloaded, durably. Not an error if it is there. Blocks.
///
/// # Errors
/// Whatever the system reports.
pub fn ensure_root(root: &Path) -> io::Result<()> {
    match durable::create_dir(points::ROOT_CREATE, root) {
        Ok(()) => durable::sync_name(points::ROOT_SYNC, root),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a root in which a rolled back installation has left nothing. One that holds something stays.
///
/// # Errors
/// Whatever the system reports.
pub fn remove_empty_root(root: &Path) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    let is_empty = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none());
    if !is_empty {
        return Ok(());
    }
    match durable::remove_dir(points::EMPTY_DIR_REMOVE, root) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_root_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("quake");
        ensure_root(&root).unwrap();
        ensure_root(&root).unwrap();
        fs::write(root.join("kept"), "").unwrap();
        remove_empty_root(&root).unwrap();
        assert!(root.join("kept").exists());
        fs::remove_file(root.join("kept")).unwrap();
        remove_empty_root(&root).unwrap();
        assert!(!root.exists());
        remove_empty_root(&root).unwrap();
    }
}
