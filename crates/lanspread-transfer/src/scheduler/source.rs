//! What the scheduler knows of one source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PieceSet;

use super::pace::Pace;
use super::pending::{Pending, Ranked, SAMPLE};
use crate::backoff::Backoff;
use crate::layout::PieceIndex;

/// The first pause of a source after a failure; doubles with each one that follows.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause, so that a source that recovers is soon of use.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The pause of a source whose piece another had to deliver: longer than most stalls.
pub(super) const BACKOFF_LATE: Duration = Duration::from_secs(2);
/// Failures in a row before a source is given up: about half a minute of pauses, which a source
/// that is busy, restarts or changes its connection should outlive.
pub(super) const FAILURES_MAX: u32 = 12;
/// The pause of a source that is busy: it has waited with its answer itself.
pub(super) const BACKOFF_BUSY: Duration = Duration::from_millis(250);
/// How long a source may be busy before it is given up: what the last one waits for its chunk when
/// all of 256 known peers ask for one, and the source sends at the lowest limit, 8 s for each.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(256 * 8);
/// Longest silence of a source that owes an answer; a piece takes that long at 35 KiB/s.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFailure {
    /// The connection was lost.
    Lost,
    /// The source answered, but not with the piece.
    Refused,
    /// The source has too much to do at the moment.
    Busy,
}

/// Whether a source is still of use after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is asked again after a pause.
    Kept,
    /// It failed too often in a row; the caller should let it [`Scheduler::leave`].
    Spent,
}

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
