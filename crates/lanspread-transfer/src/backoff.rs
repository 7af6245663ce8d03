//! Pauses that grow with each failure in a row.

use std::time::Duration;

/// Counts failures in a row and says how long to pause after each.
///
/// The pause after the first failure is the shortest one. Each further failure multiplies it, up to the
/// longest one. Pauses are durations, so that the caller may add them to whichever clock it has.
///
/// ```
/// use std::time::Duration;
///
/// use lanspread_transfer::backoff::Backoff;
///
/// let mut backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(5));
/// assert_eq!(backoff.pause(), Duration::ZERO);
/// let pauses = [(); 4].map(|()| backoff.fail().as_secs());
/// assert_eq!(pauses, [1, 2, 4, 5]);
///
/// backoff.reset();
/// assert_eq!(backoff.fail(), Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: u32,
    failures: u32,
}

impl Backoff {
    /// Returns a backoff that has not failed. Its pauses begin with `min`, are `factor` times as long
    /// each time, and never longer than `max`.
    pub const fn new(min: Duration, max: Duration, factor: u32) -> Self {
        Self { min, max, factor, failures: 0 }
    }

    /// Returns a backoff whose pauses double.
    pub const fn doubling(min: Duration, max: Duration) -> Self {
        Self::new(min, max, 2)
    }

    /// Counts a failure, and returns how long to pause after it.
    pub fn fail(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.pause()
    }

    /// Returns how long to pause after the failures so far; zero where there are none.
    pub fn pause(&self) -> Duration {
        let Some(earlier) = self.failures.checked_sub(1) else { return Duration::ZERO };
        let times = self.factor.saturating_pow(earlier);
        self.min.checked_mul(times).map_or(self.max, |pause| pause.min(self.max))
    }

    /// Returns how many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_never_shrink_and_keep_to_their_bounds(
            (min, longer) in (1..10_000_u64, 0..1_000_000_u64),
            factor in 1..10_u32,
            failures in 1..200_usize,
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + longer));
            let mut backoff = Backoff::new(min, max, factor);
            let pauses: Vec<_> = (0..failures).map(|_| backoff.fail()).collect();
            prop_assert_eq!(pauses[0], min);
            prop_assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= max));
            backoff.reset();
            prop_assert_eq!((backoff.failures(), backoff.pause()), (0, Duration::ZERO));
        }
    }
}
