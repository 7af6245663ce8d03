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
    let mut roots = BTreeSet::new();
    for entry in fs::read_dir(games_dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(Ok(game_id)) = name.to_str().map(GameId::new) else { continue };
        if catalog.get(&game_id).is_some() {
            roots.insert(game_id);
        }
    }
    Ok(roots)
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
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use lanspread_catalog::CatalogGame;
    use lanspread_proto::{ContentHash, FileHashes};
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

    fn problems(game: &LocalGame) -> Vec<(String, ProblemReason)> {
        let told = game.problems.told.iter();
        told.map(|problem| (problem.path.clone(), problem.reason)).collect()
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
        let special = |path: &str| (path.to_owned(), ProblemReason::Special);
        assert_eq!(problems(&game), [special("archive.eti"), special("files")]);
        let warnings = games.warnings();
        assert!(warnings[0].starts_with("game doom: "), "{warnings:?}");
        assert!(warnings[1].contains("quake/local"), "{warnings:?}");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        fs::remove_file(root.join("version.ini")).unwrap();
        symlink(outside.path().join("version.ini"), root.join("version.ini")).unwrap();
        let scan = games.scan(&games.index());
        assert!(scan.games.is_empty());
        let warnings = scan.warnings.iter().map(ToString::to_string);
        assert!(warnings.into_iter().any(|text| text.contains("version.ini is neither")));
    }

    #[test]
    fn whatever_cannot_travel_makes_a_game_incomplete() {
        let games = Games::new();
        games.write("quake/version.ini", b"1");
        assert!(!games.only().is_incomplete());
        let not_utf8 = std::ffi::OsStr::from_bytes(b"caf\xe9.eti");
        fs::write(games.dir.path().join("quake").join(not_utf8), b"").unwrap();
        games.write("quake/Level 1: Intro.ogg", b"");
        games.write("quake/aux.dat", b"");
        games.write("quake/what?/below", b"");
        games.write(&format!("quake/{}/file", vec!["d"; 40].join("/")), b"");
        let game = games.only();
        let deep = vec!["d"; 33].join("/");
        let expected = [
            ("Level 1: Intro.ogg", ProblemReason::Name),
            ("aux.dat", ProblemReason::Name),
            ("caf\\xE9.eti", ProblemReason::NotUtf8),
            (&deep, ProblemReason::TooDeep),
            ("what?", ProblemReason::Name),
        ];
        let expected = expected.map(|(path, reason)| (path.to_owned(), reason));
        assert_eq!((problems(&game), game.is_incomplete()), (expected.into(), true));
        assert_eq!((paths(&game), game.problems.count), (vec!["version.ini"], 5));
        // What has a meaning on this machine alone never counts.
        games.write("doom/version.ini", b"1");
        games.write("doom/local/what?", b"");
        games.write("doom/.sync/aux", b"");
        let doom = games.scan(&games.index()).games.remove(&"doom".parse().unwrap()).unwrap();
        assert_eq!(problems(&doom), []);
    }

    #[test]
    fn a_sentinel_without_a_version_is_a_problem_and_no_download() {
        let games = Games::new();
        games.write("quake/version.ini", b"\n1");
        let game = games.only();
        assert_eq!((&game.version, &game.manifest), (&None, &None));
        assert_eq!(problems(&game), [("version.ini".to_owned(), ProblemReason::BadVersion)]);
    }

    /// Files with these contents, written so long ago that their times tell of every change, and an
    /// index that knows them by hashes that no file has.
    fn known_games() -> (Games, Index, GameId) {
        let games = Games::new();
        for path in ["quake.eti", "version.ini", "cfg/deep/server.cfg"] {
            games.write(&format!("quake/{path}"), b"1");
        }
        let mut index = games.index();
        let mut game = games.only();
        let marked = |file: &ManifestFile| {
            let hashes = FileHashes::from_chunks(vec![ContentHash::of(b"marked")]);
            ManifestFile { hashes: Some(hashes), ..file.clone() }
        };
        let manifest = game.manifest.unwrap();
        let files = manifest.files().iter().map(marked).collect();
        game.manifest = Some(Arc::new(Manifest::new("1".parse().unwrap(), files).unwrap()));
        let id: GameId = "quake".parse().unwrap();
        index.record(games.dir.path(), id.clone(), game.known_content().unwrap());
        (games, index, id)
    }

    /// The files that have to be read.
    fn unhashed(games: &Games, index: &Index) -> Vec<String> {
        let games = games.scan(index).games;
        let manifest = games.values().next().unwrap().manifest.clone().unwrap();
        let files = manifest.files().iter().filter(|file| file.hashes.is_none());
        files.map(|file| file.path.to_string()).collect()
    }

    #[test]
    fn only_files_that_look_otherwise_are_read_again_however_deep_they_lie() {
        let (games, index, _) = known_games();
        assert!(unhashed(&games, &index).is_empty());
        games.write("quake/local/save.dat", b"not part of it");
        assert!(unhashed(&games, &index).is_empty());
        for name in ["quake.eti", "cfg/deep/server.cfg", "version.ini"] {
            let path = games.dir.path().join("quake").join(name);
            let file = fs::File::options().write(true).open(&path).unwrap();
            let old = file.metadata().unwrap().modified().unwrap();
            file.set_modified(old - Duration::from_nanos(1)).unwrap();
            assert_eq!(unhashed(&games, &index), [name]);
            file.set_modified(old).unwrap();
            assert!(unhashed(&games, &index).is_empty());
        }
        games.write("quake/cfg/new", b"");
        assert_eq!(unhashed(&games, &index), ["cfg/new"]);
        fs::remove_file(games.dir.path().join("quake/quake.eti")).unwrap();
        assert_eq!(unhashed(&games, &index), ["cfg/new"]);
        let game = games.scan(&index).games.pop_first().unwrap().1;
        assert_eq!(paths(&game), ["cfg/deep/server.cfg", "cfg/new", "version.ini"]);
    }

    #[test]
    fn an_unchanged_game_is_not_opened_and_one_in_doubt_is_read_again() {
        let (games, mut index, id) = known_games();
        let known = games.scan(&index).games.pop_first().unwrap().1;
        let recorded = index.known(games.dir.path(), &id).unwrap().manifest;
        assert!(Arc::ptr_eq(known.manifest.as_ref().unwrap(), &recorded));
        let path: RelPath = "cfg/deep/server.cfg".parse().unwrap();
        let doubtful = LocalGame { doubtful: Arc::new([path].into()), ..known.clone() };
        index.record(games.dir.path(), id, doubtful.known_content().unwrap());
        assert_eq!(unhashed(&games, &index), ["cfg/deep/server.cfg"]);
        // A peer that runs knows better.
        let found = games.scan(&index).games.pop_first().unwrap().1;
        assert_eq!(found.keep_hashes_of(&doubtful), doubtful);
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
