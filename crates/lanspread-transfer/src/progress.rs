//! How far a download is, and what each source gave.

use std::sync::Arc;

use lanspread_proto::{GameId, PeerId};

/// How much one source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBytes {
    /// Who.
    pub peer_id: PeerId,
    /// Verified bytes.
    pub bytes: u64,
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadProgress {
    /// Which game.
    pub game_id: GameId,
    /// Verified bytes on disk.
    pub bytes_done: u64,
    /// Bytes of the whole game.
    pub bytes_total: u64,
    /// Speed over the last second.
    pub bytes_per_second: u64,
    /// How many sources a chunk is being asked of.
    pub active_peers: usize,
    /// What each source gave so far, in peer id order.
    pub sources: Arc<[SourceBytes]>,
}
