//! Whose turn it is to be streamed to: a few at a time, in the order in which they came.
//!
//! A turn is kept to its end, however long that takes. So a peer that has one gets another only
//! while nobody waits that has none, and never the last one: whoever comes later would have to wait
//! for a receiver that may be slow with both.

use std::num::NonZeroUsize;

use super::fair_semaphore::{Asker, FairSemaphore, Order, QueueTicket};

/// Most streams that wait beside those whose turn it is. A party has fewer peers that want one.
pub(crate) const WAITING_MAX: usize = 64;
/// Most places of one peer, so that one that asks for all games at once does not keep out the others.
pub(crate) const TICKETS_PER_PEER_MAX: usize = 16;

/// The places of one source.
#[derive(Clone)]
pub(crate) struct StreamQueue {
    limit: usize,
    turns: FairSemaphore,
}

impl StreamQueue {
    /// Makes a queue of which `limit` have their turn at a time.
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        Self { limit: limit.get(), turns: FairSemaphore::new(limit.get(), Order::FewestHeldFirst) }
    }

    /// Joins the end of the queue, unless it is full or the peer has too many places in it.
    pub(crate) fn join(&self, asker: Asker) -> Option<QueueTicket> {
        let tickets_max = self.limit.saturating_add(WAITING_MAX);
        self.turns.join_within(asker, tickets_max, TICKETS_PER_PEER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::PeerId;

    use super::*;

    fn queue(limit: usize) -> StreamQueue {
        StreamQueue::new(NonZeroUsize::new(limit).unwrap())
    }

    fn peer(n: u8) -> Asker {
        Asker { addr: [10, 0, 0, 1].into(), peer: PeerId::from_public_key(&[n]) }
    }

    #[test]
    fn places_move_up_in_the_order_in_which_they_came() {
        let queue = queue(2);
        let mut places: Vec<_> = (0..5).map(|n| queue.join(peer(n)).unwrap()).collect();
        let positions = |places: &[QueueTicket]| {
            places.iter().map(|place| place.position().0).collect::<Vec<_>>()
        };
        assert_eq!(positions(&places), [0, 0, 1, 2, 3]);
        places.remove(1);
        assert_eq!(positions(&places), [0, 0, 1, 2]);
        places.remove(2);
        assert_eq!(positions(&places), [0, 0, 1]);
        places.clear();
        assert!(queue.join(peer(9)).unwrap().position().is_granted());
    }

    #[test]
    fn the_queue_is_bounded() {
        let queue = queue(1);
        let places: Vec<_> =
            (0..=WAITING_MAX).map(|n| queue.join(peer(n as u8)).unwrap()).collect();
        assert!(queue.join(peer(99)).is_none());
        drop(places);
        assert!(queue.join(peer(99)).is_some());
    }

    #[test]
    fn one_peer_does_not_keep_out_the_others() {
        let queue = queue(1);
        let places: Vec<_> =
            (0..TICKETS_PER_PEER_MAX).map(|_| queue.join(peer(1)).unwrap()).collect();
        assert!(queue.join(peer(1)).is_none());
        assert!(queue.join(peer(2)).is_some());
        drop(places);
        assert!(queue.join(peer(1)).is_some());
    }
}
