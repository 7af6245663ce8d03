//! A consumer that stops taking events: the peer goes on, and what counts is there when it comes back.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use lanspread_peer::{ConnectError, EventClass, PeerCommand, PeerEvent, RejectReason};
use lanspread_proto::NetworkName;
use support::{PATIENCE, Setup, TestPeer, game_id};
use tokio::time::timeout;

const GAME_BYTES: usize = 24 << 20;
/// How often a stranger is refused.
const REFUSALS: u64 = 100;

fn game_bytes() -> Vec<u8> {
    (0..GAME_BYTES).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect()
}

async fn download(peer: &TestPeer) {
    let game_id = game_id("quake");
    let command = |reply| PeerCommand::Download {
        game_id,
        content_root: None,
        install: None,
        wait: true,
        reply,
    };
    peer.ask(command).await.unwrap();
}

/// Lets a stranger be refused again and again.
async fn knock(stranger: &TestPeer, peer: &TestPeer) {
    for _ in 0..REFUSALS {
        let refused = stranger.connect(peer).await.unwrap_err();
        let reason = RejectReason::Network;
        assert!(matches!(refused, ConnectError::Rejected { reason: it, .. } if it == reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_and_is_served_though_a_stranger_knocks_and_nobody_takes_events() {
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &game_bytes()).start().await;
    let mut bravo = Setup::new("bravo", &["quake"]).start().await;
    let charlie = Setup::new("charlie", &["quake"]).start().await;
    let elsewhere = |network: &mut NetworkName| *network = NetworkName::new("elsewhere").unwrap();
    let stranger = Setup::new("stranger", &[]).with(|config| elsewhere(&mut config.network));
    let stranger = stranger.start().await;
    bravo.connect(&alpha).await.unwrap();
    tokio::join!(download(&bravo), knock(&stranger, &bravo));
    // Of one that does not know alpha.
    charlie.connect(&bravo).await.unwrap();
    download(&charlie).await;

    let mut events = Vec::new();
    while let Ok(event) = bravo.events.try_recv() {
        events.push(event);
    }
    let ends = events.iter().filter(|event| matches!(event, PeerEvent::DownloadFinished { .. }));
    assert_eq!(ends.count(), 1, "{events:#?}");
    let refusals = |events: &[PeerEvent]| -> Vec<u64> {
        let count = |event: &PeerEvent| match event {
            PeerEvent::PeerRejected { count, .. } => Some(*count),
            _ => None,
        };
        events.iter().filter_map(count).collect()
    };
    let told = refusals(&events);
    assert_eq!(told.first(), Some(&1), "the first one at once");
    // One in five seconds.
    assert!(told.len() < 8, "{told:?}");
    // The rest is told when the pause is over.
    let mut told: u64 = told.into_iter().sum();
    while told < REFUSALS {
        let event = timeout(PATIENCE, bravo.events.recv()).await.unwrap().unwrap();
        told += refusals(&[event]).into_iter().sum::<u64>();
    }
    assert_eq!(told, REFUSALS);
}

#[tokio::test]
async fn a_peer_whose_events_nobody_takes_stops_in_time() {
    let mut alpha = Setup::new("alpha", &["quake"]).with_game("quake", b"archive").start().await;
    for _ in 0..3 {
        let install = |reply| PeerCommand::Verify {
            game_id: game_id("quake"),
            repair: false,
            wait: true,
            reply,
        };
        alpha.ask(install).await.unwrap();
    }
    alpha.handle.begin_shutdown();
    timeout(PATIENCE, alpha.handle.wait_stopped()).await.unwrap().unwrap();
    let mut events = Vec::new();
    while let Some(event) = alpha.events.recv().await {
        events.push(event);
    }
    assert!(matches!(events.last(), Some(PeerEvent::Stopped)));
    let kept = events.iter().filter(|event| event.class() == EventClass::Kept);
    assert_eq!(kept.count(), 3 * 2 + 1, "{events:#?}");
}
