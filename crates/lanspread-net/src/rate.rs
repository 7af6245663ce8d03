//! How many events an address may cause at once, and how many a second.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::address::CountedAddress;

/// Most addresses whose events are counted. Each takes some 60 bytes. One that causes fewer events than it may is forgotten first.
const ADDRESSES_MAX: usize = 4_096;

/// A number of events at once, which comes back with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many events may follow each other at once.
    pub at_once: u32,
    /// How many more a second.
    pub per_second: u32,
}

/// The events of one source: a token bucket that is told the time.
///
/// It is kept as the moment at which all that was taken is paid back, so it has one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// `None` before the first event.
    paid_back_at: Option<Instant>,
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How far ahead of now the payment of events may be.
    fn span(self) -> Duration {
        self.interval() * self.at_once.saturating_sub(1)
    }
}

impl Bucket {
    /// Takes one event if there is one; returns whether there was.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.wait(rate, now).is_zero() && {
            self.book(rate, now);
            true
        }
    }

    /// Takes one event, now or later; returns how long it has to wait.
    pub fn reserve(&mut self, rate: Rate, now: Instant) -> Duration {
        let wait = self.wait(rate, now);
        self.book(rate, now);
        wait
    }

    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let ahead =
            self.paid_back_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        ahead.saturating_sub(rate.span())
    }

    fn book(&mut self, rate: Rate, now: Instant) {
        let from = self.paid_back_at.map_or(now, |at| at.max(now));
        self.paid_back_at = Some(from + rate.interval());
    }

    fn is_full(&self, now: Instant) -> bool {
        self.paid_back_at.is_none_or(|at| at <= now)
    }
}

/// The events of each address.
#[derive(Debug)]
pub struct AddressRates {
    rate: Rate,
    buckets: BTreeMap<CountedAddress, Bucket>,
}

impl AddressRates {
    /// Allows each address `rate`.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: BTreeMap::new() }
    }

    /// Takes one event of an address if there is one; returns whether there was.
    pub fn take(&mut self, addr: CountedAddress, now: Instant) -> bool {
        let rate = self.rate;
        self.bucket(addr, now).take(rate, now)
    }

    /// Takes one event of an address, now or later; returns how long it has to wait.
    pub fn reserve(&mut self, addr: CountedAddress, now: Instant) -> Duration {
        let rate = self.rate;
        self.bucket(addr, now).reserve(rate, now)
    }

    fn bucket(&mut self, addr: CountedAddress, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&addr) {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            // All of them are busy. The one that has least to pay back loses least by being forgotten.
            if self.buckets.len() >= ADDRESSES_MAX {
                let least = self.buckets.iter().min_by_key(|(_, bucket)| bucket.paid_back_at);
                let least = least.map(|(addr, _)| *addr);
                least.map(|addr| self.buckets.remove(&addr));
            }
        }
        self.buckets.entry(addr).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { at_once: 4, per_second: 10 };

    fn addr(n: u32) -> CountedAddress {
        IpAddr::from(Ipv4Addr::from(n)).into()
    }

    #[test]
    fn some_events_follow_at_once_and_more_come_with_time() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!([0; 6].map(|_| bucket.take(RATE, now)), [true, true, true, true, false, false]);
        let later = now + Duration::from_millis(100);
        assert_eq!([0; 2].map(|_| bucket.take(RATE, later)), [true, false]);
        let much_later = now + Duration::from_secs(100);
        assert_eq!([0; 5].map(|_| bucket.take(RATE, much_later)), [true, true, true, true, false]);
    }

    #[test]
    fn events_that_are_reserved_come_one_after_another() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let waits = [0; 6].map(|_| bucket.reserve(RATE, now).as_millis());
        assert_eq!(waits, [0, 0, 0, 0, 100, 200]);
    }

    #[test]
    fn addresses_do_not_take_from_each_other() {
        let (mut rates, now) = (AddressRates::new(RATE), Instant::now());
        while rates.take(addr(1), now) {}
        assert!(rates.take(addr(2), now));
        assert_eq!(rates.reserve(addr(2), now), Duration::ZERO);
        assert_ne!(rates.reserve(addr(1), now), Duration::ZERO);
    }

    #[test]
    fn a_flood_of_addresses_takes_a_bounded_memory_and_the_busiest_stays_known() {
        let (mut rates, now) = (AddressRates::new(RATE), Instant::now());
        while rates.take(addr(0), now) {}
        for n in 1..3 * ADDRESSES_MAX as u32 {
            assert!(rates.take(addr(n), now));
            assert!(rates.buckets.len() <= ADDRESSES_MAX);
        }
        assert!(!rates.take(addr(0), now));
    }

    proptest! {
        /// However events are spread, no more pass in a span of time than the rate says.
        #[test]
        fn no_more_pass_than_the_rate_allows(gaps_ms in prop::collection::vec(0_u64..300, 1..200)) {
            let (mut bucket, began) = (Bucket::default(), Instant::now());
            let (mut now, mut passed) = (began, 0_u64);
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                passed += u64::from(bucket.take(RATE, now));
                let tenths = (now - began).as_millis() as u64 / 100;
                prop_assert!(passed <= u64::from(RATE.at_once) + tenths);
            }
        }
    }
}
