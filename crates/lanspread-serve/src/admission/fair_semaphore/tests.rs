use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;

const ONE_EACH: Order = Order::TurnsWhileOthersWait(1);

fn at(addr: u8, peer: u8) -> Asker {
    Asker { addr: IpAddr::from([10, 0, 0, addr]).into(), peer: PeerId::from_public_key(&[peer]) }
}

fn peer(n: u8) -> Asker {
    at(1, n)
}

fn is_granted(ticket: &QueueTicket) -> bool {
    ticket.position().is_granted()
}

fn positions<const N: usize>(tickets: [&QueueTicket; N]) -> [usize; N] {
    tickets.map(|ticket| ticket.position().0)
}

/// Drops the holder, and every one that follows it; returns the labels in the order of the grants.
fn grant_all<T: Clone>(holder: QueueTicket, mut waiting: Vec<(T, QueueTicket)>) -> Vec<T> {
    let (mut holder, mut order) = (holder, Vec::new());
    while !waiting.is_empty() {
        drop(holder);
        let next = waiting.iter().position(|(_, ticket)| is_granted(ticket)).unwrap();
        let (label, ticket) = waiting.remove(next);
        order.push(label);
        holder = ticket;
    }
    order
}

#[test]
fn peers_take_turns_however_much_each_wants() {
    let semaphore = FairSemaphore::new(1, ONE_EACH);
    let first = semaphore.join(peer(9));
    let waiting = [1, 1, 1, 1, 2, 2, 3].map(|n| (n, semaphore.join(peer(n)))).into();
    let order = grant_all(first, waiting);
    assert_eq!(order[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{order:?}");
    assert_eq!(order[5..], [1, 1], "{order:?}");
}

#[test]
fn many_identities_of_one_address_get_no_more_than_one() {
    let semaphore = FairSemaphore::new(8, Order::TurnsWhileOthersWait(4));
    let mut of_one: Vec<_> = (0..8).map(|n| semaphore.join(at(1, n))).collect();
    assert!(of_one.iter().all(is_granted), "nobody else waits");
    let more: Vec<_> = (8..40).map(|n| semaphore.join(at(1, n))).collect();
    let honest: Vec<_> = (0..4).map(|_| semaphore.join(at(2, 100))).collect();
    // The next permits that come free go to the other address, until it has its share.
    for granted in 1..=4 {
        of_one.pop();
        assert_eq!(honest.iter().filter(|ticket| is_granted(ticket)).count(), granted);
        assert!(!more.iter().any(is_granted), "an address has more than its share");
    }
    // Nobody else waits any more, so that nothing stays free.
    of_one.pop();
    assert_eq!(more.iter().filter(|ticket| is_granted(ticket)).count(), 1);
}

#[test]
fn an_address_that_stops_waiting_leaves_the_permits_to_the_others() {
    let semaphore = FairSemaphore::new(2, ONE_EACH);
    let (one, _two) = (semaphore.join(at(1, 1)), semaphore.join(at(1, 1)));
    let (more, gone) = (semaphore.join(at(1, 2)), semaphore.join(at(2, 1)));
    assert!(!is_granted(&more) && !is_granted(&gone));
    drop((gone, one));
    assert!(is_granted(&more));
}

#[tokio::test]
async fn a_dropped_wait_leaves_no_trace() {
    let semaphore = FairSemaphore::new(1, ONE_EACH);
    let first = semaphore.acquire(peer(1)).await;
    {
        let mut gone = Box::pin(semaphore.acquire(peer(2)));
        assert!((&mut gone).now_or_never().is_none());
        assert_eq!(semaphore.lock().tickets(|_| true), 2);
    }
    assert_eq!(semaphore.lock().tickets(|_| true), 1);
    // Granted, but dropped before it hears of that.
    let mut gone = Box::pin(semaphore.acquire(peer(2)));
    assert!((&mut gone).now_or_never().is_none());
    drop(first);
    drop(gone);
    assert!(semaphore.acquire(peer(3)).now_or_never().is_some());
    assert_eq!(semaphore.lock().tickets(|_| true), 0);
}

#[test]
fn a_peer_that_waits_anew_does_not_lose_its_turn() {
    let (mut a, mut b) = (peer(1), peer(2));
    if a.peer > b.peer {
        std::mem::swap(&mut a, &mut b);
    }
    let semaphore = FairSemaphore::new(1, ONE_EACH);
    // The turn of `a` is after that of `b`.
    let first = semaphore.join(b);
    let of_b = semaphore.join(b);
    let given_up = [semaphore.join(a), semaphore.join(a)];
    let of_a = semaphore.join(a);
    drop(given_up);
    drop(first);
    assert!(is_granted(&of_a) && !is_granted(&of_b));
}

#[test]
fn one_address_does_not_get_every_long_permit() {
    let semaphore = FairSemaphore::new(2, Order::FewestHeldFirst);
    let join = |n| semaphore.join(at(n, n));
    let (first, second, third) = (join(1), join(1), join(1));
    assert_eq!(positions([&first, &second, &third]), [0, 1, 2]);
    let other = join(2);
    assert_eq!(positions([&second, &third, &other]), [1, 2, 0]);
    let (late, later) = (join(3), join(2));
    assert_eq!(positions([&second, &third, &late, &later]), [1, 2, 3, 4]);
    // Addresses that hold none come before those that hold one, however long these have waited.
    drop(other);
    assert_eq!(positions([&second, &third, &late, &later]), [1, 2, 0, 3]);
    drop(late);
    assert_eq!(positions([&second, &third, &later]), [1, 2, 0]);
    drop(first);
    assert_eq!(positions([&second, &third, &later]), [0, 1, 0]);
}

#[test]
fn an_address_alone_gets_all_long_permits_but_one() {
    let semaphore = FairSemaphore::new(3, Order::FewestHeldFirst);
    let join = |n| semaphore.join(at(n, n));
    let [first, second, third] = [join(1), join(1), join(1)];
    assert_eq!(positions([&first, &second, &third]), [0, 0, 1]);
    let others = [join(2), join(3)];
    assert_eq!(positions(others.each_ref()), [0, 2]);
    drop(first);
    assert_eq!(positions(others.each_ref()), [0, 0]);
    drop(others);
    // Two of the three are free, and nobody else waits.
    assert_eq!(positions([&second, &third]), [0, 0]);
}

#[test]
fn many_peers_of_one_address_leave_the_last_long_permit() {
    let semaphore = FairSemaphore::new(2, Order::FewestHeldFirst);
    let many: Vec<_> = (0..9).map(|n| semaphore.join(at(1, n))).collect();
    assert_eq!(many.iter().filter(|ticket| is_granted(ticket)).count(), 1);
    assert!(is_granted(&semaphore.join(at(2, 9))));
    // The peers of an IPv6 network may be a whole party.
    let semaphore = FairSemaphore::new(2, Order::FewestHeldFirst);
    let of_network = |n: u8| {
        let addr = std::net::IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n.into()]).into();
        semaphore.join(Asker { addr, ..peer(n) })
    };
    assert!([of_network(1), of_network(2)].iter().all(is_granted));
}

