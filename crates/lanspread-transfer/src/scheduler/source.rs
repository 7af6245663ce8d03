//! What the scheduler knows of one source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PieceSet;

use super::pace::{Pace, WINDOW_START};
use super::pending::{Pending, Ranked, SAMPLE};
use super::request::{Expected, Request};
use crate::backoff::Backoff;
use crate::layout::PieceIndex;

/// The first pause of a source after a failure; doubles with each one that follows.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause, so that a source that recovers is soon of use.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The first rest of a source whose piece another had to deliver: longer than most stalls. Doubles with each
/// such piece that follows.
pub(super) const REST_MIN: Duration = Duration::from_secs(2);
/// The longest rest. A source that comes round then is still of use to a large game.
pub(super) const REST_MAX: Duration = Duration::from_secs(64);
/// How many pieces in a row others have to deliver in place of a source before it counts as one that has
/// never delivered any. One may be an accident.
pub(super) const LAPSES_MAX: u32 = 2;
/// How long a source of which nothing is known may be quiet before others are asked as well. A source on a
/// LAN answers within milliseconds; one that many ask takes longer, and loses nothing by this.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_millis(100);
/// How many times its usual time a source may take, and [`PROBE_PATIENCE`], before others are asked as well.
const OVERDUE_FACTOR: u32 = 2;
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

/// Sources that share something which costs more than an identity: their address. The caller says
/// which number stands for which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceGroup(pub u64);

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
    pub(super) group: Option<SourceGroup>,
    pub(super) requests: BTreeMap<PieceIndex, Request>,
    /// Pieces that it refused: it is asked for others first.
    pub(super) avoided: BTreeSet<PieceIndex>,
    /// What it has, unless that is everything.
    pub(super) partial: Option<PartialSource>,
    /// How many pieces it has delivered that were verified.
    delivered: u32,
    /// How many pieces in a row others delivered in its place. Each makes its rest longer.
    rest: Backoff,
    /// Until when it is not asked, as long as others deliver.
    pub(super) rests_until: Duration,
    /// Failures in a row. Requests that fail together count as one.
    pub(super) backoff: Backoff,
    failed_at: Duration,
    /// Since when it has given nothing because it is busy.
    pub(super) busy_since: Option<Duration>,
    pub(super) retry_at: Duration,
    /// The last sign of life, bytes included, or when it was asked after having nothing to do.
    heard_at: Duration,
    silence: Silence,
    pub(super) turn: u64,
}

