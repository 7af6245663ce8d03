//! How a peer starts, and how it says that it cannot.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{BINARY, Home, Peer, Record, fixture, run};

/// Runs `command`, which must print one error record about the start, and returns its code and
/// message.
fn start_error(command: Command) -> (String, String) {
    let mut peer = Peer::start(command);
    let record = peer.next().unwrap();
    let Record::Error { seq: 1, id: Value::Null, cmd: None, error, .. } = record else {
        panic!("{record:?}")
    };
    assert!(peer.next().is_none(), "{:#?}", peer.seen);
    assert_eq!(peer.wait().code(), Some(1));
    (error.code, error.message)
}

#[test]
fn a_second_peer_on_one_state_directory_is_refused() {
    let home = Home::new();
    let mut first = home.start();
    first.ready();
    let (code, message) = start_error(home.command());
    assert_eq!(code, "state-dir-locked");
    assert!(message.contains(home.state().to_str().unwrap()), "{message}");
    first.line(r#"{"id":1,"cmd":"status"}"#);
    assert!(matches!(first.answer(1), Record::Result { .. }));
}

#[test]
fn a_state_directory_of_a_newer_program_is_refused_and_left_alone() {
    let home = Home::new();
    fs::create_dir(home.state()).unwrap();
    let newer = |name: &str, content: &str| fs::write(home.state().join(name), content).unwrap();
    newer("state_format.json", r#"{"format":1000,"program":"9.0.0","new":true}"#);
    newer("library_index.json", r#"{"format":9,"library_rev":7}"#);
    let listing = || {
        let entries = fs::read_dir(home.state()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = listing();
    let (code, message) = start_error(home.command());
    assert_eq!(code, "state-dir-newer");
    assert!(message.contains("format 1000 of version 9.0.0"), "{message}");
    assert_eq!(listing(), before);
}

#[test]
fn a_games_directory_that_is_none_is_refused() {
    let home = Home::new();
    fs::remove_dir(home.games()).unwrap();
    assert_eq!(start_error(home.command()).0, "games-dir-unusable");
    fs::write(home.games(), "a file").unwrap();
    assert_eq!(start_error(home.command()).0, "games-dir-unusable");
}

#[test]
fn a_state_directory_inside_the_games_directory_is_refused() {
    let home = Home::new();
    let mut command = Command::new(BINARY);
    command.arg("run").arg("--games-dir").arg(home.games()).arg("--state-dir");
    command.arg(home.games().join("state")).args(["--mdns-interface", "off"]);
    assert_eq!(start_error(command).0, "state-dir-unusable");
}

#[test]
fn a_taken_port_is_refused() {
    let home = Home::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(BINARY);
    command.arg("run").arg("--games-dir").arg(home.games()).arg("--state-dir").arg(home.state());
    command.args(["--mdns-interface", "off", "--listen"]);
    command.arg(socket.local_addr().unwrap().to_string());
    assert_eq!(start_error(command).0, "listen-failed");
}

#[test]
fn a_catalog_that_cannot_be_used_is_refused() {
    let home = Home::new();
    let mut command = home.command();
    command.arg("--catalog").arg(home.path("missing.json"));
    assert_eq!(start_error(command).0, "catalog-unusable");
    for content in ["", "{", r#"{"games":[{"id":"x"}]}"#] {
        fs::write(home.games().join("catalog.json"), content).unwrap();
        let (code, message) = start_error(home.command());
        assert_eq!(code, "catalog-unusable");
        assert!(message.contains("catalog.json"), "{message}");
    }
}

#[test]
fn without_a_catalog_it_starts_with_a_warning() {
    let home = Home::new();
    let mut command = home.command_logging("warn");
    let log = fs::File::create(home.path("log")).unwrap();
    command.stderr(log);
    let mut peer = Peer::start(command);
    peer.ready();
    peer.line(r#"{"id":1,"cmd":"list-games"}"#);
    assert_eq!(peer.answer(1).data()["games"], Value::Array(Vec::new()));
    peer.close_input();
    assert!(peer.stopped().success());
    let log = fs::read_to_string(home.path("log")).unwrap();
    assert!(log.contains("no catalog"), "{log}");
}

#[test]
fn a_network_key_that_cannot_be_used_is_refused() {
    let home = Home::new();
    let key_file = home.path("key");
    let with_key = || {
        let mut command = home.command();
        command.arg("--network-key-file").arg(&key_file);
        command
    };
    assert_eq!(start_error(with_key()).0, "network-key-unusable");
    fs::write(&key_file, "short\n").unwrap();
    assert_eq!(start_error(with_key()).0, "network-key-unusable");
    fs::write(&key_file, "long enough\n").unwrap();
    Peer::start(with_key()).ready();
}

#[test]
fn wrong_flags_exit_with_2_and_print_no_record() {
    let home = Home::new();
    let flags: [&[&str]; 12] = [
        &["--frob"],
        &["--listen", "here"],
        &["--ping-after", "10"],
        &["--peer-timeout", "0s"],
        &["--auto-install", "maybe"],
        &["--auto-install"],
        &["--name", ""],
        &["--name", "a\nb"],
        &["--network", " x"],
        &["--mdns-interface", ""],
        &["--log", "error"],
        &["more"],
    ];
    for more in flags {
        let (status, stdout, stderr) = run(home.command().args(more));
        assert_eq!(status.code(), Some(2), "{more:?}: {stderr}");
        assert_eq!(stdout, "", "{more:?}");
        assert!(!stderr.is_empty(), "{more:?}");
    }
    let (status, _, _) = run(&mut home.command_logging("[bad"));
    assert_eq!(status.code(), Some(2));
    for args in [&["run"][..], &["run", "--games-dir", "x"], &["frob"], &[]] {
        let (status, stdout, _) = run(Command::new(BINARY).args(args));
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{args:?}");
    }
}

#[test]
fn flags_reach_the_peer() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--name", "Älpha 1", "--network", "party"]);
    command.args(["--ping-after", "500ms", "--peer-timeout", "2s", "--auto-install", "true"]);
    let mut peer = Peer::start(command);
    let ready = peer.ready();
    assert_eq!((ready.name.as_str(), ready.network.as_str()), ("Älpha 1", "party"));
    peer.line(r#"{"id":1,"cmd":"status"}"#);
    assert_eq!(peer.answer(1).data()["name"], "Älpha 1");
}

#[test]
fn the_peer_timeout_must_be_longer_than_the_ping() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--ping-after", "5s", "--peer-timeout", "5s"]);
    assert_eq!(start_error(command).0, "invalid-config");
}

#[test]
fn the_schema_is_one_json_document_with_every_part() {
    let (status, stdout, _) = run(Command::new(BINARY).arg("schema"));
    assert!(status.success());
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(schema["protocol"], 1);
    let commands = [
        "cancel-download",
        "connect",
        "download",
        "get-game",
        "install",
        "list-games",
        "list-peers",
        "remove-download",
        "run-setup",
        "set-game-dir",
        "shutdown",
        "status",
        "stream-install",
        "uninstall",
        "update",
        "verify",
        "wait-for",
        "wait-peers",
    ];
    let choices = schema["command"]["oneOf"].as_array().unwrap().iter();
    let names: BTreeSet<_> = choices.map(|it| it["properties"]["cmd"]["const"].as_str()).collect();
    assert_eq!(names, commands.map(Some).into());
    for part in ["record", "errors", "fields", "$defs"] {
        assert!(schema[part].is_object(), "{part}");
    }
    for (code, about) in schema["errors"].as_object().unwrap() {
        assert!(about["meaning"].is_string(), "{code}");
    }
}

#[test]
fn the_schema_of_a_command_stands_alone() {
    let (status, stdout, _) = run(Command::new(BINARY).args(["schema", "get-game"]));
    assert!(status.success());
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(schema["line"]["required"], json!(["id", "cmd", "game_id"]));
    assert!(schema["result"]["properties"]["manifest"].is_object());
    let (status, _, stderr) = run(Command::new(BINARY).args(["schema", "frob"]));
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("\"frob\"; there are: status, list-peers"), "{stderr}");
}

#[test]
fn an_unrar_program_that_cannot_run_is_refused_before_the_first_install() {
    let home = Home::new();
    let plain_file = home.path("no-program");
    fs::write(&plain_file, "text").unwrap();
    for named in ["/nonexistent/unrar", "no-such-unrar-program", plain_file.to_str().unwrap()] {
        let mut command = home.command();
        command.args(["--unrar", named]);
        let (code, message) = start_error(command);
        assert_eq!(code, "invalid-config");
        assert!(message.contains(named), "{message}");
    }
    let mut command = home.command();
    command.args(["--unrar", "true"]);
    Peer::start(command).ready();
}

/// Paths below `dir` with their permissions.
fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn the_state_belongs_to_its_owner_whatever_the_umask_is() {
    for umask in ["000", "077"] {
        let home = Home::new();
        fixture(&home.games(), "doom", &["--archive", "rar", "--entries", "1"]);
        let direct = home.command();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
        command.arg(direct.get_program()).args(direct.get_args());
        let mut peer = Peer::start(command);
        peer.ready();
        peer.line(r#"{"id":1,"cmd":"install","game_id":"doom","wait":true}"#);
        assert!(matches!(peer.answer(1), Record::Result { .. }));
        peer.close_input();
        assert!(peer.stopped().success());
        let mut found = modes(&home.state());
        found
            .push((home.state(), fs::metadata(home.state()).unwrap().permissions().mode() & 0o777));
        assert!(found.len() > 6, "{found:?}");
        for (path, mode) in found {
            assert_eq!(
                mode,
                if path.is_dir() { 0o700 } else { 0o600 },
                "{umask}: {}",
                path.display()
            );
        }
    }
}

/// What `command` logs until it has started.
fn log_of_start(home: &Home, mut command: Command) -> String {
    command.stderr(fs::File::create(home.path("log")).unwrap());
    let mut peer = Peer::start(command);
    peer.ready();
    peer.close_input();
    assert!(peer.stopped().success());
    fs::read_to_string(home.path("log")).unwrap()
}

#[test]
fn a_state_directory_that_others_may_change_is_told_and_stays_as_it_is() {
    let home = Home::new();
    fs::create_dir(home.state()).unwrap();
    for (mode, is_told) in [(0o777, true), (0o755, false)] {
        fs::set_permissions(home.state(), fs::Permissions::from_mode(mode)).unwrap();
        let log = log_of_start(&home, home.command_logging("warn"));
        assert_eq!(log.contains("other users may change the state directory"), is_told, "{log}");
        assert_eq!(fs::metadata(home.state()).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn an_old_unrar_program_is_told() {
    let home = Home::new();
    let program = home.path("unrar");
    for (banner, is_told) in [("UNRAR 5.61 beta 1", true), ("UNRAR 7.01 freeware", false)] {
        fs::write(&program, format!("#!/bin/sh\necho '{banner}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = home.command_logging("warn");
        command.arg("--unrar").arg(&program);
        let log = log_of_start(&home, command);
        assert_eq!(log.contains("before 6.23 an archive can run code in it"), is_told, "{log}");
    }
}
