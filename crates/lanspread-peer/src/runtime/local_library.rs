//! The command loop's part about the games on this disk: what is there, hashed and announced.

mod first_look;
mod hashing;
mod rescans;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_library::{
    GameProblems, GameScan, Index, KnownContent, LocalGame, RescanScheduler, Scan, ScanError,
    ScanWarning, scan_game, scan_known_game,
};
use lanspread_proto::library::{GameSummary, LibrarySnapshot};
use lanspread_proto::{GameId, Manifest};
use lanspread_serve::published_library::{PublishedLibrary, ServedGame};
use tokio::sync::watch;
use tokio::time::Instant;

use self::first_look::FirstLook;
use super::handles::Handles;
use super::recovery::empty_trash;
use crate::command::PeerCommand;
use crate::error::GamesDirError;
use crate::event::PeerEvent;
use crate::operation::Operation;
use crate::operation::table::OperationTable;

/// The games on this disk, and what is known, hashed and announced of them.
pub(super) struct LocalLibrary {
    pub(super) games_dir: PathBuf,
    pub(super) games: BTreeMap<GameId, LocalGame>,
    /// The games of a games directory that cannot be read at the moment.
    out_of_reach: BTreeMap<GameId, LocalGame>,
    /// There until every game was looked at for the first time.
    pub(super) first_look: Option<FirstLook>,
    pub(super) index: Index,
    /// Told when there may be something to save.
    index_changed: watch::Sender<()>,
    pub(super) rescans: RescanScheduler,
    /// The games directory that the local monitor watches: always the one in use.
    watched: watch::Sender<PathBuf>,
    /// When to look for the games directory, which could not be read the last time.
    pub(super) find_games_dir_at: Option<Instant>,
    /// The mount in which a quick scan found games last; `None` if it found none.
    games_mount: Option<u64>,
    announced: Arc<LibrarySnapshot>,
    publisher: watch::Sender<Arc<PublishedLibrary>>,
    /// Games whose files are listed and not hashed.
    to_hash: BTreeSet<GameId>,
    /// The games that are being hashed.
    hashing: BTreeSet<GameId>,
    /// Games whose hashes a peer waits for: they come first.
    hashes_wanted: BTreeSet<GameId>,
    /// Games whose hashing failed, or gave another content than the catalog's: not tried again.
    pub(super) unhashable: BTreeSet<GameId>,
    /// Games with files that are to be read once more, after a pause.
    settling: BTreeSet<GameId>,
    /// Those of them whose pause is over.
    to_settle: BTreeSet<GameId>,
    /// What was told last of games that are not whole.
    told_problems: BTreeMap<GameId, GameProblems>,
    /// Games that were hashed since the last publication.
    unpublished: BTreeSet<GameId>,
    /// When they are published at the latest.
    pub(super) publish_at: Option<Instant>,
}

impl LocalLibrary {
    /// A library of which no game has been looked at. `watched` is told which games directory is in use,
    /// `index_changed` when there may be something to save.
    pub(super) fn new(
        games_dir: PathBuf,
        index: Index,
        index_changed: watch::Sender<()>,
        watched: watch::Sender<PathBuf>,
        publisher: watch::Sender<Arc<PublishedLibrary>>,
    ) -> Self {
        let announced = Arc::new(LibrarySnapshot { rev: index.library_rev(), games: Vec::new() });
        // Until the games were looked at, nothing is announced.
        publisher.send_replace(Arc::new(
            PublishedLibrary::new(Arc::clone(&announced), BTreeMap::new()).with_scan_running(true),
        ));
        Self {
            games_dir,
            games: BTreeMap::new(),
            out_of_reach: BTreeMap::new(),
            first_look: Some(FirstLook::new()),
            index,
            index_changed,
            rescans: RescanScheduler::default(),
            watched,
            find_games_dir_at: None,
            games_mount: None,
            announced,
            publisher,
            to_hash: BTreeSet::new(),
            hashing: BTreeSet::new(),
            hashes_wanted: BTreeSet::new(),
            unhashable: BTreeSet::new(),
            settling: BTreeSet::new(),
            to_settle: BTreeSet::new(),
            told_problems: BTreeMap::new(),
            unpublished: BTreeSet::new(),
            publish_at: None,
        }
    }

    pub(super) fn library_rev(&self) -> u64 {
        self.announced.rev
    }

    /// Takes over what the look at the end of an operation found.
    pub(super) fn replace_local(
        &mut self,
        game_id: &GameId,
        local: Option<LocalGame>,
        handles: &Handles,
    ) {
        self.rescans.overtake(game_id);
        let local = local.map(|found| match self.games.get(game_id) {
            Some(known) => found.keep_hashes_of(known),
            None => found,
        });
        self.take_over(game_id, local, handles);
    }

