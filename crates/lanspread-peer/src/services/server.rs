//! Accepts peers that dial. Required: without it nobody can fetch from this peer.

use std::sync::Arc;

use lanspread_net::handshake::{self, HandshakeError, LocalPeer};
use lanspread_net::transport::Listener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::messages::{Encounter, InboxMessage, InboxSender};

/// Most handshakes at a time. Each may hold a header of 64 KiB before its sender is known, which is 2 MiB;
/// real ones take milliseconds, so that fifty peers that arrive at once wait for no one long.
const HANDSHAKES_MAX: usize = 32;

/// Runs until cancelled.
///
/// # Errors
/// A message when the listener is dead.
pub(crate) async fn run(
    mut listener: Box<dyn Listener>,
    me: LocalPeer,
    inbox_sender: InboxSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let tasks = TaskTracker::new();
    loop {
        let opened = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            opened = listener.accept() => opened,
        };
        let Some(opened) = opened else {
            return Err("the QUIC endpoint stopped accepting".to_owned());
        };
        // Closed semaphores do not occur: nobody closes this one.
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return Ok(()) };
        let (me, inbox_sender, cancel) = (me.clone(), inbox_sender.clone(), cancel.clone());
        tasks.spawn(cancel.run_until_cancelled_owned(async move {
            let addr = opened.connection.remote_addr();
            let outcome = handshake::accept(opened, &me).await;
            drop(permit);
            if let Err(HandshakeError::Unreachable(unreachable)) = &outcome {
                let reason = unreachable.to_string();
                tracing::debug!(%addr, reason, "an incoming handshake broke off");
                return;
            }
            let message = InboxMessage::HandshakeEnded(Encounter { addr, dial: None, outcome });
            // The loop is gone only when the whole runtime is.
            let _ = inbox_sender.send(message).await;
        }));
    }
}
