//! BLAKE3 of chunks and files, in one pass.
//!
//! A chunk hash is the chaining value of the chunk's subtree in the BLAKE3 tree of its file, so
//! the file hash (what `b3sum` prints) follows from the chunk hashes without reading the file
//! again, and chunks can be hashed in any order. A file of one chunk has its file hash as its only
//! chunk hash. Source: the BLAKE3 paper, section 2.1, and `blake3::hazmat`.

use std::fmt;
use std::str::FromStr;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};

use crate::chunk::CHUNK_SIZE_BYTES;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A BLAKE3 hash or chaining value: 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash([u8; 32]);

/// A string that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a BLAKE3 hash (64 hexadecimal digits)")]
pub struct HashError(String);

impl ContentHash {
    /// The hash of nothing, which is the hash of an empty file.
    #[must_use]
    pub fn of_empty() -> Self {
        Self::of(&[])
    }

    /// The plain BLAKE3 hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ContentHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<blake3::Hash> for ContentHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = HashError;

    fn try_from(value: String) -> Result<Self, HashError> {
        value.parse()
    }
}

impl FromStr for ContentHash {
    type Err = HashError;

    fn from_str(s: &str) -> Result<Self, HashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(s, &mut bytes).map_err(|_| HashError(s.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Hashes one chunk of a file, fed in pieces.
pub struct ChunkHasher {
    hasher: blake3::Hasher,
    is_whole_file: bool,
}

impl ChunkHasher {
    /// A hasher for chunk `index` of a file of `file_size` bytes.
    #[must_use]
    pub fn new(file_size: u64, index: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        let is_whole_file = file_size <= CHUNK_SIZE_BYTES;
        if !is_whole_file {
            hasher.set_input_offset(u64::from(index) * CHUNK_SIZE_BYTES);
        }
        Self { hasher, is_whole_file }
    }

    /// Takes in the next bytes of the chunk. At most [`CHUNK_SIZE_BYTES`] in all.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The hash of the chunk.
    #[must_use]
    pub fn finish(&self) -> ContentHash {
        if self.is_whole_file {
            self.hasher.finalize().into()
        } else {
            ContentHash(self.hasher.finalize_non_root())
        }
    }
}

/// The hash of chunk `index` of a file of `file_size` bytes.
#[must_use]
pub fn chunk_hash(file_size: u64, index: u32, bytes: &[u8]) -> ContentHash {
    let mut hasher = ChunkHasher::new(file_size, index);
    hasher.update(bytes);
    hasher.finish()
}

/// The hash of a file from the hashes of its chunks, in order.
///
/// An empty file has no chunks and the hash of nothing.
#[must_use]
pub fn file_hash(chunks: &[[u8; HASH_BYTES]]) -> ContentHash {
    match chunks {
        [] => ContentHash::of_empty(),
        [only] => ContentHash(*only),
        _ => {
            let (left, right) = split_tree(chunks);
            merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).into()
        }
    }
}

fn subtree(chunks: &[[u8; HASH_BYTES]]) -> [u8; HASH_BYTES] {
    if let [only] = chunks {
        return *only;
    }
    let (left, right) = split_tree(chunks);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// Splits as BLAKE3 does: the left side is the largest power of two that leaves something right.
fn split_tree(chunks: &[[u8; HASH_BYTES]]) -> (&[[u8; HASH_BYTES]], &[[u8; HASH_BYTES]]) {
    let left = (chunks.len().max(2)).next_power_of_two() / 2;
    chunks.split_at(left.min(chunks.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn file_hash_from_chunks_is_the_plain_blake3_hash() {
        let chunk = usize::try_from(CHUNK_SIZE_BYTES).unwrap();
        for len in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 7, 5 * chunk] {
            let bytes = pattern(len);
            let size = len as u64;
            let chunks: Vec<_> = bytes
                .chunks(chunk)
                .enumerate()
                .map(|(i, part)| *chunk_hash(size, u32::try_from(i).unwrap(), part).as_bytes())
                .collect();
            assert_eq!(file_hash(&chunks), ContentHash::of(&bytes), "{len} bytes");
        }
    }

    #[test]
    fn a_chunk_at_another_place_has_another_hash() {
        let bytes = pattern(100);
        let size = 2 * CHUNK_SIZE_BYTES + 100;
        assert_ne!(chunk_hash(size, 0, &bytes), chunk_hash(size, 2, &bytes));
    }

    #[test]
    fn text_form_round_trips_and_refuses_other_text() {
        let hash = ContentHash::of(b"x");
        assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
        assert!("abc".parse::<ContentHash>().is_err());
        assert!("z".repeat(64).parse::<ContentHash>().is_err());
    }
}
