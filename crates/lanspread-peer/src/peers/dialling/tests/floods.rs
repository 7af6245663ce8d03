//! What invented peers can make a table do.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn id(n: usize) -> PeerId {
    PeerId::from_public_key(&n.to_be_bytes())
}

/// A table at a time of the test, and the dials that it made.
struct Party {
    table: DialTable,
    began: Instant,
    now: Instant,
    dialled: Vec<(Duration, PeerId, Vec<SocketAddr>)>,
    under_way: Vec<(Instant, PeerId, Attempt)>,
    /// Who answers.
    honest: BTreeSet<PeerId>,
}

impl Party {
    fn new() -> Self {
        let now = Instant::now();
        let me = id(usize::MAX);
        let (table, dialled, under_way) = (DialTable::new(me), Vec::new(), Vec::new());
        Self { table, began: now, now, dialled, under_way, honest: BTreeSet::new() }
    }

    /// Lets time pass. Dials to honest peers end at once, those to others after five seconds.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let now = self.now;
            self.under_way.retain(|(ends_at, peer_id, attempt)| {
                if *ends_at <= now {
                    self.table.ended(*attempt, false, now);
                    self.table.failed(*peer_id, *attempt, now);
                }
                *ends_at > now
            });
            let mut is_any_honest = false;
            for dial in self.table.take_due(self.now) {
                is_any_honest |= self.honest.contains(&dial.peer_id);
                self.dialled.push((self.now - self.began, dial.peer_id, dial.addrs.clone()));
                if self.honest.contains(&dial.peer_id) {
                    self.table.ended(dial.attempt, true, self.now);
                    self.table.linked(dial.peer_id, dial.addrs[0], self.now);
                } else {
                    let ends_at = self.now + Duration::from_secs(5);
                    self.under_way.push((ends_at, dial.peer_id, dial.attempt));
                }
            }
            let next_due = self.table.next_due();
            if next_due.is_some_and(|at| at <= now) {
                // Dials that ended at once made room for others.
                assert!(is_any_honest, "the loop would spin");
                continue;
            }
            let ends = self.under_way.iter().map(|(at, ..)| *at);
            self.now = ends.chain(next_due).min().unwrap_or(end).min(end);
        }
    }

    fn dials_to(&self, addr_is: impl Fn(SocketAddr) -> bool) -> usize {
        self.dialled.iter().flat_map(|(.., addrs)| addrs).filter(|addr| addr_is(**addr)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn many_names_at_one_address_are_dialled_as_one() {
    let mut party = Party::new();
    for n in 0..2_000 {
        let place = vec![SocketAddr::from(([10, 0, 0, 66], u16::try_from(1 + n).unwrap()))];
        party.table.found(id(n), place, n % 2 == 0, None, party.now);
    }
    party.pass(Duration::from_secs(60));
    let dials = party.dials_to(|_| true);
    assert!((8..=4 + 60 / 8 + 1).contains(&dials), "{dials}");
}

#[tokio::test(start_paused = true)]
async fn records_that_nobody_vouches_for_lead_to_two_dials_a_second_at_most() {
    let mut party = Party::new();
    for n in 0..1_000 {
        let place = vec![addr(u8::try_from(1 + n % 250).unwrap(), 1)];
        party.table.found(id(n), place, false, None, party.now);
    }
    party.pass(Duration::from_secs(60));
    let dials = party.dials_to(|_| true);
    assert!((60..=2 * (8 + 2 * 60)).contains(&dials), "{dials}");
}

#[tokio::test(start_paused = true)]
async fn honest_peers_are_dialled_within_seconds_under_a_flood_from_many_addresses() {
    for attackers in [1, 5, 50] {
        let mut party = Party::new();
        let mut invented = 1_000;
        for second in 0..10_u16 {
            for n in 0..200 {
                invented += 1;
                let host = u8::try_from(100 + n % attackers).unwrap();
                party.table.found(
                    id(invented),
                    vec![addr(host, 1 + second)],
                    true,
                    None,
                    party.now,
                );
            }
            if second == 5 {
                for n in 0..49 {
                    party.honest.insert(id(n));
                    let place = vec![addr(u8::try_from(1 + n).unwrap(), 1)];
                    party.table.found(id(n), place, true, None, party.now);
                }
            }
            party.pass(Duration::from_secs(1));
        }
        let honest: Vec<_> =
            party.dialled.iter().filter(|(_, peer_id, _)| party.honest.contains(peer_id)).collect();
        assert_eq!(honest.len(), 49, "{attackers}");
        let last = honest.iter().map(|(at, ..)| *at).max().unwrap();
        assert!(last <= Duration::from_secs(8), "{attackers}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ipv6_addresses_without_end_put_off_no_peer_of_ipv4() {
    let mut party = Party::new();
    for n in 0..5_000_u16 {
        let invented = SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, n], 1));
        party.table.found(id(1_000 + usize::from(n)), vec![invented], true, None, party.now);
        if n % 250 == 0 {
            let honest = id(usize::from(n / 250));
            party.honest.insert(honest);
            let place = vec![addr(u8::try_from(n / 250).unwrap(), 1)];
            let before = party.dialled.len();
            party.table.found(honest, place, true, None, party.now);
            party.pass(Duration::from_millis(800));
            assert!(party.dialled[before..].iter().any(|(_, peer_id, _)| *peer_id == honest));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dozen_peers_behind_one_address_are_found_at_once() {
    let mut party = Party::new();
    for n in 0..50 {
        party.honest.insert(id(n));
        let place = vec![addr(1, u16::try_from(1 + n).unwrap())];
        party.table.found(id(n), place, true, None, party.now);
    }
    party.pass(Duration::from_secs(1));
    assert_eq!(party.dials_to(|_| true), 50);
}

#[tokio::test(start_paused = true)]
async fn false_records_about_a_peer_do_not_hide_the_true_one() {
    for attackers in [1, 3, 6] {
        let mut party = Party::new();
        let truth = addr(1, 1);
        let peer = id(1);
        for round in 0..100_u16 {
            let place = if round == 50 {
                truth
            } else {
                addr(u8::try_from(100 + round % attackers).unwrap(), 1 + round)
            };
            party.table.found(peer, vec![place], true, None, party.now);
            party.pass(Duration::from_millis(100));
        }
        party.pass(Duration::from_secs(10));
        assert!(party.dials_to(|addr| addr == truth) > 0, "{attackers}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_table_gives_up_whom_nobody_vouches_for_and_no_peer_that_is_connected() {
    let now = Instant::now();
    let mut table = DialTable::new(id(usize::MAX));
    table.linked(id(0), addr(1, 1), now);
    for n in 1..2 * CANDIDATES_MAX {
        let host = u8::try_from(10 + n % 3).unwrap();
        table.found(id(n), vec![addr(host, 1)], n % 2 == 0, None, now);
    }
    assert_eq!(table.candidates.len(), CANDIDATES_MAX);
    let newcomer = id(100_000);
    table.found(newcomer, vec![addr(99, 1)], true, None, now);
    assert!(table.candidates.contains_key(&newcomer) && table.candidates.contains_key(&id(0)));
    let stranger = id(100_001);
    table.found(stranger, vec![addr(98, 1)], false, None, now);
    assert!(!table.candidates.contains_key(&stranger), "all others are vouched for");
}

#[derive(Debug, Clone)]
enum Step {
    Found { peer: usize, host: u8, port: u16, is_vouched: bool },
    Vanished(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let found = (0..40_usize, 1..30_u8, 1..4_u16, any::<bool>());
    prop_oneof![
        6 => found.prop_map(|(peer, host, port, is_vouched)| Step::Found { peer, host, port, is_vouched }),
        1 => (0..40_usize).prop_map(Step::Vanished),
        2 => (0..3_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_records_say_an_address_that_does_not_answer_gets_little(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut party = Party::new();
        for step in steps {
            match step {
                Step::Found { peer, host, port, is_vouched } => {
                    let place = vec![addr(host, port)];
                    party.table.found(id(peer), place, is_vouched, None, party.now);
                }
                Step::Vanished(peer) => party.table.vanished(id(peer), party.now),
                Step::Pass(ms) => party.pass(Duration::from_millis(ms)),
            }
        }
        party.pass(Duration::from_secs(30));
        let seconds = usize::try_from((party.now - party.began).as_secs()).unwrap();
        for host in 1..30 {
            let dials = party.dials_to(|other| other.ip() == addr(host, 1).ip());
            prop_assert!(dials <= 4 + seconds / 8 + 1, "{dials} in {seconds} s");
        }
        prop_assert!(party.table.candidates.len() <= 40);
    }
}
