//! The command loop's part about deleting downloaded games.

use std::path::PathBuf;

use lanspread_disk::reserve;
use lanspread_download::error::RemoveFailure;
use lanspread_download::removal::remove_root;
use lanspread_library::LocalGame;
use lanspread_proto::GameId;

use super::Operations;
use super::guard::OperationGuard;
use super::installs::{ActiveInstall, InstallReply};
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::PeerEvent;
use crate::messages::InboxMessage;
use crate::operation::Operation;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::{LocalLibrary, look_at};

impl Operations {
    pub(in crate::runtime) fn remove_download(
        &mut self,
        game_id: GameId,
        wait: bool,
        reply: Reply<()>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        if let Err(error) = self.check_idle(&game_id, handles) {
            let _ = reply.send(Err(error));
            return;
        }
        let local = library.games.get(&game_id);
        let Some(version) = local.and_then(|local| local.version.clone()) else {
            self.look_for_unfinished(game_id, wait, reply, library, handles);
            return;
        };
        let is_installed = local.is_some_and(|local| local.installed);
        let allowed = match is_installed {
            true => Err(CommandError::StillInstalled(game_id.clone())),
            false => self.begin(&game_id, Operation::Removing),
        };
        let (games_dir, id) = (library.games_dir.clone(), game_id.clone());
        let (root, state_dir) = (library.root_of(&game_id), handles.state_dir.clone());
        let work = move || {
            let removed = remove_root(&games_dir, &id, &state_dir, &version);
            reserve::keep(&state_dir);
            removed.map(|()| if_there(root))
        };
        let Some(on_end) = InstallReply::unless_refused(allowed, wait, reply) else { return };
        self.run_removal(game_id, on_end, work, library, handles);
    }

    /// Looks on the disk, beside the loop, whether a download left something there.
    fn look_for_unfinished(
        &self,
        game_id: GameId,
        wait: bool,
        reply: Reply<()>,
        library: &LocalLibrary,
        handles: &Handles,
    ) {
        let (root, journal) = (
            library.root_of(&game_id),
            lanspread_download::journal_path(&handles.state_dir, &game_id),
        );
        let inbox_sender = handles.inbox_sender.clone();
        handles.spawn(async move {
            let look =
                move || lanspread_download::is_unfinished(&root, &journal).unwrap_or_default();
            // A look that panicked found nothing.
            let is_there = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            let looked = InboxMessage::UnfinishedLooked { game_id, is_there, wait, reply };
            let _ = inbox_sender.send(looked).await;
        });
    }

    pub(in crate::runtime) fn on_unfinished_looked(
        &mut self,
        game_id: GameId,
        is_there: bool,
        wait: bool,
        reply: Reply<()>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let is_installed = library.games.get(&game_id).is_some_and(|local| local.installed);
        let allowed = match (is_there, is_installed) {
            (true, _) => self.begin(&game_id, Operation::Removing),
            (false, true) => Err(CommandError::StillInstalled(game_id.clone())),
            (false, false) => Err(CommandError::NotDownloaded(game_id.clone())),
        };
        let (root, journal) = (
            library.root_of(&game_id),
            lanspread_download::journal_path(&handles.state_dir, &game_id),
        );
        let id = game_id.clone();
        let work = move || {
            lanspread_download::remove_unfinished(&root, &journal, &id).map(|()| if_there(root))
        };
        let Some(on_end) = InstallReply::unless_refused(allowed, wait, reply) else { return };
        self.run_removal(game_id, on_end, work, library, handles);
    }

    /// Runs a removal that has begun.
    fn run_removal(
        &mut self,
        game_id: GameId,
        on_end: InstallReply,
        work: impl FnOnce() -> Result<Option<PathBuf>, RemoveFailure> + Send + 'static,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        self.installs.insert(game_id.clone(), ActiveInstall::new(on_end));
        library.publish(vec![game_id.clone()], &self.table, handles);
        handles.emit(PeerEvent::RemoveBegin { game_id: game_id.clone() });
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), library.games_dir.clone(), library.index.clone());
        let outbound = handles.server.outbound.clone();
        let guard = OperationGuard::new(
            &game_id,
            |game_id, local| {
                let outcome = Err(RemoveFailure::Interrupted);
                InboxMessage::RemoveEnded { game_id, outcome, local }
            },
            library,
            handles,
        );
        // Not cut off at shutdown: what has begun to be deleted is better gone.
        handles.tasks.spawn_to_end(async move {
            // The published library no longer offers the game; who reads it still is told to stop.
            outbound.drain(&game_id).await;
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome = outcome.unwrap_or(Err(RemoveFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            guard.done();
            let _ = inbox_sender.send(InboxMessage::RemoveEnded { game_id, outcome, local }).await;
        });
    }

    pub(in crate::runtime) fn on_remove_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<Option<PathBuf>, RemoveFailure>,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let on_end = self.end_install(&game_id, local, library, handles);
        match outcome {
            Ok(kept) => {
                handles.emit(PeerEvent::RemoveFinished { game_id, kept });
                on_end.send(Ok(()));
            }
            Err(failure) => {
                let event = PeerEvent::RemoveFailed { game_id, failure: failure.clone() };
                handles.emit(event);
                on_end.send(Err(CommandError::Remove(failure)));
            }
        }
    }
}

/// A root, if something of it stayed.
fn if_there(root: PathBuf) -> Option<PathBuf> {
    root.is_dir().then_some(root)
}
