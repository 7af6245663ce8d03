//! Room on the disk for a game that has none yet.

use std::fs;
use std::io;
use std::path::Path;

use crate::disk::{self, Point};
use crate::error::StreamFailure;

/// Makes the root of a game that was never downloaded, durably.
pub(in crate::install) fn ensure_root(root: &Path) -> io::Result<()> {
    match disk::create_dir(Point::RootCreate, root) {
        Ok(()) => disk::sync_name(Point::RootSync, root),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a root in which a rolled back installation has left nothing.
pub(in crate::install) fn remove_empty_root(root: &Path) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    let is_empty = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none());
    if !is_empty {
        return Ok(());
    }
    match disk::remove_dir(Point::EmptyDirRemove, root) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
            Ok(())
        }
        result => result,
    }
}

/// Refuses what does not fit beside everything that is there, an old `local/` included.
pub(super) fn require_room(root: &Path, needed: u64) -> Result<(), StreamFailure> {
    // A root that is not there yet will lie on the disk of its parent.
    let place = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    let space = match rustix::fs::statvfs(place) {
        Ok(space) => space,
        Err(error) => {
            // Writing will tell what is wrong with it.
            tracing::warn!(path = %place.display(), %error, "cannot tell how much room there is");
            return Ok(());
        }
    };
    let available = space.f_bavail.saturating_mul(space.f_frsize);
    if needed > available {
        return Err(StreamFailure::NotEnoughRoom { path: place.to_path_buf(), needed, available });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_any_disk_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("quake");
        require_room(&root, 1).unwrap();
        match require_room(&root, u64::MAX) {
            Err(StreamFailure::NotEnoughRoom { path, needed: u64::MAX, available }) => {
                assert_eq!(path, dir.path());
                assert!(available > 0);
            }
            other => panic!("{other:?}"),
        }
    }

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
