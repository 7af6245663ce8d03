//! A download with sources in memory and a root in a temporary directory.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use lanspread_disk::free_space::FreeSpace;
use lanspread_net::limit::Limiter;
use lanspread_net::link::LinkId;
use lanspread_net::source::{ArrivedBytes, Source};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::layout::encode_layout;
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, Part, Refusal, RefusalCode};
use lanspread_proto::opening::Opening;
use lanspread_proto::{
    Attributes, CHUNK_SIZE_BYTES, ContentHash, FileHashes, GameId, GameVersion, ManifestFile,
    RelPath,
};
use lanspread_serve::outbound::OutboundTransfers;
use lanspread_serve::swarm::Swarm;
use lanspread_transfer::consensus::Stated;
use lanspread_transfer::scheduler::Order;
use lanspread_transfer::votes::Voter;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

const VERSION: &str = "20240131";

pub(super) fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

/// The files of a game, in memory.
#[derive(Clone)]
pub(super) struct Game {
    version: GameVersion,
    files: Arc<BTreeMap<String, Vec<u8>>>,
}

impl Game {
    /// A game with files of these sizes.
    pub(super) fn new(sizes: &[(&str, usize)]) -> Self {
        let pattern = |seed: usize, size: usize| -> Vec<u8> {
            let block: Vec<u8> =
                (0..size.min(65_521)).map(|i| ((i * 31 + seed) % 251) as u8).collect();
            block.into_iter().cycle().take(size).collect()
        };
        let files = sizes.iter().enumerate();
        let files = files.map(|(n, (path, size))| ((*path).to_owned(), pattern(n, *size)));
        Self { version: GameVersion::new(VERSION).unwrap(), files: Arc::new(files.collect()) }
    }

    pub(super) fn with_file(&self, path: &str, bytes: &[u8]) -> Self {
        let mut game = self.clone();
        Arc::make_mut(&mut game.files).insert(path.to_owned(), bytes.to_vec());
        game
    }

    pub(super) fn with_flipped_bit(&self, path: &str, at: usize) -> Self {
        let mut bytes = self.file(path).to_vec();
        bytes[at] ^= 1;
        self.with_file(path, &bytes)
    }

    pub(super) fn with_version(&self, version: &str) -> Self {
        Self { version: GameVersion::new(version).unwrap(), files: Arc::clone(&self.files) }
    }

    pub(super) fn file(&self, path: &str) -> &[u8] {
        &self.files[path]
    }

    fn chunk(&self, path: &str, index: u32) -> &[u8] {
        let size = usize::try_from(CHUNK_SIZE_BYTES).unwrap();
        self.file(path).chunks(size).nth(usize::try_from(index).unwrap()).unwrap()
    }

    fn chunk_hash(&self, path: &str, index: u32) -> lanspread_proto::ContentHash {
        chunk_hash(self.file(path).len() as u64, index, self.chunk(path, index))
    }

    pub(super) fn manifest(&self) -> Manifest {
        self.manifest_with(true)
    }

    fn manifest_with(&self, is_hashed: bool) -> Manifest {
        let files = self.files.iter().map(|(path, bytes)| {
            let size = bytes.len() as u64;
            let count = u32::try_from(size.div_ceil(CHUNK_SIZE_BYTES)).unwrap();
            let chunks = || (0..count).map(|index| self.chunk_hash(path, index));
            let hashes = is_hashed.then(|| FileHashes::from_chunks(chunks()));
            ManifestFile { path: RelPath::new(path.clone()).unwrap(), size, hashes }
        });
        Manifest::new(self.version.clone(), files.collect()).unwrap()
    }
}

type Hook = Box<dyn Fn() + Send + Sync>;

/// A source with one way to misbehave. Clones are the same source.
#[derive(Clone)]
pub(super) struct FakeSource(Arc<Inner>);

