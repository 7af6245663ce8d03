//! Room for the chunks that are being sent: so many at a time, to whoever's turn it is. While several
//! addresses wait, none gets more than half, however many identities it shows.
//!
//! Whoever waits too long for a place is told so, and comes again. Whoever has one and takes nothing
//! lets others go first.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lanspread_net::exchange::ExchangeError;
use lanspread_net::limit::RateLimit;
use lanspread_proto::CHUNK_SIZE_BYTES;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::fair_semaphore::{FairPermit, FairSemaphore, Order};
use super::requester::Requester;

/// Most chunks that are in memory to be sent, to all peers together: 128 MiB.
pub(crate) const CHUNKS_MAX: usize = 64;
/// How long a request waits for its place: a third of the silence after which its asker would give
/// up on this peer.
pub(crate) const SLOT_WAIT: Duration = Duration::from_secs(20);
/// How long one step of sending may take: as long as an asker waits for a whole chunk.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a receiver may take nothing before its place goes to another one. It loses nothing by it,
/// so that need not be long.
pub(crate) const STALL_WAIT: Duration = Duration::from_secs(1);

/// The places of one peer.
#[derive(Clone)]
pub(crate) struct SendSlots {
    turns: FairSemaphore,
    /// What is left of [`CHUNKS_MAX`]: for chunks whose receivers have stalled.
    beside: Arc<Semaphore>,
}

/// A chunk that may be in memory: in a place, or beside them.
pub(crate) struct SendSlot<'a> {
    slots: &'a SendSlots,
    turn: Option<FairPermit>,
    beside: Option<SemaphorePermit<'a>>,
    /// Counts for its peer. Nobody closes the semaphore, so it is always there.
    _of_peer: Option<SemaphorePermit<'a>>,
}

impl SendSlots {
    /// Makes as many slots as the limit fills.
    pub(crate) fn new(limit: Option<RateLimit>) -> Self {
        let places = limit.map_or(CHUNKS_MAX, chunks_at_once);
        let order = Order::TurnsWhileOthersWait(places.div_ceil(2));
        let beside = Arc::new(Semaphore::new(CHUNKS_MAX - places));
        Self { turns: FairSemaphore::new(places, order), beside }
    }

    /// Waits for a place.
    pub(crate) async fn acquire<'a>(&'a self, requester: &'a Requester) -> SendSlot<'a> {
        let of_peer = requester.chunk_in_memory().await;
        let turn = Some(self.turns.acquire(requester.asker()).await);
        SendSlot { slots: self, turn, beside: None, _of_peer: of_peer }
    }
}

impl SendSlot<'_> {
    /// Waits for a step of sending.
    ///
    /// # Errors
    /// [`ExchangeError::Silent`] when it takes too long; what `send` fails with.
    pub(crate) async fn hold_for<E: Into<ExchangeError>>(
        &mut self,
        send: impl Future<Output = Result<(), E>>,
    ) -> Result<(), ExchangeError> {
        let mut send = pin!(send);
        if let Ok(sent) = timeout(STALL_WAIT, send.as_mut()).await {
            return sent.map_err(Into::into);
        }
        if self.beside.is_none()
            && let Ok(beside) = self.slots.beside.try_acquire()
        {
            (self.beside, self.turn) = (Some(beside), None);
        }
        match timeout(STEP_TIMEOUT - STALL_WAIT, send).await {
            Ok(sent) => sent.map_err(Into::into),
            Err(_) => Err(ExchangeError::Silent),
        }
    }
}

/// Returns how many chunks are sent at once under a limit: as many as it lets through in two seconds, so that
/// each of them arrives before its asker gives up on it.
fn chunks_at_once(limit: RateLimit) -> usize {
    let chunks = 2 * limit.bytes_per_second() / CHUNK_SIZE_BYTES;
    usize::try_from(chunks).unwrap_or(CHUNKS_MAX).clamp(1, CHUNKS_MAX)
}
