//! Which peers are there, so that each change is told once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

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
    peers: Table<PeerRecord>,
    /// Peers whose records are of another version and cannot be read.
    others: Table<OtherRecord>,
    /// Where else this peer's own name is.
    own_elsewhere: Vec<SocketAddr>,
}

impl Tracker {
    pub(crate) fn new(own_id: PeerId) -> Self {
        let (peers, others) = (Table::default(), Table::default());
        Self { own_id, peers, others, own_elsewhere: Vec::new() }
    }

    /// Notes the record of a peer; returns what that changes.
    pub(crate) fn on_record(&mut self, record: PeerRecord) -> Vec<BrowseEvent> {
        let peer_id = record.peer_id;
        let Some(ip) = record.addrs.first().map(SocketAddr::ip) else { return Vec::new() };
        if peer_id == self.own_id {
            return Vec::new();
        }
        self.others.remove(peer_id);
        match self.peers.put(peer_id, ip, record.clone()) {
            Put::Same | Put::Refused => Vec::new(),
            Put::Changed => vec![BrowseEvent::Updated(record)],
            Put::New { instead_of } => {
                let gone = instead_of.map(BrowseEvent::Gone);
                gone.into_iter().chain([BrowseEvent::Appeared(record)]).collect()
            }
        }
    }

    /// Notes a record that only another version can read whole; returns what that changes.
    pub(crate) fn on_other_version(&mut self, record: OtherRecord) -> Vec<BrowseEvent> {
        let peer_id = record.peer_id;
        if peer_id == self.own_id {
            return Vec::new();
        }
        let gone = match self.others.put(peer_id, record.addr.ip(), record.clone()) {
            Put::Same | Put::Refused => return Vec::new(),
            Put::Changed => None,
            Put::New { instead_of } => instead_of.map(BrowseEvent::Gone),
        };
        self.peers.remove(peer_id);
        gone.into_iter().chain([BrowseEvent::OtherVersion(record)]).collect()
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
        let was_there = self.peers.remove(peer_id) | self.others.remove(peer_id);
        was_there.then_some(BrowseEvent::Gone(peer_id))
    }
}

/// At most [`MAX_TRACKED_PEERS`] records. When there are more, the oldest of the address with the most is left out:
/// whoever invents peers at one address, or at a few, crowds out nobody else.
#[derive(Debug)]
struct Table<Record> {
    entries: BTreeMap<PeerId, Entry<Record>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<Record> {
    record: Record,
    ip: IpAddr,
    number: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Put {
    Same,
    Changed,
    New { instead_of: Option<PeerId> },
    Refused,
}

impl<Record> Default for Table<Record> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), added: 0 }
    }
}

impl<Record: PartialEq> Table<Record> {
    fn put(&mut self, peer_id: PeerId, ip: IpAddr, record: Record) -> Put {
        if let Some(known) = self.entries.get_mut(&peer_id) {
            if known.record == record {
                return Put::Same;
            }
            (known.record, known.ip) = (record, ip);
            return Put::Changed;
        }
        let mut instead_of = None;
        if self.entries.len() >= MAX_TRACKED_PEERS {
            let Some(victim) = self.most_crowded(ip) else { return Put::Refused };
            self.entries.remove(&victim);
            instead_of = Some(victim);
        }
        self.added += 1;
        self.entries.insert(peer_id, Entry { record, ip, number: self.added });
        Put::New { instead_of }
    }

    /// Returns the oldest entry of the address with the most entries, unless one more at `ip` had the most.
    fn most_crowded(&self, ip: IpAddr) -> Option<PeerId> {
        let mut crowds: BTreeMap<IpAddr, (usize, u64, PeerId)> = BTreeMap::new();
        for (peer_id, entry) in &self.entries {
            let fresh = (0, entry.number, *peer_id);
            let (count, number, oldest) = crowds.entry(entry.ip).or_insert(fresh);
            *count += 1;
            if entry.number < *number {
                (*number, *oldest) = (entry.number, *peer_id);
            }
        }
        let own = crowds.get(&ip).map_or(0, |(count, ..)| *count);
        // Where several have as many, the greatest: one of IPv6, where addresses cost nothing.
        let (_, (count, _, oldest)) = crowds.into_iter().max_by_key(|(_, (count, ..))| *count)?;
        (own < count).then_some(oldest)
    }

