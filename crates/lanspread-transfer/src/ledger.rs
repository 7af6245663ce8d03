//! What has been written, by which source it was given, and whether it is known to be right.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use lanspread_proto::hash::HASH_BYTES;
use lanspread_proto::manifest::ManifestError;
use lanspread_proto::{ContentHash, FileHashes, Manifest, ManifestFile, PeerId, PieceSet};

use crate::layout::{ChunkIndex, Layout, PieceIndex};
use crate::progress::SourceBytes;

/// The books of one download: one entry a chunk.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    given: BTreeMap<PeerId, u64>,
    bytes_done: u64,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    written: Option<WrittenChunk>,
    /// Whether bytes of this chunk were ever written, so that its place is no hole any more.
    is_touched: bool,
}

/// A chunk on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenChunk {
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// Who gave it; nobody if it was on disk before.
    pub by: Option<PeerId>,
    /// How many bytes it has.
    pub len: u32,
    /// Whether the decided content has this hash, and not only the word of the source.
    pub is_confirmed: bool,
}

impl Ledger {
    /// Empty books for `chunk_count` chunks.
    pub fn new(chunk_count: u32) -> Self {
        let entries = (0..chunk_count).map(|_| Entry::default()).collect();
        Self { entries, given: BTreeMap::new(), bytes_done: 0 }
    }

    /// Enters a chunk that is on disk.
    pub fn enter(&mut self, chunk: ChunkIndex, written: WrittenChunk) {
        self.revoke(chunk);
        let Some(entry) = self.entry_mut(chunk) else { return };
        *entry = Entry { written: Some(written), is_touched: true };
        self.bytes_done += u64::from(written.len);
        if let Some(peer) = written.by {
            *self.given.entry(peer).or_default() += u64::from(written.len);
        }
    }

    /// Strikes out a chunk that is to be fetched again.
    pub fn revoke(&mut self, chunk: ChunkIndex) {
        let Some(written) = self.entry_mut(chunk).and_then(|entry| entry.written.take()) else {
            return;
        };
        let len = u64::from(written.len);
        self.bytes_done -= len;
        if let Some(given) = written.by.and_then(|peer| self.given.get_mut(&peer)) {
            *given -= len;
        }
    }

    /// Notes that bytes were written which do not count.
    pub fn spoil(&mut self, chunk: ChunkIndex) {
        if let Some(entry) = self.entry_mut(chunk) {
            entry.is_touched = true;
        }
    }

    /// Whether the place of a chunk has never been written.
    pub fn is_untouched(&self, chunk: ChunkIndex) -> bool {
        self.entry(chunk).is_some_and(|entry| !entry.is_touched)
    }

    /// The chunks of a source that rest on its word alone.
    pub fn unconfirmed_from(&self, peer: PeerId) -> Vec<ChunkIndex> {
        self.written()
            .filter(|(_, written)| written.by == Some(peer) && !written.is_confirmed)
            .map(|(chunk, _)| chunk)
            .collect()
    }

    /// The unconfirmed chunks that have another hash than in `expected`, and who gave them.
    pub fn conflicts(&self, expected: &ChunkHashes) -> Vec<(ChunkIndex, Option<PeerId>)> {
        self.written()
            .filter(|(_, written)| !written.is_confirmed)
            .filter(|(chunk, written)| expected.get(*chunk) != Some(written.hash))
            .map(|(chunk, written)| (chunk, written.by))
            .collect()
    }

    /// Marks what is written as right.
    pub fn confirm(&mut self) {
        for written in self.entries.iter_mut().filter_map(|entry| entry.written.as_mut()) {
            written.is_confirmed = true;
        }
    }

    /// Whether a chunk is on disk.
    pub fn is_written(&self, chunk: ChunkIndex) -> bool {
        self.entry(chunk).is_some_and(|entry| entry.written.is_some())
    }

    /// The pieces that are written whole.
    pub fn whole_pieces(&self, layout: &Layout) -> PieceSet {
        let pieces = (0..layout.piece_count()).filter(|piece| {
            layout.chunks_of(PieceIndex(*piece)).all(|chunk| self.is_written(chunk))
        });
        pieces.collect()
    }

