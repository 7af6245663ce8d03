//! Peers on loopback for tests.

#![allow(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::expect_used, reason = "a test that meets the unexpected should panic")]

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lanspread_archive::AutoUnpacker;
use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_mdns::MdnsInterface;
use lanspread_peer::{
    ConnectError, EventReceiver, GameInfo, GameScope, PeerCommand, PeerConfig, PeerEvent, PeerInfo,
    PeerRuntimeHandle, Reply, event_channel, start_peer,
};
use lanspread_proto::{GameId, GameVersion, NetworkName, PeerId, PeerName};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for anything; a test that gets there has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const VERSION: &str = "20240131";

/// A running peer with directories of its own.
pub(crate) struct TestPeer {
    pub(crate) handle: PeerRuntimeHandle,
    pub(crate) events: EventReceiver,
    pub(crate) games_dir: PathBuf,
    pub(crate) state_dir: PathBuf,
    _dir: Arc<TempDir>,
}

pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) config: PeerConfig,
    dir: Arc<TempDir>,
}

pub(crate) fn game_id(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

/// A catalog of these games, all at [`VERSION`].
pub(crate) fn catalog(ids: &[&str]) -> Catalog {
    let version = GameVersion::new(VERSION).unwrap();
    let games = ids.iter().map(|id| CatalogGame::new(game_id(id), *id, version.clone()));
    Catalog::from_games(games).unwrap()
}

/// Writes a downloaded game: its archive bytes, and the sentinel.
pub(crate) fn write_game(games_dir: &Path, id: &str, bytes: &[u8]) {
    let root = games_dir.join(id);
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join(format!("{id}.eti")), bytes).unwrap();
    std::fs::write(root.join("version.ini"), format!("{VERSION}\n")).unwrap();
}

impl Setup {
    /// A peer with an empty games directory and a catalog of `ids`.
    pub(crate) fn new(name: &'static str, ids: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let games_dir = dir.path().join("games");
        std::fs::create_dir(&games_dir).unwrap();
        let config = PeerConfig {
            name: PeerName::new(name).unwrap(),
            games_dir,
            state_dir: dir.path().join("state"),
            catalog: catalog(ids),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            network: NetworkName::new("test").unwrap(),
            network_key: None,
            mdns: MdnsInterface::Off,
            mdns_networks: Vec::new(),
            unpacker: Arc::new(AutoUnpacker::new(None)),
            stream_provider: Arc::new(AutoUnpacker::new(None)),
            max_streams: NonZeroUsize::MIN,
            auto_install: false,
            upload_limit: None,
            download_limit: None,
            ping_after: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(30),
        };
        Self { name, config, dir }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut PeerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn with_game(self, id: &str, bytes: &[u8]) -> Self {
        write_game(&self.config.games_dir, id, bytes);
        self
    }

    pub(crate) async fn start(&self) -> TestPeer {
        let (sender, events) = event_channel();
        let handle = start_peer(self.config.clone(), sender).await.unwrap();
        TestPeer {
            handle,
            events,
            games_dir: self.config.games_dir.clone(),
            state_dir: self.config.state_dir.clone(),
            _dir: Arc::clone(&self.dir),
        }
    }
}

impl TestPeer {
    pub(crate) fn id(&self) -> PeerId {
        self.handle.peer_id()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.handle.listen_addr()
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask<T, E>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> PeerCommand,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.handle.sender().send(command(reply)).await.unwrap();
        timeout(PATIENCE, answer).await.expect("no answer in time").expect("the peer has stopped")
    }

    pub(crate) async fn connect(&self, other: &Self) -> Result<PeerId, ConnectError> {
        let addr = other.addr();
        self.ask(|reply| PeerCommand::Connect { addr, reply }).await
    }

    pub(crate) async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(|reply| PeerCommand::ListPeers { reply }).await.unwrap().value
    }

    pub(crate) async fn games(&self, scope: GameScope) -> Vec<GameInfo> {
        self.ask(|reply| PeerCommand::ListGames { scope, reply }).await.unwrap().value
    }

    /// Waits for the first event for which `pick` gives something.
    pub(crate) async fn event<T>(&mut self, mut pick: impl FnMut(&PeerEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let search = async {
            while let Some(event) = self.events.recv().await {
                if let Some(picked) = pick(&event) {
                    return Some(picked);
                }
                seen.push(event);
            }
            None
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(picked)) => picked,
            other => panic!("no such event (stopped: {}); seen: {seen:#?}", other.is_ok()),
        }
    }

    pub(crate) async fn stop(mut self) -> Vec<PeerEvent> {
        self.handle.begin_shutdown();
        timeout(PATIENCE, self.handle.wait_stopped()).await.expect("did not stop").unwrap();
        let mut events = Vec::new();
        while let Some(event) = self.events.recv().await {
            events.push(event);
        }
        events
    }
}
