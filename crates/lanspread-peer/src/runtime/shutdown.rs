//! The end of a peer: what is told to stop, in which order, and how long each step may take.

use std::time::Duration;

use lanspread_net::links::LinkTable;
use lanspread_net::transport::CloseCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::state_keeper::StateDir;
use super::tasks::Tasks;
use crate::event::PeerEvent;
use crate::event_channel::EventSender;
use crate::messages::InboxMessage;

/// How long goodbyes may take at the end. They take milliseconds; who does not answer is gone.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long tasks may take to end after that.
const TASKS_TIMEOUT: Duration = Duration::from_millis(1_200);

/// What has to end before the peer has stopped.
pub(super) struct Shutdown {
    tasks: Tasks,
    /// Held until nothing writes any more.
    state_dir_lock: StateDir,
}

impl Shutdown {
    pub(super) fn new(tasks: Tasks, state_dir_lock: StateDir) -> Self {
        Self { tasks, state_dir_lock }
    }

    /// Returns the token that is cancelled when the peer is to stop.
    pub(super) fn requested(&self) -> CancellationToken {
        self.tasks.shutdown.clone()
    }

    /// Says goodbye, ends all tasks and reports the end. Commands that have no answer yet get none:
    /// their reply is dropped.
    pub(super) async fn finish(
        self,
        links: &LinkTable,
        mut inbox: mpsc::Receiver<InboxMessage>,
        events: &EventSender,
    ) {
        // Operations end while goodbyes are said.
        self.tasks.shutdown.cancel();
        let links = links.all();
        let mut goodbyes = JoinSet::new();
        for link in links.clone() {
            goodbyes.spawn(async move { link.goodbye().await.is_ok() });
        }
        if timeout(GOODBYE_TIMEOUT, goodbyes.join_all()).await.is_err() {
            tracing::debug!("not every peer acknowledged the goodbye");
        }
        self.tasks.cancel.cancel();
        for link in links {
            link.close(CloseCode::Goodbye);
        }
        self.tasks.close();
        // Tasks that report while they end must not wait for a loop that no longer listens.
        inbox.close();
        let drain = async { while inbox.recv().await.is_some() {} };
        let end = async { tokio::join!(self.tasks.wait(), drain) };
        if timeout(TASKS_TIMEOUT, end).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // Whoever hears of the end may start the next peer on this directory.
        drop(self.state_dir_lock);
        events.emit(PeerEvent::Stopped);
    }
}
