//! Start, command loop and shutdown of a peer.
//!
//! [`start_peer`] prepares everything that can fail, then hands it to one task: the command loop
//! ([`core`]). The loop owns all state that is not a file. Services and operations run beside it and
//! send it [`CoreMessage`]s; it never waits for them.

mod core;
mod downloads;
mod guard;
mod installs;
mod local_games;
mod membership;
mod messages;
mod queries;
mod removals;
mod rescans;
mod setups;
mod startup;
mod state_keeper;
mod streams;
mod supervisor;

use std::net::SocketAddr;

use lanspread_proto::PeerId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use messages::{CoreMessage, CoreSender, DiskChange, Encounter};

use crate::command::PeerCommand;
use crate::config::PeerConfig;
use crate::error::{RuntimeFailure, StartError};
use crate::event::PeerEvent;

/// Most commands that wait for the loop. It takes microseconds for each, so this is a burst.
const COMMANDS_MAX: usize = 256;

/// Starts a peer that reports to `events`.
///
/// Returns once it listens, has read its library from disk and is being advertised; hashing goes on
/// in the background. A consumer that stops receiving `events` holds up commands and membership,
/// but not what is served to others.
///
/// # Errors
/// [`StartError`] says what is not usable. Nothing is left running then.
pub async fn start_peer(
    config: PeerConfig,
    events: mpsc::Sender<PeerEvent>,
) -> Result<PeerRuntimeHandle, StartError> {
    let shutdown = CancellationToken::new();
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let core = startup::prepare(config, events, command_receiver, shutdown.clone()).await?;
    let (peer_id, listen_addr) = (core.peer_id(), core.listen_addr());
    let task = tokio::spawn(core.run());
    Ok(PeerRuntimeHandle { peer_id, listen_addr, commands, shutdown, task: Some(task) })
}

/// A running peer. Dropping the handle stops it without waiting.
#[derive(Debug)]
pub struct PeerRuntimeHandle {
    peer_id: PeerId,
    listen_addr: SocketAddr,
    commands: mpsc::Sender<PeerCommand>,
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), RuntimeFailure>>>,
}

impl PeerRuntimeHandle {
    /// Who the peer is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where the peer listens, with the real port.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// Where commands go. Sending fails once the peer has stopped.
    #[must_use]
    pub fn sender(&self) -> mpsc::Sender<PeerCommand> {
        self.commands.clone()
    }

    /// Begins a clean stop: goodbyes are said, operations are cancelled, and within 2 s all is
    /// ended. Calling it again changes nothing.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the peer has stopped; [`PeerEvent::Stopped`] was sent by then. Cancel safe.
    ///
    /// # Errors
    /// [`RuntimeFailure`] when it stopped because a required service died.
    pub async fn wait_stopped(&mut self) -> Result<(), RuntimeFailure> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let outcome = task.await;
        self.task = None;
        outcome.unwrap_or_else(|e| {
            Err(RuntimeFailure { service: "command loop", message: e.to_string() })
        })
    }
}

impl Drop for PeerRuntimeHandle {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use lanspread_archive::AutoUnpacker;
    use lanspread_catalog::{Catalog, CatalogGame};
    use lanspread_mdns::MdnsInterface;

    use super::*;

    #[tokio::test]
    async fn the_death_of_a_required_service_is_told_and_ends_the_peer() {
        let dir = tempfile::tempdir().unwrap();
        let games_dir = dir.path().join("games");
        std::fs::create_dir(&games_dir).unwrap();
        let game = CatalogGame::new("doom".parse().unwrap(), "Doom", "1".parse().unwrap());
        let config = PeerConfig {
            name: "alpha".parse().unwrap(),
            games_dir,
            state_dir: dir.path().join("state"),
            catalog: Catalog::from_games([game]).unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            network: "test".parse().unwrap(),
            network_key: None,
            mdns: MdnsInterface::Off,
            unpacker: Arc::new(AutoUnpacker::new(None)),
            stream_provider: Arc::new(AutoUnpacker::new(None)),
            max_streams: std::num::NonZeroUsize::MIN,
            auto_install: false,
            upload_limit: None,
            download_limit: None,
            ping_after: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(30),
        };
        let (sender, mut events) = mpsc::channel(100);
        let (_commands, receiver) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let core = startup::prepare(config, sender, receiver, shutdown.clone()).await.unwrap();
        let failure = RuntimeFailure { service: "QUIC server", message: "it panicked".to_owned() };
        core.core.send(CoreMessage::ServiceDied(failure)).await.unwrap();
        assert_eq!(core.run().await.unwrap_err().service, "QUIC server");
        // Whoever else works for the peer hears of it too.
        assert!(shutdown.is_cancelled());
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(event);
        }
        let [.., PeerEvent::RuntimeFailed { service, message }, PeerEvent::Stopped] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((*service, message.as_str()), ("QUIC server", "it panicked"));
    }
}
