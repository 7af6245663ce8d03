//! The transport over QUIC. The only module that names `s2n_quic`.
//!
//! A peer has one endpoint that listens and one that dials, on two UDP ports.

mod door;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::PeerId;
use rustls::pki_types::CertificateDer;
use s2n_quic::application;
use s2n_quic::client::Connect;
use s2n_quic::connection::{self, StreamAcceptor as QuicAcceptor};
use s2n_quic::provider::event::{ConnectionInfo, ConnectionMeta, Subscriber, events};
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::{io, tls as quic_tls};
use s2n_quic::stream::{BidirectionalStream, ReceiveStream, SendStream};

use self::door::{Door, HalfOpen, TokenProvider};
use super::tls;
use super::transport::{
    CloseCode, Connection, Dialer, Listener, NewConnection, Stream, StreamAcceptor, StreamReceiver,
    StreamSender, TransportError,
};
use crate::identity::{Identity, peer_id_of};

/// Time for the TLS handshake, on a LAN some hundred times what it takes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which QUIC forgets a connection, unless peers may be silent for longer.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(30);
/// Most streams that one peer may have open to another: requests in flight, with room to spare.
const STREAMS_MAX: u64 = 64;
/// Flow control of a stream that this side opens: two chunks, so that the next one is never waited for.
const STREAM_WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Flow control of a stream that the other side opens, on which requests come. Most have some hundred bytes; 256 KiB take a few
/// round trips of a LAN. All of [`STREAMS_MAX`] together are 1 MiB, which is all that a connection can be sent
/// before its `hello`: until then this side opens no stream.
const REQUEST_WINDOW_BYTES: u64 = 16 * 1024;
/// Flow control of one connection: several streams at full window.
const CONNECTION_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that a stream takes over before they are acknowledged: a chunk, so that the next one begins
/// while this one is on its way, whatever else the machine does meanwhile.
const SEND_BUFFER_BYTES: u32 = 2 * 1024 * 1024;
/// What the transport gathers for its socket: several bursts of 64 KiB, each of which is one call. By
/// default there are two, between which tasks take turns.
const SEND_QUEUE_BYTES: usize = 512 * 1024;
/// What the system holds for a socket that is not read at once: 3 ms at 10 Gbit/s, the time in which a
/// busy machine gets to run something else. Systems may allow less (`net.core.rmem_max`).
const SOCKET_RECEIVE_BYTES: usize = 4 * 1024 * 1024;
/// Largest packet that path MTU discovery may find: jumbo frames, and loopback.
const MTU_MAX_BYTES: u16 = 9_000;
/// Names the exported keying material (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-lanspread-network-key";
/// Sent as the server name; nobody looks at it.
const SERVER_NAME: &str = "lanspread";

