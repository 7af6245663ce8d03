//! Which sources may be asked, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_proto::PeerId;

use super::probes::Census;
use super::source::{SourceGroup, SourceState};
use super::{PIECES_IN_MEMORY_MAX, Scheduler};

/// A source that may be asked, in the order in which they are: those first that have delivered, then those
/// that have let others deliver least often, and of these the ones of whose address fewest are asked.
type Place = (bool, u32, usize, usize, u64, PeerId);

impl Scheduler {
    /// Those that may be asked, in the order in which they are.
    pub(super) fn free(&self, census: &Census, now: Duration) -> Vec<PeerId> {
        let may_probe = census.may_probe(self.tried, self.verified);
        let mut in_group: BTreeMap<Option<SourceGroup>, usize> = BTreeMap::new();
        for source in self.sources.values().filter(|source| !source.is_proven()) {
            *in_group.entry(source.group).or_default() += source.requests.len();
        }
        let is_free = |source: &SourceState| {
            source.is_free(now, census.has_reliable)
                && (source.is_proven() || may_probe)
                && self.has_room_for(source, census)
        };
        let free = self.sources.iter().filter(|(_, source)| is_free(source));
        let mut free: Vec<Place> = free
            .map(|(peer, source)| {
                let of_group = in_group.get(&source.group).copied().unwrap_or_default();
                let (lapses, of_group) =
                    if source.is_proven() { (0, 0) } else { (source.lapses(), of_group) };
                let requests = source.requests.len();
                (!source.is_proven(), lapses, requests, of_group, source.turn, *peer)
            })
            .collect();
        free.sort_unstable();
        free.into_iter().map(|(.., peer)| peer).collect()
    }

    fn has_room_for(&self, source: &SourceState, census: &Census) -> bool {
        let waiting = self.writing.len();
        let has_nothing_to_do = source.requests.is_empty();
        waiting < PIECES_IN_MEMORY_MAX
            && (has_nothing_to_do || census.live() + waiting < PIECES_IN_MEMORY_MAX)
    }
}
