//! The hashes of one file and of its chunks.

use bytes::{Bytes, BytesMut};

use crate::hash::{ContentHash, HASH_BYTES, file_hash};

/// The hashes of one file. The file hash is what `b3sum` prints.
///
/// A part of the hashes of the whole game, which lie in one piece of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHashes(Bytes);

impl FileHashes {
    /// The hashes of a file whose chunks have `chunks`, in order.
    #[must_use]
    pub fn from_chunks(chunks: impl IntoIterator<Item = ContentHash>) -> Self {
        let mut bytes = BytesMut::new();
        chunks.into_iter().for_each(|chunk| bytes.extend_from_slice(chunk.as_bytes()));
        Self(bytes.freeze())
    }

    /// The hashes of a file whose chunks have `chunks`, one behind the other; `None` if they are not
    /// whole.
    #[must_use]
    pub fn from_bytes(chunks: Bytes) -> Option<Self> {
        chunks.len().is_multiple_of(HASH_BYTES).then_some(Self(chunks))
    }

    /// The BLAKE3 hash of the whole file. Follows from those of its chunks.
    #[must_use]
    pub fn file(&self) -> ContentHash {
        file_hash(self.0.as_chunks().0)
    }

    /// The hash of each chunk, in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ContentHash> + '_ {
        self.0.as_chunks::<HASH_BYTES>().0.iter().map(|hash| ContentHash::from(*hash))
    }

    /// The hash of one chunk; `None` beyond the last one.
    #[must_use]
    pub fn chunk(&self, index: u32) -> Option<ContentHash> {
        let index = usize::try_from(index).ok()?;
        self.0.as_chunks::<HASH_BYTES>().0.get(index).map(|hash| ContentHash::from(*hash))
    }

    /// The hashes of the chunks, one behind the other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
