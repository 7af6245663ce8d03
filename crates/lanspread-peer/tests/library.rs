//! Changes on the disk that no operation made, seen by a peer that runs.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;

use lanspread_peer::{Availability, GameScope, PeerCommand, PeerEvent};
use support::{Setup, TestPeer, game_id, write_game};

/// Waits until the games `ids` are ready and no others are here.
async fn expect_ready(peer: &mut TestPeer, ids: &[&str]) {
    loop {
        let games = peer.games(GameScope::Local).await;
        let is_ready = games.iter().all(|game| game.availability == Some(Availability::Ready));
        let found: Vec<&str> = games.iter().map(|game| game.id.as_str()).collect();
        if is_ready && found == ids {
            return;
        }
        let is_update = |event: &PeerEvent| matches!(event, PeerEvent::LocalGamesUpdated { .. });
        peer.event(|event| is_update(event).then_some(())).await;
    }
}

#[tokio::test]
async fn games_that_come_change_and_go_are_noticed() {
    let setup = Setup::new("alpha", &["doom", "quake"]).with_game("quake", b"archive");
    let mut peer = setup.start().await;
    expect_ready(&mut peer, &["quake"]).await;
    write_game(&peer.games_dir, "doom", b"another");
    expect_ready(&mut peer, &["doom", "quake"]).await;
    fs::remove_file(peer.games_dir.join("quake/version.ini")).unwrap();
    expect_ready(&mut peer, &["doom"]).await;
    fs::create_dir(peer.games_dir.join("quake/local")).unwrap();
    let installed = |event: &PeerEvent| match event {
        PeerEvent::LocalGamesUpdated { changed, .. } => {
            changed.contains(&game_id("quake")).then_some(())
        }
        _ => None,
    };
    peer.event(installed).await;
    let quake = peer.games(GameScope::Local).await.pop().unwrap();
    assert_eq!(quake.availability, Some(Availability::LocalOnly));
}

#[tokio::test]
async fn a_games_directory_that_is_deleted_and_comes_back_loses_nothing() {
    let setup = Setup::new("alpha", &["quake"]).with_game("quake", b"archive");
    let mut peer = setup.start().await;
    let hashed = async |peer: &TestPeer| {
        let ask = |reply| PeerCommand::GetGame { game_id: game_id("quake"), reply };
        peer.ask(ask).await.unwrap().value.manifest.and_then(|manifest| manifest.content_root())
    };
    while hashed(&peer).await.is_none() {
        peer.event(|_| Some(())).await;
    }
    let aside = peer.games_dir.with_extension("aside");
    fs::rename(&peer.games_dir, &aside).unwrap();
    expect_ready(&mut peer, &[]).await;
    fs::rename(&aside, &peer.games_dir).unwrap();
    expect_ready(&mut peer, &["quake"]).await;
    // The first thing known of it again is its content: that was never forgotten.
    assert!(hashed(&peer).await.is_some());

    fs::remove_dir_all(&peer.games_dir).unwrap();
    expect_ready(&mut peer, &[]).await;
    fs::create_dir(&peer.games_dir).unwrap();
    write_game(&peer.games_dir, "quake", b"archive");
    expect_ready(&mut peer, &["quake"]).await;
}
