//! Catalogs that `catalog` writes, checks and adds roots to.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lanspread_catalog::Catalog;
use serde_json::{Value, json};
use support::{BINARY, Home, Peer, Record, fixture, run};

/// What one call printed.
struct Said {
    code: Option<i32>,
    games: Vec<Value>,
    summary: Value,
    stderr: String,
}

impl Said {
    fn states(&self) -> Vec<(&str, &str)> {
        self.games
            .iter()
            .map(|game| (game["game_id"].as_str().unwrap(), game["state"].as_str().unwrap()))
            .collect()
    }

    fn game(&self, id: &str) -> &Value {
        self.games.iter().find(|game| game["game_id"] == id).unwrap()
    }
}

fn catalog(action: &str, games_dir: &Path, more: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    command.args(["catalog", action, "--games-dir"]).arg(games_dir).args(more);
    let (status, stdout, stderr) = run(&mut command);
    let mut games: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = games.pop().unwrap_or_default();
    assert!(games.iter().all(|game| game["type"] == "game"), "{stdout}");
    Said { code: status.code(), games, summary, stderr }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A games directory with the games `doom` and `quake`, and no catalog.
fn two_games() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let games = dir.path().join("games");
    fixture(&games, "doom", &["--archive", "rar", "--entries", "3", "--no-catalog"]);
    fixture(&games, "quake", &["--sized", "5MiB", "--files", "2", "--no-catalog"]);
    (dir, games)
}

