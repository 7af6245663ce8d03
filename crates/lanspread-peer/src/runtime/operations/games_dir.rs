//! The command loop's part about changing the games directory, which excludes every operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_library::{Scan, scan_games_dir};

use super::Operations;
use crate::command::{PeerCommand, Reply};
use crate::error::{CommandError, GamesDirError};
use crate::messages::InboxMessage;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::LocalLibrary;
use crate::runtime::recovery::{check_games_dir, recover};

impl Operations {
    /// Changes the games directory, one change at a time. No operation can begin meanwhile, so
    /// that what a crash left in the new directory can be settled.
    pub(in crate::runtime) fn set_game_dir(
        &mut self,
        path: PathBuf,
        reply: Reply<PathBuf>,
        library: &LocalLibrary,
        handles: &Handles,
    ) {
        if self.is_changing_dir {
            let _ = reply.send(Err(CommandError::ChangingGamesDir));
            return;
        }
        if let Some(active) = self.table.all().into_iter().next() {
            let (game_id, operation) = (active.game_id, active.operation);
            let _ = reply.send(Err(CommandError::OperationsActive { game_id, operation }));
            return;
        }
        self.is_changing_dir = true;
        let (catalog, index) = (Arc::clone(&handles.catalog), library.index.clone());
        let (inbox_sender, state_dir) = (handles.inbox_sender.clone(), handles.state_dir.clone());
        // Not cut off at shutdown: recovery may write.
        handles.tasks.spawn_to_end(async move {
            let asked = path.clone();
            let work = move || {
                let games_dir = check_games_dir(&path, &state_dir)?;
                recover(&games_dir, &state_dir);
                let scan = scan_games_dir(&games_dir, &catalog, &index)?;
                Ok((games_dir, scan))
            };
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome = outcome.unwrap_or_else(|e| {
                let source = io::Error::other(e);
                Err(GamesDirError { path: asked, source })
            });
            let _ = inbox_sender.send(InboxMessage::GamesDirScanned { outcome, reply }).await;
        });
    }

    /// Takes in what is in the new games directory. Returns the commands that wait no longer.
    pub(in crate::runtime) fn on_games_dir_scanned(
        &mut self,
        outcome: Result<(PathBuf, Scan), GamesDirError>,
        reply: Reply<PathBuf>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        self.is_changing_dir = false;
        let (games_dir, scan) = match outcome {
            Ok(scanned) => scanned,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return Vec::new();
            }
        };
        let ready = library.use_games_dir(games_dir.clone(), scan, &self.table, handles);
        let _ = reply.send(Ok(games_dir));
        ready
    }
}
