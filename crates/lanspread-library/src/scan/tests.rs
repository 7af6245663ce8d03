use std::time::Duration;

use lanspread_catalog::CatalogGame;
use lanspread_disk::platform::name_from_bytes;
use lanspread_disk::testing::{make_link, set_mode};
use lanspread_proto::limits::DIRECTORIES_MAX;
use lanspread_proto::{ContentHash, FileHashes, RelPath};
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
    for reserved in ["local/x", ".local.installing/x", ".local.backup/x", ".sync/x"] {
        games.write(&format!("quake/{reserved}"), b"not to be shared");
    }
    for reserved in [".version.ini.tmp", ".lanspread.json", ".softlan_first_start_done"] {
        games.write(&format!("quake/{reserved}"), b"not to be shared");
    }
    let game = games.only();
    assert_eq!(game.version, Some("20240131".parse().unwrap()));
    assert!(game.installed);
    let expected = ["docs/.sync/x", "docs/local/read me.txt", "quake.eti"];
    assert_eq!(paths(&game), expected);
    assert_eq!(games.warnings(), Vec::<String>::new());
}

#[test]
fn a_reserved_name_in_another_spelling_does_not_travel() {
    let games = Games::new();
    games.write("quake/version.ini", b"1");
    games.write("quake/LOCAL/x", b"neither an installation nor a part of the game");
    let game = games.only();
    assert!(!game.installed);
    let [problem] = &game.problems.told[..] else { panic!("{:?}", game.problems) };
    assert_eq!((problem.path.as_str(), problem.reason), ("LOCAL", ProblemReason::Name));
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
        make_link(outside.path(), root.join(link));
    }
    make_link(outside.path(), games.dir.path().join("doom"));
    let game = games.only();
    assert!(!game.installed);
    assert_eq!(paths(&game), Vec::<&str>::new());
    let special = |path: &str| (path.to_owned(), ProblemReason::Special);
    assert_eq!(problems(&game), [special("archive.eti"), special("files")]);
    let warnings = games.warnings();
    assert!(warnings[0].starts_with("game doom: "), "{warnings:?}");
    assert!(warnings[1].contains("quake/local"), "{warnings:?}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    fs::remove_file(root.join("version.ini")).unwrap();
    make_link(outside.path().join("version.ini"), root.join("version.ini"));
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
    let not_utf8 = name_from_bytes(b"caf\xe9.eti");
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
    assert_eq!((paths(&game), game.problems.count), (vec![], 5));
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
    for path in ["quake.eti", "version.ini", "cfg/deep/server.cfg", "cfg/Thumbs.db"] {
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
    for name in ["quake.eti", "cfg/deep/server.cfg"] {
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
    assert_eq!(paths(&game), ["cfg/deep/server.cfg", "cfg/new"]);
}

#[test]
fn the_sentinel_is_read_by_every_scan_and_its_bytes_are_in_no_hash() {
    let (games, index, _) = known_games();
    let scanned = || games.scan(&index).games.pop_first().unwrap().1;
    let before = scanned();
    assert_eq!(before.version_ini.as_deref(), Some(&b"1"[..]));
    let old_roots = |line_end: &str| {
        let own = format!("1{line_end}");
        before.manifest.as_ref().unwrap().old_content_roots(Some(own.as_bytes()))
    };
    for line_end in ["", "\n", "\r\n", " \nmore"] {
        games.write("quake/version.ini", format!("1{line_end}").as_bytes());
        let game = scanned();
        assert_eq!(game.content_root(), before.content_root(), "{line_end:?}");
        assert_eq!(game.old_content_roots[..], old_roots(line_end), "{line_end:?}");
        for stated in old_roots(line_end) {
            assert!(!game.is_other_content(Some(stated)), "{line_end:?}");
        }
    }
    let own = old_roots(" \nmore")[0];
    assert!(before.is_other_content(Some(own)));
    games.write("quake/version.ini", b"2");
    let game = scanned();
    assert_eq!(game.version, Some("2".parse().unwrap()));
    assert!(unhashed(&games, &index).is_empty());
    assert_ne!(game.manifest, before.manifest);
}

fn make_executable(games: &Games, path: &str) {
    let path = games.dir.path().join(path);
    set_mode(path, 0o755);
}

#[test]
fn bits_and_empty_directories_are_told_and_change_no_content() {
    let (games, index, _) = known_games();
    let scanned = || games.scan(&index).games.pop_first().unwrap().1;
    let before = scanned();
    assert_eq!(before.attributes.attributes().executable, Some(FileBits::new(2)));
    make_executable(&games, "quake/quake.eti");
    // The last two are not told: the user's, and one that takes the place of the sentinel on other disks.
    for directory in
        ["saves/slot1", "saves/slot2", "cfg/deep/none", "thumbs", "local/empty", "VERSION.INI"]
    {
        fs::create_dir_all(games.dir.path().join("quake").join(directory)).unwrap();
    }
    games.write("quake/thumbs/Thumbs.db", b"of the system");
    let game = scanned();
    let told = game.attributes.attributes();
    assert_eq!(
        (0..2).map(|n| told.executable.as_ref().unwrap().get(n)).collect::<Vec<_>>(),
        [false, true]
    );
    let directories: Vec<_> = told.directories.iter().map(RelPath::as_str).collect();
    assert_eq!(directories, ["cfg/deep/none", "saves/slot1", "saves/slot2", "thumbs"]);
    assert_eq!(told.version_ini.as_deref(), Some(&b"1"[..]));
    assert_ne!(game.attributes.page(), before.attributes.page());
    assert_eq!((game.manifest, game.problems), (before.manifest, before.problems));
}

#[test]
fn where_the_sentinel_is_executable_the_disk_keeps_no_bits_and_the_index_tells() {
    let (games, mut index, id) = known_games();
    let scanned = |index: &Index| games.scan(index).games.pop_first().unwrap().1;
    for path in ["version.ini", "quake.eti", "cfg/deep/server.cfg"] {
        make_executable(&games, &format!("quake/{path}"));
    }
    let game = scanned(&index);
    assert_eq!(game.attributes.attributes().executable, None);
    let mut bits = FileBits::new(2);
    bits.set(0);
    let remembering = LocalGame { remembered: Some(bits.clone()), ..game };
    index.record(games.dir.path(), id, remembering.known_content().unwrap());
    let game = scanned(&index);
    assert_eq!(game.attributes.attributes().executable, Some(bits));
    // Of a file that has changed since, they are forgotten.
    games.write("quake/cfg/deep/server.cfg", b"22");
    let game = scanned(&index);
    assert_eq!(game.attributes.attributes().executable, Some(FileBits::new(2)));
    // A disk that tells files apart keeps them.
    let sentinel = games.dir.path().join("quake/version.ini");
    set_mode(sentinel, 0o644);
    assert_eq!(scanned(&index).remembered, None);
}

#[test]
fn of_too_many_empty_directories_the_first_are_told_and_the_game_stays_whole() {
    let games = Games::new();
    games.write("quake/version.ini", b"1");
    let make = |n: usize| {
        fs::create_dir_all(games.dir.path().join(format!("quake/d/{n:05}"))).unwrap();
    };
    (0..DIRECTORIES_MAX).for_each(make);
    assert!(!games.only().leaves_out_directories);
    make(DIRECTORIES_MAX);
    let game = games.only();
    assert!(game.leaves_out_directories && !game.is_incomplete());
    let told = &game.attributes.attributes().directories;
    assert_eq!(told.len(), DIRECTORIES_MAX);
    assert_eq!(told.last().unwrap().as_str(), format!("d/{:05}", DIRECTORIES_MAX - 1));
}

#[test]
fn what_systems_leave_behind_comes_and_goes_unnoticed() {
    let (games, index, _) = known_games();
    let before = games.scan(&index).games.pop_first().unwrap().1;
    for foreign in [
        "Thumbs.db",
        "DESKTOP.INI",
        "cfg/.DS_Store",
        "cfg/._server.cfg",
        "Icon\r",
        "$RECYCLE.BIN/aux.dat",
        "lost+found/what?",
    ] {
        games.write(&format!("quake/{foreign}"), b"not of the game");
    }
    assert_eq!(games.scan(&index).games.pop_first().unwrap().1, before);
    games.write("quake/lost", b"of the game");
    assert_eq!(unhashed(&games, &index), ["lost"]);
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
