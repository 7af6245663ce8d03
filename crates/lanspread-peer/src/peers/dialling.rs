//! Whom to dial, and when.
//!
//! Discovery tells addresses, connections prove one, and this table turns them into dials. Two peers
//! that discover each other at the same moment would dial each other: the one with the greater id
//! holds back for a moment, so that as a rule one connection is made. A dial that fails is tried again
//! with growing pauses as long as the peer is advertised or known.
//!
//! A connection whose address is advertised no more, or that leaves requests unanswered, is doubted.
//! It stays in use while the peer is dialled anew, and ends when the new connection takes its place.
//! Whatever the records say, dials to one peer keep to a budget.

mod budget;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

use self::budget::Budget;

/// How long the peer with the greater id leaves dialling to the other: some handshakes long.
const HOLD_BACK: Duration = Duration::from_millis(750);
/// First pause after a dial that failed.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest pause between dials: a peer that comes back is found within it.
const RETRY_MAX: Duration = Duration::from_secs(8);
/// How long records of a second peer with the same identity are not looked into: as often as the conflict
/// is told.
const CONTESTED_FOR: Duration = Duration::from_secs(60);
/// How long a peer is left alone that keeps another one with the identity of this peer. When that one is
/// stopped, this one is found within the same time.
const PUT_OFF_FOR: Duration = Duration::from_secs(30);
/// Most peers whose addresses are remembered: several LAN parties.
const CANDIDATES_MAX: usize = 1024;

/// The table of peers to dial. Owned by the command loop.
#[derive(Debug)]
pub(crate) struct DialTable {
    me: PeerId,
    candidates: BTreeMap<PeerId, Candidate>,
    attempts: u64,
}

#[derive(Debug)]
struct Candidate {
    /// Where discovery sees the peer; empty where it does not.
    advertised: Vec<SocketAddr>,
    /// Where the peer was connected last; kept as long as it is known.
    proven: Option<SocketAddr>,
    failures: u32,
    /// Until when another port is no reason to dial: two peers have this identity, and the one that is
    /// connected is kept.
    contested_until: Option<Instant>,
    /// When the connection left a question unanswered, since when nothing was heard on it.
    doubted_at: Option<Instant>,
    state: DialState,
    budget: Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DialState {
    /// To be dialled at that time.
    Due(Instant),
    /// A dial is under way.
    Dialling(Attempt),
    /// Connected, or not to be dialled until something changes.
    Settled,
}

/// Tells the dials of this table apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt(u64);

/// A dial to make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) peer_id: PeerId,
    pub(crate) attempt: Attempt,
    /// Where the peer may be, the likeliest address first.
    pub(crate) addrs: Vec<SocketAddr>,
    /// Since when the connection that there is is doubted.
    pub(crate) doubted_at: Option<Instant>,
}

/// What a record says about the connection in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing that the table has not dealt with.
    Settled,
    /// The address in use is not advertised: the connection is to be asked for a sign of life.
    Elsewhere,
}

impl DialTable {
    pub(crate) fn new(me: PeerId) -> Self {
        Self { me, candidates: BTreeMap::new(), attempts: 0 }
    }

    /// Takes in where discovery sees a peer; `linked` is the address of the connection in use.
    ///
    /// Another port is a restart, and is dialled. A host may be reached by an address that it does not
    /// advertise, so other addresses with the same port are dialled only once the connection is doubted.
    pub(crate) fn found(
        &mut self,
        peer_id: PeerId,
        addrs: Vec<SocketAddr>,
        linked: Option<SocketAddr>,
        now: Instant,
    ) -> Found {
        if peer_id == self.me || addrs.is_empty() || !self.has_room_for(peer_id, now) {
            return Found::Settled;
        }
        let at = now + self.hold_back(peer_id);
        let candidate = self.candidates.entry(peer_id).or_insert_with(|| Candidate::new(now));
        let is_news = !candidate.has_addrs(&addrs);
        if !is_news && candidate.state != DialState::Settled {
            return Found::Settled;
        }
        candidate.advertised = addrs;
        let Some(linked) = linked else {
            candidate.dial_at(at);
            return Found::Settled;
        };
        let is_contested = candidate.contested_until.is_some_and(|until| now < until);
        match candidate.match_of(linked) {
            // A doubt is about an address that is advertised as well.
            AddressMatch::Named if candidate.doubted_at.is_some() => Found::Settled,
            AddressMatch::Named => {
                candidate.state = DialState::Settled;
                Found::Settled
            }
            AddressMatch::OtherPort if !is_contested => {
                candidate.dial_at(at);
                Found::Settled
            }
            AddressMatch::OtherHost | AddressMatch::OtherPort if candidate.doubted_at.is_some() => {
                candidate.doubt_at(now);
                Found::Settled
            }
            AddressMatch::OtherHost | AddressMatch::OtherPort => {
                candidate.state = DialState::Settled;
                Found::Elsewhere
            }
        }
    }

