//! Games that change and go, between real peers over QUIC on loopback.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;

use lanspread_fixture::RarWriter;
use lanspread_peer::{Availability, CommandError, GameScope, Operation, PeerCommand, PeerEvent};
use lanspread_proto::RelPath;
use support::{Setup, TestPeer, game_id};

/// A real archive with one small file.
fn archive(content: &[u8]) -> Vec<u8> {
    let mut writer = RarWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    let entry = RelPath::new("bin/quake.exe").unwrap();
    writer.add_file(&entry, content.len() as u64, None, false, content).unwrap();
    writer.finish().unwrap().into_inner()
}

async fn update(peer: &TestPeer, install: bool) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::Update {
        game_id: game_id("quake"),
        content_root: None,
        install: Some(install),
        wait: true,
        reply,
    };
    peer.ask(command).await.map(drop)
}

async fn remove(peer: &TestPeer) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::Remove { game_id: game_id("quake"), wait: true, reply };
    peer.ask(command).await
}

/// What was going on, one after the other, from the first operation on. Hashing changes the local
/// games as well, at any time.
fn operations(events: &[PeerEvent]) -> Vec<Option<Operation>> {
    let active = events.iter().filter_map(|event| match event {
        PeerEvent::LocalGamesUpdated { active_operations, .. } => {
            Some(active_operations.first().map(|active| active.operation))
        }
        _ => None,
    });
    let mut active: Vec<_> = active.skip_while(Option::is_none).collect();
    active.dedup();
    active
}

#[tokio::test]
async fn an_update_replaces_the_old_version_and_its_installation() {
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &archive(b"new")).start().await;
    let setup = Setup::new("bravo", &["quake"]).with_game("quake", b"not even an archive");
    let root = setup.config.games_dir.join("quake");
    fs::write(root.join("version.ini"), "20200101\n").unwrap();
    fs::create_dir(root.join("local")).unwrap();
    fs::write(root.join("local/old.exe"), "old").unwrap();
    let bravo = setup.start().await;
    bravo.connect(&alpha).await.unwrap();

    update(&bravo, false).await.unwrap();
    assert_eq!(fs::read(root.join("local/old.exe")).unwrap(), b"old");
    assert!(matches!(update(&bravo, true).await, Err(CommandError::UpToDate(_))));
    fs::write(root.join("version.ini"), "20200101\n").unwrap();
    drop(bravo.stop().await);

    let bravo = setup.start().await;
    bravo.connect(&alpha).await.unwrap();
    update(&bravo, true).await.unwrap();
    assert_eq!(fs::read(root.join("local/bin/quake.exe")).unwrap(), b"new");
    assert!(!root.join("local/old.exe").exists());
    let game = bravo.games(GameScope::Local).await.remove(0);
    assert_eq!((game.availability, game.installed), (Some(Availability::Ready), true));
    let events = bravo.stop().await;
    let updating = [Operation::Updating, Operation::Installing].map(Some);
    assert_eq!(operations(&events), [updating[0], None, updating[1], None]);
}

#[tokio::test]
async fn a_ready_game_is_updated_only_where_a_source_has_other_content() {
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", b"content").start().await;
    assert!(matches!(update(&alpha, false).await, Err(CommandError::UpToDate(_))));
    let same = Setup::new("same", &["quake"]).with_game("quake", b"content").start().await;
    alpha.connect(&same).await.unwrap();
    assert!(matches!(update(&alpha, false).await, Err(CommandError::UpToDate(_))));
    drop(same.stop().await);

    let other = Setup::new("other", &["quake"]).with_game("quake", b"other content").start().await;
    alpha.connect(&other).await.unwrap();
    update(&alpha, false).await.unwrap();
    let archive = alpha.games_dir.join("quake/quake.eti");
    assert_eq!(fs::read(archive).unwrap(), b"other content");
    assert!(matches!(update(&alpha, false).await, Err(CommandError::UpToDate(_))));

    let nobody = Setup::new("nobody", &["quake"]).start().await;
    assert!(matches!(update(&nobody, false).await, Err(CommandError::NoSource(_))));
}

#[tokio::test]
async fn a_removed_download_is_gone_here_and_for_others() {
    let alpha =
        Setup::new("alpha", &["quake"]).with_game("quake", &archive(b"content")).start().await;
    let mut bravo = Setup::new("bravo", &["quake"]).start().await;
    bravo.connect(&alpha).await.unwrap();
    let install = |reply| PeerCommand::Install { game_id: game_id("quake"), wait: true, reply };
    alpha.ask(install).await.unwrap();
    assert!(matches!(remove(&alpha).await, Err(CommandError::StillInstalled(_))));
    let uninstall = |reply| PeerCommand::Uninstall { game_id: game_id("quake"), wait: true, reply };
    alpha.ask(uninstall).await.unwrap();

    remove(&alpha).await.unwrap();
    assert!(!alpha.games_dir.join("quake").exists());
    assert!(alpha.games(GameScope::Local).await.is_empty());
    assert!(matches!(remove(&alpha).await, Err(CommandError::NotDownloaded(_))));
    let is_gone = |event: &PeerEvent| {
        matches!(event, PeerEvent::GamesListUpdated { game_count: 0, .. }).then_some(())
    };
    bravo.event(is_gone).await;
    let events = alpha.stop().await;
    let begun = events.iter().filter(|event| matches!(event, PeerEvent::RemoveBegin { .. }));
    assert_eq!(begun.count(), 1, "a refusal begins nothing");
}
