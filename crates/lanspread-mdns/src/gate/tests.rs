use super::*;
use crate::packet::tests::{Told, query, record, response};
use crate::record::SERVICE_TYPE;

fn from(ip: impl Into<IpAddr>) -> SocketAddr {
    (ip.into(), MDNS_PORT).into()
}

fn ip(n: usize) -> IpAddr {
    let [.., a, b] = n.to_be_bytes();
    [10, 0, a, b].into()
}

/// A gate and the packets that it saw, at a time of the test.
struct Link {
    gate: Gate,
    now: Instant,
}

impl Link {
    fn new() -> Self {
        Self { gate: Gate::new(false), now: Instant::now() }
    }

    fn admits(&self, packet: &[u8], source: IpAddr) -> bool {
        self.gate.admits_at(packet, from(source), self.now)
    }

    fn tells(&self, n: usize, source: IpAddr) -> bool {
        self.admits(&Told::new(n, source).packet(), source)
    }

    fn known(&self) -> usize {
        self.gate.state().peers.len()
    }
}

#[test]
fn a_dozen_peers_on_one_machine_are_heard_and_so_are_fifty_machines() {
    let mut link = Link::new();
    for round in 0..5 {
        for n in 0..12 {
            assert!(link.tells(n, ip(1)), "{round} {n}");
        }
        for n in 100..150 {
            assert!(link.tells(n, ip(n)), "{round} {n}");
            assert!(link.admits(&query(SERVICE_TYPE), ip(n)));
        }
        link.now += Duration::from_secs(1);
    }
    assert_eq!(link.known(), 62);
    assert!(!link.gate.is_worn());
}

#[test]
fn a_flood_from_one_address_takes_nothing_from_others() {
    for per_second in [2_000, 10_000, 50_000] {
        let mut link = Link::new();
        let mut admitted = 0;
        for n in 0..per_second {
            admitted += usize::from(link.tells(1_000_000 + n, ip(66)));
            if n % 400 == 0 {
                assert!(link.tells(n, ip(n)), "{n}");
            }
            link.now += Duration::from_secs(1) / u32::try_from(per_second).unwrap();
        }
        assert_eq!(admitted, PEERS_PER_SOURCE);
        assert!(!link.gate.is_worn());
    }
}

#[test]
fn packets_from_one_address_are_counted_also_when_they_tell_nothing_new() {
    let mut link = Link::new();
    let mut admitted = 0;
    for _ in 0..10_000 {
        admitted += usize::from(link.tells(1, ip(66)));
        link.now += Duration::from_millis(1);
    }
    // Ten seconds, five for each packet.
    let most = (SOURCE_RATE.burst + 10_000 / 16) / 5;
    assert!((most - 1..=most + 1).contains(&u32::try_from(admitted).unwrap()), "{admitted}");
}

#[test]
fn where_many_addresses_tell_of_too_many_a_newcomer_is_heard_all_the_same() {
    let mut link = Link::new();
    assert!(link.tells(0, ip(0)));
    for n in 1..=3 * MAX_TRACKED_PEERS {
        link.tells(n, ip(1 + n % 200));
        link.now += Duration::from_millis(20);
    }
    assert_eq!(link.known(), MAX_TRACKED_PEERS);
    assert!(link.gate.is_worn());
    assert!(link.gate.state().peers.contains_key(&Told::new(0, [0; 4]).id));
    assert!(!link.tells(1_000_000, ip(1_000)), "the daemon was told of as many as it may");
    let fresh = Link::new();
    for n in 1..=MAX_TRACKED_PEERS + 100 {
        fresh.gate.admits_at(&Told::new(n, ip(n % 200)).packet(), from(ip(n % 200)), link.now);
        link.now += Duration::from_millis(20);
    }
    let newcomer = Told::new(1_000_000, ip(1_000)).packet();
    assert!(fresh.gate.admits_at(&newcomer, from(ip(1_000)), link.now));
}

#[test]
fn addresses_without_end_share_what_one_may_do() {
    let mut link = Link::new();
    for n in 0..20_000 {
        link.tells(n, ip(n));
        link.now += Duration::from_micros(100);
    }
    let state = link.gate.state();
    assert!(state.v4.sources.len() <= SOURCES_MAX && state.peers.len() <= MAX_TRACKED_PEERS);
    assert!(state.told <= TOLD_MAX);
}

