//! Who finds whom, who is let in, and who is lost: real peers over QUIC on loopback.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use lanspread_peer::{
    ConnectError, GameScope, LostReason, NetworkKey, PeerCommand, PeerEvent, RejectReason,
    StartError, event_channel, start_peer,
};
use lanspread_proto::NetworkName;
use support::{PATIENCE, Setup, game_id};
use tokio::time::timeout;

#[tokio::test]
async fn connect_makes_both_sides_know_each_other_and_their_games() {
    let mut alpha = Setup::new("alpha", &["quake"]).with_game("quake", b"bytes").start().await;
    let mut bravo = Setup::new("bravo", &["quake"]).start().await;
    assert_eq!(bravo.connect(&alpha).await.unwrap(), alpha.id());
    let games = bravo.games(GameScope::Remote).await;
    assert_eq!(games.len(), 1);
    assert_eq!((games[0].id.clone(), games[0].peer_count), (game_id("quake"), 1));
    let found = alpha
        .event(|event| match event {
            PeerEvent::PeerDiscovered(info) => Some(info.clone()),
            _ => None,
        })
        .await;
    assert_eq!((found.peer_id, found.addr), (bravo.id(), bravo.addr()));

    bravo.handle.begin_shutdown();
    bravo.handle.wait_stopped().await.unwrap();
    let lost = alpha
        .event(|event| match event {
            PeerEvent::PeerLost { peer_id, reason, .. } => Some((*peer_id, *reason)),
            _ => None,
        })
        .await;
    assert_eq!(lost, (found.peer_id, LostReason::Goodbye));
    assert!(matches!(alpha.stop().await.last(), Some(PeerEvent::Stopped)));
}

#[tokio::test]
async fn crossing_dials_leave_one_peer_on_both_sides() {
    for _ in 0..5 {
        let alpha = Setup::new("alpha", &[]).start().await;
        let bravo = Setup::new("bravo", &[]).start().await;
        let (one, two) = tokio::join!(alpha.connect(&bravo), bravo.connect(&alpha));
        assert_eq!((one.unwrap(), two.unwrap()), (bravo.id(), alpha.id()));
        assert_eq!(alpha.peers().await.len(), 1);
        assert_eq!(bravo.peers().await.len(), 1);
        assert!(matches!(alpha.connect(&alpha).await, Err(ConnectError::Myself(_))));
    }
}

#[tokio::test]
async fn other_networks_and_keys_are_rejected_on_both_sides() {
    let key = |secret: &[u8]| NetworkKey::from_secret(secret);
    let mut alpha = Setup::new("alpha", &[])
        .with(|config| config.network_key = key(b"right secret"))
        .start()
        .await;
    let strangers = [
        (
            Setup::new("other-key", &[]).with(|c| c.network_key = key(b"wrong secret")),
            RejectReason::NetworkKey,
        ),
        (Setup::new("no-key", &[]), RejectReason::NetworkKey),
        (
            Setup::new("other-network", &[]).with(|c| {
                c.network = NetworkName::new("elsewhere").unwrap();
                c.network_key = key(b"right secret");
            }),
            RejectReason::Network,
        ),
    ];
    for (setup, expected) in strangers {
        let mut stranger = setup.start().await;
        let refused = stranger.connect(&alpha).await.unwrap_err();
        assert!(
            matches!(refused, ConnectError::Rejected { reason, .. } if reason == expected),
            "{refused}"
        );
        for peer in [&mut alpha, &mut stranger] {
            let reason = peer
                .event(|event| match event {
                    PeerEvent::PeerRejected { reason, .. } => Some(*reason),
                    _ => None,
                })
                .await;
            assert_eq!(reason, expected);
        }
        assert!(alpha.peers().await.is_empty() && stranger.peers().await.is_empty());
    }
    let friend =
        Setup::new("friend", &[]).with(|c| c.network_key = key(b"right secret\n")).start().await;
    assert_eq!(friend.connect(&alpha).await.unwrap(), alpha.id());
}

