//! Peers of the party that speak another version of the protocol.
//!
//! They are not dialled and not let in, so nothing of them shows. After an upgrade of some machines that
//! looks like an empty party; this table tells who they are and where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lanspread_mdns::OtherRecord;
use lanspread_proto::PeerId;
use tokio::time::Instant;

use crate::info::OtherVersionPeer;

/// How long changes are gathered before they are told: mDNS tells of a whole party within seconds.
const GATHER: Duration = Duration::from_secs(5);
/// How long a peer is remembered that was met in a handshake and that mDNS does not tell of.
const MEMORY: Duration = Duration::from_secs(600);
/// Most peers that are told: a page of them is enough to know which machines to look after.
const TOLD_MAX: usize = 64;
/// Most peers that mDNS tells of and that are remembered, so that others are told when those are gone. Where mDNS
/// tells of more, it takes back those of the address with the most.
const ADVERTISED_MAX: usize = lanspread_mdns::MAX_TRACKED_PEERS;
/// Most addresses at which peers were met in handshakes.
const MET_MAX: usize = 4 * TOLD_MAX;

/// The peers of other versions. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct OtherVersions {
    /// As mDNS tells of them.
    advertised: BTreeMap<PeerId, OtherVersionPeer>,
    /// As they were met in handshakes. An address counts once, however many identities it shows.
    met: BTreeMap<IpAddr, Met>,
    /// What was told last.
    told: Vec<OtherVersionPeer>,
    /// Since when that is not what there is.
    news_since: Option<Instant>,
}

#[derive(Debug)]
struct Met {
    peer_id: PeerId,
    peer: OtherVersionPeer,
    until: Instant,
}

impl OtherVersions {
    /// Takes in that mDNS tells of a peer of another version.
    pub(crate) fn advertised(&mut self, record: OtherRecord) {
        let OtherRecord { peer_id, proto_ver, name, addr } = record;
        if self.advertised.len() < ADVERTISED_MAX || self.advertised.contains_key(&peer_id) {
            let peer = OtherVersionPeer { name, addr, proto_ver: Some(proto_ver) };
            self.advertised.insert(peer_id, peer);
        }
    }

    /// Takes in that a handshake ended because of the versions.
    pub(crate) fn met(&mut self, peer_id: PeerId, peer: OtherVersionPeer, now: Instant) {
        self.met.retain(|_, met| now < met.until);
        let at = peer.addr.ip();
        if self.met.len() < MET_MAX || self.met.contains_key(&at) {
            self.met.insert(at, Met { peer_id, peer, until: now + MEMORY });
        }
    }

    /// Takes in that a peer is gone, or speaks this version.
    pub(crate) fn gone(&mut self, peer_id: PeerId) {
        self.advertised.remove(&peer_id);
        self.met.retain(|_, met| met.peer_id != peer_id);
    }

