//! Sets of pieces, as small on the wire as one bit a piece.

use serde::{Deserialize, Serialize};

/// Most pieces that a set can tell apart: those of a game of 256 GiB, which take 32 KiB as text and
/// so fit a header of 64 KiB with room for the rest.
pub const PIECE_SET_MAX: u32 = 1 << 17;

/// Pieces, by their number among all pieces of a manifest: chunks, or several small ones.
///
/// On the wire a string of hexadecimal digits: the lowest bit of the first byte is piece 0. Zeros at
/// the end are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PieceSet {
    bytes: Vec<u8>,
}

/// A string that is not a set of pieces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a set of at most {PIECE_SET_MAX} pieces, in hexadecimal digits")]
pub struct PieceSetError;

impl PieceSet {
    /// Adds a piece; returns whether it is new. One beyond [`PIECE_SET_MAX`] is not taken in.
    pub fn insert(&mut self, piece: u32) -> bool {
        let Some((at, bit)) = place(piece).filter(|_| piece < PIECE_SET_MAX) else { return false };
        if at >= self.bytes.len() {
            self.bytes.resize(at + 1, 0);
        }
        let Some(byte) = self.bytes.get_mut(at) else { return false };
        let is_new = *byte & bit == 0;
        *byte |= bit;
        is_new
    }

    /// Whether a piece is in it.
    #[must_use]
    pub fn contains(&self, piece: u32) -> bool {
        place(piece).is_some_and(|(at, bit)| self.bytes.get(at).is_some_and(|byte| byte & bit != 0))
    }

    /// How many pieces are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether no piece is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// The pieces in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..PIECE_SET_MAX).step_by(8).zip(&self.bytes).flat_map(|(first, byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }
}

impl FromIterator<u32> for PieceSet {
    fn from_iter<T: IntoIterator<Item = u32>>(pieces: T) -> Self {
        let mut set = Self::default();
        for piece in pieces {
            set.insert(piece);
        }
        set
    }
}

impl TryFrom<String> for PieceSet {
    type Error = PieceSetError;

    fn try_from(text: String) -> Result<Self, PieceSetError> {
        if text.len() > PIECE_SET_MAX as usize / 4 {
            return Err(PieceSetError);
        }
        let mut bytes = hex::decode(text).map_err(|_| PieceSetError)?;
        bytes.truncate(end_of(&bytes));
        Ok(Self { bytes })
    }
}

impl From<PieceSet> for String {
    fn from(set: PieceSet) -> Self {
        hex::encode(set.bytes.get(..end_of(&set.bytes)).unwrap_or_default())
    }
}

fn end_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn place(piece: u32) -> Option<(usize, u8)> {
    Some((usize::try_from(piece / 8).ok()?, 1 << (piece % 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_as_short_as_its_last_piece() {
        let set: PieceSet = [0, 9, 3, 9].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 9]);
        assert_eq!(set.len(), 3);
        let text = String::from(set.clone());
        assert_eq!(text, "0902");
        assert_eq!(PieceSet::try_from(text).unwrap(), set);
        assert_eq!(String::from(PieceSet::default()), "");
    }

    #[test]
    fn what_is_too_long_or_no_set_is_refused() {
        let mut full: PieceSet = (0..PIECE_SET_MAX).collect();
        assert!(!full.insert(PIECE_SET_MAX));
        let text = String::from(full);
        assert!(PieceSet::try_from(text.clone()).is_ok());
        for bad in [text + "00", "0".to_owned(), "zz".to_owned()] {
            assert_eq!(PieceSet::try_from(bad), Err(PieceSetError));
        }
    }
}
