//! Room that several peers share by turns.
//!
//! Like a semaphore, but whoever waits is let in by turns and not in the order of arrival: first address by
//! address, then peer by peer of an address. So a peer with many requests waits no shorter than one with a
//! single one, and many identities of one machine get no more than one.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use lanspread_net::link::PeerLink;
use lanspread_proto::PeerId;
use tokio::sync::oneshot;

/// The room. Clones are the same room.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

/// How much of the room one address gets at most.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// So many places, while another address waits.
    WhileOthersWait(usize),
    /// So many places, whoever waits.
    Always(usize),
}

/// Who wants a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub addr: IpAddr,
    pub peer: PeerId,
}

impl Asker {
    pub(crate) fn of(link: &PeerLink) -> Self {
        Self { addr: link.addr.ip(), peer: link.peer_id() }
    }
}

#[derive(Debug)]
struct State {
    free: usize,
    share: Share,
    waiting: BTreeMap<IpAddr, Queue>,
    /// How many places each address has. An address without one is not in it.
    held: BTreeMap<IpAddr, usize>,
    /// Which address was let in last.
    last: Option<IpAddr>,
}

/// Those of one address that wait; none is empty.
#[derive(Debug, Default)]
struct Queue {
    peers: BTreeMap<PeerId, VecDeque<oneshot::Sender<Turn>>>,
    /// Which peer was let in last.
    last: Option<PeerId>,
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<(Turns, IpAddr)>);

impl Turns {
    /// Room for `places` holders. With [`Share::WhileOthersWait`], twice the share must be at least `places`,
    /// or places stay free while peers wait.
    pub(crate) fn new(places: usize, share: Share) -> Self {
        let (waiting, held) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { free: places, share, waiting, held, last: None })))
    }

    /// Waits for a place. Cancel safe.
    pub(crate) async fn take(&self, asker: Asker) -> Turn {
        let (let_in, turn) = oneshot::channel();
        self.change(|state| {
            let queue = state.waiting.entry(asker.addr).or_default();
            let queue = queue.peers.entry(asker.peer).or_default();
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
            && let Some((addr, let_in)) = state.next()
        {
            match let_in.send(Turn(Some((self.clone(), addr)))) {
                Ok(()) => {
                    state.free -= 1;
                    *state.held.entry(addr).or_default() += 1;
                }
                // Whoever waited is gone; giving the place back would lock once more.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl State {
    /// The next one that waits, of the address and the peer whose turn it is.
    fn next(&mut self) -> Option<(IpAddr, oneshot::Sender<Turn>)> {
        loop {
            let addr = self.next_addr()?;
            self.last = Some(addr);
            let queue = self.waiting.get_mut(&addr)?;
            let next = queue.next();
            if queue.peers.is_empty() {
                self.waiting.remove(&addr);
            }
            if let Some(next) = next {
                return Some((addr, next));
            }
        }
    }

    /// The address whose turn it is, of those that wait and have not got their share.
    fn next_addr(&self) -> Option<IpAddr> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let following = self.waiting.range((after, Bound::Unbounded));
        let mut in_turn = following.chain(&self.waiting).map(|(addr, _)| *addr);
        in_turn.find(|addr| {
            let held = self.held.get(addr).copied().unwrap_or(0);
            match self.share {
                Share::WhileOthersWait(most) => held < most || self.waiting.len() == 1,
                Share::Always(most) => held < most,
            }
        })
    }

    fn give_back(&mut self, addr: IpAddr) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(&addr) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&addr);
            }
        }
    }
}

impl Queue {
    /// The next one that waits, of the peer whose turn it is; none where all have stopped waiting.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let following = self.peers.range((after, Bound::Unbounded)).next();
            let peer = *following.or_else(|| self.peers.first_key_value())?.0;
            self.last = Some(peer);
            let queue = self.peers.get_mut(&peer)?;
            // Who has stopped waiting takes no turn from one who came after him.
            queue.retain(|waiting| !waiting.is_closed());
            let next = queue.pop_front();
            if queue.is_empty() {
                self.peers.remove(&peer);
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, addr)) = self.0.take() {
            turns.change(|state| state.give_back(addr));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const ALL: Share = Share::WhileOthersWait(1);

    fn peer(n: u8) -> Asker {
        Asker { addr: IpAddr::from([10, 0, 0, 1]), peer: PeerId::from_public_key(&[n]) }
    }

    fn at(addr: u8, n: u8) -> Asker {
        Asker { addr: IpAddr::from([10, 0, 0, addr]), ..peer(n) }
    }

    #[tokio::test]
    async fn peers_take_turns_however_much_each_wants() {
        let turns = Turns::new(1, ALL);
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
    async fn many_identities_of_one_address_get_no_more_than_one() {
        let turns = Turns::new(8, Share::WhileOthersWait(4));
        let mut of_one = Vec::new();
        for n in 0..8 {
            of_one.push(turns.take(at(1, n)).await);
        }
        let mut more: Vec<_> = (8..40).map(|n| Box::pin(turns.take(at(1, n)))).collect();
        for turn in &mut more {
            assert!(poll!(turn).is_pending());
        }
        let mut honest: Vec<_> = (0..4).map(|_| Box::pin(turns.take(at(2, 100)))).collect();
        for turn in &mut honest {
            assert!(poll!(turn).is_pending(), "every place is taken");
        }
        // The next places that come free go to the other address, until it has its share.
        let mut let_in = Vec::new();
        for turn in &mut honest {
            of_one.pop();
            let std::task::Poll::Ready(turn) = poll!(turn) else {
                panic!("the others were let in")
            };
            let_in.push(turn);
        }
        for turn in &mut more {
            assert!(poll!(turn).is_pending(), "an address has more than its share");
        }
        // Nobody else waits any more, so that nothing stays free.
        of_one.pop();
        let mut ready = 0;
        for turn in &mut more {
            ready += usize::from(poll!(turn).is_ready());
        }
        assert_eq!(ready, 1);
    }

    #[tokio::test]
    async fn a_share_that_always_holds_is_never_exceeded() {
        let turns = Turns::new(8, Share::Always(2));
        let one = turns.take(at(1, 1)).await;
        let _two = turns.take(at(1, 2)).await;
        let mut three = Box::pin(turns.take(at(1, 3)));
        assert!(poll!(&mut three).is_pending());
        let _other = turns.take(at(2, 1)).await;
        drop(one);
        assert!(poll!(&mut three).is_ready());
    }

    #[tokio::test]
    async fn an_address_that_stops_waiting_leaves_the_room_to_the_others() {
        let turns = Turns::new(2, Share::WhileOthersWait(1));
        let one = turns.take(at(1, 1)).await;
        let _two = turns.take(at(1, 1)).await;
        let mut more = Box::pin(turns.take(at(1, 2)));
        let mut gone = Box::pin(turns.take(at(2, 1)));
        assert!(poll!(&mut more).is_pending());
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        drop(one);
        assert!(poll!(&mut more).is_ready());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_place() {
        let turns = Turns::new(1, ALL);
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
        let (mut a, mut b) = (peer(1), peer(2));
        if a.peer > b.peer {
            std::mem::swap(&mut a, &mut b);
        }
        let turns = Turns::new(1, ALL);
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
