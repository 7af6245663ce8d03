//! Room that several peers share by turns.
//!
//! Like a semaphore, but whoever waits is let in peer by peer and not in the order of arrival: a
//! peer with many requests waits no shorter than one with a single one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use lanspread_proto::PeerId;
use tokio::sync::oneshot;

/// The room. Clones are the same room.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: BTreeMap<PeerId, VecDeque<oneshot::Sender<Turn>>>,
    /// Who was let in last.
    last: Option<PeerId>,
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Turns>);

impl Turns {
    /// Room for `places` at once.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, waiting: BTreeMap::new(), last: None })))
    }

    /// Waits for a place. Cancel safe.
    pub(crate) async fn take(&self, peer: PeerId) -> Turn {
        let (let_in, turn) = oneshot::channel();
        self.change(|state| {
            let queue = state.waiting.entry(peer).or_default();
            queue.retain(|waiting| !waiting.is_closed());
            queue.push_back(let_in);
        });
        // The sender is only ever dropped after it has sent.
        turn.await.unwrap_or(Turn(None))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        while state.free > 0
            && let Some(let_in) = state.next()
        {
            match let_in.send(Turn(Some(self.clone()))) {
                Ok(()) => state.free -= 1,
                // Whoever waited is gone; giving the place back would lock once more.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl State {
    /// The next one that waits, of the peer whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let following = self.waiting.range((after, Bound::Unbounded)).next();
            let peer = *following.or_else(|| self.waiting.first_key_value())?.0;
            self.last = Some(peer);
            let queue = self.waiting.get_mut(&peer)?;
            // Who has stopped waiting takes no turn from one who came after him.
            queue.retain(|waiting| !waiting.is_closed());
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&peer);
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.change(|state| state.free += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    #[tokio::test]
    async fn peers_take_turns_however_much_each_wants() {
        let turns = Turns::new(1);
        let first = turns.take(peer(9)).await;
        let mut waiting: Vec<_> =
            [1, 1, 1, 1, 2, 2, 3].map(|n| (n, Box::pin(turns.take(peer(n))))).into_iter().collect();
        for (_, turn) in &mut waiting {
            assert!(poll!(turn).is_pending());
        }
        drop(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            for at in 0..waiting.len() {
                if poll!(&mut waiting[at].1).is_ready() {
                    order.push(waiting.remove(at).0);
                    break;
                }
            }
        }
        let firsts: std::collections::BTreeSet<_> = order[..3].iter().collect();
        assert_eq!(firsts.len(), 3, "{order:?}");
        assert_eq!(order[5..], [1, 1], "{order:?}");
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_place() {
        let turns = Turns::new(1);
        let first = turns.take(peer(1)).await;
        let mut gone = Box::pin(turns.take(peer(2)));
        let mut late = Box::pin(turns.take(peer(3)));
        assert!(poll!(&mut gone).is_pending());
        assert!(poll!(&mut late).is_pending());
        drop(gone);
        drop(first);
        drop(late.await);
        // Let in, but dropped before it was told.
        let first = turns.take(peer(1)).await;
        let mut gone = Box::pin(turns.take(peer(2)));
        assert!(poll!(&mut gone).is_pending());
        drop(first);
        drop(gone);
        turns.take(peer(3)).await;
    }

    #[tokio::test]
    async fn who_stops_waiting_and_waits_anew_does_not_lose_his_turn() {
        let (a, b) = (peer(1).min(peer(2)), peer(1).max(peer(2)));
        let turns = Turns::new(1);
        // The turn of `a` is after that of `b`.
        let first = turns.take(b).await;
        let mut of_b = Box::pin(turns.take(b));
        assert!(poll!(&mut of_b).is_pending());
        let mut given_up: Vec<_> = (0..2).map(|_| Box::pin(turns.take(a))).collect();
        let mut of_a = Box::pin(turns.take(a));
        for waiting in given_up.iter_mut().chain([&mut of_a]) {
            assert!(poll!(waiting).is_pending());
        }
        drop(given_up);
        drop(first);
        assert!(poll!(&mut of_b).is_pending());
        assert!(poll!(&mut of_a).is_ready());
    }
}
