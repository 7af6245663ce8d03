//! Who waits to be let in, and who goes when there is no place.
//!
//! Whoever comes gets a place. Where there is none, the one goes that has waited longest, of the address that has most places:
//! an honest peer needs its place for milliseconds, and has one. So whoever comes often puts out itself.

use std::collections::BTreeMap;

use lanspread_net::address::CountedAddress;

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) in_all: usize,
    pub(crate) per_address: usize,
}

/// Names a place; the older one is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// Those that wait, each with what it takes to put it out.
#[derive(Debug)]
pub(crate) struct WaitingRoom<T> {
    places: Places,
    taken: BTreeMap<Place, (CountedAddress, T)>,
    last: u64,
}

impl<T> WaitingRoom<T> {
    pub(crate) fn new(places: Places) -> Self {
        Self { places, taken: BTreeMap::new(), last: 0 }
    }

    /// Gives a place to a visitor. Returns it, and the visitor who has to go for it.
    pub(crate) fn enter(&mut self, addr: CountedAddress, visitor: T) -> (Place, Option<T>) {
        self.last += 1;
        let place = Place(self.last);
        self.taken.insert(place, (addr, visitor));
        let goes = self.whoever_goes(addr).and_then(|place| self.leave(place));
        (place, goes)
    }

    /// Takes back a place. Returns who had it.
    pub(crate) fn leave(&mut self, place: Place) -> Option<T> {
        self.taken.remove(&place).map(|(_, visitor)| visitor)
    }

    /// Returns who goes now that somebody of `addr` has come.
    fn whoever_goes(&self, addr: CountedAddress) -> Option<Place> {
        let mut counts: BTreeMap<CountedAddress, usize> = BTreeMap::new();
        for (addr, _) in self.taken.values() {
            *counts.entry(*addr).or_default() += 1;
        }
        let count = |addr| counts.get(&addr).copied().unwrap_or_default();
        let most = if count(addr) > self.places.per_address {
            count(addr)
        } else if self.taken.len() > self.places.in_all {
            counts.values().copied().max().unwrap_or_default()
        } else {
            return None;
        };
        self.taken.iter().find(|(_, (addr, _))| count(*addr) == most).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    const PLACES: Places = Places { in_all: 8, per_address: 6 };

    fn addr(n: u32) -> CountedAddress {
        IpAddr::from(Ipv4Addr::from(n)).into()
    }

    /// Lets `addrs` come; returns who had to go, by the order in which they came.
    fn put_out(addrs: &[u32]) -> Vec<usize> {
        let mut room = WaitingRoom::new(PLACES);
        addrs.iter().enumerate().filter_map(|(n, of)| room.enter(addr(*of), n).1).collect()
    }

    #[test]
    fn the_oldest_of_the_address_that_has_most_places_goes() {
        assert_eq!(put_out(&[1, 1, 2, 2, 2, 3, 3, 3]), [0; 0]);
        assert_eq!(put_out(&[1, 1, 2, 2, 2, 3, 3, 3, 4, 4]), [2, 5]);
        assert_eq!(put_out(&[1, 2, 2, 2, 2, 2, 2, 2]), [1], "of one address");
    }

    #[test]
    fn whoever_has_left_does_not_count() {
        let mut room = WaitingRoom::new(PLACES);
        for n in 0..100 {
            let (place, goes) = room.enter(addr(1), n);
            assert_eq!((goes, room.leave(place)), (None, Some(n)));
        }
    }

    proptest! {
        /// Whatever others do, a visitor from an address of its own stays for as long as it takes as many others as there
        /// are places to come, and the bounds hold.
        #[test]
        fn a_lone_visitor_stays(floods in prop::collection::vec(1_u32..6, 0..400)) {
            let mut room = WaitingRoom::new(PLACES);
            for of in &floods {
                room.enter(addr(*of), false);
                prop_assert!(room.taken.len() <= PLACES.in_all);
            }
            room.enter(addr(0), true);
            for of in &floods {
                let (_, goes) = room.enter(addr(*of), false);
                prop_assert_ne!(goes, Some(true));
                let held = room.taken.values().filter(|(addr, _)| *addr == super::tests::addr(*of));
                prop_assert!(held.count() <= PLACES.per_address);
            }
        }
    }
}
