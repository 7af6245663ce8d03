//! Looks at game roots, and reads nothing but what changed since the index was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_catalog::{Catalog, read_version};
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{GameId, GameVersion, Manifest};

use crate::library::fingerprint::{Fingerprint, is_archive_name};
use crate::library::index::Index;
use crate::library::names::{root_ids, root_name};
use crate::library::reserved::LOCAL_DIR;
use crate::library::walk::{for_each_entry, walk};
use crate::library::warning::{Problems, ScanProblem, ScanWarning};

/// A game of the catalog that is downloaded, installed, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalGame {
    /// What `version.ini` says, where it is a regular file directly in the root.
    pub(crate) version: Option<GameVersion>,
    /// Whether `local/` is a directory, and not a link to one.
    pub(crate) installed: bool,
    /// What the root looked like.
    pub(crate) fingerprint: Fingerprint,
    /// The transferable files, with the hashes known so far. `None` without a version, and where
    /// the files cannot be listed whole.
    pub(crate) manifest: Option<Arc<Manifest>>,
}

impl LocalGame {
    /// Keeps the hashes that are known of the same files: they may have become known while this
    /// was being found.
    pub(crate) fn keep_hashes_of(mut self, known: &Self) -> Self {
        if let (Some(found), Some(manifest)) = (&self.manifest, &known.manifest)
            && self.fingerprint == known.fingerprint
            && found.manifest_hash() == manifest.manifest_hash()
            && found.content_root().is_none()
        {
            self.manifest = Some(Arc::clone(manifest));
        }
        self
    }

