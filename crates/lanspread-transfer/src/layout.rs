//! The chunks of a manifest in the order in which they are fetched.

use std::sync::Arc;

use lanspread_proto::limits::{GET_CHUNKS_MAX, GET_CHUNKS_MAX_PATH_BYTES};
use lanspread_proto::manifest::chunk_len;
use lanspread_proto::{CHUNK_SIZE_BYTES, Manifest, ManifestFile, RelPath};

/// The place of a chunk among all chunks of a manifest: file by file in path order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkIndex(pub u32);

/// The place of a piece among all pieces of a manifest.
///
/// A piece is what is asked for at once: one chunk, or several small ones that follow each other and
/// are no more than a chunk together, so that thousands of small files do not cost a request each.
/// Which chunks those are follows from the manifest alone, and is the same for every peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceIndex(pub u32);

/// Where the bytes of a chunk belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLocation {
    /// The position of the file in the manifest.
    pub file: usize,
    /// Which chunk of the file, from 0.
    pub index: u32,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has; never 0.
    pub len: u32,
}

/// A manifest seen as one sequence of chunks.
#[derive(Debug)]
pub struct Layout {
    manifest: Arc<Manifest>,
    /// For each file the number of chunks before it.
    chunks_before: Vec<u32>,
    chunk_count: u32,
    /// For each piece its first chunk.
    pieces: Vec<u32>,
}

impl Layout {
    /// Numbers the chunks of `manifest`.
    pub fn new(manifest: Arc<Manifest>) -> Self {
        let mut chunks_before = Vec::with_capacity(manifest.files().len());
        let mut chunk_count = 0;
        for file in manifest.files() {
            chunks_before.push(chunk_count);
            chunk_count += file.chunk_count();
        }
        let pieces = pieces(&manifest, &chunks_before);
        Self { manifest, chunks_before, chunk_count, pieces }
    }

    /// The manifest; only its paths and sizes are to be relied on.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// Where a chunk belongs, and the file that it is part of; `None` beyond the last chunk.
    pub fn location(&self, chunk: ChunkIndex) -> Option<(ChunkLocation, &ManifestFile)> {
        if chunk.0 >= self.chunk_count {
            return None;
        }
        // Empty files share their number with the next file, which is the one that has the chunk.
        let file =
            self.chunks_before.partition_point(|before| *before <= chunk.0).checked_sub(1)?;
        let index = chunk.0 - self.chunks_before.get(file)?;
        let manifest_file = self.manifest.files().get(file)?;
        let len = u32::try_from(chunk_len(manifest_file.size, index)).ok()?;
        let offset = u64::from(index) * CHUNK_SIZE_BYTES;
        Some((ChunkLocation { file, index, offset, len }, manifest_file))
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        // No more than chunks.
        u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
    }

    /// The chunks of a piece, which follow each other.
    pub fn chunks_of(&self, piece: PieceIndex) -> impl Iterator<Item = ChunkIndex> + use<> {
        let first = |at: u32| self.pieces.get(usize::try_from(at).ok()?).copied();
        let begin = first(piece.0).unwrap_or(self.chunk_count);
        let end = piece.0.checked_add(1).and_then(first).unwrap_or(self.chunk_count);
        (begin..end).map(ChunkIndex)
    }

