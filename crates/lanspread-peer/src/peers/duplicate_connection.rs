//! Which of two connections to the same peer is kept.
//!
//! Both sides decide on their own and must come to the same answer: of two dials that crossed, the
//! one of the smaller peer id is kept. Everything else that looks like a second connection comes
//! from a side that has lost its first one, so the newer one is kept. Whether a connection from
//! another start of a peer comes from that peer at all is decided before, in `runtime/conflicts`.

use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::time::Instant;

/// Two dials of the same process count as crossing when they end within this time: some handshakes
/// long, and shorter than any liveness limit in use.
const CROSSING_WINDOW: Duration = Duration::from_secs(5);

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkFacts {
    /// Which start of the other side it leads to.
    pub(crate) session: u64,
    /// Whether this side dialled.
    pub(crate) is_dialled: bool,
    /// When its handshake ended here.
    pub(crate) established: Instant,
}

/// Whether `new` takes the place of `old`.
pub(crate) fn should_replace(me: PeerId, peer: PeerId, old: &LinkFacts, new: &LinkFacts) -> bool {
    let is_crossing = old.session == new.session
        && old.is_dialled != new.is_dialled
        && new.established.saturating_duration_since(old.established) < CROSSING_WINDOW;
    !is_crossing || (new.is_dialled == (me < peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(is_dialled: bool, session: u64, established: Instant) -> LinkFacts {
        LinkFacts { session, is_dialled, established }
    }

    #[tokio::test(start_paused = true)]
    async fn both_sides_keep_the_same_one_of_two_crossing_dials() {
        let now = Instant::now();
        let (a, b) = (PeerId::from_public_key(b"a"), PeerId::from_public_key(b"b"));
        // Connection 1 was dialled by `a`, connection 2 by `b`.
        for first_is_one_at_a in [true, false] {
            for first_is_one_at_b in [true, false] {
                let a_takes_second = should_replace(
                    a,
                    b,
                    &link(first_is_one_at_a, 1, now),
                    &link(!first_is_one_at_a, 1, now),
                );
                let b_takes_second = should_replace(
                    b,
                    a,
                    &link(!first_is_one_at_b, 1, now),
                    &link(first_is_one_at_b, 1, now),
                );
                let a_keeps_one = first_is_one_at_a != a_takes_second;
                let b_keeps_one = first_is_one_at_b != b_takes_second;
                assert_eq!(a_keeps_one, b_keeps_one);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_or_reconnecting_peer_takes_over() {
        let now = Instant::now();
        let (a, b) = (PeerId::from_public_key(b"a"), PeerId::from_public_key(b"b"));
        for (me, peer) in [(a, b), (b, a)] {
            for dialled in [true, false] {
                let old = link(!dialled, 1, now);
                assert!(should_replace(me, peer, &old, &link(dialled, 2, now)));
                assert!(should_replace(me, peer, &old, &link(dialled, 1, now + CROSSING_WINDOW)));
                assert!(should_replace(me, peer, &link(dialled, 1, now), &link(dialled, 1, now)));
            }
        }
    }
}
