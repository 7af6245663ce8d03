//! Looks at game roots, and reads nothing but what changed since the index was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use lanspread_catalog::{Catalog, VersionIni, read_version_ini};
use lanspread_disk::game_file::open_game_file;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{FileBits, GameId, GameVersion, Manifest, ManifestFile};

use crate::index::Index;
use crate::local_game::LocalGame;
use crate::names::root_ids;
use crate::problem::{GameProblem, GameProblems, ProblemReason};
use crate::stamp::{Fingerprint, KnownContent, StampedFile};
use crate::walk::{Listing, RootError, list_root};

/// Something in the place of a root, or in it, that is passed over.
#[derive(Debug, thiserror::Error)]
#[error("game {game_id}: {} is neither a file nor a directory of its own and is passed over", path.display())]
pub struct ScanWarning {
    /// Which game.
    pub game_id: GameId,
    /// What is passed over.
    pub path: PathBuf,
}

/// What a scan of one root found.
#[derive(Debug, Default)]
pub struct GameScan {
    /// The game; `None` when it is neither downloaded nor installed.
    pub game: Option<LocalGame>,
    /// What a user should hear of.
    pub warnings: Vec<ScanWarning>,
}

/// What a scan of a games directory found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The games that are downloaded or installed.
    pub games: BTreeMap<GameId, LocalGame>,
    /// What a user should hear of, in game id order.
    pub warnings: Vec<ScanWarning>,
}

/// Why a games directory was not scanned.
#[derive(Debug, thiserror::Error)]
#[error("cannot read games directory {}: {source}", path.display())]
pub struct ScanError {
    /// The games directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Scans every game of the catalog in `games_dir`.
///
/// A game root is a directory directly in `games_dir` with the name of a game in the catalog.
/// A symbolic link in place of a root is not followed, so that deleting or serving a game never
/// reaches out of the games directory; a whole games directory may be a link.
///
/// # Errors
/// [`ScanError`] when `games_dir` itself cannot be read. What is wrong with one game is told with it.
pub fn scan_games_dir(
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
pub fn scan_games(
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

/// Returns the games of the catalog of which there is something in `games_dir`, in id order.
///
/// # Errors
/// [`ScanError`] when `games_dir` cannot be read.
pub fn roots(games_dir: &Path, catalog: &Catalog) -> Result<BTreeSet<GameId>, ScanError> {
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
/// than the sentinel and those that have to be read anew, to see whether they can be.
pub fn scan_game(games_dir: &Path, game_id: &GameId, index: &Index) -> GameScan {
    scan_known_game(games_dir, game_id, index.known(games_dir, game_id).as_ref())
}

/// As [`scan_game`], with hashes from `known`.
pub fn scan_known_game(
    games_dir: &Path,
    game_id: &GameId,
    known: Option<&KnownContent>,
) -> GameScan {
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
    GameScan { game: judge(&root, listing, known), warnings }
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
    let Listing {
        fingerprint, has_sentinel, installed, mut problems, has_more_directories, ..
    } = listing;
    if !has_sentinel {
        return installed.then(|| LocalGame { installed, ..LocalGame::default() });
    }
    let sentinel = read_sentinel(root, &mut problems);
    let manifest = sentinel.as_ref().and_then(|sentinel| {
        let version = &sentinel.version;
        let is_known =
            |it: &&KnownContent| it.is_of(&fingerprint) && it.manifest.version() == version;
        match known.filter(is_known) {
            Some(known) => Some(Arc::clone(&known.manifest)),
            None => list_content(root, version, &fingerprint, known, &mut problems),
        }
    });
    let (version, version_ini) = match sentinel {
        Some(VersionIni { version, bytes }) => (Some(version), bytes.map(Arc::from)),
        None => (None, None),
    };
    let is_there = installed || version.is_some() || !problems.is_empty();
    let problems = Arc::new(problems);
    let game = LocalGame {
        remembered: remembered_bits(known, &fingerprint),
        leaves_out_directories: has_more_directories,
        version,
        version_ini,
        installed,
        fingerprint,
        manifest,
        problems,
        ..LocalGame::default()
    };
    is_there.then(|| game.with_old_content_roots().with_attributes())
}

/// Returns what is remembered of executable bits, unless the file system turns out to keep them.
pub(super) fn remembered_bits(
    known: Option<&KnownContent>,
    fingerprint: &Fingerprint,
) -> Option<FileBits> {
    known.filter(|_| !fingerprint.tells_files_apart())?.remembered_of(fingerprint)
}

/// Reads the sentinel; `None` where it tells no version.
pub(super) fn read_sentinel(root: &Path, problems: &mut GameProblems) -> Option<VersionIni> {
    // That there is none means that it is gone, or another kind of thing by now.
    read_version_ini(root).unwrap_or_else(|error| {
        let (path, reason) = (VERSION_FILE.to_owned(), ProblemReason::BadVersion);
        problems.add(GameProblem { path, reason, message: error.to_string() });
        None
    })
}

fn list_content(
    root: &Path,
    version: &GameVersion,
    fingerprint: &Fingerprint,
    known: Option<&KnownContent>,
    problems: &mut GameProblems,
) -> Option<Arc<Manifest>> {
    let files = fingerprint.files().iter().map(|found| manifest_file(found, known)).collect();
    match Manifest::new(version.clone(), files) {
        Ok(manifest) => {
            check_readable(root, &manifest, problems);
            Some(Arc::new(manifest))
        }
        Err(error) => {
            // That there are too many is told already.
            if problems.is_empty() {
                problems.add(GameProblem::of_manifest(&error));
            }
            None
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
