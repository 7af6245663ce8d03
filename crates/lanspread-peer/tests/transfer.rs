//! Games that travel between real peers over QUIC on loopback.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use lanspread_fixture::RarWriter;
use lanspread_peer::{
    Availability, CommandError, GameScope, Operation, PeerCommand, PeerConfig, PeerEvent,
};
use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash, RelPath};
use support::{Setup, TestPeer, game_id};

/// Bytes of several chunks, the last one short, none like another.
fn archive_bytes() -> Vec<u8> {
    let len = usize::try_from(4 * CHUNK_SIZE_BYTES + 12_345).unwrap();
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

async fn download(peer: &TestPeer, install: bool) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::Download {
        game_id: game_id("quake"),
        content_root: None,
        install: Some(install),
        wait: true,
        reply,
    };
    peer.ask(command).await.map(drop)
}

fn file(peer: &TestPeer, path: &str) -> Vec<u8> {
    std::fs::read(peer.games_dir.join("quake").join(path)).unwrap()
}

#[tokio::test]
async fn a_game_comes_whole_from_two_sources_and_is_announced_at_once() {
    let bytes = archive_bytes();
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &bytes).start().await;
    let bravo = Setup::new("bravo", &["quake"]).with_game("quake", &bytes).start().await;
    let mut carol = Setup::new("carol", &["quake"]).start().await;
    carol.connect(&alpha).await.unwrap();
    carol.connect(&bravo).await.unwrap();
    download(&carol, false).await.unwrap();

    // The terminal event is a safe point: the settled state shows without waiting for anything.
    let game = carol.games(GameScope::Local).await.remove(0);
    assert_eq!(game.availability, Some(Availability::Ready));
    assert_eq!((game.downloaded, game.operation), (true, None));
    assert_eq!(file(&carol, "quake.eti"), bytes);
    let mut phases = Vec::new();
    let sources = carol
        .event(|event| match event {
            PeerEvent::LocalGamesUpdated { active_operations, .. } => {
                phases.push(active_operations.first().map(|active| active.operation));
                None
            }
            PeerEvent::DownloadFinished { sources, .. } => Some(sources.clone()),
            _ => None,
        })
        .await;
    assert_eq!(phases, [Some(Operation::Downloading), None]);
    let given: u64 = sources.iter().map(|source| source.bytes).sum();
    assert_eq!(given, bytes.len() as u64, "the archive");

    // A source itself now, without reading what it fetched: the hashes are there at once.
    let command = |reply| PeerCommand::GetGame { game_id: game_id("quake"), reply };
    let manifest = carol.ask(command).await.unwrap().value.manifest.unwrap();
    let hashes = manifest.file(&RelPath::new("quake.eti").unwrap()).unwrap().hashes.clone();
    assert_eq!(hashes.unwrap().file(), ContentHash::of(&bytes));
    drop(alpha.stop().await);
    drop(bravo.stop().await);
    let dave = Setup::new("dave", &["quake"]).start().await;
    dave.connect(&carol).await.unwrap();
    download(&dave, false).await.unwrap();
    assert_eq!(file(&dave, "quake.eti"), bytes);
}

#[tokio::test]
async fn a_download_can_install_what_it_brought() {
    let mut writer = RarWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    let content = b"content of the game".as_slice();
    let entry = RelPath::new("bin/quake.exe").unwrap();
    writer.add_file(&entry, content.len() as u64, None, false, content).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &archive).start().await;
    let bravo = Setup::new("bravo", &["quake"]).start().await;
    bravo.connect(&alpha).await.unwrap();
    download(&bravo, true).await.unwrap();
    assert_eq!(file(&bravo, "local/bin/quake.exe"), content);
    let uninstall = |reply| PeerCommand::Uninstall { game_id: game_id("quake"), wait: true, reply };
    bravo.ask(uninstall).await.unwrap();
    assert!(!bravo.games_dir.join("quake/local").exists());
    // A refused command leaves nothing behind that makes the game busy.
    let refused = bravo.ask(uninstall).await;
    assert!(matches!(refused, Err(CommandError::NotInstalled(_))));
    let install = |reply| PeerCommand::Install { game_id: game_id("quake"), wait: true, reply };
    bravo.ask(install).await.unwrap();
    assert_eq!(file(&bravo, "local/bin/quake.exe"), content);
}

#[tokio::test]
async fn what_the_catalog_does_not_have_is_neither_announced_nor_fetched() {
    let bytes = archive_bytes();
    let alpha = Setup::new("alpha", &["quake"])
        .with_game("quake", &bytes)
        .with_game("unknown", &bytes)
        .start()
        .await;
    let bravo = Setup::new("bravo", &["quake", "unknown"]).start().await;
    bravo.connect(&alpha).await.unwrap();
    let games = bravo.games(GameScope::All).await;
    let ids: Vec<_> = games.iter().map(|game| game.id.as_str()).collect();
    assert_eq!(ids, ["quake"]);
    let start = |id| {
        let game_id = game_id(id);
        |reply| PeerCommand::Download {
            game_id,
            content_root: None,
            install: None,
            wait: false,
            reply,
        }
    };
    assert!(matches!(bravo.ask(start("unknown")).await, Err(CommandError::NoSource(_))));
    assert!(matches!(bravo.ask(start("doom")).await, Err(CommandError::UnknownGame(_))));
    assert!(matches!(alpha.ask(start("quake")).await, Err(CommandError::AlreadyDownloaded(_))));
}

#[tokio::test]
async fn a_catalog_that_knows_the_content_takes_no_other() {
    let bytes = archive_bytes();
    let wrong = |config: &mut PeerConfig| {
        let games = config.catalog.iter().cloned().map(|mut game| {
            game.content_root = Some(ContentHash::of(b"another content"));
            game
        });
        config.catalog = lanspread_catalog::Catalog::from_games(games).unwrap();
    };
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &bytes).start().await;
    let bravo = Setup::new("bravo", &["quake"]).with(wrong).start().await;
    bravo.connect(&alpha).await.unwrap();
    assert!(download(&bravo, false).await.is_err());
    assert!(!bravo.games_dir.join("quake/version.ini").exists());
}
