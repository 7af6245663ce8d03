//! Whom to dial, and when.
//!
//! Discovery tells addresses; this table turns them into dials. Two peers that discover each other
//! at the same moment would dial each other: the one with the greater id holds back for a moment,
//! so that as a rule one connection is made. A dial that fails is tried again with growing pauses
//! as long as the address is advertised.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

/// How long the peer with the greater id leaves dialling to the other: some handshakes long.
const HOLD_BACK: Duration = Duration::from_millis(750);
/// First pause after a dial that failed.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest pause between dials: a peer that comes back is found within it.
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Most peers whose addresses are remembered: several LAN parties.
const CANDIDATES_MAX: usize = 1024;

/// The table of peers to dial. Owned by the command loop.
#[derive(Debug)]
pub(crate) struct DialTable {
    me: PeerId,
    candidates: BTreeMap<PeerId, Candidate>,
}

#[derive(Debug)]
struct Candidate {
    addrs: Vec<SocketAddr>,
    failures: u32,
    state: DialState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DialState {
    /// To be dialled at that time.
    Due(Instant),
    /// A dial is under way.
    Dialling,
    /// Connected, or not to be dialled until something changes.
    Settled,
}

impl Candidate {
    /// Whether these are its addresses, in whichever order they are tried.
    fn has_addrs(&self, addrs: &[SocketAddr]) -> bool {
        self.addrs.len() == addrs.len() && addrs.iter().all(|addr| self.addrs.contains(addr))
    }
}

/// A dial to make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) peer_id: PeerId,
    pub(crate) addr: SocketAddr,
}

impl DialTable {
    pub(crate) fn new(me: PeerId) -> Self {
        Self { me, candidates: BTreeMap::new() }
    }

    /// Discovery found a peer, or new addresses of it; `is_linked` says whether it is already
    /// connected there.
    pub(crate) fn found(
        &mut self,
        peer_id: PeerId,
        addrs: Vec<SocketAddr>,
        is_linked: bool,
        now: Instant,
    ) {
        if peer_id == self.me || addrs.is_empty() {
            return;
        }
        if let Some(known) = self.candidates.get(&peer_id)
            && known.has_addrs(&addrs)
            && known.state != DialState::Settled
        {
            return;
        }
        if !self.candidates.contains_key(&peer_id) && self.candidates.len() >= CANDIDATES_MAX {
            tracing::warn!(%peer_id, "too many advertised peers; this one is not dialled");
            return;
        }
        let hold_back = if self.me < peer_id { Duration::ZERO } else { HOLD_BACK };
        let state = if is_linked { DialState::Settled } else { DialState::Due(now + hold_back) };
        self.candidates.insert(peer_id, Candidate { addrs, failures: 0, state });
    }

    /// Discovery no longer sees a peer.
    pub(crate) fn vanished(&mut self, peer_id: PeerId) {
        self.candidates.remove(&peer_id);
    }

    /// A peer is connected, or must not be dialled (it was rejected) until its advertisement changes.
    pub(crate) fn settled(&mut self, peer_id: PeerId) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id) {
            candidate.state = DialState::Settled;
            candidate.failures = 0;
        }
    }

    /// The connection to a peer is gone.
    pub(crate) fn unlinked(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Settled
        {
            let hold_back = if self.me < peer_id { Duration::ZERO } else { HOLD_BACK };
            candidate.state = DialState::Due(now + RETRY_MIN + hold_back);
        }
    }

    /// Somebody needs a peer now. Returns whether it is dialled in its turn then: it may be known in
    /// another way than by discovery, or must not be dialled where discovery sees it.
    pub(crate) fn hurry(&mut self, peer_id: PeerId, now: Instant) -> bool {
        let Some(candidate) = self.candidates.get_mut(&peer_id) else { return false };
        match &mut candidate.state {
            DialState::Due(at) => *at = now.min(*at),
            DialState::Dialling => {}
            DialState::Settled => return false,
        }
        true
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, peer_id: PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer_id)
            && candidate.state == DialState::Dialling
        {
            candidate.failures = candidate.failures.saturating_add(1);
            let pause = RETRY_MIN.saturating_mul(1 << candidate.failures.min(10)).min(RETRY_MAX);
            candidate.state = DialState::Due(now + pause);
            // The next try takes the next address.
            candidate.addrs.rotate_left(1);
        }
    }

    /// The dials that are due, now marked as under way.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Dial> {
        let mut due = Vec::new();
        for (peer_id, candidate) in &mut self.candidates {
            let DialState::Due(at) = candidate.state else { continue };
            let Some(addr) = candidate.addrs.first().copied().filter(|_| at <= now) else {
                continue;
            };
            candidate.state = DialState::Dialling;
            due.push(Dial { peer_id: *peer_id, addr });
        }
        due
    }

    /// When [`Self::take_due`] next has something to give.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.candidates
            .values()
            .filter_map(|candidate| match candidate.state {
                DialState::Due(at) => Some(at),
                DialState::Dialling | DialState::Settled => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::from_public_key(b"a"), PeerId::from_public_key(b"b"));
        if a < b { (a, b) } else { (b, a) }
    }

    fn addrs(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    #[tokio::test(start_paused = true)]
    async fn the_smaller_id_dials_at_once_and_the_greater_holds_back() {
        let now = Instant::now();
        let (small, great) = ids();
        let mut table = DialTable::new(small);
        table.found(great, addrs(1), false, now);
        assert_eq!(table.take_due(now).len(), 1);
        assert!(table.take_due(now).is_empty());

        let mut table = DialTable::new(great);
        table.found(small, addrs(1), false, now);
        assert!(table.take_due(now).is_empty());
        table.settled(small);
        assert_eq!(table.next_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_dial_is_tried_again_later_and_later() {
        let mut now = Instant::now();
        let (small, great) = ids();
        let mut table = DialTable::new(small);
        table.found(great, addrs(1), false, now);
        let mut last_pause = Duration::ZERO;
        for _ in 0..20 {
            assert_eq!(table.take_due(now).len(), 1);
            table.failed(great, now);
            let due = table.next_due().unwrap();
            assert!(due - now >= last_pause && due - now <= RETRY_MAX);
            last_pause = due - now;
            now = due;
        }
        table.vanished(great);
        assert_eq!(table.next_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn new_addresses_are_dialled_unless_they_are_connected() {
        let now = Instant::now();
        let (small, great) = ids();
        let mut table = DialTable::new(small);
        table.found(great, addrs(1), true, now);
        assert_eq!(table.next_due(), None);
        table.found(great, addrs(2), false, now);
        let expected = Dial { peer_id: great, addr: addrs(2)[0] };
        assert_eq!(table.take_due(now), [expected]);
        table.settled(great);
        table.unlinked(great, now);
        assert!(table.next_due().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_needed_is_dialled_at_once_and_once() {
        let now = Instant::now();
        let (small, great) = ids();
        let mut table = DialTable::new(great);
        assert!(!table.hurry(small, now), "discovery has not seen it");
        table.found(small, addrs(1), true, now);
        assert!(!table.hurry(small, now), "it is settled");
        table.unlinked(small, now);
        assert!(table.take_due(now).is_empty());
        assert!(table.hurry(small, now));
        assert_eq!(table.take_due(now).len(), 1);
        assert!(table.hurry(small, now), "it is being dialled");
        assert!(table.take_due(now).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_dials_himself() {
        let (me, _) = ids();
        let mut table = DialTable::new(me);
        table.found(me, addrs(1), false, Instant::now());
        assert_eq!(table.next_due(), None);
    }
}