/// The two endpoints of a peer.
pub struct Endpoints {
    /// Opens connections.
    pub dialer: Arc<dyn Dialer>,
    /// Accepts connections.
    pub listener: Box<dyn Listener>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system or the transport said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Binds both endpoints of a peer. Connections that are silent for less than `peer_timeout` are
/// kept.
///
/// # Errors
/// [`BindError`] when `listen` cannot be bound.
pub fn bind(
    identity: &Identity,
    listen: SocketAddr,
    peer_timeout: Duration,
) -> Result<Endpoints, BindError> {
    start(identity, listen, peer_timeout.max(IDLE_TIMEOUT_MIN))
        .map_err(|source| BindError { addr: listen, source })
}

fn start(
    identity: &Identity,
    listen: SocketAddr,
    idle_timeout: Duration,
) -> Result<Endpoints, Box<dyn Error + Send + Sync>> {
    let door = Door::default();
    let server = s2n_quic::Server::builder()
        .with_tls(quic_tls::rustls::Server::from(tls::server_config(identity)?))?
        .with_io(udp(listen)?)?
        .with_limits(limits(idle_timeout)?)?
        .with_address_token(TokenProvider(door.clone()))?
        .with_endpoint_limits(door.clone())?
        .with_event(ConnectionObserver { door: Some(door) })?
        .start()?;
    // The dialling endpoint leaves by the address that the listening one is bound to, so that a
    // peer bound to loopback never reaches out of it.
    let client = s2n_quic::Client::builder()
        .with_tls(quic_tls::rustls::Client::from(tls::client_config(identity)?))?
        .with_io(udp(SocketAddr::new(listen.ip(), 0))?)?
        .with_limits(limits(idle_timeout)?)?
        .with_event(ConnectionObserver { door: None })?
        .start()?;
    let addr = server.local_addr()?;
    Ok(Endpoints {
        dialer: Arc::new(QuicDialer { client }),
        listener: Box::new(QuicListener { server, addr }),
    })
}

fn udp(addr: SocketAddr) -> std::io::Result<io::tokio::Provider> {
    io::tokio::Provider::builder()
        .with_receive_address(addr)?
        .with_recv_buffer_size(SOCKET_RECEIVE_BYTES)?
        .with_internal_send_buffer_size(SEND_QUEUE_BYTES)?
        .with_max_mtu(MTU_MAX_BYTES)?
        .build()
}

fn limits(idle_timeout: Duration) -> Result<Limits, Box<dyn Error + Send + Sync>> {
    Ok(Limits::new()
        .with_max_handshake_duration(HANDSHAKE_TIMEOUT)?
        .with_max_idle_timeout(idle_timeout)?
        .with_data_window(CONNECTION_WINDOW_BYTES)?
        .with_bidirectional_local_data_window(STREAM_WINDOW_BYTES)?
        .with_bidirectional_remote_data_window(REQUEST_WINDOW_BYTES)?
        .with_max_send_buffer_size(SEND_BUFFER_BYTES)?
        .with_max_open_local_bidirectional_streams(STREAMS_MAX)?
        .with_max_open_remote_bidirectional_streams(STREAMS_MAX)?
        .with_max_open_local_unidirectional_streams(0)?
        .with_max_open_remote_unidirectional_streams(0)?)
}

/// Notes what TLS proved about a connection when its handshake ends, and how much leaves on it.
struct ConnectionObserver {
    /// Counts the handshakes of the endpoint that listens.
    door: Option<Door>,
}

#[derive(Default)]
struct ConnectionFacts {
    peer_id: Option<PeerId>,
    exporter: Option<[u8; 32]>,
    /// As long as the handshake is under way.
    half_open: Option<HalfOpen>,
    /// Bytes of streams that have left.
    sent_bytes: Arc<AtomicU64>,
}

impl Subscriber for ConnectionObserver {
    type ConnectionContext = ConnectionFacts;

    fn create_connection_context(
        &mut self,
        _meta: &ConnectionMeta,
        _info: &ConnectionInfo<'_>,
    ) -> ConnectionFacts {
        ConnectionFacts::default()
    }

    fn on_connection_started(
        &mut self,
        facts: &mut ConnectionFacts,
        _meta: &ConnectionMeta,
        event: &events::ConnectionStarted<'_>,
    ) {
        let addr = SocketAddr::from(&event.path.remote_addr);
        facts.half_open = self.door.as_ref().map(|door| door.half_open(addr));
    }

    fn on_handshake_status_updated(
        &mut self,
        facts: &mut ConnectionFacts,
        _meta: &ConnectionMeta,
        _event: &events::HandshakeStatusUpdated,
    ) {
        // The first status is that the handshake is complete.
        facts.half_open = None;
    }

    fn on_tls_exporter_ready(
        &mut self,
        facts: &mut ConnectionFacts,
        _meta: &ConnectionMeta,
        event: &events::TlsExporterReady<'_>,
    ) {
        let chain = event.session.peer_cert_chain_der().unwrap_or_default();
        facts.peer_id = chain
            .into_iter()
            .next()
            .and_then(|certificate| peer_id_of(&CertificateDer::from(certificate)).ok());
        let mut exporter = [0; 32];
        if event.session.tls_exporter(EXPORTER_LABEL, &[], &mut exporter).is_ok() {
            facts.exporter = Some(exporter);
        }
    }

    fn on_tx_stream_progress(
        &mut self,
        facts: &mut ConnectionFacts,
        _meta: &ConnectionMeta,
        event: &events::TxStreamProgress,
    ) {
        facts.sent_bytes.fetch_add(event.bytes as u64, Ordering::Relaxed);
    }
}

struct QuicDialer {
    client: s2n_quic::Client,
}

impl Dialer for QuicDialer {
    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, Result<NewConnection, TransportError>> {
        async move {
            let connect = Connect::new(addr).with_server_name(SERVER_NAME);
            let connection = self.client.connect(connect).await.map_err(connection_error)?;
            new_connection(connection)
        }
        .boxed()
    }
}

struct QuicListener {
    server: s2n_quic::Server,
    addr: SocketAddr,
}

impl Listener for QuicListener {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&mut self) -> BoxFuture<'_, Option<NewConnection>> {
        async move {
            loop {
                match new_connection(self.server.accept().await?) {
                    Ok(connection) => return Some(connection),
                    Err(error) => tracing::debug!(%error, "accepted connection was unusable"),
                }
            }
        }
        .boxed()
    }
}

