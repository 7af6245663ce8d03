//! A reader that does not read: the peer goes on, and nothing that counts is missing.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Home, Peer, Record, fixture};

/// Answers that no pipe and no buffer of the peer holds, however far ahead one of them is read.
fn fill_the_output() -> String {
    let id = "x".repeat(512 * 1024);
    format!("{{\"id\":\"{id}\",\"cmd\":\"status\"}}\n").repeat(4)
}

/// Three peers with one catalog, of which the first holds the game `doom`, and nobody reads more of the second than
/// the test asks for. The second knows the first one.
fn three(homes: &[Home; 3]) -> [Peer; 3] {
    let [seed, slow, other] = homes;
    fixture(&seed.games(), "doom", &["--sized", "8MiB"]);
    let command = |home: &Home| {
        let mut command = home.command();
        command.arg("--catalog").arg(seed.games().join("catalog.json"));
        command
    };
    let (mut alpha, mut charlie) = (Peer::start(command(seed)), Peer::start(command(other)));
    let mut bravo = Peer::start_slow_reader(command(slow));
    let [alpha_addr, bravo_addr] = [&mut alpha, &mut bravo].map(|peer| peer.ready().listen_addr);
    charlie.ready();
    connect(&mut bravo, &alpha_addr);
    connect(&mut charlie, &bravo_addr);
    [alpha, bravo, charlie]
}

fn connect(peer: &mut Peer, addr: &str) {
    peer.line(&json!({"id": "connect", "cmd": "connect", "addr": addr}).to_string());
    assert!(matches!(peer.answer("connect"), Record::Result { .. }));
}

#[test]
fn a_peer_that_nobody_reads_downloads_and_serves() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let [_alpha, mut bravo, mut charlie] = three(&homes);
    let download = "{\"id\":\"get\",\"cmd\":\"download\",\"game_id\":\"doom\",\"wait\":true}\n";
    bravo.send(format!("{download}{}", fill_the_output()));
    // It announces what it has downloaded, and is the only source that charlie knows.
    charlie.line(
        r#"{"id":"there","cmd":"wait-for","event":"games-list-updated","timeout_ms":25000,"since_seq":0}"#,
    );
    assert_eq!(charlie.answer("there").data()["data"]["changed"], json!(["doom"]));
    charlie.send(download);
    assert_eq!(charlie.answer("get").data()["files"], 1);

    assert!(matches!(bravo.answer("get"), Record::Result { .. }));
    let names: Vec<&str> = bravo.seen.iter().filter_map(event_name).collect();
    assert!(names.contains(&"download-begin"), "{names:?}");
    assert!(names.contains(&"download-finished"), "{names:?}");
    assert!(!names.contains(&"events-dropped"), "{names:?}");
    bravo.line(r#"{"id":"end","cmd":"shutdown"}"#);
    bravo.answer("end");
    assert!(bravo.stopped().success());
}

fn event_name(record: &Record) -> Option<&str> {
    match record {
        Record::Event { event, .. } => Some(event),
        _ => None,
    }
}

#[test]
fn a_peer_that_nobody_reads_says_goodbye_when_it_is_told_to_stop() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let [_alpha, mut bravo, mut charlie] = three(&homes);
    bravo.send(fill_the_output());
    bravo.signal(Signal::TERM);
    let lost = charlie.until(|record| record.is_event("peer-lost"));
    assert_eq!(lost.data()["reason"], "goodbye");
    assert!(bravo.stopped().success());
}

#[test]
fn a_shutdown_behind_other_commands_is_seen_though_nobody_reads() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let [_alpha, mut bravo, mut charlie] = three(&homes);
    let commands = "{\"id\":1,\"cmd\":\"status\"}\n".repeat(1000);
    bravo.send(format!("{}{commands}", fill_the_output()));
    bravo.line(r#"{"id":"end","cmd":"shutdown"}"#);
    let lost = charlie.until(|record| record.is_event("peer-lost"));
    assert_eq!(lost.data()["reason"], "goodbye");
    assert!(matches!(bravo.answer("end"), Record::Result { .. }));
    assert!(bravo.stopped().success());
}

#[test]
fn ten_thousand_commands_are_answered_when_somebody_reads() {
    let home = Home::new();
    let mut peer = Peer::start_slow_reader(home.command());
    peer.ready();
    let command = |id: u32| match id % 3 {
        0 => format!("{{\"id\":{id},\"cmd\":\"status\"}}\n"),
        1 => format!("{{\"id\":{id},\"cmd\":\"list-games\"}}\n"),
        _ => format!("{{\"id\":{id},\"cmd\":\"wait-for\",\"timeout_ms\":10}}\n"),
    };
    let shutdown = "{\"id\":\"end\",\"cmd\":\"shutdown\"}\n";
    peer.write_to_the_end((0..10_000).map(command).chain([shutdown.to_owned()]).collect());
    peer.answer("end");
    assert!(peer.stopped().success());
    let mut ids: Vec<u64> =
        peer.seen.iter().filter_map(|record| record.id().and_then(Value::as_u64)).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..10_000));
}

#[test]
fn one_event_answers_a_thousand_waits() {
    let home = Home::new();
    let mut peer = Peer::start_slow_reader(home.command());
    peer.ready();
    let wait = |id| {
        format!(
            "{{\"id\":{id},\"cmd\":\"wait-for\",\"event\":\"local-games-updated\",\
             \"where\":{{\"active_operations\":[]}},\"timeout_ms\":25000}}\n"
        )
    };
    peer.send((0..1000).map(wait).collect::<String>());
    let dir = home.path("other");
    std::fs::create_dir(&dir).unwrap();
    peer.line(&json!({"id": "dir", "cmd": "set-game-dir", "path": dir}).to_string());
    for id in 0..1000 {
        assert_eq!(peer.answer(id).data()["event"], "local-games-updated");
    }
}
