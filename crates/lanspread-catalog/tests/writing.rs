//! Catalogs that are written, and roots that are added to SQLite ones.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lanspread_catalog::{
    Catalog, CatalogError, CatalogFormat, CatalogGame, Existing, RootChange, add_content_roots,
    check_add_content_roots,
};
use lanspread_proto::{ContentHash, GameId};
use rusqlite::Connection;

fn id(text: &str) -> GameId {
    text.parse().unwrap()
}

fn root(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

fn change(version: &str, new: &str) -> RootChange {
    RootChange { version: version.parse().unwrap(), old: None, new: root(new) }
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn database(dir: &Path, sql: &str) -> PathBuf {
    let path = dir.join("game.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    path
}

/// All cells of a query, as SQLite writes them.
fn cells(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn both_formats_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let full = CatalogGame {
        content_root: Some(root("x")),
        size: Some(1 << 40),
        max_players: Some(8),
        publisher: Some("A 'publisher'".to_owned()),
        release: Some("1996".to_owned()),
        genre_id: Some("3".to_owned()),
        ..CatalogGame::new(id("quake"), "Quäke \"1\"", "20240131".parse().unwrap())
    };
    let bare = CatalogGame::new(id("0001"), "A", "0001".parse().unwrap());
    let catalog = Catalog::from_games([full, bare]).unwrap();
    for (name, format) in [("a.JSON", CatalogFormat::Json), ("a.db", CatalogFormat::Sqlite)] {
        let path = dir.path().join(name);
        assert_eq!(CatalogFormat::of_name(&path), Some(format));
        catalog.save(&path, format, Existing::Keep).unwrap();
        assert_eq!(Catalog::load(&path).unwrap(), catalog);
        let again = catalog.save(&path, format, Existing::Keep);
        assert!(matches!(again, Err(CatalogError::Exists { .. })), "{again:?}");
        catalog.save(&path, format, Existing::Replace).unwrap();
    }
    assert_eq!(names(dir.path()), ["a.JSON", "a.db"]);
    assert!(
        Catalog::empty().save(&dir.path().join("b"), CatalogFormat::Json, Existing::Keep).is_err()
    );
    assert_eq!(CatalogFormat::of_name(Path::new("json")), None);
}

#[test]
fn roots_join_a_database_and_all_else_stays() {
    for mode in ["delete", "wal"] {
        let dir = tempfile::tempdir().unwrap();
        let path = database(
            dir.path(),
            &format!(
                "PRAGMA journal_mode={mode}; PRAGMA user_version=7; PRAGMA application_id=99;
                 CREATE TABLE Games (game_id, game_title TEXT, game_version INTEGER, cover BLOB, note);
                 CREATE TABLE log (line); CREATE INDEX by_title ON games (game_title);
                 CREATE TRIGGER on_update AFTER UPDATE ON games BEGIN INSERT INTO log VALUES ('ran'); END;
                 CREATE VIEW titles AS SELECT game_title FROM games;
                 INSERT INTO games VALUES (' quake ', 'Quake', 20240131, x'00ff', 'a'), (4711, 'N', 1, x'', NULL),
                     ('doom', 'Doom', 2, x'01', 'b');"
            ),
        );
        let everything = "SELECT quote(game_id)||quote(game_title)||quote(game_version)||quote(cover)||quote(note)
            FROM games ORDER BY rowid";
        let before = cells(&path, everything);
        let schema = "SELECT name FROM sqlite_schema ORDER BY name";
        let objects = cells(&path, schema);
        let changes = BTreeMap::from([
            (id("quake"), change("20240131", "q")),
            (id("4711"), change("1", "n")),
        ]);
        add_content_roots(&path, &changes).unwrap();
        assert_eq!(cells(&path, everything), before);
        assert_eq!(cells(&path, schema), objects);
        assert_eq!(cells(&path, "SELECT line FROM log"), [""; 0], "no trigger ran");
        assert_eq!(cells(&path, "SELECT user_version||'' FROM pragma_user_version"), ["7"]);
        assert_eq!(cells(&path, "SELECT application_id||'' FROM pragma_application_id"), ["99"]);
        assert_eq!(cells(&path, "SELECT * FROM pragma_journal_mode"), [mode]);
        let catalog = Catalog::load(&path).unwrap();
        let stated = |game: &str| catalog.get(&id(game)).unwrap().content_root;
        assert_eq!(
            [stated("quake"), stated("4711"), stated("doom")],
            [Some(root("q")), Some(root("n")), None]
        );
        // Once the column is there, it is filled.
        let again = BTreeMap::from([(id("doom"), change("2", "d"))]);
        add_content_roots(&path, &again).unwrap();
        assert_eq!(
            Catalog::load(&path).unwrap().get(&id("doom")).unwrap().content_root,
            Some(root("d"))
        );
        assert_eq!(names(dir.path()), ["game.db"]);
    }
}

#[test]
fn a_database_that_is_in_use_or_changed_meanwhile_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let table = "CREATE TABLE games (game_id, game_title, game_version);
        INSERT INTO games VALUES ('doom', 'Doom', '2');";
    let path = database(dir.path(), &format!("PRAGMA journal_mode=wal; {table}"));
    let before = fs::read(&path).unwrap();
    let other = BTreeMap::from([(id("doom"), change("3", "d"))]);
    let refused = add_content_roots(&path, &other).unwrap_err();
    assert!(
        matches!(&refused, CatalogError::Meanwhile { id, .. } if id.as_str() == "doom"),
        "{refused}"
    );
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("UPDATE games SET game_title = 'Doom II'").unwrap();
    for refused in [
        add_content_roots(&path, &BTreeMap::from([(id("doom"), change("2", "d"))])),
        check_add_content_roots(&path),
        Catalog::check_save(&path, Existing::Replace),
    ] {
        assert!(matches!(refused, Err(CatalogError::InUse { .. })), "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    writer.close().unwrap();
    assert_eq!(names(dir.path()), ["game.db"]);
}

/// A fuzzer found it: rows that hold more than the damaged schema names, so that a new column shows the rest.
#[test]
fn a_database_with_more_values_than_columns_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(
        dir.path(),
        "CREATE TABLE games (game_id, game_title, game_version, game_size REAL);
         INSERT INTO games VALUES ('doom', 'Doom', '2', 1.5), ('quake', 'Quake', '1', 2.5);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE games (game_id, game_title, game_version)'
             WHERE name = 'games';",
    );
    assert_eq!(Catalog::load(&path).unwrap().len(), 2);
    let before = fs::read(&path).unwrap();
    let changes = BTreeMap::from([(id("doom"), change("2", "d"))]);
    let refused = add_content_roots(&path, &changes);
    assert!(matches!(refused, Err(CatalogError::Unsound { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(dir.path()), ["game.db"]);
}

#[cfg(unix)]
#[test]
fn a_leftover_or_a_trap_in_place_of_the_temporary_file_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.json");
    let victim = dir.path().join("victim");
    fs::write(&victim, "of somebody").unwrap();
    let temporary = format!(".catalog.json.{}.tmp", std::process::id());
    std::os::unix::fs::symlink(&victim, dir.path().join(temporary)).unwrap();
    let game = CatalogGame::new(id("doom"), "Doom", "1".parse().unwrap());
    let catalog = Catalog::from_games([game]).unwrap();
    catalog.save(&path, CatalogFormat::Json, Existing::Keep).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "of somebody");
    assert_eq!(names(dir.path()), ["catalog.json", "victim"]);
}
