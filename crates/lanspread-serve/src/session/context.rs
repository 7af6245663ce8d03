//! What a session works with, and what it tells whoever keeps account of the peers.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lanspread_catalog::Catalog;
use lanspread_library::RemoteDelta;
use lanspread_net::link::PeerLink;
use lanspread_proto::GameId;

use super::pace::Pace;
use crate::server::Server;

/// What it takes to look after connections.
#[derive(Clone)]
pub struct SessionContext {
    /// Answers requests.
    pub server: Server,
    /// Says which games of other libraries are known.
    pub catalog: Arc<Catalog>,
    /// Hears what peers tell.
    pub observer: Arc<dyn SessionObserver>,
    /// How often they may tell it.
    pub pace: Pace,
}

/// What a session tells whoever keeps account of the peers.
#[derive(Debug)]
pub enum SessionEvent {
    /// A peer told what changed in its library.
    Delta(RemoteDelta),
    /// A peer said that it is leaving.
    Goodbye,
    /// A peer waits for the hashes of a game.
    HashesWanted(GameId),
    /// The connection is gone.
    Ended {
        /// Whether the other side knows another peer with the identity of this one.
        is_conflict: bool,
    },
}

/// Hears of what happens in sessions.
pub trait SessionObserver: Send + Sync {
    /// Takes in an event of the session of `link`. A request is confirmed after this returns.
    fn on_session_event(&self, link: &PeerLink, event: SessionEvent) -> BoxFuture<'static, ()>;
}
