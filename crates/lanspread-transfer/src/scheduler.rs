//! Which piece is asked of which source, and when.
//!
//! Pure: takes what happened and `now` (time since the download began) and says what to do. There
//! are sources that have everything, and sources that fetch the same game and have a part of it.
//! Whoever has room in its window is asked for
//!
//! 1. if it has everything: what nobody else has or is about to have;
//! 2. if it has a part: the rarest of what it has;
//! 3. if it has everything: whatever else is missing, since those that have a part are busy then, but
//!    not while others wait for what only it can give them;
//! 4. once every piece is asked for: one that is late and asked of one other source. The first
//!    answer counts.
//!
//! So peers that fetch the same game ask for different pieces and give them to each other, and who
//! has everything sends little of it twice. A piece that fails goes back and its source pauses.
//!
//! It promises that every piece is asked for until it is written, by at most two sources at a time,
//! and that a source that can give a piece is asked for one. It knows nothing of bytes, hashes or
//! files.
//!
//! What it measures of a source is of use here alone, and kept here in one entry for each source. The
//! entry begins with [`Scheduler::join`] or [`Scheduler::offer`]; [`Scheduler::leave`] removes it.

mod offers;
mod pace;
mod pending;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PeerId;

pub use self::offers::Outlook;
pub use self::pending::Order;
use self::pending::Pending;
use self::source::SourceState;
pub use self::source::{RequestFailure, Trust};
use crate::layout::PieceIndex;

/// Most pieces in memory, asked for or waiting for the disk: 64 MiB, which keeps several fast
/// sources busy. A source that has nothing to do may still be asked for one, so that requests to
/// dead sources cannot lock out the others.
pub const PIECES_IN_MEMORY_MAX: usize = 32;

/// How long a piece that another peer is asking for is left to that peer, where nothing else is to
/// be had: so many times as long as sources take for a piece here, within bounds. A source with a queue
/// takes that long for others as well; who is much slower must not set the pace.
const IN_FLIGHT_FACTOR: u32 = 4;
const IN_FLIGHT_PATIENCE_MIN: Duration = Duration::from_secs(1);
const IN_FLIGHT_PATIENCE_MAX: Duration = Duration::from_secs(20);
/// The same, where no source has answered yet.
const IN_FLIGHT_PATIENCE_UNKNOWN: Duration = Duration::from_secs(5);
/// How much sooner than its source a second one must be able to deliver a piece at the end.
const SECOND_MARGIN: Duration = Duration::from_millis(50);

/// One request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Of whom.
    pub peer: PeerId,
    /// For what.
    pub piece: PieceIndex,
}

/// What to do with a piece that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Verify and write it, then tell [`Scheduler::on_written`] or [`Scheduler::reject`].
    Wanted {
        /// Who was asked for it as well and need not send it any more.
        abandon: Option<PeerId>,
    },
    /// Nobody waits for it.
    Unwanted,
}

/// The pieces of one download and who is asked for them.
#[derive(Debug)]
pub struct Scheduler {
    /// Nobody is asked for these.
    pending: Pending,
    /// Somebody is asked for these.
    asked: BTreeMap<PieceIndex, Asked>,
    /// These have arrived and are not written yet.
    writing: BTreeSet<PieceIndex>,
    /// These may be on disk already, which is being looked at.
    held: BTreeSet<PieceIndex>,
    sources: BTreeMap<PeerId, SourceState>,
    /// Counts requests, so that sources take turns.
    turn: u64,
}

#[derive(Debug)]
struct Asked {
    first: PeerId,
    second: Option<PeerId>,
}

/// In what way a source can be asked: the order in which the ways are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Of one that has everything, what nobody else gives out.
    Unavailable,
    /// Of one that has a part, what it has.
    Partial,
    /// Of one that has everything, what others give out as well.
    Available,
    /// What is late at another source.
    Second,
}

impl Scheduler {
    /// A scheduler for `piece_count` pieces, none of them written, without sources.
    pub fn new(piece_count: u32, order: Order) -> Self {
        Self {
            pending: Pending::new(piece_count, order),
            asked: BTreeMap::new(),
            writing: BTreeSet::new(),
            held: BTreeSet::new(),
            sources: BTreeMap::new(),
            turn: 0,
        }
    }

    /// A source is not to be asked any more; what it was asked for is asked of others.
    pub fn leave(&mut self, peer: PeerId) {
        self.withdraw(peer);
        let Some(source) = self.sources.remove(&peer) else { return };
        for piece in source.requests.into_keys() {
            self.take_back(peer, piece);
        }
    }

