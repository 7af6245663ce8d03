//! The pieces that nobody is asked for, and how rare they are among those that fetch the game too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PeerId;

use crate::layout::PieceIndex;

/// Pieces that follow each other in every order: 8 MiB, which a hard disk reads at nearly full
/// speed, and little enough that peers which start together rarely begin with the same ones.
const RUN_PIECES: u32 = 4;
/// How many pieces are compared when a rare one is looked for. The rarest of that many, in an order
/// that differs between peers, is rare enough, and the search costs the same in a large game.
pub(super) const SAMPLE: usize = 32;

/// The order in which pieces are fetched that are as rare as each other.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// As they lie in the files, which tests can foresee.
    File,
    /// Another one for every peer, so that those which fetch the same game begin with different
    /// pieces and have something to give to each other.
    Of(PeerId),
}

/// A piece behind its place in an [`Order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    rank: u64,
    pub(super) piece: PieceIndex,
}

/// How many of those that fetch the game too have a piece, and how many are about to.
#[derive(Debug, Clone, Copy, Default)]
struct Supply {
    have: u32,
    fetching: u32,
}

#[derive(Debug)]
pub(super) struct Pending {
    order: Order,
    all: BTreeSet<Ranked>,
    /// Those of `all` that nobody has or is about to have who fetches the game too.
    unavailable: BTreeSet<Ranked>,
    /// Those of `all` that somebody is about to have, and nobody has.
    in_flight_elsewhere: BTreeSet<Ranked>,
    /// Whatever has a supply, pending or not.
    supply: BTreeMap<PieceIndex, Supply>,
    /// When somebody was first about to have a pending piece. Kept where that came to nothing: who promises
    /// it anew does not have the time anew.
    in_flight_since: BTreeMap<PieceIndex, Duration>,
}

impl Order {
    pub(super) fn rank(self, piece: PieceIndex) -> Ranked {
        let rank = match self {
            Self::File => 0,
            Self::Of(peer) => weight(peer, piece.0 / RUN_PIECES),
        };
        Ranked { rank, piece }
    }

    /// How many of `others` are to ask for a piece rather than this peer. Every peer comes to the
    /// same answer without a word, so that two rarely ask the same source for the same piece before
    /// they hear of each other's request.
    fn others_before(self, others: &[PeerId], piece: PieceIndex) -> usize {
        let Self::Of(me) = self else { return 0 };
        let mine = weight(me, piece.0);
        others.iter().filter(|other| weight(**other, piece.0) > mine).count()
    }
}

fn weight(peer: PeerId, number: u32) -> u64 {
    let id = peer.as_u128();
    let (high, low) = ((id >> 64) as u64, id as u64);
    scatter(high ^ scatter(low ^ scatter(u64::from(number))))
}

