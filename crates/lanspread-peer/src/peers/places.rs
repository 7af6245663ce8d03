//! Who gets a place in the table of peers, and who loses one.
//!
//! Identities cost nothing, so places are counted by address. Where there is none left, a peer of the address with most places
//! loses its own, and only to an address that has fewer even with one more. So whoever is put out and comes again is refused:
//! it cannot make the table change. A peer that has delivered something verified keeps its place, up to a number for each
//! address, and one that comes back gets one from any peer that never delivered.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lanspread_net::address::CountedAddress;
use lanspread_proto::PeerId;
use tokio::time::Instant;

/// Most peers that are known at once: several LAN parties.
pub(crate) const PEERS_MAX: usize = 256;
/// Most of them behind one address: a party of fifty on one machine, with room to spare.
pub(crate) const PEERS_PER_ADDRESS_MAX: usize = 64;
/// How many peers behind one address keep their places because they have delivered: all that a machine with a dozen peers has.
const KEPT_PER_ADDRESS: usize = 16;
/// How many peers are remembered for having delivered: several times as many as are known. The one that delivered longest ago
/// is forgotten first.
const DELIVERERS_MAX: usize = 1_024;

/// A peer that has a place, or asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupant {
    pub(crate) peer_id: PeerId,
    pub(crate) addr: CountedAddress,
    /// When it was last heard.
    pub(crate) heard: Instant,
    /// Whether it has delivered something that turned out right.
    pub(crate) has_delivered: bool,
}

/// What becomes of a peer that asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// There is a place.
    Free,
    /// It gets the place of this peer.
    InsteadOf(PeerId),
    /// There is none, for it or for its address.
    Full,
}

/// Decides whether a peer gets a place beside those that have one.
pub(crate) fn admission(newcomer: &Occupant, occupants: &[Occupant]) -> Admission {
    let mut counts: BTreeMap<CountedAddress, Count> = BTreeMap::new();
    for occupant in occupants {
        let count = counts.entry(occupant.addr).or_default();
        count.peers += 1;
        count.deliverers += usize::from(occupant.has_delivered);
    }
    let count = |addr| counts.get(&addr).copied().unwrap_or_default();
    let own = count(newcomer.addr);
    let has_room = own.peers < PEERS_PER_ADDRESS_MAX;
    if has_room && occupants.len() < PEERS_MAX {
        return Admission::Free;
    }
    let is_kept = newcomer.has_delivered && own.deliverers < KEPT_PER_ADDRESS;
    let may_go = |occupant: &&Occupant| {
        let theirs = count(occupant.addr);
        let stays = occupant.has_delivered && theirs.deliverers <= KEPT_PER_ADDRESS;
        !stays
            && match is_kept {
                true => has_room || occupant.addr == newcomer.addr,
                false => has_room && theirs.peers > own.peers + 1,
            }
    };
    let goes = occupants
        .iter()
        .filter(may_go)
        .min_by_key(|it| (it.has_delivered, Reverse(count(it.addr).peers), it.heard, it.peer_id));
    goes.map_or(Admission::Full, |occupant| Admission::InsteadOf(occupant.peer_id))
}

/// What one address has in the table.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    peers: usize,
    deliverers: usize,
}

/// The peers that have delivered something verified, known or not.
#[derive(Debug, Default)]
pub(crate) struct Deliverers(BTreeMap<PeerId, Instant>);

