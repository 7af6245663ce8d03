use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use lanspread_archive::AutoUnpacker;
use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_library::{Index, scan_game};
use lanspread_mdns::MdnsInterface;
use lanspread_proto::{ContentHash, FileHashes, Manifest, ManifestFile};
use tokio::sync::oneshot;

use super::*;
use crate::config::PeerConfig;
use crate::event::PeerEvent;
use crate::info::Availability;
use crate::{GameScope, PeerRuntimeHandle, event_channel, start_peer};

/// How many files each game has.
const FILES: [&str; 4] = ["cfg/server.cfg", "game.eti", "readme.txt", "version.ini"];

fn id(n: usize) -> GameId {
    format!("game{n:05}").parse().unwrap()
}

/// Games that were written long ago: names of one and the same file, which is quickly made.
fn write_games(games_dir: &Path, count: usize) {
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    fs::create_dir_all(games_dir).unwrap();
    let mut original = PathBuf::new();
    for n in 0..count {
        let root = games_dir.join(id(n).as_str());
        // A file has not room for any number of names.
        if n % 1_000 == 0 {
            original = games_dir.join(format!("original {n}"));
            fs::write(&original, b"1").unwrap();
            let file = fs::File::options().write(true).open(&original).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        fs::create_dir_all(root.join("cfg")).unwrap();
        for file in FILES {
            fs::hard_link(&original, root.join(file)).unwrap();
        }
    }
}

/// Makes an index know hashes of the games that no file has: whatever is read gives others.
fn remember(games_dir: &Path, state_dir: &Path, count: usize) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let (mut index, _) = Index::load(state_dir).unwrap();
    let games_dir = fs::canonicalize(games_dir)?;
    let marked = || FileHashes::from_chunks(vec![ContentHash::of(b"marked")]);
    for n in 0..count {
        let mut game = scan_game(&games_dir, &id(n), &index).game.unwrap();
        let files = game.manifest.unwrap().files().to_vec().into_iter();
        let files = files.map(|file| ManifestFile { hashes: Some(marked()), ..file });
        let manifest = Manifest::new("1".parse().unwrap(), files.collect()).unwrap();
        game.manifest = Some(Arc::new(manifest));
        index.record(&games_dir, id(n), game.known_content().unwrap());
    }
    index.save()
}

