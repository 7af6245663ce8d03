//! One connection to one peer, after the handshake: what can be asked on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::library::LibrarySnapshot;
use lanspread_proto::limits::PAGE_MAX_BYTES;
use lanspread_proto::message::{
    FetchEnded, GameHead, GetChunks, GetGame, GetLibrary, GetPage, Have, Hello, LibraryDelta,
    LibraryPageHeader, Request, Response, StreamInstall, WrongChunk,
};
use lanspread_proto::opening::Opening;
use lanspread_proto::piece_set::PIECE_SET_MAX_BYTES;
use lanspread_proto::{CHUNK_SIZE_BYTES, PeerId, SourceError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::debts::{Debt, Debts};
use super::exchange::{ExchangeError, FrameReader, Incoming, ask};
use super::transport::{CloseCode, Connection, TransportError};
use crate::source::{ArrivedBytes, ReceivedChunks};

/// Longest wait for the answer to a small request. A healthy peer needs milliseconds.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait until a source has read a chunk once more that came wrong.
const CHUNK_LOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for what a game is: a source looks at it first, at 100,000 files on a busy disk.
const HEAD_TIMEOUT: Duration = Duration::from_secs(25);
/// Longest wait until a page comes: a source refuses it when others have had all its room for 20 s.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait until a streamed installation is let in: for a stream of the connection, of which
/// requests in flight may hold all, and for the answer, which comes before the turn does.
const STREAM_TIMEOUT: Duration = Duration::from_secs(15);

/// Tells the connections of this process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

impl LinkId {
    /// Returns a number that no other connection of this process has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A connection whose other side is known and let in.
pub struct PeerLink {
    /// Tells it from other connections.
    pub id: LinkId,
    /// What the other side said of itself.
    pub hello: Hello,
    /// Where the other side listens.
    pub addr: SocketAddr,
    /// Whether this side dialled.
    pub is_dialled: bool,
    /// The library of this peer that the other side knows: as announced in the handshake, as read since, or as
    /// sent by deltas.
    pub known_library: watch::Sender<Arc<LibrarySnapshot>>,
    /// When hands were shaken.
    pub established: Instant,
    connection: Arc<dyn Connection>,
    last_heard_ms: AtomicU64,
    /// What the other side was asked and has not answered yet.
    debts: Arc<Debts>,
}

impl PeerLink {
    /// Makes a link of a connection on which hands were shaken. `told` is the library that was announced to the other side.
    pub fn new(
        connection: Arc<dyn Connection>,
        hello: Hello,
        told: Arc<LibrarySnapshot>,
        is_dialled: bool,
    ) -> Self {
        let addr = SocketAddr::new(connection.remote_addr().ip(), hello.listen_port);
        let established = Instant::now();
        let last_heard_ms = AtomicU64::new(0);
        Self {
            id: LinkId::next(),
            hello,
            addr,
            is_dialled,
            known_library: watch::channel(told).0,
            established,
            connection,
            last_heard_ms,
            debts: Arc::default(),
        }
    }

    /// Returns who is on the other side, as its certificate proves.
    pub fn peer_id(&self) -> PeerId {
        self.connection.peer_id()
    }

    /// Notes a sign of life.
    pub fn note_sign_of_life(&self) {
        let elapsed_ms = self.established.elapsed().as_millis();
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
        self.last_heard_ms.fetch_max(elapsed_ms, Ordering::Relaxed);
    }

    /// Returns when the other side last gave a sign of life.
    pub fn last_sign_of_life(&self) -> Instant {
        self.established + Duration::from_millis(self.last_heard_ms.load(Ordering::Relaxed))
    }

    /// Returns since when the other side owes answers without a pause, if it does. An answer that may take
    /// as long as it likes is not owed.
    pub fn owing_since(&self) -> Option<Instant> {
        self.debts.since()
    }

    /// Returns how many bytes of streams have left for the other side. They stop where it takes no more.
    pub fn sent_bytes(&self) -> u64 {
        self.connection.sent_bytes()
    }

    /// Closes the connection.
    pub fn close(&self, code: CloseCode) {
        self.connection.close(code);
    }

    /// Asks for a sign of life; waits no longer than `patience`.
    pub async fn ping(&self, patience: Duration) -> Result<(), SourceError> {
        match self.control(&Request::Ping {}, CONTROL_HEADER_MAX_BYTES, patience).await? {
            Response::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Says that this peer is leaving.
    pub async fn goodbye(&self) -> Result<(), SourceError> {
        self.expect_done(&Request::Goodbye {}).await
    }

    /// Tells what changed in this peer's library.
    pub async fn send_delta(&self, delta: LibraryDelta, page: Bytes) -> Result<(), SourceError> {
        let request = Request::LibraryDelta(delta);
        match self.exchange(&request, page, CONTROL_TIMEOUT).await?.0 {
            Response::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Tells what this peer fetches; returns what the other side has, if it fetches the same.
    pub async fn send_opening(&self, opening: &Opening) -> Result<Option<Opening>, SourceError> {
        let (fetching, have) = opening.encode();
        let request = Request::Fetching(fetching);
        match self.exchange(&request, have, CONTROL_TIMEOUT).await? {
            (Response::Fetching(theirs), mut incoming) => {
                let have = incoming
                    .page(theirs.have_bytes, PIECE_SET_MAX_BYTES, || self.note_sign_of_life());
                let have = timeout(CONTROL_TIMEOUT, have).await.map_err(|_| unanswered())?;
                Ok(Some(Opening::decode(theirs, &have.map_err(broken)?)?))
            }
            (Response::Done {}, _) => Ok(None),
            (other, _) => Err(unexpected(other)),
        }
    }

    /// Tells what this peer has besides of what it fetches.
    pub async fn send_have(&self, have: Have) -> Result<(), SourceError> {
        self.expect_done(&Request::Have(have)).await
    }

    /// Tells that this peer fetches something no more.
    pub async fn send_fetch_ended(&self, ended: FetchEnded) -> Result<(), SourceError> {
        self.expect_done(&Request::FetchEnded(ended)).await
    }

    /// Asks for one page of the library.
    pub async fn get_library_page(
        &self,
        wanted: GetLibrary,
    ) -> Result<(LibraryPageHeader, Bytes), SourceError> {
        let _debt = self.owes();
        let request = Request::GetLibrary(wanted);
        let mut incoming = self.ask(&request, Bytes::new()).await?;
        match incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)? {
            Response::LibraryPage(header) => {
                let page = incoming.page(header.len, PAGE_MAX_BYTES, || self.note_sign_of_life());
                Ok((header, page.await.map_err(broken)?))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Returns whether the other side has closed this connection for another one to the same peer.
    pub fn is_replaced(&self) -> bool {
        let opened = self.connection.open().now_or_never();
        matches!(opened, Some(Err(TransportError::ClosedByPeer(CloseCode::Duplicate))))
    }

    /// Asks what a game is. Waits as long as the connection lives where hashes are awaited.
    pub async fn get_game(&self, request: GetGame) -> Result<GameHead, SourceError> {
        let patience = if request.await_hashes { Duration::MAX } else { HEAD_TIMEOUT };
        let request = Request::GetGame(request);
        match self.control(&request, CONTROL_HEADER_MAX_BYTES, patience).await? {
            Response::Game(head) => Ok(head),
            other => Err(unexpected(other)),
        }
    }

    /// Asks for a page of a part of a game.
    pub async fn get_page(&self, request: GetPage) -> Result<Bytes, SourceError> {
        let _debt = self.owes();
        let exchange = async {
            // Behind others that ask as well, an answer takes its time.
            let mut incoming = self.ask(&Request::GetPage(request), Bytes::new()).await?.patient();
            let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
            Ok::<_, SourceError>((incoming.impatient(), response))
        };
        let (mut incoming, response) =
            timeout(PAGE_TIMEOUT, exchange).await.map_err(|_| unanswered())??;
        self.note_sign_of_life();
        match response {
            Response::Page { len } => {
                let page = incoming.page(len, PAGE_MAX_BYTES, || self.note_sign_of_life());
                page.await.map_err(broken)
            }
            other => Err(unexpected(other)),
        }
    }

    /// Asks for chunks of exactly `lens` bytes.
    pub async fn get_chunks(
        &self,
        request: GetChunks,
        lens: &[u32],
    ) -> Result<ReceivedChunks, SourceError> {
        self.get_chunks_counted(request, lens, &ArrivedBytes::default()).await
    }

    /// Asks for chunks of exactly `lens` bytes, and tells how many have come.
    pub async fn get_chunks_counted(
        &self,
        request: GetChunks,
        lens: &[u32],
        arrived: &ArrivedBytes,
    ) -> Result<ReceivedChunks, SourceError> {
        let len: u64 = lens.iter().copied().map(u64::from).sum();
        debug_assert!(len <= CHUNK_SIZE_BYTES);
        let _debt = self.owes();
        // Behind others that ask as well, an answer takes its time; the scheduler judges how long.
        let mut incoming = self.ask(&Request::GetChunks(request), Bytes::new()).await?.patient();
        let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
        let mut incoming = incoming.impatient();
        self.note_sign_of_life();
        match response {
            Response::Chunks { chunks }
                if chunks.iter().map(|chunk| chunk.len).eq(lens.iter().copied()) =>
            {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let on_bytes = |count: usize| {
                    arrived.set(count as u64);
                    self.note_sign_of_life();
                };
                let bytes = incoming.body(len, on_bytes).await.map_err(broken)?;
                let hashes = chunks.into_iter().map(|chunk| chunk.hash).collect();
                Ok(ReceivedChunks { hashes, bytes })
            }
            Response::Chunks { .. } => {
                Err(SourceError::Protocol("sent chunks of other lengths".to_owned()))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Tells that a chunk came wrong: the source reads it once more, and answers when it has.
    pub async fn report_wrong_chunk(&self, wrong: WrongChunk) -> Result<(), SourceError> {
        let request = Request::WrongChunk(wrong);
        match self.control(&request, CONTROL_HEADER_MAX_BYTES, CHUNK_LOOK_TIMEOUT).await? {
            Response::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Asks for a streamed installation; the frames are to be read from what comes back.
    pub async fn stream_install(
        self: Arc<Self>,
        request: StreamInstall,
    ) -> Result<FrameReader, SourceError> {
        let debt = self.owes();
        let exchange = async {
            let mut incoming = self.ask(&Request::StreamInstall(request), Bytes::new()).await?;
            let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
            Ok::<_, SourceError>((incoming, response))
        };
        let (incoming, response) =
            timeout(STREAM_TIMEOUT, exchange).await.map_err(|_| unanswered())??;
        self.note_sign_of_life();
        match response {
            Response::Stream {} => Ok(incoming.into_frames(move || {
                // Frames are owed as long as they are read.
                let _ = &debt;
                self.note_sign_of_life();
            })),
            other => Err(unexpected(other)),
        }
    }

    async fn expect_done(&self, request: &Request) -> Result<(), SourceError> {
        match self.control(request, CONTROL_HEADER_MAX_BYTES, CONTROL_TIMEOUT).await? {
            Response::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn control(
        &self,
        request: &Request,
        max: usize,
        patience: Duration,
    ) -> Result<Response, SourceError> {
        let _debt = (patience != Duration::MAX).then(|| self.owes());
        let exchange = async {
            // How long it may take in all is bounded below.
            let mut incoming = self.ask(request, Bytes::new()).await?.patient();
            incoming.header(max).await.map_err(broken)
        };
        let response = timeout(patience, exchange).await.map_err(|_| unanswered())??;
        self.note_sign_of_life();
        Ok(response)
    }

    /// Sends a request with raw bytes behind it; returns the answer and what is behind that.
    async fn exchange(
        &self,
        request: &Request,
        body: Bytes,
        patience: Duration,
    ) -> Result<(Response, Incoming), SourceError> {
        let _debt = self.owes();
        let exchange = async {
            let mut incoming = self.ask(request, body).await?;
            let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
            Ok::<_, SourceError>((response, incoming))
        };
        let answered = timeout(patience, exchange).await.map_err(|_| unanswered())??;
        self.note_sign_of_life();
        Ok(answered)
    }

    fn owes(&self) -> Debt {
        Debts::add(&self.debts, Instant::now())
    }

    async fn ask(&self, request: &Request, body: Bytes) -> Result<Incoming, SourceError> {
        ask(&*self.connection, request, body).await.map_err(broken)
    }
}

fn broken(error: ExchangeError) -> SourceError {
    match error {
        ExchangeError::Transport(_) | ExchangeError::EndedEarly | ExchangeError::Silent => {
            SourceError::Gone(error.to_string())
        }
        ExchangeError::Codec(_) | ExchangeError::TooLong => {
            SourceError::Protocol(error.to_string())
        }
    }
}

fn unanswered() -> SourceError {
    SourceError::Gone("no answer in time".to_owned())
}

fn unexpected(response: Response) -> SourceError {
    match response {
        Response::Refused(refusal) => SourceError::Refused(refusal),
        other => SourceError::Protocol(format!("answered with another message: {}", kind(&other))),
    }
}

fn kind(response: &Response) -> &'static str {
    match response {
        Response::HelloAck(_) => "hello_ack",
        Response::LibraryPage(_) => "library_page",
        Response::Game(_) => "game",
        Response::Page { .. } => "page",
        Response::Chunks { .. } => "chunks",
        Response::Fetching(_) => "fetching",
        Response::Stream {} => "stream",
        Response::Done {} => "done",
        Response::Refused(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::{BoxFuture, pending};
    use lanspread_proto::PROTOCOL_VERSION;

    use super::*;
    use crate::transport::{Stream, TransportError};

    /// A connection on which the other side allows no stream.
    struct Full(PeerId);

    impl Connection for Full {
        fn peer_id(&self) -> PeerId {
            self.0
        }

        fn remote_addr(&self) -> SocketAddr {
            ([127, 0, 0, 1], 1).into()
        }

        fn exporter(&self) -> &[u8; 32] {
            &[7; 32]
        }

        fn sent_bytes(&self) -> u64 {
            0
        }

        fn open(&self) -> BoxFuture<'_, Result<Stream, TransportError>> {
            pending().boxed()
        }

        fn close(&self, _: CloseCode) {}
    }

    /// A link over such a connection.
    fn link() -> Arc<PeerLink> {
        let peer_id = PeerId::from_public_key(b"source");
        let hello = Hello {
            proto_ver: PROTOCOL_VERSION,
            peer_id,
            session: 1,
            name: "source".parse().unwrap(),
            network: "test".parse().unwrap(),
            network_proof: None,
            listen_port: 1,
            features: Vec::new(),
            library_rev: 0,
        };
        Arc::new(PeerLink::new(Arc::new(Full(peer_id)), hello, Arc::default(), true))
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamed_installation_does_not_wait_for_ever_for_a_stream() {
        let (game_id, version) = ("quake".parse().unwrap(), "1".parse().unwrap());
        let asked = link().stream_install(StreamInstall { game_id, version });
        let answer = timeout(Duration::from_secs(60), asked).await.expect("it waits for ever");
        assert!(matches!(answer.map(drop), Err(SourceError::Gone(_))));
    }
}
