//! What is known of a peer that may be dialled.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lanspread_transfer::backoff::Backoff;
use tokio::time::Instant;

use super::Attempt;
use super::budget::{Budget, PER_PEER};
use super::targets::Stranger;

/// First pause after a dial that failed.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest pause between dials to a peer that was connected before: one that comes back is found within it.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(8);
/// Longest pause between dials to a stranger. Its record may be old or a lie, and whoever is there dials too.
const STRANGER_RETRY_MAX: Duration = Duration::from_secs(256);
/// First pause after a failed dial to a stranger for whom nobody vouches; each further one is four times as long.
const UNVOUCHED_RETRY_MIN: Duration = Duration::from_secs(4);
/// Places that are remembered of one peer: anybody can write a record about it, which must not make the true one
/// forgotten. All but one of them are vouched for, each by another address.
pub(super) const PLACES_MAX: usize = 8;
/// Addresses that are remembered of one place.
const ADDRS_PER_PLACE: usize = 8;

/// Where one record says that a peer is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    addrs: Vec<SocketAddr>,
    is_vouched: bool,
    dials: u32,
}

#[derive(Debug)]
pub(super) struct Candidate {
    /// Where discovery sees the peer, the latest record first; empty where it does not.
    places: Vec<Place>,
    /// Where the peer was connected last; kept as long as it is known.
    pub(super) proven: Option<SocketAddr>,
    /// Whether it was ever connected.
    pub(super) is_met: bool,
    backoff: Backoff,
    /// Until when another port is no reason to dial: two peers have this identity, and the one that is
    /// connected is kept.
    pub(super) contested_until: Option<Instant>,
    /// When the connection left a question unanswered, since when nothing was heard on it.
    pub(super) doubted_at: Option<Instant>,
    pub(super) state: DialState,
    pub(super) budget: Budget,
    /// Tells which candidate is older.
    pub(super) number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialState {
    /// To be dialled at that time.
    Due(Instant),
    /// To be dialled once a dial to the same address has ended.
    Waiting,
    /// A dial is under way.
    Dialling(Attempt),
    /// Connected, or not to be dialled until something changes.
    Settled,
}

/// Where a connection leads, compared with what is advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressMatch {
    Named,
    OtherPort,
    OtherHost,
}

impl Candidate {
    pub(super) fn new(number: u64, now: Instant) -> Self {
        Self {
            places: Vec::new(),
            proven: None,
            is_met: false,
            backoff: Backoff::doubling(RETRY_MIN, STRANGER_RETRY_MAX),
            contested_until: None,
            doubted_at: None,
            state: DialState::Settled,
            budget: Budget::new(PER_PEER, now),
            number,
        }
    }

    /// Returns which stranger it is; `None` where it was connected before.
    pub(super) fn stranger(&self) -> Option<Stranger> {
        if self.is_met {
            return None;
        }
        let vouched = self.places.iter().filter(|place| place.is_vouched);
        let first =
            vouched.filter_map(|place| place.addrs.first()).min_by_key(|addr| addr.is_ipv6());
        Some(match first {
            Some(SocketAddr::V4(_)) => Stranger::VouchedV4,
            Some(SocketAddr::V6(_)) => Stranger::VouchedV6,
            None => Stranger::Unvouched,
        })
    }

