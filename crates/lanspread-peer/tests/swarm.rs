//! Peers that fetch the same game at once, over QUIC on loopback, with limits in the place of links.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use lanspread_peer::{CommandError, PeerCommand, PeerEvent, RateLimit, SourceBytes};
use lanspread_proto::{CHUNK_SIZE_BYTES, PeerId};
use support::{Setup, TestPeer, game_id};

const RATE: u64 = 16 * 1024 * 1024;
const CHUNKS: u64 = 20;

fn archive_bytes() -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(CHUNKS * CHUNK_SIZE_BYTES).unwrap()];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn limited(name: &'static str) -> Setup {
    let setup = Setup::new(name, &["quake"]);
    setup.with(|config| config.upload_limit = RateLimit::new(RATE))
}

async fn mesh(peers: &[TestPeer]) {
    for (n, peer) in peers.iter().enumerate() {
        for other in peers.iter().skip(n + 1) {
            peer.connect(other).await.unwrap();
        }
    }
}

async fn download(peer: &TestPeer) -> Result<(), CommandError> {
    let (game_id, install) = (game_id("quake"), Some(false));
    let command =
        |reply| PeerCommand::Download { game_id, content_root: None, install, wait: true, reply };
    peer.ask(command).await.map(drop)
}

async fn given(peer: &mut TestPeer) -> Vec<SourceBytes> {
    peer.event(|event| match event {
        PeerEvent::DownloadFinished { sources, .. } => Some(sources.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn those_that_fetch_at_once_fetch_from_each_other() {
    let bytes = archive_bytes();
    let seed = limited("seed").with_game("quake", &bytes).start().await;
    let mut peers = vec![seed];
    for name in ["anna", "ben", "cleo", "dora"] {
        peers.push(limited(name).start().await);
    }
    mesh(&peers).await;
    let downloads = join_all(peers[1..].iter().map(download)).await;
    assert!(downloads.iter().all(Result::is_ok), "{downloads:?}");

    let mut by_source: BTreeMap<PeerId, u64> = BTreeMap::new();
    for peer in &mut peers[1..] {
        let fetched = std::fs::read(peer.games_dir.join("quake/quake.eti")).unwrap();
        assert!(fetched == bytes, "what was fetched differs");
        for source in given(peer).await {
            *by_source.entry(source.peer_id).or_default() += source.bytes;
        }
    }
    let size = bytes.len() as u64;
    let copies = by_source[&peers[0].id()] as f64 / size as f64;
    // Four copies without each other. How close it comes to one is asserted in virtual time, where
    // a busy machine does not matter.
    assert!(copies < 2.5, "the seed gave {copies:.2} copies: {by_source:?}");
    assert!(by_source.len() >= 3, "few gave anything: {by_source:?}");
}

#[tokio::test]
async fn those_that_miss_the_same_do_not_wait_for_each_other() {
    let bytes = archive_bytes();
    let seed = limited("seed").with_game("quake", &bytes);
    let seed = seed.with(|config| config.upload_limit = RateLimit::new(RATE / 8)).start().await;
    let mut peers = vec![seed];
    for name in ["anna", "ben"] {
        peers.push(limited(name).start().await);
    }
    mesh(&peers).await;
    let seed = peers.remove(0);
    let (anna, ben) = (&peers[0], &peers[1]);
    let gone = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        seed.stop().await;
    };
    let (anna, ben, ()) = tokio::join!(download(anna), download(ben), gone);
    for ended in [anna, ben] {
        assert!(matches!(ended, Err(CommandError::AllPeersGone(_))), "{ended:?}");
    }
}
