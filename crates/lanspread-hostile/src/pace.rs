//! How often an attack does what it does.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far behind an attacker may fall and still make up for it: beyond, its share of a core is the bound, and a burst
/// would be no rate.
const BEHIND_MAX: Duration = Duration::from_millis(250);

/// Turns at a rate. All who share one take them in turn.
pub(crate) struct Pace {
    every: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// Gives `rate` turns a second.
    pub(crate) fn new(rate: f64) -> Self {
        let every = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        Self { every, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next turn.
    pub(crate) async fn turn(&self) {
        let turn = self.take(Instant::now());
        sleep_until(turn).await;
    }

    fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now.checked_sub(BEHIND_MAX).unwrap_or(now));
        *next = turn.checked_add(self.every).unwrap_or(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_the_rate_and_little_is_made_up_for() {
        let pace = Pace::new(100.0);
        let begin = pace.take(Instant::now());
        assert_eq!(pace.take(begin), begin + Duration::from_millis(10));
        let late = begin + Duration::from_secs(9);
        assert_eq!(pace.take(late), late - BEHIND_MAX);
        assert_eq!(pace.take(late), late - BEHIND_MAX + Duration::from_millis(10));
    }
}
