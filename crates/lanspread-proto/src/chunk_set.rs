//! Sets of chunks, as small on the wire as one bit a chunk.

use serde::{Deserialize, Serialize};

/// Most chunks that a set can tell apart: those of a game of 256 GiB, which take 32 KiB as text and
/// so fit a header of 64 KiB with room for the rest.
pub const CHUNK_SET_MAX: u32 = 1 << 17;

/// Chunks, by their number among all chunks of a manifest.
///
/// On the wire a string of hexadecimal digits: the lowest bit of the first byte is chunk 0. Zeros at
/// the end are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkSet {
    bytes: Vec<u8>,
}

/// A string that is not a set of chunks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a set of at most {CHUNK_SET_MAX} chunks, in hexadecimal digits")]
pub struct ChunkSetError;

impl ChunkSet {
    /// Adds a chunk; returns whether it is new. One beyond [`CHUNK_SET_MAX`] is not taken in.
    pub fn insert(&mut self, chunk: u32) -> bool {
        let Some((at, bit)) = place(chunk).filter(|_| chunk < CHUNK_SET_MAX) else { return false };
        if at >= self.bytes.len() {
            self.bytes.resize(at + 1, 0);
        }
        let Some(byte) = self.bytes.get_mut(at) else { return false };
        let is_new = *byte & bit == 0;
        *byte |= bit;
        is_new
    }

    /// Whether a chunk is in it.
    #[must_use]
    pub fn contains(&self, chunk: u32) -> bool {
        place(chunk).is_some_and(|(at, bit)| self.bytes.get(at).is_some_and(|byte| byte & bit != 0))
    }

    /// How many chunks are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether no chunk is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// The chunks in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..CHUNK_SET_MAX).step_by(8).zip(&self.bytes).flat_map(|(first, byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }
}

impl FromIterator<u32> for ChunkSet {
    fn from_iter<T: IntoIterator<Item = u32>>(chunks: T) -> Self {
        let mut set = Self::default();
        for chunk in chunks {
            set.insert(chunk);
        }
        set
    }
}

impl TryFrom<String> for ChunkSet {
    type Error = ChunkSetError;

    fn try_from(text: String) -> Result<Self, ChunkSetError> {
        if text.len() > CHUNK_SET_MAX as usize / 4 {
            return Err(ChunkSetError);
        }
        let mut bytes = hex::decode(text).map_err(|_| ChunkSetError)?;
        bytes.truncate(end_of(&bytes));
        Ok(Self { bytes })
    }
}

impl From<ChunkSet> for String {
    fn from(set: ChunkSet) -> Self {
        hex::encode(set.bytes.get(..end_of(&set.bytes)).unwrap_or_default())
    }
}

fn end_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn place(chunk: u32) -> Option<(usize, u8)> {
    Some((usize::try_from(chunk / 8).ok()?, 1 << (chunk % 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_as_short_as_its_last_chunk() {
        let set: ChunkSet = [0, 9, 3, 9].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 9]);
        assert_eq!(set.len(), 3);
        let text = String::from(set.clone());
        assert_eq!(text, "0902");
        assert_eq!(ChunkSet::try_from(text).unwrap(), set);
        assert_eq!(String::from(ChunkSet::default()), "");
    }

    #[test]
    fn what_is_too_long_or_no_set_is_refused() {
        let mut full: ChunkSet = (0..CHUNK_SET_MAX).collect();
        assert!(!full.insert(CHUNK_SET_MAX));
        let text = String::from(full);
        assert!(ChunkSet::try_from(text.clone()).is_ok());
        for bad in [text + "00", "0".to_owned(), "zz".to_owned()] {
            assert_eq!(ChunkSet::try_from(bad), Err(ChunkSetError));
        }
    }
}
