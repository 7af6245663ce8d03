//! The command loop's part about operations: what is being done with games by this peer.

mod downloads;
mod games_dir;
mod guard;
mod installs;
mod removals;
mod setups;
mod stated;
mod stream_sources;
mod streams;
mod verifications;

use std::collections::{BTreeMap, BTreeSet};

use lanspread_proto::GameId;

use self::downloads::ActiveDownload;
use self::installs::ActiveInstall;
use self::streams::ActiveStream;
pub(super) use self::streams::StreamInstallation;
use self::verifications::ActiveVerification;
pub(super) use self::verifications::Verify;
use super::handles::Handles;
use crate::error::CommandError;
use crate::operation::Operation;
use crate::operation::table::OperationTable;

/// Why an operation failed that was done, and of which nothing is there.
const MOVED_AWAY: &str = "it was written, but something moved, removed or unmounted it meanwhile";

/// The operations that are under way, with those who wait for their ends.
#[derive(Default)]
pub(super) struct Operations {
    pub(super) table: OperationTable,
    downloads: BTreeMap<GameId, ActiveDownload>,
    installs: BTreeMap<GameId, ActiveInstall>,
    streams: BTreeMap<GameId, ActiveStream>,
    verifications: BTreeMap<GameId, ActiveVerification>,
    /// Games whose setup script is being started: no operation begins with them meanwhile.
    starting_setup: BTreeSet<GameId>,
    /// Whether another games directory is about to be used: no operation begins then.
    is_changing_dir: bool,
}

impl Operations {
    /// Marks a game as worked on, unless it is already, or its directory is about to change.
    pub(super) fn begin(
        &mut self,
        game_id: &GameId,
        operation: Operation,
    ) -> Result<(), CommandError> {
        if self.is_changing_dir {
            return Err(CommandError::ChangingGamesDir);
        }
        if self.starting_setup.contains(game_id) {
            return Err(CommandError::SetupStarting(game_id.clone()));
        }
        let busy = |operation| CommandError::GameBusy { game_id: game_id.clone(), operation };
        self.table.begin(game_id, operation).map_err(busy)
    }

    /// Refuses a game that the catalog does not have, or with which something is being done.
    pub(super) fn check_idle(
        &self,
        game_id: &GameId,
        handles: &Handles,
    ) -> Result<(), CommandError> {
        if handles.catalog.get(game_id).is_none() {
            return Err(CommandError::UnknownGame(game_id.clone()));
        }
        match self.table.get(game_id) {
            Some(operation) => Err(CommandError::GameBusy { game_id: game_id.clone(), operation }),
            None => Ok(()),
        }
    }
}
