//! What the scheduler knows of one source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PieceSet;

use super::pace::Pace;
use super::pending::{Pending, Ranked, SAMPLE};
use super::{
    BACKOFF_BUSY, BACKOFF_LATE, BACKOFF_MAX, BACKOFF_MIN, BUSY_MAX, FAILURES_MAX, RequestFailure,
    SILENCE_MAX, Trust,
};
use crate::backoff::Backoff;
use crate::layout::PieceIndex;

#[derive(Debug)]
pub(super) struct SourceState {
    pub(super) pace: Pace,
    /// When each of its requests was made.
    pub(super) requests: BTreeMap<PieceIndex, Duration>,
    /// Pieces that it refused: it is asked for others first.
    pub(super) avoided: BTreeSet<PieceIndex>,
    /// What it has, unless that is everything.
    pub(super) partial: Option<PartialSource>,
    /// Failures in a row. Requests that fail together count as one.
    pub(super) backoff: Backoff,
    failed_at: Duration,
    /// Since when it has given nothing because it is busy.
    pub(super) busy_since: Option<Duration>,
    pub(super) retry_at: Duration,
    /// The last sign of life, or when it was asked after having nothing to do.
    pub(super) alive_at: Duration,
    pub(super) turn: u64,
}

/// What a source has that is still fetching the game itself.
#[derive(Debug, Default)]
pub(super) struct PartialSource {
    pub(super) has: PieceSet,
    /// What it asks those for that have everything.
    pub(super) fetching: BTreeSet<PieceIndex>,
    /// Every pending piece that it has, and some that are not pending any more.
    pub(super) wanted: BTreeSet<Ranked>,
}

impl PartialSource {
    /// The next few pieces that are wanted of it and `suit`. What it comes across on the way that is
    /// not pending any more is forgotten.
    pub(super) fn sample(
        &mut self,
        pending: &Pending,
        suits: impl Fn(PieceIndex) -> bool,
    ) -> Vec<PieceIndex> {
        let (mut gone, mut sample) = (Vec::new(), Vec::new());
        for ranked in &self.wanted {
            if !pending.contains(ranked.piece) {
                gone.push(*ranked);
            } else if suits(ranked.piece) {
                sample.push(ranked.piece);
            }
            if sample.len() == SAMPLE {
                break;
            }
        }
        for ranked in gone {
            self.wanted.remove(&ranked);
        }
        sample
    }
}

impl SourceState {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            pace: Pace::new(),
            requests: BTreeMap::new(),
            avoided: BTreeSet::new(),
            partial: None,
            backoff: Backoff::doubling(BACKOFF_MIN, BACKOFF_MAX),
            failed_at: now,
            busy_since: None,
            retry_at: now,
            alive_at: now,
            turn: 0,
        }
    }

    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.has.contains(piece.0))
    }

    /// A source that failed or is busy is tried with one request, and one that is late with none.
    pub(super) fn is_free(&self, now: Duration) -> bool {
        let is_tried = self.backoff.failures() > 0 || self.busy_since.is_some();
        let window = if is_tried { 1 } else { self.pace.window() };
        now >= self.retry_at
            && self.requests.len() < window
            && !self.requests.values().any(|asked_at| self.is_late(*asked_at, now))
    }

    fn is_late(&self, asked_at: Duration, now: Duration) -> bool {
        now.saturating_sub(asked_at) >= self.pace.late_after()
    }

    pub(super) fn silence_ends_at(&self) -> Option<Duration> {
        (!self.requests.is_empty()).then(|| self.alive_at + SILENCE_MAX)
    }

    pub(super) fn failed(
        &mut self,
        piece: PieceIndex,
        failure: RequestFailure,
        asked_at: Duration,
        now: Duration,
    ) -> Trust {
        match failure {
            RequestFailure::Lost => {}
            RequestFailure::Refused => {
                self.avoided.insert(piece);
                self.alive_at = now;
            }
            RequestFailure::Busy => {
                // It may be this very piece that is on its way to somebody else.
                self.avoided.insert(piece);
                self.alive_at = now;
                self.retry_at = now + BACKOFF_BUSY;
                let since = *self.busy_since.get_or_insert(asked_at);
                let is_spent = now.saturating_sub(since) >= BUSY_MAX;
                return if is_spent { Trust::Spent } else { Trust::Kept };
            }
        }
        if self.backoff.failures() == 0 || asked_at > self.failed_at {
            self.failed_at = now;
            self.retry_at = now + self.backoff.fail();
        }
        if self.backoff.failures() >= FAILURES_MAX { Trust::Spent } else { Trust::Kept }
    }

    /// Another source delivered a piece that this one was asked for as well.
    pub(super) fn lost_race(&mut self, piece: PieceIndex, now: Duration) {
        let Some(asked_at) = self.requests.remove(&piece) else { return };
        if self.is_late(asked_at, now) {
            self.retry_at = now + BACKOFF_LATE;
        }
    }
}
