//! Games that `fixture` makes.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use lanspread_archive::{ArchiveFormat, AutoUnpacker, Unpacker};
use lanspread_catalog::{Catalog, read_version};
use lanspread_disk::Dir;
use lanspread_proto::GameId;
use support::{BINARY, fixture, read, run};

fn refused(games_dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.arg("fixture").arg("--games-dir").arg(games_dir).args(args);
    let (status, stdout, stderr) = run(&mut command);
    assert_eq!(stdout, "");
    (status.code(), stderr)
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let game = [
        "--sized",
        "5MiB",
        "--archive",
        "rar",
        "--entry",
        "a b/ü.txt=10KiB",
        "--entries",
        "2",
        "--files",
        "2",
        "--file-size",
        "100B",
        "--file",
        "deep/er/empty=0",
    ];
    for home in ["one", "two"] {
        fixture(&dir.path().join(home), "doom", &game);
    }
    let seeded: Vec<_> = game.into_iter().chain(["--seed", "1"]).collect();
    fixture(&dir.path().join("seeded"), "doom", &seeded);
    let bytes = |home: &str, path: &str| read(dir.path().join(home).join("doom").join(path));
    for path in [
        "data.bin",
        "doom.eti",
        "files/00/00000.bin",
        "files/00/00001.bin",
        "deep/er/empty",
        "version.ini",
    ] {
        assert_eq!(bytes("one", path), bytes("two", path), "{path}");
    }
    assert_ne!(bytes("one", "data.bin"), bytes("seeded", "data.bin"));
    assert_ne!(bytes("one", "doom.eti"), bytes("seeded", "doom.eti"));
    assert_ne!(bytes("one", "files/00/00000.bin"), bytes("one", "files/00/00001.bin"));
}

#[test]
fn it_says_what_it_made_and_adds_it_to_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    fixture(dir.path(), "quake", &["--sized", "1KiB"]);
    let made = fixture(
        dir.path(),
        "doom",
        &["--title", "Doom II", "--version", "20250202", "--sized", "64KiB"],
    );
    assert_eq!(made["id"], "doom");
    assert_eq!(made["version"], "20250202");
    assert_eq!(made["files"], 2);
    let root = dir.path().join("doom");
    let sizes: u64 =
        fs::read_dir(&root).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(made["bytes"], sizes);
    assert_eq!(read_version(&root).unwrap().unwrap().as_str(), "20250202");
    let catalog = Catalog::load(Path::new(made["catalog"].as_str().unwrap())).unwrap();
    let game = catalog.get(&GameId::new("doom").unwrap()).unwrap();
    assert_eq!((game.title.as_str(), game.version.as_str()), ("Doom II", "20250202"));
    assert_eq!(catalog.len(), 2);
}

#[test]
fn games_made_at_once_are_all_in_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let dir = dir.path();
            scope.spawn(move || fixture(dir, &format!("game{n}"), &["--sized", "1KiB"]));
        }
    });
    assert_eq!(Catalog::load(&dir.path().join("catalog.json")).unwrap().len(), 8);
}

#[test]
fn archives_are_what_they_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, format) in [("rar", ArchiveFormat::Rar), ("fixture", ArchiveFormat::Fixture)] {
        fixture(dir.path(), kind, &["--archive", kind, "--entries", "3"]);
        let archive = dir.path().join(kind).join(format!("{kind}.eti"));
        assert_eq!(ArchiveFormat::detect(&archive).unwrap(), Some(format));
    }
}

