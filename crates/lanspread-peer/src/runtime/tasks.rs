//! The tasks of a peer, and the tokens that end them.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

    /// Lets [`Self::wait`] end with the last task.
    pub(super) fn close(&self) {
        self.tracker.close();
    }

    /// Waits for the end of all tasks.
    pub(super) async fn wait(&self) {
        self.tracker.wait().await;
    }
}
