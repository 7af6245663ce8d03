//! What mDNS tells, until the command loop takes it in.
//!
//! Of each peer only the latest counts, so that records which change all the time take no more room than one that
//! stays, and the loop takes in a few at a time between commands.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanspread_mdns::BrowseEvent;
use lanspread_proto::PeerId;
use tokio::sync::Notify;

/// How many the loop takes in before it looks at commands again: a few milliseconds of work where the table of dials
/// is full.
const AT_ONCE: usize = 16;
/// Most peers of which something waits: twice what mDNS keeps track of, with both kinds of records.
const WAITING_MAX: usize = 4 * lanspread_mdns::MAX_TRACKED_PEERS;

/// Shared by discovery and the command loop.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    waiting: Mutex<BTreeMap<Subject, Waiting>>,
    news: Notify,
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Own,
    Peer(PeerId),
}

#[derive(Debug)]
struct Waiting {
    event: BrowseEvent,
    /// Whether the loop knows nothing of the peer yet.
    is_new: bool,
}

impl Sightings {
    /// Notes what mDNS tells, in place of what it told of the same peer before.
    pub(crate) fn note(&self, event: BrowseEvent) {
        let subject = match &event {
            BrowseEvent::Appeared(record) | BrowseEvent::Updated(record) => {
                Subject::Peer(record.peer_id)
            }
            BrowseEvent::Gone(peer_id) => Subject::Peer(*peer_id),
            BrowseEvent::OtherVersion(record) => Subject::Peer(record.peer_id),
            BrowseEvent::OwnNameElsewhere(_) => Subject::Own,
        };
        let mut waiting = self.waiting();
        let is_new = match waiting.get(&subject) {
            Some(before) => before.is_new,
            None if waiting.len() >= WAITING_MAX => return,
            None => matches!(event, BrowseEvent::Appeared(_)),
        };
        if is_new && matches!(event, BrowseEvent::Gone(_)) {
            waiting.remove(&subject);
            return;
        }
        waiting.insert(subject, Waiting { event, is_new });
        drop(waiting);
        self.news.notify_one();
    }

    /// Waits until there is something to take.
    pub(crate) async fn wait(&self) {
        self.news.notified().await;
    }

    /// Takes some of what waits.
    pub(crate) fn take(&self) -> Vec<BrowseEvent> {
        let mut waiting = self.waiting();
        let first = std::iter::from_fn(|| waiting.pop_first()).take(AT_ONCE);
        let events = first.map(|(_, waiting)| waiting.event).collect();
        if !waiting.is_empty() {
            self.news.notify_one();
        }
        events
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Subject, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_mdns::PeerRecord;

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

    #[tokio::test]
    async fn of_each_peer_the_latest_is_told() {
        let sightings = Sightings::default();
        sightings.note(BrowseEvent::Appeared(record(1, 1)));
        for rev in 2..1_000 {
            sightings.note(BrowseEvent::Updated(record(1, rev)));
        }
        sightings.wait().await;
        assert_eq!(sightings.take(), [BrowseEvent::Updated(record(1, 999))]);
        assert_eq!(sightings.take(), []);
        let peer_id = record(1, 1).peer_id;
        sightings.note(BrowseEvent::Gone(peer_id));
        sightings.note(BrowseEvent::Appeared(record(1, 1)));
        sightings.note(BrowseEvent::Gone(peer_id));
        assert_eq!(sightings.take(), [BrowseEvent::Gone(peer_id)], "the loop knows of it");
        sightings.note(BrowseEvent::Appeared(record(1, 1)));
        sightings.note(BrowseEvent::Gone(peer_id));
        assert_eq!(sightings.take(), [], "the loop never knew");
    }

    #[tokio::test]
    async fn a_flood_is_bounded_and_taken_in_parts() {
        let sightings = Sightings::default();
        for n in 0..2 * WAITING_MAX {
            sightings.note(BrowseEvent::Appeared(record(n, 1)));
        }
        let mut taken = 0;
        while taken < WAITING_MAX {
            sightings.wait().await;
            let part = sightings.take();
            assert!(part.len() <= AT_ONCE);
            taken += part.len();
        }
        assert_eq!(sightings.take(), []);
    }
}
