//! Which peers are there, so that each change is told once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use lanspread_proto::PeerId;

use crate::record::{OtherRecord, PeerRecord};

/// Most peers tracked at once: many times the largest party, and what a flood of invented peers
/// can cost is some hundred kilobytes.
pub const MAX_TRACKED_PEERS: usize = 1024;

/// A change on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrowseEvent {
    /// A peer that was not there is there.
    Appeared(PeerRecord),
    /// A peer that is there says something else than before, or is at other addresses.
    Updated(PeerRecord),
    /// A peer said goodbye, or its records expired.
    Gone(PeerId),
    /// A peer of another protocol version is there, whose records this version cannot read whole. It takes
    /// the place of what was known of the peer.
    OtherVersion(OtherRecord),
    /// Records under this peer's own name tell of these addresses, which it does not listen on.
    OwnNameElsewhere(Vec<SocketAddr>),
}

/// The peers of the link but this one.
#[derive(Debug)]
pub(crate) struct Tracker {
    own_id: PeerId,
    peers: BTreeMap<PeerId, PeerRecord>,
    /// Peers whose records are of another version and cannot be read.
    others: BTreeMap<PeerId, OtherRecord>,
    /// Where else this peer's own name is.
    own_elsewhere: Vec<SocketAddr>,
}

impl Tracker {
    pub(crate) fn new(own_id: PeerId) -> Self {
        let (peers, others) = (BTreeMap::new(), BTreeMap::new());
        Self { own_id, peers, others, own_elsewhere: Vec::new() }
    }

    /// Notes the record of a peer; returns what that changes.
    pub(crate) fn on_record(&mut self, record: PeerRecord) -> Option<BrowseEvent> {
        if record.peer_id == self.own_id {
            return None;
        }
        self.others.remove(&record.peer_id);
        let is_full = self.peers.len() >= MAX_TRACKED_PEERS;
        match self.peers.entry(record.peer_id) {
            Entry::Occupied(known) if *known.get() == record => None,
            Entry::Occupied(mut known) => {
                known.insert(record.clone());
                Some(BrowseEvent::Updated(record))
            }
            Entry::Vacant(_) if is_full => {
                tracing::debug!(peer_id = %record.peer_id, "too many peers on the link, left out");
                None
            }
            Entry::Vacant(free) => {
                free.insert(record.clone());
                Some(BrowseEvent::Appeared(record))
            }
        }
    }

    /// Notes a record that only another version can read whole; returns what that changes.
    pub(crate) fn on_other_version(&mut self, record: OtherRecord) -> Option<BrowseEvent> {
        let peer_id = record.peer_id;
        let is_full = self.others.len() >= MAX_TRACKED_PEERS;
        if peer_id == self.own_id || is_full && !self.others.contains_key(&peer_id) {
            return None;
        }
        self.peers.remove(&peer_id);
        let before = self.others.insert(peer_id, record.clone());
        (before.as_ref() != Some(&record)).then_some(BrowseEvent::OtherVersion(record))
    }

    /// Notes the other addresses at which this peer's own name is; returns what that changes. That there are
    /// none any more is no change.
    pub(crate) fn on_own_name(&mut self, elsewhere: Vec<SocketAddr>) -> Option<BrowseEvent> {
        let is_news = !elsewhere.is_empty() && elsewhere != self.own_elsewhere;
        self.own_elsewhere.clone_from(&elsewhere);
        is_news.then_some(BrowseEvent::OwnNameElsewhere(elsewhere))
    }