#[test]
fn a_game_is_shared_under_the_root_that_was_written() {
    let homes = [Home::new(), Home::new()];
    let games = homes[0].games();
    fixture(
        &games,
        "doom",
        &["--archive", "rar", "--entries", "3", "--sized", "5MiB", "--no-catalog"],
    );
    for name in ["catalog.json", "game.db"] {
        let path = games.join(name);
        let said = catalog("write", &games, &["--catalog", text(&path)]);
        assert_eq!(
            (said.code, said.states()),
            (Some(0), vec![("doom", "read")]),
            "{}",
            said.stderr
        );
        let loaded = Catalog::load(&path).unwrap();
        let game = loaded.get(&"doom".parse().unwrap()).unwrap();
        assert_eq!(game.content_root.unwrap().to_string(), said.game("doom")["content_root"]);
        assert_eq!(json!(game.size), said.game("doom")["size"]);
        let checked = catalog("check", &games, &["--catalog", text(&path)]);
        assert_eq!((checked.code, checked.states()), (Some(0), vec![("doom", "matches")]));
    }
    let [mut alpha, mut bravo] = homes.each_ref().map(|home| {
        let mut command = home.command();
        command.arg("--catalog").arg(games.join("game.db"));
        Peer::start(command)
    });
    let addr = alpha.ready().listen_addr;
    bravo.ready();
    bravo.line(&json!({"id": "connect", "cmd": "connect", "addr": addr}).to_string());
    assert!(matches!(bravo.answer("connect"), Record::Result { .. }));
    bravo.line(r#"{"id":"get","cmd":"download","game_id":"doom","install":false,"wait":true}"#);
    let got = bravo.answer("get");
    assert!(matches!(got, Record::Result { .. }), "{got:?}");
    bravo.line(r#"{"id":"game","cmd":"get-game","game_id":"doom"}"#);
    let told = bravo.answer("game").data()["manifest"]["content_root"].clone();
    let written = catalog("check", &games, &[]);
    assert_eq!(told, written.game("doom")["content_root"]);
    // What was fetched is what the catalog states, too.
    let said = catalog("check", &homes[1].games(), &["--catalog", text(&games.join("game.db"))]);
    assert_eq!((said.code, said.states()), (Some(0), vec![("doom", "matches")]));
}

#[test]
fn what_is_no_whole_game_is_refused_and_the_others_go_on() {
    let (_dir, games) = two_games();
    symlink("quake", games.join("link")).unwrap();
    symlink("data.bin", games.join("quake/linked")).unwrap();
    for name in ["no sentinel", "odd:name", ".hidden", "lost+found", "Twin", "twin"] {
        fs::create_dir(games.join(name)).unwrap();
    }
    fs::create_dir(games.join("bad version")).unwrap();
    fs::write(games.join("bad version/version.ini"), "\n").unwrap();
    fs::write(games.join("a file"), "").unwrap();
    let said = catalog("write", &games, &[]);
    let expected = [
        ("Twin", "refused"),
        ("bad version", "refused"),
        ("doom", "read"),
        ("link", "refused"),
        ("no sentinel", "missing"),
        ("odd:name", "refused"),
        ("quake", "refused"),
        ("twin", "refused"),
    ];
    assert_eq!((said.code, said.states()), (Some(1), expected.to_vec()));
    assert_eq!(said.game("quake")["problems"][0]["path"], "linked");
    assert_eq!(said.game("bad version")["problems"][0]["reason"], "bad-version");
    for game in said.games.iter().filter(|game| game["state"] != "read") {
        let (id, hint) = (game["game_id"].as_str().unwrap(), game["hint"].as_str().unwrap());
        let line = said.stderr.lines().find(|line| line.starts_with(&format!("{id}: "))).unwrap();
        assert!(!hint.is_empty() && line.ends_with(hint), "{line}");
    }
    assert_eq!((&said.summary["good"], &said.summary["bad"]), (&json!(1), &json!(7)));
    assert_eq!(said.summary["written"], true);
    assert_eq!(Catalog::load(&games.join("catalog.json")).unwrap().len(), 1);
    // Whoever asks about one game hears of no other one.
    let path = games.join("one.sqlite");
    let said = catalog("write", &games, &["--game", "doom", "--catalog", text(&path)]);
    assert_eq!((said.code, said.states()), (Some(0), vec![("doom", "read")]));
}

#[test]
fn a_check_tells_what_differs_is_missing_or_has_no_root() {
    let (_dir, games) = two_games();
    fixture(&games, "unreal", &["--sized", "1KiB", "--no-catalog"]);
    fixture(&games, "tetris", &["--sized", "1KiB", "--no-catalog"]);
    assert_eq!(catalog("write", &games, &[]).code, Some(0));
    fixture(&games, "norooted", &["--sized", "1KiB"]);
    fs::write(games.join("quake/data.bin"), "other").unwrap();
    fs::remove_file(games.join("tetris/version.ini")).unwrap();
    fs::write(games.join("unreal/version.ini"), "20250101").unwrap();
    let said = catalog("check", &games, &[]);
    let expected = [
        ("doom", "matches"),
        ("norooted", "no-root"),
        ("quake", "differs"),
        ("tetris", "missing"),
        ("unreal", "differs"),
    ];
    assert_eq!((said.code, said.states()), (Some(1), expected.to_vec()));
    assert_ne!(said.game("quake")["content_root"], said.game("quake")["stated_content_root"]);
    let unreal = said.game("unreal");
    assert_eq!(
        (&unreal["version"], &unreal["stated_version"]),
        (&json!("20250101"), &json!("20240131"))
    );
    assert_eq!(said.summary["written"], false);
    assert_eq!(catalog("check", &games, &["--game", "doom"]).code, Some(0));
}

#[test]
fn roots_are_added_to_json_and_nothing_else_changes() {
    let (_dir, games) = two_games();
    let path = games.join("party.json");
    let old = "0".repeat(64);
    let before = format!(
        "{{ \"games\": [\n  {{\"version\": \"20240131\", \"id\": \"quake\", \"title\": \"Quake  \\u00e4\", \"max_players\": 16}},\n  \
         {{\"id\": \"doom\", \"title\": \"Doom\", \"version\": \"20240131\", \"content_root\": \"{old}\"}},\n\n  \
         {{\"id\": \"absent\", \"title\": \"Absent\", \"version\": \"1\"}}\n]}}"
    );
    fs::write(&path, &before).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let named = ["--catalog", text(&path)];
    let said = catalog("add-roots", &games, &named);
    let expected = [("absent", "missing"), ("doom", "differs"), ("quake", "added")];
    assert_eq!((said.code, said.states()), (Some(1), expected.to_vec()));
    let quake = said.game("quake")["content_root"].as_str().unwrap();
    let version = "{\"version\": \"20240131\",";
    let with_quake =
        before.replacen(version, &format!("{version} \"content_root\": \"{quake}\","), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), with_quake);

    let link = games.join("link.json");
    symlink("party.json", &link).unwrap();
    let said =
        catalog("add-roots", &games, &["--catalog", text(&link), "--replace", "--game", "doom"]);
    assert_eq!((said.code, said.states()), (Some(0), vec![("doom", "replaced")]));
    let doom = said.game("doom")["content_root"].as_str().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), with_quake.replace(&old, doom));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);

    let written = fs::metadata(&path).unwrap().ino();
    let said = catalog("add-roots", &games, &named);
    assert_eq!(said.summary["written"], false);
    assert_eq!(
        fs::metadata(&path).unwrap().ino(),
        written,
        "nothing changes, so nothing is written"
    );
}

