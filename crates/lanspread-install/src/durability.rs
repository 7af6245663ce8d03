//! Making an unpacked game durable.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{io, thread};

use lanspread_disk::durable::below;
use lanspread_disk::{Dir, Kind};

use crate::points;

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
pub(super) fn sync_tree(top: &Dir, cancel: &dyn Fn() -> bool) -> io::Result<()> {
    let (directories, files) = list(top)?;
    let next = AtomicUsize::new(0);
    let is_cancelled = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (1..SYNCS_AT_A_TIME.min(files.len()))
            .map(|_| {
                scope.spawn(|| {
                    sync_files(top, &files, &next, &|| is_cancelled.load(Ordering::Relaxed))
                })
            })
            .collect();
        let own = sync_files(top, &files, &next, &|| {
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
    directories
        .iter()
        .rev()
        .try_for_each(|path| below::sync_dir(points::UNPACKED_DIR_SYNC, &top.dir(path)?))
}

fn sync_files(
    top: &Dir,
    files: &[PathBuf],
    next: &AtomicUsize,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<()> {
    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        if is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        below::sync_file(points::UNPACKED_FILE_SYNC, top, path)?;
    }
    Ok(())
}

/// The directories from the top down, and the files, relative to `top`. An unpacked game has no
/// links: one of them took the place of something that was unpacked.
fn list(top: &Dir) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut directories, mut files) = (vec![PathBuf::new()], Vec::new());
    let mut listed = 0;
    while let Some(directory) = directories.get(listed).cloned() {
        listed += 1;
        for entry in top.dir(&directory)?.entries()? {
            let path = directory.join(entry.name);
            match entry.kind {
                Kind::Directory => directories.push(path),
                Kind::File => files.push(path),
                Kind::Link | Kind::Pipe | Kind::Socket | Kind::Device => {
                    let what = format!("{} was not unpacked by this peer", path.display());
                    return Err(io::Error::other(what));
                }
            }
        }
    }
    Ok((directories, files))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_file_and_directory_is_found_and_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for path in ["one", "a/two", "a/b/three"] {
            fs::write(dir.path().join(path), path).unwrap();
        }
        let top = Dir::open(dir.path()).unwrap();
        let (directories, mut files) = list(&top).unwrap();
        files.sort();
        assert_eq!(directories.len(), 3);
        assert_eq!(files, ["a/b/three", "a/two", "one"].map(PathBuf::from));
        sync_tree(&top, &|| false).unwrap();
        // Of a single file no other thread can be faster.
        let cancelled = sync_tree(&top.dir("a/b").unwrap(), &|| true).unwrap_err();
        assert_eq!(cancelled.kind(), io::ErrorKind::Interrupted);
        lanspread_disk::testing::make_link("/", dir.path().join("a/root"));
        let error = sync_tree(&top, &|| false).unwrap_err();
        assert!(error.to_string().contains("a/root"), "{error}");
    }
}
