//! Looks at game roots, and reads nothing but what changed since the index was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_catalog::{Catalog, read_version};
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{GameId, GameVersion, Manifest, ManifestFile, RelPath};

use crate::library::game_file::open_game_file;
use crate::library::index::Index;
use crate::library::names::root_ids;
use crate::library::stamp::{Fingerprint, KnownContent, StampedFile};
use crate::library::walk::{Listing, RootError, list_root};
use crate::problem::{GameProblem, GameProblems, ProblemReason};

/// A game of the catalog of which there is something on this disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalGame {
    /// What `version.ini` says, where it is a regular file directly in the root.
    pub(crate) version: Option<GameVersion>,
    /// Whether `local/` is a directory, and not a link to one.
    pub(crate) installed: bool,
    /// What the root looked like.
    pub(crate) fingerprint: Fingerprint,
    /// The transferable files, with the hashes known so far. `None` without a version, and where
    /// the files cannot be listed.
    pub(crate) manifest: Option<Arc<Manifest>>,
    /// Files whose time was too close to the moment at which they were hashed: they have to be read
    /// once more before their time stands for their content.
    pub(crate) doubtful: Arc<BTreeSet<RelPath>>,
    /// What belongs to the game and cannot travel.
    pub(crate) problems: Arc<GameProblems>,
    /// The file that could not be read when it was to be hashed.
    pub(crate) unread: Option<Arc<GameProblem>>,
}

impl LocalGame {
    /// Keeps what is known of the same files: it may have become known while this was being found.
    pub(crate) fn keep_hashes_of(mut self, known: &Self) -> Self {
        if self.fingerprint != known.fingerprint {
            return self;
        }
        if let (Some(found), Some(manifest)) = (&self.manifest, &known.manifest)
            && found.manifest_hash() == manifest.manifest_hash()
            && found.content_root().is_none()
        {
            self.manifest = Some(Arc::clone(manifest));
            self.doubtful = Arc::clone(&known.doubtful);
        }
        self.unread = self.unread.or_else(|| known.unread.clone());
        self
    }

    /// Takes back what is thought to be known of the content of some files.
    pub(crate) fn without_hashes(&self, paths: &BTreeSet<RelPath>) -> Self {
        let manifest = self.manifest.as_ref().map(|manifest| {
            let unhashed = |file: &ManifestFile| match paths.contains(&file.path) {
                true => ManifestFile { hashes: None, ..file.clone() },
                false => file.clone(),
            };
            let files = manifest.files().iter().map(unhashed).collect();
            // Without some hashes, it breaks no rule that it kept before.
            Manifest::new(manifest.version().clone(), files).map_or(Arc::clone(manifest), Arc::new)
        });
        Self { manifest, ..self.clone() }
    }

    /// Whether its files are listed and not all hashed.
    pub(crate) fn is_unhashed(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.content_root().is_none())
    }

    /// Whether something of it cannot travel, so that nobody can get the whole game from here.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.problems.is_empty() || self.unread.is_some()
    }

    /// All that keeps it from being whole.
    pub(crate) fn all_problems(&self) -> GameProblems {
        let mut problems = self.problems.as_ref().clone();
        if let Some(unread) = &self.unread {
            problems.add(unread.as_ref().clone());
        }
        problems
    }

    /// What the index is told of it.
    pub(crate) fn known_content(&self) -> Option<KnownContent> {
        let manifest = Arc::clone(self.manifest.as_ref()?);
        let is_doubtful = |path: &RelPath| self.doubtful.contains(path);
        Some(KnownContent::new(manifest, &self.fingerprint, is_doubtful))
    }
}

/// Something in the place of a root, or in it, that is passed over.
#[derive(Debug, thiserror::Error)]
#[error("game {game_id}: {} is neither a file nor a directory of its own and is passed over", path.display())]
pub(crate) struct ScanWarning {
    /// Which game.
    pub(crate) game_id: GameId,
    /// What is passed over.
    pub(crate) path: PathBuf,
}

/// What a scan of one root found.
#[derive(Debug, Default)]
pub(crate) struct GameScan {
    /// The game; `None` when it is neither downloaded nor installed.
    pub(crate) game: Option<LocalGame>,
    /// What a user should hear of.
    pub(crate) warnings: Vec<ScanWarning>,
}

/// What a scan of a games directory found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The games that are downloaded or installed.
    pub(crate) games: BTreeMap<GameId, LocalGame>,
    /// What a user should hear of, in game id order.
    pub(crate) warnings: Vec<ScanWarning>,
}

/// Why a games directory was not scanned.
#[derive(Debug, thiserror::Error)]
#[error("cannot read games directory {}: {source}", path.display())]
pub(crate) struct ScanError {
    /// The games directory.
    pub(crate) path: PathBuf,
    /// What the system said.
    pub(crate) source: io::Error,
}

/// Scans every game of the catalog in `games_dir`.
///
/// A game root is a directory directly in `games_dir` with the name of a game in the catalog.
/// A symbolic link in place of a root is not followed, so that deleting or serving a game never
/// reaches out of the games directory; a whole games directory may be a link.
///
/// # Errors
/// [`ScanError`] when `games_dir` itself cannot be read. What is wrong with one game is told with it.
pub(crate) fn scan_games_dir(
    games_dir: &Path,
    catalog: &Catalog,
    index: &Index,
) -> Result<Scan, ScanError> {
    let mut result = Scan::default();
    for game_id in roots(games_dir, catalog)? {
        result.scan_one(games_dir, game_id, index);
    }
    Ok(result)
}

