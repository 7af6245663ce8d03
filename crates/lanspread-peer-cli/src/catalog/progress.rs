//! How far the reading of a large game is, on standard error.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use lanspread_proto::GameId;

/// Between two lines. A game that is read in less has none.
const INTERVAL: Duration = Duration::from_secs(5);

const MIB: u64 = 1024 * 1024;

/// The progress of one game.
pub(super) struct Progress<'a> {
    id: &'a GameId,
    begun: Instant,
    told: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(id: &'a GameId) -> Self {
        let now = Instant::now();
        Self { id, begun: now, told: now }
    }

    /// Hears that `done` of `total` bytes are read.
    pub(super) fn at(&mut self, done: u64, total: u64) {
        if self.told.elapsed() < INTERVAL {
            return;
        }
        self.told = Instant::now();
        let per_second = done / self.begun.elapsed().as_secs().max(1);
        // That nobody reads the progress is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "{:?}: {} of {} MiB read, {} MiB/s",
            self.id.as_str(),
            done / MIB,
            total / MIB,
            per_second / MIB
        );
    }
}
