//! How much is sent to addresses that nobody proved.
//!
//! Anyone on the link can write records that lead to anywhere on it. A dial to an address at which nobody answers
//! is three to five packets of 1,200 bytes, so dials are counted by the address that they go to, whatever peers
//! are said to be there, and in total. A dial that finds its peer costs nothing: it is given back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::Attempt;
use super::budget::{Allowance, Budget};

/// Dials to one address that nobody proved: some ports of it, then 750 bytes a second.
const UNPROVEN: Allowance = Allowance { at_once: 4, interval: Duration::from_secs(8) };
/// Dials to one address at which a peer answered: a party on one machine that is started anew.
const PROVEN: Allowance = Allowance { at_once: 64, interval: Duration::from_millis(250) };
/// How long an address stays proven after a peer was connected there.
const PROVEN_FOR: Duration = Duration::from_secs(600);
/// Dials to strangers of one family whose records are vouched for: a party that starts at one moment, and everybody
/// in a /24 network within 8 s.
const VOUCHED: Allowance = Allowance { at_once: 64, interval: Duration::from_millis(31) };
/// Dials to strangers whose records nobody vouches for: 12 kB a second.
const UNVOUCHED: Allowance = Allowance { at_once: 8, interval: Duration::from_millis(500) };
/// Dials to one address that are under way at the same time.
const UNDER_WAY_PER_TARGET: usize = 4;
/// Most addresses that are counted apart: those of all candidates and as many again.
const TARGETS_MAX: usize = 2048;

/// A peer that was never connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stranger {
    /// Its record came from where it leads to, an IPv4 address.
    VouchedV4,
    /// The same with an IPv6 address, of which a machine may have any number.
    VouchedV6,
    /// Anybody may have written its record.
    Unvouched,
}

impl Stranger {
    pub(super) const ALL: [Self; 3] = [Self::VouchedV4, Self::VouchedV6, Self::Unvouched];

    /// How many dials to all of them may be under way. One that nobody answers takes 5 s.
    fn under_way_max(self) -> usize {
        match self {
            Self::VouchedV4 | Self::VouchedV6 => 192,
            Self::Unvouched => 8,
        }
    }
}

/// The dials to all addresses.
#[derive(Debug)]
pub(super) struct Targets {
    targets: BTreeMap<IpAddr, Target>,
    vouched_v4: Budget,
    vouched_v6: Budget,
    unvouched: Budget,
    under_way: BTreeMap<Attempt, (Option<Stranger>, Vec<IpAddr>)>,
    dials: u64,
}

#[derive(Debug)]
struct Target {
    budget: Budget,
    proven_at: Option<Instant>,
    /// The number of the last dial; targets take turns.
    last_dial: u64,
    under_way: usize,
}

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Its budget is used up until then.
    Until(Instant),
    /// Too many dials to it are under way.
    Busy,
}