    /// Bytes written.
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done
    }

    /// What each source gave, in peer id order; sources that gave nothing are left out.
    pub fn given(&self) -> Vec<SourceBytes> {
        let given = self.given.iter().filter(|(_, bytes)| **bytes > 0);
        given.map(|(peer_id, bytes)| SourceBytes { peer_id: *peer_id, bytes: *bytes }).collect()
    }

    /// The manifest with the hashes of what is written; files that are not whole have none.
    pub fn manifest(&self, layout: &Layout) -> Result<Manifest, ManifestError> {
        if let Some(hashes) = self.all_hashes() {
            return layout.manifest().with_hashes(hashes);
        }
        let mut entries = self.entries.iter();
        let files = layout.manifest().files().iter().map(|file| {
            let entries = entries.by_ref().take(usize::try_from(file.chunk_count()).unwrap_or(0));
            let hashes: Vec<_> = entries.map(|entry| Some(entry.written.as_ref()?.hash)).collect();
            let hashes: Option<Vec<_>> = hashes.into_iter().collect();
            let hashes = hashes.map(FileHashes::from_chunks);
            ManifestFile { path: file.path.clone(), size: file.size, hashes }
        });
        Manifest::new(layout.manifest().version().clone(), files.collect())
    }

    fn all_hashes(&self) -> Option<Bytes> {
        let mut hashes = BytesMut::with_capacity(self.entries.len() * HASH_BYTES);
        for entry in &self.entries {
            hashes.extend_from_slice(entry.written.as_ref()?.hash.as_bytes());
        }
        Some(hashes.freeze())
    }

    fn written(&self) -> impl Iterator<Item = (ChunkIndex, &WrittenChunk)> {
        let numbered = (0..).map(ChunkIndex).zip(&self.entries);
        numbered.filter_map(|(chunk, entry)| Some((chunk, entry.written.as_ref()?)))
    }

    fn entry(&self, chunk: ChunkIndex) -> Option<&Entry> {
        self.entries.get(usize::try_from(chunk.0).ok()?)
    }

    fn entry_mut(&mut self, chunk: ChunkIndex) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(chunk.0).ok()?)
    }
}

/// The chunk hashes of a hashed manifest, by position. Clones share them.
#[derive(Debug, Clone)]
pub struct ChunkHashes(Bytes);

impl ChunkHashes {
    /// The hashes in `manifest`; `None` unless every file has them.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        manifest.hashes().cloned().map(Self)
    }

    /// The hash of a chunk; `None` beyond the last one.
    pub fn get(&self, chunk: ChunkIndex) -> Option<ContentHash> {
        let hashes = self.0.as_chunks().0;
        hashes.get(usize::try_from(chunk.0).ok()?).map(|hash| ContentHash::from(*hash))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lanspread_proto::{CHUNK_SIZE_BYTES, GameVersion, RelPath};

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn written(by: u8, hash: u8, len: u32) -> WrittenChunk {
        WrittenChunk { hash: [hash; 32].into(), by: Some(peer(by)), len, is_confirmed: false }
    }

    #[test]
    fn bytes_follow_what_is_stored_and_struck_out() {
        let mut ledger = Ledger::new(3);
        ledger.enter(ChunkIndex(0), written(1, 1, 10));
        ledger.enter(ChunkIndex(1), written(2, 2, 20));
        ledger.enter(ChunkIndex(0), written(2, 1, 10));
        assert_eq!(ledger.bytes_done(), 30);
        assert_eq!(ledger.given(), [SourceBytes { peer_id: peer(2), bytes: 30 }]);
        ledger.revoke(ChunkIndex(1));
        ledger.revoke(ChunkIndex(1));
        assert_eq!(ledger.bytes_done(), 10);
        assert!(!ledger.is_untouched(ChunkIndex(1)));
        assert!(ledger.is_untouched(ChunkIndex(2)));
    }

    #[test]
    fn only_what_rests_on_a_word_is_unconfirmed() {
        let mut ledger = Ledger::new(3);
        ledger.enter(ChunkIndex(0), written(1, 1, 10));
        ledger.confirm();
        ledger.enter(ChunkIndex(1), written(1, 2, 10));
        ledger.enter(ChunkIndex(2), written(2, 3, 10));
        assert_eq!(ledger.unconfirmed_from(peer(1)), [ChunkIndex(1)]);
        let expected = ChunkHashes([[1; 32], [9; 32], [3; 32]].concat().into());
        assert_eq!(ledger.conflicts(&expected), [(ChunkIndex(1), Some(peer(1)))]);
    }

    #[test]
    fn the_manifest_has_the_hashes_of_whole_files() {
        let file = |path: &str, size| ManifestFile {
            path: RelPath::new(path).unwrap(),
            size,
            hashes: None,
        };
        let files = vec![file("a", 0), file("b", CHUNK_SIZE_BYTES + 1), file("c", 1)];
        let manifest = Manifest::new(GameVersion::new("1").unwrap(), files).unwrap();
        let layout = Layout::new(Arc::new(manifest));
        let mut ledger = Ledger::new(layout.chunk_count());
        ledger.enter(ChunkIndex(0), written(1, 1, 10));
        ledger.enter(ChunkIndex(2), written(1, 3, 1));
        let partly = ledger.manifest(&layout).unwrap();
        let hashed: Vec<_> = partly.files().iter().map(|file| file.hashes.is_some()).collect();
        assert_eq!(hashed, [true, false, true]);
        assert_eq!(partly.content_root(), None);
        ledger.enter(ChunkIndex(1), written(1, 2, 1));
        let whole = ledger.manifest(&layout).unwrap();
        assert!(whole.content_root().is_some());
        let hashes = ChunkHashes::of(&whole).unwrap();
        assert_eq!(hashes.get(ChunkIndex(1)), Some([2; 32].into()));
        assert_eq!(ledger.conflicts(&hashes), []);
    }
}