struct Inner {
    peer: PeerId,
    addr: SocketAddr,
    manifest: Manifest,
    unhashed: Manifest,
    /// The game whose bytes are sent; where `hash_of_manifest`, with hashes of the one above.
    served: Game,
    hash_of_manifest: Option<Game>,
    hashing: Option<Duration>,
    delay: Duration,
    manifest_delay: Duration,
    silent_after: usize,
    refusal: Option<RefusalCode>,
    busy_until: Option<Instant>,
    loses_first_manifest: bool,
    loses_first_hashes: bool,
    panics: bool,
    on_chunk: Option<Hook>,
    is_gone: AtomicBool,
    asked_manifests: AtomicUsize,
    asked_hashes: AtomicUsize,
    asked_pages: AtomicUsize,
    is_hashed: AtomicBool,
    /// Where it gives a page that is not quite right.
    flips_page: Option<(Part, u32)>,
    /// What it tells beside the content, and how long it takes for that.
    attributes: Attributes,
    attributes_delay: Duration,
    /// How often it is too busy to tell them.
    attributes_refusals: AtomicUsize,
    own_sentinel: Option<&'static [u8]>,
    served_chunks: AtomicUsize,
    /// A source sends one chunk after the other.
    line: tokio::sync::Mutex<()>,
}

impl FakeSource {
    pub(super) fn new(n: u8, game: &Game) -> Self {
        Self(Arc::new(Inner {
            peer: peer(n),
            addr: SocketAddr::from(([10, 0, 0, n], 7)),
            manifest: game.manifest(),
            unhashed: game.manifest_with(false),
            served: game.clone(),
            hash_of_manifest: None,
            hashing: None,
            delay: Duration::ZERO,
            manifest_delay: Duration::ZERO,
            silent_after: usize::MAX,
            refusal: None,
            busy_until: None,
            loses_first_manifest: false,
            loses_first_hashes: false,
            panics: false,
            on_chunk: None,
            is_gone: AtomicBool::new(false),
            asked_manifests: AtomicUsize::new(0),
            asked_hashes: AtomicUsize::new(0),
            asked_pages: AtomicUsize::new(0),
            is_hashed: AtomicBool::new(false),
            flips_page: None,
            attributes: Attributes::default(),
            attributes_delay: Duration::ZERO,
            attributes_refusals: AtomicUsize::new(0),
            own_sentinel: None,
            served_chunks: AtomicUsize::new(0),
            line: tokio::sync::Mutex::new(()),
        }))
    }

