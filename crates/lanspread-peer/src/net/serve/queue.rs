//! Whose turn it is to be streamed to: a few at a time, in the order in which they came.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use lanspread_proto::PeerId;
use tokio::sync::watch;

/// Most streams that wait beside those whose turn it is. A party has fewer peers that want one.
const WAITING_MAX: usize = 64;
/// Most places of one peer, so that one that asks for all games at once does not keep out the others.
const PLACES_PER_PEER_MAX: usize = 16;

/// The places of one source.
#[derive(Clone)]
pub(super) struct StreamQueue {
    limit: usize,
    tickets: watch::Sender<Tickets>,
}

#[derive(Default)]
struct Tickets {
    next: u64,
    /// Whose each place is, in the order in which they came.
    held: BTreeMap<u64, PeerId>,
}

/// One place, waiting or in turn. It is given up by being dropped.
pub(super) struct Place {
    limit: usize,
    ticket: u64,
    tickets: watch::Sender<Tickets>,
}

impl StreamQueue {
    /// A queue of which `limit` have their turn at a time.
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        Self { limit: limit.get(), tickets: watch::channel(Tickets::default()).0 }
    }

    /// Joins the end of the queue, unless it is full or the peer has too many places in it.
    pub(super) fn join(&self, peer_id: PeerId) -> Option<Place> {
        let mut ticket = None;
        self.tickets.send_modify(|tickets| {
            let has_room = tickets.held.len() < self.limit.saturating_add(WAITING_MAX);
            let of_peer = tickets.held.values().filter(|holder| **holder == peer_id).count();
            if has_room && of_peer < PLACES_PER_PEER_MAX {
                tickets.held.insert(tickets.next, peer_id);
                ticket = Some(tickets.next);
                tickets.next += 1;
            }
        });
        ticket.map(|ticket| Place { limit: self.limit, ticket, tickets: self.tickets.clone() })
    }
}

impl Place {
    /// How many come first; 0 when it is this one's turn. That does not change any more then: those
    /// before it can only become fewer.
    pub(super) fn position(&self) -> usize {
        let before = self.tickets.borrow().held.range(..self.ticket).count();
        (before + 1).saturating_sub(self.limit)
    }

    /// Waits until the position is another than `known`.
    pub(super) async fn moved(&self, known: usize) -> usize {
        let mut changes = self.tickets.subscribe();
        loop {
            let position = self.position();
            // The queue outlives its places, which hold its sender.
            if position != known || changes.changed().await.is_err() {
                return position;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tickets.send_modify(|tickets| {
            tickets.held.remove(&self.ticket);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(limit: usize) -> StreamQueue {
        StreamQueue::new(NonZeroUsize::new(limit).unwrap())
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    #[test]
    fn places_move_up_in_the_order_in_which_they_came() {
        let queue = queue(2);
        let mut places: Vec<_> = (0..5).map(|n| queue.join(peer(n)).unwrap()).collect();
        let positions = |places: &[Place]| places.iter().map(Place::position).collect::<Vec<_>>();
        assert_eq!(positions(&places), [0, 0, 1, 2, 3]);
        places.remove(1);
        assert_eq!(positions(&places), [0, 0, 1, 2]);
        places.remove(2);
        assert_eq!(positions(&places), [0, 0, 1]);
        places.clear();
        assert_eq!(queue.join(peer(9)).unwrap().position(), 0);
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
            (0..PLACES_PER_PEER_MAX).map(|_| queue.join(peer(1)).unwrap()).collect();
        assert!(queue.join(peer(1)).is_none());
        assert!(queue.join(peer(2)).is_some());
        drop(places);
        assert!(queue.join(peer(1)).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_every_move() {
        let queue = queue(1);
        let join = |n| queue.join(peer(n)).unwrap();
        let (first, second, third) = (join(1), join(2), join(3));
        let waiting = tokio::spawn(async move {
            let mut seen = vec![third.position()];
            while seen.last() != Some(&0) {
                seen.push(third.moved(*seen.last().unwrap()).await);
            }
            seen
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        drop(second);
        assert_eq!(waiting.await.unwrap(), [2, 1, 0]);
    }
}
