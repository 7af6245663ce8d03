//! Keeps services running, each by its own policy. A panic counts as a death like any other.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::RuntimeFailure;
use crate::messages::{InboxMessage, InboxSender};

/// Pause before a dead service is started again: long enough that one that dies at once costs
/// nothing.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Starts services and watches over them.
#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) inbox_sender: InboxSender,
}

impl Supervisor {
    /// Runs a service whose death stops the runtime.
    pub(crate) fn required<F>(&self, service: &'static str, run: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let supervisor = self.clone();
        self.tasks.spawn(async move {
            let Err(message) = outcome(tokio::spawn(run)).await else { return };
            tracing::error!(service, message, "a required service died");
            let failure = RuntimeFailure { service, message };
            // The loop is gone only when the whole runtime is.
            let _ = supervisor.inbox_sender.send(InboxMessage::ServiceDied(failure)).await;
        });
    }

    /// Runs a service that is started again [`RESTART_AFTER`] its death.
    pub(crate) fn restarting<F>(
        &self,
        service: &'static str,
        mut start: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            while let Err(message) = outcome(tokio::spawn(start())).await {
                tracing::warn!(service, message, "a service died and will be started again");
                let pause = tokio::time::sleep(RESTART_AFTER);
                if cancel.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Runs a service that the runtime can do without.
    pub(crate) fn best_effort<F>(&self, service: &'static str, run: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.tasks.spawn(async move {
            if let Err(message) = outcome(tokio::spawn(run)).await {
                tracing::error!(service, message, "a service died; the peer goes on without it");
            }
        });
    }
}

async fn outcome(task: tokio::task::JoinHandle<Result<(), String>>) -> Result<(), String> {
    task.await.unwrap_or_else(|e| Err(format!("it panicked: {e}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    fn supervisor() -> (Supervisor, mpsc::Receiver<InboxMessage>) {
        let (inbox_sender, messages) = mpsc::channel(8);
        let cancel = CancellationToken::new();
        (Supervisor { tasks: TaskTracker::new(), cancel, inbox_sender }, messages)
    }

    #[tokio::test]
    async fn the_death_of_a_required_service_is_reported_also_when_it_panics() {
        let (supervisor, mut messages) = supervisor();
        supervisor.required("erring", async { Err("no more".to_owned()) });
        let Some(InboxMessage::ServiceDied(failure)) = messages.recv().await else { panic!() };
        assert_eq!((failure.service, failure.message.as_str()), ("erring", "no more"));
        supervisor.required("panicking", async { panic!("boom") });
        let Some(InboxMessage::ServiceDied(failure)) = messages.recv().await else { panic!() };
        assert!(failure.message.contains("panicked"), "{failure}");
    }

    #[tokio::test]
    async fn a_service_of_best_effort_takes_nobody_with_it() {
        let (supervisor, mut messages) = supervisor();
        supervisor.best_effort("panicking", async { panic!("boom") });
        supervisor.tasks.close();
        supervisor.tasks.wait().await;
        assert!(messages.try_recv().is_err());
        assert!(!supervisor.cancel.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarting_service_comes_back_after_its_pause_until_cancelled() {
        let (supervisor, _messages) = supervisor();
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let begun = Instant::now();
        supervisor.restarting("flapping", move || {
            let counted = Arc::clone(&counted);
            async move {
                if counted.fetch_add(1, Ordering::SeqCst) == 2 { Ok(()) } else { panic!("boom") }
            }
        });
        supervisor.tasks.close();
        supervisor.tasks.wait().await;
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        assert_eq!(begun.elapsed(), 2 * RESTART_AFTER);
    }
}
