//! How fast a source sends. Pure.

use std::time::Duration;

/// What a source sends at least in a second in which it is waited for. A source gives each of its streams twice as much,
/// whatever its upload limit.
pub(super) const FLOOR_BYTES_PER_SECOND: u64 = 4 * 1024;
/// For how long a source is waited for before it is judged: as long as for one frame.
pub(super) const JUDGED_AFTER: Duration = Duration::from_secs(120);

/// The pace of one source, from its `begin` on. Only time in which it is waited for counts: neither that of the disk here,
/// nor that of the download limit. Signs of life are no bytes.
#[derive(Debug, Default)]
pub(super) struct SourcePace {
    waited: Duration,
    taken: u64,
    is_below_floor: bool,
}

impl SourcePace {
    /// Notes that the source was waited for.
    pub(super) fn wait(&mut self, waited: Duration) {
        self.waited += waited;
        if self.waited >= JUDGED_AFTER {
            let least = u128::from(FLOOR_BYTES_PER_SECOND) * self.waited.as_millis() / 1_000;
            self.is_below_floor = u128::from(self.taken) < least;
            (self.waited, self.taken) = Default::default();
        }
    }

    /// Notes that so many bytes of frames and content came.
    pub(super) fn take(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// Returns whether the source was below the floor when it was judged last.
    pub(super) fn is_below_floor(&self) -> bool {
        self.is_below_floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_below_floor(bytes: u64, every: Duration, times: u32) -> bool {
        let mut pace = SourcePace::default();
        (0..times).any(|_| {
            pace.take(bytes);
            pace.wait(every);
            pace.is_below_floor()
        })
    }

    #[test]
    fn tiny_entries_just_in_time_are_below_the_floor() {
        assert!(is_below_floor(1_000, Duration::from_secs(119), 2));
        assert!(is_below_floor(100, Duration::from_secs(1), 200));
    }

    #[test]
    fn what_the_lowest_limit_makes_of_many_streams_is_not() {
        assert!(!is_below_floor(32 * 1024, Duration::from_secs(4), 10_000));
        // A slow beginning, then a burst.
        assert!(!is_below_floor(1024 * 1024, Duration::from_secs(119), 100));
    }
}
