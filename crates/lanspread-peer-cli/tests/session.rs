//! What a session promises to whoever drives it.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Home, Peer, Record, fixture};

#[test]
fn ready_comes_first_and_stopped_last() {
    let home = Home::new();
    let mut peer = home.start();
    let ready = peer.ready();
    assert_eq!(ready.network, "lanspread");
    assert_eq!(ready.games_dir, home.games().canonicalize().unwrap());
    assert!(!ready.listen_addr.ends_with(":0"));
    peer.line(r#"{"id":"first","cmd":"status"}"#);
    let status = peer.answer("first");
    let status = status.data();
    assert_eq!(status["peer_id"], ready.peer_id.as_str());
    assert_eq!(status["listen_addr"], ready.listen_addr.as_str());
    assert_eq!(status["peer_count"], 0);
    assert_eq!(status["active_operations"], json!([]));
    peer.line(r#"{"id":2,"cmd":"shutdown"}"#);
    assert!(matches!(peer.answer(2), Record::Result { data, .. } if data.is_empty()));
    assert!(peer.stopped().success());
}

#[test]
fn a_bad_line_gets_one_error_and_the_next_line_works() {
    let cases: [(&[u8], Value, Option<&str>, &str); 11] = [
        (b"frob", Value::Null, None, "bad-json"),
        (b"[]", Value::Null, None, "bad-json"),
        (b"\xff\xfe", Value::Null, None, "bad-json"),
        (br#"{"id":1,"cmd":"status"}}"#, json!(1), Some("status"), "bad-json"),
        (br#"{"id":2,"cmd":"frob"}"#, json!(2), Some("frob"), "unknown-command"),
        (br#"{"id":4}"#, json!(4), None, "invalid-params"),
        (br#"{"cmd":"status"}"#, Value::Null, Some("status"), "invalid-params"),
        (br#"{"id":{},"cmd":"status"}"#, Value::Null, Some("status"), "invalid-params"),
        (br#"{"id":5,"cmd":"install"}"#, json!(5), Some("install"), "invalid-params"),
        (br#"{"id":6,"cmd":"install","game_id":6}"#, json!(6), Some("install"), "invalid-params"),
        (br#"{"id":7,"cmd":"status","x":6}"#, json!(7), Some("status"), "invalid-params"),
    ];
    let home = Home::new();
    let mut peer = home.start();
    peer.ready();
    for (line, wanted_id, wanted_cmd, code) in cases {
        peer.send(line);
        peer.line("");
        let record = peer.until(|record| record.id().is_some());
        let Record::Error { id, cmd, error, .. } = record else { panic!("{record:?}") };
        assert_eq!((&id, cmd.as_deref()), (&wanted_id, wanted_cmd), "{error:?}");
        assert_eq!(error.code, code, "{error:?}");
        assert!(!error.message.is_empty() && !error.hint.is_empty());
        peer.line(r#"{"id":"after","cmd":"status"}"#);
        assert!(matches!(peer.answer("after"), Record::Result { .. }));
    }
}

#[test]
fn an_over_long_line_is_skipped() {
    let home = Home::new();
    let mut peer = home.start();
    peer.ready();
    let padding = vec![b'x'; 3 * 1024 * 1024];
    peer.send(&padding);
    peer.line(r#""}"#);
    let record = peer.until(|record| record.id().is_some());
    assert_eq!((record.id(), &*record.error().code), (Some(&Value::Null), "line-too-long"));
    peer.send(br#"{"id":8,"cmd":"connect","addr":""#);
    peer.send(&padding);
    peer.line(r#""}"#);
    assert_eq!(peer.answer(8).error().code, "line-too-long");
    peer.line(r#"{"id":9,"cmd":"status"}"#);
    assert!(matches!(peer.answer(9), Record::Result { .. }));
}

#[test]
fn two_hundred_commands_at_once_get_one_terminal_record_each() {
    let home = Home::new();
    fixture(&home.games(), "doom", &["--sized", "1KiB"]);
    let mut peer = home.start();
    peer.ready();
    let mut lines = String::new();
    for id in 0..200 {
        let rest = match id % 5 {
            0 => r#""cmd":"status""#,
            1 => r#""cmd":"list-games","scope":"local""#,
            2 => r#""cmd":"get-game","game_id":"doom""#,
            3 => r#""cmd":"get-game","game_id":"quake""#,
            _ => r#""cmd":"wait-peers","count":1,"timeout_ms":1"#,
        };
        lines.push_str(&format!("{{\"id\":{id},{rest}}}\n"));
    }
    peer.send(&lines);
    let mut answers = BTreeMap::new();
    while answers.len() < 200 {
        let record = peer.until(|record| record.id().is_some());
        let id = record.id().unwrap().as_u64().unwrap();
        let code = match &record {
            Record::Error { error, .. } => error.code.clone(),
            _ => String::new(),
        };
        assert!(answers.insert(id, code).is_none(), "{id} twice");
    }
    for (id, code) in answers {
        let wanted = match id % 5 {
            3 => "unknown-game",
            4 => "timeout",
            _ => "",
        };
        assert_eq!(code, wanted, "{id}");
    }
    peer.line(r#"{"id":"end","cmd":"shutdown"}"#);
    peer.answer("end");
    assert!(peer.stopped().success());
    let terminal = peer.seen.iter().filter(|record| record.id().is_some()).count();
    assert_eq!(terminal, 201);
}

#[test]
fn more_commands_than_may_be_in_flight_are_held_back_and_not_lost() {
    let home = Home::new();
    let mut peer = home.start();
    peer.ready();
    let count = 3000;
    for id in 0..count {
        peer.line(&format!(r#"{{"id":{id},"cmd":"wait-peers","count":1,"timeout_ms":20}}"#));
    }
    for id in 0..count {
        assert_eq!(peer.answer(id).error().code, "timeout");
    }
}

#[test]
fn ids_come_back_as_they_were_written() {
    let home = Home::new();
    let mut command = home.command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let ids = ["1.0", "-0", "1e400", "98765432109876543210987654321", r#""\u0041 \" é""#];
    let mut stdin = child.stdin.take().unwrap();
    for id in ids {
        writeln!(stdin, r#"{{"cmd": "status", "id": {id}}}"#).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for id in ids {
        assert!(text.contains(&format!(r#","id":{id},"cmd":"status","#)), "{id}: {text}");
    }
}

#[test]
fn a_script_can_be_piped_in() {
    let home = Home::new();
    let mut peer = home.start();
    peer.send("{\"id\":1,\"cmd\":\"status\"}\n\n{\"id\":2,\"cmd\":\"list-games\"}");
    peer.close_input();
    assert!(peer.stopped().success());
    let results = peer.seen.iter().filter(|r| matches!(r, Record::Result { .. })).count();
    assert_eq!(results, 2, "{:#?}", peer.seen);
}

#[test]
fn commands_in_flight_at_the_end_are_told() {
    let home = Home::new();
    let mut peer = home.start();
    peer.ready();
    peer.line(r#"{"id":1,"cmd":"wait-for","event":"peer-lost","timeout_ms":60000}"#);
    peer.line(r#"{"id":2,"cmd":"wait-peers","count":9}"#);
    peer.line(r#"{"id":3,"cmd":"shutdown"}"#);
    peer.line(r#"{"id":4,"cmd":"list-peers"}"#);
    assert!(matches!(peer.answer(3), Record::Result { .. }));
    assert!(peer.stopped().success());
    for id in [1, 2, 4] {
        let of_id = |record: &&Record| record.id() == Some(&json!(id));
        let answers: Vec<_> = peer.seen.iter().filter(of_id).collect();
        assert_eq!(answers.len(), 1, "{id}: {:#?}", peer.seen);
        assert_eq!(answers[0].error().code, "shutting-down");
    }
}

#[test]
fn signals_end_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new();
        let mut peer = home.start();
        peer.ready();
        peer.signal(signal);
        assert!(peer.stopped().success());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let mut child = home.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The answer is larger than a pipe and nobody reads its end, so that no end can be clean.
    let id = "x".repeat(512 * 1024);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, r#"{{"id":"{id}","cmd":"status"}}"#).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 64]);
    while !seen.contains("xxx") {
        let count = stdout.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let status = support::end_by(&mut child, Signal::TERM);
    assert_eq!(status.code(), Some(143));
}

/// More answers than a pipe and the peer's own buffer hold, in fewer bytes than a pipe holds.
fn more_than_is_taken() -> String {
    "{\"id\":1,\"cmd\":\"status\"}\n".repeat(2000)
}

#[test]
fn the_end_of_input_ends_it_though_nobody_reads() {
    let shutdown = "{\"id\":1,\"cmd\":\"shutdown\"}\n".to_owned();
    let started = [more_than_is_taken(), shutdown].map(|lines| {
        let home = Home::new();
        let mut child =
            home.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // So large an answer that it stays in the pipe.
        let id = "x".repeat(512 * 1024);
        writeln!(stdin, r#"{{"id":"{id}","cmd":"status"}}"#).unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        (home, child)
    });
    for (home, mut child) in started {
        let status = support::end_by_itself(&mut child);
        assert_eq!(status.code(), Some(1));
        // The peer itself has stopped, so its state directory is free.
        home.start().ready();
    }
}

#[test]
fn a_peer_whose_log_nobody_reads_goes_on() {
    let home = Home::new();
    // Without a catalog it warns at the start.
    let mut command = home.command_logging("warn");
    let (_unread, mut stderr) = std::io::pipe().unwrap();
    fcntl_setfl(&stderr, OFlags::NONBLOCK).unwrap();
    while stderr.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&stderr, OFlags::empty()).unwrap();
    command.stderr(stderr);
    let mut peer = Peer::start(command);
    peer.ready();
    peer.line(r#"{"id":1,"cmd":"status"}"#);
    peer.answer(1);
    peer.close_input();
    assert!(peer.stopped().success());
}

#[test]
fn it_ends_cleanly_when_nobody_reads_any_more() {
    let home = Home::new();
    let mut command = home.command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = support::end_by_itself(&mut child);
    assert!(status.success());
    // The state directory is free again.
    let mut next = home.start();
    next.ready();
}

#[test]
fn past_events_can_be_waited_for() {
    let home = Home::new();
    fixture(&home.games(), "doom", &["--sized", "1KiB"]);
    let mut peer = home.start();
    peer.ready();
    let new_dir = home.path("other");
    std::fs::create_dir(&new_dir).unwrap();
    let line = json!({"id": 1, "cmd": "set-game-dir", "path": new_dir});
    peer.line(&line.to_string());
    let answer = peer.answer(1);
    let new_dir = new_dir.canonicalize().unwrap();
    assert_eq!(answer.data()["games_dir"], new_dir.to_str().unwrap());
    peer.line(
        r#"{"id":2,"cmd":"wait-for","event":"local-games-updated","where":{"active_operations":[]},"timeout_ms":20000,"since_seq":0}"#,
    );
    let awaited = peer.answer(2);
    let seq = awaited.data()["seq"].as_u64().unwrap();
    assert!(seq < awaited.seq());
    let event = peer.seen.iter().find(|record| record.seq() == seq).unwrap();
    assert!(event.is_event("local-games-updated"));
    assert_eq!(&awaited.data()["data"], &Value::Object(event.data().clone()));
}

#[test]
fn a_wait_in_vain_says_what_it_waited_for() {
    let home = Home::new();
    let mut peer = home.start();
    peer.ready();
    peer.line(
        r#"{"id":1,"cmd":"wait-for","event":"peer-lost","where":{"reason":"timeout"},"timeout_ms":10}"#,
    );
    let error = peer.answer(1).error().clone();
    assert_eq!((error.code.as_str(), error.retryable), ("timeout", true));
    assert!(error.message.contains("peer-lost") && error.message.contains("10 ms"), "{error:?}");
    assert!(error.hint.contains("since_seq"), "{error:?}");
}

#[test]
fn commands_on_games_fail_with_their_code() {
    let home = Home::new();
    let catalog = home.games().join("catalog.json");
    std::fs::write(&catalog, r#"{"games":[{"id":"doom","title":"Doom","version":"1"}]}"#).unwrap();
    let mut peer = home.start();
    let ready = peer.ready();
    let mut code = |line: Value| {
        let id = line["id"].clone();
        peer.line(&line.to_string());
        peer.answer(id).error().code.clone()
    };
    let on_games = [
        "get-game",
        "download",
        "update",
        "install",
        "uninstall",
        "cancel-download",
        "remove-download",
        "verify",
    ];
    for (n, cmd) in on_games.into_iter().enumerate() {
        assert_eq!(code(json!({"id": n, "cmd": cmd, "game_id": "quake"})), "unknown-game", "{cmd}");
    }
    for (cmd, wanted) in [
        ("download", "no-source"),
        ("update", "no-source"),
        ("install", "not-downloaded"),
        ("uninstall", "not-installed"),
        ("cancel-download", "not-downloading"),
        ("remove-download", "not-downloaded"),
        ("verify", "not-downloaded"),
    ] {
        assert_eq!(code(json!({"id": cmd, "cmd": cmd, "game_id": "doom"})), wanted);
    }
    let connect = json!({"id": "me", "cmd": "connect", "addr": ready.listen_addr});
    assert_eq!(code(connect), "connect-self");
    let nowhere = json!({"id": "dir", "cmd": "set-game-dir", "path": home.path("nowhere")});
    assert_eq!(code(nowhere), "games-dir-unusable");
}

#[test]
fn a_peer_that_was_killed_can_start_again_as_itself() {
    let home = Home::new();
    let mut peer = home.start();
    let first = peer.ready();
    peer.kill();
    peer.wait();
    let mut peer: Peer = home.start();
    assert_eq!(peer.ready().peer_id, first.peer_id);
}