    /// Takes over what a look at one root found.
    pub(super) fn take_over(
        &mut self,
        game_id: &GameId,
        local: Option<LocalGame>,
        handles: &Handles,
    ) {
        let Some(local) = local else {
            self.games.remove(game_id);
            self.to_hash.remove(game_id);
            self.told_problems.remove(game_id);
            // Where no game is left, the disk may not be mounted.
            if !self.games.is_empty() {
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
        self.settle_later(game_id, &local, handles);
        self.games.insert(game_id.clone(), local);
    }

    /// Announces and serves what is ready now, saves the index, and reports that `changed` changed.
    pub(super) fn publish(
        &mut self,
        mut changed: Vec<GameId>,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        self.publish_at = None;
        changed.extend(std::mem::take(&mut self.unpublished));
        changed.sort();
        changed.dedup();
        self.refresh_view(&changed, operations, handles);
        self.index_changed.send_replace(());
        self.hash_next(operations, handles);
        let incomplete = self.untold_problems(&changed);
        handles.emit(PeerEvent::LocalGamesUpdated {
            library_rev: self.library_rev(),
            game_count: self.games.len(),
            changed,
            active_operations: operations.all(),
        });
        for event in incomplete {
            handles.emit(event);
        }
    }

    /// What is to be told of games that are not whole: once for each change of what is wrong.
    fn untold_problems(&mut self, changed: &[GameId]) -> Vec<PeerEvent> {
        let mut untold = Vec::new();
        for game_id in changed {
            let problems = self.games.get(game_id).map(LocalGame::all_problems).unwrap_or_default();
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
    pub(super) fn refresh_view(
        &mut self,
        changed: &[GameId],
        operations: &OperationTable,
        handles: &Handles,
    ) {
        let mut games = self.publisher.borrow().games().clone();
        let mut is_announced_otherwise = false;
        for game_id in changed {
            let before = games.remove(game_id).map(|game| summary(game_id, &game.manifest));
            let now = self.ready_game(game_id, operations, handles);
            let after = now.as_ref().map(|game| summary(game_id, &game.manifest));
            is_announced_otherwise |= before != after;
            games.extend(now.map(|game| (game_id.clone(), game)));
        }
        if is_announced_otherwise {
            let rev = self.index.next_rev();
            let summaries = games.iter().map(|(game_id, game)| summary(game_id, &game.manifest));
            self.announced = Arc::new(LibrarySnapshot { rev, games: summaries.collect() });
        }
        let library = PublishedLibrary::new(Arc::clone(&self.announced), games);
        self.publisher.send_replace(Arc::new(library.with_scan_running(self.is_patient())));
    }

    /// Takes over another games directory, of which all games were looked at. Returns the commands that
    /// have waited for the look at the directory before.
    pub(super) fn use_games_dir(
        &mut self,
        games_dir: PathBuf,
        scan: Scan,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        let changed: Vec<GameId> = self.games.keys().chain(scan.games.keys()).cloned().collect();
        log_warnings(&scan.warnings);
        self.games_dir.clone_from(&games_dir);
        self.games.clear();
        self.out_of_reach.clear();
        self.to_hash.clear();
        self.to_settle.clear();
        self.told_problems.clear();
        // Where no game is found, the disk may not be mounted.
        let found = &scan.games;
        self.index.retain(&games_dir, |id| found.is_empty() || found.contains_key(id));
        for (game_id, local) in scan.games {
            self.take_over(&game_id, Some(local), handles);
        }
        self.unhashable.clear();
        self.rescans.overtake_all();
        self.find_games_dir_at = None;
        self.games_mount = None;
        self.watched.send_replace(games_dir);
        // The look at the directory before is of no use any more.
        let waiting = self.end_first_look();
        empty_trash(&self.games_dir, handles);
        self.publish(changed, operations, handles);
        waiting
    }

    /// A game, if it may be announced and served: downloaded at the catalog's version, whole, of the
    /// catalog's content where it knows it, and with nothing being done with it but to verify it.
    fn ready_game(
        &self,
        game_id: &GameId,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Option<ServedGame> {
        let local = self.games.get(game_id)?;
        let manifest = local.manifest.as_ref()?;
        let expected = handles.catalog.get(game_id)?;
        let is_ready = local.version.as_ref() == Some(&expected.version)
            && !local.is_other_content(expected.content_root)
            && !local.is_incomplete()
            && matches!(operations.get(game_id), None | Some(Operation::Verifying));
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
    pub(super) fn is_downloaded(&self, game_id: &GameId, handles: &Handles) -> bool {
        let expected = handles.catalog.get(game_id).map(|game| &game.version);
        let found = self.games.get(game_id).and_then(|local| local.version.as_ref());
        expected.is_some() && expected == found
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
