//! How many dials may follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// How many dials may be made, and how many more as time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Dials that may be made at once.
    pub(super) at_once: u32,
    /// After which time one more is allowed.
    pub(super) interval: Duration,
}

/// Dials to one peer: one that appears, restarts and changes its addresses within seconds needs a few. Records
/// that change all the time lead to one dial in two seconds.
pub(super) const PER_PEER: Allowance = Allowance { at_once: 4, interval: Duration::from_secs(2) };

/// A bucket of dials that fills up with time.
#[derive(Debug)]
pub(super) struct Budget {
    allowance: Allowance,
    dials: u32,
    /// When the last dial was added.
    filled_at: Instant,
}

impl Budget {
    pub(super) fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, dials: allowance.at_once, filled_at: now }
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
            None => Err(self.next_at()),
        }
    }

    /// Returns when the next dial is added.
    fn next_at(&self) -> Instant {
        self.filled_at + self.allowance.interval
    }

    /// Returns when a dial can be taken: in the past where one is left.
    pub(super) fn ready_at(&self) -> Instant {
        if self.dials > 0 { self.filled_at } else { self.next_at() }
    }

    /// Gives back a dial that was wanted.
    pub(super) fn give_back(&mut self) {
        self.dials = self.allowance.at_once.min(self.dials + 1);
    }

    /// Goes on with another allowance.
    pub(super) fn allow(&mut self, allowance: Allowance) {
        if self.allowance != allowance {
            let more = allowance.at_once.saturating_sub(self.allowance.at_once);
            self.dials = allowance.at_once.min(self.dials + more);
            self.allowance = allowance;
        }
    }

    /// Returns whether nothing was taken lately, so that the budget need not be remembered.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.dials == self.allowance.at_once
    }

    fn fill(&mut self, now: Instant) {
        while self.dials < self.allowance.at_once && now >= self.next_at() {
            self.dials += 1;
            self.filled_at = self.next_at();
        }
        if self.dials == self.allowance.at_once {
            self.filled_at = now.max(self.filled_at);
        }
    }
}
