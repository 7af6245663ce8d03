//! One connection to one peer, after the handshake: what can be asked on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lanspread_proto::CHUNK_SIZE_BYTES;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, LIBRARY_HEADER_MAX_BYTES};
use lanspread_proto::message::{
    ChunkName, FetchEnded, Fetching, GetChunks, GetGame, Have, Hello, LibraryDelta,
    LibrarySnapshot, Request, Response, StreamInstall,
};
use lanspread_proto::{GameId, GameVersion, PeerId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::debts::{Debt, Debts};
use super::exchange::{ExchangeError, FrameReader, Incoming, ask};
use super::serve::CHUNKS_PER_PEER_MAX;
use super::transport::{CloseCode, Connection};
use crate::download::{GameAnswer, ReceivedChunks, SourceError};

/// Longest wait for the answer to a small request. A healthy peer needs milliseconds.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a whole library or manifest: 16 MiB at a tenth of a 100 Mbit/s link.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait until a streamed installation is let in: for a stream of the connection, of which
/// requests in flight may hold all, and for the answer, which comes before the turn does.
const STREAM_TIMEOUT: Duration = Duration::from_secs(15);

/// Tells the connections of this process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

impl LinkId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A connection whose other side is known and let in.
pub(crate) struct PeerLink {
    pub(crate) id: LinkId,
    /// What the other side said of itself.
    pub(crate) hello: Hello,
    /// Where the other side listens.
    pub(crate) addr: SocketAddr,
    /// Whether this side dialled.
    pub(crate) is_dialled: bool,
    /// The library that the other side was told in the handshake.
    pub(crate) told: Arc<LibrarySnapshot>,
    pub(crate) established: Instant,
    /// Bounds the chunks in memory that are to be sent to this peer.
    pub(super) chunks: Semaphore,
    /// Whose turn it is to send a chunk to this peer.
    pub(super) sending: Semaphore,
    connection: Arc<dyn Connection>,
    last_heard_ms: AtomicU64,
    /// What the other side was asked and has not answered yet.
    debts: Arc<Debts>,
}

impl PeerLink {
    pub(super) fn new(
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
            told,
            established,
            chunks: Semaphore::new(CHUNKS_PER_PEER_MAX),
            sending: Semaphore::new(1),
            connection,
            last_heard_ms,
            debts: Arc::default(),
        }
    }

    /// Who is on the other side.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.connection.peer_id()
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&self) {
        let elapsed_ms = self.established.elapsed().as_millis();
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
        self.last_heard_ms.fetch_max(elapsed_ms, Ordering::Relaxed);
    }

    /// When the other side last gave a sign of life.
    pub(crate) fn last_heard(&self) -> Instant {
        self.established + Duration::from_millis(self.last_heard_ms.load(Ordering::Relaxed))
    }

    /// Returns since when the other side owes answers without a pause, if it does. An answer that may take
    /// as long as it likes is not owed.
    pub(crate) fn owing_since(&self) -> Option<Instant> {
        self.debts.since()
    }

    /// Closes the connection.
    pub(crate) fn close(&self, code: CloseCode) {
        self.connection.close(code);
    }

    /// Asks for a sign of life; waits no longer than `patience`.
    pub(crate) async fn ping(&self, patience: Duration) -> Result<(), SourceError> {
        match self.control(&Request::Ping {}, CONTROL_HEADER_MAX_BYTES, patience).await? {
            Response::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Says that this peer is leaving.
    pub(crate) async fn goodbye(&self) -> Result<(), SourceError> {
        self.expect_done(&Request::Goodbye {}).await
    }

    /// Tells what changed in this peer's library.
    pub(crate) async fn push_delta(&self, delta: LibraryDelta) -> Result<(), SourceError> {
        self.expect_done(&Request::LibraryDelta(delta)).await
    }

    /// Tells what this peer fetches; returns what the other side has, if it fetches the same.
    pub(crate) async fn tell_fetching(
        &self,
        fetching: Fetching,
    ) -> Result<Option<Fetching>, SourceError> {
        let request = Request::Fetching(fetching);
        match self.control(&request, CONTROL_HEADER_MAX_BYTES, CONTROL_TIMEOUT).await? {
            Response::Fetching(theirs) => Ok(Some(theirs)),
            Response::Done {} => Ok(None),
            other => Err(unexpected(other)),
        }
    }

    /// Tells what this peer has besides of what it fetches.
    pub(crate) async fn tell_more(&self, have: Have) -> Result<(), SourceError> {
        self.expect_done(&Request::Have(have)).await
    }

    /// Tells that this peer fetches something no more.
    pub(crate) async fn tell_fetch_ended(&self, ended: FetchEnded) -> Result<(), SourceError> {
        self.expect_done(&Request::FetchEnded(ended)).await
    }

    /// Asks for the whole library.
    pub(crate) async fn get_library(&self) -> Result<LibrarySnapshot, SourceError> {
        let request = Request::GetLibrary {};
        match self.control(&request, LIBRARY_HEADER_MAX_BYTES, LIBRARY_TIMEOUT).await? {
            Response::Library(snapshot) => Ok(snapshot),
            other => Err(unexpected(other)),
        }
    }

    /// Asks for a manifest. Waits as long as the connection lives where hashes are awaited.
    pub(crate) async fn get_game(&self, request: GetGame) -> Result<GameAnswer, SourceError> {
        let patience = if request.await_hashes { Duration::MAX } else { LIBRARY_TIMEOUT };
        let request = Request::GetGame(request);
        match self.control(&request, LIBRARY_HEADER_MAX_BYTES, patience).await? {
            Response::Game { manifest } => Ok(GameAnswer::Manifest(manifest)),
            Response::Unchanged {} => Ok(GameAnswer::Unchanged),
            other => Err(unexpected(other)),
        }
    }

    /// Asks for chunks of exactly `lens` bytes.
    pub(crate) async fn get_chunks(
        &self,
        request: GetChunks,
        lens: &[u32],
    ) -> Result<ReceivedChunks, SourceError> {
        let len: u64 = lens.iter().copied().map(u64::from).sum();
        debug_assert!(len <= CHUNK_SIZE_BYTES);
        let _debt = self.owes();
        // Behind others that ask as well, an answer takes its time; the scheduler judges how long.
        let mut incoming = self.ask(&Request::GetChunks(request)).await?.patient();
        let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
        let mut incoming = incoming.impatient();
        self.heard();
        match response {
            Response::Chunks { chunks }
                if chunks.iter().map(|chunk| chunk.len).eq(lens.iter().copied()) =>
            {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let bytes = incoming.body(len, || self.heard()).await.map_err(broken)?;
                let hashes = chunks.into_iter().map(|chunk| chunk.hash).collect();
                Ok(ReceivedChunks { hashes, bytes })
            }
            Response::Chunks { .. } => {
                Err(SourceError::Protocol("sent chunks of other lengths".to_owned()))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Tells that a chunk came wrong, by naming it twice: a source that knows of it reads the chunk once
    /// more, another one refuses the request or answers it, which is of no interest.
    pub(crate) async fn complain(
        &self,
        game_id: GameId,
        version: GameVersion,
        chunk: ChunkName,
    ) -> Result<(), SourceError> {
        let chunks = vec![chunk.clone(), chunk];
        let request = Request::GetChunks(GetChunks { game_id, version, chunks });
        self.control(&request, CONTROL_HEADER_MAX_BYTES, LIBRARY_TIMEOUT).await.map(drop)
    }

    /// Asks for a streamed installation; the frames are to be read from what comes back.
    pub(crate) async fn stream_install(
        self: Arc<Self>,
        request: StreamInstall,
    ) -> Result<FrameReader, SourceError> {
        let debt = self.owes();
        let exchange = async {
            let mut incoming = self.ask(&Request::StreamInstall(request)).await?;
            let response = incoming.header(CONTROL_HEADER_MAX_BYTES).await.map_err(broken)?;
            Ok((incoming, response))
        };
        let (incoming, response) =
            timeout(STREAM_TIMEOUT, exchange).await.map_err(|_| unanswered())??;
        self.heard();
        match response {
            Response::Stream {} => Ok(incoming.into_frames(move || {
                // Frames are owed as long as they are read.
                let _ = &debt;
                self.heard();
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
            let incoming = self.ask(request).await?;
            let mut incoming =
                if patience == Duration::MAX { incoming.patient() } else { incoming };
            incoming.header(max).await.map_err(broken)
        };
        let response = timeout(patience, exchange).await.map_err(|_| unanswered())??;
        self.heard();
        Ok(response)
    }

    fn owes(&self) -> Debt {
        Debts::add(&self.debts, Instant::now())
    }

    async fn ask(&self, request: &Request) -> Result<Incoming, SourceError> {
        ask(&*self.connection, request, CONTROL_HEADER_MAX_BYTES).await.map_err(broken)
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
        Response::Library(_) => "library",
        Response::Game { .. } => "game",
        Response::Unchanged {} => "unchanged",
        Response::Chunks { .. } => "chunks",
        Response::Fetching(_) => "fetching",
        Response::Stream {} => "stream",
        Response::Done {} => "done",
        Response::Refused(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, pending};
    use lanspread_proto::PROTOCOL_VERSION;

    use super::*;
    use crate::net::transport::{Stream, TransportError};

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

        fn open(&self) -> BoxFuture<'_, Result<Stream, TransportError>> {
            pending().boxed()
        }

        fn close(&self, _: CloseCode) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamed_installation_does_not_wait_for_ever_for_a_stream() {
        let peer_id = PeerId::from_public_key(b"source");
        let hello = Hello {
            peer_id,
            proto_ver: PROTOCOL_VERSION,
            session: 1,
            name: "source".parse().unwrap(),
            network: "test".parse().unwrap(),
            network_proof: None,
            listen_port: 1,
            features: Vec::new(),
            library: LibrarySnapshot::default(),
        };
        let link = PeerLink::new(Arc::new(Full(peer_id)), hello, Arc::default(), true);
        let (game_id, version) = ("quake".parse().unwrap(), "1".parse().unwrap());
        let asked = Arc::new(link).stream_install(StreamInstall { game_id, version });
        let answer = timeout(Duration::from_secs(60), asked).await.expect("it waits for ever");
        assert!(matches!(answer.map(drop), Err(SourceError::Gone(_))));
    }
}
