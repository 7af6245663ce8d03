//! The handle of a running peer.

use std::net::SocketAddr;

use lanspread_proto::PeerId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::command::PeerCommand;
use crate::error::RuntimeFailure;

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
    pub(crate) fn new(
        peer_id: PeerId,
        listen_addr: SocketAddr,
        commands: mpsc::Sender<PeerCommand>,
        shutdown: CancellationToken,
        task: JoinHandle<Result<(), RuntimeFailure>>,
    ) -> Self {
        Self { peer_id, listen_addr, commands, shutdown, task: Some(task) }
    }

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

    /// Waits until the peer has stopped; [`crate::PeerEvent::Stopped`] was sent by then. Cancel safe.
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
