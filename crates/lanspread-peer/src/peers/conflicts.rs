//! Identities that two running peers have at the same time.
//!
//! An identity is a key in a state directory. Who copies the directory to a second machine, or makes two
//! machines of one disk image, has two peers that are one for all others. That cannot be mended here; it
//! is told, at most once a minute for each identity, until it has not been seen for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

/// Shortest time between two reports of the same conflict.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How long a conflict counts that was not seen again: some times the pause between two looks at it.
const MEMORY: Duration = Duration::from_secs(180);
/// Most conflicts that are remembered; one is rare.
const CONFLICTS_MAX: usize = 64;
/// Most addresses that are remembered of one: a clone for each machine of a small party.
const ADDRS_MAX: usize = 16;

/// The conflicts that were seen lately. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    seen: BTreeMap<PeerId, Seen>,
}

#[derive(Debug)]
struct Seen {
    addrs: BTreeSet<SocketAddr>,
    at: Instant,
    reported_at: Option<Instant>,
}

impl Conflicts {
    /// Takes in that peers at all of `addrs` have an identity. Returns all addresses that are known, if
    /// that is to be told now.
    pub(crate) fn seen(
        &mut self,
        peer_id: PeerId,
        addrs: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) -> Option<Vec<SocketAddr>> {
        self.forget(now);
        if self.seen.len() >= CONFLICTS_MAX && !self.seen.contains_key(&peer_id) {
            return None;
        }
        let fresh = Seen { addrs: BTreeSet::new(), at: now, reported_at: None };
        let seen = self.seen.entry(peer_id).or_insert(fresh);
        seen.at = now;
        for addr in addrs {
            if seen.addrs.len() < ADDRS_MAX {
                seen.addrs.insert(addr);
            }
        }
        let is_due = seen.reported_at.is_none_or(|at| now >= at + REPORT_INTERVAL);
        is_due.then(|| {
            seen.reported_at = Some(now);
            seen.addrs.iter().copied().collect()
        })
    }

    /// Returns the conflicts that were seen lately, in peer id order.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = (PeerId, Vec<SocketAddr>)> {
        let recent = self.seen.iter().filter(move |(_, seen)| seen.is_recent(now));
        recent.map(|(peer_id, seen)| (*peer_id, seen.addrs.iter().copied().collect()))
    }

    fn forget(&mut self, now: Instant) {
        self.seen.retain(|_, seen| seen.is_recent(now));
    }
}

impl Seen {
    fn is_recent(&self, now: Instant) -> bool {
        now < self.at + MEMORY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> PeerId {
        PeerId::from_public_key(&n.to_be_bytes())
    }

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_told_once_a_minute_and_forgotten_when_it_is_over() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut conflicts = Conflicts::default();
        assert_eq!(
            conflicts.seen(peer(1), [addr(1), addr(2)], at(0)),
            Some(vec![addr(1), addr(2)])
        );
        for seconds in 1..60 {
            assert_eq!(conflicts.seen(peer(1), [addr(2)], at(seconds)), None, "{seconds}");
        }
        assert_eq!(conflicts.seen(peer(2), [addr(3)], at(30)), Some(vec![addr(3)]));
        let all = Some(vec![addr(1), addr(2), addr(4)]);
        assert_eq!(conflicts.seen(peer(1), [addr(4)], at(60)), all);
        assert_eq!(conflicts.all(at(200)).count(), 2);
        assert_eq!(
            conflicts.all(at(215)).map(|(peer_id, _)| peer_id).collect::<Vec<_>>(),
            [peer(1)]
        );
        assert_eq!((conflicts.all(at(239)).count(), conflicts.all(at(240)).count()), (1, 0));
        assert_eq!(conflicts.seen(peer(1), [addr(9)], at(300)), Some(vec![addr(9)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_conflicts_is_bounded() {
        let now = Instant::now();
        let mut conflicts = Conflicts::default();
        for n in 0..1_000 {
            let addrs = (0..=255).map(addr);
            conflicts.seen(peer(n), addrs, now);
        }
        assert_eq!(conflicts.all(now).count(), CONFLICTS_MAX);
        assert!(conflicts.all(now).all(|(_, addrs)| addrs.len() == ADDRS_MAX));
    }
}
