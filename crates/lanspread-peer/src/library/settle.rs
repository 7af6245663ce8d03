//! Makes the times of files that were just written stand for their content.
//!
//! A time that is as young as the write tells nothing of a change right after it (see
//! [`SETTLE_TIME`]). Files that a download wrote would therefore have to be read once more; they are
//! given a time that lies back a little instead, which every later change moves on.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lanspread_proto::{Manifest, RelPath};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, openat, statat, utimensat};

use crate::library::stamp::{Fingerprint, Mtime, SETTLE_TIME, Stamp, StampedFile};

/// What a commit has left on the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committed(Fingerprint);

impl Committed {
    /// Whether a file still is what was committed, and a change of it shows.
    pub(crate) fn vouches_for(&self, found: &StampedFile) -> bool {
        self.0.stamp(&found.path) == Some(found.stamp)
    }
}

/// Sets back the times of those files of `manifest` in `root` that are too young at `now`. A file of
/// which that is not possible is not vouched for.
pub(crate) fn settle_times(root: &Path, manifest: &Manifest, now: SystemTime) -> Committed {
    let settled = settled_time(now);
    let mut parent = Parent::default();
    let mut files = Vec::with_capacity(manifest.files().len());
    for file in manifest.files() {
        if let Ok(stamp) = parent.settle(root, &file.path, settled, now) {
            files.push(StampedFile { path: file.path.clone(), stamp, is_executable: false });
        }
    }
    Committed(Fingerprint::new(files, None, BTreeSet::new()))
}

/// The directory of the file before, which is mostly that of the next one as well.
#[derive(Default)]
struct Parent(Option<(String, OwnedFd)>);

impl Parent {
    fn settle(
        &mut self,
        root: &Path,
        path: &RelPath,
        settled: Mtime,
        now: SystemTime,
    ) -> io::Result<Stamp> {
        let (directory, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let handle = match self.0.take() {
            Some((known, handle)) if known == directory => handle,
            _ => open_below(root, directory)?,
        };
        let settle = || {
            let mut stamp = Stamp::of_stat(&statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW)?);
            if stamp.mtime.is_doubtful(now) {
                let time = Timespec { tv_sec: settled.0, tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                utimensat(&handle, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
                stamp.mtime = settled;
            }
            Ok(stamp)
        };
        let stamp = settle();
        self.0 = Some((directory.to_owned(), handle));
        stamp
    }
}

/// Opens a directory below `root`. No link is followed.
fn open_below(root: &Path, directory: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut handle = openat(CWD, root, flags, Mode::empty())?;
    for name in directory.split('/').filter(|name| !name.is_empty()) {
        handle = openat(&handle, name, flags, Mode::empty())?;
    }
    Ok(handle)
}

/// An even number of seconds, which every file system can keep, and more than [`SETTLE_TIME`] ago.
fn settled_time(now: SystemTime) -> Mtime {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.saturating_sub(2 * SETTLE_TIME).as_secs() & !1;
    Mtime(i64::try_from(seconds).unwrap_or(0), 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_proto::ManifestFile;

    use super::*;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn young_files_are_set_back_and_vouched_for_until_they_change() {
        let root = tempfile::tempdir().unwrap();
        let (young, old) = (root.path().join("young"), root.path().join("old"));
        fs::write(&young, b"1").unwrap();
        fs::write(&old, b"2").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        let file = |path: &str| ManifestFile { path: path.parse().unwrap(), size: 1, hashes: None };
        let files = ["gone", "old", "young"].map(file);
        let manifest = Manifest::new("1".parse().unwrap(), files.into()).unwrap();

        let now = SystemTime::now();
        let committed = settle_times(root.path(), &manifest, now);
        assert!(!stamp(&young).mtime.is_doubtful(now));
        assert_eq!(stamp(&old).mtime, Mtime(7, 0));
        let found = |name: &str| StampedFile {
            path: name.parse().unwrap(),
            stamp: stamp(&root.path().join(name)),
            is_executable: false,
        };
        assert!(committed.vouches_for(&found("young")) && committed.vouches_for(&found("old")));
        fs::write(&young, b"3").unwrap();
        assert!(!committed.vouches_for(&found("young")));
        assert_eq!(committed.0.files().len(), 2);
    }
}