    fn set(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::get_mut(&mut self.0).unwrap());
        self
    }

    /// Listens at another address than the one of its number.
    pub(super) fn at(self, ip: &str) -> Self {
        self.set(|inner| inner.addr.set_ip(ip.parse().unwrap()))
    }

    /// Sends the bytes of another game under the hashes of its manifest.
    pub(super) fn serving(self, served: &Game) -> Self {
        self.set(|inner| {
            inner.hash_of_manifest = Some(std::mem::replace(&mut inner.served, served.clone()))
        })
    }

    /// Takes this long for every chunk.
    pub(super) fn delayed(self, delay: Duration) -> Self {
        self.set(|inner| inner.delay = delay)
    }

    /// Takes this long for its manifest.
    pub(super) fn telling_after(self, delay: Duration) -> Self {
        self.set(|inner| inner.manifest_delay = delay)
    }

    /// Answers nothing any more after so many chunks.
    pub(super) fn silent_after(self, chunks: usize) -> Self {
        self.set(|inner| inner.silent_after = chunks)
    }

    /// Knows its hashes only this long after it is asked for them.
    pub(super) fn hashing_for(self, time: Duration) -> Self {
        self.set(|inner| inner.hashing = Some(time))
    }

    pub(super) fn refusing_chunks(self, code: RefusalCode) -> Self {
        self.set(|inner| inner.refusal = Some(code))
    }

    /// Has no time for anybody, and says so, until this long from now.
    pub(super) fn busy_for(self, time: Duration) -> Self {
        self.set(|inner| inner.busy_until = Some(Instant::now() + time))
    }

    pub(super) fn losing_first_manifest(self) -> Self {
        self.set(|inner| inner.loses_first_manifest = true)
    }

    pub(super) fn losing_first_hashes(self) -> Self {
        self.set(|inner| inner.loses_first_hashes = true)
    }

    /// Lets whoever asks for its manifest panic.
    pub(super) fn panicking(self) -> Self {
        self.set(|inner| inner.panics = true)
    }

    pub(super) fn on_chunk(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.set(|inner| inner.on_chunk = Some(Box::new(hook)))
    }

    /// Gives a page of which the last byte is another one.
    pub(super) fn flipping(self, part: Part, page: u32) -> Self {
        self.set(|inner| inner.flips_page = Some((part, page)))
    }

    /// Tells this beside the content.
    pub(super) fn with_attributes(self, attributes: Attributes) -> Self {
        self.set(|inner| inner.attributes = attributes)
    }

    /// Takes this long for what it tells beside the content.
    pub(super) fn telling_attributes_after(self, delay: Duration) -> Self {
        self.set(|inner| inner.attributes_delay = delay)
    }

    /// Tells the old content root that a game with these bytes in its `version.ini` has.
    pub(super) fn refusing_attributes(self, times: usize) -> Self {
        self.set(|inner| inner.attributes_refusals = AtomicUsize::new(times))
    }

    pub(super) fn telling_old_roots_with(self, sentinel: &'static [u8]) -> Self {
        self.set(|inner| inner.own_sentinel = Some(sentinel))
    }

    /// How many pages of manifests it was asked for.
    pub(super) fn asked_pages(&self) -> usize {
        self.0.asked_pages.load(Ordering::SeqCst)
    }

    pub(super) fn lose_connection(&self) {
        self.0.is_gone.store(true, Ordering::SeqCst);
    }

    pub(super) fn find_connection(&self) {
        self.0.is_gone.store(false, Ordering::SeqCst);
    }

    /// How often it was asked for its hashes.
    pub(super) fn asked_hashes(&self) -> usize {
        self.0.asked_hashes.load(Ordering::SeqCst)
    }

    /// How many requests for chunks it has answered.
    pub(super) fn served(&self) -> usize {
        self.0.served_chunks.load(Ordering::SeqCst)
    }

    fn check_connection(&self) -> Result<(), SourceError> {
        match self.0.is_gone.load(Ordering::SeqCst) {
            true => Err(SourceError::Gone("reset".into())),
            false => Ok(()),
        }
    }
}

impl Source for FakeSource {
    fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn addr(&self) -> Option<SocketAddr> {
        Some(self.0.addr)
    }

    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>> {
        async move {
            assert!(!self.0.panics, "as planned");
            let before = self.0.asked_manifests.fetch_add(1, Ordering::SeqCst);
            if self.0.loses_first_manifest && before == 0 {
                return Err(SourceError::Gone("replaced".into()));
            }
            self.check_connection()?;
            tokio::time::sleep(self.0.manifest_delay).await;
            if request.await_hashes {
                let before = self.0.asked_hashes.fetch_add(1, Ordering::SeqCst);
                if self.0.loses_first_hashes && before == 0 {
                    return Err(SourceError::Gone("replaced".into()));
                }
            }
            let manifest = match self.0.hashing {
                Some(time) if request.await_hashes => {
                    tokio::time::sleep(time).await;
                    self.0.is_hashed.store(true, Ordering::SeqCst);
                    &self.0.manifest
                }
                Some(_) => &self.0.unhashed,
                None => &self.0.manifest,
            };
            let old_content_roots = manifest.old_content_roots(self.0.own_sentinel);
            let page = self.0.attributes.encode().unwrap();
            Ok(GameHead::of(manifest, old_content_roots, Attributes::identity(&page)))
        }
        .boxed()
    }

    fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>> {
        async move {
            self.check_connection()?;
            if request.part == Part::Attributes {
                tokio::time::sleep(self.0.attributes_delay).await;
                let refusals = &self.0.attributes_refusals;
                let one_less = |left: usize| left.checked_sub(1);
                if refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                    let (code, message) = (RefusalCode::Busy, "too many pages".into());
                    return Err(SourceError::Refused(Refusal { code, message }));
                }
                let page = self.0.attributes.encode().unwrap();
                assert_eq!(Attributes::identity(&page), request.of);
                let flipped = self.0.flips_page == Some((request.part, request.page));
                return Ok(if flipped { flip(&page) } else { page });
            }
            self.0.asked_pages.fetch_add(1, Ordering::SeqCst);
            let manifest = &self.0.manifest;
            let is_hashed = self.0.hashing.is_none() || self.0.is_hashed.load(Ordering::SeqCst);
            let identity = match request.part {
                Part::Hashes => manifest.content_root().filter(|_| is_hashed),
                Part::Layout | Part::Attributes => Some(manifest.manifest_hash()),
            };
            let page = match request.part {
                _ if identity != Some(request.of) => {
                    let (code, message) = (RefusalCode::Changed, "another one".into());
                    return Err(SourceError::Refused(Refusal { code, message }));
                }
                Part::Hashes => manifest.hash_page(request.page),
                Part::Layout | Part::Attributes => {
                    let files = manifest.files().iter().map(|file| (&file.path, file.size));
                    encode_layout(files).into_iter().nth(request.page as usize)
                }
            };
            let page = page.expect("no such page");
            let flipped = self.0.flips_page == Some((request.part, request.page));
            Ok(if flipped { flip(&page) } else { page })
        }
        .boxed()
    }

    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
        _: ArrivedBytes,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
        async move {
            let inner = &self.0;
            self.check_connection()?;
            if let Some(hook) = &inner.on_chunk {
                hook();
            }
            if let Some(code) = inner.refusal {
                return Err(SourceError::Refused(Refusal { code, message: "no".into() }));
            }
            if inner.busy_until.is_some_and(|until| Instant::now() < until) {
                tokio::time::sleep(Duration::from_secs(20)).await;
                let (code, message) = (RefusalCode::Busy, "others come first".into());
                return Err(SourceError::Refused(Refusal { code, message }));
            }
            let line = inner.line.lock().await;
            if inner.served_chunks.load(Ordering::SeqCst) >= inner.silent_after {
                return pending().await;
            }
            tokio::time::sleep(inner.delay).await;
            self.check_connection()?;
            drop(line);
            inner.served_chunks.fetch_add(1, Ordering::SeqCst);
            let (mut hashes, mut bytes) = (Vec::new(), Vec::new());
            for (chunk, len) in request.chunks.iter().zip(lens) {
                let (path, index) = (chunk.path.as_str(), chunk.index);
                let served = inner.served.chunk(path, index);
                assert_eq!(u32::try_from(served.len()).unwrap(), len);
                bytes.extend_from_slice(served);
                let hashed = inner.hash_of_manifest.as_ref().unwrap_or(&inner.served);
                hashes.push(hashed.chunk_hash(path, index));
            }
            Ok(ReceivedChunks { hashes, bytes: bytes.into() })
        }
        .boxed()
    }
}

fn flip(page: &[u8]) -> Bytes {
    let mut page = page.to_vec();
    if let Some(last) = page.last_mut() {
        *last ^= 1;
    }
    page.into()
}

/// A download under way.
pub(super) struct Lab {
    dir: TempDir,
    changes: Option<mpsc::UnboundedSender<SourceChange>>,
    notices: Option<mpsc::Receiver<DownloadNotice>>,
    seen: Mutex<Vec<DownloadNotice>>,
    cancel: CancellationToken,
    pub(super) stop: CancellationToken,
    pub(super) keeps_on_cancel: bool,
    running: Option<JoinHandle<Ended>>,
    began: Instant,
    swarm: Swarm,
    pub(super) free_space: FreeSpace,
    pub(super) limiter: Limiter,
    /// Those that fetch the same game and are linked.
    guests: Arc<Mutex<BTreeMap<PeerId, FakeSource>>>,
}

impl Lab {
    pub(super) fn start(sources: impl IntoIterator<Item = FakeSource>) -> Self {
        let mut lab = Self::prepare();
        lab.run(sources, None);
        lab
    }

    /// With a catalog that demands the content of `game`.
    pub(super) fn start_with_catalog(
        sources: impl IntoIterator<Item = FakeSource>,
        game: &Game,
    ) -> Self {
        let mut lab = Self::prepare();
        lab.run(sources, game.manifest().content_root().map(Stated::Catalog));
        lab
    }

