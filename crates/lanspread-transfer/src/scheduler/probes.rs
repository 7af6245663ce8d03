//! How many sources that have delivered nothing are tried at a time.
//!
//! Identities cost nothing, so any number of sources may promise a game and give nothing of it. One that
//! stays quiet costs a stream, and is no reason not to try the next ones: their number grows until one
//! delivers. From then on a few are tried beside those that deliver, so that a source that joins is found, and
//! wrong bytes are never more than a part of the right ones.

use std::time::Duration;

use super::Scheduler;
use super::request::Expected;

/// Most unproven requests that are expected to be answered, while no source delivers: as much as the memory for pieces
/// holds.
const PROBES_START: usize = super::PIECES_IN_MEMORY_MAX;
/// A source that has delivered nothing and needs longer than this keeps no other one from being tried.
const SLOW: Duration = Duration::from_secs(1);
/// How many times the requests that are behind may be tried in addition: 350 silent sources at one address
/// are behind after four rounds.
const PROBES_GROWTH: usize = 3;
/// The most that grows to: 192 MiB, should all of them send at once what they then stop sending.
pub(super) const PROBES_MAX: usize = 96;
/// Most of them beside sources that deliver.
const PROBES_BESIDE: usize = 8;
/// How many pieces have to be verified for one more to be tried beside sources that deliver.
const PIECES_PER_PROBE: u64 = 2;
/// Most bytes in memory of answers that are not whole, from sources that have delivered nothing or are late: 64 MiB.
pub(super) const PARTIAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is under way, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    /// Whether a source delivers that has everything.
    pub(super) has_reliable: bool,
    /// Requests to sources that have delivered, and may yet be answered.
    pub(super) proven: usize,
    /// Requests to those that have everything and have delivered nothing, likewise.
    pub(super) unproven_full: usize,
    /// Requests to those that have delivered nothing, likewise.
    pub(super) unproven: usize,
    /// Those to which no answer is likely to come, or not soon.
    behind: usize,
}

impl Census {
    /// Requests that are likely to be answered.
    pub(super) fn live(&self) -> usize {
        self.proven + self.unproven
    }

    /// Whether one more source may be tried; `tried` and `verified` count since the beginning.
    pub(super) fn may_probe(&self, tried: u64, verified: u64) -> bool {
        if self.has_reliable {
            let tried_max = PROBES_START as u64 + verified / PIECES_PER_PROBE;
            return self.unproven < PROBES_BESIDE && tried < tried_max;
        }
        let grown = self.behind.saturating_mul(PROBES_GROWTH).min(PROBES_MAX);
        self.unproven < PROBES_START.max(grown)
    }
}

impl Scheduler {
    pub(super) fn census(&self, now: Duration) -> Census {
        let mut census = Census::default();
        for source in self.sources.values() {
            let is_proven = source.is_proven();
            census.has_reliable |= source.partial.is_none() && source.is_reliable(now);
            for request in source.requests.values() {
                let expected = source.expected(request, now);
                if expected == Expected::Overdue || !is_proven && expected.is_later_than(SLOW) {
                    census.behind += 1;
                } else if is_proven {
                    census.proven += 1;
                } else {
                    census.unproven += 1;
                    census.unproven_full += usize::from(source.partial.is_none());
                }
            }
        }
        census
    }
}
