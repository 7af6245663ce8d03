//! Sets of pieces, as small on the wire as one bit a piece.

/// Most pieces that a set can tell apart: as many as a game can have chunks, so that every game that can
/// be fetched can be shared.
pub const PIECE_SET_MAX: u32 = 1 << 19;
/// Most bytes of a set on the wire: one bit a piece.
pub const PIECE_SET_MAX_BYTES: usize = (PIECE_SET_MAX / 8) as usize;

/// Pieces, by their number among all pieces of a manifest: chunks, or several small ones.
///
/// On the wire raw bytes: the lowest bit of the first byte is piece 0. Zeros at the end are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PieceSet {
    bytes: Vec<u8>,
}

/// Bytes that are not a set of pieces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a set of pieces has {0} bytes, more than {PIECE_SET_MAX_BYTES}")]
pub struct PieceSetError(usize);

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

    /// Reads a set as it travels. Zeros at the end are taken for none.
    ///
    /// # Errors
    /// [`PieceSetError`] when it is longer than [`PIECE_SET_MAX_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PieceSetError> {
        if bytes.len() > PIECE_SET_MAX_BYTES {
            return Err(PieceSetError(bytes.len()));
        }
        Ok(Self { bytes: bytes.get(..end_of(bytes)).unwrap_or_default().to_vec() })
    }

    /// The set as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..end_of(&self.bytes)).unwrap_or_default()
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
        assert_eq!(set.as_bytes(), [0x09, 0x02]);
        assert_eq!(PieceSet::from_bytes(&[0x09, 0x02, 0, 0]).unwrap(), set);
        assert!(PieceSet::default().as_bytes().is_empty());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let mut full: PieceSet = (0..PIECE_SET_MAX).collect();
        assert!(!full.insert(PIECE_SET_MAX));
        assert_eq!(PieceSet::from_bytes(full.as_bytes()).unwrap(), full);
        let longer = [full.as_bytes(), &[0]].concat();
        assert_eq!(PieceSet::from_bytes(&longer), Err(PieceSetError(PIECE_SET_MAX_BYTES + 1)));
    }
}
