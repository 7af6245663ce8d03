//! The command loop's part about the first look at a games directory: the peer runs meanwhile.
//!
//! No game is announced before it was looked at, and no command sees one that was not: it waits until
//! then, and its game is looked at next.
//!
//! A games directory in which no game is found may be a disk that is not mounted. The index then forgets
//! nothing: with it would go the hashes, and the executable bits that some disks do not keep. A start that
//! finds any game forgets those that are gone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_library::{LocalGame, ScanError, roots, scan_game};
use lanspread_proto::GameId;
use tokio::time::Instant;

use super::{LocalLibrary, log_warnings};
use crate::command::{PeerCommand, Subject};
use crate::messages::{FirstLookBatch, InboxMessage};
use crate::operation::table::OperationTable;
use crate::runtime::handles::Handles;

/// How long questions about all games, and handshakes, which tell the whole library, wait for the first
/// look to end: ten thousand games take less where the disk is not asleep, and a handshake has 5 s.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most games that are published together: each publication costs every peer a message.
const BATCH_MAX_GAMES: usize = 1_000;
/// How long games are gathered for a publication at most.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// A first look that is under way.
pub(crate) struct FirstLook {
    looked_at: BTreeSet<GameId>,
    waiting: Vec<PeerCommand>,
    /// Until when questions about all games wait; `None` when they no longer do.
    patience_ends_at: Option<Instant>,
    /// Whether something may have changed since it began, nobody knows where.
    is_quick_scan_owed: bool,
}

impl FirstLook {
    pub(in crate::runtime) fn new() -> Self {
        let patience_ends_at = Some(Instant::now() + PATIENCE);
        Self {
            looked_at: BTreeSet::new(),
            waiting: Vec::new(),
            patience_ends_at,
            is_quick_scan_owed: false,
        }
    }
}

impl LocalLibrary {
    /// Looks at every game in the games directory, beside the loop.
    pub(in crate::runtime) fn begin_first_look(&self, handles: &Handles) {
        let (games_dir, index) = (self.games_dir.clone(), self.index.clone());
        let (catalog, inbox_sender) = (Arc::clone(&handles.catalog), handles.inbox_sender.clone());
        let cancel = handles.tasks.cancel.clone();
        handles.tasks.spawn_blocking(move || {
            let tell = |outcome| {
                let games_dir = games_dir.clone();
                // The loop is gone only when the whole runtime is.
                inbox_sender
                    .blocking_send(InboxMessage::FirstLookProgress { games_dir, outcome })
                    .is_ok()
            };
            let found = match roots(&games_dir, &catalog) {
                Ok(found) => found,
                Err(error) => {
                    tell(Err(error));
                    return;
                }
            };
            let (mut batch, mut begun) = (FirstLookBatch::default(), Instant::now());
            for game_id in found {
                if cancel.is_cancelled() {
                    return;
                }
                let scan = scan_game(&games_dir, &game_id, &index);
                batch.warnings.extend(scan.warnings);
                batch.games.push((game_id, scan.game));
                if batch.games.len() >= BATCH_MAX_GAMES || begun.elapsed() >= BATCH_TIME {
                    if !tell(Ok(std::mem::take(&mut batch))) {
                        return;
                    }
                    begun = Instant::now();
                }
            }
            tell(Ok(FirstLookBatch { is_last: true, ..batch }));
        });
    }

    /// Takes in what a part of the first look found. Returns the commands that wait no longer.
    pub(in crate::runtime) fn on_looked_at(
        &mut self,
        games_dir: PathBuf,
        outcome: Result<FirstLookBatch, ScanError>,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        if self.first_look.is_none() || games_dir != self.games_dir {
            return Vec::new();
        }
        let FirstLookBatch { games, warnings, is_last } = match outcome {
            Ok(found) => found,
            Err(error) => {
                let waiting = self.end_first_look();
                self.lose_games_dir(&error, operations, handles);
                return waiting;
            }
        };
        log_warnings(&warnings);
        let mut changed = Vec::new();
        for (game_id, local) in games {
            // Whatever else has looked at it has seen more.
            if self.is_looked_at(&game_id) {
                continue;
            }
            self.mark_looked_at(&game_id);
            if local.is_some() {
                changed.push(game_id.clone());
            }
            self.take_over(&game_id, local, handles);
        }
        let is_quick_scan_owed = is_last && self.owes_survey();
        let waiting = if is_last {
            self.warn_of_old_roots(handles);
            let local = &self.games;
            let is_kept = |game_id: &GameId| local.is_empty() || local.contains_key(game_id);
            self.index.retain(&self.games_dir, is_kept);
            self.end_first_look()
        } else {
            self.take_ready_commands(handles)
        };
        if !changed.is_empty() {
            self.publish(changed, operations, handles);
        } else if is_last {
            // Handshakes wait no more.
            self.refresh_view(&[], operations, handles);
            self.index_changed.send_replace(());
            self.hash_next(operations, handles);
        }
        if is_quick_scan_owed {
            self.quick_scan(handles);
        }
        waiting
    }

