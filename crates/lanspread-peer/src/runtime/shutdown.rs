//! The end of a peer: what is told to stop, in which order, and how long each step may take.

use std::time::Duration;

use lanspread_net::links::LinkTable;
use lanspread_net::transport::CloseCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handles::EventSender;
use super::state_keeper::StateDir;
use crate::messages::InboxMessage;

/// How long goodbyes may take at the end. They take milliseconds; who does not answer is gone.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long whoever started the peer may take to receive the last event.
const LAST_EVENT_TIMEOUT: Duration = Duration::from_millis(200);
/// How long tasks may take to end after that.
const TASKS_TIMEOUT: Duration = Duration::from_millis(1_200);

/// Runs tasks and ends them with the peer. Clones share the tasks.
#[derive(Clone)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Cancelled by whoever wants the peer to stop: ends operations.
    pub(super) shutdown: CancellationToken,
    /// Cancelled when the goodbyes are said: ends every task.
    pub(super) cancel: CancellationToken,
}

impl Tasks {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), shutdown, cancel: CancellationToken::new() }
    }

    /// Runs a task that is cut off with the peer at the latest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            let _ = cancel.run_until_cancelled_owned(task).await;
        });
    }

    /// Runs a task that the end of the peer waits for.
    pub(super) fn spawn_to_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Runs a task that the end of the peer waits for, from outside of a task.
    pub(super) fn spawn_to_end_on(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &tokio::runtime::Handle,
    ) {
        self.tracker.spawn_on(task, runtime);
    }

    /// Runs blocking work that the end of the peer waits for.
    pub(super) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.tracker.spawn_blocking(work);
    }

    /// Whether the peer is to stop.
    pub(super) fn are_to_end(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// The tracker, for whoever runs tasks by rules of its own.
    pub(super) fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }
}

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
        self.tasks.tracker.close();
        // Tasks that report while they end must not wait for a loop that no longer listens.
        inbox.close();
        let drain = async { while inbox.recv().await.is_some() {} };
        let end = async { tokio::join!(self.tasks.tracker.wait(), drain) };
        if timeout(TASKS_TIMEOUT, end).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // Whoever hears of the end may start the next peer on this directory.
        drop(self.state_dir_lock);
        if timeout(LAST_EVENT_TIMEOUT, events.emit_last()).await.is_err() {
            tracing::warn!("nobody takes the last event");
        }
    }
}