#[tokio::test]
async fn a_waiter_hears_of_every_move() {
    let semaphore = FairSemaphore::new(1, Order::FewestHeldFirst);
    let join = |n| semaphore.join(at(n, n));
    let (first, second, third) = (join(1), join(2), join(3));
    let waiting = tokio::spawn(async move {
        let mut seen = vec![third.position()];
        while seen.last().is_some_and(|position| !position.is_granted()) {
            seen.push(third.moved(*seen.last().unwrap()).await);
        }
        seen.into_iter().map(|position| position.0).collect::<Vec<_>>()
    });
    tokio::task::yield_now().await;
    drop(first);
    tokio::task::yield_now().await;
    drop(second);
    assert_eq!(waiting.await.unwrap(), [2, 1, 0]);
}

fn order() -> impl Strategy<Value = (usize, Order)> {
    (1_usize..6).prop_flat_map(|permits| {
        let share = permits.div_ceil(2)..=permits;
        prop_oneof![share.prop_map(Order::TurnsWhileOthersWait), Just(Order::FewestHeldFirst),]
            .prop_map(move |order| (permits, order))
    })
}

/// Whether a permit may stay free although somebody waits.
fn may_stay_free(state: &State) -> bool {
    let mut addrs = state.waiting.keys();
    let held = |addr: &CountedAddress| state.held_by_addr.get(addr).copied().unwrap_or(0);
    match state.order {
        Order::TurnsWhileOthersWait(most) => {
            state.waiting.len() != 1 && addrs.all(|addr| held(addr) >= most)
        }
        Order::FewestHeldFirst => state.free == 1 && addrs.all(|addr| held(addr) > 0),
    }
}