#[test]
fn ipv6_addresses_without_end_take_nothing_from_ipv4() {
    let mut link = Link::new();
    for n in 0..20_000_u32 {
        let source = IpAddr::from(std::net::Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            0,
            0,
            (n >> 16) as u16,
            n as u16,
        ));
        link.tells(1_000_000 + n as usize, source);
        if n % 400 == 0 {
            assert!(link.tells(n as usize, ip(n as usize)), "{n}");
        }
        link.now += Duration::from_micros(100);
    }
}

#[test]
fn who_did_not_tell_of_a_peer_cannot_say_that_it_is_gone() {
    let link = Link::new();
    assert!(link.tells(1, ip(1)));
    let goodbye = Told { ttl_s: 0, ..Told::new(1, ip(1)) }.packet();
    assert!(!link.admits(&goodbye, ip(66)));
    assert!(link.admits(&goodbye, ip(1)));
    // Whoever told of it too speaks for itself alone.
    assert!(link.tells(1, ip(1)) && link.admits(&Told::new(1, ip(66)).packet(), ip(66)));
    assert!(!link.admits(&goodbye, ip(66)));
    assert!(link.admits(&goodbye, ip(1)));
}

#[test]
fn a_peer_with_two_networks_is_gone_when_it_says_so_on_both() {
    let mut link = Link::new();
    let goodbye = Told { ttl_s: 0, ..Told::new(1, ip(1)) }.packet();
    assert!(link.tells(1, ip(1)) && link.tells(1, ip(2)));
    assert!(!link.admits(&goodbye, ip(1)) && link.admits(&goodbye, ip(2)));
    // What was told from an address that it had before counts for a while.
    assert!(link.tells(1, ip(1)));
    link.now += SILENT_AFTER + Duration::from_secs(1);
    assert!(link.tells(1, ip(2)) && link.admits(&goodbye, ip(2)));
}

#[test]
fn who_sends_little_is_heard_beside_hundreds_who_send_much() {
    let mut link = Link::new();
    let mut heard = 0;
    for n in 0..30_000 {
        link.tells(1_000_000 + n, ip(1_000 + n % 200));
        // After three seconds a peer comes every 50 ms.
        if n > 15_000 && n % 250 == 0 {
            assert!(link.tells(n, ip(n / 250)), "{n}");
            heard += 1;
        }
        link.now += Duration::from_micros(200);
    }
    assert_eq!(heard, 59);
}

#[test]
fn a_record_is_vouched_for_by_the_address_from_which_it_came() {
    let link = Link::new();
    let id = Told::new(1, ip(1)).id;
    assert!(link.admits(&Told::new(1, ip(1)).packet(), ip(66)));
    assert!(link.gate.vouched(id).is_empty());
    assert!(link.tells(1, ip(1)));
    assert_eq!(link.gate.vouched(id), [ip(1)]);
    for n in 2..10 {
        assert!(link.tells(1, ip(n)));
    }
    assert_eq!(link.gate.vouched(id), [9, 8, 7, 6].map(ip));
}

#[test]
fn odd_packets_are_refused() {
    let link = Link::new();
    let told = Told::new(1, ip(1));
    assert!(!link.gate.admits_at(&told.packet(), (ip(1), 53).into(), link.now));
    let records = told.records();
    assert!(!link.admits(&response(&records[..1]), ip(1)), "the daemon would ask where it is");
    assert!(!link.admits(&response(&records[3..]), ip(1)), "nobody knows that peer");
    let printer = record("printer.local.", 1, 0x8001, 120, &[10, 0, 0, 9]);
    let mixed = response(&[records.clone(), vec![printer]].concat());
    assert!(!link.admits(&mixed, ip(1)));
    let gate = Gate::new(true);
    assert!(gate.admits_at(&mixed, from(ip(1)), link.now), "a reflector mixes them");
    assert!(link.admits(&told.packet(), ip(1)));
    assert!(link.admits(&response(&records[3..]), ip(1)), "a part of what is known");
}

#[test]
fn a_machine_that_changes_its_peers_is_heard_again_after_a_while() {
    let mut link = Link::new();
    for n in 0..PEERS_PER_SOURCE {
        assert!(link.tells(n, ip(1)));
    }
    link.now += SILENT_AFTER;
    assert!(!link.tells(1_000, ip(1)));
    link.now += Duration::from_secs(1);
    assert!(link.tells(1_000, ip(1)));
    assert_eq!(link.known(), PEERS_PER_SOURCE);
}