/// The finaliser of SplitMix64: every bit of the input changes half of those of the output.
fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Pending {
    pub(super) fn new(piece_count: u32, order: Order) -> Self {
        let all: BTreeSet<_> = (0..piece_count).map(|n| order.rank(PieceIndex(n))).collect();
        let (unavailable, in_flight_elsewhere) = (all.clone(), BTreeSet::new());
        Self {
            order,
            all,
            unavailable,
            in_flight_elsewhere,
            supply: BTreeMap::new(),
            in_flight_since: BTreeMap::new(),
        }
    }

    pub(super) fn rank(&self, piece: PieceIndex) -> Ranked {
        self.order.rank(piece)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.all.contains(&self.rank(piece))
    }

    pub(super) fn insert(&mut self, piece: PieceIndex) {
        self.all.insert(self.rank(piece));
        self.classify(piece);
    }

    pub(super) fn remove(&mut self, piece: PieceIndex) -> bool {
        let ranked = self.rank(piece);
        self.unavailable.remove(&ranked);
        self.in_flight_elsewhere.remove(&ranked);
        self.in_flight_since.remove(&piece);
        self.all.remove(&ranked)
    }

    /// One more of those that fetch the game too has a piece.
    pub(super) fn gains(&mut self, piece: PieceIndex) {
        self.supply.entry(piece).or_default().have += 1;
        self.classify(piece);
    }

    /// One of them has it no more.
    pub(super) fn loses(&mut self, piece: PieceIndex) {
        if let Some(supply) = self.supply.get_mut(&piece) {
            supply.have = supply.have.saturating_sub(1);
        }
        self.classify(piece);
    }

    /// One more of them is about to have it.
    pub(super) fn on_flight_begun(&mut self, piece: PieceIndex, now: Duration) {
        self.supply.entry(piece).or_default().fetching += 1;
        if self.contains(piece) {
            self.in_flight_since.entry(piece).or_insert(now);
        }
        self.classify(piece);
    }

    /// One of them is not, any more.
    pub(super) fn on_flight_ended(&mut self, piece: PieceIndex) {
        if let Some(supply) = self.supply.get_mut(&piece) {
            supply.fetching = supply.fetching.saturating_sub(1);
        }
        self.classify(piece);
    }

    /// How many of those that fetch the game too have it.
    pub(super) fn have(&self, piece: PieceIndex) -> u32 {
        self.supply.get(&piece).map_or(0, |supply| supply.have)
    }

    /// Whether somebody who fetches the game too has a pending piece.
    pub(super) fn is_any_available(&self) -> bool {
        self.unavailable.len() + self.in_flight_elsewhere.len() < self.all.len()
    }

    /// Whether somebody who fetches the game too is about to have a pending piece that nobody has.
    pub(super) fn is_any_in_flight_elsewhere(&self) -> bool {
        !self.in_flight_elsewhere.is_empty()
    }

    /// Whether that is a pending piece that nobody has.
    pub(super) fn is_in_flight_elsewhere(&self, piece: PieceIndex) -> bool {
        self.in_flight_elsewhere.contains(&self.rank(piece))
    }

    /// The next piece that others promise to have.
    pub(super) fn next_in_flight(&self) -> Option<PieceIndex> {
        self.in_flight_elsewhere.first().map(|ranked| ranked.piece)
    }

    /// A piece that nobody else gives out: of the next few the one that is this peer's rather than
    /// that of the `others` who fetch the game too.
    pub(super) fn find_unavailable(
        &self,
        others: &[PeerId],
        suits: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let pieces = self.unavailable.iter().map(|ranked| ranked.piece);
        let next = pieces.filter(|piece| suits(*piece)).take(SAMPLE);
        next.min_by_key(|piece| self.order.others_before(others, *piece))
    }

    /// The next piece that others promise to have since `patience` ago and still have not.
    pub(super) fn overdue(&self, patience: Duration, now: Duration) -> Option<PieceIndex> {
        let mut pieces = self.in_flight_elsewhere.iter().map(|ranked| ranked.piece);
        pieces.find(|piece| self.due_at(*piece, patience) <= now)
    }

    /// When the next promised piece is overdue.
    pub(super) fn overdue_at(&self, patience: Duration, now: Duration) -> Option<Duration> {
        let due = self.in_flight_elsewhere.iter().map(|ranked| self.due_at(ranked.piece, patience));
        due.filter(|at| *at > now).min()
    }

    /// A piece that few have, among the next ones that anybody has.
    pub(super) fn find_available(&self) -> Option<PieceIndex> {
        let pieces = self.all.iter().map(|ranked| ranked.piece);
        self.rarest(pieces.filter(|piece| self.have(*piece) > 0).take(SAMPLE))
    }

    /// The one of `pieces` that the fewest have.
    pub(super) fn rarest(
        &self,
        pieces: impl IntoIterator<Item = PieceIndex>,
    ) -> Option<PieceIndex> {
        pieces.into_iter().min_by_key(|piece| self.have(*piece))
    }

    /// One that was asked for here before and came back has been waited for enough.
    fn due_at(&self, piece: PieceIndex, patience: Duration) -> Duration {
        self.in_flight_since.get(&piece).copied().unwrap_or_default() + patience
    }

    fn classify(&mut self, piece: PieceIndex) {
        let ranked = self.rank(piece);
        let supply = self.supply.get(&piece).copied().unwrap_or_default();
        if supply.have == 0 && supply.fetching == 0 {
            self.supply.remove(&piece);
        }
        let is_pending = self.all.contains(&ranked);
        let is_unavailable = is_pending && supply.have == 0 && supply.fetching == 0;
        let is_in_flight = is_pending && supply.have == 0 && supply.fetching > 0;
        for (set, belongs) in
            [(&mut self.unavailable, is_unavailable), (&mut self.in_flight_elsewhere, is_in_flight)]
        {
            if belongs {
                set.insert(ranked);
            } else {
                set.remove(&ranked);
            }
        }
    }
}