#[tokio::test]
async fn a_peer_keeps_its_id_and_its_entry_across_a_restart() {
    let mut alpha = Setup::new("alpha", &[]).start().await;
    let setup = Setup::new("bravo", &[]);
    let bravo = setup.start().await;
    let (id, addr) = (bravo.id(), bravo.addr());
    alpha.connect(&bravo).await.unwrap();
    drop(bravo.stop().await);
    alpha.event(|event| matches!(event, PeerEvent::PeerLost { .. }).then_some(())).await;
    let bravo = setup.start().await;
    assert_eq!(bravo.id(), id);
    bravo.connect(&alpha).await.unwrap();
    // It is listed once it has told its library.
    alpha.event(|event| matches!(event, PeerEvent::PeerDiscovered(_)).then_some(())).await;
    let peers = alpha.peers().await;
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].peer_id, peers[0].addr), (id, bravo.addr()));
    assert_ne!(bravo.addr(), addr);
}

/// Makes `clone` a peer with the identity of `original`, as the image of a disk does.
fn copy_identity(original: &Setup, clone: &Setup) {
    let (from, to) = (&original.config.state_dir, &clone.config.state_dir);
    std::fs::create_dir_all(to.join("identity")).unwrap();
    for file in std::fs::read_dir(from.join("identity")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("identity").join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn two_peers_of_one_identity_are_told_and_the_first_one_is_kept() {
    let conflict = |event: &PeerEvent| match event {
        PeerEvent::IdentityConflict { peer_id, is_own, addrs } => {
            Some((*peer_id, *is_own, addrs.clone()))
        }
        _ => None,
    };
    let (first, second) = (Setup::new("first", &[]), Setup::new("second", &[]));
    let mut alpha = first.start().await;
    copy_identity(&first, &second);
    let mut clone = second.start().await;
    let mut bravo = Setup::new("bravo", &[]).start().await;
    assert_eq!(alpha.id(), clone.id());

    bravo.connect(&alpha).await.unwrap();
    let refused = bravo.connect(&clone).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Rejected { reason: RejectReason::Identity, .. }),
        "{refused}"
    );
    let mut both = vec![alpha.addr(), clone.addr()];
    both.sort();
    assert_eq!(bravo.event(conflict).await, (alpha.id(), false, both.clone()));
    // The one that is not kept is told by the one that keeps the other.
    assert_eq!(clone.event(conflict).await, (alpha.id(), true, Vec::new()));
    for _ in 0..3 {
        // Whoever dials, and however often, the first one stays.
        let _ = clone.connect(&bravo).await;
        let peers = bravo.peers().await;
        assert_eq!(peers.len(), 1);
        assert_eq!((peers[0].addr, peers[0].name.as_str()), (alpha.addr(), "first"));
    }
    // The two of them notice each other, too.
    assert!(matches!(
        alpha.connect(&clone).await,
        Err(ConnectError::Rejected { reason: RejectReason::Identity, .. })
    ));
    assert_eq!(alpha.event(conflict).await, (alpha.id(), true, vec![clone.addr()]));
    let status = bravo.ask(|reply| PeerCommand::Status { reply }).await.unwrap();
    assert_eq!(status.value.identity_conflicts.len(), 1);
    assert_eq!(status.value.identity_conflicts[0].addrs, both);

    // When the first one is gone, the second one is a peer like any other.
    drop(alpha.stop().await);
    bravo.event(|event| matches!(event, PeerEvent::PeerLost { .. }).then_some(())).await;
    assert_eq!(bravo.connect(&clone).await.unwrap(), clone.id());
}