    /// The next request to make; to be called until it returns `None`.
    pub fn ask(&mut self, now: Duration) -> Option<Ask> {
        let mut free: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| source.is_free(now) && self.has_room_for(source))
            .map(|(peer, source)| (source.requests.len(), source.turn, *peer))
            .collect();
        free.sort_unstable();
        let ways = [Way::Unavailable, Way::Partial, Way::Available, Way::Second];
        let (peer, piece) = ways.into_iter().find_map(|way| {
            free.iter().find_map(|(_, _, peer)| Some((*peer, self.pick(way, *peer, now)?)))
        })?;

        self.pending.remove(piece);
        self.asked
            .entry(piece)
            .and_modify(|asked| asked.second = Some(peer))
            .or_insert(Asked { first: peer, second: None });
        self.turn += 1;
        let source = self.sources.get_mut(&peer)?;
        source.turn = self.turn;
        if source.requests.is_empty() {
            source.alive_at = now;
        }
        source.requests.insert(piece, now);
        Some(Ask { peer, piece })
    }

    /// All bytes of a piece have arrived, not verified yet.
    pub fn on_arrival(&mut self, peer: PeerId, piece: PieceIndex, now: Duration) -> Arrival {
        let Some(source) = self.sources.get_mut(&peer) else { return Arrival::Unwanted };
        let Some(asked_at) = source.requests.remove(&piece) else { return Arrival::Unwanted };
        source.pace.answered(now.saturating_sub(asked_at), source.requests.len() + 1);
        source.backoff.reset();
        source.busy_since = None;
        source.alive_at = now;
        source.avoided.remove(&piece);

        let abandon = self.asked.remove(&piece).and_then(|asked| asked.other_than(peer));
        if let Some(other) = abandon.and_then(|other| self.sources.get_mut(&other)) {
            other.lost_race(piece, now);
        }
        self.writing.insert(piece);
        Arrival::Wanted { abandon }
    }

    /// A request failed.
    pub fn on_failure(
        &mut self,
        peer: PeerId,
        piece: PieceIndex,
        failure: RequestFailure,
        now: Duration,
    ) -> Trust {
        let Some(source) = self.sources.get_mut(&peer) else { return Trust::Kept };
        let Some(asked_at) = source.requests.remove(&piece) else { return Trust::Kept };
        let trust = source.failed(piece, failure, asked_at, now);
        self.take_back(peer, piece);
        trust
    }

    /// Asks nobody for a piece until [`Self::on_written`] or [`Self::reject`] is told; returns whether
    /// that is possible, because it is neither asked for nor written.
    pub fn hold(&mut self, piece: PieceIndex) -> bool {
        self.pending.remove(piece) && self.held.insert(piece)
    }

    /// A piece that arrived or was held is verified and on disk.
    pub fn on_written(&mut self, piece: PieceIndex) {
        self.writing.remove(&piece);
        self.held.remove(&piece);
    }

    /// A piece that arrived, was held or was written is not what it should be, and is fetched.
    pub fn reject(&mut self, piece: PieceIndex) {
        self.writing.remove(&piece);
        self.held.remove(&piece);
        if !self.asked.contains_key(&piece) {
            self.put_back(piece);
        }
    }

    /// A part of a piece is not what it should be any more. Where the piece has not been dealt with to
    /// its end, that end will show; one that was written is fetched again.
    pub fn reject_again(&mut self, piece: PieceIndex) {
        if !self.writing.contains(&piece) && !self.held.contains(&piece) {
            self.reject(piece);
        }
    }

    /// The sources that owe an answer and have been silent for too long.
    pub fn silent(&self, now: Duration) -> Vec<PeerId> {
        let silent = self
            .sources
            .iter()
            .filter(|(_, source)| source.silence_ends_at().is_some_and(|ends_at| ends_at <= now));
        silent.map(|(peer, _)| *peer).collect()
    }

    /// When to call [`Self::ask`] and [`Self::silent`] again, should nothing happen before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        let per_source = self.sources.values().flat_map(|source| {
            let lateness = source.requests.values().map(|at| *at + source.pace.late_after());
            lateness.chain([source.retry_at]).chain(source.silence_ends_at())
        });
        let overdue_at = self.pending.overdue_at(self.in_flight_patience(), now);
        per_source.filter(|at| *at > now).chain(overdue_at).min()
    }

    /// Whether every piece is written.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
            && self.asked.is_empty()
            && self.writing.is_empty()
            && self.held.is_empty()
    }

    /// Whether a piece has arrived, or is held, and is not written yet.
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty() || !self.held.is_empty()
    }

    /// How many sources a piece is being asked of.
    pub fn active_sources(&self) -> usize {
        self.sources.values().filter(|source| !source.requests.is_empty()).count()
    }

    fn has_room_for(&self, source: &SourceState) -> bool {
        let requests: usize = self.sources.values().map(|source| source.requests.len()).sum();
        let waiting = self.writing.len();
        requests + waiting < PIECES_IN_MEMORY_MAX
            || (source.requests.is_empty() && waiting < PIECES_IN_MEMORY_MAX)
    }

    fn pick(&mut self, way: Way, peer: PeerId, now: Duration) -> Option<PieceIndex> {
        match way {
            Way::Unavailable => return self.pick_unavailable(peer),
            Way::Available => return self.pick_available(peer, now),
            Way::Partial | Way::Second => {}
        }
        let source = self.sources.get_mut(&peer)?;
        let pending = &self.pending;
        match (way, &mut source.partial) {
            (Way::Partial, Some(partial)) => {
                let untried = partial.sample(pending, |piece| !source.avoided.contains(&piece));
                let mut tried = || partial.sample(pending, |_| true);
                pending.rarest(untried).or_else(|| pending.rarest(tried()))
            }
            (Way::Second, _) if self.pending.is_empty() => self.late(peer, now),
            _ => None,
        }
    }

    fn pick_available(&self, peer: PeerId, now: Duration) -> Option<PieceIndex> {
        self.sources.get(&peer).filter(|source| source.partial.is_none())?;
        // A second copy would hold up the first one of another piece.
        match self.pending.is_any_in_flight_elsewhere() {
            true => self.pending.overdue(self.in_flight_patience(), now),
            false => self.pending.find_available(),
        }
    }

    fn in_flight_patience(&self) -> Duration {
        let full = self.sources.values().filter(|source| source.partial.is_none());
        let usual = full.filter_map(|source| source.pace.latency()).max();
        usual.map_or(IN_FLIGHT_PATIENCE_UNKNOWN, |usual| {
            (usual * IN_FLIGHT_FACTOR).clamp(IN_FLIGHT_PATIENCE_MIN, IN_FLIGHT_PATIENCE_MAX)
        })
    }

    fn pick_unavailable(&self, peer: PeerId) -> Option<PieceIndex> {
        let source = self.sources.get(&peer).filter(|source| source.partial.is_none())?;
        let others = self.sources.iter().filter(|(_, source)| source.partial.is_some());
        let others: Vec<_> = others.map(|(peer, _)| *peer).collect();
        let untried =
            self.pending.find_unavailable(&others, |piece| !source.avoided.contains(&piece));
        untried.or_else(|| self.pending.find_unavailable(&others, |_| true))
    }

    /// A piece that is late at another source, and is worth asking this one for as well.
    fn late(&self, peer: PeerId, now: Duration) -> Option<PieceIndex> {
        let source = self.sources.get(&peer)?;
        let late = self.asked.iter().find(|(piece, asked)| {
            asked.second.is_none()
                && asked.first != peer
                && source.has(**piece)
                && self.is_worth_a_second(**piece, asked.first, source, now)
        });
        late.map(|(piece, _)| *piece)
    }

    /// Whether `second` is likely to deliver a piece well before the source that was asked first.
    fn is_worth_a_second(
        &self,
        piece: PieceIndex,
        first: PeerId,
        second: &SourceState,
        now: Duration,
    ) -> bool {
        let Some(first) = self.sources.get(&first) else { return false };
        let Some(asked_at) = first.requests.get(&piece) else { return false };
        let waited = now.saturating_sub(*asked_at);
        if waited >= first.pace.late_after() {
            return true;
        }
        let (Some(usual), Some(second)) = (first.pace.latency(), second.pace.latency()) else {
            return false;
        };
        usual.saturating_sub(waited) > second * 2 + SECOND_MARGIN
    }

    /// Puts a piece back, unless another source is still asked for it.
    fn take_back(&mut self, peer: PeerId, piece: PieceIndex) {
        let Some(asked) = self.asked.remove(&piece) else { return };
        match asked.other_than(peer) {
            Some(other) => drop(self.asked.insert(piece, Asked { first: other, second: None })),
            None => self.put_back(piece),
        }
    }

    fn put_back(&mut self, piece: PieceIndex) {
        self.pending.insert(piece);
        let ranked = self.pending.rank(piece);
        for partial in self.sources.values_mut().filter_map(|source| source.partial.as_mut()) {
            if partial.has.contains(piece.0) {
                partial.wanted.insert(ranked);
            }
        }
    }
}

impl Asked {
    fn other_than(&self, peer: PeerId) -> Option<PeerId> {
        [Some(self.first), self.second].into_iter().flatten().find(|other| *other != peer)
    }
}
