//! Holds the program to its share of a core.

use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::platform::cpu_time;

/// The time over which the share holds. Work is done in bursts of it, and a small share sleeps many times as long:
/// handshakes must not wait for seconds.
const PERIOD: Duration = Duration::from_millis(20);
/// How often the processor time is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Puts the thread to sleep whenever the program has taken more than `share` of a core since the beginning of a
/// period. The whole program runs on this thread, so all of it stops.
pub(crate) async fn hold_to(share: f64) -> Infallible {
    loop {
        let (began, cpu_before) = (Instant::now(), cpu_time());
        while began.elapsed() < PERIOD {
            sleep(LOOK_EVERY).await;
        }
        let used = cpu_time().saturating_sub(cpu_before);
        if let Some(pause) = pause(share, used, began.elapsed()) {
            thread::sleep(pause);
        }
    }
}

/// Returns how long the program has to sleep for its share to hold, after it has `used` so much of a time that `passed`.
fn pause(share: f64, used: Duration, passed: Duration) -> Option<Duration> {
    let due = Duration::try_from_secs_f64(used.as_secs_f64() / share).unwrap_or(PERIOD);
    due.checked_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_holds_over_work_and_sleep_together() {
        let (used, passed) = (Duration::from_millis(100), Duration::from_millis(100));
        assert_eq!(pause(0.5, used, passed), Some(Duration::from_millis(100)));
        assert_eq!(pause(0.25, used, passed), Some(Duration::from_millis(300)));
        assert_eq!(pause(0.5, used / 4, passed), None);
        assert_eq!(pause(1.0, used, passed), Some(Duration::ZERO));
    }
}
