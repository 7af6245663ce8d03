use super::budget::PER_PEER;
use super::candidate::RETRY_MAX;
use super::*;

mod floods;

fn ids() -> (PeerId, PeerId) {
    let (a, b) = (PeerId::from_public_key(b"a"), PeerId::from_public_key(b"b"));
    if a < b { (a, b) } else { (b, a) }
}

fn addr(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

fn addrs(port: u16) -> Vec<SocketAddr> {
    vec![addr(1, port)]
}

/// A table whose peer is connected at the first of these addresses, all of them advertised.
fn linked(peer: PeerId, me: PeerId, addrs: &[SocketAddr], now: Instant) -> DialTable {
    let mut table = DialTable::new(me);
    table.linked(peer, addrs[0], now);
    assert_eq!(table.found(peer, addrs.to_vec(), true, Some(addrs[0]), now), Found::Settled);
    assert_eq!(table.next_due(), None);
    table
}

#[tokio::test(start_paused = true)]
async fn the_smaller_id_dials_at_once_and_the_greater_holds_back() {
    let now = Instant::now();
    let (small, great) = ids();
    let mut table = DialTable::new(small);
    table.found(great, addrs(1), true, None, now);
    assert_eq!(table.take_due(now).len(), 1);
    assert!(table.take_due(now).is_empty());

    let mut table = DialTable::new(great);
    table.found(small, addrs(1), true, None, now);
    assert!(table.take_due(now).is_empty());
    table.linked(small, addr(1, 1), now);
    assert_eq!(table.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_is_tried_again_later_and_later() {
    let mut now = Instant::now();
    let (small, great) = ids();
    let mut table = DialTable::new(small);
    table.found(great, addrs(1), true, None, now);
    let (began, mut dialled_at) = (now, Vec::new());
    while now < began + Duration::from_secs(600) {
        for dial in table.take_due(now) {
            dialled_at.push((now - began).as_secs());
            table.ended(dial.attempt, false, now);
            table.failed(great, dial.attempt, now);
        }
        now = table.next_due().unwrap();
    }
    assert_eq!(dialled_at, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);
    table.vanished(great, now);
    assert_eq!(table.next_due(), None);

    // One that was connected before is found again within seconds.
    let mut table = linked(great, small, &addrs(1), now);
    table.lost(great, now);
    for _ in 0..20 {
        let due = table.next_due().unwrap();
        assert!(due - now <= RETRY_MAX);
        now = due;
        for dial in table.take_due(now) {
            table.ended(dial.attempt, false, now);
            table.failed(great, dial.attempt, now);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_on_another_port_is_dialled_at_once() {
    let now = Instant::now();
    let (small, great) = ids();
    let mut table = linked(great, small, &addrs(1), now);
    assert_eq!(table.found(great, addrs(2), true, Some(addr(1, 1)), now), Found::Settled);
    let [dial] = &table.take_due(now)[..] else { panic!() };
    assert_eq!(dial.addrs, [addr(1, 2), addr(1, 1)], "what is advertised comes first");
    table.linked(great, addr(1, 2), now);
    table.unlinked(great, now);
    assert!(table.next_due().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_two_cards_is_not_dialled_for_having_two() {
    let now = Instant::now();
    let (small, great) = ids();
    let both = [addr(1, 1), addr(2, 1)];
    let mut table = linked(great, small, &both, now);
    for seen in [&both[..], &both[..1], &[both[1], both[0]], &both[..]] {
        assert_eq!(table.found(great, seen.to_vec(), true, Some(both[0]), now), Found::Settled);
        assert_eq!(table.next_due(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_advertised_any_more_is_doubted_and_the_others_are_dialled() {
    let now = Instant::now();
    let (small, great) = ids();
    let (old, new) = (addr(1, 1), addr(7, 1));
    let mut table = linked(great, small, &[old], now);
    assert_eq!(table.found(great, vec![new], true, Some(old), now), Found::Elsewhere);
    assert_eq!(table.next_due(), None, "the connection may be alive");
    table.doubted(great, now);
    let [dial] = &table.take_due(now)[..] else { panic!() };
    assert_eq!((&dial.addrs[..], dial.doubted_at), (&[new, old][..], Some(now)));
}

#[tokio::test(start_paused = true)]
async fn a_new_address_of_a_doubted_connection_is_dialled_at_once() {
    let now = Instant::now();
    let (small, great) = ids();
    let (old, new) = (addr(1, 1), addr(7, 1));
    for me in [small, great] {
        let peer = if me == small { great } else { small };
        let mut table = linked(peer, me, &[old], now);
        table.doubted(peer, now);
        let [first] = &table.take_due(now)[..] else { panic!() };
        assert_eq!(first.addrs, [old]);
        // The dial to the old address takes its time.
        table.found(peer, vec![new], true, Some(old), now);
        let [second] = &table.take_due(now)[..] else { panic!("it waits for the first dial") };
        assert_eq!(second.addrs, [new, old]);
        table.failed(peer, first.attempt, now);
        assert!(table.take_due(now + RETRY_MAX).is_empty(), "the second one is under way");
    }
}

#[tokio::test(start_paused = true)]
async fn a_doubt_ends_with_a_sign_of_life() {
    let now = Instant::now();
    let (small, great) = ids();
    let mut table = linked(great, small, &addrs(1), now);
    table.doubted(great, now);
    table.heard(great, now);
    assert!(table.next_due().is_some(), "that was before");
    let later = now + Duration::from_millis(1);
    table.heard(great, later);
    assert_eq!(table.next_due(), None);
    table.doubted(great, now);
    let [dial] = &table.take_due(now)[..] else { panic!() };
    table.heard(great, later);
    table.failed(great, dial.attempt, now);
    assert_eq!(table.next_due(), None, "nobody needs the dial any more");
    // A restart is no doubt: the old connection may answer until it is found dead.
    table.found(great, addrs(2), true, Some(addr(1, 1)), now);
    table.heard(great, later);
    assert_eq!(table.take_due(now).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_known_peer_is_dialled_where_it_was_though_nobody_advertises_it() {
    let now = Instant::now();
    let (small, great) = ids();
    let mut table = DialTable::new(small);
    table.dial_now(great, now);
    assert_eq!(table.next_due(), None, "nobody knows it");
    table.linked(great, addr(1, 1), now);
    table.unlinked(great, now);
    assert!(table.take_due(now).is_empty());
    table.dial_now(great, now);
    let [dial] = &table.take_due(now)[..] else { panic!() };
    assert_eq!(dial.addrs, [addr(1, 1)]);
    table.dial_now(great, now);
    assert!(table.take_due(now).is_empty(), "it is being dialled");
    assert!(!table.lost(great, now), "nobody advertises it");
    assert_eq!(table.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_peer_is_dialled_as_long_as_it_is_advertised() {
    let now = Instant::now();
    let (small, great) = ids();
    let mut table = linked(great, small, &addrs(1), now);
    assert!(table.lost(great, now));
    assert!(table.next_due().is_some());
    table.vanished(great, now);
    assert_eq!(table.next_due(), None);
    assert!(table.candidates.is_empty(), "nothing of it is kept");
}

#[tokio::test(start_paused = true)]
async fn records_that_change_all_the_time_make_no_storm_of_dials() {
    let began = Instant::now();
    let (small, great) = ids();
    let mut table = DialTable::new(small);
    let mut dials = 0;
    let minute = Duration::from_secs(60);
    let mut now = began;
    for n in 0..600_u16 {
        now = began + minute * u32::from(n) / 600;
        table.found(great, addrs(1 + n % 2), true, Some(addr(9, 9)), now);
        if n % 3 == 0 {
            table.vanished(great, now);
            table.found(great, addrs(1 + n % 2), true, None, now);
        }
        table.targets.prove(addr(1, 1).ip(), now);
        for dial in table.take_due(now) {
            table.ended(dial.attempt, false, now);
            dials += 1;
        }
    }
    let most = 4 + usize::try_from(minute.as_secs() / PER_PEER.interval.as_secs()).unwrap();
    assert!((most / 2..=most).contains(&dials), "{dials}");
    // After a quiet time the next change is dialled at once.
    now += minute;
    table.found(great, addrs(7), true, None, now);
    assert_eq!(table.take_due(now).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_second_peer_with_the_same_identity_do_not_lead_away_from_the_first() {
    let now = Instant::now();
    let (small, great) = ids();
    let (first, second) = (addr(1, 1), addr(2, 2));
    let mut table = linked(great, small, &[first], now);
    table.found(great, vec![second], true, Some(first), now);
    assert_eq!(table.take_due(now).len(), 1, "it may be a restart");
    table.contested(great, now);
    for seen in [first, second, first, second] {
        table.found(great, vec![seen], true, Some(first), now);
        assert_eq!(table.next_due(), None);
    }
    // The first one is gone: whoever is advertised is dialled.
    table.doubted(great, now);
    let [dial] = &table.take_due(now)[..] else { panic!() };
    assert_eq!(dial.addrs[0], second);
    table.linked(great, first, now);
    let later = now + CONTESTED_FOR;
    table.found(great, vec![addr(3, 3)], true, Some(first), later);
    assert_eq!(table.take_due(later).len(), 1, "it may be a restart again");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_peers_is_bounded() {
    let now = Instant::now();
    let (me, _) = ids();
    let mut table = DialTable::new(me);
    for n in 0..2 * CANDIDATES_MAX {
        table.found(PeerId::from_public_key(&n.to_be_bytes()), addrs(1), true, None, now);
    }
    assert_eq!(table.candidates.len(), CANDIDATES_MAX);
}

#[tokio::test(start_paused = true)]
async fn nobody_dials_himself() {
    let (me, _) = ids();
    let mut table = DialTable::new(me);
    table.found(me, addrs(1), true, None, Instant::now());
    assert_eq!(table.next_due(), None);
}
