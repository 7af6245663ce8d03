//! What a peer is refused, whatever it asks for.

mod unread;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lanspread_archive::AutoUnpacker;
use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_library::{Announcement, Fingerprint, Index, scan_game};
use lanspread_net::echoes::Echoes;
use lanspread_net::exchange::ExchangeError;
use lanspread_net::handshake::{self, Admitted, LocalPeer};
use lanspread_net::limit::{Limiter, RateLimit};
use lanspread_net::link::PeerLink;
use lanspread_net::memory::{OneDial, pair};
use lanspread_net::transport::{StreamSender, TransportError};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::layout::LayoutPage;
use lanspread_proto::library::{GameSummary, LibrarySnapshot};
use lanspread_proto::limits::{GET_CHUNKS_MAX, LIBRARY_MAX_GAMES};
use lanspread_proto::message::{
    ChunkName, GetChunks, GetGame, GetPage, Part, RefusalCode, WrongChunk,
};
use lanspread_proto::{
    Attributes, CHUNK_SIZE_BYTES, ContentHash, FileHashes, GameId, Manifest, ManifestFile, PeerId,
    PeerName, SourceError,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::admission::answers::{STALL_MAX, STALL_WAIT};
use crate::admission::requester::{HEADERS_MAX, Requester};
use crate::contradictions::ContradictionReporter;
use crate::library_fetch::LibraryFetches;
use crate::outbound::OutboundTransfers;
use crate::published_library::{PublishedLibrary, ServedGame};
use crate::server::games::ASKER_CHECK;
use crate::session::{Pace, SessionContext, SessionEvent, SessionObserver, handle_request};
use crate::swarm::Swarm;
use crate::{Contradiction, Server, StreamService};

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
    write(&root, "readme", b"1\n");
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
        announcer: Arc::new(Arc::<LibrarySnapshot>::default()),
        echoes: Echoes::default(),
    }
}

/// A server of `manifest` out of `games`, and what holds up its view.
fn server(
    games: &TempDir,
    manifest: Manifest,
    upload: Limiter,
) -> (Server, watch::Sender<Arc<PublishedLibrary>>) {
    let root = games.path().join("quake");
    let fingerprint = Fingerprint::seen(&root, &manifest);
    let (manifest, old_content_roots) = (Arc::new(manifest), Arc::default());
    let attributes = Attributes::default().encode().unwrap();
    let served = ServedGame { root, manifest, fingerprint, old_content_roots, attributes };
    let library = PublishedLibrary::new(Arc::default(), BTreeMap::from([(game_id(), served)]));
    let (publisher, library) = watch::channel(Arc::new(library));
    let (counts, _) = mpsc::unbounded_channel();
    let provider = Arc::new(AutoUnpacker::default());
    let streams = StreamService::new(provider, NonZeroUsize::MIN);
    let outbound = OutboundTransfers::new(counts);
    let swarm = Swarm::new(outbound.clone());
    (Server::new(library, outbound, swarm, upload, streams, mpsc::channel(8).0), publisher)
}

/// Both ends of a link between an asker of this name and a server.
async fn linked(name: &str) -> (Admitted, Admitted) {
    let (near_peer, far_peer) = (peer(name), peer("server"));
    let (near, far) = pair(near_peer.peer_id, far_peer.peer_id);
    let dialer = OneDial::new(near);
    let addr = ([127, 0, 0, 1], 1).into();
    let dial = handshake::dial(&dialer, addr, None, &near_peer);
    let (near, far) = tokio::join!(dial, handshake::accept(far, &far_peer, || {}));
    (near.unwrap(), far.unwrap())
}

/// A link over which every request reaches a server that serves `manifest` out of `games`.
async fn asker(games: &TempDir, manifest: Manifest) -> Arc<PeerLink> {
    let (server, _view) = server(games, manifest, Limiter::new(None));
    asker_of(&server, "asker").await
}

async fn asker_of(server: &Server, name: &str) -> Arc<PeerLink> {
    let (near, mut far) = linked(name).await;
    let (context, requester) = (context(server), Requester::new(Arc::clone(&far.link)));
    tokio::spawn(async move {
        while let Ok(stream) = far.streams.accept().await {
            handle_request(&requester, stream, &context).await.unwrap();
        }
    });
    near.link
}

/// Takes no account of anything.
struct Deaf;

