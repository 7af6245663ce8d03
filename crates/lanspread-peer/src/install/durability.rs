//! Making an unpacked game durable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::disk::{self, Point};

/// How many files are synced at a time. A file system commits once for all that wait for it, so
/// many small files cost little more than a few; more threads gained nothing.
const SYNCS_AT_A_TIME: usize = 8;

/// Makes every file below `directory` durable, and the names of them.
///
/// File by file: a sync of the whole file system would be one call, but would also wait for what
/// others write to it, such as a download of many gigabytes.
///
/// Asks `cancel` before the files that this thread syncs itself.
///
/// # Errors
/// What the system said, and [`io::ErrorKind::Interrupted`] when it is cancelled.
pub(super) fn sync_tree(directory: &Path, cancel: &dyn Fn() -> bool) -> io::Result<()> {
    let (directories, files) = list(directory)?;
    let next = AtomicUsize::new(0);
    let is_cancelled = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (1..SYNCS_AT_A_TIME.min(files.len()))
            .map(|_| {
                scope.spawn(|| sync_files(&files, &next, &|| is_cancelled.load(Ordering::Relaxed)))
            })
            .collect();
        let own = sync_files(&files, &next, &|| {
            let is_over = cancel();
            is_cancelled.fetch_or(is_over, Ordering::Relaxed);
            is_over
        });
        workers.into_iter().fold(own, |outcome, worker| {
            let joined = worker.join();
            outcome.and(joined.unwrap_or_else(|_| Err(io::Error::other("a sync was abandoned"))))
        })
    })?;
    // From the leaves up, so that no name is durable before what it names.
    directories.iter().rev().try_for_each(|path| disk::sync_dir(Point::UnpackedDirSync, path))
}

fn sync_files(
    files: &[PathBuf],
    next: &AtomicUsize,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<()> {
    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        if is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        disk::sync_file(Point::UnpackedFileSync, path)?;
    }
    Ok(())
}

/// The directories from the top down, and the files. Links are neither: an unpacked game has none.
fn list(directory: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut directories, mut files) = (vec![directory.to_path_buf()], Vec::new());
    let mut listed = 0;
    while let Some(directory) = directories.get(listed).cloned() {
        listed += 1;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok((directories, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_and_directory_is_found_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for path in ["one", "a/two", "a/b/three"] {
            fs::write(dir.path().join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("/", dir.path().join("a/root")).unwrap();
        let (directories, mut files) = list(dir.path()).unwrap();
        files.sort();
        assert_eq!(directories.len(), 3);
        assert_eq!(files, ["a/b/three", "a/two", "one"].map(|path| dir.path().join(path)));
        sync_tree(dir.path(), &|| false).unwrap();
        assert!(sync_tree(&dir.path().join("none"), &|| false).is_err());
        let cancelled = sync_tree(dir.path(), &|| true).unwrap_err();
        assert_eq!(cancelled.kind(), io::ErrorKind::Interrupted);
    }
}
