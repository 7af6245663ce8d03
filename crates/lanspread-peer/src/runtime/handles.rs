//! What every handler of the command loop may use: settings, channels and shared services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_archive::Unpacker;
use lanspread_catalog::Catalog;
use lanspread_disk::free_space::FreeSpace;
use lanspread_net::handshake::LocalPeer;
use lanspread_net::limit::Limiter;
use lanspread_net::transport::Dialer;
use lanspread_serve::Server;

use super::event_log::EventLog;
use super::manifest_cache::ManifestCache;
use super::tasks::Tasks;
use crate::event::PeerEvent;
use crate::event_channel::EventSender;
use crate::info::AsOf;
use crate::messages::InboxSender;
use crate::services::sightings::Sightings;

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
    pub(super) log: EventLog,
    pub(super) tasks: Tasks,
}

impl Handles {
    /// Logs an event and sends it to whoever started the peer. Never waits.
    pub(super) fn emit(&self, event: PeerEvent) {
        self.log.write(&event);
        self.events.emit(event);
    }

    /// Runs a task that ends with the peer at the latest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns an answer with the number of events that it follows. The command loop sends all events,
    /// so they have one order.
    pub(super) fn as_of<T>(&self, value: T) -> AsOf<T> {
        AsOf { events: self.events.emitted(), value }
    }
}
