//! The time of a download: only while this peer runs.

use std::time::Duration;

use tokio::time::Instant;

/// How late the engine may wake up on a busy machine.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Counts the time since a download began, without the time in which the process stood still.
///
/// A machine that was asleep finds every timer expired when it wakes up, and answers that came in time
/// not read yet. None of its sources has been silent for that long. So the time that passes beyond the
/// first timer, which would have been looked at, does not count, and the timers behind it keep their distance.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    absent: Duration,
}

impl Clock {
    pub(super) fn start(now: Instant) -> Self {
        Self { began: now, absent: Duration::ZERO }
    }

    /// Returns the time since the beginning.
    pub(super) fn read(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began).saturating_sub(self.absent)
    }

    /// Returns when it will be so late.
    pub(super) fn moment(&self, time: Duration) -> Instant {
        self.began + self.absent + time
    }

    /// Takes in that the engine goes on at `now`, and was to go on at `wake_at` at the latest.
    pub(super) fn woke(&mut self, wake_at: Instant, now: Instant) {
        let late = now.saturating_duration_since(wake_at);
        if late > LATE_MAX {
            tracing::info!(?late, "a download stood still");
            self.absent += late;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_nothing_ran_does_not_count() {
        let began = Instant::now();
        let (at, secs) = (|seconds| began + Duration::from_secs(seconds), Duration::from_secs);
        let mut clock = Clock::start(began);
        clock.woke(at(5), at(6));
        assert_eq!((clock.read(at(6)), clock.moment(secs(8))), (secs(6), at(8)));
        clock.woke(at(8), at(100));
        assert_eq!((clock.read(at(100)), clock.moment(secs(9))), (secs(8), at(101)));
        clock.woke(at(101), at(99));
        assert_eq!(clock.read(at(103)), secs(11));
    }
}
