//! Peers of the party that speak another version of the protocol.
//!
//! They are not dialled and not let in, so nothing of them shows. After an upgrade of some machines that
//! looks like an empty party; this table tells what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

/// How long changes are gathered before the first report: mDNS tells of a whole party within a second.
const GATHER: Duration = Duration::from_secs(2);
/// Shortest time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How long a peer counts that was met in a handshake and that mDNS does not tell of.
const MEMORY: Duration = Duration::from_secs(300);
/// Most peers that are counted: the largest party has fewer.
const COUNTED_MAX: usize = 256;

/// The peers of other versions. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct OtherVersions {
    peers: BTreeMap<PeerId, Other>,
    /// Since when there is something to tell.
    news_since: Option<Instant>,
    told_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Other {
    /// Its version, where it said so.
    proto_ver: Option<u32>,
    /// When it stops to count; never while mDNS tells of it.
    until: Option<Instant>,
}

/// What is told of the peers of other versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionSummary {
    /// How many there are.
    pub count: usize,
    /// Their versions as far as they are known, in order.
    pub versions: Vec<u32>,
}

impl OtherVersions {
    /// Takes in that mDNS tells of a peer of another version.
    pub(crate) fn advertised(&mut self, peer_id: PeerId, proto_ver: u32, now: Instant) {
        self.note(peer_id, Other { proto_ver: Some(proto_ver), until: None }, now);
    }

    /// Takes in that a handshake ended because of the versions.
    pub(crate) fn refused(&mut self, peer_id: PeerId, proto_ver: Option<u32>, now: Instant) {
        let known = self.peers.get(&peer_id);
        let proto_ver = proto_ver.or_else(|| known.and_then(|known| known.proto_ver));
        let is_advertised = known.is_some_and(|known| known.until.is_none());
        let until = (!is_advertised).then(|| now + MEMORY);
        self.note(peer_id, Other { proto_ver, until }, now);
    }

    /// Takes in that a peer is gone, or speaks this version.
    pub(crate) fn gone(&mut self, peer_id: PeerId) {
        self.peers.remove(&peer_id);
    }

    /// Returns what is to be told now.
    pub(crate) fn report(&mut self, now: Instant) -> Option<VersionSummary> {
        let is_gathered = self.news_since.is_some_and(|since| now >= since + GATHER);
        let is_quiet = self.told_at.is_none_or(|at| now >= at + REPORT_INTERVAL);
        if !is_gathered || !is_quiet {
            return None;
        }
        self.news_since = None;
        let summary = self.summary(now);
        (summary.count > 0).then(|| {
            self.told_at = Some(now);
            summary
        })
    }

    /// Returns who is counted at the moment.
    pub(crate) fn summary(&self, now: Instant) -> VersionSummary {
        let counted = || self.peers.values().filter(|other| other.counts(now));
        let mut versions: Vec<_> = counted().filter_map(|other| other.proto_ver).collect();
        versions.sort_unstable();
        versions.dedup();
        VersionSummary { count: counted().count(), versions }
    }

    fn note(&mut self, peer_id: PeerId, other: Other, now: Instant) {
        self.peers.retain(|_, other| other.counts(now));
        if self.peers.len() >= COUNTED_MAX && !self.peers.contains_key(&peer_id) {
            return;
        }
        let before = self.peers.insert(peer_id, other);
        if before.is_none_or(|before| before.proto_ver != other.proto_ver) {
            self.news_since.get_or_insert(now);
        }
    }
}

impl Other {
    fn counts(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> PeerId {
        PeerId::from_public_key(&n.to_be_bytes())
    }

    fn summary(count: usize, versions: &[u32]) -> VersionSummary {
        VersionSummary { count, versions: versions.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_of_other_versions_is_told_at_once_and_as_a_whole() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        assert_eq!(versions.report(at(0)), None);
        for n in 0..50 {
            versions.advertised(peer(n), if n < 40 { 2 } else { 4 }, at(0));
        }
        assert_eq!(versions.report(at(1)), None);
        assert_eq!(versions.report(at(2)), Some(summary(50, &[2, 4])));
        assert_eq!(versions.report(at(100)), None, "nothing is new");
        versions.advertised(peer(0), 2, at(100));
        assert_eq!(versions.report(at(200)), None, "nothing is new");
    }

    #[tokio::test(start_paused = true)]
    async fn reports_are_a_minute_apart_and_none_is_empty() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        let mut told = Vec::new();
        for second in 0..200 {
            // A peer that cannot decide on a version.
            versions.advertised(peer(1), 2 + u32::try_from(second % 2).unwrap() * 2, at(second));
            told.extend(versions.report(at(second)).map(|_| second));
        }
        assert_eq!(told, [2, 62, 122, 182]);
        versions.gone(peer(1));
        assert_eq!((versions.report(at(300)), versions.summary(at(300))), (None, summary(0, &[])));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_refused_counts_for_a_while_and_who_is_advertised_as_long_as_that_lasts() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        versions.refused(peer(1), None, at(0));
        versions.refused(peer(2), Some(2), at(0));
        versions.advertised(peer(3), 4, at(0));
        versions.refused(peer(3), None, at(1));
        assert_eq!(versions.report(at(2)), Some(summary(3, &[2, 4])));
        assert_eq!(versions.summary(at(301)), summary(1, &[4]));
        versions.gone(peer(3));
        assert_eq!(versions.summary(at(301)), summary(0, &[]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_invented_peers_is_bounded() {
        let now = Instant::now();
        let mut versions = OtherVersions::default();
        for n in 0..10 * COUNTED_MAX {
            versions.advertised(peer(n), 9, now);
            versions.refused(peer(n), None, now);
        }
        assert_eq!(versions.summary(now), summary(COUNTED_MAX, &[9]));
    }
}