proptest! {
    /// Joins and drops in any order keep the bounds, leave no permit free that somebody may have, and move nobody back.
    #[test]
    fn any_joins_and_drops_keep_the_bounds(
        (permits, order) in order(),
        steps in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u8..4, any::<prop::sample::Index>()), 1..80),
    ) {
        let semaphore = FairSemaphore::new(permits, order);
        let mut tickets: Vec<(QueueTicket, usize)> = Vec::new();
        for (joins, addr, peer, which) in steps {
            if joins || tickets.is_empty() {
                let ticket = semaphore.join(at(addr, addr * 4 + peer));
                let position = ticket.position().0;
                tickets.push((ticket, position));
            } else {
                tickets.remove(which.index(tickets.len()));
            }
            for (ticket, last) in &mut tickets {
                let position = ticket.position().0;
                prop_assert!(position <= *last, "{position} after {last}");
                *last = position;
            }
            let state = semaphore.lock();
            let held = tickets.iter().filter(|(_, position)| *position == 0).count();
            prop_assert_eq!((state.free + held, state.tickets(|_| true)), (permits, tickets.len()));
            prop_assert!(state.free == 0 || state.waiting.is_empty() || may_stay_free(&state));
        }
        drop(tickets);
        let state = semaphore.lock();
        prop_assert_eq!((state.free, state.tickets(|_| true)), (permits, 0));
        prop_assert!(state.waiting.is_empty() && state.held_by_addr.is_empty());
    }

    /// As long as all addresses wait, none gets two permits more than another one; and the peers of an address alike.
    #[test]
    fn turns_are_even_by_address_and_then_by_peer(
        wanted in prop::collection::vec(prop::collection::vec(1_usize..6, 1..4), 1..5),
    ) {
        let semaphore = FairSemaphore::new(1, ONE_EACH);
        let first = semaphore.join(at(99, 99));
        let mut waiting = Vec::new();
        for (addr, peers) in (0_u8..).zip(&wanted) {
            for (peer, count) in (0_u8..).zip(peers) {
                for _ in 0..*count {
                    waiting.push(((addr, peer), semaphore.join(at(addr, addr * 4 + peer))));
                }
            }
        }
        let mut left = wanted;
        let mut granted: Vec<Vec<usize>> = left.iter().map(|peers| vec![0; peers.len()]).collect();
        for (addr, peer) in grant_all(first, waiting) {
            let (addr, peer) = (usize::from(addr), usize::from(peer));
            granted[addr][peer] += 1;
            left[addr][peer] -= 1;
            if left.iter().all(|peers| peers.iter().sum::<usize>() > 0) {
                let sums: Vec<usize> = granted.iter().map(|peers| peers.iter().sum()).collect();
                prop_assert!(sums.iter().max().unwrap() - sums.iter().min().unwrap() <= 1, "{sums:?}");
            }
            if left[addr].iter().all(|count| *count > 0) {
                let of_addr = &granted[addr];
                prop_assert!(of_addr.iter().max().unwrap() - of_addr.iter().min().unwrap() <= 1, "{of_addr:?}");
            }
        }
    }
}
