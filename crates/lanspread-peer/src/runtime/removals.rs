//! The command loop's part about deleting downloaded games.

use lanspread_proto::GameId;

use super::core::Core;
use super::installs::{ActiveInstall, InstallReply};
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
        let on_end = InstallReply::of_command(wait, reply);
        self.installs.insert(game_id.clone(), ActiveInstall { on_end });
        self.publish(vec![game_id.clone()]).await;
        self.emit(PeerEvent::RemoveBegin { game_id: game_id.clone() }).await;
        let (core, games_dir, index) =
            (self.core.clone(), self.games_dir.clone(), self.index.clone());
        let outbound = self.server.outbound.clone();
        let guard = self.guard(&game_id, |game_id, local| {
            let outcome = Err(RemoveFailure::Interrupted);
            CoreMessage::RemoveEnded { game_id, outcome, local }
        });
        // Not cut off at shutdown: what has begun to be deleted is better gone.
        self.tasks.spawn(async move {
            // The view no longer offers the game; who reads it still is told to stop.
            outbound.drain(&game_id).await;
            let (dir, id) = (games_dir.clone(), game_id.clone());
            let outcome = tokio::task::spawn_blocking(move || remove_root(&dir, &id)).await;
            let outcome = outcome.unwrap_or(Err(RemoveFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            guard.done();
            let _ = core.send(CoreMessage::RemoveEnded { game_id, outcome, local }).await;
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
    ) {
        let on_end = self.end_install(&game_id, local).await;
        match outcome {
            Ok(()) => {
                self.emit(PeerEvent::RemoveFinished { game_id }).await;
                on_end.send(Ok(()));
            }
            Err(failure) => {
                let event = PeerEvent::RemoveFailed { game_id, failure: failure.clone() };
                self.emit(event).await;
                on_end.send(Err(CommandError::Remove(failure)));
            }
        }
    }
}
