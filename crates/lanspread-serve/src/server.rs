//! What it takes to answer the requests of other peers.

mod chunks;
mod fetching;
pub(crate) mod games;
pub(crate) mod library;
pub(crate) mod stream;

use std::sync::Arc;
use std::time::Duration;

use lanspread_net::limit::Limiter;
use lanspread_proto::GameId;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::admission::Admission;
use crate::admission::requester::Requester;
use crate::contradictions::{Contradiction, ContradictionReporter};
use crate::layout_pages::LayoutCache;
use crate::library_pages::LibraryPages;
use crate::outbound::OutboundTransfers;
use crate::published_library::PublishedLibrary;
use crate::swarm::Swarm;
use crate::unpacking::StreamService;

/// How long an asker waits for the new look of a game that has changed: less than its own patience. A
/// look takes milliseconds.
pub(crate) const LOOK_WAIT: Duration = Duration::from_secs(5);

/// What it takes to answer.
#[derive(Clone)]
pub struct Server {
    /// What may be served.
    pub library: watch::Receiver<Arc<PublishedLibrary>>,
    /// Counts what others fetch.
    pub outbound: OutboundTransfers,
    /// What is shared of games that are being fetched.
    pub swarm: Swarm,
    pub(crate) admission: Admission,
    layouts: LayoutCache,
    library_pages: LibraryPages,
    streams: StreamService,
    pub(crate) contradictions: ContradictionReporter,
}

impl Server {
    /// Makes a server that reports to `contradictions` which games are not what their manifests say.
    pub fn new(
        library: watch::Receiver<Arc<PublishedLibrary>>,
        outbound: OutboundTransfers,
        swarm: Swarm,
        upload: Limiter,
        streams: StreamService,
        contradictions: mpsc::Sender<Contradiction>,
    ) -> Self {
        let streams = streams.within(upload.limit());
        let admission = Admission::new(upload);
        let layouts = LayoutCache::new(admission.encodings.clone());
        let library_pages = LibraryPages::new(admission.encodings.clone());
        let contradictions = ContradictionReporter::new(contradictions);
        Self {
            library,
            outbound,
            swarm,
            admission,
            layouts,
            library_pages,
            streams,
            contradictions,
        }
    }

    /// Makes sure that a game whose files have changed is looked at before anybody is told what it is.
    pub(crate) async fn look_first(&self, requester: &Requester, game_id: &GameId) {
        let served = || self.library.borrow().game(game_id).cloned();
        if served().is_none() {
            return;
        }
        let look = self.admission.looks.look(requester.asker(), game_id, served);
        let Some(fingerprint) = look.await else { return };
        self.contradictions.report(game_id, None);
        let is_other = |library: &Arc<PublishedLibrary>| {
            library.game(game_id).is_none_or(|game| game.fingerprint != fingerprint)
        };
        // Who waits in vain gets what there is, and the read of it is judged again.
        let _ = timeout(LOOK_WAIT, self.library.clone().wait_for(is_other)).await;
    }
}
