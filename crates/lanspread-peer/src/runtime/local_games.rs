//! The command loop's part about the games on this disk: what is there, hashed and announced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::message::{GameSummary, LibrarySnapshot};
use lanspread_proto::{GameId, Manifest};
use tokio::time::Instant;

use super::core::Core;
use super::messages::CoreMessage;
use super::startup::{check_games_dir, recover};
use crate::command::Reply;
use crate::error::{CommandError, GamesDirError};
use crate::event::PeerEvent;
use crate::library::{
    HashError, Index, LocalGame, Scan, ScanError, hash_manifest, scan_game, scan_games_dir,
};
use crate::net::view::{ServedGame, View};

/// How long games that were hashed wait to be published together: a library of small games is
/// hashed at hundreds a second, and each publication costs every peer a message.
const HASHED_PUBLISH_PAUSE: Duration = Duration::from_millis(250);

impl Core {
    pub(super) fn library_rev(&self) -> u64 {
        self.announced.rev
    }

    /// Takes over what the look at the end of an operation found.
    pub(super) fn replace_local(&mut self, game_id: &GameId, local: Option<LocalGame>) {
        self.rescans.overtake(game_id);
        self.take_over(game_id, local);
    }

    /// Takes over what a look at one root found.
    pub(super) fn take_over(&mut self, game_id: &GameId, local: Option<LocalGame>) {
        let Some(local) = local else {
            self.local.remove(game_id);
            self.to_hash.remove(game_id);
            self.index.forget(&self.games_dir, game_id);
            return;
        };
        if let Some(manifest) = &local.manifest {
            let (fingerprint, manifest) = (local.fingerprint.clone(), Arc::clone(manifest));
            self.index.record(&self.games_dir, game_id.clone(), fingerprint, manifest);
        }
        if local.is_unhashed() {
            self.to_hash.insert(game_id.clone());
        } else {
            self.to_hash.remove(game_id);
        }
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
        self.emit(PeerEvent::LocalGamesUpdated {
            library_rev: self.library_rev(),
            game_count: self.local.len(),
            changed,
            active_operations: self.operations.all(),
        })
        .await;
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
        self.view.send_replace(Arc::new(view));
    }

    /// A game, if it may be announced and served: downloaded at the catalog's version, of the
    /// catalog's content where it knows it, and with nothing being done with it.
    fn ready_game(&self, game_id: &GameId) -> Option<ServedGame> {
        let local = self.local.get(game_id)?;
        let manifest = local.manifest.as_ref()?;
        let expected = self.catalog.get(game_id)?;
        let is_other_content = match (expected.content_root, manifest.content_root()) {
            (Some(expected), Some(found)) => expected != found,
            _ => false,
        };
        let is_ready = local.version.as_ref() == Some(&expected.version)
            && !is_other_content
            && self.operations.get(game_id).is_none();
        is_ready.then(|| ServedGame { root: self.root_of(game_id), manifest: Arc::clone(manifest) })
    }

    pub(super) fn root_of(&self, game_id: &GameId) -> PathBuf {
        self.games_dir.join(game_id.as_str())
    }

    /// Whether the game is here at the catalog's version.
    pub(super) fn is_downloaded(&self, game_id: &GameId) -> bool {
        let expected = self.catalog.get(game_id).map(|game| &game.version);
        let found = self.local.get(game_id).and_then(|local| local.version.as_ref());
        expected.is_some() && expected == found
    }

    /// Starts hashing what is served without hashes: one game after the other, and beside it one
    /// that a peer waits for, so that a small game does not wait for a large one.
    pub(super) fn hash_next(&mut self) {
        while let Some(game_id) = self.next_to_hash() {
            self.hashes_wanted.remove(&game_id);
            self.hash(game_id);
        }
    }

    fn next_to_hash(&self) -> Option<GameId> {
        let wanted = self.hashes_wanted.iter().find(|game_id| self.is_to_hash(game_id));
        match self.hashing.len() {
            0 => wanted.or_else(|| self.to_hash.iter().find(|game_id| self.is_to_hash(game_id))),
            1 => wanted,
            _ => None,
        }
        .cloned()
    }

    fn is_to_hash(&self, game_id: &GameId) -> bool {
        self.to_hash.contains(game_id)
            && self.operations.get(game_id).is_none()
            && !self.unhashable.contains(game_id)
            && !self.hashing.contains(game_id)
    }

    pub(super) fn want_hashes(&mut self, game_id: GameId) {
        if self.is_to_hash(&game_id) {
            self.hashes_wanted.insert(game_id);
            self.hash_next();
        }
    }