    fn remove(&mut self, peer_id: PeerId) -> bool {
        self.entries.remove(&peer_id).is_some()
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
            is_vouched: true,
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
        assert_eq!(tracker.on_record(record(1, 1)), [BrowseEvent::Appeared(record(1, 1))]);
        assert_eq!(tracker.on_record(record(1, 1)), []);
        assert_eq!(tracker.on_record(record(1, 2)), [BrowseEvent::Updated(record(1, 2))]);
        let mut elsewhere = record(1, 2);
        elsewhere.addrs[0].set_port(5);
        assert_eq!(tracker.on_record(elsewhere.clone()), [BrowseEvent::Updated(elsewhere)]);
        assert_eq!(tracker.on_removed(id), Some(BrowseEvent::Gone(id)));
        assert_eq!(tracker.on_removed(id), None);
        assert_eq!(tracker.on_record(record(1, 1)), [BrowseEvent::Appeared(record(1, 1))]);
    }

    #[test]
    fn a_peer_does_not_see_itself() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        assert_eq!(tracker.on_record(record(0, 1)), []);
        assert_eq!(tracker.on_removed(record(0, 1).peer_id), None);
    }

    #[test]
    fn a_peer_of_another_version_is_told_until_it_is_gone_or_can_be_read() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let id = record(1, 0).peer_id;
        let told = |proto_ver| [BrowseEvent::OtherVersion(other(1, proto_ver))];
        assert_eq!(tracker.on_other_version(other(1, 9)), told(9));
        assert_eq!(tracker.on_other_version(other(1, 9)), []);
        assert_eq!(tracker.on_other_version(other(1, 10)), told(10));
        assert_eq!(tracker.on_record(record(1, 1)), [BrowseEvent::Appeared(record(1, 1))]);
        assert_eq!(tracker.on_other_version(other(1, 10)), told(10));
        assert_eq!(tracker.on_removed(id), Some(BrowseEvent::Gone(id)));
        assert_eq!(tracker.on_removed(id), None);
        assert_eq!(tracker.on_other_version(other(0, 9)), []);
        let flood = (1..=2 * MAX_TRACKED_PEERS).flat_map(|n| tracker.on_other_version(other(n, 9)));
        assert_eq!(flood.count(), MAX_TRACKED_PEERS);
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
        let appeared = (1..=2 * MAX_TRACKED_PEERS).flat_map(|n| tracker.on_record(record(n, 1)));
        assert_eq!(appeared.count(), MAX_TRACKED_PEERS);
        assert_eq!(tracker.on_record(record(1, 2)), [BrowseEvent::Updated(record(1, 2))]);
        assert!(tracker.on_removed(record(1, 2).peer_id).is_some());
        assert_eq!(tracker.on_record(record(2 * MAX_TRACKED_PEERS, 1)).len(), 1);
    }

    #[test]
    fn a_flood_from_a_few_addresses_crowds_out_nobody_else() {
        let mut tracker = Tracker::new(record(0, 0).peer_id);
        let at = |n: usize, host: u8| {
            let mut record = record(n, 1);
            record.addrs = vec![([10, 0, 0, host], 1).into()];
            record
        };
        let honest = at(1, 1);
        tracker.on_record(honest.clone());
        for n in 2..3 * MAX_TRACKED_PEERS {
            tracker.on_record(at(n, [2, 3, 4][n % 3]));
        }
        let newcomer = at(9_999, 9);
        let changes = tracker.on_record(newcomer.clone());
        assert!(matches!(changes[..], [BrowseEvent::Gone(_), BrowseEvent::Appeared(_)]));
        assert_eq!(tracker.on_record(honest), [], "it is still there");
        assert_eq!(tracker.on_record(newcomer), []);
        assert_eq!(tracker.peers.entries.len(), MAX_TRACKED_PEERS);
    }
}
