//! One connection whose requests are answered, and its own bounds.

use std::sync::Arc;
use std::time::Duration;

use lanspread_net::link::PeerLink;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::fair_semaphore::Asker;
use super::standing::Standing;

/// Most chunks that are in memory to be sent to one peer: the largest window of two downloads, so that
/// only a peer that does not keep to it waits.
pub(crate) const CHUNKS_PER_PEER_MAX: usize = 8;
/// Most headers of one peer that are being read. They come in one piece; only one that is held back waits for others that are.
pub(crate) const HEADERS_MAX: usize = 8;
/// How long a chunk waits until the one before it is on its way to the same peer. One stream at a time
/// is faster than several at once; below 4 MiB/s that is of no consequence, and there a chunk
/// must not wait so long that its asker takes the silence for the end.
pub(crate) const TURN_WAIT: Duration = Duration::from_millis(500);

/// The other side of a connection, which has one at a time with this peer.
pub(crate) struct Requester {
    pub(crate) link: Arc<PeerLink>,
    chunks: Semaphore,
    sending: Semaphore,
    receiving: Semaphore,
    /// Whether the peer takes what it is sent.
    pub(crate) standing: Standing,
    headers: Semaphore,
}

impl Requester {
    pub(crate) fn new(link: Arc<PeerLink>) -> Self {
        let [chunks, sending, receiving, headers] =
            [CHUNKS_PER_PEER_MAX, 1, 1, HEADERS_MAX].map(Semaphore::new);
        Self { link, chunks, sending, receiving, headers, standing: Standing::unknown() }
    }

    /// Returns whom fair semaphores count.
    pub(crate) fn asker(&self) -> Asker {
        Asker { addr: self.link.addr.ip().into(), peer: self.link.peer_id() }
    }

    /// Waits until another chunk may be in memory for this peer. Always a permit: nobody closes the semaphore.
    pub(crate) async fn chunk_in_memory(&self) -> Option<SemaphorePermit<'_>> {
        self.chunks.acquire().await.ok()
    }

    /// Waits for the turn to send a chunk to this peer; `None` after [`TURN_WAIT`], when it is sent beside the others.
    pub(crate) async fn turn_to_send(&self) -> Option<SemaphorePermit<'_>> {
        timeout(TURN_WAIT, self.sending.acquire()).await.ok()?.ok()
    }

    /// Waits until the header of another request may be read. Always a permit: nobody closes the semaphore.
    pub(crate) async fn turn_to_read_header(&self) -> Option<SemaphorePermit<'_>> {
        self.headers.acquire().await.ok()
    }

    /// Waits until the bytes behind a request may be read: those of one request at a time are in memory. Always a
    /// permit: nobody closes the semaphore.
    pub(crate) async fn turn_to_receive(&self) -> Option<SemaphorePermit<'_>> {
        self.receiving.acquire().await.ok()
    }
}