    pub(super) fn prepare() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            changes: None,
            notices: None,
            seen: Mutex::default(),
            cancel: CancellationToken::new(),
            stop: CancellationToken::new(),
            keeps_on_cancel: false,
            running: None,
            began: Instant::now(),
            swarm: Swarm::new(OutboundTransfers::new(mpsc::unbounded_channel().0)),
            free_space: FreeSpace::of_this_machine(),
            limiter: Limiter::new(None),
            guests: Arc::default(),
        }
    }

    pub(super) fn run(
        &mut self,
        sources: impl IntoIterator<Item = FakeSource>,
        stated: Option<Stated>,
    ) {
        let sources = sources.into_iter().map(|source| Arc::new(source) as _);
        self.run_with(sources.collect(), stated);
    }

    pub(super) fn run_with(&mut self, initial: Vec<Arc<dyn Source>>, stated: Option<Stated>) {
        let job = DownloadJob {
            game_id: GameId::new("game").unwrap(),
            version: GameVersion::new(VERSION).unwrap(),
            root: self.root(),
            journal: self.journal(),
            stated,
            limiter: self.limiter.clone(),
            free_space: self.free_space.clone(),
            order: Order::File,
            initial,
            stop: self.stop.clone(),
            keeps_on_cancel: self.keeps_on_cancel,
        };
        let guests = Arc::clone(&self.guests);
        let source_of = move |peer| Arc::new(guests.lock().unwrap()[&peer].clone()) as _;
        let seat = SwarmContext { swarm: self.swarm.clone(), source_of: Box::new(source_of) };
        let (changes, changes_rx) = mpsc::unbounded_channel();
        let (notices_tx, notices) = mpsc::channel(10_000);
        self.changes = Some(changes);
        self.notices = Some(notices);
        self.began = Instant::now();
        self.running =
            Some(tokio::spawn(run(job, seat, changes_rx, notices_tx, self.cancel.clone())));
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("game")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.dir.path().join("state/download.journal")
    }

    /// Puts a file into the root.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn join(&self, source: FakeSource) {
        let change = SourceChange::Joined(Arc::new(source));
        self.changes.as_ref().unwrap().send(change).ok().unwrap();
    }

    pub(super) fn leave(&self, n: u8) {
        self.changes.as_ref().unwrap().send(SourceChange::Left(peer(n))).ok().unwrap();
    }

    /// Lets a peer tell that it fetches the same and has these pieces.
    pub(super) async fn offer(&self, guest: &FakeSource, link: LinkId, have: &[u32]) {
        let (peer, manifest) = (guest.peer_id(), &guest.0.manifest);
        self.guests.lock().unwrap().insert(peer, guest.clone());
        let theirs = Opening {
            game_id: GameId::new("game").unwrap(),
            manifest_hash: manifest.manifest_hash(),
            content_root: manifest.content_root().unwrap(),
            have: have.iter().copied().collect(),
            asking: Vec::new(),
        };
        assert!(
            self.swarm.on_opening(peer, link, &theirs).await.is_some(),
            "nothing is shared yet"
        );
    }

    /// Lets the connection over which it told that be lost.
    pub(super) async fn unlink(&self, guest: &FakeSource, link: LinkId) {
        self.swarm.on_disconnect(guest.peer_id(), link).await;
    }

    /// Cancels the download from anywhere.
    pub(super) fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }

    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(super) async fn wait_until_begun(&mut self) {
        self.wait_for(|notice| matches!(notice, DownloadNotice::Began { .. })).await;
    }

    pub(super) async fn wait_for_bytes(&mut self, bytes: u64) {
        self.wait_for(|notice| match notice {
            DownloadNotice::Progress(progress) => progress.bytes_done >= bytes,
            _ => false,
        })
        .await;
    }

    pub(super) async fn wait_for_manifest(&mut self) {
        self.wait_for(|notice| matches!(notice, DownloadNotice::GotManifest { .. })).await;
    }

    /// Waits until the engine is gone; returns whether the download still is not over then.
    pub(super) async fn outlives_engine(&mut self) -> bool {
        while self.notices.as_mut().unwrap().recv().await.is_some() {}
        !self.running.as_ref().unwrap().is_finished()
    }

    /// Waits for the panic with which the download ends.
    pub(super) async fn panicked(mut self) {
        assert!(self.running.take().unwrap().await.unwrap_err().is_panic());
    }

    pub(super) async fn wait_until_dropped(&mut self, n: u8) {
        let is_it = |notice: &_| matches!(notice, DownloadNotice::SourceDropped { peer_id, .. } if *peer_id == peer(n));
        self.wait_for(is_it).await;
    }

    pub(super) async fn wait_until_done(&mut self) {
        self.wait_for(|notice| match notice {
            DownloadNotice::Progress(progress) => progress.bytes_done == progress.bytes_total,
            _ => false,
        })
        .await;
    }

    async fn wait_for(&mut self, is_it: impl Fn(&DownloadNotice) -> bool) {
        loop {
            let notice = self.notices.as_mut().unwrap().recv().await.expect("the download ended");
            let found = is_it(&notice);
            self.seen.lock().unwrap().push(notice);
            if found {
                return;
            }
        }
    }

    /// Drops the download as a shutdown does; the same place for another one.
    pub(super) async fn abandon(mut self) -> Self {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        Self { dir: self.dir, ..Self::prepare() }
    }

    pub(super) async fn finish(mut self) -> Finished {
        let ended = self.running.take().unwrap().await.unwrap();
        let took = self.began.elapsed();
        let mut notices = std::mem::take(&mut *self.seen.lock().unwrap());
        let mut rest = self.notices.take().unwrap();
        while let Some(notice) = rest.recv().await {
            notices.push(notice);
        }
        Finished { dir: self.dir, ended, notices, took }
    }
}