    /// Takes in that discovery does not see a peer any more.
    pub(crate) fn vanished(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.advertised.clear();
            self.forget_unused(peer_id, now);
        }
    }

    /// Takes in that a peer is connected, and where it listens.
    pub(crate) fn linked(&mut self, peer_id: PeerId, addr: SocketAddr, now: Instant) {
        if self.has_room_for(peer_id, now) {
            let candidate = self.candidates.entry(peer_id).or_insert_with(|| Candidate::new(now));
            candidate.proven = Some(addr);
            candidate.settle();
        }
    }

    /// Takes in that a peer must not be dialled until its advertisement changes.
    pub(crate) fn rejected(&mut self, peer_id: PeerId) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.settle();
        }
    }

    /// Takes in that another peer has the identity of a connected one, which is kept.
    pub(crate) fn contested(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.contested_until = Some(now + CONTESTED_FOR);
            candidate.settle();
        }
    }

    /// Takes in that a peer keeps another one with the identity of this peer.
    pub(crate) fn put_off(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.dial_at(now + PUT_OFF_FOR);
        }
    }

    /// Takes in that the connection to a known peer is gone.
    pub(crate) fn unlinked(&mut self, peer_id: PeerId, now: Instant) {
        let at = now + RETRY_MIN + self.hold_back(peer_id);
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.doubted_at = None;
            if candidate.state == DialState::Settled {
                candidate.state = DialState::Due(at);
            }
        }
    }

    /// Takes in that a peer is not known any more. It is dialled as long as it is advertised. Returns
    /// whether it is.
    pub(crate) fn lost(&mut self, peer_id: PeerId, now: Instant) -> bool {
        self.unlinked(peer_id, now);
        let Some(candidate) = self.candidates.get_mut(&peer_id) else { return false };
        candidate.proven = None;
        let is_advertised = !candidate.advertised.is_empty();
        self.forget_unused(peer_id, now);
        is_advertised
    }

    /// Takes in that somebody needs a peer that has no connection.
    pub(crate) fn dial_now(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            match &mut candidate.state {
                DialState::Due(at) => *at = now.min(*at),
                DialState::Dialling(_) => {}
                DialState::Settled => candidate.state = DialState::Due(now),
            }
        }
    }

    /// Takes in that a known peer without a connection is silent: it is dialled in its turn.
    pub(crate) fn needed(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Settled
        {
            candidate.dial_at(now);
        }
    }

    /// Takes in that the connection to a peer leaves a question unanswered.
    pub(crate) fn doubted(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Settled
        {
            candidate.doubt_at(now);
        }
    }

    /// Takes in when the last sign of life came on the connection to a peer.
    pub(crate) fn heard(&mut self, peer_id: PeerId, at: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.doubted_at.is_some_and(|doubted_at| at > doubted_at)
        {
            candidate.settle();
        }
    }

    /// Takes in that a dial failed.
    pub(crate) fn failed(&mut self, peer_id: PeerId, attempt: Attempt, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Dialling(attempt)
        {
            candidate.failures = candidate.failures.saturating_add(1);
            let pause = RETRY_MIN.saturating_mul(1 << candidate.failures.min(10)).min(RETRY_MAX);
            candidate.state = DialState::Due(now + pause);
        }
    }

    /// Returns the dials that are due, and marks them as under way.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Dial> {
        let mut due = Vec::new();
        for (peer_id, candidate) in &mut self.candidates {
            let is_due = matches!(candidate.state, DialState::Due(at) if at <= now);
            if !is_due {
                continue;
            }
            let addrs = candidate.addrs();
            if addrs.is_empty() {
                candidate.state = DialState::Settled;
                continue;
            }
            if let Err(at) = candidate.budget.take(now) {
                candidate.state = DialState::Due(at);
                continue;
            }
            self.attempts += 1;
            let attempt = Attempt(self.attempts);
            candidate.state = DialState::Dialling(attempt);
            let doubted_at = candidate.doubted_at;
            due.push(Dial { peer_id: *peer_id, attempt, addrs, doubted_at });
        }
        due
    }

    /// Returns when [`Self::take_due`] next has something to give.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.candidates
            .values()
            .filter_map(|candidate| match candidate.state {
                DialState::Due(at) => Some(at),
                DialState::Dialling(_) | DialState::Settled => None,
            })
            .min()
    }

    fn hold_back(&self, peer_id: PeerId) -> Duration {
        if self.me < peer_id { Duration::ZERO } else { HOLD_BACK }
    }

    /// Whether a peer has a place in the table, or there is one for it.
    fn has_room_for(&mut self, peer_id: PeerId, now: Instant) -> bool {
        if self.candidates.contains_key(&peer_id) {
            return true;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            self.candidates.retain(|_, candidate| !candidate.addrs().is_empty());
        }
        let has_room = self.candidates.len() < CANDIDATES_MAX;
        if !has_room {
            tracing::warn!(%peer_id, %CANDIDATES_MAX, ?now, "too many peers; this one is not dialled");
        }
        has_room
    }

    /// Forgets a peer that is neither advertised nor known, unless it was dialled a lot: a record that
    /// comes and goes must not begin with a new budget each time.
    fn forget_unused(&mut self, peer_id: PeerId, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(&peer_id) else { return };
        if candidate.addrs().is_empty() {
            candidate.settle();
            if candidate.budget.is_full(now) {
                self.candidates.remove(&peer_id);
            }
        }
    }
}

