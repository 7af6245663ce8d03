//! The command loop's part about deleting downloaded games.

use lanspread_proto::GameId;

use super::core::Core;
use super::local_games::look_at;
use super::messages::CoreMessage;
use crate::command::Reply;
use crate::error::{CommandError, RemoveFailure};
use crate::event::{Operation, PeerEvent};
use crate::library::LocalGame;
use crate::operations::removal::remove_root;

impl Core {
    pub(super) async fn remove_download(&mut self, game_id: GameId, wait: bool, reply: Reply<()>) {
        if let Err(error) = self.begin_removal(&game_id) {
            let _ = reply.send(Err(error));
            return;
        }
        let on_end = if wait {
            Some(reply)
        } else {
            let _ = reply.send(Ok(()));
            None
        };
        self.publish(vec![game_id.clone()]).await;
        self.emit(PeerEvent::RemoveBegin { game_id: game_id.clone() }).await;
        let (core, games_dir, index) =
            (self.core.clone(), self.games_dir.clone(), self.index.clone());
        let outbound = self.server.outbound.clone();
        // Not cut off at shutdown: what has begun to be deleted is better gone.
        self.tasks.spawn(async move {
            // The view no longer offers the game; who reads it still is told to stop.
            outbound.drain(&game_id).await;
            let (dir, id) = (games_dir.clone(), game_id.clone());
            let outcome = tokio::task::spawn_blocking(move || remove_root(&dir, &id)).await;
            let outcome = outcome.unwrap_or(Err(RemoveFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            let _ = core.send(CoreMessage::RemoveEnded { game_id, outcome, local, on_end }).await;
        });
    }

    /// Marks the game, unless it must not be removed.
    fn begin_removal(&mut self, game_id: &GameId) -> Result<(), CommandError> {
        self.check_idle(game_id)?;
        let local = self.local.get(game_id);
        if local.is_some_and(|local| local.installed) {
            return Err(CommandError::StillInstalled(game_id.clone()));
        }
        if local.is_none_or(|local| local.version.is_none()) {
            return Err(CommandError::NotDownloaded(game_id.clone()));
        }
        self.begin(game_id, Operation::Removing)
    }

    pub(super) async fn remove_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<(), RemoveFailure>,
        local: Option<LocalGame>,
        on_end: Option<Reply<()>>,
    ) {
        self.replace_local(&game_id, local);
        self.unhashable.remove(&game_id);
        self.operations.end(&game_id);
        self.publish(vec![game_id.clone()]).await;
        let answer = match outcome {
            Ok(()) => {
                self.emit(PeerEvent::RemoveFinished { game_id }).await;
                Ok(())
            }
            Err(failure) => {
                let event = PeerEvent::RemoveFailed { game_id, failure: failure.clone() };
                self.emit(event).await;
                Err(CommandError::Remove(failure))
            }
        };
        if let Some(reply) = on_end {
            let _ = reply.send(answer);
        }
    }
}
