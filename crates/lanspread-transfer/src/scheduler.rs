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
//! 4. once every piece is asked for: one that is not to be expected soon from those that are asked for it.
//!    The first answer counts.
//!
//! So peers that fetch the same game ask for different pieces and give them to each other, and who
//! has everything sends little of it twice. A piece that fails goes back and its source pauses.
//!
//! Sources are *proven* that have delivered what was verified. They are asked first. The others are tried a
//! few at a time ([`probes`]), in turns of their addresses; those that let others deliver in their place come last. What
//! any of them promises, and does not give, holds up nothing that a proven source can give.
//!
//! It promises that every piece is asked for until it is written, and that it is asked of another source as
//! soon as it is overdue, as long as there is one: a third and a fourth one as well. It knows nothing of hashes or files, and of
//! bytes only how many have come.
//!
//! What it measures of a source is of use here alone, and kept here in one entry for each source. The
//! entry begins with [`Scheduler::join`] or [`Scheduler::offer`]; [`Scheduler::leave`] removes it.

mod late;
mod offers;
mod pace;
mod pending;
mod probes;
mod promises;
mod request;
mod source;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PeerId;

pub use self::offers::Outlook;
pub use self::pending::Order;
use self::pending::Pending;
use self::probes::{Census, PARTIAL_BYTES_MAX};
use self::request::Expected;
use self::source::SourceState;
pub use self::source::{RequestFailure, SourceGroup, Trust};
use crate::layout::PieceIndex;

/// Most pieces in memory, likely to come or waiting for the disk: 64 MiB, which keeps several fast
/// sources busy. A source that has delivered and has nothing to do may still be asked for one. Requests that
/// are overdue do not count, so that dead sources cannot lock out the others; [`PARTIAL_BYTES_MAX`] bounds what has come of them.
pub const PIECES_IN_MEMORY_MAX: usize = 32;

/// One request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Of whom.
    pub peer: PeerId,
    /// For what.
    pub piece: PieceIndex,
}

/// What to do with a piece that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Verify and write it, then tell [`Scheduler::on_written`] or [`Scheduler::reject`].
    Wanted {
        /// Who was asked for it as well and need not send it any more.
        abandon: Vec<PeerId>,
    },
    /// Nobody waits for it.
    Unwanted,
}

/// The pieces of one download and who is asked for them.
#[derive(Debug)]
pub struct Scheduler {
    /// Nobody is asked for these.
    pending: Pending,
    /// Somebody is asked for these: who, in the order in which they were.
    asked: BTreeMap<PieceIndex, Vec<PeerId>>,
    /// These have arrived from somebody and are not written yet.
    writing: BTreeMap<PieceIndex, PeerId>,
    /// These may be on disk already, which is being looked at.
    held: BTreeSet<PieceIndex>,
    sources: BTreeMap<PeerId, SourceState>,
    /// Counts requests, so that sources take turns.
    turn: u64,
    /// How many requests were made to sources that had delivered nothing.
    tried: u64,
    /// How many pieces of sources were verified.
    verified: u64,
    /// Until when promises of sources count that have delivered nothing: so long after one was in the way.
    promises_end_at: Option<Duration>,
    /// Bytes that have come of answers that are not waited for any more.
    wasted_bytes: u64,
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
    /// What is not to be expected soon from others.
    Late,
}

impl Scheduler {
    /// A scheduler for `piece_count` pieces, none of them written, without sources.
    pub fn new(piece_count: u32, order: Order) -> Self {
        Self {
            pending: Pending::new(piece_count, order),
            asked: BTreeMap::new(),
            writing: BTreeMap::new(),
            held: BTreeSet::new(),
            sources: BTreeMap::new(),
            turn: 0,
            tried: 0,
            verified: 0,
            promises_end_at: None,
            wasted_bytes: 0,
        }
    }

    /// A source is not to be asked any more; what it was asked for is asked of others.
    pub fn leave(&mut self, peer: PeerId) {
        self.withdraw(peer);
        let Some(source) = self.sources.remove(&peer) else { return };
        for (piece, request) in source.requests {
            self.wasted_bytes += request.received_bytes();
            self.take_back(peer, piece);
        }
    }

