//! What keeps a game from staying busy when the task of its operation is lost.
//!
//! The loop clears an operation when it hears of its end, and whoever runs the operation tells it.
//! A task that panics or is aborted tells nothing, so it carries a guard that does so in its place.

use std::path::PathBuf;

use lanspread_library::{Index, LocalGame};
use lanspread_proto::GameId;

use crate::messages::{InboxMessage, InboxSender};
use crate::runtime::handles::Handles;
use crate::runtime::local_library::{LocalLibrary, look_at};
use crate::runtime::tasks::Tasks;

/// Makes the message that an operation is lost, from what is on the disk then.
type Lost = fn(GameId, Option<LocalGame>) -> InboxMessage;

/// Tells the loop that an operation has ended, unless that is [`Self::done`] otherwise.
pub(in crate::runtime) struct OperationGuard(Option<Watch>);

struct Watch {
    inbox_sender: InboxSender,
    tasks: Tasks,
    games_dir: PathBuf,
    game_id: GameId,
    index: Index,
    lost: Lost,
}

impl OperationGuard {
    /// A guard for the task of an operation that has begun.
    pub(in crate::runtime) fn new(
        game_id: &GameId,
        lost: Lost,
        library: &LocalLibrary,
        handles: &Handles,
    ) -> Self {
        Self(Some(Watch {
            inbox_sender: handles.inbox_sender.clone(),
            tasks: handles.tasks.clone(),
            games_dir: library.games_dir.clone(),
            game_id: game_id.clone(),
            index: library.index.clone(),
            lost,
        }))
    }

    /// The loop is about to hear of the end.
    pub(in crate::runtime) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        // A loop that has ended waits for no operation, and without a runtime there is none.
        let Some(watch) = self.0.take().filter(|watch| !watch.tasks.are_to_end()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Watch { inbox_sender, tasks, games_dir, game_id, index, lost, .. } = watch;
        tasks.spawn_to_end_on(
            async move {
                tracing::error!(%game_id, "the task of an operation was lost");
                let local = look_at(games_dir, game_id.clone(), index).await;
                // The loop may have ended meanwhile.
                let _ = inbox_sender.send(lost(game_id, local)).await;
            },
            &runtime,
        );
    }
}

#[cfg(test)]
mod tests {
    use lanspread_install::error::InstallFailure;
    use tempfile::TempDir;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A guard as a task would carry it, and where the loop would hear of its end.
    fn guarded() -> (OperationGuard, mpsc::Receiver<InboxMessage>, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (inbox_sender, inbox) = mpsc::channel(1);
        let (index, _) = Index::load(dir.path()).unwrap();
        let guard = OperationGuard(Some(Watch {
            inbox_sender,
            tasks: Tasks::new(CancellationToken::new()),
            games_dir: dir.path().to_path_buf(),
            game_id: GameId::new("quake").unwrap(),
            index,
            lost: |game_id, local| {
                let outcome = Err(InstallFailure::Interrupted);
                InboxMessage::InstallEnded { game_id, outcome, local }
            },
        }));
        (guard, inbox, dir)
    }

    async fn is_told_of_an_end(mut inbox: mpsc::Receiver<InboxMessage>) -> bool {
        let told = inbox.recv().await;
        matches!(told, Some(InboxMessage::InstallEnded { outcome: Err(_), .. }))
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_its_operation() {
        let (guard, inbox, _dir) = guarded();
        let task = tokio::spawn(async move {
            let _guard = guard;
            panic!("boom");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(is_told_of_an_end(inbox).await);
    }

    #[tokio::test]
    async fn a_task_that_is_aborted_ends_its_operation() {
        let (guard, inbox, _dir) = guarded();
        let task = tokio::spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(is_told_of_an_end(inbox).await);
    }

    #[tokio::test]
    async fn a_task_that_tells_its_end_is_not_told_of_twice() {
        let (guard, mut inbox, _dir) = guarded();
        tokio::spawn(async move { guard.done() }).await.unwrap();
        assert!(inbox.recv().await.is_none());
    }
}
