//! A peer that a crash test drives.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanspread_archive::AutoUnpacker;
use lanspread_mdns::MdnsInterface;
use lanspread_proto::reserved::TRASH_PREFIX;
use lanspread_proto::{NetworkName, PeerId, PeerName};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::world::{QUAKE, catalog, game_id};
use crate::{
    CommandError, EventReceiver, GameDetails, PeerCommand, PeerConfig, PeerEvent,
    PeerRuntimeHandle, Reply, StartError, event_channel, start_peer,
};

/// Longest wait for anything; a test that gets there has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Peer {
    handle: PeerRuntimeHandle,
    events: EventReceiver,
}

/// A peer of these directories.
pub(super) fn config(games_dir: PathBuf, state_dir: PathBuf) -> PeerConfig {
    PeerConfig {
        name: PeerName::new("crash-test").unwrap(),
        games_dir,
        state_dir,
        catalog: catalog(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        network: NetworkName::new("crash-test").unwrap(),
        network_key: None,
        mdns: MdnsInterface::Off,
        mdns_networks: Vec::new(),
        unpacker: Arc::new(AutoUnpacker::new(None)),
        stream_provider: Arc::new(AutoUnpacker::new(None)),
        max_streams: NonZeroUsize::MIN,
        auto_install: false,
        upload_limit: None,
        download_limit: None,
        // Victims die by the hundred, and none says goodbye.
        ping_after: Duration::from_secs(3),
        peer_timeout: Duration::from_secs(12),
    }
}

impl Peer {
    pub(super) async fn start(config: PeerConfig) -> Result<Self, StartError> {
        let (sender, events) = event_channel();
        Ok(Self { handle: start_peer(config, sender).await?, events })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.handle.listen_addr()
    }

    pub(super) async fn ask<T, E>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> PeerCommand,
    ) -> Result<T, E> {
        self.send(command).await.get().await
    }

    /// Sends a command of which the answer comes later.
    pub(super) async fn send<T, E>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> PeerCommand,
    ) -> Answer<T, E> {
        let (reply, answer) = oneshot::channel();
        self.handle.sender().send(command(reply)).await.unwrap();
        Answer(answer)
    }

    /// Who the peer is, and at which revision its library.
    pub(super) async fn identity(&self) -> (PeerId, u64) {
        let status = self.ask(|reply| PeerCommand::Status { reply }).await.unwrap().value;
        (status.peer_id, status.library_rev)
    }

    /// Whether nothing is being done with any game.
    pub(super) async fn is_idle(&self) -> bool {
        let status = self.ask(|reply| PeerCommand::Status { reply }).await.unwrap().value;
        status.active_operations.is_empty()
    }

    pub(super) async fn connect(&self, addr: SocketAddr) {
        self.ask(|reply| PeerCommand::Connect { addr, reply }).await.unwrap();
    }

    pub(super) async fn download(&self) -> Result<(), CommandError> {
        let (game_id, install, wait) = (game_id(QUAKE), Some(false), true);
        self.ask(|reply| PeerCommand::Download {
            game_id,
            content_root: None,
            install,
            wait,
            reply,
        })
        .await
        .map(drop)
    }

    pub(super) async fn update(&self, install: bool) -> Result<(), CommandError> {
        let (game_id, install, wait) = (game_id(QUAKE), Some(install), true);
        self.ask(|reply| PeerCommand::Update { game_id, content_root: None, install, wait, reply })
            .await
            .map(drop)
    }

    pub(super) async fn install(&self) -> Result<(), CommandError> {
        self.ask(|reply| PeerCommand::Install { game_id: game_id(QUAKE), wait: true, reply }).await
    }

    pub(super) async fn uninstall(&self) -> Result<(), CommandError> {
        let game_id = game_id(QUAKE);
        self.ask(|reply| PeerCommand::Uninstall { game_id, wait: true, reply }).await
    }

    pub(super) async fn remove(&self) -> Result<(), CommandError> {
        let game_id = game_id(QUAKE);
        self.ask(|reply| PeerCommand::Remove { game_id, wait: true, reply }).await
    }

    pub(super) async fn game(&self, id: &str) -> GameDetails {
        let game_id = game_id(id);
        self.ask(|reply| PeerCommand::GetGame { game_id, reply }).await.unwrap().value
    }

    /// What the peer knows of a game on this disk, once all of that is hashed.
    pub(super) async fn hashed_game(&mut self, id: &str) -> GameDetails {
        loop {
            let details = self.game(id).await;
            let is_hashed =
                details.manifest.as_ref().is_none_or(|manifest| manifest.content_root().is_some());
            // Of a game that is not at the catalog's version nothing is ever announced.
            if is_hashed || details.game.version.as_ref() != Some(&details.game.expected_version) {
                return details;
            }
            let changed = timeout(PATIENCE, self.events.recv()).await;
            assert!(matches!(changed, Ok(Some(_))), "{id} is not hashed in time");
        }
    }

    /// Waits until nothing is left of what the start has found to delete. Nobody tells of that
    /// end. Does not wait any more when `is_over`.
    pub(super) async fn wait_until_trash_is_gone(&self, is_over: fn() -> bool) {
        let status = self.ask(|reply| PeerCommand::Status { reply }).await.unwrap();
        let is_left = || {
            let mut names = fs::read_dir(&status.value.games_dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.any(|name| name.starts_with(TRASH_PREFIX))
        };
        let began = Instant::now();
        while is_left() && !is_over() && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets it run for others. What it tells is taken and dropped: a peer to which nobody listens
    /// comes to a halt.
    pub(super) fn leave_running(self) -> PeerRuntimeHandle {
        let Self { handle, mut events } = self;
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        handle
    }

    /// Ends the peer and returns what it has told since it was asked last.
    pub(super) async fn stop(mut self) -> Vec<PeerEvent> {
        self.handle.begin_shutdown();
        timeout(PATIENCE, self.handle.wait_stopped()).await.expect("did not stop").unwrap();
        let mut events = Vec::new();
        while let Some(event) = self.events.recv().await {
            events.push(event);
        }
        events
    }
}

/// An answer that is still to come.
pub(super) struct Answer<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E> Answer<T, E> {
    pub(super) async fn get(self) -> Result<T, E> {
        timeout(PATIENCE, self.0).await.expect("no answer in time").expect("the peer has stopped")
    }
}