    /// Tells how many games the catalog states in the form of wire version 3 alone.
    fn warn_of_old_roots(&self, handles: &Handles) {
        let holds_in_old_form = |game_id: &GameId, local: &LocalGame| {
            let stated = handles.catalog.get(game_id).and_then(|game| game.content_root);
            stated.is_some()
                && local.content_root().is_some_and(|found| Some(found) != stated)
                && !local.is_other_content(stated)
        };
        let games = self.games.iter().filter(|(game_id, local)| holds_in_old_form(game_id, local));
        let count = games.count();
        if count > 0 {
            tracing::warn!(
                count,
                "the catalog states content roots of wire version 3; replace them with those of this version"
            );
        }
    }

    /// Lets a quick scan wait for the end of the first look, if that is under way: all games that it has
    /// not come to would be looked at twice.
    pub(in crate::runtime) fn owe_quick_scan(&mut self) -> bool {
        let look = self.first_look.as_mut();
        look.map(|look| look.is_quick_scan_owed = true).is_some()
    }

    fn owes_survey(&self) -> bool {
        self.first_look.as_ref().is_some_and(|look| look.is_quick_scan_owed)
    }

    /// Whether a game was looked at, since the start, at least once.
    pub(in crate::runtime) fn is_looked_at(&self, game_id: &GameId) -> bool {
        self.first_look.as_ref().is_none_or(|look| look.looked_at.contains(game_id))
    }

    pub(in crate::runtime) fn mark_looked_at(&mut self, game_id: &GameId) {
        if let Some(look) = &mut self.first_look {
            look.looked_at.insert(game_id.clone());
        }
    }

    /// Whether questions about all games still wait.
    pub(in crate::runtime) fn is_patient(&self) -> bool {
        self.patience_ends_at().is_some()
    }

    pub(in crate::runtime) fn patience_ends_at(&self) -> Option<Instant> {
        self.first_look.as_ref()?.patience_ends_at
    }

    /// Lets nothing wait for the whole library any longer. Returns the commands that wait no longer.
    pub(in crate::runtime) fn lose_patience(
        &mut self,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        if let Some(look) = &mut self.first_look {
            look.patience_ends_at = None;
        }
        self.refresh_view(&[], operations, handles);
        self.take_ready_commands(handles)
    }

    /// Ends the first look; returns the commands that waited for it.
    pub(in crate::runtime) fn end_first_look(&mut self) -> Vec<PeerCommand> {
        self.first_look.take().map(|look| look.waiting).unwrap_or_default()
    }

    /// Returns a command that may be carried out now. Lets another one wait, and looks at its game.
    pub(in crate::runtime) fn hold(
        &mut self,
        command: PeerCommand,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Option<PeerCommand> {
        if self.is_ready_for(&command, handles) {
            return Some(command);
        }
        if let Subject::Game(game_id) = command.subject() {
            let game_id = game_id.clone();
            self.look_at_games(BTreeSet::from([game_id]), operations, handles);
        }
        if let Some(look) = &mut self.first_look {
            look.waiting.push(command);
        }
        None
    }

    fn is_ready_for(&self, command: &PeerCommand, handles: &Handles) -> bool {
        match command.subject() {
            Subject::None => true,
            Subject::AllGames => !self.is_patient(),
            Subject::Game(game_id) => {
                self.is_looked_at(game_id) || handles.catalog.get(game_id).is_none()
            }
        }
    }

    /// The commands that wait no longer, in the order in which they came.
    pub(in crate::runtime) fn take_ready_commands(
        &mut self,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        let Some(look) = &mut self.first_look else { return Vec::new() };
        let waiting = std::mem::take(&mut look.waiting);
        let (ready, waiting) =
            waiting.into_iter().partition(|command| self.is_ready_for(command, handles));
        if let Some(look) = &mut self.first_look {
            look.waiting = waiting;
        }
        ready
    }

    /// Whether there is room for one more command that waits.
    pub(in crate::runtime) fn takes_commands(&self) -> bool {
        self.first_look
            .as_ref()
            .is_none_or(|look| look.waiting.len() < crate::runtime::COMMANDS_MAX)
    }
}

#[cfg(test)]
mod tests;