    /// Returns where it is said to be before all: the address that its turns are counted by.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        let addr = self.proven.or_else(|| self.places.first()?.addrs.first().copied());
        addr.map(|addr| addr.ip())
    }

    pub(super) fn is_advertised(&self) -> bool {
        !self.places.is_empty()
    }

    pub(super) fn is_nowhere(&self) -> bool {
        self.proven.is_none() && self.places.is_empty()
    }

    /// Takes in where a record sees it. Returns whether that is news.
    pub(super) fn advertise(&mut self, mut addrs: Vec<SocketAddr>, is_vouched: bool) -> bool {
        addrs.truncate(ADDRS_PER_PLACE);
        if let Some(latest) = self.places.first_mut()
            && is_same_set(&latest.addrs, &addrs)
        {
            latest.is_vouched |= is_vouched;
            return false;
        }
        // The same hosts with another port are a restart, and a record without a voucher takes the one place of
        // these. What was dialled in vain there counts, so that changing records get no more turns than others.
        let (mut kept, mut dials) = (Vec::new(), 0);
        for place in self.places.drain(..) {
            if is_same_hosts(&place.addrs, &addrs) || !is_vouched && !place.is_vouched {
                dials = dials.max(place.dials);
            } else {
                kept.push(place);
            }
        }
        self.places = kept;
        if self.places.len() >= PLACES_MAX {
            // The later of two that were dialled as often is the older one.
            let tried = self.places.iter().enumerate().max_by_key(|(_, place)| place.dials);
            if let Some((at, _)) = tried {
                self.places.remove(at);
            }
        }
        self.places.insert(0, Place { addrs, is_vouched, dials });
        true
    }

    pub(super) fn vanish(&mut self) {
        self.places.clear();
    }

    pub(super) fn match_of(&self, linked: SocketAddr) -> AddressMatch {
        let latest = self.places.first().map(|place| &place.addrs[..]).unwrap_or_default();
        let is_named = latest.iter().any(|addr| is_same_place(*addr, linked));
        let has_port = latest.iter().any(|addr| addr.port() == linked.port());
        match (is_named, has_port) {
            (true, _) => AddressMatch::Named,
            (false, true) => AddressMatch::OtherHost,
            (false, false) => AddressMatch::OtherPort,
        }
    }

    /// Returns where to dial it next: at the place that was dialled least, or, if it was connected, at the latest
    /// one and at the proven address. That one comes first unless it is doubted.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let next = self.next_place().and_then(|at| self.places.get(at));
        let advertised = next.map(|place| &place.addrs[..]).unwrap_or_default();
        let Some(proven) = self.proven else { return advertised.to_vec() };
        let others = advertised.iter().filter(|addr| !is_same_place(**addr, proven));
        let mut addrs: Vec<_> = others.copied().collect();
        let is_elsewhere =
            self.doubted_at.is_some() || self.match_of(proven) != AddressMatch::Named;
        let at = if is_elsewhere { addrs.len() } else { 0 };
        addrs.insert(at, proven);
        addrs
    }

    /// The place that was dialled least: the latest of them, one that is vouched for before the others. The proven
    /// address is dialled in any case.
    fn next_place(&self) -> Option<usize> {
        let is_proven = |place: &Place| {
            let has = |proven| place.addrs.iter().any(|addr| is_same_place(*addr, proven));
            self.proven.is_some_and(has)
        };
        let places = self.places.iter().enumerate();
        places
            .min_by_key(|(at, place)| (is_proven(place), place.dials, !place.is_vouched, *at))
            .map(|(at, _)| at)
    }

    /// Notes a dial to the first `count` of [`Self::addrs`]; others of the same place are next.
    pub(super) fn dialled(&mut self, attempt: Attempt, count: usize) {
        self.state = DialState::Dialling(attempt);
        let is_stranger = self.proven.is_none();
        let next = self.next_place();
        if let Some(place) = next.and_then(|at| self.places.get_mut(at)) {
            place.dials = place.dials.saturating_add(1);
            if is_stranger && count < place.addrs.len() {
                place.addrs.rotate_left(count);
            }
        }
    }

    /// Notes that a dial failed. Returns how long to pause.
    pub(super) fn fail(&mut self) -> Duration {
        self.backoff.fail()
    }

    /// Has it dialled at that time at the latest: news that come all the time put nothing off.
    pub(super) fn dial_by(&mut self, at: Instant) {
        self.state = match self.state {
            DialState::Due(due_at) => DialState::Due(due_at.min(at)),
            DialState::Waiting => DialState::Waiting,
            DialState::Dialling(_) | DialState::Settled => DialState::Due(at),
        };
        self.reset();
    }

    pub(super) fn dial_at(&mut self, at: Instant) {
        self.state = DialState::Due(at);
        self.reset();
    }

    pub(super) fn doubt_at(&mut self, at: Instant) {
        self.dial_at(at);
        self.doubted_at = Some(at);
    }

    pub(super) fn settle(&mut self) {
        self.state = DialState::Settled;
        self.reset();
    }

    fn reset(&mut self) {
        self.doubted_at = None;
        self.backoff = match self.stranger() {
            None => Backoff::doubling(RETRY_MIN, RETRY_MAX),
            Some(Stranger::VouchedV4 | Stranger::VouchedV6) => {
                Backoff::doubling(RETRY_MIN, STRANGER_RETRY_MAX)
            }
            Some(Stranger::Unvouched) => Backoff::new(UNVOUCHED_RETRY_MIN, STRANGER_RETRY_MAX, 4),
        };
    }
}

/// Whether these are the same addresses, in whichever order.
fn is_same_set(some: &[SocketAddr], others: &[SocketAddr]) -> bool {
    some.len() == others.len() && some.iter().all(|addr| others.contains(addr))
}

fn is_same_hosts(some: &[SocketAddr], others: &[SocketAddr]) -> bool {
    let has = |addr: &SocketAddr| others.iter().any(|other| other.ip() == addr.ip());
    some.len() == others.len() && some.iter().all(has)
}

/// Whether two addresses lead to the same place; the scope of a link-local address may be unknown.
fn is_same_place(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}
