//! Whose turn it is to be streamed to: a few at a time. Addresses take turns, and their peers in the order in which they came.
//!
//! A turn is kept to its end, however long that takes, unless its receiver takes little while others wait. So a peer that has one gets another only
//! while nobody waits that has none, and never the last one: whoever comes later would have to wait
//! for a receiver that may be slow with both.

use super::fair_semaphore::{Asker, FairSemaphore, Order, QueueTicket, TicketsMax};

/// Most streams that wait beside those whose turn it is: five times the share of an address, so that four hostile addresses
/// keep out nobody.
pub(crate) const WAITING_MAX: usize = 320;
/// Most places of one address. A party in one IPv6 network has fewer peers that want one.
pub(crate) const TICKETS_PER_ADDRESS_MAX: usize = 64;
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
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, turns: FairSemaphore::new(limit, Order::FewestHeldFirst) }
    }

    /// Joins the end of the queue, unless it is full or the peer has too many places in it.
    pub(crate) fn join(&self, asker: Asker) -> Option<QueueTicket> {
        let in_all = self.limit.saturating_add(WAITING_MAX);
        let (of_address, of_peer) = (TICKETS_PER_ADDRESS_MAX, TICKETS_PER_PEER_MAX);
        self.turns.join_within(asker, TicketsMax { in_all, of_address, of_peer })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use lanspread_proto::PeerId;

    use super::*;

    fn queue(limit: usize) -> StreamQueue {
        StreamQueue::new(limit)
    }

    fn peer(n: u8) -> Asker {
        Asker { addr: IpAddr::from([10, 0, 0, n]).into(), peer: PeerId::from_public_key(&[n]) }
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
        let at = |host: usize, n: usize| {
            let [host, ..] = host.to_le_bytes();
            let peer = PeerId::from_public_key(&n.to_le_bytes());
            Asker { addr: IpAddr::from([10, 0, 1, host]).into(), peer }
        };
        let mut places = Vec::new();
        for host in 0..4 {
            for n in 0..TICKETS_PER_ADDRESS_MAX {
                places.push(queue.join(at(host, n)).unwrap());
            }
            assert!(queue.join(at(host, TICKETS_PER_ADDRESS_MAX)).is_none());
        }
        let honest = queue.join(at(9, 1)).unwrap();
        places.remove(0);
        places.remove(0);
        // However many came before, its address comes next after those that have waited as long.
        for _ in 0..3 {
            let turn = places.iter().position(|place| place.position().is_granted());
            places.remove(turn.unwrap());
        }
        assert!(honest.position().is_granted());
        for n in 0..WAITING_MAX - places.len() {
            places.push(queue.join(at(10 + n / 50, n)).unwrap());
        }
        assert!(queue.join(at(99, 1)).is_none());
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
