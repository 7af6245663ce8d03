//! The memory of all answers: one budget, which addresses share.
//!
//! Chunks, pages, sets of pieces and deltas count from before they are read or made until they have arrived. A receiver
//! that takes nothing gives up its turn to send after a second, and its memory when others need it.

use std::pin::pin;
use std::time::Duration;

use lanspread_net::exchange::ExchangeError;
use lanspread_net::limit::RateLimit;
use lanspread_proto::CHUNK_SIZE_BYTES;
use lanspread_proto::limits::PAGE_MAX_BYTES;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep};

use super::byte_budget::{Bounds, ByteBudget, ByteTicket, Need};
use super::requester::Requester;

/// Most bytes of answers in memory: six times the share of an address, so that four hostile addresses leave a third.
pub(crate) const ANSWER_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Most bytes of answers to one address: the chunks of one peer, or 64 pages.
pub(crate) const ANSWER_BYTES_PER_ADDRESS_MAX: usize = 16 * 1024 * 1024;
/// What a request for chunks takes until it is known how much it needs.
pub(crate) const CHUNK_BYTES: usize = CHUNK_SIZE_BYTES as usize;
/// Most chunks that are sent at once: as many as there is memory for.
pub(crate) const CHUNKS_AT_ONCE_MAX: usize = ANSWER_BYTES_MAX / CHUNK_BYTES;
/// How long a request for chunks or a page of a game waits for its memory: a third of the silence after which its asker
/// would give up on this peer.
pub(crate) const ROOM_WAIT: Duration = Duration::from_secs(20);
/// How long whoever tells what it fetches, or that a chunk came wrong, waits for the memory of the answer: less than its
/// patience. It comes again.
pub(crate) const SHORT_ROOM_WAIT: Duration = Duration::from_secs(3);
/// How long a receiver is not looked at. Who takes less than [`STALL_BYTES`] in this time has stalled: it gives up its
/// turn to send. It loses nothing by that, so it need not be long.
pub(crate) const STALL_WAIT: Duration = Duration::from_secs(1);
/// See [`STALL_WAIT`]. Below a sixth of what each of 48 chunks gets of a 100 Mbit/s link.
pub(crate) const STALL_BYTES: u64 = 32 * 1024;
/// How long a receiver may be stalled without a pause before what it was sent is reset.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);
/// How long one step of sending may take: as long as an asker waits for a whole chunk.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The budget of one peer. Clones share it.
#[derive(Clone)]
pub(crate) struct Answers(ByteBudget);

/// Memory for one answer.
pub(crate) struct AnswerRoom<'a> {
    requester: &'a Requester,
    ticket: ByteTicket,
    /// Counts the chunks of a peer. Nobody closes the semaphore, so it is there for every chunk.
    _of_peer: Option<SemaphorePermit<'a>>,
}

impl Answers {
    /// Makes the budget, with as many turns to send chunks as the upload limit fills.
    pub(crate) fn new(limit: Option<RateLimit>) -> Self {
        Self(ByteBudget::new(Bounds {
            total: ANSWER_BYTES_MAX,
            per_address: ANSWER_BYTES_PER_ADDRESS_MAX,
            leaves_room: false,
            turns: limit.map(chunks_at_once),
        }))
    }

    /// Waits until a request for chunks may be answered. Cancel safe.
    pub(crate) async fn chunks<'a>(&self, requester: &'a Requester) -> AnswerRoom<'a> {
        let _of_peer = requester.chunk_in_memory().await;
        let ticket = self.ticket(requester, CHUNK_BYTES, true).await;
        AnswerRoom { requester, ticket, _of_peer }
    }

    /// Waits until a page may be sent that the upload limit holds up. Cancel safe.
    pub(crate) async fn page_in_turn<'a>(&self, requester: &'a Requester) -> AnswerRoom<'a> {
        let ticket = self.ticket(requester, PAGE_MAX_BYTES, true).await;
        AnswerRoom { requester, ticket, _of_peer: None }
    }

    /// Waits until a page may be in memory. Cancel safe.
    pub(crate) async fn page<'a>(&self, requester: &'a Requester) -> AnswerRoom<'a> {
        self.bytes(requester, PAGE_MAX_BYTES).await
    }

    /// Waits until so many bytes may be in memory. Cancel safe.
    pub(crate) async fn bytes<'a>(&self, requester: &'a Requester, bytes: usize) -> AnswerRoom<'a> {
        let ticket = self.ticket(requester, bytes, false).await;
        AnswerRoom { requester, ticket, _of_peer: None }
    }

    async fn ticket(&self, requester: &Requester, bytes: usize, is_turn: bool) -> ByteTicket {
        let need = Need { bytes, is_turn, standing: Some(requester.standing.clone()) };
        self.0.acquire(requester.asker(), need).await
    }

    /// Returns how many bytes of answers are in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.held()
    }
}

impl AnswerRoom<'_> {
    /// Gives back what an answer of `bytes` does not need.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        self.ticket.shrink_to(bytes);
    }

    /// Waits for a step of sending.
    ///
    /// # Errors
    /// [`ExchangeError::Silent`] when it takes too long, or when the receiver takes nothing and others need the memory;
    /// what `send` fails with.
    pub(crate) async fn hold_for<E: Into<ExchangeError>>(
        &self,
        send: impl Future<Output = Result<(), E>>,
    ) -> Result<(), ExchangeError> {
        let mut send = pin!(send);
        let (began, mut stalled_since) = (Instant::now(), None);
        loop {
            let (at, before) = (Instant::now(), self.requester.link.sent_bytes());
            tokio::select! {
                biased;
                sent = send.as_mut() => {
                    self.note_stalled(&mut stalled_since, false, at);
                    return sent.map_err(Into::into);
                }
                () = self.ticket.evicted() => break,
                () = sleep(STALL_WAIT) => {}
            }
            let taken = self.requester.link.sent_bytes().saturating_sub(before);
            self.note_stalled(&mut stalled_since, taken < STALL_BYTES, at);
            let is_given_up = stalled_since.is_some_and(|since| since.elapsed() >= STALL_MAX);
            if is_given_up || began.elapsed() >= STEP_TIMEOUT {
                break;
            }
        }
        self.requester.standing.set(false);
        Err(ExchangeError::Silent)
    }

    /// Notes that the answer has arrived.
    pub(crate) fn arrived(self) {
        self.requester.standing.set(true);
    }

    /// Notes whether the receiver is stalled, which it is `since` then and otherwise not.
    fn note_stalled(&self, since: &mut Option<Instant>, is_stalled: bool, at: Instant) {
        if is_stalled == since.is_some() {
            return;
        }
        *since = is_stalled.then_some(at);
        self.ticket.set_stalled(is_stalled);
        self.requester.standing.set(!is_stalled);
    }
}

/// Returns how many chunks are sent at once under a limit: as many as it lets through in two seconds, so that each of them
/// arrives before its asker gives up on it.
fn chunks_at_once(limit: RateLimit) -> usize {
    let chunks = 2 * limit.bytes_per_second() / CHUNK_SIZE_BYTES;
    usize::try_from(chunks).unwrap_or(CHUNKS_AT_ONCE_MAX).clamp(1, CHUNKS_AT_ONCE_MAX)
}
