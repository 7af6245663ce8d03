//! The chunks of a manifest in the order in which they are fetched.

use std::sync::Arc;

use lanspread_proto::manifest::{VERSION_FILE, chunk_len};
use lanspread_proto::{CHUNK_SIZE_BYTES, Manifest, ManifestFile};

/// Most chunks of one download, so that a source cannot make us keep books without end.
///
/// Twice what fits a manifest with all its hashes (16 MiB at 64 hexadecimal digits a chunk), which
/// is about a terabyte; without hashes a manifest could claim any size.
pub(crate) const DOWNLOAD_MAX_CHUNKS: u32 = 1 << 19;

/// The place of a chunk among all chunks of a manifest: file by file in path order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkIndex(pub(crate) u32);

/// Where the bytes of a chunk belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    /// The position of the file in the manifest.
    pub(crate) file: usize,
    /// Which chunk of the file, from 0.
    pub(crate) index: u32,
    /// Where in the file it begins, in bytes.
    pub(crate) offset: u64,
    /// How many bytes it has; never 0.
    pub(crate) len: u32,
}

/// A manifest seen as one sequence of chunks.
#[derive(Debug)]
pub(crate) struct Layout {
    manifest: Arc<Manifest>,
    /// For each file the number of chunks before it.
    chunks_before: Vec<u32>,
    chunk_count: u32,
}

impl Layout {
    /// Numbers the chunks of `manifest`; `None` when it has more than [`DOWNLOAD_MAX_CHUNKS`].
    pub(crate) fn new(manifest: Arc<Manifest>) -> Option<Self> {
        let mut chunks_before = Vec::with_capacity(manifest.files().len());
        let mut chunk_count = 0_u32;
        for file in manifest.files() {
            chunks_before.push(chunk_count);
            chunk_count = chunk_count
                .checked_add(file.chunk_count())
                .filter(|count| *count <= DOWNLOAD_MAX_CHUNKS)?;
        }
        Some(Self { manifest, chunks_before, chunk_count })
    }

    /// Whether `manifest` has at most [`DOWNLOAD_MAX_CHUNKS`] chunks.
    pub(crate) fn is_bounded(manifest: &Manifest) -> bool {
        let chunks = manifest.files().iter().map(|file| u64::from(file.chunk_count()));
        chunks.sum::<u64>() <= u64::from(DOWNLOAD_MAX_CHUNKS)
    }

    /// The manifest; only its paths and sizes are to be relied on.
    pub(crate) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// How many chunks there are.
    pub(crate) fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// Where a chunk belongs, and the file that it is part of; `None` beyond the last chunk.
    pub(crate) fn place(&self, chunk: ChunkIndex) -> Option<(ChunkPlace, &ManifestFile)> {
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
        Some((ChunkPlace { file, index, offset, len }, manifest_file))
    }

    /// The number of the first chunk of a file, or of the next file that has one.
    pub(crate) fn first_of(&self, file: usize) -> Option<u32> {
        self.chunks_before.get(file).copied()
    }

    /// Whether a chunk belongs to the sentinel, which is written last of all.
    pub(crate) fn is_sentinel(&self, chunk: ChunkIndex) -> bool {
        self.place(chunk).is_some_and(|(_, file)| file.path.as_str() == VERSION_FILE)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::{GameVersion, RelPath};

    use super::*;

    fn layout(files: &[(&str, u64)]) -> Option<Layout> {
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
        let layout = layout(&[
            ("a", 0),
            ("b", CHUNK_SIZE_BYTES + 1),
            ("c", 0),
            ("d", 0),
            ("version.ini", 3),
        ])
        .unwrap();
        assert_eq!(layout.chunk_count(), 3);
        let places: Vec<_> = (0..3)
            .map(|chunk| {
                let (place, file) = layout.place(ChunkIndex(chunk)).unwrap();
                (file.path.as_str().to_owned(), place.index, place.offset, place.len)
            })
            .collect();
        let chunk_len = u32::try_from(CHUNK_SIZE_BYTES).unwrap();
        assert_eq!(
            places,
            [
                ("b".to_owned(), 0, 0, chunk_len),
                ("b".to_owned(), 1, CHUNK_SIZE_BYTES, 1),
                ("version.ini".to_owned(), 0, 0, 3),
            ]
        );
        assert!(layout.place(ChunkIndex(3)).is_none());
        assert!(layout.is_sentinel(ChunkIndex(2)));
        assert!(!layout.is_sentinel(ChunkIndex(1)));
    }

    #[test]
    fn a_manifest_of_absurd_size_is_refused() {
        let most = u64::from(DOWNLOAD_MAX_CHUNKS) * CHUNK_SIZE_BYTES;
        assert!(layout(&[("a", most)]).is_some());
        assert!(layout(&[("a", most), ("b", 1)]).is_none());
    }
}
