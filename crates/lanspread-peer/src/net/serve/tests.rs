//! What a peer is refused, whatever it asks for.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::task::{Context, Poll};

use lanspread_archive::AutoUnpacker;
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::message::GET_CHUNKS_MAX;
use lanspread_proto::{CHUNK_SIZE_BYTES, FileHashes, Manifest, ManifestFile, PeerId, PeerName};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::echoes::Echoes;
use super::super::handshake::{self, Admitted, LocalPeer};
use super::super::limit::{Limiter, RateLimit};
use super::super::link::PeerLink;
use super::super::memory::{OneDial, pair};
use super::super::view::ServedGame;
use super::place::STEP_TIMEOUT;
use super::*;
use crate::download::{GameAnswer, SourceError};
use crate::library::{Fingerprint, Index, scan_game};

/// Names in a root that are nobody else's, and names that only look like a file of the game.
const PRIVATE: [&str; 12] = [
    "local/save.dat",
    "local/version.ini",
    "local/deep/er/save.dat",
    "LOCAL/save.dat",
    ".local.installing/half",
    ".local.backup/save.dat",
    ".lanspread_owned",
    ".lanspread.json",
    ".sync/state",
    ".version.ini.discarded",
    ".version.ini.tmp",
    ".softlan_game_installed",
];

fn game_id() -> GameId {
    GameId::new("quake").unwrap()
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A downloaded and installed game, and the manifest that a scan makes of it.
fn installed_game() -> (TempDir, Manifest) {
    let games = tempfile::tempdir().unwrap();
    let root = games.path().join("quake");
    write(&root, "version.ini", b"1\n");
    write(&root, "quake.eti", b"archive");
    for path in PRIVATE {
        write(&root, path, b"mine");
    }
    let state = tempfile::tempdir().unwrap();
    let index = Index::load(state.path()).unwrap().0;
    let game = scan_game(games.path(), &game_id(), &index).game.unwrap();
    let manifest = game.manifest.unwrap().as_ref().clone();
    (games, manifest)
}

fn peer(name: &str) -> LocalPeer {
    LocalPeer {
        peer_id: PeerId::from_public_key(name.as_bytes()),
        name: PeerName::new(name).unwrap(),
        network: "test".parse().unwrap(),
        network_key: None,
        session: 1,
        listen_port: 9,
        view: watch::channel(Arc::default()).1,
        echoes: Echoes::default(),
    }
}

/// A server of `manifest` out of `games`, and what holds up its view.
fn server(
    games: &TempDir,
    manifest: Manifest,
    upload: Limiter,
) -> (Server, watch::Sender<Arc<View>>) {
    let root = games.path().join("quake");
    let fingerprint = Fingerprint::seen(&root, &manifest);
    let served = ServedGame { root, manifest: Arc::new(manifest), fingerprint };
    let view = View::new(Arc::default(), BTreeMap::from([(game_id(), served)]));
    let (view, shown) = watch::channel(Arc::new(view));
    let (counts, _) = mpsc::unbounded_channel();
    let provider = Arc::new(AutoUnpacker::default());
    let streams = StreamService::new(provider, NonZeroUsize::MIN);
    let outbound = OutboundTransfers::new(counts);
    let swarm = Swarm::new(outbound.clone());
    (Server::new(shown, outbound, swarm, upload, streams, mpsc::channel(8).0), view)
}

/// Both ends of a link between an asker of this name and a server.
async fn linked(name: &str) -> (Admitted, Admitted) {
    let (near_peer, far_peer) = (peer(name), peer("server"));
    let (near, far) = pair(near_peer.peer_id, far_peer.peer_id);
    let dialer = OneDial::new(near);
    let addr = ([127, 0, 0, 1], 1).into();
    let dial = handshake::dial(&dialer, addr, None, &near_peer);
    let (near, far) = tokio::join!(dial, handshake::accept(far, &far_peer));
    (near.unwrap(), far.unwrap())
}

/// A link over which every request reaches a server that serves `manifest` out of `games`.
async fn asker(games: &TempDir, manifest: Manifest) -> Arc<PeerLink> {
    let (server, _view) = server(games, manifest, Limiter::new(None));
    asker_of(&server, "asker").await
}

async fn asker_of(server: &Server, name: &str) -> Arc<PeerLink> {
    let (near, mut far) = linked(name).await;
    let server = server.clone();
    tokio::spawn(async move {
        while let Ok(stream) = far.streams.accept().await {
            let (request, sender) = read_request(&far.link, stream).await.unwrap();
            server.answer(&far.link, request, sender).await.unwrap();
        }
    });
    near.link
}

/// A receiver that takes nothing. The transport takes it all over, and keeps it.
struct Stopped;

impl StreamSender for Stopped {
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        bytes.clear();
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_delivered(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Pending
    }

    fn is_unwanted(&mut self) -> bool {
        false
    }

    fn reset(&mut self) {}
}

/// A downloaded game with one chunk of full size, not hashed.
fn game_of_a_chunk() -> (TempDir, Manifest) {
    let games = tempfile::tempdir().unwrap();
    let size = CHUNK_SIZE_BYTES;
    write(&games.path().join("quake"), "quake.eti", &vec![7; usize::try_from(size).unwrap()]);
    let file = ManifestFile { path: "quake.eti".parse().unwrap(), size, hashes: None };
    (games, Manifest::new("1".parse().unwrap(), vec![file]).unwrap())
}

fn lowest_limit() -> Limiter {
    Limiter::new(RateLimit::new(RateLimit::MIN))
}

fn chunk(path: &str, index: u32) -> GetChunks {
    let chunks = vec![ChunkName { path: path.parse().unwrap(), index }];
    GetChunks { game_id: game_id(), version: "1".parse().unwrap(), chunks }
}

fn chunks<'a>(paths: impl IntoIterator<Item = &'a str>) -> GetChunks {
    let chunks = paths.into_iter().flat_map(|path| chunk(path, 0).chunks);
    GetChunks { chunks: chunks.collect(), ..chunk("a", 0) }
}

