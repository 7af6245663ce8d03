//! The command loop's part about the setup scripts of installed games.

use std::io;

use lanspread_disk::IoFailure;
use lanspread_install::error::SetupFailure;
use lanspread_install::setup::{self, SetupStarted};
use lanspread_proto::GameId;

use super::Operations;
use crate::command::Reply;
use crate::error::CommandError;
use crate::messages::InboxMessage;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::LocalLibrary;

impl Operations {
    /// Starts the setup script of an installed game. That takes a moment, in which no operation may
    /// begin with the game; it is no operation itself, so the game is served all the while.
    pub(in crate::runtime) fn run_setup(
        &mut self,
        game_id: GameId,
        reply: Reply<SetupStarted>,
        library: &LocalLibrary,
        handles: &Handles,
    ) {
        if let Err(error) = self.check_setup(&game_id, library, handles) {
            let _ = reply.send(Err(error));
            return;
        }
        self.starting_setup.insert(game_id.clone());
        let (root, state_dir) = (library.root_of(&game_id), handles.state_dir.clone());
        let inbox_sender = handles.inbox_sender.clone();
        // Not cut off at shutdown: a script that was started is noted.
        handles.tasks.spawn_to_end(async move {
            let (script_root, id) = (root.clone(), game_id.clone());
            let work = move || setup::start(&script_root, &state_dir, &id);
            let outcome = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
                let source = io::Error::other(error);
                Err(IoFailure::new("start the setup of", root, source).into())
            });
            let _ = inbox_sender.send(InboxMessage::SetupStarted { game_id, outcome, reply }).await;
        });
    }

    pub(in crate::runtime) fn on_setup_started(
        &mut self,
        game_id: &GameId,
        outcome: Result<SetupStarted, SetupFailure>,
        reply: Reply<SetupStarted>,
    ) {
        self.starting_setup.remove(game_id);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(outcome.map_err(CommandError::Setup));
    }

    fn check_setup(
        &self,
        game_id: &GameId,
        library: &LocalLibrary,
        handles: &Handles,
    ) -> Result<(), CommandError> {
        self.check_idle(game_id, handles)?;
        if self.starting_setup.contains(game_id) {
            return Err(CommandError::SetupStarting(game_id.clone()));
        }
        match library.games.get(game_id) {
            Some(local) if local.installed => Ok(()),
            _ => Err(CommandError::NotInstalled(game_id.clone())),
        }
    }
}