    /// Returns all of them once [`GATHER`] has passed since a call first found them to differ from the last report.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Vec<OtherVersionPeer>> {
        let peers = self.all(now);
        if peers == self.told {
            self.news_since = None;
            return None;
        }
        let since = *self.news_since.get_or_insert(now);
        if now < since + GATHER {
            return None;
        }
        self.news_since = None;
        self.told.clone_from(&peers);
        Some(peers)
    }

    /// Returns [`TOLD_MAX`] of those that are remembered at the moment, in the order of their addresses. Hosts take
    /// turns, so that one which tells of many hides no other one.
    pub(crate) fn all(&self, now: Instant) -> Vec<OtherVersionPeer> {
        let addrs: BTreeSet<_> = self.advertised.values().map(|peer| peer.addr).collect();
        let is_advertised = |met: &Met| {
            self.advertised.contains_key(&met.peer_id) || addrs.contains(&met.peer.addr)
        };
        let met = self.met.values().filter(|met| now < met.until && !is_advertised(met));
        let mut peers: Vec<_> = self.advertised.values().chain(met.map(|met| &met.peer)).collect();
        peers.sort_by_key(|peer| peer.addr);
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let mut in_turns: Vec<_> = peers
            .into_iter()
            .map(|peer| {
                let count = counts.entry(peer.addr.ip()).or_default();
                *count += 1;
                (*count, peer)
            })
            .collect();
        in_turns.sort_by_key(|(turn, _)| *turn);
        let mut told: Vec<_> =
            in_turns.into_iter().take(TOLD_MAX).map(|(_, peer)| peer.clone()).collect();
        told.sort_by_key(|peer| peer.addr);
        told
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn id(n: usize) -> PeerId {
        PeerId::from_public_key(&n.to_be_bytes())
    }

    fn addr(n: usize) -> SocketAddr {
        let [.., a, b] = n.to_be_bytes();
        ([10, 0, a, b], 4433).into()
    }

    fn peer(n: usize, proto_ver: Option<u32>) -> OtherVersionPeer {
        OtherVersionPeer { name: None, addr: addr(n), proto_ver }
    }

    fn record(n: usize, proto_ver: u32) -> OtherRecord {
        OtherRecord { peer_id: id(n), proto_ver, name: None, addr: addr(n) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_of_other_versions_is_told_as_a_whole() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        assert_eq!(versions.report(at(0)), None);
        for n in 0..50 {
            versions.advertised(record(n, if n < 40 { 2 } else { 5 }));
        }
        assert_eq!(versions.report(at(1)), None);
        assert_eq!(versions.report(at(5)), None);
        let told = versions.report(at(6)).unwrap();
        let expected: Vec<_> = (0..50).map(|n| peer(n, Some(if n < 40 { 2 } else { 5 }))).collect();
        assert_eq!(told, expected);
        versions.advertised(record(0, 2));
        assert_eq!(versions.report(at(100)), None, "nothing is new");
    }

    #[tokio::test(start_paused = true)]
    async fn reports_are_seconds_apart_and_the_end_is_told_too() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        let mut told = Vec::new();
        for second in 0..20 {
            // A peer that cannot decide on a version.
            versions.advertised(record(1, 20 + u32::try_from(second).unwrap()));
            told.extend(versions.report(at(second)).map(|_| second));
        }
        assert_eq!(told, [5, 11, 17]);
        versions.gone(id(1));
        assert_eq!(versions.report(at(22)), None);
        assert_eq!(versions.report(at(23)), Some(Vec::new()));
        assert_eq!(versions.report(at(100)), None, "nothing is new");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_met_is_remembered_for_a_while_and_who_is_advertised_as_long_as_that_lasts() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut versions = OtherVersions::default();
        versions.met(id(1), peer(1, None), at(0));
        versions.met(id(2), peer(2, Some(2)), at(0));
        versions.advertised(record(3, 4));
        // It is known by a better word than its handshake gave, also at another address of its own.
        versions.met(id(3), peer(9, None), at(1));
        let all = [peer(1, None), peer(2, Some(2)), peer(3, Some(4))];
        assert_eq!(versions.all(at(2)), all);
        assert_eq!(versions.all(at(599)), all);
        assert_eq!(versions.all(at(601)), all[2..]);
        versions.gone(id(3));
        assert_eq!(versions.all(at(601)), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_invented_peers_is_bounded_and_an_address_counts_once() {
        let now = Instant::now();
        let mut versions = OtherVersions::default();
        for n in 0..1_000 {
            let invented =
                OtherVersionPeer { addr: SocketAddr::new(addr(1).ip(), 9), ..peer(1, Some(9)) };
            versions.met(id(n), invented, now);
        }
        assert_eq!(versions.all(now).len(), 1);
        for n in 0..2 * ADVERTISED_MAX {
            versions.advertised(record(n, 9));
            versions.met(id(n), peer(n, None), now);
        }
        assert_eq!(versions.all(now).len(), TOLD_MAX);
        // Those that were not told come up when the others are gone.
        let told = versions.all(now);
        (0..TOLD_MAX).for_each(|n| versions.gone(id(n)));
        assert_eq!(versions.all(now).len(), TOLD_MAX);
        assert!(versions.all(now).iter().all(|peer| !told.contains(peer)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_tells_of_many_hides_no_other_one() {
        let now = Instant::now();
        let mut versions = OtherVersions::default();
        for n in 0..500 {
            let many = SocketAddr::new(addr(1).ip(), u16::try_from(1 + n).unwrap());
            versions.advertised(OtherRecord { addr: many, ..record(n, 9) });
        }
        versions.advertised(record(1_000, 9));
        assert!(versions.all(now).contains(&peer(1_000, Some(9))));
        assert_eq!(versions.all(now).len(), TOLD_MAX);
    }
}