fn config(dir: &Path, count: usize) -> PeerConfig {
    let game = |n| CatalogGame::new(id(n), "Game", "1".parse().unwrap());
    PeerConfig {
        name: "alpha".parse().unwrap(),
        games_dir: dir.join("games"),
        state_dir: dir.join("state"),
        catalog: Catalog::from_games((0..count).map(game)).unwrap(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        network: "test".parse().unwrap(),
        network_key: None,
        mdns: MdnsInterface::Off,
        mdns_networks: Vec::new(),
        unpacker: Arc::new(AutoUnpacker::new(None)),
        stream_provider: Arc::new(AutoUnpacker::new(None)),
        max_streams: NonZeroUsize::MIN,
        auto_install: false,
        upload_limit: None,
        download_limit: None,
        ping_after: Duration::from_secs(60),
        peer_timeout: Duration::from_secs(120),
    }
}

async fn ask<T>(
    peer: &PeerRuntimeHandle,
    command: impl FnOnce(crate::Reply<T>) -> PeerCommand,
) -> T {
    let (reply, answer) = oneshot::channel();
    peer.sender().send(command(reply)).await.unwrap();
    answer.await.unwrap().unwrap()
}

#[tokio::test]
async fn ten_thousand_unchanged_games_are_announced_without_a_file_being_read() {
    const GAMES: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let (games_dir, state_dir) = (dir.path().join("games"), dir.path().join("state"));
    write_games(&games_dir, GAMES);
    remember(&games_dir, &state_dir, GAMES).unwrap();
    let (sender, mut events) = event_channel();
    let mut peer = start_peer(config(dir.path(), GAMES), sender).await.unwrap();

    let mut found = BTreeSet::new();
    while found.len() < GAMES {
        if let PeerEvent::LocalGamesUpdated { changed, .. } = events.recv().await.unwrap() {
            found.extend(changed);
        }
    }
    let games = ask(&peer, |reply| PeerCommand::ListGames { scope: GameScope::Local, reply }).await;
    let ready = games.value.iter().filter(|game| game.availability == Some(Availability::Ready));
    assert_eq!(ready.count(), GAMES);
    // What follows the start has nothing to do either.
    let game_id = id(GAMES - 1);
    let details = ask(&peer, |reply| PeerCommand::GetGame { game_id, reply }).await;
    let marked = FileHashes::from_chunks(vec![ContentHash::of(b"marked")]);
    for file in details.value.manifest.unwrap().files() {
        assert_eq!(file.hashes.as_ref(), Some(&marked), "{} was read", file.path);
    }
    peer.begin_shutdown();
    peer.wait_stopped().await.unwrap();
    let (index, _) = Index::load(&state_dir).unwrap();
    let games_dir = fs::canonicalize(&games_dir).unwrap();
    let is_marked = |n| {
        let known = index.known(&games_dir, &id(n)).unwrap();
        known.manifest.files().iter().all(|file| file.hashes.as_ref() == Some(&marked))
    };
    assert!((0..GAMES).all(is_marked), "a game was hashed");
}

#[tokio::test]
async fn a_command_about_a_game_waits_until_it_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    write_games(&dir.path().join("games"), 1);
    let (sender, _events) = event_channel();
    let mut peer = start_peer(config(dir.path(), 2), sender).await.unwrap();
    // Nothing has run in between: on this thread, the loop begins with these.
    let here = ask(&peer, |reply| PeerCommand::GetGame { game_id: id(0), reply });
    let not_here = ask(&peer, |reply| PeerCommand::GetGame { game_id: id(1), reply });
    let all = ask(&peer, |reply| PeerCommand::ListGames { scope: GameScope::All, reply });
    let (here, not_here, all) = tokio::join!(here, not_here, all);
    assert_eq!(here.value.game.availability, Some(Availability::Ready));
    assert_eq!(not_here.value.game.availability, None);
    assert_eq!(all.value, [here.value.game]);
    peer.begin_shutdown();
    peer.wait_stopped().await.unwrap();
}

#[tokio::test]
async fn the_index_keeps_what_it_knows_while_the_disk_may_not_be_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let (games_dir, state_dir) = (dir.path().join("games"), dir.path().join("state"));
    write_games(&games_dir, 3);
    remember(&games_dir, &state_dir, 3).unwrap();
    let games_dir = fs::canonicalize(&games_dir).unwrap();
    let known_after_start = async || {
        let (sender, _events) = event_channel();
        let mut peer = start_peer(config(dir.path(), 3), sender).await.unwrap();
        // A question about one game looks at that game.
        let _ = ask(&peer, |reply| PeerCommand::GetGame { game_id: id(0), reply }).await;
        ask(&peer, |reply| PeerCommand::ListGames { scope: GameScope::All, reply }).await;
        peer.begin_shutdown();
        peer.wait_stopped().await.unwrap();
        let (index, _) = Index::load(&state_dir).unwrap();
        [0, 1, 2].map(|n| index.known(&games_dir, &id(n)).is_some())
    };
    let disk = dir.path().join("disk");
    fs::rename(&games_dir, &disk).unwrap();
    fs::create_dir(&games_dir).unwrap();
    assert_eq!(known_after_start().await, [true; 3]);
    fs::remove_dir(&games_dir).unwrap();
    fs::rename(&disk, &games_dir).unwrap();
    fs::remove_dir_all(games_dir.join(id(0).as_str())).unwrap();
    assert_eq!(known_after_start().await, [false, true, true]);
}
