//! What sources have to give: everything, or the part that they have fetched themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use lanspread_proto::{PeerId, PieceSet};

use super::Scheduler;
use super::request::Expected;
use super::source::{PartialSource, SourceState};
use crate::layout::PieceIndex;

/// What is to be expected of sources that have a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// One of them owes an answer, or has something that is missing.
    Giving,
    /// One of them is about to have something that is missing.
    InFlight,
    /// None of them is.
    Nothing,
}

impl Scheduler {
    /// A source that has everything may be asked from now on. Joining twice changes nothing; one
    /// that had a part keeps the requests that were made to it.
    pub fn join(&mut self, peer: PeerId, now: Duration) {
        self.withdraw(peer);
        self.sources.entry(peer).or_insert_with(|| SourceState::new(now)).partial = None;
    }

    /// A source that fetches the game itself has a part of it, and is asking those that have
    /// everything for `fetching`. Replaces what it said before.
    pub fn offer(&mut self, peer: PeerId, has: &PieceSet, fetching: &[PieceIndex], now: Duration) {
        self.withdraw(peer);
        let source = self.sources.entry(peer).or_insert_with(|| SourceState::new(now));
        source.partial = Some(PartialSource::default());
        let has: Vec<_> = has.iter().map(PieceIndex).collect();
        self.offer_more(peer, &has, fetching, now);
    }

    /// A source that has a part has more of it, and is now asking for `fetching`.
    pub fn offer_more(
        &mut self,
        peer: PeerId,
        more: &[PieceIndex],
        fetching: &[PieceIndex],
        now: Duration,
    ) {
        let Some(partial) = self.sources.get_mut(&peer).and_then(|source| source.partial.as_mut())
        else {
            return;
        };
        for piece in more {
            if partial.has.insert(piece.0) {
                partial.wanted.insert(self.pending.rank(*piece));
                self.pending.gains(*piece);
            }
        }
        let before = std::mem::replace(&mut partial.fetching, fetching.iter().copied().collect());
        for piece in partial.fetching.difference(&before) {
            self.pending.on_flight_begun(*piece, now);
        }
        for piece in before.difference(&partial.fetching) {
            self.pending.on_flight_ended(*piece);
        }
    }

    /// A source that had a part offers nothing more. What it was asked for may still come.
    pub fn offer_nothing(&mut self, peer: PeerId) {
        self.withdraw(peer);
    }

    /// What sources that have a part may still bring.
    pub fn outlook(&self) -> Outlook {
        let mut partial = self.sources.values().filter(|source| source.partial.is_some());
        if partial.any(|source| !source.requests.is_empty()) || self.pending.is_any_available() {
            Outlook::Giving
        } else if self.pending.is_any_in_flight_elsewhere() {
            Outlook::InFlight
        } else {
            Outlook::Nothing
        }
    }

    /// What those are being asked for that have everything, and what has arrived and is not written yet: what
    /// this peer is about to have. Not what is overdue, which others would wait for in vain.
    pub fn fetching(&self, now: Duration) -> Vec<PieceIndex> {
        let full = self.sources.values().filter(|source| source.partial.is_none());
        let asked = full.flat_map(|source| {
            let is_due = move |request| source.expected(request, now) != Expected::Overdue;
            source.requests.iter().filter(move |(_, request)| is_due(request))
        });
        let asked: BTreeSet<_> = asked.map(|(piece, _)| piece).chain(self.writing.keys()).collect();
        asked.into_iter().copied().collect()
    }

    /// Takes back what a source that has a part offers.
    pub(super) fn withdraw(&mut self, peer: PeerId) {
        let partial = self.sources.get_mut(&peer).and_then(|source| source.partial.as_mut());
        let Some(partial) = partial.map(std::mem::take) else { return };
        for piece in partial.has.iter() {
            self.pending.loses(PieceIndex(piece));
        }
        for piece in partial.fetching {
            self.pending.on_flight_ended(piece);
        }
    }
}
