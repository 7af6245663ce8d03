//! Game roots as other crates make them. The flags of the command line are tested there.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::error::Error;
use std::fs;
use std::path::Path;

use lanspread_catalog::{Catalog, read_version};
use lanspread_fixture::{ArchiveFormat, FixtureError, GameArchive, GameFixture, SizedFile};
use lanspread_proto::{GameId, GameVersion, RelPath};

fn quake(games_dir: &Path) -> GameFixture {
    let version = GameVersion::new("20240131").unwrap();
    GameFixture::new(games_dir, GameId::new("quake").unwrap(), version)
}

fn file(path: &str, size_bytes: u64) -> SizedFile {
    SizedFile { path: RelPath::new(path).unwrap(), size_bytes }
}

#[test]
fn a_described_game_is_made_with_its_sentinel_and_its_catalog_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut game = quake(dir.path());
    game.title = Some("Quake".to_owned());
    game.catalog = Some(dir.path().join("catalog.json"));
    game.files = vec![file("readme.txt", 100)];
    let archive = GameArchive { format: ArchiveFormat::Fixture, entries: vec![file("pak0", 1)] };
    game.archive = Some(archive);
    let made = game.make().unwrap();
    assert_eq!((&made.root, made.files), (&dir.path().join("quake"), 3));
    assert_eq!(read_version(&made.root).unwrap(), Some(game.version.clone()));
    let catalog = Catalog::load(&dir.path().join("catalog.json")).unwrap();
    let entry = catalog.get(&game.id).unwrap();
    assert_eq!((entry.title.as_str(), entry.size), ("Quake", Some(made.bytes)));
}

#[test]
fn a_description_that_contradicts_itself_makes_nothing() {
    type Change = fn(&mut GameFixture);
    let changes: [(Change, &str); 5] = [
        (|game| game.files = vec![file("a", 1), file("a", 2)], "two files would be a"),
        (|game| game.files = vec![file("version.ini", 1)], "version.ini is the sentinel"),
        (
            |game| game.executables = vec![file("tool", 1).path],
            "no file and no entry would be tool",
        ),
        (
            |game| {
                game.sparse_bytes = Some(1);
                let entries = Vec::new();
                game.archive = Some(GameArchive { format: ArchiveFormat::Rar, entries });
            },
            "two files would be quake.eti",
        ),
        (
            |game| game.catalog = Some("/nowhere/at/all.json".into()),
            "there is no directory /nowhere/at",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (change, expected) in changes {
        let mut game = quake(dir.path());
        change(&mut game);
        let message = game.make().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert!(matches!(
        SizedFile::numbered("files", 100_000, 1),
        Err(FixtureError::TooManyFiles { limit: 100_000 })
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_root_is_replaced_only_on_demand_and_a_failure_names_the_path_and_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let mut game = quake(dir.path());
    let made = game.make().unwrap();
    assert!(matches!(game.make(), Err(FixtureError::RootExists { root }) if root == made.root));
    game.replaces = true;
    game.make().unwrap();

    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = quake(&blocked).make().unwrap_err();
    assert!(error.to_string().contains(blocked.to_str().unwrap()), "{error}");
    assert!(error.source().is_some());
}
