use std::net::{IpAddr, Ipv6Addr};

use futures_util::FutureExt as _;
use lanspread_proto::PeerId;
use proptest::prelude::*;

use super::*;
use crate::admission::standing::Standing;

const MIB: usize = 1024 * 1024;
const CHUNK: Need = Need { bytes: 2 * MIB, is_turn: true, standing: None };

fn at(addr: u8, peer: u8) -> Asker {
    let addr = IpAddr::from([10, 0, 0, addr]).into();
    Asker { addr, peer: PeerId::from_public_key(&[peer]) }
}

fn budget(total: usize, per_address: usize) -> ByteBudget {
    let (total, per_address) = (total * MIB, per_address * MIB);
    ByteBudget::new(Bounds { total, per_address, leaves_room: false, turns: None })
}

fn is_granted(ticket: &ByteTicket) -> bool {
    ticket.granted().now_or_never().is_some()
}

fn is_evicted(ticket: &ByteTicket) -> bool {
    ticket.evicted().now_or_never().is_some()
}

fn granted(tickets: &[ByteTicket]) -> usize {
    tickets.iter().filter(|ticket| is_granted(ticket)).count()
}

#[test]
fn an_address_gets_its_share_whatever_its_identities() {
    let budget = budget(96, 16);
    let greedy: Vec<_> = (0..100).map(|n| budget.join(at(1, n), CHUNK)).collect();
    assert_eq!(granted(&greedy), 8);
    let honest: Vec<_> = (0..8).map(|_| budget.join(at(2, 200), CHUNK)).collect();
    assert_eq!(granted(&honest), 8);
    assert_eq!(budget.held(), 32 * MIB);
}

#[test]
fn a_network_of_ipv6_addresses_has_two_shares() {
    let budget = budget(96, 16);
    let join = |host: u16| {
        let addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
        let peer = PeerId::from_public_key(&host.to_le_bytes());
        budget.join(Asker { addr: IpAddr::from(addr).into(), peer }, CHUNK)
    };
    let tickets: Vec<_> = (0..100).map(join).collect();
    assert_eq!(granted(&tickets), 16);
}

#[test]
fn what_comes_free_goes_to_the_address_that_holds_the_least() {
    let budget = budget(8, 8);
    let mut of_one: Vec<_> = (0..4).map(|n| budget.join(at(1, n), CHUNK)).collect();
    let more = budget.join(at(1, 9), CHUNK);
    let other = [budget.join(at(2, 1), CHUNK), budget.join(at(2, 1), CHUNK)];
    of_one.pop();
    assert_eq!((is_granted(&more), granted(&other)), (false, 1));
    of_one.pop();
    assert_eq!((is_granted(&more), granted(&other)), (false, 2));
    of_one.pop();
    assert!(is_granted(&more));
}

#[test]
fn under_a_limit_addresses_take_turns_however_many_wait() {
    let bounds =
        Bounds { total: MIB * 96, per_address: MIB * 16, leaves_room: false, turns: Some(1) };
    let budget = ByteBudget::new(bounds);
    let mut sending = budget.join(at(9, 9), CHUNK);
    let mut greedy: Vec<_> = (0..40).map(|n| budget.join(at(1, n), CHUNK)).collect();
    let mut honest: Vec<_> = (0..4).map(|_| budget.join(at(2, 100), CHUNK)).collect();
    let mut turns = 0;
    while !honest.is_empty() {
        drop(sending);
        turns += 1;
        let next = honest.iter().position(is_granted);
        sending = match next {
            Some(next) => honest.remove(next),
            None => {
                let next = greedy.iter().position(is_granted).unwrap();
                greedy.remove(next)
            }
        };
    }
    assert!(turns <= 8, "{turns}");
    // What needs no turn does not wait for one.
    assert!(is_granted(&budget.join(at(3, 3), Need { is_turn: false, ..CHUNK })));
}

#[test]
fn an_address_that_comes_again_does_not_begin_anew() {
    let bounds =
        Bounds { total: MIB * 96, per_address: MIB * 16, leaves_room: false, turns: Some(1) };
    let budget = ByteBudget::new(bounds);
    let first = budget.join(at(9, 9), CHUNK);
    drop(budget.join(at(2, 1), CHUNK));
    let greedy = budget.join(at(1, 1), CHUNK);
    drop(first);
    assert!(is_granted(&greedy));
    let others = [budget.join(at(1, 2), CHUNK), budget.join(at(3, 1), CHUNK)];
    let again = budget.join(at(2, 1), CHUNK);
    drop(greedy);
    assert!(is_granted(&again));
    assert_eq!(granted(&others), 0);
}

#[test]
fn a_stalled_receiver_gives_up_its_turn_and_keeps_its_bytes() {
    let bounds =
        Bounds { total: MIB * 96, per_address: MIB * 16, leaves_room: false, turns: Some(1) };
    let budget = ByteBudget::new(bounds);
    let (stalled, other) = (budget.join(at(1, 1), CHUNK), budget.join(at(2, 2), CHUNK));
    assert!(is_granted(&stalled) && !is_granted(&other));
    stalled.set_stalled(true);
    assert!(is_granted(&other) && !is_evicted(&stalled));
    drop((stalled, other));
    let (first, second) = (budget.join(at(1, 1), CHUNK), budget.join(at(1, 1), CHUNK));
    assert!(is_granted(&first) && !is_granted(&second), "there is one turn, as before");
}