/// For how long a source has owed answers without any sign of life.
#[derive(Debug, Default)]
struct Silence {
    /// Since when; `None` while it owes none.
    since: Option<Duration>,
    /// For how long before that. A request that another source answered is no reason to forget it.
    before: Duration,
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

impl Silence {
    fn begin(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// Nothing is owed any more.
    fn end(&mut self, now: Duration) {
        self.before += self.since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
    }

    /// There was a sign of life; `owes` tells whether more is owed.
    fn heard(&mut self, owes: bool, now: Duration) {
        *self = Self { since: owes.then_some(now), before: Duration::ZERO };
    }

    fn ends_at(&self) -> Option<Duration> {
        Some(self.since? + SILENCE_MAX.saturating_sub(self.before))
    }
}

impl SourceState {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            pace: Pace::new(),
            group: None,
            requests: BTreeMap::new(),
            avoided: BTreeSet::new(),
            partial: None,
            delivered: 0,
            rest: Backoff::doubling(REST_MIN, REST_MAX),
            rests_until: now,
            backoff: Backoff::doubling(BACKOFF_MIN, BACKOFF_MAX),
            failed_at: now,
            busy_since: None,
            retry_at: now,
            heard_at: now,
            silence: Silence::default(),
            turn: 0,
        }
    }

    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.has.contains(piece.0))
    }

    /// How many pieces in a row others delivered in its place.
    pub(super) fn lapses(&self) -> u32 {
        self.rest.failures()
    }

    /// Whether what it delivered was right, and others do not have to deliver in its place.
    pub(super) fn is_proven(&self) -> bool {
        self.delivered > 0 && self.lapses() < LAPSES_MAX
    }

    /// Whether it is likely to deliver what it is asked for now.
    pub(super) fn is_reliable(&self, now: Duration) -> bool {
        self.is_proven()
            && now >= self.retry_at.max(self.rests_until)
            && self.busy_since.is_none()
            && !self.requests.values().any(|request| self.is_late(request, now))
    }

    /// Whether nothing is to be expected of a request to it.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.requests.values().any(|request| self.expected(request, now) == Expected::Overdue)
    }

    /// A source that failed or is busy is tried with one request, and one that is late with none. The
    /// window grows with what was delivered, so that little is held by a source that falls silent.
    pub(super) fn is_free(&self, now: Duration, has_reliable: bool) -> bool {
        let is_tried =
            self.backoff.failures() > 0 || self.busy_since.is_some() || self.lapses() > 0;
        let earned = usize::try_from(self.delivered).unwrap_or(usize::MAX).saturating_add(1);
        let window = if is_tried { 1 } else { self.pace.window().min(earned.max(WINDOW_START)) };
        now >= self.retry_at
            && (now >= self.rests_until || !has_reliable)
            && self.requests.len() < window
            && !self.requests.values().any(|request| self.is_late(request, now))
    }

    fn is_late(&self, request: &Request, now: Duration) -> bool {
        match self.pace.latency() {
            Some(_) => now.saturating_sub(request.asked_at) >= self.pace.late_after(),
            None => self.expected(request, now) == Expected::Overdue,
        }
    }

    /// When the answer to a request is to be expected.
    pub(super) fn expected(&self, request: &Request, now: Duration) -> Expected {
        if let Some(expected) = request.expected(now) {
            return expected;
        }
        if self.overdue_at(request) <= now {
            return Expected::Overdue;
        }
        let waited = now.saturating_sub(request.asked_at);
        match self.pace.latency() {
            Some(usual) => Expected::In(usual.saturating_sub(waited)),
            // It waits behind another one.
            None => self
                .requests
                .values()
                .find_map(|other| other.expected(now))
                .unwrap_or(Expected::Unknown),
        }
    }

    /// When a request of which nothing has come is overdue.
    fn overdue_at(&self, request: &Request) -> Duration {
        match self.pace.latency() {
            Some(usual) => request.asked_at + usual * OVERDUE_FACTOR + PROBE_PATIENCE,
            None => request.asked_at.max(self.heard_at) + PROBE_PATIENCE,
        }
    }

    /// When what is to be expected of the source changes, should nothing come.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Duration> {
        let requests = self.requests.values();
        let overdue =
            requests.flat_map(|request| request.wakes().unwrap_or([self.overdue_at(request); 2]));
        overdue.chain([self.retry_at, self.rests_until]).chain(self.silence_ends_at())
    }

    pub(super) fn silence_ends_at(&self) -> Option<Duration> {
        self.silence.ends_at()
    }

    /// It is asked for a piece.
    pub(super) fn asked(&mut self, piece: PieceIndex, now: Duration) {
        if self.requests.is_empty() {
            self.heard_at = now;
        }
        self.silence.begin(now);
        self.requests.insert(piece, Request::new(now));
    }

    /// So many bytes of a piece have come.
    pub(super) fn progressed(&mut self, piece: PieceIndex, bytes: u64, of: u64, now: Duration) {
        let request = self.requests.get_mut(&piece);
        if request.is_some_and(|request| request.progressed(bytes, of, now)) {
            self.heard_at = now;
            // It is slow at worst. Whether too slow, the time since the first request tells.
            self.silence.before = Duration::ZERO;
        }
    }

    /// A piece has come; returns whether it was asked for.
    pub(super) fn answered(&mut self, piece: PieceIndex, now: Duration) -> bool {
        let Some(request) = self.requests.remove(&piece) else { return false };
        let took = now.saturating_sub(request.asked_at);
        self.pace.answered(took, self.requests.len() + 1);
        self.backoff.reset();
        self.busy_since = None;
        self.avoided.remove(&piece);
        self.heard(now);
        true
    }

    /// A piece that it gave is verified.
    pub(super) fn delivered(&mut self) {
        self.delivered = self.delivered.saturating_add(1);
        self.rest.reset();
    }

    pub(super) fn failed(
        &mut self,
        piece: PieceIndex,
        failure: RequestFailure,
        request: Request,
        now: Duration,
    ) -> Trust {
        self.end_silence_if_idle(now);
        match failure {
            RequestFailure::Lost => {}
            RequestFailure::Refused => {
                self.avoided.insert(piece);
                self.heard(now);
            }
            RequestFailure::Busy => {
                // It may be this very piece that is on its way to somebody else.
                self.avoided.insert(piece);
                self.heard(now);
                self.retry_at = now + BACKOFF_BUSY;
                let since = *self.busy_since.get_or_insert(request.asked_at);
                let is_spent = now.saturating_sub(since) >= BUSY_MAX;
                return if is_spent { Trust::Spent } else { Trust::Kept };
            }
        }
        if self.backoff.failures() == 0 || request.asked_at > self.failed_at {
            self.failed_at = now;
            self.retry_at = now + self.backoff.fail();
        }
        if self.backoff.failures() >= FAILURES_MAX { Trust::Spent } else { Trust::Kept }
    }

    /// The bytes of a piece take room for too long; returns how many had come.
    pub(super) fn shed(&mut self, piece: PieceIndex, now: Duration) -> u64 {
        self.rests_until = now + self.rest.fail();
        self.gave_way(piece, now)
    }

    /// Another source delivered a piece that this one was asked for as well; returns how many bytes of it had
    /// come.
    pub(super) fn gave_way(&mut self, piece: PieceIndex, now: Duration) -> u64 {
        let is_late = self.requests.get(&piece).is_some_and(|request| self.is_late(request, now));
        let Some(request) = self.requests.remove(&piece) else { return 0 };
        if is_late {
            self.rests_until = now + self.rest.fail();
        }
        self.end_silence_if_idle(now);
        request.received_bytes()
    }

    fn heard(&mut self, now: Duration) {
        self.heard_at = now;
        self.silence.heard(!self.requests.is_empty(), now);
    }

    fn end_silence_if_idle(&mut self, now: Duration) {
        if self.requests.is_empty() {
            self.silence.end(now);
        }
    }
}