async fn refusal(link: &PeerLink, wanted: GetChunks) -> RefusalCode {
    match link.get_chunks(wanted, &[4]).await {
        Err(SourceError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_private_is_neither_listed_nor_given() {
    let (games, manifest) = installed_game();
    let link = asker(&games, manifest).await;
    let wanted = GetGame { game_id: game_id(), known_manifest: None, await_hashes: false };
    let GameAnswer::Manifest(told) = link.get_game(wanted).await.unwrap() else {
        panic!("no manifest")
    };
    let paths: Vec<_> = told.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["quake.eti", "version.ini"]);
    for path in PRIVATE {
        for index in [0, 1, u32::MAX] {
            assert_eq!(
                refusal(&link, chunk(path, index)).await,
                RefusalCode::NoSuchChunk,
                "{path}"
            );
        }
    }
    let whole = link.get_chunks(chunk("quake.eti", 0), &[7]).await.unwrap();
    assert_eq!(&*whole.bytes, b"archive");
    for index in [1, 2, u32::MAX] {
        assert_eq!(refusal(&link, chunk("quake.eti", index)).await, RefusalCode::NoSuchChunk);
    }
}

#[tokio::test]
async fn a_link_that_takes_the_place_of_a_served_file_leads_nowhere() {
    let (games, manifest) = installed_game();
    let root = games.path().join("quake");
    fs::remove_file(root.join("quake.eti")).unwrap();
    symlink(root.join("local/save.dat"), root.join("quake.eti")).unwrap();
    let link = asker(&games, manifest).await;
    assert_eq!(refusal(&link, chunk("quake.eti", 0)).await, RefusalCode::ReadFailed);
}

#[tokio::test]
async fn a_directory_of_a_served_file_that_becomes_a_link_leads_nowhere() {
    let (games, _) = installed_game();
    let root = games.path().join("quake");
    symlink(root.join("local"), root.join("data")).unwrap();
    let file = ManifestFile { path: "data/save.dat".parse().unwrap(), size: 4, hashes: None };
    let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
    let link = asker(&games, manifest).await;
    assert_eq!(refusal(&link, chunk("data/save.dat", 0)).await, RefusalCode::ReadFailed);
}

#[tokio::test]
async fn several_chunks_come_at_once_or_none_of_them() {
    let (games, manifest) = installed_game();
    let link = asker(&games, manifest).await;
    let both = chunks(["version.ini", "quake.eti"]);
    let whole = link.get_chunks(both, &[2, 7]).await.unwrap();
    assert_eq!((&*whole.bytes, whole.hashes.len()), (&b"1\narchive"[..], 2));
    let with_private = chunks(["quake.eti", "local/save.dat"]);
    assert_eq!(refusal(&link, with_private).await, RefusalCode::NoSuchChunk);
    assert_eq!(refusal(&link, chunks([])).await, RefusalCode::NoSuchChunk);
    let many = chunks(std::iter::repeat_n("quake.eti", GET_CHUNKS_MAX + 1));
    assert_eq!(refusal(&link, many).await, RefusalCode::NoSuchChunk);
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_for_chunks_each_is_answered_soon_and_served_in_the_end() {
    const ASKERS: u32 = 40;
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, lowest_limit());
    let began = Instant::now();
    let mut fetching = JoinSet::new();
    for n in 0..ASKERS {
        let link = asker_of(&server, &format!("asker-{n}")).await;
        fetching.spawn(async move {
            let len = u32::try_from(CHUNK_SIZE_BYTES).unwrap();
            loop {
                let asked_at = Instant::now();
                let answer = link.get_chunks(chunk("quake.eti", 0), &[len]).await;
                assert!(asked_at.elapsed() < Duration::from_secs(30), "{:?}", asked_at.elapsed());
                match answer {
                    Ok(_) => return,
                    Err(SourceError::Refused(refusal)) => {
                        assert_eq!(refusal.code, RefusalCode::Busy);
                    }
                    Err(other) => panic!("{other}"),
                }
                sleep(Duration::from_millis(250)).await;
            }
        });
    }
    fetching.join_all().await;
    let at_best = Duration::from_secs(8) * ASKERS;
    assert!(began.elapsed() < at_best * 11 / 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_does_not_keep_its_place_from_others() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, lowest_limit());
    let (_, stopped) = linked("stopped").await;
    let mut receiver = Stopped;
    let of_stopped = server.send_chunks(&stopped.link, chunk("quake.eti", 0), &mut receiver);
    let began = Instant::now();
    let other = async {
        let link = asker_of(&server, "other").await;
        let len = u32::try_from(CHUNK_SIZE_BYTES).unwrap();
        link.get_chunks(chunk("quake.eti", 0), &[len]).await.unwrap();
        began.elapsed()
    };
    let (of_stopped, other) = tokio::join!(of_stopped, other);
    assert!(matches!(of_stopped, Err(ExchangeError::Silent)), "{of_stopped:?}");
    // What the limit makes of two chunks, one after the other.
    assert!(other < Duration::from_secs(20), "{other:?}");
    assert!(began.elapsed() < STEP_TIMEOUT + Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_is_gone_awaits_no_hashes() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let (near, mut far) = linked("asker").await;
    let wanted = GetGame { game_id: game_id(), known_manifest: None, await_hashes: true };
    let asking = tokio::spawn(async move { near.link.get_game(wanted).await });
    let stream = far.streams.accept().await.unwrap();
    let (request, sender) = read_request(&far.link, stream).await.unwrap();
    let answering = server.answer(&far.link, request, sender);
    tokio::pin!(answering);
    assert!(timeout(Duration::from_secs(60), &mut answering).await.is_err(), "it is waited for");
    asking.abort();
    let gone_at = Instant::now();
    assert!(answering.await.is_err());
    assert!(gone_at.elapsed() <= ASKER_CHECK, "{:?}", gone_at.elapsed());
}

/// A server of a hashed game of one archive, what it is told of contradictions, and the archive.
fn watchful_server() -> (TempDir, Server, watch::Sender<Arc<View>>, mpsc::Receiver<Contradiction>) {
    let games = tempfile::tempdir().unwrap();
    let root = games.path().join("quake");
    write(&root, "quake.eti", b"archive");
    let hashes = Some(FileHashes::from_chunks(vec![chunk_hash(7, 0, b"archive")]));
    let file = ManifestFile { path: "quake.eti".parse().unwrap(), size: 7, hashes };
    let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
    let (found, contradictions) = mpsc::channel(8);
    let (mut server, view) = server(&games, manifest, Limiter::new(None));
    server.doubts = Doubts::new(found);
    (games, server, view, contradictions)
}

fn contradiction(path: Option<&str>) -> Contradiction {
    let path = path.map(|path| path.parse().unwrap());
    Contradiction { game_id: game_id(), path }
}

#[tokio::test]
async fn a_file_that_looks_otherwise_is_not_served_and_told_of() {
    let (games, server, _view, mut told) = watchful_server();
    let link = asker_of(&server, "asker").await;
    link.get_chunks(chunk("quake.eti", 0), &[7]).await.unwrap();
    let path = games.path().join("quake/quake.eti");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.set_modified(before - Duration::from_secs(1)).unwrap();
    assert_eq!(refusal(&link, chunk("quake.eti", 0)).await, RefusalCode::NotServed);
    assert_eq!(told.recv().await, Some(contradiction(None)));
    fs::remove_file(&path).unwrap();
    assert_eq!(refusal(&link, chunk("quake.eti", 0)).await, RefusalCode::ReadFailed);
    assert_eq!(told.recv().await, Some(contradiction(None)));
}

#[tokio::test]
async fn a_chunk_that_came_wrong_is_read_once_more_and_told_of_if_it_is_wrong() {
    let (games, server, _view, mut told) = watchful_server();
    let link = asker_of(&server, "asker").await;
    let complain = async || {
        let name = ChunkName { path: "quake.eti".parse().unwrap(), index: 0 };
        link.complain(game_id(), "1".parse().unwrap(), name).await.unwrap();
    };
    complain().await;
    assert!(told.try_recv().is_err(), "it is what it should be");
    let path = games.path().join("quake/quake.eti");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"A", 0).unwrap();
    file.set_modified(before).unwrap();
    complain().await;
    assert_eq!(told.recv().await, Some(contradiction(Some("quake.eti"))));
    // Whoever complains again and again makes nobody read again and again.
    for _ in 0..100 {
        complain().await;
    }
    let more = std::iter::from_fn(|| told.try_recv().ok()).count();
    assert!((1..20).contains(&more), "{more}");
}