/// A download that has ended.
pub(super) struct Finished {
    dir: TempDir,
    pub(super) ended: Ended,
    pub(super) notices: Vec<DownloadNotice>,
    pub(super) took: Duration,
}

impl Finished {
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("game").join(path)
    }

    /// What is directly in the root.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(super) fn has_journal(&self) -> bool {
        self.dir.path().join("state/download.journal").exists()
    }

    /// What came from sources and not from the disk.
    pub(super) fn fetched(&self) -> u64 {
        self.ended.as_ref().unwrap().sources.iter().map(|source| source.bytes).sum()
    }

    /// The same place for another download.
    pub(super) fn again(self) -> Lab {
        Lab { dir: self.dir, ..Lab::prepare() }
    }

    /// How the vote on the content ended, as far as it was told: the last bytes of the addresses.
    pub(super) fn votes(&self) -> Vec<(Option<ContentHash>, Vec<u8>, Vec<u8>)> {
        let last = |voters: &[Voter]| voters.iter().map(|it| it.octets()[3]).collect();
        let counts = self.notices.iter().filter_map(|notice| match notice {
            DownloadNotice::Voted(count) => Some(count),
            _ => None,
        });
        counts.map(|it| (it.content, last(&it.voters), last(&it.others))).collect()
    }

    pub(super) fn dropped(&self) -> Vec<PeerId> {
        let dropped = self.notices.iter().filter_map(|notice| match notice {
            DownloadNotice::SourceDropped { peer_id, .. } => Some(*peer_id),
            _ => None,
        });
        dropped.collect()
    }

    pub(super) fn assert_complete(&self, game: &Game) {
        assert!(self.ended.is_ok(), "{:?} {:?}", self.ended, self.notices);
        for (path, bytes) in &*game.files {
            assert!(fs::read(self.path(path)).unwrap() == *bytes, "{path} differs");
        }
        let sentinel = format!("{}\n", game.version);
        assert_eq!(fs::read_to_string(self.path("version.ini")).unwrap(), sentinel);
        assert!(!self.has_journal(), "a finished download has a journal");
        assert!(!self.path(".version.ini.discarded").exists());
        assert!(!self.path(".version.ini.tmp").exists());
    }

    pub(super) fn assert_failed(&self, is_it: impl Fn(&DownloadFailure) -> bool) {
        match &self.ended {
            Err(DownloadEnd::Failed(failure)) if is_it(failure) => {}
            other => panic!("{other:?}"),
        }
        assert!(!self.path("version.ini").exists(), "a failed download has a sentinel");
    }
}
