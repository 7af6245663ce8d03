//! The setup script of an installed game: started, detached, and never in the records.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Home, Peer, Record, fixture};

/// Far beyond what a script of a few lines takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn start(home: &Home) -> Peer {
    fixture(&home.games(), "doom", &["--archive", "rar"]);
    fixture(&home.games(), "quake", &[]);
    let mut command = home.command();
    command.arg("--catalog").arg(home.games().join("catalog.json"));
    let mut peer = Peer::start(command);
    peer.ready();
    peer
}

fn command(peer: &mut Peer, id: &str, cmd: &str, more: &str) -> Record {
    peer.line(&format!(r#"{{"id":"{id}","cmd":"{cmd}"{more}}}"#));
    peer.answer(id)
}

fn setup_done(peer: &mut Peer, id: &str) -> bool {
    let game = command(peer, id, "get-game", r#","game_id":"doom""#);
    game.data()["setup_done"].as_bool().unwrap()
}

fn code(record: &Record) -> &str {
    &record.error().code
}

fn is_alive(pid: &Value) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn a_setup_script_is_started_apart_from_the_peer_and_noted_until_the_game_is_uninstalled() {
    let home = Home::new();
    let mut peer = start(&home);
    let doom = r#","game_id":"doom""#;
    assert_eq!(code(&command(&mut peer, "u", "run-setup", r#","game_id":"none""#)), "unknown-game");
    assert_eq!(code(&command(&mut peer, "n", "run-setup", doom)), "not-installed");
    command(&mut peer, "i", "install", r#","game_id":"doom","wait":true"#);
    assert_eq!(code(&command(&mut peer, "s", "run-setup", doom)), "no-setup-script");
    assert!(!setup_done(&mut peer, "d0"));

    let local = home.games().join("doom/local");
    fs::write(local.join("game_setup.sh"), "#!/no/such/interpreter\n").unwrap();
    let lacking = command(&mut peer, "l", "run-setup", doom);
    assert_eq!(code(&lacking), "setup-not-started");
    assert!(lacking.error().message.contains("/no/such/interpreter: "));
    assert!(!setup_done(&mut peer, "d4"));
    let script = "echo 'not a record'; pwd > where; read -r line; echo \"read: $line\" >> where\n\
                  while [ ! -e end ]; do sleep 0.02; done; rm end; touch ended\n";
    fs::write(local.join("game_setup.sh"), script).unwrap();
    let first = command(&mut peer, "r1", "run-setup", doom);
    assert_eq!(first.data()["already_done"], false);
    assert!(setup_done(&mut peer, "d1"));
    let text = format!("{}\nread: \n", fs::canonicalize(&local).unwrap().display());
    wait_until("where", || {
        fs::read_to_string(local.join("where")).is_ok_and(|found| found == text)
    });
    let log = first.data()["log"].as_str().unwrap();
    assert_eq!(fs::read_to_string(log).unwrap(), "not a record\n");
    fs::write(local.join("end"), "").unwrap();
    // Nobody is left behind as a zombie either.
    wait_until("the end", || !is_alive(&first.data()["pid"]));

    let second = command(&mut peer, "r2", "run-setup", doom);
    assert_eq!(second.data()["already_done"], true);
    peer.line(r#"{"id":"end","cmd":"shutdown"}"#);
    assert!(peer.stopped().success());
    let pid = &second.data()["pid"];
    assert!(is_alive(pid), "the script ended with the peer");
    let mut peer = start_again(&home);
    assert!(setup_done(&mut peer, "d2"));
    let group = Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    kill_process(group, Signal::KILL).unwrap();
    command(&mut peer, "x", "uninstall", r#","game_id":"doom","wait":true"#);
    command(&mut peer, "y", "install", r#","game_id":"doom","wait":true"#);
    assert!(!setup_done(&mut peer, "d3"));
}

fn start_again(home: &Home) -> Peer {
    let mut command = home.command();
    command.arg("--catalog").arg(home.games().join("catalog.json"));
    let mut peer = Peer::start(command);
    peer.ready();
    peer
}
