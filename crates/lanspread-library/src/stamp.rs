//! How to tell without reading a game that it is as it was.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lanspread_disk::{Found, platform};
use lanspread_proto::{FileBits, Manifest, RelPath};
use serde::{Deserialize, Serialize};

/// How far apart the time of a file and the moment at which it was read must be for the time to tell
/// of every later change: the clock of FAT moves on every two seconds.
pub const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The modification time of a file: seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime(pub(super) i64, pub(super) u32);

impl Mtime {
    /// A time of so many seconds and nanoseconds.
    pub(super) fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self(seconds, nanoseconds)
    }

    /// Returns whether a change that comes after a read at `read_at` may leave the time as it is.
    ///
    /// A time in the future is no reason for doubt: a change would set it back.
    pub fn is_doubtful(self, read_at: SystemTime) -> bool {
        const SECOND_NS: i128 = 1_000_000_000;
        let read_ns = match read_at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        let own_ns = i128::from(self.0) * SECOND_NS + i128::from(self.1);
        own_ns.abs_diff(read_ns) <= SETTLE_TIME.as_nanos()
    }
}

/// The size and modification time of a file.
///
/// The time of its entry (`ctime`) is no part of it: backups, copies of a whole disk and network drives
/// change it while the content stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// The time of the last modification.
    pub mtime: Mtime,
}

impl Stamp {
    /// Returns the stamp of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self::new(metadata.len(), platform::modified(metadata))
    }

    pub(super) fn of_found(found: &Found) -> Self {
        Self::new(found.size, found.modified)
    }

    fn new(size: u64, (seconds, nanoseconds): (i64, i64)) -> Self {
        Self { size, mtime: Mtime(seconds, u32::try_from(nanoseconds).unwrap_or(0)) }
    }
}

/// A content file and its stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedFile {
    /// The path below the game root.
    pub path: RelPath,
    /// What the file looked like.
    pub stamp: Stamp,
    /// Whether any of its three execute bits is set.
    pub is_executable: bool,
}

/// What the sentinel looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentinelLook {
    pub stamp: Stamp,
    /// If so, the execute bits of this root say nothing: mostly the file system shows every file so.
    pub is_executable: bool,
}

/// What the content files of a root and its sentinel looked like, and which directories were empty. Two
/// equal ones of one root stand for the same content and attributes. Whether `local/` is there is no part
/// of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// In path order.
    files: Arc<[StampedFile]>,
    sentinel: Option<SentinelLook>,
    /// The innermost ones without content, in path order.
    directories: Arc<[RelPath]>,
}

impl Fingerprint {
    /// Puts together what a look at a game root found.
    pub fn new(
        mut files: Vec<StampedFile>,
        sentinel: Option<SentinelLook>,
        directories: BTreeSet<RelPath>,
    ) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let directories = directories.into_iter().collect();
        Self { files: files.into(), sentinel, directories }
    }

    /// What the files of a manifest look like now, whatever is in their place.
    #[cfg(any(test, feature = "testing"))]
    pub fn seen(root: &std::path::Path, manifest: &Manifest) -> Self {
        let files = manifest.files().iter().filter_map(|file| {
            let metadata = std::fs::symlink_metadata(file.path.under(root)).ok()?;
            let stamp = Stamp { size: file.size, ..Stamp::of(&metadata) };
            Some(StampedFile { path: file.path.clone(), stamp, is_executable: false })
        });
        Self::new(files.collect(), None, BTreeSet::new())
    }

    /// In path order.
    pub fn files(&self) -> &[StampedFile] {
        &self.files
    }

    /// Returns the innermost directories without content, in path order.
    pub fn directories(&self) -> &[RelPath] {
        &self.directories
    }

    /// Returns which files are executable, in path order; `None` where the file system shows every
    /// file so.
    pub fn executable(&self) -> Option<FileBits> {
        if self.sentinel.is_none_or(|sentinel| sentinel.is_executable) {
            return None;
        }
        let mut bits = FileBits::new(self.files.len());
        let files = self.files.iter().enumerate();
        files.filter(|(_, file)| file.is_executable).for_each(|(at, _)| bits.set(at));
        Some(bits)
    }

    /// Returns whether some files are executable and others are not, which no file system makes up.
    pub fn tells_files_apart(&self) -> bool {
        self.sentinel.is_some_and(|sentinel| !sentinel.is_executable)
            && self.files.iter().any(|file| file.is_executable)
    }

    /// Returns what a file looked like.
    pub fn stamp(&self, path: &RelPath) -> Option<Stamp> {
        let at = self.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        self.files.get(at).map(|file| file.stamp)
    }
}

/// What is known of the content of a root: its manifest, and of each file in it the time that stands
/// for the content; `None` where only reading it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownContent {
    /// The files, with the hashes that are known.
    pub manifest: Arc<Manifest>,
    /// As many as the manifest has files.
    pub times: Arc<[Option<Mtime>]>,
    /// Which of them are executable, where the file system does not keep that.
    pub remembered: Option<FileBits>,
}

impl KnownContent {
    /// What is known when the files of `manifest` looked like `fingerprint` and those in doubt are to
    /// be read again.
    pub fn new(
        manifest: Arc<Manifest>,
        fingerprint: &Fingerprint,
        is_doubtful: impl Fn(&RelPath) -> bool,
    ) -> Self {
        let time = |path: &RelPath| {
            let stamp = fingerprint.stamp(path).filter(|_| !is_doubtful(path));
            stamp.map(|stamp| stamp.mtime)
        };
        let times = manifest.files().iter().map(|file| time(&file.path)).collect();
        Self { manifest, times, remembered: None }
    }

    /// Returns the executable bits that are remembered of the files that look like `fingerprint`, in
    /// their order. Of those that look otherwise they are forgotten.
    pub fn remembered_of(&self, fingerprint: &Fingerprint) -> Option<FileBits> {
        let remembered = self.remembered.as_ref()?;
        let mut bits = FileBits::new(fingerprint.files().len());
        for (at, found) in fingerprint.files().iter().enumerate() {
            if self.position(found).is_some_and(|known| remembered.get(known)) {
                bits.set(at);
            }
        }
        Some(bits)
    }

    /// Returns whether files that look like `fingerprint` have exactly this content.
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        let files = self.manifest.files();
        files.len() == fingerprint.files().len()
            && files.iter().zip(self.times.iter()).zip(fingerprint.files()).all(
                |((known, time), found)| {
                    known.path == found.path
                        && known.size == found.stamp.size
                        && *time == Some(found.stamp.mtime)
                },
            )
    }

    /// Returns where in the manifest the file is, if it looks as it did when its content was known.
    pub fn position(&self, found: &StampedFile) -> Option<usize> {
        let files = self.manifest.files();
        let at = files.binary_search_by(|file| file.path.cmp(&found.path)).ok()?;
        let is_same = files.get(at)?.size == found.stamp.size
            && *self.times.get(at)? == Some(found.stamp.mtime);
        is_same.then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_close_to_the_read_tells_nothing_and_one_far_from_it_does() {
        let read_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (seconds, nanoseconds, is_doubtful) in [
            (1_000, 0, true),
            (998, 0, true),
            (997, 999_999_999, false),
            (1_002, 0, true),
            (1_002, 1, false),
            (-5, 0, false),
            (i64::MAX, 0, false),
        ] {
            let found = Mtime(seconds, nanoseconds).is_doubtful(read_at);
            assert_eq!(found, is_doubtful, "{seconds} {nanoseconds}");
        }
    }
}
