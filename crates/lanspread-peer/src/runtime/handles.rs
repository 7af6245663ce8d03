//! What every handler of the command loop may use: settings, channels and shared services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lanspread_archive::Unpacker;
use lanspread_catalog::Catalog;
use lanspread_disk::free_space::FreeSpace;
use lanspread_net::handshake::LocalPeer;
use lanspread_net::limit::Limiter;
use lanspread_net::transport::Dialer;
use lanspread_serve::Server;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::manifest_cache::ManifestCache;
use super::tasks::Tasks;
use crate::event::PeerEvent;
use crate::info::{AsOf, OtherVersionPeer};
use crate::messages::InboxSender;
use crate::services::sightings::Sightings;

/// How many problems of one game the log names; the event has more of them.
const PROBLEMS_LOGGED_MAX: usize = 20;

/// How many peers of other versions the log names; the event has more of them.
const VERSIONS_LOGGED_MAX: usize = 8;

/// Handles that stay as they are while the peer runs. What lies behind them is shared with tasks.
pub(super) struct Handles {
    pub(super) me: LocalPeer,
    pub(super) listen_addr: SocketAddr,
    pub(super) state_dir: PathBuf,
    pub(super) catalog: Arc<Catalog>,
    pub(super) unpacker: Arc<dyn Unpacker>,
    pub(super) auto_install: bool,
    /// The limit that all downloads share.
    pub(super) download_limiter: Limiter,
    /// The disk space that operations have reserved.
    pub(super) free_space: FreeSpace,
    pub(super) dialer: Arc<dyn Dialer>,
    pub(super) server: Server,
    /// The manifest of a game that somebody asks about.
    pub(super) manifest_cache: ManifestCache,
    pub(super) inbox_sender: InboxSender,
    /// What mDNS tells.
    pub(super) sightings: Arc<Sightings>,
    pub(super) events: EventSender,
    pub(super) tasks: Tasks,
}

impl Handles {
    /// Sends an event as [`EventSender::emit`] does.
    pub(super) async fn emit(&self, event: PeerEvent) {
        self.events.emit(event).await;
    }

    /// Runs a task that ends with the peer at the latest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns an answer with the number of events that it follows. The command loop sends all events,
    /// so they have one order.
    pub(super) fn as_of<T>(&self, value: T) -> AsOf<T> {
        AsOf { events: self.events.sent.load(Ordering::Relaxed), value }
    }
}

/// Reports to whoever started the peer.
pub(super) struct EventSender {
    sender: mpsc::Sender<PeerEvent>,
    sent: AtomicU64,
    /// Cancelled when the peer is to stop.
    shutdown: CancellationToken,
}

impl EventSender {
    pub(super) fn new(sender: mpsc::Sender<PeerEvent>, shutdown: CancellationToken) -> Self {
        Self { sender, sent: AtomicU64::new(0), shutdown }
    }

    /// Sends an event. Waits while the channel is full, unless the peer is to stop: a consumer that
    /// does not take events must not keep it from that.
    pub(super) async fn emit(&self, event: PeerEvent) {
        log(&event);
        tokio::select! {
            biased;
            // A consumer that is gone has nothing to learn.
            room = self.sender.reserve() => {
                if let Ok(room) = room {
                    room.send(event);
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Sends the last event. Waits while the channel is full.
    pub(super) async fn emit_last(&self) {
        // A consumer that is gone has nothing to learn.
        let _ = self.sender.send(PeerEvent::Stopped).await;
    }
}

/// Writes what happened to the log: what a person looks for at `info`, the rest at `debug`.
fn log(event: &PeerEvent) {
    match event {
        PeerEvent::DownloadProgress(_)
        | PeerEvent::InstallProgress { .. }
        | PeerEvent::VerifyProgress { .. }
        | PeerEvent::StreamInstallProgress(_) => {
            tracing::trace!(?event);
        }
        PeerEvent::PeerUpdated(_)
        | PeerEvent::PeerCountUpdated { .. }
        | PeerEvent::GamesListUpdated { .. }
        | PeerEvent::LocalGamesUpdated { .. }
        | PeerEvent::OutboundTransferCountChanged { .. } => tracing::debug!(?event),
        PeerEvent::PeersOfOtherVersion(peers) if peers.is_empty() => {
            tracing::info!("no peer speaks another version of the protocol any more");
        }
        PeerEvent::PeersOfOtherVersion(peers) => {
            for OtherVersionPeer { name, addr, proto_ver } in peers.iter().take(VERSIONS_LOGGED_MAX)
            {
                tracing::warn!(?name, %addr, ?proto_ver, "a peer speaks another version of the protocol");
            }
            if let Some(more @ 1..) = peers.len().checked_sub(VERSIONS_LOGGED_MAX) {
                tracing::warn!(more, "more peers speak another version of the protocol");
            }
        }
        PeerEvent::IdentityConflict { peer_id, addrs, .. } => {
            tracing::warn!(%peer_id, ?addrs, "two running peers have the same identity");
        }
        PeerEvent::MdnsFailed { message } => {
            tracing::warn!(message, "peers cannot be found by mDNS; it is tried again");
        }
        PeerEvent::GameIncomplete { game_id, problems } => {
            for problem in problems.told.iter().take(PROBLEMS_LOGGED_MAX) {
                tracing::warn!(%game_id, "the game is not shared, because it is not whole: {problem}");
            }
            let count = problems.count;
            tracing::warn!(%game_id, count, "the game is not shared until that is put right");
        }
        _ => tracing::info!(?event),
    }
}
