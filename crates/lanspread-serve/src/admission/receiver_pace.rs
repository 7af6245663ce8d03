//! How fast the receiver of a stream takes it. Pure.

use std::time::Duration;

/// What a receiver takes at least in a second in which it is waited for, or it loses its turn when others wait: a quarter of
/// the lowest limit that it may be given.
pub(crate) const FLOOR_BYTES_PER_SECOND: u64 = 64 * 1024;
/// What an entry counts beside its bytes: a slow disk makes a dozen small files a second.
pub(crate) const ENTRY_BYTES: u64 = 8 * 1024;
/// For how long a receiver is waited for before it is judged: longer than a disk takes to sync.
pub(crate) const JUDGED_AFTER: Duration = Duration::from_secs(30);

/// The pace of one receiver. Only time in which it is waited for counts: not that of the disk, of the limit, or of the
/// unpacking.
#[derive(Debug, Default)]
pub(crate) struct ReceiverPace {
    waited: Duration,
    taken: u64,
    is_slow: bool,
}

impl ReceiverPace {
    /// Notes that the receiver took `bytes` with so many `entries`, and was waited for.
    pub(crate) fn note(&mut self, bytes: usize, entries: u64, waited: Duration) {
        self.waited += waited;
        self.taken += bytes as u64 + entries * ENTRY_BYTES;
        if self.waited >= JUDGED_AFTER {
            let least = u128::from(FLOOR_BYTES_PER_SECOND) * self.waited.as_millis() / 1_000;
            self.is_slow = u128::from(self.taken) < least;
            (self.waited, self.taken) = Default::default();
        }
    }

    /// Returns whether the receiver was below the floor when it was judged last.
    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(bytes: usize, entries: u64, waited: Duration) -> ReceiverPace {
        let mut pace = ReceiverPace::default();
        for _ in 0..100 {
            pace.note(bytes, entries, waited);
        }
        pace
    }

    #[test]
    fn a_receiver_below_the_floor_is_slow() {
        let second = Duration::from_secs(1);
        assert!(pace(50 * 1024, 0, second).is_slow());
        assert!(!pace(70 * 1024, 0, second).is_slow());
        assert!(!pace(1_000, 12, second).is_slow(), "small files on a slow disk");
        assert!(!pace(1, 0, Duration::ZERO).is_slow(), "it is not waited for");
    }

    #[test]
    fn a_pause_makes_no_receiver_slow() {
        let mut pace = ReceiverPace::default();
        for _ in 0..100 {
            pace.note(256 * 1024, 0, Duration::from_millis(10));
        }
        pace.note(256 * 1024, 0, Duration::from_secs(25));
        for _ in 0..1_000 {
            pace.note(256 * 1024, 0, Duration::from_millis(10));
        }
        assert!(!pace.is_slow());
    }
}
