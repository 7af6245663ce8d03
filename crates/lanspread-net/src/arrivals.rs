//! Which connection attempts get a TLS handshake.
//!
//! A handshake costs this peer two signatures, a key exchange and up to 256 KiB until it ends, and it costs the other side one
//! packet to begin it. The source address of that packet may be a lie. So as soon as attempts come in numbers, each must first prove
//! its address by a round trip (QUIC's Retry, RFC 9000, 8.1.2), which costs this peer no memory. Proven addresses have a
//! rate each, and a share of the handshakes that are under way: an address gets at most a quarter of what is free, so that
//! something is left for an address that has none. Attempts from unproven addresses never count against a proven one.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::address::CountedAddress;
use crate::rate::{AddressRates, Bucket, Rate};

/// Most TLS handshakes under way. Each holds at most 256 KiB of what the other side has sent of it, which is 64 MiB.
const HALF_OPEN_MAX: usize = 256;
/// From how many handshakes under way on every address has to be proven. Fewer take 8 MiB at most.
const UNPROVEN_HALF_OPEN_MAX: usize = 32;
/// How many handshakes begin without a proof of the address: a party of fifty proves the address of some of its peers when
/// all of them start at once, which costs these one round trip of a LAN.
const UNPROVEN: Rate = Rate { at_once: 32, per_second: 16 };
/// How many handshakes a proven address may begin. Each takes about half a millisecond of a processor, so one address takes 3 %
/// of it. Fifty peers behind one address begin 49 at once and some again.
const PROVEN: Rate = Rate { at_once: 128, per_second: 64 };
/// Which part of the handshakes that are free one address may have.
const SHARE: usize = 4;

/// What becomes of a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The handshake begins.
    Begin,
    /// The other side has to prove its address first.
    ProveAddress,
}

/// The handshakes under way, and how many began lately.
#[derive(Debug)]
pub(crate) struct Arrivals {
    half_open: BTreeMap<CountedAddress, usize>,
    half_open_total: usize,
    unproven: Bucket,
    proven: AddressRates,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            half_open: BTreeMap::new(),
            half_open_total: 0,
            unproven: Bucket::default(),
            proven: AddressRates::new(PROVEN),
        }
    }
}

impl Arrivals {
    /// Judges an attempt whose address may be a lie.
    pub(crate) fn judge(&mut self, now: Instant) -> Verdict {
        let is_quiet =
            self.half_open_total < UNPROVEN_HALF_OPEN_MAX && self.unproven.take(UNPROVEN, now);
        if is_quiet { Verdict::Begin } else { Verdict::ProveAddress }
    }

    /// Judges an attempt whose address is proven; returns whether its handshake begins.
    pub(crate) fn judge_proven(&mut self, addr: CountedAddress, now: Instant) -> bool {
        let free = HALF_OPEN_MAX.saturating_sub(self.half_open_total);
        let held = self.half_open.get(&addr).copied().unwrap_or_default();
        held < free.div_ceil(SHARE) && self.proven.take(addr, now)
    }

    /// Notes that a handshake begins.
    pub(crate) fn begin(&mut self, addr: CountedAddress) {
        *self.half_open.entry(addr).or_default() += 1;
        self.half_open_total += 1;
    }

