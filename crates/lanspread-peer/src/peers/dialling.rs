//! Whom to dial, and when.
//!
//! Discovery tells addresses, connections prove one, and this table turns them into dials. Two peers
//! that discover each other at the same moment would dial each other: the one with the greater id
//! holds back for a moment, so that as a rule one connection is made. A dial that fails is tried again
//! with growing pauses as long as the peer is advertised or known.
//!
//! A connection whose address is advertised no more, or that leaves requests unanswered, is doubted.
//! It stays in use while the peer is dialled anew, and ends when the new connection takes its place.
//! Whatever the records say, dials keep to budgets: those to one peer, those to one address that nobody proved,
//! and those to strangers in total. Peers that were connected come first, then strangers whose records came from
//! where they lead to, then all others; among those, addresses take turns.

mod budget;
mod candidate;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

use self::candidate::{AddressMatch, Candidate, DialState, RETRY_MIN};
use self::targets::{Refusal, Stranger, Targets};

/// How long the peer with the greater id leaves dialling to the other: some handshakes long.
const HOLD_BACK: Duration = Duration::from_millis(750);
/// How long records of a second peer with the same identity are not looked into: as often as the conflict
/// is told.
const CONTESTED_FOR: Duration = Duration::from_secs(60);
/// How long a peer is left alone that keeps another one with the identity of this peer. When that one is
/// stopped, this one is found within the same time.
const PUT_OFF_FOR: Duration = Duration::from_secs(30);
/// Most peers whose addresses are remembered: several LAN parties. With eight places of eight addresses
/// each, that is 3 MiB at most.
const CANDIDATES_MAX: usize = 1024;
/// Addresses of a stranger that are dialled at once; the others follow with the next dial.
const STRANGER_ADDRS: usize = 2;
/// Addresses of a peer that are dialled at once.
const ADDRS_MAX: usize = 8;

/// The table of peers to dial. Owned by the command loop.
#[derive(Debug)]
pub(crate) struct DialTable {
    me: PeerId,
    candidates: BTreeMap<PeerId, Candidate>,
    targets: Targets,
    attempts: u64,
    /// How many candidates there were.
    seen: u64,
}