    fn hash(&mut self, game_id: GameId) {
        let Some(local) = self.local.get(&game_id).cloned() else { return };
        let Some(manifest) = local.manifest.clone() else { return };
        self.hashing.insert(game_id.clone());
        let root = self.root_of(&game_id);
        let root_of_hash = root.clone();
        let (core, cancel) = (self.core.clone(), self.cancel.clone());
        self.spawn(async move {
            let is_cancelled = move || cancel.is_cancelled();
            let work = move || hash_manifest(&root, &manifest, &is_cancelled);
            let outcome = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
                Err(HashError::Io { path: root_of_hash, source: io::Error::other(error) })
            });
            let _ = core.send(CoreMessage::Hashed { game_id, scanned: local, outcome }).await;
        });
    }

    pub(super) async fn hashed(
        &mut self,
        game_id: GameId,
        scanned: &LocalGame,
        outcome: Result<Manifest, HashError>,
    ) {
        self.hashing.remove(&game_id);
        match outcome {
            Ok(manifest) => {
                if self.warn_of_other_content(&game_id, &manifest) {
                    self.unhashable.insert(game_id.clone());
                }
                let is_unchanged = |local: &&mut LocalGame| {
                    local.fingerprint == scanned.fingerprint && local.manifest == scanned.manifest
                };
                if let Some(local) = self.local.get_mut(&game_id).filter(is_unchanged) {
                    local.manifest = Some(Arc::new(manifest));
                    let local = local.clone();
                    self.take_over(&game_id, Some(local));
                    self.unpublished.insert(game_id);
                }
            }
            Err(HashError::Cancelled) => {}
            Err(error @ HashError::Changed { .. }) => {
                tracing::warn!(%game_id, %error, "a game changed while it was hashed");
                self.index.forget(&self.games_dir, &game_id);
                self.unhashable.insert(game_id.clone());
                self.look_again_later(game_id);
            }
            Err(error) => {
                tracing::warn!(%game_id, %error, "a game could not be hashed");
                self.unhashable.insert(game_id);
            }
        }
        self.hash_next();
        if self.hashing.is_empty() {
            self.publish_hashed().await;
        } else if !self.unpublished.is_empty() && self.publish_at.is_none() {
            self.publish_at = Some(Instant::now() + HASHED_PUBLISH_PAUSE);
        }
    }

    async fn publish_hashed(&mut self) {
        if !self.unpublished.is_empty() {
            self.publish(Vec::new()).await;
        }
    }

    fn warn_of_other_content(&self, game_id: &GameId, manifest: &Manifest) -> bool {
        let expected = self.catalog.get(game_id).and_then(|game| game.content_root);
        let is_other = expected.is_some() && expected != manifest.content_root();
        if is_other {
            tracing::warn!(%game_id, "the content on disk is not the catalog's; it is not announced");
        }
        is_other
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
        let (catalog, index) = (Arc::clone(&self.catalog), self.index.clone());
        let (core, state_dir) = (self.core.clone(), self.state_dir.clone());
        // Not cut off at shutdown: recovery may write.
        self.tasks.spawn(async move {
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
            let _ = core.send(CoreMessage::GamesDirScanned { outcome, reply }).await;
        });
    }

    pub(super) async fn games_dir_scanned(
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
        log_warnings(&scan);
        self.index.absorb(&games_dir, &scan);
        self.games_dir = games_dir.clone();
        self.local = scan.games;
        self.to_hash = unhashed(&self.local);
        self.unhashable.clear();
        self.rescans.overtake_all();
        self.find_games_dir_at = None;
        self.watched.send_replace(games_dir.clone());
        self.empty_trash();
        self.publish(changed).await;
        let _ = reply.send(Ok(games_dir));
    }
}

impl From<ScanError> for GamesDirError {
    fn from(error: ScanError) -> Self {
        Self { path: error.path, source: error.source }
    }
}

/// The games whose files are listed and not hashed.
pub(super) fn unhashed(games: &BTreeMap<GameId, LocalGame>) -> BTreeSet<GameId> {
    let unhashed = games.iter().filter(|(_, local)| local.is_unhashed());
    unhashed.map(|(game_id, _)| game_id.clone()).collect()
}

/// Tells what a user should hear of.
pub(super) fn log_warnings(scan: &Scan) {
    for warning in &scan.warnings {
        tracing::warn!("{warning}");
    }
}

/// Looks at one root, off the async workers.
pub(super) async fn look_at(
    games_dir: PathBuf,
    game_id: GameId,
    index: Index,
) -> Option<LocalGame> {
    let work = move || {
        let scan = scan_game(&games_dir, &game_id, &index);
        for warning in scan.warnings {
            tracing::warn!("{warning}");
        }
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
