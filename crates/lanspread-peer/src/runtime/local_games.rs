//! The command loop's part about the games on this disk: what is there, hashed and announced.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_library::{
    GameScan, Index, KnownContent, LocalGame, Scan, ScanError, ScanWarning, scan_game,
    scan_games_dir, scan_known_game,
};
use lanspread_proto::library::{GameSummary, LibrarySnapshot};
use lanspread_proto::{GameId, Manifest};
use lanspread_serve::view::{ServedGame, View};

use super::event_loop::EventLoop;
use super::startup::{check_games_dir, recover};
use crate::command::Reply;
use crate::error::{CommandError, GamesDirError};
use crate::event::PeerEvent;
use crate::messages::InboxMessage;
use crate::operation::Operation;

impl EventLoop {
    pub(super) fn library_rev(&self) -> u64 {
        self.announced.rev
    }

    /// Takes over what the look at the end of an operation found.
    pub(super) fn replace_local(&mut self, game_id: &GameId, local: Option<LocalGame>) {
        self.rescans.overtake(game_id);
        let local = local.map(|found| match self.local.get(game_id) {
            Some(known) => found.keep_hashes_of(known),
            None => found,
        });
        self.take_over(game_id, local);
    }

    /// Takes over what a look at one root found.
    pub(super) fn take_over(&mut self, game_id: &GameId, local: Option<LocalGame>) {
        let Some(local) = local else {
            self.local.remove(game_id);
            self.to_hash.remove(game_id);
            self.told_problems.remove(game_id);
            // Where no game is left, the disk may not be mounted.
            if !self.local.is_empty() {
                self.index.forget(&self.games_dir, game_id);
            }
            return;
        };
        if let Some(known) = local.known_content() {
            self.index.record(&self.games_dir, game_id.clone(), known);
        }
        // What cannot be shared is not read; what could not be read is tried again.
        if local.is_unhashed() && local.problems.is_empty() {
            self.to_hash.insert(game_id.clone());
        } else {
            self.to_hash.remove(game_id);
        }
        self.settle_later(game_id, &local);
        self.local.insert(game_id.clone(), local);
    }

    /// Announces and serves what is ready now, saves the index, and reports that `changed` changed.
    pub(super) async fn publish(&mut self, mut changed: Vec<GameId>) {
        self.publish_at = None;
        changed.extend(std::mem::take(&mut self.unpublished));
        changed.sort();
        changed.dedup();
        self.refresh_view(&changed);
        self.index_changed.send_replace(());
        self.hash_next();
        let incomplete = self.untold_problems(&changed);
        self.handles
            .emit(PeerEvent::LocalGamesUpdated {
                library_rev: self.library_rev(),
                game_count: self.local.len(),
                changed,
                active_operations: self.operations.all(),
            })
            .await;
        for event in incomplete {
            self.handles.emit(event).await;
        }
    }

    /// What is to be told of games that are not whole: once for each change of what is wrong.
    fn untold_problems(&mut self, changed: &[GameId]) -> Vec<PeerEvent> {
        let mut untold = Vec::new();
        for game_id in changed {
            let problems = self.local.get(game_id).map(LocalGame::all_problems).unwrap_or_default();
            if problems.is_empty() {
                self.told_problems.remove(game_id);
            } else if self.told_problems.get(game_id) != Some(&problems) {
                self.told_problems.insert(game_id.clone(), problems.clone());
                untold.push(PeerEvent::GameIncomplete { game_id: game_id.clone(), problems });
            }
        }
        untold
    }

    /// Lets the network see of these games what is ready now. The others are not looked at.
    pub(super) fn refresh_view(&mut self, changed: &[GameId]) {
        let mut games = self.view.borrow().games().clone();
        let mut is_announced_otherwise = false;
        for game_id in changed {
            let before = games.remove(game_id).map(|game| summary(game_id, &game.manifest));
            let now = self.ready_game(game_id);
            let after = now.as_ref().map(|game| summary(game_id, &game.manifest));
            is_announced_otherwise |= before != after;
            games.extend(now.map(|game| (game_id.clone(), game)));
        }
        if is_announced_otherwise {
            let rev = self.index.next_rev();
            let summaries = games.iter().map(|(game_id, game)| summary(game_id, &game.manifest));
            self.announced = Arc::new(LibrarySnapshot { rev, games: summaries.collect() });
        }
        let view = View::new(Arc::clone(&self.announced), games);
        self.view.send_replace(Arc::new(view.being_made(self.is_patient())));
    }