    /// Notes that the records of a peer are gone; returns what that changes.
    pub(crate) fn on_removed(&mut self, peer_id: PeerId) -> Option<BrowseEvent> {
        let was_there =
            self.peers.remove(&peer_id).is_some() | self.others.remove(&peer_id).is_some();
        was_there.then_some(BrowseEvent::Gone(peer_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize, library_rev: u64) -> PeerRecord {
        PeerRecord {
            peer_id: PeerId::from_public_key(&n.to_be_bytes()),
            proto_ver: 1,
            library_rev,
            network: "lan".parse().unwrap(),
            hostname: "alpha".parse().unwrap(),
            addrs: vec!["10.0.0.3:4433".parse().unwrap()],
        }
    }

    fn other(n: usize, proto_ver: u32) -> OtherRecord {
        let addr = "10.0.0.3:4433".parse().unwrap();
        OtherRecord { peer_id: record(n, 0).peer_id, proto_ver, name: None, addr }
    }

    #[test]
    fn each_change_is_told_once() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let id = record(1, 0).peer_id;
        assert_eq!(tracker.on_removed(id), None);
        assert_eq!(tracker.on_record(record(1, 1)), Some(BrowseEvent::Appeared(record(1, 1))));
        assert_eq!(tracker.on_record(record(1, 1)), None);
        assert_eq!(tracker.on_record(record(1, 2)), Some(BrowseEvent::Updated(record(1, 2))));
        let mut elsewhere = record(1, 2);
        elsewhere.addrs[0].set_port(5);
        assert_eq!(tracker.on_record(elsewhere.clone()), Some(BrowseEvent::Updated(elsewhere)));
        assert_eq!(tracker.on_removed(id), Some(BrowseEvent::Gone(id)));
        assert_eq!(tracker.on_removed(id), None);
        assert_eq!(tracker.on_record(record(1, 1)), Some(BrowseEvent::Appeared(record(1, 1))));
    }

    #[test]
    fn a_peer_does_not_see_itself() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        assert_eq!(tracker.on_record(record(0, 1)), None);
        assert_eq!(tracker.on_removed(record(0, 1).peer_id), None);
    }

    #[test]
    fn a_peer_of_another_version_is_told_until_it_is_gone_or_can_be_read() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let id = record(1, 0).peer_id;
        let told = |proto_ver| Some(BrowseEvent::OtherVersion(other(1, proto_ver)));
        assert_eq!(tracker.on_other_version(other(1, 9)), told(9));
        assert_eq!(tracker.on_other_version(other(1, 9)), None);
        assert_eq!(tracker.on_other_version(other(1, 10)), told(10));
        assert_eq!(tracker.on_record(record(1, 1)), Some(BrowseEvent::Appeared(record(1, 1))));
        assert_eq!(tracker.on_other_version(other(1, 10)), told(10));
        assert_eq!(tracker.on_removed(id), Some(BrowseEvent::Gone(id)));
        assert_eq!(tracker.on_removed(id), None);
        assert_eq!(tracker.on_other_version(other(0, 9)), None);
        let flood = (1..=2 * MAX_TRACKED_PEERS).map(|n| tracker.on_other_version(other(n, 9)));
        assert_eq!(flood.flatten().count(), MAX_TRACKED_PEERS);
    }

    #[test]
    fn the_own_name_elsewhere_is_told_each_time_it_comes_up() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let elsewhere = || vec![SocketAddr::from(([10, 0, 0, 7], 1))];
        let told = || Some(BrowseEvent::OwnNameElsewhere(elsewhere()));
        assert_eq!(tracker.on_own_name(Vec::new()), None);
        assert_eq!(tracker.on_own_name(elsewhere()), told());
        assert_eq!(tracker.on_own_name(elsewhere()), None);
        assert_eq!(tracker.on_own_name(Vec::new()), None);
        assert_eq!(tracker.on_own_name(elsewhere()), told());
    }

    #[test]
    fn a_flood_of_peers_is_bounded_and_known_ones_stay_current() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let appeared = (1..=2 * MAX_TRACKED_PEERS).filter_map(|n| tracker.on_record(record(n, 1)));
        assert_eq!(appeared.count(), MAX_TRACKED_PEERS);
        assert_eq!(tracker.on_record(record(1, 2)), Some(BrowseEvent::Updated(record(1, 2))));
        assert!(tracker.on_removed(record(1, 2).peer_id).is_some());
        assert!(tracker.on_record(record(2 * MAX_TRACKED_PEERS, 1)).is_some());
    }
}
