//! What it takes to answer the requests of other peers.

mod chunks;
mod games;
mod library;
mod stream;

#[cfg(test)]
pub(crate) use games::ASKER_CHECK;

use std::sync::Arc;
use std::time::Duration;

use lanspread_library::looks_like;
use lanspread_net::limit::Limiter;
use lanspread_proto::GameId;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::admission::send_slots::SendSlots;
use crate::admission::super_seeding::SuperSeeding;
use crate::contradictions::{Contradiction, Doubts};
use crate::layout_pages::LayoutCache;
use crate::library_pages::LibraryPages;
use crate::outbound::OutboundTransfers;
use crate::swarm::Swarm;
use crate::unpacking::StreamService;
use crate::view::{ServedGame, View};

/// What is sent at once under a limit: it goes out evenly, and who is sent something at the same time
/// gets as much of it.
const PACED_BYTES: usize = 32 * 1024;
/// How long an asker waits for the new look of a game that has changed: less than its own patience. A
/// look takes milliseconds.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// What it takes to answer.
#[derive(Clone)]
pub struct Server {
    /// What may be served.
    pub view: watch::Receiver<Arc<View>>,
    /// Counts what others fetch.
    pub outbound: OutboundTransfers,
    /// What is shared of games that are being fetched.
    pub swarm: Swarm,
    upload: Limiter,
    super_seeding: SuperSeeding,
    slots: SendSlots,
    pages: LayoutCache,
    libraries: LibraryPages,
    streams: StreamService,
    pub(crate) doubts: Doubts,
}

impl Server {
    /// Makes a server that tells `contradictions` which games are not what their manifests say.
    pub fn new(
        view: watch::Receiver<Arc<View>>,
        outbound: OutboundTransfers,
        swarm: Swarm,
        upload: Limiter,
        streams: StreamService,
        contradictions: mpsc::Sender<Contradiction>,
    ) -> Self {
        let slots = SendSlots::new(upload.limit());
        let (super_seeding, doubts) = (SuperSeeding::new(), Doubts::new(contradictions));
        let pages = LayoutCache::new();
        let libraries = LibraryPages::new(pages.encodings());
        Self {
            view,
            outbound,
            swarm,
            upload,
            super_seeding,
            slots,
            pages,
            libraries,
            streams,
            doubts,
        }
    }

    /// Makes sure that a game whose files have changed is looked at before anybody is told what it is.
    pub(crate) async fn look_first(&self, game_id: &GameId) {
        let served = self.view.borrow().game(game_id).cloned();
        let Some(ServedGame { root, fingerprint, .. }) = served else { return };
        // It is never closed.
        let permit = self.doubts.looks.acquire().await;
        let seen = fingerprint.clone();
        let is_as_known = tokio::task::spawn_blocking(move || looks_like(&root, &seen)).await;
        drop(permit);
        if is_as_known.unwrap_or(true) {
            return;
        }
        self.doubts.tell(game_id, None);
        let is_other = |view: &Arc<View>| {
            view.game(game_id).is_none_or(|game| game.fingerprint != fingerprint)
        };
        // Who waits in vain gets what there is, and the read of it is judged again.
        let _ = timeout(LOOK_WAIT, self.view.clone().wait_for(is_other)).await;
    }
}