    /// Notes that a handshake is done, or given up.
    pub(crate) fn end(&mut self, addr: CountedAddress) {
        let Some(held) = self.half_open.get_mut(&addr) else { return };
        *held -= 1;
        self.half_open_total -= 1;
        if *held == 0 {
            self.half_open.remove(&addr);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn addr(n: u32) -> CountedAddress {
        IpAddr::from(Ipv4Addr::from(n)).into()
    }

    /// Begins handshakes from `addr` until one is not let in; returns how many began.
    fn fill(arrivals: &mut Arrivals, addr: CountedAddress, now: Instant) -> usize {
        std::iter::from_fn(|| arrivals.judge_proven(addr, now).then(|| arrivals.begin(addr)))
            .take(2 * HALF_OPEN_MAX)
            .count()
    }

    #[test]
    fn a_few_attempts_begin_at_once_and_many_prove_their_address() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        for _ in 0..UNPROVEN.at_once {
            assert_eq!(arrivals.judge(now), Verdict::Begin);
        }
        assert_eq!(arrivals.judge(now), Verdict::ProveAddress);
        assert_eq!(arrivals.judge(now + Duration::from_secs(1)), Verdict::Begin);
    }

    #[test]
    fn handshakes_that_do_not_end_make_all_others_prove_their_address() {
        let (mut arrivals, mut now) = (Arrivals::default(), Instant::now());
        for n in 0..UNPROVEN_HALF_OPEN_MAX as u32 {
            now += Duration::from_secs(1);
            assert_eq!(arrivals.judge(now), Verdict::Begin);
            arrivals.begin(addr(n));
        }
        now += Duration::from_secs(1);
        assert_eq!(arrivals.judge(now), Verdict::ProveAddress);
        arrivals.end(addr(0));
        assert_eq!(arrivals.judge(now), Verdict::Begin);
    }

    #[test]
    fn fifty_peers_behind_one_address_are_let_in_at_once() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        assert!(fill(&mut arrivals, addr(1), now) >= 49);
    }

    #[test]
    fn whoever_floods_leaves_room_for_an_address_that_has_none() {
        for floods in [1, 4, 40] {
            let (mut arrivals, mut now) = (Arrivals::default(), Instant::now());
            // Every handshake is given up after five rounds, and each round all addresses try as often as they like.
            let mut begun = VecDeque::new();
            for _ in 0..20 {
                now += Duration::from_secs(1);
                let round: Vec<_> = (0..64 * floods)
                    .map(|n| addr(n % floods))
                    .filter(|addr| {
                        arrivals.judge_proven(*addr, now).then(|| arrivals.begin(*addr)).is_some()
                    })
                    .collect();
                begun.push_back(round);
                if begun.len() == 5 {
                    begun.pop_front().into_iter().flatten().for_each(|addr| arrivals.end(addr));
                }
            }
            assert!(fill(&mut arrivals, addr(floods), now) >= 4, "{floods} addresses");
        }
    }

    #[test]
    fn an_address_begins_as_many_handshakes_as_its_rate_says() {
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        let mut attempt = |addr, ms| {
            let now = began + Duration::from_millis(ms);
            arrivals.judge_proven(addr, now) && {
                arrivals.begin(addr);
                arrivals.end(addr);
                true
            }
        };
        // 400 attempts a second for ten seconds.
        let begun = (0..4_000).filter(|n| attempt(addr(1), n * 10 / 4)).count();
        let most = (PROVEN.at_once + 10 * PROVEN.per_second) as usize;
        assert!((most - 2..=most).contains(&begun), "{begun}");
        assert!(attempt(addr(2), 10_000));
    }

    proptest! {
        /// The number of handshakes under way keeps to its bound and comes back to nothing.
        #[test]
        fn handshakes_keep_to_their_bound(
            steps in prop::collection::vec((0_u32..6, any::<bool>(), 0_u64..50), 1..600),
        ) {
            let (mut arrivals, mut now) = (Arrivals::default(), Instant::now());
            let mut begun = Vec::new();
            for (n, is_attempt, gap_ms) in steps {
                now += Duration::from_millis(gap_ms);
                if !is_attempt {
                    if let Some(addr) = begun.pop() {
                        arrivals.end(addr);
                    }
                } else if arrivals.judge_proven(addr(n), now) {
                    arrivals.begin(addr(n));
                    begun.push(addr(n));
                }
                prop_assert_eq!(arrivals.half_open_total, begun.len());
                prop_assert!(begun.len() <= HALF_OPEN_MAX);
            }
            for addr in begun {
                arrivals.end(addr);
            }
            prop_assert!(arrivals.half_open.is_empty() && arrivals.half_open_total == 0);
        }
    }
}
