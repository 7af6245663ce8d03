//! Whose turn it is to be streamed to: a few at a time, in the order in which they came.
//!
//! A turn is kept to its end, however long that takes. So a peer that has one gets another only
//! while nobody waits that has none, and never the last one: whoever comes later would have to wait
//! for a receiver that may be slow with both.

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
pub(crate) struct StreamQueue {
    limit: usize,
    tickets: watch::Sender<Tickets>,
}

#[derive(Default)]
struct Tickets {
    next: u64,
    /// The places, in the order in which they came.
    held: BTreeMap<u64, Held>,
}

struct Held {
    peer_id: PeerId,
    has_turn: bool,
}

/// One place, waiting or in turn. It is given up by being dropped.
pub(crate) struct Place {
    limit: usize,
    ticket: u64,
    tickets: watch::Sender<Tickets>,
}

impl StreamQueue {
    /// A queue of which `limit` have their turn at a time.
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        Self { limit: limit.get(), tickets: watch::channel(Tickets::default()).0 }
    }

    /// Joins the end of the queue, unless it is full or the peer has too many places in it.
    pub(crate) fn join(&self, peer_id: PeerId) -> Option<Place> {
        let mut ticket = None;
        self.tickets.send_modify(|tickets| {
            let has_room = tickets.held.len() < self.limit.saturating_add(WAITING_MAX);
            let of_peer = tickets.held.values().filter(|held| held.peer_id == peer_id).count();
            if has_room && of_peer < PLACES_PER_PEER_MAX {
                tickets.held.insert(tickets.next, Held { peer_id, has_turn: false });
                ticket = Some(tickets.next);
                tickets.next += 1;
                tickets.give_turns(self.limit);
            }
        });
        ticket.map(|ticket| Place { limit: self.limit, ticket, tickets: self.tickets.clone() })
    }
}

impl Tickets {
    /// Gives the turns that are free.
    fn give_turns(&mut self, limit: usize) {
        loop {
            let mut turns: BTreeMap<PeerId, usize> = BTreeMap::new();
            for held in self.held.values().filter(|held| held.has_turn) {
                *turns.entry(held.peer_id).or_default() += 1;
            }
            let free = limit.saturating_sub(turns.values().sum());
            let turns_of = |held: &Held| turns.get(&held.peer_id).copied().unwrap_or_default();
            let waiting = self.held.values_mut().filter(|held| !held.has_turn);
            // The first of those whose peers have the fewest.
            let next = waiting.min_by_key(|held| turns_of(held));
            match next.filter(|held| free > usize::from(turns_of(held) > 0)) {
                Some(next) => next.has_turn = true,
                None => return,
            }
        }
    }
}

impl Place {
    /// How many come first, at most: some of them may be overtaken. 0 when it is this one's turn,
    /// which does not change any more then. It can only become less.
    pub(crate) fn position(&self) -> usize {
        let tickets = self.tickets.borrow();
        if tickets.held.get(&self.ticket).is_some_and(|held| held.has_turn) {
            return 0;
        }
        1 + tickets.held.range(..self.ticket).filter(|(_, held)| !held.has_turn).count()
    }

    /// Waits until the position is another than `known`.
    pub(crate) async fn moved(&self, known: usize) -> usize {
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
            tickets.give_turns(self.limit);
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

    fn positions<const N: usize>(places: [&Place; N]) -> [usize; N] {
        places.map(Place::position)
    }

    #[test]
    fn one_peer_does_not_take_every_turn() {
        let queue = queue(2);
        let join = |n| queue.join(peer(n)).unwrap();
        let (first, second, third) = (join(1), join(1), join(1));
        assert_eq!(positions([&first, &second, &third]), [0, 1, 2]);
        let other = join(2);
        assert_eq!(positions([&second, &third, &other]), [1, 2, 0]);
        let (late, later) = (join(3), join(2));
        assert_eq!(positions([&second, &third, &late, &later]), [1, 2, 3, 4]);
        // Those that have none come before those that have one, however long these have waited.
        drop(other);
        assert_eq!(positions([&second, &third, &late, &later]), [1, 2, 0, 3]);
        drop(late);
        assert_eq!(positions([&second, &third, &later]), [1, 2, 0]);
        drop(first);
        assert_eq!(positions([&second, &third, &later]), [0, 1, 0]);
    }

    #[test]
    fn a_peer_alone_has_all_turns_but_one() {
        let queue = queue(3);
        let join = |n| queue.join(peer(n)).unwrap();
        let own = [join(1), join(1), join(1)];
        assert_eq!(own.each_ref().map(Place::position), [0, 0, 1]);
        let others = [join(2), join(3)];
        assert_eq!(others.each_ref().map(Place::position), [0, 2]);
        let [first, second, third] = own;
        drop(first);
        assert_eq!(others.each_ref().map(Place::position), [0, 0]);
        drop(others);
        // Two of the three are free, and nobody else waits.
        assert_eq!(positions([&second, &third]), [0, 0]);
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
