//! Bounds the pages that are on their way to others.

use tokio::time::timeout;

use super::fair_semaphore::{Asker, FairPermit, FairSemaphore, Order};
use super::send_slots::SLOT_WAIT;

/// Most pages that are on their way, to all peers together: 64 MiB.
pub(crate) const PAGES_MAX: usize = 256;
/// Most of them to one address: 16 MiB, so that others get some as well.
pub(crate) const PAGES_PER_ADDRESS_MAX: usize = 64;
/// Gives out permits for pages. Clones share everything.
#[derive(Clone)]
pub(crate) struct PageSlots(FairSemaphore);

impl PageSlots {
    pub(crate) fn new() -> Self {
        Self(FairSemaphore::new(PAGES_MAX, Order::TurnsAtMost(PAGES_PER_ADDRESS_MAX)))
    }

    /// Waits until a page may be on its way to a peer; `None` after [`SLOT_WAIT`]. Cancel safe.
    pub(crate) async fn acquire(&self, asker: Asker) -> Option<FairPermit> {
        timeout(SLOT_WAIT, self.0.acquire(asker)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::PeerId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_leaves_room_for_others() {
        let pages = PageSlots::new();
        let at =
            |host| Asker { addr: [10, 0, 0, host].into(), peer: PeerId::from_public_key(&[host]) };
        let greedy = at(1);
        let mut held = Vec::new();
        for _ in 0..PAGES_PER_ADDRESS_MAX {
            held.push(pages.acquire(greedy).await.unwrap());
        }
        assert!(pages.acquire(greedy).await.is_none());
        assert!(pages.acquire(at(2)).await.is_some());
        held.pop();
        assert!(pages.acquire(greedy).await.is_some());
    }
}