#[tokio::test]
async fn idle_peers_stay_known_by_their_pings() {
    let quick = |config: &mut lanspread_peer::PeerConfig| {
        config.ping_after = Duration::from_millis(100);
        config.peer_timeout = Duration::from_millis(400);
    };
    let mut alpha = Setup::new("alpha", &[]).with(quick).start().await;
    let bravo = Setup::new("bravo", &[]).with(quick).start().await;
    alpha.connect(&bravo).await.unwrap();
    // Many times the silence limit, without a command or an event between them.
    let lost = alpha.event(|event| matches!(event, PeerEvent::PeerLost { .. }).then_some(()));
    assert!(tokio::time::timeout(Duration::from_secs(2), lost).await.is_err());
    assert_eq!(bravo.peers().await.len(), 1);
}

#[tokio::test]
async fn start_refuses_what_is_not_usable() {
    let setup = Setup::new("alpha", &[]);
    let _running = setup.start().await;
    let start = async |setup: &Setup| {
        let (events, _receiver) = event_channel();
        start_peer(setup.config.clone(), events).await.err()
    };
    assert!(matches!(start(&setup).await, Some(StartError::StateDirLocked { .. })));

    let missing = Setup::new("missing", &[]).with(|c| c.games_dir = c.games_dir.join("none"));
    assert!(matches!(start(&missing).await, Some(StartError::GamesDir(_))));
    let nested = Setup::new("nested", &[]).with(|c| c.state_dir = c.games_dir.join("state"));
    assert!(matches!(start(&nested).await, Some(StartError::StateInsideGames { .. })));
    assert!(!nested.config.state_dir.exists(), "a refusal leaves nothing in the games directory");
    let hasty = Setup::new("hasty", &[]).with(|c| c.peer_timeout = c.ping_after);
    assert!(matches!(start(&hasty).await, Some(StartError::Timeouts)));
    let foreign = Setup::new("foreign", &[]).with(|c| c.listen = "192.0.2.200:9".parse().unwrap());
    assert!(matches!(start(&foreign).await, Some(StartError::Listen { .. })));
}

#[tokio::test]
async fn commands_after_the_stop_get_no_answer_but_do_not_hang() {
    let mut alpha = Setup::new("alpha", &[]).start().await;
    let commands = alpha.handle.sender();
    alpha.handle.begin_shutdown();
    alpha.handle.wait_stopped().await.unwrap();
    let (reply, answer) = tokio::sync::oneshot::channel();
    assert!(commands.send(PeerCommand::Status { reply }).await.is_err());
    assert!(answer.await.is_err());
}

/// Every identity costs a moment of a processor, so this fills one address and not the whole table.
#[tokio::test]
async fn an_address_that_has_all_its_places_keeps_out_nobody_else() {
    let mut alpha = Setup::new("alpha", &[]).start().await;
    let crowd_addr = SocketAddr::from(([127, 0, 0, 9], 0));
    let mut crowd = Vec::new();
    for _ in 0..64 {
        let stranger = Setup::new("crowd", &[]).with(|config| config.listen = crowd_addr);
        let stranger = stranger.start().await;
        stranger.connect(&alpha).await.unwrap();
        crowd.push(stranger);
    }
    let known = async {
        while alpha.peers().await.len() < crowd.len() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, known).await.unwrap();
    let late = Setup::new("late", &[]).with(|config| config.listen = crowd_addr).start().await;
    // It has shaken hands by then, so it is told by the end of the connection alone.
    let _ = late.connect(&alpha).await;
    let rejected = alpha
        .event(|event| match event {
            PeerEvent::PeerRejected { peer_id, .. } => *peer_id,
            _ => None,
        })
        .await;
    assert_eq!(rejected, late.id());

    let honest = Setup::new("honest", &[]).start().await;
    assert_eq!(honest.connect(&alpha).await.unwrap(), alpha.id());
    let is_known = async {
        while !alpha.peers().await.iter().any(|peer| peer.peer_id == honest.id()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, is_known).await.unwrap();
    assert_eq!(alpha.peers().await.len(), crowd.len() + 1);
}