    /// Which sources share an address with it. Those of one address take turns at being tried.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.group = group;
        }
    }

    /// Which sources share an address with it, where that is known.
    pub(crate) fn group(&self, peer: PeerId) -> Option<SourceGroup> {
        self.sources.get(&peer)?.group
    }

    /// The next request to make; to be called until it returns `None`.
    pub fn ask(&mut self, now: Duration) -> Option<Ask> {
        let census = self.census(now);
        let free = self.free(&census, now);
        let ways = [Way::Unavailable, Way::Partial, Way::Available, Way::Late];
        let (peer, piece) = ways.into_iter().find_map(|way| match way {
            // What nobody is asked for comes first.
            Way::Late if !self.pending.is_empty() => None,
            Way::Late => self.pick_late(&free, now),
            way => free.iter().find_map(|peer| Some((*peer, self.pick(way, *peer, &census, now)?))),
        })?;
        self.note_asked(peer, piece, now)
    }

    /// The next request to make for a piece of `among` that was asked for before and has not come; to be called until it
    /// returns `None`.
    pub fn ask_again(&mut self, among: &BTreeSet<PieceIndex>, now: Duration) -> Option<Ask> {
        let census = self.census(now);
        let free = self.free(&census, now);
        let pending = among.iter().filter(|piece| self.pending.contains(**piece));
        let mut pending = pending.flat_map(|piece| free.iter().map(|peer| (*peer, *piece)));
        let has = |(peer, piece): &(PeerId, PieceIndex)| {
            self.sources.get(peer).is_some_and(|source| source.has(*piece))
        };
        let (peer, piece) = pending.find(has).or_else(|| self.pick_late(&free, now))?;
        self.note_asked(peer, piece, now)
    }

    fn note_asked(&mut self, peer: PeerId, piece: PieceIndex, now: Duration) -> Option<Ask> {
        self.pending.remove(piece);
        self.asked.entry(piece).or_default().push(peer);
        self.turn += 1;
        let source = self.sources.get_mut(&peer)?;
        self.tried += u64::from(!source.is_proven());
        source.turn = self.turn;
        source.asked(piece, now);
        Some(Ask { peer, piece })
    }

    /// Takes in how many bytes of a piece have come so far, `of` so many.
    pub fn on_progress(&mut self, ask: Ask, bytes: u64, of: u64, now: Duration) {
        if let Some(source) = self.sources.get_mut(&ask.peer) {
            source.progressed(ask.piece, bytes, of, now);
        }
    }

    /// All bytes of a piece have arrived, not verified yet.
    pub fn on_arrival(&mut self, peer: PeerId, piece: PieceIndex, now: Duration) -> Arrival {
        let Some(source) = self.sources.get_mut(&peer) else { return Arrival::Unwanted };
        if !source.answered(piece, now) {
            return Arrival::Unwanted;
        }
        let mut abandon = self.asked.remove(&piece).unwrap_or_default();
        abandon.retain(|other| *other != peer);
        for other in &abandon {
            if let Some(other) = self.sources.get_mut(other) {
                self.wasted_bytes += other.gave_way(piece, now);
            }
        }
        self.writing.insert(piece, peer);
        Arrival::Wanted { abandon }
    }

    /// The next request to end because too many bytes have come of answers that are not whole: of those to
    /// sources that have delivered nothing or are late, the one of which nothing has come for longest.
    pub fn shed(&mut self, now: Duration) -> Option<Ask> {
        let (mut bytes, mut longest) = (0_u64, None);
        for (peer, source) in &self.sources {
            let is_proven = source.is_proven();
            for (piece, request) in &source.requests {
                let received = request.received_bytes();
                if received == 0 || is_proven && source.expected(request, now) != Expected::Overdue
                {
                    continue;
                }
                bytes = bytes.saturating_add(received);
                let place = (request.last_at(), request.asked_at, *peer, *piece);
                longest = Some(longest.map_or(place, |longest| place.min(longest)));
            }
        }
        let (_, _, peer, piece) = longest.filter(|_| bytes > PARTIAL_BYTES_MAX)?;
        self.wasted_bytes += self.sources.get_mut(&peer)?.shed(piece, now);
        self.take_back(peer, piece);
        Some(Ask { peer, piece })
    }

    /// Returns how many bytes have come since the last call of answers that are not waited for any more.
    pub fn take_wasted_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.wasted_bytes)
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
        let Some(request) = source.requests.remove(&piece) else { return Trust::Kept };
        self.wasted_bytes += request.received_bytes();
        let trust = source.failed(piece, failure, request, now);
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
        self.held.remove(&piece);
        let Some(by) = self.writing.remove(&piece) else { return };
        self.verified += 1;
        if let Some(source) = self.sources.get_mut(&by) {
            source.delivered();
        }
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
        if !self.writing.contains_key(&piece) && !self.held.contains(&piece) {
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
        let per_source = self.sources.values().flat_map(SourceState::wakes);
        let overdue_at = self.pending.overdue_at(self.in_flight_patience(), now);
        let promises = self.promises_end_at.into_iter();
        per_source.chain(promises).filter(|at| *at > now).chain(overdue_at).min()
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

    fn pick(
        &mut self,
        way: Way,
        peer: PeerId,
        census: &Census,
        now: Duration,
    ) -> Option<PieceIndex> {
        match way {
            Way::Unavailable => return self.pick_unavailable(peer),
            Way::Available => return self.pick_available(peer, census, now),
            Way::Partial | Way::Late => {}
        }
        let source = self.sources.get_mut(&peer)?;
        let pending = &self.pending;
        let partial = source.partial.as_mut()?;
        let untried = partial.sample(pending, |piece| !source.avoided.contains(&piece));
        pending.rarest(untried).or_else(|| pending.rarest(partial.sample(pending, |_| true)))
    }

    fn pick_unavailable(&self, peer: PeerId) -> Option<PieceIndex> {
        let source = self.sources.get(&peer).filter(|source| source.partial.is_none())?;
        let others = self.sources.iter().filter(|(_, source)| source.partial.is_some());
        let others: Vec<_> = others.map(|(peer, _)| *peer).collect();
        let untried =
            self.pending.find_unavailable(&others, |piece| !source.avoided.contains(&piece));
        untried.or_else(|| self.pending.find_unavailable(&others, |_| true))
    }

    /// Puts a piece back, unless another source is still asked for it.
    fn take_back(&mut self, peer: PeerId, piece: PieceIndex) {
        let Some(peers) = self.asked.get_mut(&piece) else { return };
        peers.retain(|other| *other != peer);
        if peers.is_empty() {
            self.asked.remove(&piece);
            self.put_back(piece);
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