/// Where a connection leads, compared with what is advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressMatch {
    Named,
    OtherPort,
    OtherHost,
}

impl Candidate {
    fn new(now: Instant) -> Self {
        Self {
            advertised: Vec::new(),
            proven: None,
            failures: 0,
            contested_until: None,
            doubted_at: None,
            state: DialState::Settled,
            budget: Budget::new(now),
        }
    }

    /// Whether these are its addresses, in whichever order.
    fn has_addrs(&self, addrs: &[SocketAddr]) -> bool {
        self.advertised.len() == addrs.len()
            && addrs.iter().all(|addr| self.advertised.contains(addr))
    }

    fn match_of(&self, linked: SocketAddr) -> AddressMatch {
        let is_named = self.advertised.iter().any(|addr| is_same_place(*addr, linked));
        let has_port = self.advertised.iter().any(|addr| addr.port() == linked.port());
        match (is_named, has_port) {
            (true, _) => AddressMatch::Named,
            (false, true) => AddressMatch::OtherHost,
            (false, false) => AddressMatch::OtherPort,
        }
    }

    /// All addresses: the proven one first, unless it is the one that is doubted.
    fn addrs(&self) -> Vec<SocketAddr> {
        let Some(proven) = self.proven else { return self.advertised.clone() };
        let others = self.advertised.iter().filter(|addr| !is_same_place(**addr, proven));
        let mut addrs: Vec<_> = others.copied().collect();
        let is_elsewhere =
            self.doubted_at.is_some() || self.match_of(proven) != AddressMatch::Named;
        let at = if is_elsewhere { addrs.len() } else { 0 };
        addrs.insert(at, proven);
        addrs
    }

    fn dial_at(&mut self, at: Instant) {
        self.state = DialState::Due(at);
        self.failures = 0;
        self.doubted_at = None;
    }

    fn doubt_at(&mut self, at: Instant) {
        self.dial_at(at);
        self.doubted_at = Some(at);
    }

    fn settle(&mut self) {
        self.state = DialState::Settled;
        self.failures = 0;
        self.doubted_at = None;
    }
}

/// Whether two addresses lead to the same place; the scope of a link-local address may be unknown.
fn is_same_place(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}
