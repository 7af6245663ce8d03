//! How many dials to one peer may follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// Dials that may be made at once: a peer that appears, restarts and changes its addresses within
/// seconds needs a few.
const DIALS_AT_ONCE: u32 = 4;
/// After which time one more dial is allowed. Records that change all the time lead to one dial in
/// that time.
pub(super) const DIAL_INTERVAL: Duration = Duration::from_secs(2);

/// A bucket of dials that fills up with time.
#[derive(Debug)]
pub(super) struct Budget {
    dials: u32,
    /// When the last dial was added.
    filled_at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { dials: DIALS_AT_ONCE, filled_at: now }
    }

    /// Takes one dial.
    ///
    /// # Errors
    /// The time of the next dial, where none is left.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        match self.dials.checked_sub(1) {
            Some(left) => {
                self.dials = left;
                Ok(())
            }
            None => Err(self.filled_at + DIAL_INTERVAL),
        }
    }

    /// Returns whether nothing was taken lately, so that the budget need not be remembered.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.dials == DIALS_AT_ONCE
    }

    fn fill(&mut self, now: Instant) {
        while self.dials < DIALS_AT_ONCE && now >= self.filled_at + DIAL_INTERVAL {
            self.dials += 1;
            self.filled_at += DIAL_INTERVAL;
        }
        if self.dials == DIALS_AT_ONCE {
            self.filled_at = now.max(self.filled_at);
        }
    }
}
