//! A budget of bytes in memory that addresses share.
//!
//! Whoever needs bytes joins with a ticket, and waits until they are granted. An address holds no more than its share. Of
//! those that wait, the address that holds the least comes first, then its peer that holds the least, then whoever was
//! granted something longest ago. A peer that was slow comes behind all others.
//!
//! ```text
//!   join(asker, need) ──> ByteTicket ──granted──> bytes, until the ticket is dropped
//!                            │                      │
//!                            │                      ├──set_stalled──> its turn is free; it may be evicted
//!                            │                      └──evicted──────> another waits, and nothing is free
//!                            └──dropped while it waits──> leaves no trace
//! ```
//!
//! One lock guards all state, and every change ends with the grants that it makes possible.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::state::State;
pub(crate) use self::state::{Bounds, Need};
use super::fair_semaphore::Asker;

/// The budget. Clones are the same budget.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget(Arc<Mutex<State>>);

/// A place in the queue, and the bytes once they are granted. Dropping it gives up either.
#[derive(Debug)]
pub(crate) struct ByteTicket {
    budget: ByteBudget,
    number: u64,
    asker: Asker,
    /// Told of the grant and of the eviction.
    signal: Arc<Notify>,
}

impl ByteBudget {
    /// Makes a budget in which nothing is held.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(State::new(bounds))))
    }

    /// Waits for bytes. Cancel safe: a dropped wait leaves no trace.
    pub(crate) async fn acquire(&self, asker: Asker, need: Need) -> ByteTicket {
        let ticket = self.join(asker, need);
        ticket.granted().await;
        ticket
    }

    /// Joins the queue, which has no bound of its own: whoever calls this has bounded it.
    pub(crate) fn join(&self, asker: Asker, need: Need) -> ByteTicket {
        let signal = Arc::new(Notify::new());
        let number = self.lock().join(asker, need, Arc::clone(&signal));
        ByteTicket { budget: self.clone(), number, asker, signal }
    }

    /// Returns how many bytes are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.lock().held()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteTicket {
    /// Waits until the bytes are granted. Cancel safe: the ticket keeps its place.
    pub(crate) async fn granted(&self) {
        while !self.budget.lock().is_granted(self.number) {
            self.signal.notified().await;
        }
    }

    /// Waits until others need the bytes. The ticket is to be dropped then. Cancel safe.
    pub(crate) async fn evicted(&self) {
        while !self.budget.lock().is_evicted(self.number) {
            self.signal.notified().await;
        }
    }

    /// Notes whether the receiver takes what it is sent. One that does not gives up its turn to send, and its bytes when
    /// others need them.
    pub(crate) fn set_stalled(&self, is_stalled: bool) {
        self.budget.lock().set_stalled(self.number, is_stalled);
    }

    /// Gives back what is held beyond `bytes`.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        self.budget.lock().shrink_to(self.number, bytes);
    }
}

impl Drop for ByteTicket {
    fn drop(&mut self) {
        self.budget.lock().leave(self.number, self.asker);
    }
}

#[cfg(test)]
mod tests;
