//! How far a download is and how fast it goes.

use std::collections::VecDeque;
use std::time::Duration;

/// Shortest time between two reports: ten a second.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two reports while nothing comes in, so that the speed is seen to fall.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// The time over which the speed is measured.
const SPEED_SPAN: Duration = Duration::from_secs(1);

/// Decides when to report, and measures the speed.
#[derive(Debug)]
pub struct ProgressMeter {
    /// When how many bytes were done: one entry a report, the oldest just outside the span.
    samples: VecDeque<(Duration, u64)>,
}

impl ProgressMeter {
    /// Makes a meter for a download that begins `now`.
    pub fn new(now: Duration) -> Self {
        Self { samples: VecDeque::from([(now, 0)]) }
    }

    /// Returns when the next report is due, given how many bytes are done.
    pub fn due_at(&self, bytes_done: u64) -> Duration {
        self.samples.back().map_or(Duration::ZERO, |(at, before)| {
            let is_idle = *before == bytes_done;
            *at + if is_idle { IDLE_INTERVAL } else { REPORT_INTERVAL }
        })
    }

    /// Notes a report and returns the speed in bytes per second.
    pub fn report(&mut self, now: Duration, bytes_done: u64) -> u64 {
        while self.samples.get(1).is_some_and(|(at, _)| *at + SPEED_SPAN <= now) {
            self.samples.pop_front();
        }
        let (since, before) = self.samples.front().copied().unwrap_or((now, bytes_done));
        self.samples.push_back((now, bytes_done));
        let millis = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
        // What is struck out again can make a download go backwards.
        bytes_done.saturating_sub(before).saturating_mul(1000) / millis.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn speed_is_that_of_the_last_second() {
        let mut meter = ProgressMeter::new(ms(0));
        assert_eq!(meter.report(ms(500), 500), 1000);
        for tenth in 6..=30 {
            meter.report(ms(tenth * 100), tenth * 200);
        }
        assert_eq!(meter.report(ms(3_100), 6_200), 2000);
        assert_eq!(meter.report(ms(9_000), 6_200), 0);
    }

    #[test]
    fn reports_come_at_most_ten_times_a_second() {
        let mut meter = ProgressMeter::new(ms(0));
        meter.report(ms(50), 5);
        assert_eq!(meter.due_at(6), ms(150));
        assert_eq!(meter.due_at(5), ms(1_050));
    }
}