#[test]
fn executables_and_empty_directories_are_made_in_the_root_and_in_the_archive() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let is_executable = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0;
    for kind in ["rar", "fixture"] {
        let content = [
            ["--archive", kind, "--file", "bin/start=1KiB"],
            ["--file", "readme=1KiB", "--entry", "game/tool=1KiB"],
            ["--entry", "game/data=1KiB", "--executable", "bin/start"],
            ["--executable", "game/tool", "--directory", "saves/slot 1"],
        ];
        fixture(dir.path(), kind, content.as_flattened());
        let root = dir.path().join(kind);
        assert!(is_executable(&root.join("bin/start")) && !is_executable(&root.join("readme")));
        assert!(root.join("saves/slot 1").is_dir());
        let installed = dir.path().join(format!("{kind} installed"));
        fs::create_dir(&installed).unwrap();
        let archive = root.join(format!("{kind}.eti"));
        let target = Dir::open(&installed).unwrap();
        AutoUnpacker::default().unpack(&archive, &target, &mut ()).unwrap();
        assert!(is_executable(&installed.join("game/tool")));
        assert!(!is_executable(&installed.join("game/data")));
        assert!(installed.join("saves/slot 1").is_dir());
    }
    for wrong in [
        ["--sized", "1KiB", "--executable", "other"],
        ["--sized", "1KiB", "--directory", "data.bin"],
    ] {
        let (_, stderr) = refused(dir.path(), &[&["--id", "wrong"], &wrong[..]].concat());
        assert!(stderr.contains(wrong[3]), "{stderr}");
        assert!(!dir.path().join("wrong").exists());
    }
}

#[test]
fn every_chunk_of_a_sparse_file_differs_and_the_disk_stays_free() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let made = fixture(dir.path(), "doom", &["--sparse", "1GiB"]);
    let path = dir.path().join("doom/doom.eti");
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() * 512 < 64 << 20, "{} blocks", metadata.blocks());
    assert_eq!(made["bytes"], metadata.len() + 9);
}

#[test]
fn a_root_that_is_there_is_replaced_by_force_alone() {
    let dir = tempfile::tempdir().unwrap();
    fixture(dir.path(), "doom", &["--sized", "1KiB"]);
    let (code, stderr) = refused(dir.path(), &["--id", "doom", "--files", "1"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--force"), "{stderr}");
    assert!(dir.path().join("doom/data.bin").exists());
    fixture(dir.path(), "doom", &["--files", "1", "--force"]);
    assert!(!dir.path().join("doom/data.bin").exists());
    std::os::unix::fs::symlink(dir.path().join("doom"), dir.path().join("link")).unwrap();
    assert_eq!(refused(dir.path(), &["--id", "link", "--force"]).0, Some(1));
    assert!(dir.path().join("doom/version.ini").exists());
}

#[test]
fn sentinel_and_catalog_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let made = fixture(dir.path(), "doom", &["--sized", "1B", "--no-sentinel", "--no-catalog"]);
    assert!(made["catalog"].is_null());
    assert_eq!((made["files"].as_u64(), made["bytes"].as_u64()), (Some(1), Some(1)));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["doom"]);
    assert!(!dir.path().join("doom/version.ini").exists());
}

#[test]
fn what_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code) in [
        (&["--id", "../x"][..], 2),
        (&["--id", "x", "--sized", "much"], 2),
        (&["--id", "x", "--file", "/etc/x=1"], 2),
        (&["--id", "x", "--entry", "a=1"], 2),
        (&["--id", "x", "--archive", "rar", "--sparse", "1B"], 2),
        (&["--id", "x", "--file", "a=1", "--file", "a=2"], 1),
        (&["--id", "x", "--file", "version.ini=1"], 1),
        (&["--id", "x", "--files", "100000"], 1),
    ] {
        let (found, stderr) = refused(dir.path(), args);
        assert_eq!(found, Some(code), "{args:?}: {stderr}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_catalog_that_cannot_be_added_to_is_refused_before_anything_is_made_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let games = dir.path().join("games");
    fixture(&games, "doom", &["--sized", "1KiB"]);
    let mine = games.join("doom/mine");
    fs::write(&mine, "of the user").unwrap();
    let broken = dir.path().join("broken.json");
    fs::write(&broken, "no catalog").unwrap();
    let nowhere = dir.path().join("nowhere/catalog.json");
    for catalog in [&broken, &nowhere] {
        let catalog = catalog.to_str().unwrap();
        let (_, stderr) =
            refused(&games, &["--id", "doom", "--sized", "1KiB", "--force", "--catalog", catalog]);
        assert!(stderr.contains(catalog), "{stderr}");
        assert!(mine.exists(), "nothing is replaced");
        refused(&games, &["--id", "quake", "--sized", "1KiB", "--catalog", catalog]);
        assert!(!games.join("quake").exists(), "nothing is made");
    }
    let (status, _) = refused(&games, &["--id", "quake", "--sized", "1KiB", "--title", ""]);
    assert_eq!(status, Some(2));
}