    /// The piece that a chunk is part of.
    pub fn piece_of(&self, chunk: ChunkIndex) -> PieceIndex {
        let next = self.pieces.partition_point(|first| *first <= chunk.0);
        PieceIndex(u32::try_from(next.saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// Chunk `index` of the file at `path`, if there is one.
    pub fn find(&self, path: &RelPath, index: u32) -> Option<ChunkIndex> {
        let files = self.manifest.files();
        let number = files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        let first = self.chunks_before.get(number)?;
        (index < files.get(number)?.chunk_count()).then(|| ChunkIndex(first + index))
    }
}

/// The first chunk of every piece.
fn pieces(manifest: &Manifest, chunks_before: &[u32]) -> Vec<u32> {
    let mut pieces = Vec::new();
    let (mut bytes, mut chunks, mut path_bytes) = (u64::MAX, 0, 0);
    for (file, first) in manifest.files().iter().zip(chunks_before) {
        for index in 0..file.chunk_count() {
            let (len, path_len) = (chunk_len(file.size, index), file.path.as_str().len());
            let is_full = bytes.saturating_add(len) > CHUNK_SIZE_BYTES
                || chunks == GET_CHUNKS_MAX
                || path_bytes + path_len > GET_CHUNKS_MAX_PATH_BYTES;
            if is_full {
                pieces.push(first + index);
                (bytes, chunks, path_bytes) = (0, 0, 0);
            }
            bytes += len;
            chunks += 1;
            path_bytes += path_len;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use lanspread_proto::GameVersion;

    use super::*;

    fn layout(files: &[(&str, u64)]) -> Layout {
        let files = files.iter().map(|(path, size)| ManifestFile {
            path: RelPath::new(*path).unwrap(),
            size: *size,
            hashes: None,
        });
        let manifest = Manifest::new(GameVersion::new("1").unwrap(), files.collect()).unwrap();
        Layout::new(Arc::new(manifest))
    }

    #[test]
    fn chunks_are_numbered_file_by_file_and_empty_files_have_none() {
        let layout = layout(&[("a", 0), ("b", CHUNK_SIZE_BYTES + 1), ("c", 0), ("d", 0), ("e", 3)]);
        assert_eq!(layout.chunk_count(), 3);
        let places: Vec<_> = (0..3)
            .map(|chunk| {
                let (place, file) = layout.location(ChunkIndex(chunk)).unwrap();
                (file.path.as_str().to_owned(), place.index, place.offset, place.len)
            })
            .collect();
        let chunk_len = u32::try_from(CHUNK_SIZE_BYTES).unwrap();
        assert_eq!(
            places,
            [
                ("b".to_owned(), 0, 0, chunk_len),
                ("b".to_owned(), 1, CHUNK_SIZE_BYTES, 1),
                ("e".to_owned(), 0, 0, 3),
            ]
        );
        assert!(layout.location(ChunkIndex(3)).is_none());
    }

    #[test]
    fn small_chunks_that_follow_each_other_are_one_piece() {
        let names: Vec<_> = (0..600).map(|n| format!("b/{n:03}")).collect();
        let mut files = vec![("a", CHUNK_SIZE_BYTES + 7), ("z", 5)];
        files.extend(names.iter().map(|name| (name.as_str(), 10)));
        let layout = layout(&files);
        let pieces: Vec<Vec<u32>> = (0..layout.piece_count())
            .map(|n| layout.chunks_of(PieceIndex(n)).map(|chunk| chunk.0).collect())
            .collect();
        // The whole chunk of `a`; its rest and 255 files; 256; 89 and `z`.
        let lens: Vec<_> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lens, [1, 256, 256, 90]);
        assert_eq!(pieces.concat(), (0..layout.chunk_count()).collect::<Vec<_>>());
        for (n, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|c| layout.piece_of(ChunkIndex(*c)).0 as usize == n));
        }
        assert_eq!(layout.chunks_of(PieceIndex(layout.piece_count())).count(), 0);
    }

    #[test]
    fn a_piece_is_bounded_in_bytes_and_in_the_length_of_its_paths() {
        let long: Vec<_> = (0..100)
            .map(|n| {
                format!(
                    "{n:03}{}",
                    "/directory-of-a-long-name-of-fifty-characters-or-so".repeat(19)
                )
            })
            .collect();
        let files: Vec<_> = long.iter().map(|name| (name.as_str(), 1)).collect();
        let by_path = layout(&files);
        assert!(by_path.chunks_of(PieceIndex(0)).count() <= GET_CHUNKS_MAX_PATH_BYTES / 950);
        let third = CHUNK_SIZE_BYTES / 3;
        let files: Vec<_> = long.iter().map(|name| (name.as_str(), third)).collect();
        assert_eq!(layout(&files).chunks_of(PieceIndex(0)).count(), 3);
    }
}
