//! What is left to others that promise to have it soon.

use std::time::Duration;

use lanspread_proto::PeerId;

use super::Scheduler;
use super::probes::Census;
use crate::layout::PieceIndex;

/// How long a piece that another peer is asking for is left to that peer, where nothing else is to
/// be had: so many times as long as the fastest source takes for a piece here, within bounds. A source with a
/// queue takes that long for others as well; one that is much slower must not set the pace.
const IN_FLIGHT_FACTOR: u32 = 4;
pub(super) const IN_FLIGHT_PATIENCE_MIN: Duration = Duration::from_millis(300);
const IN_FLIGHT_PATIENCE_MAX: Duration = Duration::from_secs(20);
/// The same, where no source has answered yet.
const IN_FLIGHT_PATIENCE_UNKNOWN: Duration = Duration::from_secs(5);

impl Scheduler {
    /// What a source that has everything is asked for though others give it out as well.
    pub(super) fn pick_available(
        &mut self,
        peer: PeerId,
        census: &Census,
        now: Duration,
    ) -> Option<PieceIndex> {
        let source = self.sources.get(&peer).filter(|source| source.partial.is_none())?;
        // Only what a source delivers tells how long others wait for it.
        let is_first_request = source.pace.latency().is_none() && source.requests.is_empty();
        // A second copy would hold up the first one of another piece.
        match !is_first_request && self.waits_for_promises(census, now) {
            true => self.pending.overdue(self.in_flight_patience(), now),
            false => self.pending.find_available().or_else(|| self.pending.next_in_flight()),
        }
    }

    /// Whether pieces are left to others that promise to have them soon. Those of which nothing has come yet
    /// are believed for a while once, and nobody is where nothing else is under way.
    fn waits_for_promises(&mut self, census: &Census, now: Duration) -> bool {
        let pending = &self.pending;
        let promising = self.sources.values().filter(|source| {
            let mut promised = source.partial.iter().flat_map(|partial| &partial.fetching);
            promised.any(|piece| pending.is_in_flight_elsewhere(*piece))
        });
        let (mut is_any, mut is_any_proven) = (false, false);
        for source in promising {
            is_any = true;
            is_any_proven |= source.is_proven();
        }
        if is_any_proven {
            return census.proven + census.unproven_full > 0;
        }
        let patience = self.in_flight_patience();
        is_any && now < *self.promises_end_at.get_or_insert(now + patience)
    }

    pub(super) fn in_flight_patience(&self) -> Duration {
        let full = self.sources.values().filter(|source| source.partial.is_none());
        let usual = full.filter_map(|source| source.pace.latency()).min();
        usual.map_or(IN_FLIGHT_PATIENCE_UNKNOWN, |usual| {
            (usual * IN_FLIGHT_FACTOR).clamp(IN_FLIGHT_PATIENCE_MIN, IN_FLIGHT_PATIENCE_MAX)
        })
    }
}