    /// A game, if it may be announced and served: downloaded at the catalog's version, whole, of the
    /// catalog's content where it knows it, and with nothing being done with it but to verify it.
    fn ready_game(&self, game_id: &GameId) -> Option<ServedGame> {
        let local = self.local.get(game_id)?;
        let manifest = local.manifest.as_ref()?;
        let expected = self.handles.catalog.get(game_id)?;
        let is_ready = local.version.as_ref() == Some(&expected.version)
            && !local.is_other_content(expected.content_root)
            && !local.is_incomplete()
            && matches!(self.operations.get(game_id), None | Some(Operation::Verifying));
        is_ready.then(|| ServedGame {
            root: self.root_of(game_id),
            manifest: Arc::clone(manifest),
            fingerprint: local.fingerprint.clone(),
            old_content_roots: Arc::clone(&local.old_content_roots),
            attributes: local.attributes.page().clone(),
        })
    }

    pub(super) fn root_of(&self, game_id: &GameId) -> PathBuf {
        self.games_dir.join(game_id.as_str())
    }

    /// Whether the game is here at the catalog's version.
    pub(super) fn is_downloaded(&self, game_id: &GameId) -> bool {
        let expected = self.handles.catalog.get(game_id).map(|game| &game.version);
        let found = self.local.get(game_id).and_then(|local| local.version.as_ref());
        expected.is_some() && expected == found
    }

    /// Changes the games directory, one change at a time. No operation can begin meanwhile, so
    /// that what a crash left in the new directory can be settled.
    pub(super) fn set_game_dir(&mut self, path: PathBuf, reply: Reply<PathBuf>) {
        if self.is_changing_dir {
            let _ = reply.send(Err(CommandError::ChangingGamesDir));
            return;
        }
        if let Some(active) = self.operations.all().into_iter().next() {
            let (game_id, operation) = (active.game_id, active.operation);
            let _ = reply.send(Err(CommandError::OperationsActive { game_id, operation }));
            return;
        }
        self.is_changing_dir = true;
        let (catalog, index) = (Arc::clone(&self.handles.catalog), self.index.clone());
        let (inbox_sender, state_dir) =
            (self.handles.inbox_sender.clone(), self.handles.state_dir.clone());
        // Not cut off at shutdown: recovery may write.
        self.handles.tasks.spawn_to_end(async move {
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

    pub(super) async fn on_games_dir_scanned(
        &mut self,
        outcome: Result<(PathBuf, Scan), GamesDirError>,
        reply: Reply<PathBuf>,
    ) {
        self.is_changing_dir = false;
        let (games_dir, scan) = match outcome {
            Ok(scanned) => scanned,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        let changed: Vec<GameId> = self.local.keys().chain(scan.games.keys()).cloned().collect();
        log_warnings(&scan.warnings);
        self.games_dir = games_dir.clone();
        self.local.clear();
        self.out_of_reach.clear();
        self.to_hash.clear();
        self.to_settle.clear();
        self.told_problems.clear();
        // Where no game is found, the disk may not be mounted.
        let found = &scan.games;
        self.index.retain(&games_dir, |id| found.is_empty() || found.contains_key(id));
        for (game_id, local) in scan.games {
            self.take_over(&game_id, Some(local));
        }
        self.unhashable.clear();
        self.rescans.overtake_all();
        self.find_games_dir_at = None;
        self.games_mount = None;
        self.watched.send_replace(games_dir.clone());
        // The look at the directory before is of no use any more.
        let waiting = self.end_first_look();
        self.empty_trash();
        self.publish(changed).await;
        let _ = reply.send(Ok(games_dir));
        self.handle_commands(waiting).await;
    }
}

impl From<ScanError> for GamesDirError {
    fn from(error: ScanError) -> Self {
        Self { path: error.path, source: error.source }
    }
}

/// Tells what a user should hear of.
pub(super) fn log_warnings(warnings: &[ScanWarning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Looks at one root, off the async workers.
pub(super) async fn look_at(
    games_dir: PathBuf,
    game_id: GameId,
    index: Index,
) -> Option<LocalGame> {
    look(move || scan_game(&games_dir, &game_id, &index)).await
}

/// Looks at one root of which `known` tells the content, off the async workers.
pub(super) async fn look_at_known(
    games_dir: PathBuf,
    game_id: GameId,
    known: KnownContent,
) -> Option<LocalGame> {
    look(move || scan_known_game(&games_dir, &game_id, Some(&known))).await
}

async fn look(scan: impl FnOnce() -> GameScan + Send + 'static) -> Option<LocalGame> {
    let work = move || {
        let scan = scan();
        log_warnings(&scan.warnings);
        scan.game
    };
    // A look that panicked found nothing, and the next scan looks again.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

fn summary(game_id: &GameId, manifest: &Manifest) -> GameSummary {
    GameSummary {
        id: game_id.clone(),
        version: manifest.version().clone(),
        size: manifest.total_size(),
        manifest_hash: manifest.manifest_hash(),
        content_root: manifest.content_root(),
    }
}
