//! A state directory and a catalog as a program of wire version 3 left them.
//!
//! `data/version_3/library_index.json` was written by that program, of games with these files: `doom`
//! (`doom.eti`, `cfg/x.cfg`, `Thumbs.db`) and `quake` (`quake.eti`, `Thumbs.db.d/x`), each with a
//! `version.ini`. The roots in the catalog are those that it told.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lanspread_catalog::Catalog;
use lanspread_peer::{Availability, GameDetails, PeerCommand, PeerEvent};
use lanspread_proto::{ContentHash, Manifest};
use support::{Setup, TestPeer, game_id};

const INDEX: &str = include_str!("data/version_3/library_index.json");
/// What `version.ini` of each game held.
const SENTINEL: &[u8] = b"20240131\r\n";
/// The time of every file, in seconds since 1970.
const FILE_TIME_S: u64 = 1_700_000_000;

const DOOM_ROOT: &str = include_str!("data/version_3/doom.root");
const QUAKE_ROOT: &str = include_str!("data/version_3/quake.root");

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(FILE_TIME_S);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Files of the sizes and times that the index knows, with other bytes: whoever reads them finds another
/// content than the one that the index tells.
fn setup(roots: [Option<&str>; 2]) -> Setup {
    let setup = Setup::new("alpha", &["doom", "quake"]).with(|config| {
        let games = config.catalog.iter().cloned().zip(roots).map(|(mut game, root)| {
            game.content_root = root.map(|root| root.trim().parse().unwrap());
            game
        });
        config.catalog = Catalog::from_games(games.collect::<Vec<_>>()).unwrap();
    });
    let games = &setup.config.games_dir;
    for (path, size) in [
        ("doom/doom.eti", 40_000),
        ("doom/cfg/x.cfg", 20),
        ("doom/Thumbs.db", 7),
        ("quake/quake.eti", 3_000_000),
        ("quake/Thumbs.db.d/x", 5),
    ] {
        put(&games.join(path), &vec![b'?'; size]);
    }
    for id in ["doom", "quake"] {
        put(&games.join(id).join("version.ini"), SENTINEL);
    }
    fs::create_dir(&setup.config.state_dir).unwrap();
    let canonical = fs::canonicalize(games).unwrap();
    let index = INDEX.replace("GAMES_DIR", canonical.to_str().unwrap());
    fs::write(setup.config.state_dir.join("library_index.json"), index).unwrap();
    setup
}

async fn details(peer: &TestPeer, id: &str) -> GameDetails {
    let ask = |reply| PeerCommand::GetGame { game_id: game_id(id), reply };
    peer.ask(ask).await.unwrap().value
}

async fn manifest(peer: &TestPeer, id: &str) -> Manifest {
    details(peer, id).await.manifest.unwrap().as_ref().clone()
}

/// Waits until a game has an availability.
async fn expect(peer: &mut TestPeer, id: &str, wanted: Availability) {
    while details(peer, id).await.game.availability != Some(wanted) {
        let is_update = |event: &PeerEvent| matches!(event, PeerEvent::LocalGamesUpdated { .. });
        peer.event(|event| is_update(event).then_some(())).await;
    }
}

#[tokio::test]
async fn its_hashes_are_kept_and_its_roots_hold() {
    let setup = setup([None, Some(QUAKE_ROOT)]);
    let mut peer = setup.start().await;
    expect(&mut peer, "quake", Availability::Ready).await;
    let quake = manifest(&peer, "quake").await;
    let stated: ContentHash = QUAKE_ROOT.trim().parse().unwrap();
    assert!(quake.old_content_roots(None).contains(&stated));
    assert_ne!(quake.content_root(), Some(stated));
    let paths: Vec<_> = quake.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Thumbs.db.d/x", "quake.eti"]);
    assert!(details(&peer, "quake").await.game.problems.is_empty());

    let doom = manifest(&peer, "doom").await;
    assert!(doom.content_root().is_some());
    let paths: Vec<_> = doom.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["cfg/x.cfg", "doom.eti"]);

    // Whatever the line end, and without being read again.
    put(&peer.games_dir.join("quake/version.ini"), b"20240131");
    peer.event(|event| match event {
        PeerEvent::LocalGamesUpdated { changed, .. } => {
            changed.contains(&game_id("quake")).then_some(())
        }
        _ => None,
    })
    .await;
    expect(&mut peer, "quake", Availability::Ready).await;
    assert_eq!(manifest(&peer, "quake").await, quake);
}

#[tokio::test]
async fn a_root_that_counts_what_a_system_left_is_told_with_the_one_that_holds() {
    let with_thumbs = setup([Some(DOOM_ROOT), None]);
    let mut peer = with_thumbs.start().await;
    expect(&mut peer, "doom", Availability::LocalOnly).await;
    let found = manifest(&peer, "doom").await.content_root().unwrap();
    let problems = details(&peer, "doom").await.game.problems;
    assert_eq!(problems.count, 1);
    assert!(problems.told[0].message.contains(&found.to_string()), "{problems:?}");
    peer.stop().await;

    let corrected = setup([Some(&found.to_string()), None]);
    let mut peer = corrected.start().await;
    expect(&mut peer, "doom", Availability::Ready).await;
    fs::write(peer.games_dir.join("doom/desktop.ini"), b"of the system").unwrap();
    fs::remove_file(peer.games_dir.join("doom/Thumbs.db")).unwrap();
    // Nothing tells of that, so it is asked for once something else has been noticed.
    fs::create_dir(peer.games_dir.join("doom/local")).unwrap();
    peer.event(|event| matches!(event, PeerEvent::LocalGamesUpdated { .. }).then_some(())).await;
    expect(&mut peer, "doom", Availability::Ready).await;
}