/// Tells the dials of this table apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
        let targets = Targets::new(Instant::now());
        Self { me, candidates: BTreeMap::new(), targets, attempts: 0, seen: 0 }
    }

    /// Takes in where discovery sees a peer, and whether that is vouched for; `linked` is the address of the
    /// connection in use.
    ///
    /// Another port is a restart, and is dialled. A host may be reached by an address that it does not
    /// advertise, so other addresses with the same port are dialled only once the connection is doubted.
    pub(crate) fn found(
        &mut self,
        peer_id: PeerId,
        addrs: Vec<SocketAddr>,
        is_vouched: bool,
        linked: Option<SocketAddr>,
        now: Instant,
    ) -> Found {
        let Some(first) = addrs.first() else { return Found::Settled };
        let stranger = match first {
            SocketAddr::V4(_) if is_vouched => Stranger::VouchedV4,
            SocketAddr::V6(_) if is_vouched => Stranger::VouchedV6,
            SocketAddr::V4(_) | SocketAddr::V6(_) => Stranger::Unvouched,
        };
        if peer_id == self.me || !self.has_room_for(peer_id, Some(stranger), first.ip()) {
            return Found::Settled;
        }
        let at = now + self.hold_back(peer_id);
        let candidate = self.candidate(peer_id, now);
        let is_news = candidate.advertise(addrs, is_vouched);
        if !is_news && candidate.state != DialState::Settled {
            return Found::Settled;
        }
        let Some(linked) = linked else {
            candidate.dial_by(at);
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
                candidate.dial_by(at);
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
            candidate.vanish();
            self.forget_unused(peer_id, now);
        }
    }

    /// Takes in that a peer is connected, and where it listens.
    pub(crate) fn linked(&mut self, peer_id: PeerId, addr: SocketAddr, now: Instant) {
        self.targets.prove(addr.ip(), now);
        if self.has_room_for(peer_id, None, addr.ip()) {
            let candidate = self.candidate(peer_id, now);
            candidate.proven = Some(addr);
            candidate.is_met = true;
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
        let is_advertised = candidate.is_advertised();
        self.forget_unused(peer_id, now);
        is_advertised
    }

    /// Takes in that somebody needs a peer that has no connection.
    pub(crate) fn dial_now(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            match &mut candidate.state {
                DialState::Due(at) => *at = now.min(*at),
                DialState::Waiting | DialState::Dialling(_) => {}
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

    /// Takes in that a dial ended, and whether it found its peer. Says nothing of what to do next.
    pub(crate) fn ended(&mut self, attempt: Attempt, is_found: bool, now: Instant) {
        self.targets.end(attempt, is_found);
        for candidate in self.candidates.values_mut() {
            if candidate.state == DialState::Waiting {
                candidate.state = DialState::Due(now);
            }
        }
    }

    /// Takes in that a dial failed.
    pub(crate) fn failed(&mut self, peer_id: PeerId, attempt: Attempt, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Dialling(attempt)
        {
            let pause = candidate.fail();
            candidate.state = DialState::Due(now + pause);
        }
    }

    /// Returns the dials that are due and within the budgets, and marks them as under way.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Dial> {
        let ready = Stranger::ALL.map(|stranger| (stranger, self.is_ready(stranger, now)));
        let is_ready = |stranger| ready.contains(&(stranger, true));
        let mut due: Vec<_> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| matches!(candidate.state, DialState::Due(at) if at <= now))
            .filter(|(_, candidate)| candidate.stranger().is_none_or(is_ready))
            .map(|(peer_id, candidate)| {
                let turn = candidate.ip().map_or(0, |ip| self.targets.turn(ip));
                (candidate.stranger(), turn, candidate.number, *peer_id)
            })
            .collect();
        due.sort_unstable();
        let dials = due.into_iter().filter_map(|(stranger, .., peer_id)| {
            // Each dial takes from what is left for the next one.
            let is_ready = stranger.is_none_or(|stranger| self.is_ready(stranger, now));
            if is_ready { self.take(peer_id, stranger, now) } else { None }
        });
        dials.collect()
    }

    fn is_ready(&self, stranger: Stranger, now: Instant) -> bool {
        self.targets.ready_at(stranger).is_some_and(|at| at <= now)
    }

    /// Takes the dial to a peer that is due, unless its own budget or those of its addresses are used up.
    fn take(&mut self, peer_id: PeerId, stranger: Option<Stranger>, now: Instant) -> Option<Dial> {
        let candidate = self.candidates.get_mut(&peer_id)?;
        let addrs = candidate.addrs();
        if addrs.is_empty() {
            candidate.state = DialState::Settled;
            return None;
        }
        let most = if stranger.is_some() { STRANGER_ADDRS } else { ADDRS_MAX };
        let taken = candidate.budget.take(now).map_err(Refusal::Until).and_then(|()| {
            let taken = self.targets.take(&addrs, most, now);
            taken.inspect_err(|_| candidate.budget.give_back())
        });
        let addrs = match taken {
            Ok(addrs) => addrs,
            Err(why) => {
                candidate.state = match why {
                    Refusal::Until(at) => DialState::Due(at),
                    Refusal::Busy => DialState::Waiting,
                };
                return None;
            }
        };
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        candidate.dialled(attempt, addrs.len());
        self.targets.begin(attempt, stranger, &addrs, now);
        Some(Dial { peer_id, attempt, addrs, doubted_at: candidate.doubted_at })
    }

    /// Returns when [`Self::take_due`] next has something to give; `None` also where that depends on the end of a
    /// dial.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let all = [None].into_iter().chain(Stranger::ALL.map(Some));
        let first_due = |stranger: Option<Stranger>| {
            let theirs = self.candidates.values().filter(|other| other.stranger() == stranger);
            let due_at = theirs.filter_map(|candidate| match candidate.state {
                DialState::Due(at) => Some(at),
                DialState::Waiting | DialState::Dialling(_) | DialState::Settled => None,
            });
            let due_at = due_at.min()?;
            match stranger {
                None => Some(due_at),
                Some(stranger) => Some(due_at.max(self.targets.ready_at(stranger)?)),
            }
        };
        all.filter_map(first_due).min()
    }

    fn hold_back(&self, peer_id: PeerId) -> Duration {
        if self.me < peer_id { Duration::ZERO } else { HOLD_BACK }
    }

    fn candidate(&mut self, peer_id: PeerId, now: Instant) -> &mut Candidate {
        self.candidates.entry(peer_id).or_insert_with(|| {
            self.seen += 1;
            Candidate::new(self.seen, now)
        })
    }

    /// Whether a peer has a place in the table, or there is one for it: that of an unconnected peer which comes later
    /// in the order of strangers, or which is as much of a stranger, at an address with more of them.
    fn has_room_for(&mut self, peer_id: PeerId, stranger: Option<Stranger>, ip: IpAddr) -> bool {
        if self.candidates.contains_key(&peer_id) {
            return true;
        }
        if self.candidates.len() < CANDIDATES_MAX {
            return true;
        }
        let victim = self.least_wanted(stranger, ip);
        match victim {
            Some(victim) => drop(self.candidates.remove(&victim)),
            None => {
                tracing::debug!(%peer_id, CANDIDATES_MAX, "too many peers; this one is not dialled")
            }
        }
        victim.is_some()
    }

    /// Returns the peer to give up for one at `ip`: one that is nowhere, or the oldest of the least wanted crowd.
    fn least_wanted(&self, stranger: Option<Stranger>, ip: IpAddr) -> Option<PeerId> {
        let mut crowds: BTreeMap<(Option<Stranger>, IpAddr), (usize, u64, PeerId)> =
            BTreeMap::new();
        for (peer_id, other) in self.candidates.iter().filter(|(_, other)| other.proven.is_none()) {
            let Some(ip) = other.ip() else { return Some(*peer_id) };
            let fresh = (0, other.number, *peer_id);
            let (count, number, oldest) = crowds.entry((other.stranger(), ip)).or_insert(fresh);
            *count += 1;
            if other.number < *number {
                (*number, *oldest) = (other.number, *peer_id);
            }
        }
        let own = crowds.get(&(stranger, ip)).map_or(0, |(count, ..)| *count);
        let ((theirs, _), (count, _, oldest)) =
            crowds.into_iter().max_by_key(|((stranger, _), (count, ..))| (*stranger, *count))?;
        ((theirs, count) > (stranger, own)).then_some(oldest)
    }

    /// Forgets a peer that is neither advertised nor known, unless it was dialled a lot: a record that
    /// comes and goes must not begin with a new budget each time.
    fn forget_unused(&mut self, peer_id: PeerId, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(&peer_id) else { return };
        if candidate.is_nowhere() {
            candidate.settle();
            if candidate.budget.is_full(now) {
                self.candidates.remove(&peer_id);
            }
        }
    }
}