#[test]
fn bad_input_is_refused_before_anything_is_read_or_written() {
    let (dir, games) = two_games();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("a directory")).unwrap();
    fs::write(path("broken.json"), "{").unwrap();
    let twice = r#"{"id":"doom","title":"Doom","version":"20240131"}"#;
    fs::write(path("twice.json"), format!("{{\"games\":[{twice},{twice}]}}")).unwrap();
    let good = path("good.json");
    assert_eq!(catalog("write", &games, &["--catalog", text(&good)]).code, Some(0));
    let before = fs::read(&good).unwrap();
    let refused = |action: &str, games: &Path, name: &str, part: &str| {
        let catalog_path = path(name);
        let said = catalog(action, games, &["--catalog", text(&catalog_path)]);
        assert_eq!((said.code, said.games.len()), (Some(1), 0), "{action} {name}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{action} {name}: {}", said.stderr);
    };
    for action in ["write", "check", "add-roots"] {
        let part = if action == "write" {
            "there already; --force"
        } else {
            "cannot read games directory"
        };
        refused(action, &path("nowhere"), "good.json", part);
        refused(
            action,
            &games,
            "a directory",
            if action == "write" { "--format" } else { "not a regular file" },
        );
    }
    refused("write", &path("nowhere"), "new.json", "cannot read games directory");
    refused("write", &games, "nowhere/new.json", "cannot write catalog");
    refused("write", &games, "new.txt", "--format");
    for action in ["check", "add-roots"] {
        refused(action, &games, "missing.json", "cannot read catalog");
        refused(action, &games, "broken.json", "line 1");
        refused(action, &games, "twice.json", "same directory");
    }
    let said = catalog(
        "write",
        &games,
        &["--catalog", text(&path("a directory")), "--format", "json", "--force"],
    );
    assert!(said.stderr.contains("not a regular file"), "{}", said.stderr);
    let said = catalog("check", &games, &["--catalog", text(&good), "--game", "other"]);
    assert!(said.stderr.contains("has no game \"other\""), "{}", said.stderr);
    assert!(catalog("check", &games, &[]).stderr.contains("catalog write"));
    let empty = path("empty");
    fs::create_dir(&empty).unwrap();
    let said = catalog("write", &empty, &[]);
    assert_eq!((said.code, said.summary["written"].clone()), (Some(1), json!(false)));
    assert!(said.stderr.contains("nothing was written"), "{}", said.stderr);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert_eq!(fs::read(&good).unwrap(), before);
}

#[test]
fn titles_come_from_another_catalog_and_a_file_is_replaced_by_force_alone() {
    let (_dir, games) = two_games();
    let path = games.join("catalog.json");
    let entry = r#"{"id":"doom","title":"Doom II","version":"1","publisher":"id","max_players":4}"#;
    fs::write(&path, format!("{{\"games\":[{entry}]}}")).unwrap();
    assert_eq!(catalog("write", &games, &[]).code, Some(1));
    let said = catalog("write", &games, &["--force", "--titles-from", text(&path)]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let written = Catalog::load(&path).unwrap();
    let doom = written.get(&"doom".parse().unwrap()).unwrap();
    assert_eq!((doom.title.as_str(), doom.version.as_str()), ("Doom II", "20240131"));
    assert_eq!((doom.publisher.as_deref(), doom.max_players), (Some("id"), Some(4)));
    assert_eq!(written.get(&"quake".parse().unwrap()).unwrap().title, "quake");
}
