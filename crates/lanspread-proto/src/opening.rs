//! What a peer that fetches a game tells others that fetch it.

use bytes::Bytes;

use crate::message::Fetching;
use crate::piece_set::PieceSetError;
use crate::{ContentHash, GameId, PieceSet};

/// What a peer that fetches a game has of it. A piece is a chunk, or several small ones that follow each
/// other; which ones follows from the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Which game.
    pub game_id: GameId,
    /// Of what it fetches, which is decided.
    pub manifest_hash: ContentHash,
    /// The content root of it.
    pub content_root: ContentHash,
    /// The pieces that it has verified and gives to others.
    pub have: PieceSet,
    /// The pieces that it is asking those for that have the whole game, or is about to store.
    pub asking: Vec<u32>,
}

impl Opening {
    /// The message that tells it, and the bytes behind it.
    #[must_use]
    pub fn encode(&self) -> (Fetching, Bytes) {
        let Self { game_id, manifest_hash, content_root, have, asking } = self.clone();
        let bytes = Bytes::copy_from_slice(have.as_bytes());
        // At most `PIECE_SET_MAX_BYTES`.
        let have_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        (Fetching { game_id, manifest_hash, content_root, have_bytes, asking }, bytes)
    }

    /// Reads what a peer told.
    ///
    /// # Errors
    /// [`PieceSetError`] when it is no set of pieces.
    pub fn decode(told: Fetching, have: &[u8]) -> Result<Self, PieceSetError> {
        let Fetching { game_id, manifest_hash, content_root, asking, .. } = told;
        let have = PieceSet::from_bytes(have)?;
        Ok(Self { game_id, manifest_hash, content_root, have, asking })
    }
}
