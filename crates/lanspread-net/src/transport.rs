//! The transport seam: what the rest of the peer knows of a network.
//!
//! A transport dials and accepts connections to peers whose id their certificate proves, and opens
//! and accepts streams of bytes on them. Implementations are [`super::quic`] and, in tests, a
//! network in memory.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lanspread_proto::PeerId;

/// Most pieces that one receive call hands out: enough for a burst of packets, small enough to
/// stay on the stack.
pub const RECEIVE_BATCH: usize = 64;

/// Why the transport could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The other side closed the connection and said why.
    #[error("closed by the peer ({0})")]
    ClosedByPeer(CloseCode),
    /// The connection is gone for another reason.
    #[error("{0}")]
    Lost(String),
    /// The stream was reset by the other side.
    #[error("the stream was reset by the peer")]
    Reset,
}

/// What one side tells the other when it closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The peer is leaving the party.
    Goodbye,
    /// Two dials crossed and the other connection is kept, or a newer one took over.
    Duplicate,
    /// The handshake ended in a refusal.
    Refused,
    /// The other side did not keep to the protocol.
    Protocol,
    /// Another running peer has the identity of the one that is told this.
    Conflict,
    /// A code that this version does not know.
    Unknown(u64),
}

impl CloseCode {
    /// Returns the number that travels.
    pub fn number(self) -> u64 {
        match self {
            Self::Goodbye => 1,
            Self::Duplicate => 2,
            Self::Refused => 3,
            Self::Protocol => 4,
            Self::Conflict => 5,
            Self::Unknown(number) => number,
        }
    }

    /// Returns the code that travels as `number`.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Goodbye,
            2 => Self::Duplicate,
            3 => Self::Refused,
            4 => Self::Protocol,
            5 => Self::Conflict,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goodbye => f.write_str("goodbye"),
            Self::Duplicate => f.write_str("duplicate connection"),
            Self::Refused => f.write_str("refused"),
            Self::Protocol => f.write_str("protocol broken"),
            Self::Conflict => f.write_str("another peer has this identity"),
            Self::Unknown(number) => write!(f, "code {number}"),
        }
    }
}

/// Dials peers.
pub trait Dialer: Send + Sync {
    /// Opens a connection; resolves once both certificates are verified. Dropping the future gives up the dial.
    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, Result<NewConnection, TransportError>>;
}

/// Accepts peers that dial.
pub trait Listener: Send {
    /// Returns where the listener is bound, with the real port.
    fn local_addr(&self) -> SocketAddr;

    /// Waits for the next connection, with both certificates verified; `None` once the listener is dead. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, Option<NewConnection>>;
}

/// A fresh connection: the shared half, and the half that accepts streams.
pub struct NewConnection {
    /// The connection.
    pub connection: Arc<dyn Connection>,
    /// The streams that the other side opens.
    pub streams: Box<dyn StreamAcceptor>,
}

/// The shared half of a connection.
pub trait Connection: Send + Sync {
    /// Returns the id that the other side's certificate gives.
    fn peer_id(&self) -> PeerId;

    /// Returns where the other side is.
    fn remote_addr(&self) -> SocketAddr;

    /// Returns keying material that only the two ends of this connection know.
    fn exporter(&self) -> &[u8; 32];

    /// Returns how many bytes of streams have left for the other side. They stop where it takes no more.
    fn sent_bytes(&self) -> u64;

    /// Opens a stream; waits without an end while the other side allows no more.
    fn open(&self) -> BoxFuture<'_, Result<Stream, TransportError>>;

    /// Closes the connection and everything on it.
    fn close(&self, code: CloseCode);
}

/// The half of a connection that accepts streams.
pub trait StreamAcceptor: Send {
    /// Waits for the next stream of the other side. Cancel safe.
    ///
    /// # Errors
    /// [`TransportError`] once the connection is gone.
    fn accept(&mut self) -> BoxFuture<'_, Result<Stream, TransportError>>;
}

/// A bidirectional stream of bytes.
///
/// Dropping the sender finishes it; dropping the receiver asks the other side to stop.
pub struct Stream {
    /// The direction to the other side.
    pub sender: Box<dyn StreamSender>,
    /// The direction from the other side.
    pub receiver: Box<dyn StreamReceiver>,
}

/// The sending half of a stream.
pub trait StreamSender: Send {
    /// Hands over `bytes`, waiting while the window is full.
    ///
    /// Ready once all of `bytes` is taken, which is then empty.
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>>;

    /// Says that nothing more will be sent. That the other side has stopped reading is no error here: it
    /// may have read all that it wants.
    fn finish(&mut self) -> Result<(), TransportError>;

    /// Says that nothing more will be sent, and waits until the other side has everything. Until then it
    /// takes memory here.
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Returns whether it is known that the other side reads no more.
    fn is_unwanted(&mut self) -> bool;

    /// Gives up: the other side sees a reset.
    fn reset(&mut self);
}

/// The receiving half of a stream.
pub trait StreamReceiver: Send {
    /// Fills the front of `pieces`; returns how many, and whether the stream has ended.
    fn poll_receive(
        &mut self,
        pieces: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool), TransportError>>;
}