impl Deliverers {
    /// Notes that a peer has delivered.
    pub(crate) fn note(&mut self, peer_id: PeerId, now: Instant) {
        self.0.insert(peer_id, now);
        if self.0.len() > DELIVERERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, at)| **at).map(|(peer_id, _)| *peer_id);
            oldest.map(|peer_id| self.0.remove(&peer_id));
        }
    }

    /// Returns whether a peer is remembered for having delivered.
    pub(crate) fn contains(&self, peer_id: PeerId) -> bool {
        self.0.contains_key(&peer_id)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn addr(n: u32) -> CountedAddress {
        IpAddr::from(Ipv4Addr::from(n)).into()
    }

    /// The `n`-th peer, heard `n` ms after `began`.
    fn peer(n: u32, of: u32, began: Instant) -> Occupant {
        Occupant {
            peer_id: PeerId::from_public_key(&n.to_be_bytes()),
            addr: addr(of),
            heard: began + Duration::from_millis(n.into()),
            has_delivered: false,
        }
    }

    /// Lets a peer come into a table. Returns what was decided.
    fn come(table: &mut Vec<Occupant>, newcomer: Occupant) -> Admission {
        let admission = admission(&newcomer, table);
        if let Admission::InsteadOf(peer_id) = admission {
            table.retain(|occupant| occupant.peer_id != peer_id);
        }
        if admission != Admission::Full {
            table.push(newcomer);
        }
        admission
    }

    /// A table that strangers at `addrs` addresses, from 1 on, have filled as far as they could.
    fn flooded(addrs: u32, began: Instant) -> Vec<Occupant> {
        let mut table = Vec::new();
        for n in 0..300 * addrs {
            come(&mut table, peer(n, 1 + n % addrs, began));
        }
        table
    }

    #[test]
    fn an_address_gets_no_more_than_its_part() {
        assert_eq!(flooded(1, Instant::now()).len(), PEERS_PER_ADDRESS_MAX);
    }

    #[test]
    fn fifty_honest_peers_get_a_place_in_a_table_full_of_strangers() {
        let began = Instant::now();
        for addrs in [4, 5] {
            let mut table = flooded(addrs, began);
            assert_eq!(table.len(), PEERS_MAX);
            for n in 0..50 {
                let honest = peer(10_000 + n, 100 + n, began);
                assert_ne!(come(&mut table, honest), Admission::Full, "{addrs} addresses, {n}");
            }
        }
    }

    #[test]
    fn of_the_fullest_address_the_peer_goes_that_was_not_heard_for_longest() {
        let began = Instant::now();
        let mut table = flooded(4, began);
        let idlest = table.iter().min_by_key(|it| it.heard).map(|it| it.peer_id).unwrap();
        assert_eq!(come(&mut table, peer(9_999, 9, began)), Admission::InsteadOf(idlest));
    }

    #[test]
    fn whoever_is_put_out_is_refused_when_it_comes_again() {
        let began = Instant::now();
        let mut table = flooded(4, began);
        let before = table.clone();
        assert!(matches!(come(&mut table, peer(9_999, 9, began)), Admission::InsteadOf(_)));
        let out = before.iter().find(|it| !table.contains(it)).copied().unwrap();
        assert_eq!(come(&mut table, out), Admission::Full);
    }

    #[test]
    fn a_dozen_peers_behind_one_address_that_have_delivered_stay() {
        let began = Instant::now();
        let mut table: Vec<_> =
            (0..12).map(|n| Occupant { has_delivered: true, ..peer(n, 1, began) }).collect();
        for n in 100..2_000 {
            come(&mut table, peer(n, 2 + n % 250, began));
        }
        assert_eq!(table.len(), PEERS_MAX);
        assert_eq!(table.iter().filter(|it| it.has_delivered).count(), 12);
    }

    #[test]
    fn a_peer_that_has_delivered_and_comes_back_takes_the_place_of_one_that_has_not() {
        let began = Instant::now();
        // As many addresses as places: nobody has more than another.
        let mut table: Vec<_> = (0..256).map(|n| peer(n, n, began)).collect();
        assert_eq!(come(&mut table, peer(999, 999, began)), Admission::Full);
        let known = Occupant { has_delivered: true, ..peer(1_000, 999, began) };
        assert!(matches!(come(&mut table, known), Admission::InsteadOf(_)));
        // Also where its address has no place left.
        let mut table = flooded(1, began);
        assert_eq!(come(&mut table, peer(999, 1, began)), Admission::Full);
        let known = Occupant { has_delivered: true, ..peer(1_000, 1, began) };
        assert!(matches!(come(&mut table, known), Admission::InsteadOf(_)));
        assert_eq!(table.len(), PEERS_PER_ADDRESS_MAX);
    }

    #[test]
    fn the_oldest_deliverer_is_forgotten_first() {
        let (mut deliverers, began) = (Deliverers::default(), Instant::now());
        let id = |n: usize| PeerId::from_public_key(&n.to_be_bytes());
        for n in 0..=DELIVERERS_MAX {
            deliverers.note(id(n), began + Duration::from_millis(n as u64));
        }
        assert!(!deliverers.contains(id(0)) && deliverers.contains(id(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whoever comes, in whichever order: the bounds hold, no deliverer goes from an address with few peers, and peers that
        /// come again and again do not change the table for ever.
        #[test]
        fn the_table_keeps_to_its_bounds_and_comes_to_rest(
            visitors in prop::collection::vec((0_u32..9_999, 0_u32..12, any::<bool>()), 300..600),
        ) {
            let (began, mut table) = (Instant::now(), Vec::<Occupant>::new());
            let visitors: Vec<_> = visitors
                .into_iter()
                .map(|(n, of, delivers)| {
                    Occupant { has_delivered: delivers && of > 6, ..peer(n, of, began) }
                })
                .collect();
            let mut is_at_rest = false;
            for _ in 0..20 {
                let mut changes = 0;
                for visitor in &visitors {
                    if table.iter().any(|it| it.peer_id == visitor.peer_id) {
                        continue;
                    }
                    let before = table.clone();
                    let admission = come(&mut table, *visitor);
                    changes += usize::from(admission != Admission::Full);
                    if let Admission::InsteadOf(peer_id) = admission {
                        let out = before.iter().find(|it| it.peer_id == peer_id).unwrap();
                        let kin = before.iter().filter(|it| it.addr == out.addr && it.has_delivered);
                        prop_assert!(!out.has_delivered || kin.count() > KEPT_PER_ADDRESS);
                    }
                    prop_assert!(table.len() <= PEERS_MAX);
                    let own = table.iter().filter(|it| it.addr == visitor.addr).count();
                    prop_assert!(own <= PEERS_PER_ADDRESS_MAX);
                }
                is_at_rest = changes == 0;
                if is_at_rest {
                    break;
                }
            }
            prop_assert!(is_at_rest);
        }
    }
}
