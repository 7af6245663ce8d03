//! When a silent peer is asked for a sign of life, and when it is lost.
//!
//! Two limits are about any silence. A third, much shorter one is about connections that owe an answer:
//! a peer answers a ping within milliseconds, whatever else is asked of it, so a connection that leaves
//! requests and a ping unanswered for a few seconds leads nowhere. It is then dialled anew, long before
//! the peer counts as lost.
//!
//! Silence makes a peer lost only while this peer was there to hear it. A machine that was asleep, or a
//! process that was stopped, finds all timers expired when it goes on, and what came meanwhile not read
//! yet: it asks everybody first.

use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

/// How long a connection may leave requests unanswered before it is asked for a sign of life.
const OWED_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a ping. A healthy peer needs milliseconds, a busy machine a second.
const PING_PATIENCE_MAX: Duration = Duration::from_secs(2);
/// Shortest one, whatever the limits are.
const PING_PATIENCE_MIN: Duration = Duration::from_millis(250);
/// Longest pause between two judgements: a fraction of [`OWED_MAX`].
const INTERVAL_MAX: Duration = Duration::from_millis(500);
/// Shortest pause between two judgements.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// How late a judgement may come on a busy machine and still count as in time.
const LATE_MAX: Duration = Duration::from_secs(1);

/// After how much silence what is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Ask.
    pub(crate) ping_after: Duration,
    /// Give up.
    pub(crate) lost_after: Duration,
}

/// What to do about one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was heard lately.
    Fine,
    /// Ask it for a sign of life.
    Ask,
    /// It is gone.
    Lost,
}

/// The silence of every known peer. Owned by the command loop.
#[derive(Debug)]
pub(crate) struct SilenceWatch {
    limits: Limits,
    judged_at: Option<Instant>,
    /// How much of the time since the last judgement this peer was there.
    step: Duration,
    silences: BTreeMap<PeerId, Silence>,
}

#[derive(Debug, Clone, Copy)]
struct Silence {
    /// When the peer was last heard.
    since: Instant,
    /// For how long this peer has been listening since.
    listened: Duration,
}

impl Limits {
    /// Returns how often to judge, so that no limit is overrun by more than an eighth.
    pub(crate) fn interval(&self) -> Duration {
        let shortest = self.ping_after.min(self.lost_after.saturating_sub(self.ping_after));
        (shortest / 8).clamp(INTERVAL_MIN, INTERVAL_MAX)
    }

    /// Returns how long the answer to a ping is waited for. There is time for several pings and dials
    /// before the peer is lost.
    pub(crate) fn ping_patience(&self) -> Duration {
        let span = self.lost_after.saturating_sub(self.ping_after);
        (span / 4).clamp(PING_PATIENCE_MIN, PING_PATIENCE_MAX)
    }
}

