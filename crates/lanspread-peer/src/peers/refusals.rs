//! Refusals of strangers, told in sums.
//!
//! A stranger can be refused as often as it likes, and an identity costs it nothing. So refusals are counted by IP
//! address: the first one of an address is told at once, and those that follow as one sum after a pause. All
//! addresses share a budget for each minute. What is beyond it is told as one sum of all of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lanspread_net::handshake::RejectReason;
use lanspread_proto::PeerId;
use tokio::time::Instant;

/// Shortest time between two reports of one address: a person who mends a setting sees the effect soon.
const PAUSE: Duration = Duration::from_secs(5);
/// Most reports of single addresses in a [`MINUTE`]: a party of 50 peers with a wrong key is told whole, and a log of
/// them grows by less than 20 MB a day.
const TOLD_PER_MINUTE: usize = 60;
/// The time that the budget is for, and the pause between two sums of all addresses beyond it.
const MINUTE: Duration = Duration::from_secs(60);
/// Longest message in bytes: the other side can put words into it.
const MESSAGE_MAX_BYTES: usize = 512;

/// A peer that was not let in, or did not let this one in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) peer_id: Option<PeerId>,
    pub(crate) addr: SocketAddr,
    pub(crate) reason: RejectReason,
    pub(crate) message: String,
}

/// The newest of some refusals, and how many they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusalSum {
    pub(crate) newest: Refused,
    pub(crate) count: u64,
}

/// The refusals of the last moments. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The addresses of which something was told within [`PAUSE`]; the budget bounds them.
    addresses: BTreeMap<IpAddr, Recent>,
    /// Of all other addresses.
    others: Option<RefusalSum>,
    /// When that is told.
    others_at: Option<Instant>,
    /// When something was told in the last minute; [`TOLD_PER_MINUTE`] at most.
    told: VecDeque<Instant>,
}

#[derive(Debug)]
struct Recent {
    told_at: Instant,
    /// What has come since.
    untold: Option<RefusalSum>,
}

impl Refusals {
    /// Takes in a refusal. Returns what is to be told at once.
    pub(crate) fn add(&mut self, refused: Refused, now: Instant) -> Option<RefusalSum> {
        let sum = RefusalSum { newest: shortened(refused), count: 1 };
        self.addresses.retain(|_, it| it.untold.is_some() || now < it.told_at + PAUSE);
        let address = sum.newest.addr.ip().to_canonical();
        if let Some(recent) = self.addresses.get_mut(&address) {
            add_up(&mut recent.untold, sum);
            return None;
        }
        if !self.spend(now) {
            self.add_to_others(sum, now);
            return None;
        }
        self.addresses.insert(address, Recent { told_at: now, untold: None });
        Some(sum)
    }

    /// Returns when the next sum is to be told.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let summed = self.addresses.values().filter(|it| it.untold.is_some());
        summed.map(|it| it.told_at + PAUSE).chain(self.others_at).min()
    }

    /// Returns the sums that are to be told at `now`, in the order of their addresses.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<RefusalSum> {
        let mut due = Vec::new();
        for (address, recent) in std::mem::take(&mut self.addresses) {
            let is_over = recent.told_at + PAUSE <= now;
            match recent.untold {
                Some(sum) if is_over && self.spend(now) => {
                    due.push(sum);
                    self.addresses.insert(address, Recent { told_at: now, untold: None });
                }
                Some(sum) if is_over => self.add_to_others(sum, now),
                None if is_over => {}
                untold => drop(self.addresses.insert(address, Recent { untold, ..recent })),
            }
        }
        if self.others_at.is_some_and(|at| at <= now) {
            self.others_at = None;
            due.extend(self.others.take());
        }
        due
    }

    fn add_to_others(&mut self, sum: RefusalSum, now: Instant) {
        add_up(&mut self.others, sum);
        self.others_at.get_or_insert(now + MINUTE);
    }

    /// Takes one report from the budget, if there is one left.
    fn spend(&mut self, now: Instant) -> bool {
        while self.told.front().is_some_and(|at| *at + MINUTE <= now) {
            self.told.pop_front();
        }
        let is_left = self.told.len() < TOLD_PER_MINUTE;
        if is_left {
            self.told.push_back(now);
        }
        is_left
    }
}

fn add_up(total: &mut Option<RefusalSum>, sum: RefusalSum) {
    let before = total.take().map_or(0, |total| total.count);
    *total = Some(RefusalSum { count: before + sum.count, ..sum });
}

