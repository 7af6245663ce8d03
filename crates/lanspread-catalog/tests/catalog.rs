//! Catalogs and `version.ini` through the public face.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::fs;
use std::path::{Path, PathBuf};

use lanspread_catalog::{
    Catalog, CatalogError, CatalogGame, add_to_json_catalog, format_version_ini, parse_version_ini,
    read_version,
};
use lanspread_proto::ContentHash;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

const TABLE: &str = "CREATE TABLE games (game_id TEXT, game_title TEXT, game_version TEXT);";

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn database(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.0.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn game(id: &str, version: &str) -> CatalogGame {
    CatalogGame::new(id.parse().unwrap(), "A title", version.parse().unwrap())
}

fn message(path: &Path) -> String {
    let message = Catalog::load(path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "no path in {message:?}");
    message
}

#[track_caller]
fn assert_message(path: &Path, parts: &[&str]) {
    let message = message(path);
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn sqlite_values_are_read_as_text_or_number() {
    let dir = Dir::new();
    let root = ContentHash::of(b"x");
    let path = dir.database(
        "game.db",
        &format!(
            "CREATE TABLE games (db_id INTEGER PRIMARY KEY, game_id TEXT, Game_Title TEXT,
                 game_version, game_size, game_maxplayers, game_publisher TEXT, game_release,
                 genre_id, content_root TEXT, game_readme TEXT);
             INSERT INTO games VALUES
                 (1, 'a', 'Ä', 20240131, 1.5, 8, 'P', 1996, 3, '{root}', 'ignored'),
                 (2, 'b', 'B', ' 20240131 ', '7', '16', '', NULL, NULL, NULL, NULL),
                 (3, 'c', 'C', '1', 7, '2-8', NULL, '1996-06-22', 'x', '', NULL);"
        ),
    );
    let catalog = Catalog::load(&path).unwrap();
    let games: Vec<_> = catalog.iter().cloned().collect();
    let a = CatalogGame {
        title: "Ä".to_owned(),
        content_root: Some(root),
        size: Some(1_610_612_736),
        max_players: Some(8),
        publisher: Some("P".to_owned()),
        release: Some("1996".to_owned()),
        genre_id: Some("3".to_owned()),
        ..game("a", "20240131")
    };
    let b = CatalogGame {
        title: "B".to_owned(),
        size: Some(7),
        max_players: Some(16),
        ..game("b", "20240131")
    };
    let c = CatalogGame {
        title: "C".to_owned(),
        size: Some(7),
        release: Some("1996-06-22".to_owned()),
        genre_id: Some("x".to_owned()),
        ..game("c", "1")
    };
    assert_eq!(games, [a, b, c]);
}

#[test]
fn sqlite_is_known_by_its_content_and_leaves_nothing_beside_it() {
    let dir = Dir::new();
    let odd_name = "100% games?#ü.json";
    let sql = format!("PRAGMA journal_mode = WAL; {TABLE} INSERT INTO games VALUES ('a','A','1');");
    let path = dir.database(odd_name, &sql);
    let before = fs::read(&path).unwrap();
    assert_eq!(Catalog::load(&path).unwrap().len(), 1);
    assert_eq!(dir.names(), [odd_name]);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_a_writer_left_in_its_log_is_read() {
    let dir = Dir::new();
    let path = dir.database("game.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("INSERT INTO games VALUES ('a','A','1')").unwrap();
    assert_eq!(Catalog::load(&path).unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn sqlite_in_a_read_only_directory_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let sql = format!("PRAGMA journal_mode = WAL; {TABLE} INSERT INTO games VALUES ('a','A','1');");
    let path = dir.database("game.db", &sql);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let catalog = Catalog::load(&path);
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(catalog.unwrap().len(), 1);
    assert_eq!(dir.names(), ["game.db"]);
}

#[test]
fn broken_sqlite_catalogs_say_what_and_where() {
    let dir = Dir::new();
    let database = |name: &str, sql: &str| dir.database(name, sql);
    let row = |name: &str, values: &str| {
        dir.database(name, &format!("{TABLE} INSERT INTO games VALUES ('a','A','1'), ({values});"))
    };
    assert_message(&database("t.db", "CREATE TABLE x (y)"), &["no table \"games\""]);
    let no_version = database("c.db", "CREATE TABLE games (game_id, game_title)");
    assert_message(&no_version, &["no column \"game_version\""]);
    assert_message(&database("n.db", TABLE), &["no games"]);
    assert_message(&row("id.db", "'c/b','B','1'"), &["row 2", "\"c/b\"", "directory name"]);
    assert_message(&row("nul.db", "NULL,'B','1'"), &["row 2", "game_id is NULL"]);
    assert_message(&row("ver.db", "'b','B',x'01'"), &["row 2", "\"b\"", "game_version is a blob"]);
    assert_message(&row("emp.db", "'b','B',''"), &["row 2", "game version is empty"]);
    assert_message(&row("tit.db", "'b','','1'"), &["row 2", "game_title is empty"]);
    assert_message(&row("utf.db", "CAST(x'ff' AS TEXT),'B','1'"), &["row 2", "not UTF-8"]);
    assert_message(&row("dup.db", "'A','B','1'"), &["\"a\" and \"A\"", "same directory"]);
    let bad_root = format!(
        "{TABLE} ALTER TABLE games ADD content_root;
         INSERT INTO games VALUES ('a','A','1','beef');"
    );
    assert_message(&database("root.db", &bad_root), &["row 1", "content_root", "\"beef\""]);
    let many = format!(
        "{TABLE} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 100001)
         INSERT INTO games SELECT 'g' || i, 'T', 1 FROM n;"
    );
    assert_message(&database("many.db", &many), &["more than 100000 games"]);
    let mut bytes = fs::read(database("cut.db", TABLE)).unwrap();
    bytes.truncate(100);
    assert_message(&dir.file("cut.db", bytes), &["cannot read SQLite catalog"]);
}

#[test]
fn a_database_that_is_a_program_is_refused() {
    let dir = Dir::new();
    let database = |name: &str, sql: &str| dir.database(name, sql);
    let endless =
        "CREATE VIEW Games AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)
        SELECT 'g' AS game_id, 'T' AS game_title, 1 AS game_version FROM n WHERE i < 0;";
    assert_message(&database("view.db", endless), &["not a plain table", "copy its rows"]);
    let computed = "CREATE TABLE games (game_id TEXT, game_version TEXT,
        game_title AS (hex(zeroblob(1000))));
        INSERT INTO games (game_id, game_version) VALUES ('a', '1');";
    assert_message(&database("computed.db", computed), &["\"game_title\"", "is computed"]);
    let virtual_table = "CREATE VIRTUAL TABLE games USING fts5(game_id, game_title, game_version);";
    assert_message(&database("virtual.db", virtual_table), &["not a plain table"]);
    // Other computed columns are not looked at.
    let beside = format!(
        "{TABLE} ALTER TABLE games ADD COLUMN cover AS (hex(zeroblob(1000)));
         INSERT INTO games (game_id, game_title, game_version) VALUES ('a', 'A', '1');"
    );
    assert_eq!(Catalog::load(&database("beside.db", &beside)).unwrap().len(), 1);
}

#[test]
fn a_database_that_takes_too_much_is_refused() {
    let dir = Dir::new();
    // A row may hold much that is no part of the catalog.
    let cover = format!(
        "{TABLE} ALTER TABLE games ADD COLUMN cover;
         INSERT INTO games VALUES ('a', 'A', '1', zeroblob(20000000));"
    );
    let cover = dir.database("cover.db", &cover);
    let long = format!("{TABLE} INSERT INTO games VALUES ('a', zeroblob(70000000), '1');");
    let long = dir.database("long.db", &long);
    // Each text obeys its bound, and all together do not.
    let much = format!(
        "{TABLE} ALTER TABLE games ADD game_publisher;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 40000)
         INSERT INTO games SELECT 'g' || i, hex(zeroblob(512)), '1', hex(zeroblob(512)) FROM n;"
    );
    let much = dir.database("much.db", &much);
    // The first load bounds the memory of SQLite for the whole process, so all are written by now.
    assert_eq!(Catalog::load(&cover).unwrap().len(), 1);
    assert_message(&long, &["too big"]);
    assert_message(&much, &["bytes of text"]);
}

#[test]
fn broken_files_say_what_and_where() {
    let dir = Dir::new();
    let entry = |id: &str| format!(r#"{{"id":"{id}","title":"T","version":"1"}}"#);
    let games = |list: &str| format!("{{\"games\":[\n{list}]}}");
    let two = format!("{},{}", entry("a"), entry("A"));
    let cases: [(&str, &[&str]); 13] = [
        ("", &["is an empty file"]),
        (" \n", &["is an empty file"]),
        ("MZ\u{0}", &["neither"]),
        ("\u{0}\u{ff}", &["neither"]),
        ("{", &["line 1 column 1"]),
        ("{}", &["missing field `games`"]),
        ("{\"games\":[]}", &["no games", "add at least one"]),
        ("[]", &["line 1"]),
        (&games(&entry("")), &["game id is empty", "line 2 column 8"]),
        (&games(&entry("nul")), &["\"nul\"", "device name", "line 2"]),
        (&games(&two), &["\"a\" and \"A\"", "same directory"]),
        (&games("{\"id\":\"a\",\"id\":\"b\"}"), &["duplicate field `id`", "line 2"]),
        (&games("{\"id\":\"a\",\"title\":\"T\",\"version\":20240131}"), &["20240131", "a string"]),
    ];
    for (content, parts) in cases {
        assert_message(&dir.file("games.json", content), parts);
    }
    assert_message(&dir.0.path().join("missing"), &["cannot read", "check that"]);
    assert_message(dir.0.path(), &["not a regular file"]);
}

#[test]
fn adding_creates_replaces_and_refuses() {
    let dir = Dir::new();
    let path = dir.0.path().join("games.json");
    add_to_json_catalog(&path, game("b", "1")).unwrap();
    add_to_json_catalog(&path, game("a", "1")).unwrap();
    add_to_json_catalog(&path, game("b", "2")).unwrap();
    let games: Vec<_> = Catalog::load(&path).unwrap().iter().cloned().collect();
    assert_eq!(games, [game("a", "1"), game("b", "2")]);
    let refused = add_to_json_catalog(&path, game("B", "2")).unwrap_err();
    assert!(matches!(refused, CatalogError::Duplicate { .. }), "{refused}");
    assert_eq!(Catalog::load(&path).unwrap().len(), 2);
    assert_eq!(dir.names(), ["games.json"]);

    let other = dir.file("other", "not json");
    assert!(matches!(
        add_to_json_catalog(&other, game("a", "1")),
        Err(CatalogError::UnknownFormat { .. })
    ));
    assert_eq!(fs::read(other).unwrap(), b"not json");
    let nowhere = dir.0.path().join("missing").join("games.json");
    assert!(matches!(
        add_to_json_catalog(&nowhere, game("a", "1")),
        Err(CatalogError::Write { .. })
    ));
}

#[test]
fn version_ini_is_its_first_line() {
    let dir = Dir::new();
    assert_eq!(read_version(dir.0.path()).unwrap(), None);
    for content in ["20240131", "20240131\n", "\u{feff}20240131\r\n[more]\n\u{0}", "  20240131 \nx"]
    {
        dir.file("version.ini", content);
        let version = read_version(dir.0.path()).unwrap().unwrap();
        assert_eq!(version.as_str(), "20240131", "{content:?}");
    }
    let long = "1".repeat(5_000);
    for bad in [&b""[..], b"\n20240131", b"  \n", b"\xff", b"1\0", long.as_bytes()] {
        dir.file("version.ini", bad);
        let error = read_version(dir.0.path()).unwrap_err().to_string();
        assert!(error.contains("version.ini"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn only_a_regular_version_ini_directly_in_the_root_counts() {
    let dir = Dir::new();
    let nested = dir.0.path().join("nested");
    fs::create_dir(&nested).unwrap();
    fs::write(nested.join("version.ini"), "1").unwrap();
    assert_eq!(read_version(dir.0.path()).unwrap(), None);
    let sentinel = dir.0.path().join("version.ini");
    std::os::unix::fs::symlink(nested.join("version.ini"), &sentinel).unwrap();
    assert_eq!(read_version(dir.0.path()).unwrap(), None);
    fs::remove_file(&sentinel).unwrap();
    fs::create_dir(&sentinel).unwrap();
    assert_eq!(read_version(dir.0.path()).unwrap(), None);
}

proptest! {
    #[test]
    fn no_bytes_break_a_version_ini(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(version) = parse_version_ini(&bytes) {
            prop_assert_eq!(parse_version_ini(&format_version_ini(&version)), Ok(version));
        }
    }

    #[test]
    fn every_version_survives_its_file(text in "[^\\p{C}]{1,20}") {
        if let Ok(version) = text.parse::<lanspread_proto::GameVersion>() {
            prop_assert_eq!(parse_version_ini(&format_version_ini(&version)), Ok(version));
        }
    }

    #[test]
    fn no_bytes_break_a_catalog(
        head in prop::sample::select(vec!["", "{\"games\":[", "SQLite format 3\0"]),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let dir = Dir::new();
        let path = dir.file("catalog", [head.as_bytes(), &tail].concat());
        prop_assert!(Catalog::load(&path).is_err());
    }

    #[test]
    fn a_json_catalog_with_a_damaged_byte_is_an_error_or_obeys_every_rule(
        at in 0_usize..90, byte: u8,
    ) {
        let dir = Dir::new();
        let mut bytes = Catalog::from_games([game("a", "1"), game("b", "2")]).unwrap()
            .to_json().into_bytes();
        bytes[at] = byte;
        if let Ok(catalog) = Catalog::load(&dir.file("catalog", bytes)) {
            prop_assert!(Catalog::from_games(catalog.iter().cloned()).is_ok());
        }
    }
}
