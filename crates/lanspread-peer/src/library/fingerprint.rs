//! How to tell without reading a game that it is as it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The size and modification time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let (mtime_s, mtime_ns) = (metadata.mtime(), metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_s, mtime_ns }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveStamp {
    name: String,
    stamp: Stamp,
}

/// What a game root looked like: the archives directly in it, and its sentinel.
///
/// Two equal fingerprints of one root stand for the same transferable content. Files that are
/// neither archives nor the sentinel do not count: an unchanged game must cost one directory
/// listing, however many files it has. Whether `local/` is there is no part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fingerprint {
    /// In name order.
    archives: Vec<ArchiveStamp>,
    sentinel: Option<Stamp>,
}

impl Fingerprint {
    /// Adds a regular file that lies directly in the root as `name`.
    pub(super) fn add_archive(&mut self, name: &str, metadata: &Metadata) {
        let at = self.archives.partition_point(|archive| archive.name.as_str() < name);
        self.archives
            .insert(at, ArchiveStamp { name: name.to_owned(), stamp: Stamp::of(metadata) });
    }

    /// Adds the sentinel, a regular file.
    pub(super) fn set_sentinel(&mut self, metadata: &Metadata) {
        self.sentinel = Some(Stamp::of(metadata));
    }

    /// Whether the sentinel was there.
    pub(super) fn has_sentinel(&self) -> bool {
        self.sentinel.is_some()
    }
}

/// Whether `name` is that of an archive, by its extension.
pub(super) fn is_archive_name(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eti"))
}