impl SilenceWatch {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, judged_at: None, step: Duration::ZERO, silences: BTreeMap::new() }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Begins a round of judgements.
    pub(crate) fn begin(&mut self, now: Instant) {
        let passed = self.judged_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let attended_max = self.limits.interval() + LATE_MAX;
        if passed > attended_max {
            tracing::info!(
                ?passed,
                "this peer did not run for a while; it asks before it gives up"
            );
        }
        self.step = passed.min(attended_max);
        self.judged_at = Some(now);
    }

    /// Judges a peer that was last heard at `heard`; `owing_since` is when its connection was asked
    /// what it has not answered yet.
    pub(crate) fn judge(
        &mut self,
        peer_id: PeerId,
        heard: Instant,
        owing_since: Option<Instant>,
        now: Instant,
    ) -> Verdict {
        let silent_for = now.saturating_duration_since(heard);
        let fresh = Silence { since: heard, listened: Duration::ZERO };
        let silence = self.silences.entry(peer_id).or_insert(fresh);
        if silence.since != heard {
            *silence = fresh;
        }
        silence.listened = (silence.listened + self.step).min(silent_for);
        let owed = owing_since.map(|since| now.saturating_duration_since(since.max(heard)));
        if silence.listened >= self.limits.lost_after {
            Verdict::Lost
        } else if silent_for >= self.limits.ping_after || owed.is_some_and(|owed| owed >= OWED_MAX)
        {
            Verdict::Ask
        } else {
            Verdict::Fine
        }
    }

    /// Forgets a peer.
    pub(crate) fn forget(&mut self, peer_id: PeerId) {
        self.silences.remove(&peer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { ping_after: Duration::from_secs(10), lost_after: Duration::from_secs(30) };

    fn peer() -> PeerId {
        PeerId::from_public_key(b"peer")
    }

    /// Judges as often as the service does, from `from` to `to`; returns the last verdict.
    fn watch_over(
        watch: &mut SilenceWatch,
        heard: Instant,
        owing_since: Option<Instant>,
        from: Instant,
        to: Instant,
    ) -> Verdict {
        let mut now = from;
        loop {
            watch.begin(now);
            let verdict = watch.judge(peer(), heard, owing_since, now);
            if now >= to {
                return verdict;
            }
            now = (now + LIMITS.interval()).min(to);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_leads_from_fine_over_asking_to_lost() {
        let heard = Instant::now();
        for (seconds, expected) in [
            (0, Verdict::Fine),
            (9, Verdict::Fine),
            (10, Verdict::Ask),
            (29, Verdict::Ask),
            (30, Verdict::Lost),
        ] {
            let mut watch = SilenceWatch::new(LIMITS);
            let to = heard + Duration::from_secs(seconds);
            assert_eq!(watch_over(&mut watch, heard, None, heard, to), expected, "{seconds}");
        }
        let mut watch = SilenceWatch::new(LIMITS);
        let later = heard + Duration::from_secs(1);
        assert_eq!(watch_over(&mut watch, later, None, heard, heard), Verdict::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_owes_an_answer_is_asked_within_seconds() {
        let heard = Instant::now();
        let at = |ms| heard + Duration::from_millis(ms);
        let judged = |owing_since, to| {
            watch_over(&mut SilenceWatch::new(LIMITS), heard, owing_since, heard, to)
        };
        assert_eq!(judged(Some(at(0)), at(1_900)), Verdict::Fine);
        assert_eq!(judged(Some(at(0)), at(2_000)), Verdict::Ask);
        assert_eq!(judged(Some(at(5_000)), at(6_900)), Verdict::Fine, "it was asked only now");
        assert_eq!(judged(None, at(6_900)), Verdict::Fine);
        // What it answered since counts.
        let owing = Some(heard - Duration::from_secs(60));
        assert_eq!(judged(owing, at(1_900)), Verdict::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wakes_up_asks_everybody_before_he_gives_up_on_them() {
        let heard = Instant::now();
        let mut watch = SilenceWatch::new(LIMITS);
        watch_over(&mut watch, heard, None, heard, heard + Duration::from_secs(3));
        let woken = heard + Duration::from_secs(3 + 3600);
        assert_eq!(watch_over(&mut watch, heard, None, woken, woken), Verdict::Ask);
        let answered = woken + Duration::from_millis(5);
        let later = woken + Duration::from_secs(5);
        assert_eq!(watch_over(&mut watch, answered, None, woken, later), Verdict::Fine);
        // Who does not answer is lost once this peer has listened for long enough.
        let mut watch = SilenceWatch::new(LIMITS);
        watch_over(&mut watch, heard, None, heard, heard + Duration::from_secs(3));
        let soon = woken + Duration::from_secs(20);
        assert_eq!(watch_over(&mut watch, heard, None, woken, soon), Verdict::Ask);
        let late = woken + Duration::from_secs(30);
        assert_eq!(watch_over(&mut watch, heard, None, soon, late), Verdict::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_always_late_still_loses_who_is_gone() {
        let heard = Instant::now();
        let mut watch = SilenceWatch::new(LIMITS);
        let lost = (0..100).find(|n| {
            let now = heard + Duration::from_secs(3) * *n;
            watch.begin(now);
            watch.judge(peer(), heard, None, now) == Verdict::Lost
        });
        assert!(lost.is_some_and(|n| (10..=30).contains(&n)), "{lost:?}");
    }

    #[test]
    fn there_is_time_to_ask_and_to_dial_before_a_peer_is_lost() {
        for (ping_ms, lost_ms) in [(10_000, 30_000), (1_000, 3_000), (300, 1_000)] {
            let ping_after = Duration::from_millis(ping_ms);
            let limits = Limits { ping_after, lost_after: Duration::from_millis(lost_ms) };
            let asked_in_vain = ping_after + limits.interval() + limits.ping_patience();
            assert!(asked_in_vain < limits.lost_after * 3 / 4, "{limits:?}");
        }
    }
}
