//! How fast one source is, and how much is asked of it at once.

use std::time::Duration;

/// Requests to a source of which nothing is known yet: one under way and one behind it.
pub(super) const WINDOW_START: usize = 2;
/// Most requests to one source: one that is sent, and three that are read, on their way or written
/// meanwhile. More costs memory, and speed, since the bytes leave the cache before they are used.
pub(super) const WINDOW_MAX: usize = 4;
/// How much is kept waiting at a source, as time: enough that it never runs dry between two
/// requests, and short enough that little is lost when the source goes.
const QUEUE_TARGET: Duration = Duration::from_millis(150);
/// Longest round trip that a larger window makes up for. What takes longer is a slow source, which
/// more requests would not make faster.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(250);

/// Longest wait before a request counts as late, so that a dead source costs a few seconds.
const LATE_MAX: Duration = Duration::from_secs(3);
/// Shortest wait before a request counts as late, so that jitter does not make duplicates.
const LATE_MIN: Duration = Duration::from_millis(500);
/// The wait for a source of which nothing is known yet.
const LATE_UNKNOWN: Duration = Duration::from_secs(2);
/// How many times its usual time a request may take.
const LATE_FACTOR: u32 = 4;
/// How many times, where that is longer than [`LATE_MAX`]: a source that many fetch from at once
/// takes seconds for each of them, and is not late for that.
const LATE_FACTOR_BUSY: u32 = 2;

/// The measured speed of one source.
#[derive(Debug)]
pub(super) struct Pace {
    /// Time between a request and the last byte of its answer.
    latency: Option<Latency>,
    window: usize,
}

#[derive(Debug, Clone, Copy)]
struct Latency {
    smoothed: Duration,
    /// What a request takes that does not wait for others.
    shortest: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { latency: None, window: WINDOW_START }
    }

    /// Takes in that a request took `took` while `alongside` requests, itself among them, were
    /// under way to the source.
    ///
    /// The window is what the source answers in a round trip and [`QUEUE_TARGET`], and one more: it
    /// grows until requests wait about that long behind each other, and a slow source keeps one.
    pub(super) fn answered(&mut self, took: Duration, alongside: usize) {
        let latency = match self.latency {
            None => Latency { smoothed: took, shortest: took },
            Some(Latency { smoothed, shortest }) => {
                Latency { smoothed: (smoothed * 3 + took) / 4, shortest: shortest.min(took) }
            }
        };
        self.latency = Some(latency);
        let per_request = latency.smoothed.as_nanos().max(1);
        let target = (latency.shortest.min(ROUND_TRIP_MAX) + QUEUE_TARGET).as_nanos();
        let alongside = u128::try_from(alongside).unwrap_or(u128::MAX);
        let answered = (target.saturating_mul(alongside) + per_request / 2) / per_request;
        let window = usize::try_from(answered).unwrap_or(WINDOW_MAX).saturating_add(1);
        self.window = window.min(WINDOW_MAX);
    }

    /// How many requests may be under way; at least 1.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// How long a request usually takes, once that is known.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(|latency| latency.smoothed)
    }

    /// How long a request may take before it is late.
    pub(super) fn late_after(&self) -> Duration {
        self.latency().map_or(LATE_UNKNOWN, |latency| {
            let late_max = LATE_MAX.max(latency * LATE_FACTOR_BUSY);
            (latency * LATE_FACTOR).clamp(LATE_MIN, late_max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window for a source that sends a piece in `per_piece`, over a link with a round trip of
    /// `round_trip`; and whether that keeps the source busy.
    fn settled(per_piece: Duration, round_trip: Duration) -> (usize, bool) {
        let mut pace = Pace::new();
        for _ in 0..50 {
            let window = pace.window();
            let queue = per_piece * u32::try_from(window).unwrap();
            pace.answered(queue.max(round_trip + per_piece), window);
        }
        let queue = per_piece * u32::try_from(pace.window()).unwrap();
        (pace.window(), queue >= round_trip + per_piece)
    }

    #[test]
    fn the_window_keeps_a_source_busy_and_follows_its_speed() {
        let (ms, near, far) =
            (Duration::from_millis, Duration::from_millis(1), Duration::from_millis(100));
        assert_eq!(settled(ms(5), near), (WINDOW_MAX, true));
        assert_eq!(settled(ms(1000), near).0, 1);
        let (modest, busy) = settled(ms(60), near);
        assert!(busy && (3..=6).contains(&modest), "{modest}");
        let (distant, busy) = settled(ms(60), far);
        assert!(busy && distant >= modest, "{distant} {modest}");
    }

    #[test]
    fn lateness_follows_the_speed_within_its_bounds() {
        let mut pace = Pace::new();
        assert_eq!(pace.late_after(), LATE_UNKNOWN);
        pace.answered(Duration::ZERO, 1);
        assert_eq!(pace.late_after(), LATE_MIN);
        pace.answered(Duration::from_secs(5), 1);
        assert_eq!(pace.late_after(), LATE_MAX);
        pace.answered(Duration::from_secs(37), 1);
        assert!(pace.late_after() > Duration::from_secs(15), "{:?}", pace.late_after());
    }
}