impl SessionObserver for Deaf {
    fn on_session_event(&self, _: &PeerLink, _: SessionEvent) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

fn context(server: &Server) -> SessionContext {
    let catalog = Arc::new(Catalog::from_games([]).unwrap());
    SessionContext {
        server: server.clone(),
        catalog,
        observer: Arc::new(Deaf),
        pace: Pace::default(),
    }
}

/// A receiver that takes nothing. The transport takes it all over, and keeps it.
struct Stopped;

impl StreamSender for Stopped {
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        bytes.clear();
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_delivered(
        &mut self,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
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

fn page(part: Part, of: ContentHash, page: u32) -> GetPage {
    GetPage { game_id: game_id(), part, of, page }
}

#[tokio::test]
async fn every_part_is_given_page_by_page_and_under_its_identity_alone() {
    let (games, manifest) = game_of_a_chunk();
    let plain = manifest.clone();
    let hashes = vec![7; manifest.chunk_count() as usize * 32];
    let manifest = manifest.with_hashes(hashes.clone().into()).unwrap();
    let link = asker(&games, manifest.clone()).await;
    let head = link.get_game(GetGame { game_id: game_id(), await_hashes: false }).await.unwrap();
    assert_eq!(head.files as usize, manifest.files().len());
    assert_eq!((head.chunks, head.layout_pages), (manifest.chunk_count(), 1));
    let root = head.content_root.unwrap();
    assert_eq!(link.get_page(page(Part::Hashes, root, 0)).await.unwrap(), hashes);
    let attributes = link.get_page(page(Part::Attributes, head.attributes, 0)).await.unwrap();
    assert_eq!(Attributes::identity(&attributes), head.attributes);
    let code = async |wanted| match link.get_page(wanted).await {
        Err(SourceError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    for (part, of) in [
        (Part::Layout, head.manifest_hash),
        (Part::Hashes, root),
        (Part::Attributes, head.attributes),
    ] {
        assert_eq!(code(page(part, of, 1)).await, RefusalCode::NoSuchPage, "{part}");
        assert_eq!(code(page(part, of, u32::MAX)).await, RefusalCode::NoSuchPage, "{part}");
        assert_eq!(code(page(part, [1; 32].into(), 0)).await, RefusalCode::Changed, "{part}");
    }
    // What is not hashed yet has no hashes to give.
    let link = asker(&games, plain).await;
    let refused = link.get_page(page(Part::Hashes, root, 0)).await.unwrap_err();
    assert!(matches!(refused, SourceError::Refused(it) if it.code == RefusalCode::Changed));
}

#[tokio::test]
async fn what_is_private_is_neither_listed_nor_given() {
    let (games, manifest) = installed_game();
    let link = asker(&games, manifest).await;
    let head = link.get_game(GetGame { game_id: game_id(), await_hashes: false }).await.unwrap();
    let layout = link.get_page(page(Part::Layout, head.manifest_hash, 0)).await.unwrap();
    let files = LayoutPage::new(&layout).unwrap().map(|file| file.unwrap().0.to_string());
    assert_eq!(files.collect::<Vec<_>>(), ["quake.eti", "readme"]);
    for path in PRIVATE.into_iter().chain(["version.ini"]) {
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
    let both = chunks(["readme", "quake.eti"]);
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
    let requester = Requester::new(Arc::clone(&stopped.link));
    let of_stopped = server.handle_get_chunks(&requester, chunk("quake.eti", 0), &mut receiver);
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
    assert!(
        began.elapsed() < STALL_MAX + STALL_WAIT + Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_is_gone_awaits_no_hashes() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let (near, mut far) = linked("asker").await;
    let wanted = GetGame { game_id: game_id(), await_hashes: true };
    let asking = tokio::spawn(async move { near.link.get_game(wanted).await });
    let stream = far.streams.accept().await.unwrap();
    let context = context(&server);
    let requester = Requester::new(Arc::clone(&far.link));
    let answering = handle_request(&requester, stream, &context);
    tokio::pin!(answering);
    assert!(timeout(Duration::from_secs(60), &mut answering).await.is_err(), "it is waited for");
    asking.abort();
    let gone_at = Instant::now();
    assert!(answering.await.is_err());
    assert!(gone_at.elapsed() <= ASKER_CHECK, "{:?}", gone_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_held_back_are_read_a_few_at_a_time() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let (_near, far) = linked("asker").await;
    let (context, requester) = (context(&server), Arc::new(Requester::new(far.link)));
    let (near, mut far) = pair(peer("asker").peer_id, peer("server").peer_id);
    let (began, mut held_back, mut answering) = (Instant::now(), Vec::new(), JoinSet::new());
    for _ in 0..=HEADERS_MAX {
        held_back.push(near.connection.open().await.unwrap());
        let stream = far.streams.accept().await.unwrap();
        let (requester, context) = (Arc::clone(&requester), context.clone());
        answering.spawn(async move {
            assert!(handle_request(&requester, stream, &context).await.is_err());
            began.elapsed().as_secs()
        });
    }
    // Each is given up after 10 s without a byte, and the last one was begun only then.
    let mut ended = answering.join_all().await;
    ended.sort_unstable();
    assert_eq!((ended.pop(), ended), (Some(20), vec![10; HEADERS_MAX]));
}

#[tokio::test]
async fn a_chunk_that_is_asked_for_twice_at_once_is_refused() {
    let (games, manifest) = installed_game();
    let link = asker(&games, manifest).await;
    let twice = chunks(["quake.eti", "quake.eti"]);
    assert_eq!(refusal(&link, twice).await, RefusalCode::NoSuchChunk);
}

/// A server of a hashed game of one archive, what it is told of contradictions, and the archive.
fn watchful_server()
-> (TempDir, Server, watch::Sender<Arc<PublishedLibrary>>, mpsc::Receiver<Contradiction>) {
    let games = tempfile::tempdir().unwrap();
    let root = games.path().join("quake");
    write(&root, "quake.eti", b"archive");
    let hashes = Some(FileHashes::from_chunks(vec![chunk_hash(7, 0, b"archive")]));
    let file = ManifestFile { path: "quake.eti".parse().unwrap(), size: 7, hashes };
    let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
    let (found, contradictions) = mpsc::channel(8);
    let (mut server, library) = server(&games, manifest, Limiter::new(None));
    server.contradictions = ContradictionReporter::new(found);
    (games, server, library, contradictions)
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
    let content_root = server.library.borrow().game(&game_id()).unwrap().manifest.content_root();
    let wrong = |path: &str, content_root: ContentHash| WrongChunk {
        game_id: game_id(),
        content_root,
        path: path.parse().unwrap(),
        index: 0,
    };
    let content_root = content_root.unwrap();
    let report_wrong_chunk = async |wrong| match link.report_wrong_chunk(wrong).await {
        Ok(()) => None,
        Err(SourceError::Refused(refusal)) => Some(refusal.code),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(report_wrong_chunk(wrong("quake.eti", content_root)).await, None);
    let other = ContentHash::of(b"other");
    assert_eq!(report_wrong_chunk(wrong("quake.eti", other)).await, Some(RefusalCode::Changed));
    assert_eq!(
        report_wrong_chunk(wrong("doom.eti", content_root)).await,
        Some(RefusalCode::NoSuchChunk)
    );
    assert!(told.try_recv().is_err(), "it is what it should be");
    let path = games.path().join("quake/quake.eti");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"A", 0).unwrap();
    file.set_modified(before).unwrap();
    let code = report_wrong_chunk(wrong("quake.eti", content_root)).await;
    assert_eq!(code, Some(RefusalCode::ReadFailed));
    assert_eq!(told.recv().await, Some(contradiction(Some("quake.eti"))));
    // Whoever complains again and again makes nobody read again and again.
    let mut last = None;
    for _ in 0..100 {
        last = report_wrong_chunk(wrong("quake.eti", content_root)).await;
    }
    assert_eq!(last, Some(RefusalCode::Busy));
    let more = std::iter::from_fn(|| told.try_recv().ok()).count();
    assert!((1..20).contains(&more), "{more}");
}

#[tokio::test]
async fn of_a_library_of_100_000_games_a_reader_keeps_those_of_its_catalog() {
    let (games, manifest) = installed_game();
    let (server, publisher) = server(&games, manifest, lowest_limit());
    let game = |n: u32| GameSummary {
        id: format!("game {n:06}").parse().unwrap(),
        version: "1".parse().unwrap(),
        size: u64::from(n),
        manifest_hash: ContentHash::of(b"any"),
        content_root: Some(ContentHash::of(b"any")),
    };
    let games = (0..LIBRARY_MAX_GAMES).map(game).collect();
    let library = Arc::new(LibrarySnapshot { rev: 5, games });
    publisher.send_replace(Arc::new(PublishedLibrary::new(library, BTreeMap::new())));
    let entry = |n: u32| {
        let id = game(n * 10_000).id;
        CatalogGame::new(id.clone(), id.as_str().to_owned(), "1".parse().unwrap())
    };
    let catalog = Catalog::from_games((0..20).map(entry)).unwrap();
    let link = asker_of(&server, "asker").await;
    let read = LibraryFetches::default().fetch(&link, &catalog).await.unwrap();
    assert_eq!((read.rev, read.games.len()), (5, 10));
    let size = |announcement: &Announcement| match announcement {
        Announcement::Usable(game) => Some(game.size),
        Announcement::OtherVersion => None,
    };
    let sizes: Vec<_> = read.games.iter().filter_map(|(_, game)| size(game)).collect();
    assert_eq!(sizes, (0..10).map(|n| n * 10_000).collect::<Vec<_>>());
}
