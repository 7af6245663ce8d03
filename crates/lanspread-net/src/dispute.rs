//! Sources that disagree on what a game is.

use std::net::SocketAddr;

use lanspread_proto::{ContentHash, GameId, PeerId};

/// No content of a game has more than half of the addresses of its sources, and no root is stated.
/// Cloneable, since event and answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no content of {game_id} has more than half of the addresses of its sources")]
pub struct ContentDispute {
    /// Which game.
    pub game_id: GameId,
    /// What there is to choose from, the content that most addresses are for first.
    pub candidates: Vec<Candidate>,
}

/// A content that sources say a game has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its root; `None` where its sources have not hashed it.
    pub content_root: Option<ContentHash>,
    /// Its bytes, where they are known.
    pub bytes: Option<u64>,
    /// The sources that say so, in peer id order.
    pub sources: Vec<CandidateSource>,
}

/// A source of a [`Candidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateSource {
    /// Who it is.
    pub peer_id: PeerId,
    /// Where it listens, as far as that is known.
    pub addr: Option<SocketAddr>,
}