fn shortened(mut refused: Refused) -> Refused {
    let end = refused.message.floor_char_boundary(MESSAGE_MAX_BYTES);
    refused.message.truncate(end);
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: impl Into<IpAddr>, port: u16) -> Refused {
        let addr = SocketAddr::new(address.into(), port);
        let (reason, message) = (RejectReason::Network, "no".to_owned());
        Refused { peer_id: None, addr, reason, message }
    }

    fn counts(sums: &[RefusalSum]) -> Vec<u64> {
        sums.iter().map(|sum| sum.count).collect()
    }

    /// Lets strangers be refused a hundred times a second for five minutes; returns what is told in each.
    fn flood(mut address: impl FnMut(u32) -> IpAddr) -> Vec<Vec<RefusalSum>> {
        let began = Instant::now();
        let mut refusals = Refusals::default();
        let mut told = vec![Vec::new(); 5];
        for n in 0..5 * 60 * 100_u32 {
            let now = began + Duration::from_millis(10) * n;
            let minute = told.get_mut(usize::try_from(n / 6000).unwrap()).unwrap();
            if refusals.next_due().is_some_and(|at| at <= now) {
                minute.extend(refusals.take_due(now));
            }
            minute.extend(refusals.add(refused(address(n), 1), now));
            assert!(refusals.addresses.len() <= TOLD_PER_MINUTE);
        }
        let rest: u64 =
            refusals.addresses.into_values().filter_map(|it| it.untold).map(|it| it.count).sum();
        let others = refusals.others.map_or(0, |sum| sum.count);
        let all: u64 = told.iter().flatten().map(|sum| sum.count).sum();
        assert_eq!(all + rest + others, 30_000, "none is lost");
        told
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_of_an_address_is_told_at_once_and_the_others_in_sums() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(refused([10, 0, 0, 1], 1), at(0)).unwrap().count, 1);
        assert_eq!(refusals.next_due(), None);
        for port in 2..9 {
            assert_eq!(refusals.add(refused([10, 0, 0, 1], port), at(10)), None);
        }
        assert_eq!(refusals.add(refused([10, 0, 0, 2], 1), at(20)).unwrap().count, 1);
        assert_eq!(refusals.next_due(), Some(at(5_000)));
        assert_eq!(refusals.take_due(at(4_999)), []);
        let sum = RefusalSum { newest: refused([10, 0, 0, 1], 8), count: 7 };
        assert_eq!(refusals.take_due(at(5_000)), [sum]);
        assert_eq!(refusals.next_due(), None);
        // Its pause has begun anew.
        assert_eq!(refusals.add(refused([10, 0, 0, 1], 9), at(9_999)), None);
        assert_eq!(counts(&refusals.take_due(at(10_000))), [1]);
        assert_eq!(refusals.add(refused([10, 0, 0, 1], 9), at(15_000)).unwrap().count, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_gets_twelve_reports_a_minute() {
        let mapped = |n: u32| match n % 2 {
            0 => IpAddr::from([10, 0, 0, 1]),
            _ => IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0001]),
        };
        assert!(flood(mapped).iter().all(|minute| (12..=13).contains(&minute.len())));
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_addresses_gets_more_than_the_budget() {
        let of_a_network = |n: u32| {
            let [a, b, c, d] = n.to_be_bytes().map(u16::from);
            IpAddr::from([0xfe80, 0, 0, 0, a, b, c, d])
        };
        for minute in flood(of_a_network) {
            assert!(minute.len() <= TOLD_PER_MINUTE + 1, "{}", minute.len());
        }
        let again = |n: u32| IpAddr::from([10, 0, 0, u8::try_from(n % 200).unwrap()]);
        for minute in flood(again) {
            assert!(minute.len() <= TOLD_PER_MINUTE + 1, "{}", minute.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_with_a_wrong_key_is_told_whole() {
        let (now, mut refusals) = (Instant::now(), Refusals::default());
        let told = (0..50).filter_map(|n| refusals.add(refused([10, 0, 0, n], 1), now));
        assert_eq!(told.count(), 50);
    }

    #[test]
    fn words_of_others_are_cut_short_between_characters() {
        let message = "é".repeat(MESSAGE_MAX_BYTES);
        let cut = shortened(Refused { message, ..refused([10, 0, 0, 1], 1) });
        assert_eq!(cut.message, "é".repeat(MESSAGE_MAX_BYTES / 2));
    }
}
