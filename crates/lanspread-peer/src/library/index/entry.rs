//! What the index says of one game, and how it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use lanspread_proto::Manifest;
use lanspread_proto::manifest::VERSION_FILE;
use serde::{Deserialize, Serialize};

use crate::library::stamp::{KnownContent, Mtime};

/// What is known of one game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawEntry", into = "RawEntry")]
pub(super) struct Entry(pub(super) KnownContent);

/// The shape in the files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    /// The time of each file of the manifest, in its order; none where it has to be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<Vec<Option<Mtime>>>,
    /// In place of `times`, what format 1 knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<OldFingerprint>,
    manifest: Manifest,
}

/// What a root looked like, as format 1 wrote it: the archives directly in it, and its sentinel.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldFingerprint {
    archives: Vec<OldArchive>,
    sentinel: Option<OldStamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldArchive {
    name: String,
    stamp: OldStamp,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldStamp {
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("an entry has {times} times for {files} files")]
    Times { times: usize, files: usize },
    #[error("an entry has neither times nor a fingerprint")]
    Neither,
}

impl TryFrom<RawEntry> for Entry {
    type Error = EntryError;

    fn try_from(raw: RawEntry) -> Result<Self, EntryError> {
        let manifest = Arc::new(raw.manifest);
        let times = match (raw.times, raw.fingerprint) {
            (Some(times), _) => times,
            (None, Some(old)) => old.times(&manifest),
            (None, None) => return Err(EntryError::Neither),
        };
        let (count, files) = (times.len(), manifest.files().len());
        if count != files {
            return Err(EntryError::Times { times: count, files });
        }
        Ok(Self(KnownContent { manifest, times: times.into() }))
    }
}

impl From<Entry> for RawEntry {
    fn from(Entry(known): Entry) -> Self {
        let times = Some(known.times.to_vec());
        Self { times, fingerprint: None, manifest: known.manifest.as_ref().clone() }
    }
}

impl OldFingerprint {
    /// The files whose time was known then keep their hashes; the others are read again, once.
    fn times(&self, manifest: &Manifest) -> Vec<Option<Mtime>> {
        let archives = self.archives.iter();
        let mut known: BTreeMap<&str, OldStamp> =
            archives.map(|archive| (archive.name.as_str(), archive.stamp)).collect();
        known.extend(self.sentinel.map(|stamp| (VERSION_FILE, stamp)));
        let time = |path: &str, size: u64| {
            let stamp = known.get(path).filter(|stamp| stamp.size == size)?;
            Some(Mtime(stamp.mtime_s, u32::try_from(stamp.mtime_ns).ok()?))
        };
        let files = manifest.files().iter();
        files.map(|file| time(file.path.as_str(), file.size)).collect()
    }
}