impl Targets {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            targets: BTreeMap::new(),
            vouched_v4: Budget::new(VOUCHED, now),
            vouched_v6: Budget::new(VOUCHED, now),
            unvouched: Budget::new(UNVOUCHED, now),
            under_way: BTreeMap::new(),
            dials: 0,
        }
    }

    /// Returns when a stranger may be dialled at the earliest; `None` as long as too many are.
    pub(super) fn ready_at(&self, stranger: Stranger) -> Option<Instant> {
        let under_way = self.under_way.values().filter(|(other, _)| *other == Some(stranger));
        let has_room = under_way.count() < stranger.under_way_max();
        has_room.then(|| match stranger {
            Stranger::VouchedV4 => self.vouched_v4.ready_at(),
            Stranger::VouchedV6 => self.vouched_v6.ready_at(),
            Stranger::Unvouched => self.unvouched.ready_at(),
        })
    }

    /// Returns the turn of an address: the lowest number is next.
    pub(super) fn turn(&self, ip: IpAddr) -> u64 {
        self.targets.get(&ip).map_or(0, |target| target.last_dial)
    }

    /// Takes a dial to each of these addresses that may be dialled, `most` of them at most.
    ///
    /// # Errors
    /// The [`Refusal`] that ends first, where none may be dialled.
    pub(super) fn take(
        &mut self,
        addrs: &[SocketAddr],
        most: usize,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let (mut taken, mut refused) = (Vec::new(), None);
        for addr in addrs {
            if taken.len() == most {
                break;
            }
            match self.take_one(addr.ip(), now) {
                Ok(()) => taken.push(*addr),
                Err(why) => refused = Some(refused.map_or(why, |other: Refusal| other.min(why))),
            }
        }
        match refused {
            Some(why) if taken.is_empty() => Err(why),
            _ => Ok(taken),
        }
    }

    fn take_one(&mut self, ip: IpAddr, now: Instant) -> Result<(), Refusal> {
        if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(&ip) {
            self.targets.retain(|_, target| !target.is_forgettable(now));
            if self.targets.len() >= TARGETS_MAX {
                return Err(Refusal::Until(now + UNPROVEN.interval));
            }
        }
        let number = self.dials + 1;
        let target = self.target(ip, now);
        target.settle(now);
        if target.under_way >= UNDER_WAY_PER_TARGET {
            return Err(Refusal::Busy);
        }
        target.budget.take(now).map_err(Refusal::Until)?;
        target.last_dial = number;
        self.dials = number;
        Ok(())
    }

    /// Notes a dial that begins, to a stranger or to a peer that was connected before.
    pub(super) fn begin(
        &mut self,
        attempt: Attempt,
        stranger: Option<Stranger>,
        addrs: &[SocketAddr],
        now: Instant,
    ) {
        if let Some(stranger) = stranger {
            // One is left: `ready_at` said so.
            let _ = self.strangers(stranger).take(now);
        }
        let ips: Vec<_> = addrs.iter().map(SocketAddr::ip).collect();
        for ip in &ips {
            self.target(*ip, now).under_way += 1;
        }
        self.under_way.insert(attempt, (stranger, ips));
    }

    /// Notes that a dial ended, and whether it found its peer.
    pub(super) fn end(&mut self, attempt: Attempt, is_found: bool) {
        let Some((stranger, ips)) = self.under_way.remove(&attempt) else { return };
        for ip in ips {
            let Some(target) = self.targets.get_mut(&ip) else { continue };
            target.under_way = target.under_way.saturating_sub(1);
            if is_found {
                target.budget.give_back();
            }
        }
        if let Some(stranger) = stranger.filter(|_| is_found) {
            self.strangers(stranger).give_back();
        }
    }

    /// Notes that a peer is connected at an address.
    pub(super) fn prove(&mut self, ip: IpAddr, now: Instant) {
        if self.targets.len() < TARGETS_MAX || self.targets.contains_key(&ip) {
            let target = self.target(ip, now);
            target.proven_at = Some(now);
            target.settle(now);
        }
    }

    fn strangers(&mut self, stranger: Stranger) -> &mut Budget {
        match stranger {
            Stranger::VouchedV4 => &mut self.vouched_v4,
            Stranger::VouchedV6 => &mut self.vouched_v6,
            Stranger::Unvouched => &mut self.unvouched,
        }
    }

    fn target(&mut self, ip: IpAddr, now: Instant) -> &mut Target {
        self.targets.entry(ip).or_insert_with(|| Target {
            budget: Budget::new(UNPROVEN, now),
            proven_at: None,
            last_dial: 0,
            under_way: 0,
        })
    }
}

impl Target {
    /// Brings the budget in line with whether the address is proven.
    fn settle(&mut self, now: Instant) {
        let is_proven = self.proven_at.is_some_and(|at| now < at + PROVEN_FOR);
        self.budget.allow(if is_proven { PROVEN } else { UNPROVEN });
    }

    fn is_forgettable(&mut self, now: Instant) -> bool {
        self.settle(now);
        let is_proven = self.proven_at.is_some_and(|at| now < at + PROVEN_FOR);
        !is_proven && self.under_way == 0 && self.budget.is_full(now)
    }
}

#[cfg(test)]
mod tests;
