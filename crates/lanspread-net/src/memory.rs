//! A network in memory: the transport seam without sockets, certificates or time of its own.
//!
//! Ids are whatever a test says, as if certificates had proved them.

#![expect(clippy::indexing_slicing, reason = "only tests reach this")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::PeerId;
use tokio::sync::{Mutex, mpsc, watch};

use super::transport::{
    CloseCode, Connection, Dialer, NewConnection, Stream, StreamAcceptor, StreamReceiver,
    StreamSender, TransportError,
};

/// Returns both ends of a connection between `left` and `right`.
pub fn pair(left: PeerId, right: PeerId) -> (NewConnection, NewConnection) {
    let (to_right, from_left) = mpsc::unbounded_channel();
    let (to_left, from_right) = mpsc::unbounded_channel();
    let closed = Arc::new(watch::channel(None).0);
    let end = |peer_id, open, accepted, port| NewConnection {
        connection: Arc::new(MemoryConnection {
            peer_id,
            remote_addr: SocketAddr::from(([127, 0, 0, 1], port)),
            open,
            closed: Arc::clone(&closed),
        }),
        streams: Box::new(MemoryStreams { accepted, closed: closed.subscribe() }),
    };
    (end(right, to_right, from_right, 2), end(left, to_left, from_left, 1))
}

/// A dialer that gives out one connection.
pub struct OneDial(Mutex<Option<NewConnection>>);

impl OneDial {
    /// Gives out `connection` to whoever dials first.
    pub fn new(connection: NewConnection) -> Self {
        Self(Mutex::new(Some(connection)))
    }
}

impl Dialer for OneDial {
    fn dial(&self, _addr: SocketAddr) -> BoxFuture<'_, Result<NewConnection, TransportError>> {
        async move {
            let gone = || TransportError::Lost("nobody listens".to_owned());
            self.0.lock().await.take().ok_or_else(gone)
        }
        .boxed()
    }
}

struct MemoryConnection {
    peer_id: PeerId,
    remote_addr: SocketAddr,
    open: mpsc::UnboundedSender<Stream>,
    closed: Arc<watch::Sender<Option<CloseCode>>>,
}

impl Connection for MemoryConnection {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    fn exporter(&self) -> &[u8; 32] {
        &[7; 32]
    }

    fn sent_bytes(&self) -> u64 {
        0
    }

    fn open(&self) -> BoxFuture<'_, Result<Stream, TransportError>> {
        async move {
            if let Some(code) = *self.closed.borrow() {
                return Err(TransportError::ClosedByPeer(code));
            }
            let (near, far) = streams();
            self.open.send(far).map_err(|_| TransportError::Lost("gone".to_owned()))?;
            Ok(near)
        }
        .boxed()
    }

    fn close(&self, code: CloseCode) {
        self.closed.send_modify(|closed| {
            closed.get_or_insert(code);
        });
    }
}

struct MemoryStreams {
    accepted: mpsc::UnboundedReceiver<Stream>,
    closed: watch::Receiver<Option<CloseCode>>,
}

impl StreamAcceptor for MemoryStreams {
    fn accept(&mut self) -> BoxFuture<'_, Result<Stream, TransportError>> {
        async move {
            tokio::select! {
                biased;
                stream = self.accepted.recv() => {
                    stream.ok_or_else(|| TransportError::Lost("gone".to_owned()))
                }
                closed = self.closed.wait_for(Option::is_some) => {
                    let code = closed.ok().and_then(|code| *code).unwrap_or(CloseCode::Goodbye);
                    Err(TransportError::ClosedByPeer(code))
                }
            }
        }
        .boxed()
    }
}

fn streams() -> (Stream, Stream) {
    let (to_far, from_near) = mpsc::unbounded_channel();
    let (to_near, from_far) = mpsc::unbounded_channel();
    let half = |sender, receiver| Stream {
        sender: Box::new(MemorySender(Some(sender))),
        receiver: Box::new(MemoryReceiver(receiver)),
    };
    (half(to_far, from_far), half(to_near, from_near))
}

/// Sends pieces; `None` once finished or reset.
struct MemorySender(Option<mpsc::UnboundedSender<Result<Bytes, TransportError>>>);

impl StreamSender for MemorySender {
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        let piece = std::mem::take(bytes);
        let sent = self.0.as_ref().is_some_and(|sender| sender.send(Ok(piece)).is_ok());
        Poll::Ready(if sent { Ok(()) } else { Err(TransportError::Reset) })
    }

    fn finish(&mut self) -> Result<(), TransportError> {
        self.0 = None;
        Ok(())
    }

    fn poll_delivered(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(self.finish())
    }

    fn is_unwanted(&mut self) -> bool {
        self.0.as_ref().is_none_or(|sender| sender.is_closed())
    }

    fn reset(&mut self) {
        if let Some(sender) = self.0.take() {
            // A receiver that is gone needs no reset.
            let _ = sender.send(Err(TransportError::Reset));
        }
    }
}

struct MemoryReceiver(mpsc::UnboundedReceiver<Result<Bytes, TransportError>>);

impl StreamReceiver for MemoryReceiver {
    fn poll_receive(
        &mut self,
        pieces: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(usize, bool), TransportError>> {
        let Some(piece) = ready!(self.0.poll_recv(cx)).transpose()? else {
            return Poll::Ready(Ok((0, true)));
        };
        pieces[0] = piece;
        Poll::Ready(Ok((1, false)))
    }
}
