//! A game that travels from one peer to another, told in records.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use serde_json::json;
use support::{Home, Peer, Record, fixture, read};

/// Two peers that know each other; the first holds the game `doom`.
fn pair(homes: &[Home; 2]) -> [Peer; 2] {
    let [seed, _] = homes;
    fixture(&seed.games(), "doom", &["--archive", "rar", "--entries", "3", "--sized", "5MiB"]);
    let [mut alpha, mut bravo] = homes.each_ref().map(|home| {
        let mut command = home.command();
        command.arg("--catalog").arg(seed.games().join("catalog.json"));
        Peer::start(command)
    });
    let addr = alpha.ready().listen_addr;
    let alpha_id = alpha.seen.iter().find_map(|record| match record {
        Record::Ready { data, .. } => Some(data.peer_id.clone()),
        _ => None,
    });
    bravo.ready();
    bravo.line(&json!({"id": "connect", "cmd": "connect", "addr": addr}).to_string());
    let connected = bravo.answer("connect");
    assert_eq!(connected.data()["peer_id"], alpha_id.unwrap());
    [alpha, bravo]
}

/// Asserts that the event `name` stands before the answer to `id`.
fn assert_told_before(peer: &Peer, name: &str, id: &str) {
    let place = |wanted: &dyn Fn(&Record) -> bool| peer.seen.iter().position(wanted);
    let event = place(&|record| record.is_event(name)).unwrap();
    let answer = place(&|record| record.id() == Some(&json!(id))).unwrap();
    assert!(event < answer, "{:#?}", peer.seen);
}

#[test]
fn a_download_is_told_in_order_and_can_be_installed() {
    let homes = [Home::new(), Home::new()];
    let [mut alpha, mut bravo] = pair(&homes);
    assert_told_before(&bravo, "peer-discovered", "connect");
    bravo.line(r#"{"id":"get","cmd":"download","game_id":"doom","install":false,"wait":true}"#);
    let result = bravo.answer("get");
    assert_eq!(result.data()["files"], 2, "{result:?}");
    assert_told_before(&bravo, "download-begin", "get");
    assert_told_before(&bravo, "download-finished", "get");
    for file in ["doom.eti", "data.bin", "version.ini"] {
        let of = |home: &Home| read(home.games().join("doom").join(file));
        assert_eq!(of(&homes[0]), of(&homes[1]), "{file}");
    }
    bravo.line(r#"{"id":"install","cmd":"install","game_id":"doom","wait":true}"#);
    assert!(matches!(bravo.answer("install"), Record::Result { .. }));
    assert_told_before(&bravo, "install-finished", "install");
    assert_eq!(read(homes[1].games().join("doom/local/game/00/00001.bin")).len(), 1024);
    bravo.line(r#"{"id":"game","cmd":"get-game","game_id":"doom"}"#);
    let game = bravo.answer("game");
    assert_eq!(game.data()["game"]["installed"], true);
    assert_eq!(game.data()["game"]["availability"], "ready");
    assert_eq!(game.data()["manifest"]["files"].as_array().unwrap().len(), 2);
    bravo.line(r#"{"id":"again","cmd":"download","game_id":"doom"}"#);
    assert_eq!(bravo.answer("again").error().code, "already-downloaded");
    bravo.close_input();
    assert!(bravo.stopped().success());
    let lost = alpha.until(|record| record.is_event("peer-lost"));
    assert_eq!(lost.data()["reason"], "goodbye");
}

#[test]
fn waits_see_peers_come() {
    let homes = [Home::new(), Home::new()];
    let [mut alpha, _bravo] = pair(&homes);
    alpha.line(r#"{"id":"peers","cmd":"wait-peers","count":1}"#);
    assert_eq!(alpha.answer("peers").data()["peer_count"], 1);
    assert_told_before(&alpha, "peer-count-updated", "peers");
    alpha.line(
        r#"{"id":"event","cmd":"wait-for","event":"peer-discovered","timeout_ms":20000,"since_seq":0}"#,
    );
    let awaited = alpha.answer("event");
    assert_eq!(awaited.data()["event"], "peer-discovered");
    assert_told_before(&alpha, "peer-discovered", "event");
}