/// Scans some games; those that are not there are left out.
///
/// # Errors
/// [`ScanError`] when `games_dir` itself cannot be read: then nothing is known about any game, and
/// least of all that it is gone.
pub(crate) fn scan_games(
    games_dir: &Path,
    game_ids: &BTreeSet<GameId>,
    index: &Index,
) -> Result<Scan, ScanError> {
    let mut result = Scan::default();
    for game_id in game_ids {
        result.scan_one(games_dir, game_id.clone(), index);
    }
    // Asked last: a directory that is there now was there all the time, or the monitor says so.
    match fs::read_dir(games_dir) {
        Ok(_) => Ok(result),
        Err(source) => Err(ScanError { path: games_dir.to_path_buf(), source }),
    }
}

impl Scan {
    fn scan_one(&mut self, games_dir: &Path, game_id: GameId, index: &Index) {
        let scan = scan_game(games_dir, &game_id, index);
        self.warnings.extend(scan.warnings);
        self.games.extend(scan.game.map(|game| (game_id, game)));
    }
}

/// The games of the catalog of which there is something in `games_dir`, in id order.
///
/// # Errors
/// [`ScanError`] when `games_dir` cannot be read.
pub(crate) fn roots(games_dir: &Path, catalog: &Catalog) -> Result<BTreeSet<GameId>, ScanError> {
    let failed = |source| ScanError { path: games_dir.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(games_dir).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(root_ids(games_dir, catalog, names.into_iter()))
}

/// Scans one game, whether or not its root is there.
///
/// What looks as it did when it was hashed takes its hashes from the index; no other file is opened
/// than those that have to be read anew, to see whether they can be.
pub(crate) fn scan_game(games_dir: &Path, game_id: &GameId, index: &Index) -> GameScan {
    let root = games_dir.join(game_id.as_str());
    let warning = |path| ScanWarning { game_id: game_id.clone(), path };
    let listing = match list_root(&root) {
        Ok(Some(listing)) => listing,
        Ok(None) => return GameScan::default(),
        Err(RootError::Special) => {
            return GameScan { game: None, warnings: vec![warning(root)] };
        }
        Err(RootError::Unreadable(error)) => return GameScan::broken(String::new(), &error),
    };
    let warnings = listing.misplaced.iter().cloned().map(warning).collect();
    let known = index.known(games_dir, game_id);
    GameScan { game: judge(&root, listing, known.as_ref()), warnings }
}

impl GameScan {
    fn broken(path: String, error: &io::Error) -> Self {
        let mut problems = GameProblems::default();
        let (reason, message) = (ProblemReason::Unreadable, format!("it cannot be read: {error}"));
        problems.add(GameProblem { path, reason, message });
        let game = LocalGame { problems: Arc::new(problems), ..LocalGame::default() };
        Self { game: Some(game), warnings: Vec::new() }
    }
}

fn judge(root: &Path, listing: Listing, known: Option<&KnownContent>) -> Option<LocalGame> {
    let Listing { fingerprint, has_sentinel, installed, mut problems, .. } = listing;
    if !has_sentinel {
        return installed.then(|| LocalGame { installed, ..LocalGame::default() });
    }
    let (version, manifest) = match known.filter(|known| known.is_of(&fingerprint)) {
        Some(known) => (Some(known.manifest.version().clone()), Some(Arc::clone(&known.manifest))),
        None => read_root(root, &fingerprint, known, &mut problems),
    };
    let is_there = installed || version.is_some() || !problems.is_empty();
    let problems = Arc::new(problems);
    let game =
        LocalGame { version, installed, fingerprint, manifest, problems, ..LocalGame::default() };
    is_there.then_some(game)
}

fn read_root(
    root: &Path,
    fingerprint: &Fingerprint,
    known: Option<&KnownContent>,
    problems: &mut GameProblems,
) -> (Option<GameVersion>, Option<Arc<Manifest>>) {
    let version = match read_version(root) {
        Ok(Some(version)) => version,
        // It is gone, or another kind of thing by now.
        Ok(None) => return (None, None),
        Err(error) => {
            let (path, reason) = (VERSION_FILE.to_owned(), ProblemReason::BadVersion);
            problems.add(GameProblem { path, reason, message: error.to_string() });
            return (None, None);
        }
    };
    let files = fingerprint.files().iter().map(|found| manifest_file(found, known)).collect();
    match Manifest::new(version.clone(), files) {
        Ok(manifest) => {
            check_readable(root, &manifest, problems);
            (Some(version), Some(Arc::new(manifest)))
        }
        Err(error) => {
            // That there are too many is told already.
            if problems.is_empty() {
                let (path, reason) = (String::new(), ProblemReason::TooLarge);
                problems.add(GameProblem { path, reason, message: error.to_string() });
            }
            (Some(version), None)
        }
    }
}

fn manifest_file(found: &StampedFile, known: Option<&KnownContent>) -> ManifestFile {
    let same = known.and_then(|known| known.manifest.files().get(known.position(found)?));
    same.cloned().unwrap_or_else(|| ManifestFile {
        path: found.path.clone(),
        size: found.stamp.size,
        hashes: None,
    })
}

/// Looks whether the files can be opened that will have to be read.
fn check_readable(root: &Path, manifest: &Manifest, problems: &mut GameProblems) {
    for file in manifest.files().iter().filter(|file| file.hashes.is_none()) {
        match open_game_file(root, &file.path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => problems.add(GameProblem {
                path: file.path.to_string(),
                reason: ProblemReason::Unreadable,
                message: format!("it cannot be read: {error}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