#[test]
fn a_full_budget_evicts_what_is_stalled_at_the_address_with_the_most() {
    let budget = budget(8, 6);
    let of_one: Vec<_> = (0..3).map(|n| budget.join(at(1, n), CHUNK)).collect();
    let of_two = budget.join(at(2, 1), CHUNK);
    let waiting = budget.join(at(3, 1), CHUNK);
    for ticket in of_one.iter().chain([&of_two]) {
        assert!(!is_evicted(ticket), "it takes what it is sent");
        ticket.set_stalled(true);
    }
    let (evicted, _kept): (Vec<_>, Vec<_>) = of_one.into_iter().partition(is_evicted);
    assert_eq!((evicted.len(), is_evicted(&of_two)), (1, false));
    assert!(!is_granted(&waiting), "the bytes are in memory until they are let go");
    drop(evicted);
    assert!(is_granted(&waiting));
}

#[test]
fn stalled_identities_of_an_address_make_room_for_another_one_there() {
    let budget = budget(96, 4);
    let stalled = [budget.join(at(1, 1), CHUNK), budget.join(at(1, 2), CHUNK)];
    let elsewhere = budget.join(at(2, 1), CHUNK);
    for ticket in stalled.iter().chain([&elsewhere]) {
        ticket.set_stalled(true);
    }
    let honest = budget.join(at(1, 3), CHUNK);
    assert_eq!(stalled.iter().filter(|ticket| is_evicted(ticket)).count(), 1);
    assert!(!is_evicted(&elsewhere), "it is not in the way");
    drop(stalled);
    assert!(is_granted(&honest));
}

#[test]
fn a_slow_peer_waits_behind_the_others_and_makes_room_for_them() {
    let budget = budget(96, 8);
    let standing = Standing::taking();
    let slow = || Need { standing: Some(standing.clone()), ..CHUNK };
    let first: Vec<_> = (1..5).map(|n| budget.join(at(1, n), CHUNK)).collect();
    let (of_slow, more_of_slow) = (budget.join(at(1, 5), slow()), budget.join(at(1, 5), slow()));
    // Also while it waits already.
    standing.set(false);
    drop(first);
    assert!(is_granted(&of_slow) && !is_granted(&more_of_slow), "it has to show that it takes one");
    let honest: Vec<_> = (0..3).map(|_| budget.join(at(1, 6), CHUNK)).collect();
    assert_eq!((granted(&honest), is_evicted(&of_slow)), (3, false));
    // There is no more, and it makes room at once.
    let another = budget.join(at(1, 6), CHUNK);
    assert!(is_evicted(&of_slow) && !is_granted(&another));
    drop(of_slow);
    assert!(is_granted(&another) && !is_granted(&more_of_slow));
    // The second half is for others.
    drop((another, honest));
    assert!(is_granted(&more_of_slow));
    let others: Vec<_> = (7..9).map(|n| budget.join(at(1, n), slow())).collect();
    assert_eq!(granted(&others), 1);
    // Slow ones evict nobody.
    assert!(!is_evicted(&more_of_slow));
}

#[test]
fn four_greedy_addresses_leave_room_for_another_one() {
    let (total, per_address) = (32 * MIB, 8 * MIB);
    let bounds = Bounds { total, per_address, leaves_room: true, turns: None };
    let budget = ByteBudget::new(bounds);
    let small = Need { bytes: 16 * 1024, is_turn: false, standing: None };
    let mut greedy = Vec::new();
    for (addr, peer) in (1..5).flat_map(|addr| (0..20).map(move |peer| (addr, peer))) {
        greedy.extend((0..64).map(|_| budget.join(at(addr, peer), small.clone())));
    }
    let honest: Vec<_> = (0..64).map(|_| budget.join(at(9, 99), small.clone())).collect();
    assert_eq!(granted(&honest), 64);
}

#[test]
fn what_is_shrunk_is_free_for_others() {
    let budget = budget(2, 2);
    let (first, second) = (budget.join(at(1, 1), CHUNK), budget.join(at(2, 1), CHUNK));
    first.shrink_to(MIB);
    assert!(!is_granted(&second));
    first.shrink_to(0);
    assert!(is_granted(&second));
    drop((first, second));
    assert_eq!(budget.held(), 0);
}

proptest! {
    #[test]
    fn bounds_hold_and_nothing_is_left_behind(
        steps in prop::collection::vec((0_u8..4, 0_u8..4, 0_usize..4, 0_u8..6), 1..200),
    ) {
        let budget = budget(12, 5);
        let mut tickets: Vec<ByteTicket> = Vec::new();
        for (addr, peer, bytes, what) in steps {
            let at_end = tickets.len().checked_sub(1).map(|last| usize::from(peer) % (last + 1));
            match (what, at_end) {
                (0, Some(at)) => drop(tickets.swap_remove(at)),
                (1, Some(at)) => tickets[at].set_stalled(bytes > 1),
                (2, Some(at)) => tickets[at].shrink_to(bytes * MIB),
                _ => {
                    let standing = Standing::taking();
                    standing.set(what == 3);
                    let standing = Some(standing);
                    let need = Need { bytes: bytes * MIB, is_turn: false, standing };
                    tickets.push(budget.join(at(addr, peer), need));
                }
            }
            tickets.retain(|ticket| !is_evicted(ticket));
            prop_assert!(budget.held() <= 12 * MIB);
        }
        drop(tickets);
        prop_assert_eq!(budget.held(), 0);
        let all: Vec<_> = (0..4).map(|n| budget.join(at(n, n), Need { bytes: 3 * MIB, ..CHUNK })).collect();
        prop_assert_eq!(granted(&all), 4);
    }
}
