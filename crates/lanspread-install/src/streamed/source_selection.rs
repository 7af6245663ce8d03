//! Whom to ask next. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lanspread_net::source::StreamOrigin;
use lanspread_proto::{GameId, PeerId};

use crate::error::StreamFailure;

/// Most sources that are asked for one installation: each that fails late costs a whole transfer,
/// and what fails three times is seldom the fault of one source.
const ATTEMPTS_MAX: u32 = 3;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    AskAnother,
    /// The same source is asked once more, after the others.
    AskAgainLater,
    GiveUp,
}

/// How often sources failed.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: u32,
    asked_again: BTreeSet<PeerId>,
}

impl Attempts {
    /// Returns what follows a failed attempt. Another source helps only against what a source has caused.
    /// One whose connection was lost may only have another address now, and one that gave the turn to others has it again later.
    pub(super) fn after(&mut self, failure: &StreamFailure) -> Next {
        self.failed += 1;
        if !failure.is_of_source() || self.failed >= ATTEMPTS_MAX {
            return Next::GiveUp;
        }
        match failure {
            StreamFailure::SourceLost { peer_id, .. } | StreamFailure::TurnLost { peer_id, .. }
                if self.asked_again.insert(*peer_id) =>
            {
                Next::AskAgainLater
            }
            _ => Next::AskAnother,
        }
    }
}

/// Returns the sources in the order in which they are asked, which differs between receivers and
/// games, so that many receivers of one game do not all wait for the same source. Each IP address has its
/// turn before one has a second turn, as identities cost nothing.
pub(super) fn in_asking_order(
    me: PeerId,
    game_id: &GameId,
    sources: &[Arc<dyn StreamOrigin>],
) -> Vec<Arc<dyn StreamOrigin>> {
    let rank = |source: PeerId| {
        let text = format!("{me} {source} {game_id}");
        *blake3::hash(text.as_bytes()).as_bytes()
    };
    let mut ordered = sources.to_vec();
    ordered.sort_by_cached_key(|source| rank(source.peer_id()));
    let mut turns: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
    let mut turn = |source: &Arc<dyn StreamOrigin>| {
        let address = source.addr().map(|addr| addr.ip().to_canonical());
        let turns = turns.entry(address).or_default();
        *turns += 1;
        *turns
    };
    let mut turned: Vec<_> = ordered.into_iter().map(|source| (turn(&source), source)).collect();
    // Stable: within a turn, the order by rank stays.
    turned.sort_by_key(|(turn, _)| *turn);
    turned.into_iter().map(|(_, source)| source).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::future::BoxFuture;
    use lanspread_disk::free_space::NotEnoughSpace;
    use lanspread_net::exchange::FrameReader;
    use lanspread_proto::SourceError;
    use lanspread_proto::message::StreamInstall;

    use super::*;
    use crate::error::InstallFailure;

    struct Named(PeerId, [u8; 4]);

    impl StreamOrigin for Named {
        fn peer_id(&self) -> PeerId {
            self.0
        }

        fn addr(&self) -> Option<SocketAddr> {
            Some(SocketAddr::from((self.1, 7)))
        }

        fn open(&self, _: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>> {
            unreachable!("nobody is asked here")
        }
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn of_source() -> StreamFailure {
        StreamFailure::SourceFailed { peer_id: peer(1), reason: "gone".to_owned() }
    }

    #[test]
    fn three_sources_are_asked_at_most() {
        let mut attempts = Attempts::default();
        let next = [(); 3].map(|()| attempts.after(&of_source()));
        assert_eq!(next, [Next::AskAnother, Next::AskAnother, Next::GiveUp]);
    }

    #[test]
    fn a_source_whose_connection_was_lost_is_asked_once_more() {
        let lost = |n| StreamFailure::SourceLost { peer_id: peer(n), reason: "moved".to_owned() };
        let mut attempts = Attempts::default();
        let next = [1, 1].map(|n| attempts.after(&lost(n)));
        assert_eq!(next, [Next::AskAgainLater, Next::AskAnother]);
        let mut attempts = Attempts::default();
        let next = [1, 2, 3].map(|n| attempts.after(&lost(n)));
        assert_eq!(next, [Next::AskAgainLater, Next::AskAgainLater, Next::GiveUp]);
    }

    #[test]
    fn no_other_source_helps_against_a_full_disk() {
        let full = StreamFailure::NotEnoughSpace(NotEnoughSpace {
            path: "/".into(),
            needed: 2,
            available: 1,
            held: 0,
        });
        assert_eq!(Attempts::default().after(&full), Next::GiveUp);
        let interrupted = StreamFailure::Install(InstallFailure::Interrupted);
        assert_eq!(Attempts::default().after(&interrupted), Next::GiveUp);
    }

    #[test]
    fn receivers_spread_over_the_sources() {
        let sources: Vec<Arc<dyn StreamOrigin>> =
            (1..=4).map(|n| Arc::new(Named(peer(n), [10, 0, 0, n])) as _).collect();
        let quake = GameId::new("quake").unwrap();
        let ids = |me| {
            let ordered = in_asking_order(me, &quake, &sources);
            ordered.iter().map(|source| source.peer_id()).collect::<Vec<_>>()
        };
        assert_eq!(ids(peer(9)), ids(peer(9)));
        let first: BTreeSet<_> = (10..60).map(|n| ids(peer(n))[0]).collect();
        assert_eq!(first.len(), 4);
        let all: BTreeSet<_> = ids(peer(9)).into_iter().collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn free_ids_at_one_address_have_one_turn() {
        let liars = (1..=50).map(|n| Named(peer(n), [10, 0, 0, 9]));
        let honest = [60, 61].map(|n| Named(peer(n), [10, 0, 0, n]));
        let sources: Vec<Arc<dyn StreamOrigin>> =
            liars.chain(honest).map(|source| Arc::new(source) as _).collect();
        let quake = GameId::new("quake").unwrap();
        for me in 100..120 {
            let ordered = in_asking_order(peer(me), &quake, &sources);
            let first: BTreeSet<_> = ordered[..3].iter().map(|it| it.addr()).collect();
            assert_eq!(first.len(), 3);
            assert_eq!(ordered.len(), 52);
        }
    }
}
