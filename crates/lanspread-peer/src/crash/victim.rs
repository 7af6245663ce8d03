//! The process that is killed.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_disk::durable::faults::{self, Plan};
use tokio::time::timeout;

use super::case::{Case, VICTIM, VICTIM_DIR, VICTIM_SOURCE};
use super::peer::{PATIENCE, Peer, config};
use super::script::connect;
use super::verdict::{check_content, check_events, is_clear_failure};
use super::world::CrashWorld;

/// As a test that fails.
const FAILED_EXIT: i32 = 101;

/// No test: what the crash tests start. Without being told what to do it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the crash tests start it"]
async fn victim() {
    let Ok(case) = std::env::var(VICTIM) else { return };
    let case: Case = case.parse().unwrap();
    let world = CrashWorld { dir: PathBuf::from(std::env::var_os(VICTIM_DIR).unwrap()) };
    let source: SocketAddr = std::env::var(VICTIM_SOURCE).unwrap().parse().unwrap();
    faults::arm(Plan {
        moment: case.moment.clone(),
        action: case.action,
        seed: case.seed,
        disk: world.disk(),
        cut: world.cut(),
    });
    let playing = tokio::spawn({
        let world = world.clone();
        async move { play(&case, &world, source).await }
    });
    let played = timeout(2 * PATIENCE, playing).await;
    if !matches!(played, Ok(Ok(()))) {
        eprintln!("the script did not come to its end: {played:?}");
        // Whoever is held at a point would keep the runtime from ending.
        std::process::exit(FAILED_EXIT);
    }
    let hits = faults::hits();
    let lines: Vec<_> = hits.iter().map(|(site, hits)| format!("{site} {hits}\n")).collect();
    fs::write(world.hits(), lines.concat()).unwrap();
}

async fn play(case: &Case, world: &CrashWorld, source: SocketAddr) {
    let config = config(world.games(), world.state());
    let mut peer = match Peer::start(config.clone()).await {
        Ok(peer) => peer,
        Err(error) => {
            assert!(case.is_survived() && faults::happened(), "cannot start: {error}");
            // The disk has room again.
            Peer::start(config).await.unwrap()
        }
    };
    note_told(world, &peer).await;
    connect(case.script, &peer, source).await;
    let outcome = case.script.act(&mut peer).await;
    assert!(peer.is_idle().await, "an operation did not end with {outcome:?}");
    match &outcome {
        Ok(()) => {
            fs::write(world.outcome(), "done").unwrap();
            note_told(world, &peer).await;
        }
        Err(error) => {
            let is_meant = case.is_survived() && faults::happened();
            assert!(is_meant && is_clear_failure(error, case.action), "it failed: {error:?}");
        }
    }
    if case.is_survived() {
        let is_done = outcome.is_ok() && case.script.reaches_end();
        let wrong = check_content(case.script, world, is_done, true);
        assert!(wrong.is_empty(), "after {outcome:?}: {wrong:#?}");
        peer.connect(source).await;
        case.script.go_on(&peer).await.unwrap();
    }
    check_events(&peer.stop().await, outcome.is_err());
}

async fn note_told(world: &CrashWorld, peer: &Peer) {
    let (peer_id, library_rev) = peer.identity().await;
    // Whole or not at all: what is done in the background may end this process at any moment.
    let unfinished = world.told().with_extension("tmp");
    fs::write(&unfinished, format!("{peer_id} {library_rev}")).unwrap();
    fs::rename(unfinished, world.told()).unwrap();
}