    /// Whether its files are listed and not all hashed.
    pub(crate) fn is_unhashed(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.content_root().is_none())
    }
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
/// [`ScanError`] when `games_dir` itself cannot be read. What is wrong with one game is a warning.
pub(crate) fn scan_games_dir(
    games_dir: &Path,
    catalog: &Catalog,
    index: &Index,
) -> Result<Scan, ScanError> {
    let mut result = Scan::default();
    for game_id in roots(games_dir, catalog)? {
        let scan = scan_game(games_dir, &game_id, index);
        result.warnings.extend(scan.warnings);
        result.games.extend(scan.game.map(|game| (game_id, game)));
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
        let scan = scan_game(games_dir, game_id, index);
        result.warnings.extend(scan.warnings);
        result.games.extend(scan.game.map(|game| (game_id.clone(), game)));
    }
    // Asked last: a directory that is there now was there all the time, or the monitor says so.
    match fs::read_dir(games_dir) {
        Ok(_) => Ok(result),
        Err(source) => Err(ScanError { path: games_dir.to_path_buf(), source }),
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
/// If its fingerprint is the one in the index, its manifest comes from there: the root is listed,
/// and nothing below it is looked at.
pub(crate) fn scan_game(games_dir: &Path, game_id: &GameId, index: &Index) -> GameScan {
    let mut problems = Problems::default();
    let cached = |fingerprint: &Fingerprint| index.manifest(games_dir, game_id, fingerprint);
    let game = look_at(&games_dir.join(game_id.as_str()), cached, &mut problems);
    let game = game.unwrap_or_else(|problem| {
        problems.add(problem);
        None
    });
    let warning = |problem| ScanWarning { game_id: game_id.clone(), problem };
    GameScan { game, warnings: problems.into_told().map(warning).collect() }
}

fn look_at(
    root: &Path,
    cached: impl FnOnce(&Fingerprint) -> Option<Arc<Manifest>>,
    problems: &mut Problems,
) -> Result<Option<LocalGame>, ScanProblem> {
    match fs::symlink_metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(ScanProblem::Special(root.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ScanProblem::Unreadable { path: root.to_path_buf(), source }),
    }
    let Listing { fingerprint, installed } = list_root(root, problems)?;
    let (version, manifest) = match cached(&fingerprint) {
        Some(manifest) => (Some(manifest.version().clone()), Some(manifest)),
        None if fingerprint.has_sentinel() => read_root(root, problems),
        None => (None, None),
    };
    let game = LocalGame { version, installed, fingerprint, manifest };
    Ok((game.installed || game.version.is_some()).then_some(game))
}

/// What one listing of a root tells.
pub(super) struct Listing {
    pub(super) fingerprint: Fingerprint,
    pub(super) installed: bool,
}

/// Lists a root, and looks at nothing below it.
pub(super) fn list_root(root: &Path, problems: &mut Problems) -> Result<Listing, ScanProblem> {
    let mut listing = Listing { fingerprint: Fingerprint::default(), installed: false };
    for_each_entry(root, |entry| {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { return Ok(()) };
        let name = root_name(root, name);
        if name == LOCAL_DIR {
            listing.installed = entry.file_type()?.is_dir();
            if !listing.installed {
                problems.add(ScanProblem::Special(entry.path()));
            }
        } else if name == VERSION_FILE && !entry.file_type()?.is_file() {
            problems.add(ScanProblem::Special(entry.path()));
        } else if (name == VERSION_FILE || is_archive_name(name)) && entry.file_type()?.is_file() {
            let metadata = entry.metadata()?;
            if name == VERSION_FILE {
                listing.fingerprint.set_sentinel(&metadata);
            } else {
                listing.fingerprint.add_archive(name, &metadata);
            }
        }
        Ok(())
    })?;
    Ok(listing)
}

fn read_root(root: &Path, problems: &mut Problems) -> (Option<GameVersion>, Option<Arc<Manifest>>) {
    let version = match read_version(root) {
        Ok(Some(version)) => version,
        Ok(None) => return (None, None),
        Err(error) => {
            problems.add(error.into());
            return (None, None);
        }
    };
    let manifest = walk(root, problems)
        .and_then(|files| Ok(Manifest::new(version.clone(), files)?))
        .map_err(|problem| problems.add(problem));
    (Some(version), manifest.ok().map(Arc::new))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use lanspread_catalog::CatalogGame;
    use lanspread_proto::ManifestFile;
    use tempfile::TempDir;

    use super::*;

    struct Games {
        dir: TempDir,
        state: TempDir,
        catalog: Catalog,
    }

    impl Games {
        fn new() -> Self {
            let game = |id: &str| CatalogGame::new(id.parse().unwrap(), id, "1".parse().unwrap());
            let catalog = Catalog::from_games(["doom", "quake"].map(game)).unwrap();
            Self { dir: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap(), catalog }
        }

        fn write(&self, path: &str, content: &[u8]) {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn index(&self) -> Index {
            Index::load(self.state.path()).unwrap().0
        }

        fn scan(&self, index: &Index) -> Scan {
            scan_games_dir(self.dir.path(), &self.catalog, index).unwrap()
        }

        fn only(&self) -> LocalGame {
            let mut games = self.scan(&self.index()).games;
            assert_eq!(games.len(), 1);
            games.pop_first().unwrap().1
        }

        fn warnings(&self) -> Vec<String> {
            let scan = self.scan(&self.index());
            scan.warnings.iter().map(ToString::to_string).collect()
        }
    }

    fn paths(game: &LocalGame) -> Vec<&str> {
        let files = game.manifest.as_ref().unwrap().files();
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_downloaded_game_lists_every_transferable_file() {
        let games = Games::new();
        games.write("quake/version.ini", b" 20240131 \r\nmore");
        games.write("quake/quake.eti", b"archive");
        games.write("quake/docs/local/read me.txt", b"");
        games.write("quake/docs/.sync/x", b"");
        for reserved in ["local/x", ".local.installing/x", ".local.backup/x", ".sync/x", "LOCAL/x"]
        {
            games.write(&format!("quake/{reserved}"), b"not to be shared");
        }
        for reserved in [".version.ini.tmp", ".lanspread.json", ".softlan_first_start_done"] {
            games.write(&format!("quake/{reserved}"), b"not to be shared");
        }
        let game = games.only();
        assert_eq!(game.version, Some("20240131".parse().unwrap()));
        assert!(game.installed);
        let expected = ["docs/.sync/x", "docs/local/read me.txt", "quake.eti", "version.ini"];
        assert_eq!(paths(&game), expected);
        assert_eq!(games.warnings(), Vec::<String>::new());
    }

    #[test]
    fn only_games_of_the_catalog_that_are_there_count() {
        let games = Games::new();
        games.write("unknown/version.ini", b"1");
        games.write("quake/deep/version.ini", b"1");
        games.write("doom", b"a file");
        assert!(games.scan(&games.index()).games.is_empty());
        fs::create_dir_all(games.dir.path().join("quake/local")).unwrap();
        let game = games.only();
        assert_eq!((game.version, game.installed, game.manifest), (None, true, None));
    }

    #[test]
    fn links_are_neither_followed_nor_listed() {
        let games = Games::new();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("version.ini"), b"1").unwrap();
        games.write("quake/version.ini", b"1");
        let root = games.dir.path().join("quake");
        for link in ["local", "files", "archive.eti"] {
            symlink(outside.path(), root.join(link)).unwrap();
        }
        symlink(outside.path(), games.dir.path().join("doom")).unwrap();
        let game = games.only();
        assert!(!game.installed);
        assert_eq!(paths(&game), ["version.ini"]);
        let warnings = games.warnings();
        assert!(warnings[0].starts_with("game doom: "), "{warnings:?}");
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        fs::remove_file(root.join("version.ini")).unwrap();
        symlink(outside.path().join("version.ini"), root.join("version.ini")).unwrap();
        let scan = games.scan(&games.index());
        assert!(scan.games.is_empty());
        let warnings = scan.warnings.iter().map(ToString::to_string);
        assert!(warnings.into_iter().any(|text| text.contains("version.ini is neither")));
    }

    #[test]
    fn names_that_cannot_travel_are_passed_over_and_told_with_a_bound() {
        let games = Games::new();
        games.write("quake/version.ini", b"1");
        for n in 0..30 {
            games.write(&format!("quake/what?{n}/below"), b"");
        }
        let not_utf8 = std::ffi::OsStr::from_bytes(b"\xff.eti");
        fs::write(games.dir.path().join("quake").join(not_utf8), b"").unwrap();
        assert_eq!(paths(&games.only()), ["version.ini"]);
        let warnings = games.warnings();
        assert_eq!(warnings.len(), 21);
        assert_eq!(warnings[20], "game quake: 11 more files or directories are passed over");
    }

    #[test]
    fn the_walk_ends_where_paths_become_too_deep() {
        let games = Games::new();
        games.write("quake/version.ini", b"1");
        games.write(&format!("quake/{}/file", vec!["d"; 40].join("/")), b"");
        assert_eq!(paths(&games.only()), ["version.ini"]);
        assert_eq!(games.warnings().len(), 1);
    }

    #[test]
    fn a_sentinel_without_a_version_is_none() {
        let games = Games::new();
        games.write("quake/version.ini", b"\n1");
        assert!(games.scan(&games.index()).games.is_empty());
        assert_eq!(games.warnings().len(), 1);
    }

    #[test]
    fn an_unchanged_game_comes_from_the_index_and_a_changed_one_from_the_disk() {
        let games = Games::new();
        games.write("quake/version.ini", b"1");
        games.write("quake/quake.eti", b"archive");
        let mut index = games.index();
        let scan = games.scan(&index);
        index.absorb(games.dir.path(), &scan);
        // A manifest that no walk could bring shows where the answer comes from.
        let id: GameId = "quake".parse().unwrap();
        let file = ManifestFile { path: "other".parse().unwrap(), size: 3, hashes: None };
        let marked = Arc::new(Manifest::new("1".parse().unwrap(), vec![file]).unwrap());
        let fingerprint = scan.games[&id].fingerprint.clone();
        index.record(games.dir.path(), id.clone(), fingerprint, marked);
        games.write("quake/local/save.dat", b"not part of it");
        let game = &games.scan(&index).games[&id];
        assert_eq!((paths(game), game.installed), (vec!["other"], true));

        for name in ["quake.eti", "version.ini"] {
            let path = games.dir.path().join("quake").join(name);
            let file = fs::File::options().write(true).open(path).unwrap();
            let old = file.metadata().unwrap().modified().unwrap();
            file.set_modified(old - Duration::from_nanos(1)).unwrap();
            let game = &games.scan(&index).games[&id];
            assert_eq!(paths(game), ["quake.eti", "version.ini"], "{name}");
            file.set_modified(old).unwrap();
            assert_eq!(paths(&games.scan(&index).games[&id]), ["other"]);
        }
        games.write("quake/second.ETI", b"");
        assert_eq!(paths(&games.scan(&index).games[&id]).len(), 3);
        index.forget(games.dir.path(), &id);
        fs::remove_file(games.dir.path().join("quake/second.ETI")).unwrap();
        assert_eq!(paths(&games.scan(&index).games[&id]).len(), 2);
    }

    #[test]
    fn a_missing_games_directory_is_an_error_and_a_missing_root_is_none() {
        let games = Games::new();
        let index = games.index();
        let missing = games.dir.path().join("missing");
        assert!(scan_games_dir(&missing, &games.catalog, &index).is_err());
        let scan = scan_game(games.dir.path(), &"quake".parse().unwrap(), &index);
        assert!(scan.game.is_none() && scan.warnings.is_empty());
    }
}
