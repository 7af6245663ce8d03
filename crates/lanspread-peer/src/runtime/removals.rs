//! The command loop's part about deleting downloaded games.

use std::path::PathBuf;

use lanspread_disk::reserve;
use lanspread_download::error::RemoveFailure;
use lanspread_download::removal::remove_root;
use lanspread_library::LocalGame;
use lanspread_proto::GameId;

use super::event_loop::EventLoop;
use super::installs::{ActiveInstall, InstallReply};
use super::local_games::look_at;
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::PeerEvent;
use crate::messages::InboxMessage;
use crate::operation::Operation;

impl EventLoop {
    pub(super) async fn remove_download(&mut self, game_id: GameId, wait: bool, reply: Reply<()>) {
        if let Err(error) = self.check_idle(&game_id) {
            let _ = reply.send(Err(error));
            return;
        }
        let local = self.library.games.get(&game_id);
        let Some(version) = local.and_then(|local| local.version.clone()) else {
            self.look_for_unfinished(game_id, wait, reply);
            return;
        };
        let is_installed = local.is_some_and(|local| local.installed);
        let allowed = match is_installed {
            true => Err(CommandError::StillInstalled(game_id.clone())),
            false => self.begin(&game_id, Operation::Removing),
        };
        let (games_dir, id) = (self.library.games_dir.clone(), game_id.clone());
        let (root, state_dir) = (self.library.root_of(&game_id), self.handles.state_dir.clone());
        let work = move || {
            let removed = remove_root(&games_dir, &id, &state_dir, &version);
            reserve::keep(&state_dir);
            removed.map(|()| if_there(root))
        };
        self.run_removal(game_id, allowed, wait, reply, work).await;
    }

    /// Looks on the disk, beside the loop, whether a download left something there.
    fn look_for_unfinished(&self, game_id: GameId, wait: bool, reply: Reply<()>) {
        let (root, journal) = (
            self.library.root_of(&game_id),
            lanspread_download::journal_path(&self.handles.state_dir, &game_id),
        );
        let inbox_sender = self.handles.inbox_sender.clone();
        self.handles.spawn(async move {
            let look =
                move || lanspread_download::is_unfinished(&root, &journal).unwrap_or_default();
            // A look that panicked found nothing.
            let is_there = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            let looked = InboxMessage::UnfinishedLooked { game_id, is_there, wait, reply };
            let _ = inbox_sender.send(looked).await;
        });
    }

    pub(super) async fn on_unfinished_looked(
        &mut self,
        game_id: GameId,
        is_there: bool,
        wait: bool,
        reply: Reply<()>,
    ) {
        let is_installed = self.library.games.get(&game_id).is_some_and(|local| local.installed);
        let allowed = match (is_there, is_installed) {
            (true, _) => self.begin(&game_id, Operation::Removing),
            (false, true) => Err(CommandError::StillInstalled(game_id.clone())),
            (false, false) => Err(CommandError::NotDownloaded(game_id.clone())),
        };
        let (root, journal) = (
            self.library.root_of(&game_id),
            lanspread_download::journal_path(&self.handles.state_dir, &game_id),
        );
        let id = game_id.clone();
        let work = move || {
            lanspread_download::remove_unfinished(&root, &journal, &id).map(|()| if_there(root))
        };
        self.run_removal(game_id, allowed, wait, reply, work).await;
    }

    /// Runs a removal that has begun, if it was `allowed` to.
    async fn run_removal(
        &mut self,
        game_id: GameId,
        allowed: Result<(), CommandError>,
        wait: bool,
        reply: Reply<()>,
        work: impl FnOnce() -> Result<Option<PathBuf>, RemoveFailure> + Send + 'static,
    ) {
        if let Err(error) = allowed {
            let _ = reply.send(Err(error));
            return;
        }
        let on_end = InstallReply::of_command(wait, reply);
        self.installs.insert(game_id.clone(), ActiveInstall::new(on_end));
        self.library.publish(vec![game_id.clone()], &self.operations, &self.handles).await;
        self.handles.emit(PeerEvent::RemoveBegin { game_id: game_id.clone() }).await;
        let (inbox_sender, games_dir, index) = (
            self.handles.inbox_sender.clone(),
            self.library.games_dir.clone(),
            self.library.index.clone(),
        );
        let outbound = self.handles.server.outbound.clone();
        let guard = self.guard(&game_id, |game_id, local| {
            let outcome = Err(RemoveFailure::Interrupted);
            InboxMessage::RemoveEnded { game_id, outcome, local }
        });
        // Not cut off at shutdown: what has begun to be deleted is better gone.
        self.handles.tasks.spawn_to_end(async move {
            // The view no longer offers the game; who reads it still is told to stop.
            outbound.drain(&game_id).await;
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome = outcome.unwrap_or(Err(RemoveFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            guard.done();
            let _ = inbox_sender.send(InboxMessage::RemoveEnded { game_id, outcome, local }).await;
        });
    }

    pub(super) async fn on_remove_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<Option<PathBuf>, RemoveFailure>,
        local: Option<LocalGame>,
    ) {
        let on_end = self.end_install(&game_id, local).await;
        match outcome {
            Ok(kept) => {
                self.handles.emit(PeerEvent::RemoveFinished { game_id, kept }).await;
                on_end.send(Ok(()));
            }
            Err(failure) => {
                let event = PeerEvent::RemoveFailed { game_id, failure: failure.clone() };
                self.handles.emit(event).await;
                on_end.send(Err(CommandError::Remove(failure)));
            }
        }
    }
}

/// A root, if something of it stayed.
fn if_there(root: PathBuf) -> Option<PathBuf> {
    root.is_dir().then_some(root)
}