fn new_connection(connection: s2n_quic::Connection) -> Result<NewConnection, TransportError> {
    let lost = |what: &str| TransportError::Lost(what.to_owned());
    let (peer_id, exporter, sent_bytes) = connection
        .query_event_context(|facts: &ConnectionFacts| {
            (facts.peer_id, facts.exporter, Arc::clone(&facts.sent_bytes))
        })
        .map_err(|e| TransportError::Lost(e.to_string()))?;
    let peer_id = peer_id.ok_or_else(|| lost("the peer showed no certificate"))?;
    let exporter = exporter.ok_or_else(|| lost("TLS exported no keying material"))?;
    let remote_addr = connection.remote_addr().map_err(connection_error)?;
    let (handle, acceptor) = connection.split();
    Ok(NewConnection {
        connection: Arc::new(QuicConnection { handle, peer_id, remote_addr, exporter, sent_bytes }),
        streams: Box::new(QuicStreams { acceptor }),
    })
}

struct QuicConnection {
    handle: connection::Handle,
    peer_id: PeerId,
    remote_addr: SocketAddr,
    exporter: [u8; 32],
    sent_bytes: Arc<AtomicU64>,
}

impl Connection for QuicConnection {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    fn exporter(&self) -> &[u8; 32] {
        &self.exporter
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    fn open(&self) -> BoxFuture<'_, Result<Stream, TransportError>> {
        let mut handle = self.handle.clone();
        async move {
            Ok(stream(handle.open_bidirectional_stream().await.map_err(connection_error)?))
        }
        .boxed()
    }

    fn close(&self, code: CloseCode) {
        self.handle.close(error_code(code));
    }
}

struct QuicStreams {
    acceptor: QuicAcceptor,
}

impl StreamAcceptor for QuicStreams {
    fn accept(&mut self) -> BoxFuture<'_, Result<Stream, TransportError>> {
        async move {
            match self.acceptor.accept_bidirectional_stream().await {
                Ok(Some(accepted)) => Ok(stream(accepted)),
                Ok(None) => Err(TransportError::Lost("the connection was closed".to_owned())),
                Err(error) => Err(connection_error(error)),
            }
        }
        .boxed()
    }
}

fn stream(stream: BidirectionalStream) -> Stream {
    let (receiver, sender) = stream.split();
    Stream { sender: Box::new(QuicSender(sender)), receiver: Box::new(QuicReceiver(receiver)) }
}

struct QuicSender(SendStream);

impl StreamSender for QuicSender {
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.0.poll_send(bytes, cx).map_err(stream_error)
    }

    fn finish(&mut self) -> Result<(), TransportError> {
        match self.0.finish().map_err(stream_error) {
            // Whoever has read all that it wants may drop its end before it hears of ours.
            Err(TransportError::Reset) => Ok(()),
            other => other,
        }
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // Not `poll_flush`: of a stream that is finished and lacks only the confirmation of its end, that wakes nobody.
        self.0.poll_close(cx).map_err(stream_error)
    }

    fn is_unwanted(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.0.poll_send_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn reset(&mut self) {
        // A stream that is already finished or reset cannot be reset, and need not be.
        let _ = self.0.reset(error_code(CloseCode::Protocol));
    }
}

struct QuicReceiver(ReceiveStream);

impl StreamReceiver for QuicReceiver {
    fn poll_receive(
        &mut self,
        pieces: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool), TransportError>> {
        let (count, is_open) =
            ready!(self.0.poll_receive_vectored(pieces, cx)).map_err(stream_error)?;
        Poll::Ready(Ok((count, !is_open)))
    }
}

fn error_code(code: CloseCode) -> application::Error {
    // Only numbers of 2^62 and more do not fit, and no code of ours is one.
    application::Error::new(code.number()).unwrap_or(application::Error::UNKNOWN)
}

fn connection_error(error: connection::Error) -> TransportError {
    match error {
        connection::Error::Application { error, initiator, .. } if initiator.is_remote() => {
            TransportError::ClosedByPeer(CloseCode::from_number(error.into()))
        }
        other => TransportError::Lost(other.to_string()),
    }
}

fn stream_error(error: s2n_quic::stream::Error) -> TransportError {
    match error {
        s2n_quic::stream::Error::ConnectionError { error, .. } => connection_error(error),
        s2n_quic::stream::Error::StreamReset { .. } => TransportError::Reset,
        other => TransportError::Lost(other.to_string()),
    }
}
