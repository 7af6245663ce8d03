//! The chunks that nobody is asked for, and how rare they are among those that fetch the game too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::PeerId;

use super::super::layout::ChunkIndex;

/// Chunks that follow each other in every order: 8 MiB, which a hard disk reads at nearly full
/// speed, and little enough that peers which start together rarely begin with the same ones.
const RUN_CHUNKS: u32 = 4;
/// How many chunks are compared when a rare one is looked for. The rarest of that many, in an order
/// that differs between peers, is rare enough, and the search costs the same in a large game.
pub(super) const SAMPLE: usize = 32;

/// The order in which chunks are fetched that are as rare as each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// As they lie in the files.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests need an order to foresee"))]
    File,
    /// Another one for every peer, so that those which fetch the same game begin with different
    /// chunks and have something to give to each other.
    Of(PeerId),
}

/// A chunk behind its place in an [`Order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    rank: u64,
    pub(super) chunk: ChunkIndex,
}

/// How many of those that fetch the game too have a chunk, and how many are about to.
#[derive(Debug, Clone, Copy)]
struct Supply {
    have: u32,
    fetching: u32,
    /// Since when somebody is about to have it.
    since: Duration,
}

#[derive(Debug)]
pub(super) struct Pending {
    order: Order,
    all: BTreeSet<Ranked>,
    /// Those of `all` that nobody has or is about to have who fetches the game too.
    rare: BTreeSet<Ranked>,
    /// Those of `all` that somebody is about to have, and nobody has.
    promised: BTreeSet<Ranked>,
    /// Whatever has a supply, pending or not.
    supply: BTreeMap<ChunkIndex, Supply>,
}

impl Order {
    pub(super) fn rank(self, chunk: ChunkIndex) -> Ranked {
        let rank = match self {
            Self::File => 0,
            Self::Of(peer) => weight(peer, chunk.0 / RUN_CHUNKS),
        };
        Ranked { rank, chunk }
    }

    /// How many of `others` are to ask for a chunk rather than this peer. Every peer comes to the
    /// same answer without a word, so that two rarely ask the same source for the same chunk before
    /// they hear of each other's request.
    fn others_before(self, others: &[PeerId], chunk: ChunkIndex) -> usize {
        let Self::Of(me) = self else { return 0 };
        let mine = weight(me, chunk.0);
        others.iter().filter(|other| weight(**other, chunk.0) > mine).count()
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
    pub(super) fn new(chunk_count: u32, order: Order) -> Self {
        let all: BTreeSet<_> = (0..chunk_count).map(|n| order.rank(ChunkIndex(n))).collect();
        let (rare, promised) = (all.clone(), BTreeSet::new());
        Self { order, all, rare, promised, supply: BTreeMap::new() }
    }

    pub(super) fn rank(&self, chunk: ChunkIndex) -> Ranked {
        self.order.rank(chunk)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, chunk: ChunkIndex) -> bool {
        self.all.contains(&self.rank(chunk))
    }

    pub(super) fn insert(&mut self, chunk: ChunkIndex) {
        self.all.insert(self.rank(chunk));
        self.classify(chunk);
    }

    pub(super) fn remove(&mut self, chunk: ChunkIndex) -> bool {
        let ranked = self.rank(chunk);
        self.rare.remove(&ranked);
        self.promised.remove(&ranked);
        self.all.remove(&ranked)
    }

    /// One more of those that fetch the game too has a chunk.
    pub(super) fn gains(&mut self, chunk: ChunkIndex) {
        self.supply.entry(chunk).or_insert_with(Supply::none).have += 1;
        self.classify(chunk);
    }

    /// One of them has it no more.
    pub(super) fn loses(&mut self, chunk: ChunkIndex) {
        if let Some(supply) = self.supply.get_mut(&chunk) {
            supply.have = supply.have.saturating_sub(1);
        }
        self.classify(chunk);
    }

    /// One more of them is about to have it.
    pub(super) fn is_promised(&mut self, chunk: ChunkIndex, now: Duration) {
        let supply = self.supply.entry(chunk).or_insert_with(Supply::none);
        if supply.fetching == 0 {
            supply.since = now;
        }
        supply.fetching += 1;
        self.classify(chunk);
    }

    /// One of them is not, any more.
    pub(super) fn is_forsaken(&mut self, chunk: ChunkIndex) {
        if let Some(supply) = self.supply.get_mut(&chunk) {
            supply.fetching = supply.fetching.saturating_sub(1);
        }
        self.classify(chunk);
    }

    /// How many of those that fetch the game too have it.
    pub(super) fn have(&self, chunk: ChunkIndex) -> u32 {
        self.supply.get(&chunk).map_or(0, |supply| supply.have)
    }

    /// Whether somebody who fetches the game too has a pending chunk, or is about to.
    pub(super) fn is_any_supplied(&self) -> bool {
        self.rare.len() < self.all.len()
    }

    /// A chunk that nobody else gives out: of the next few the one that is this peer's rather than
    /// that of the `others` who fetch the game too.
    pub(super) fn rare(
        &self,
        others: &[PeerId],
        suits: impl Fn(ChunkIndex) -> bool,
    ) -> Option<ChunkIndex> {
        let chunks = self.rare.iter().map(|ranked| ranked.chunk);
        let next = chunks.filter(|chunk| suits(*chunk)).take(SAMPLE);
        next.min_by_key(|chunk| self.order.others_before(others, *chunk))
    }

    /// The next chunk that others promise to have since `patience` ago and still have not.
    pub(super) fn overdue(&self, patience: Duration, now: Duration) -> Option<ChunkIndex> {
        let mut chunks = self.promised.iter().map(|ranked| ranked.chunk);
        chunks.find(|chunk| self.due_at(*chunk, patience).is_some_and(|at| at <= now))
    }

    /// When the next promised chunk is overdue.
    pub(super) fn overdue_at(&self, patience: Duration, now: Duration) -> Option<Duration> {
        let due = self.promised.iter().filter_map(|ranked| self.due_at(ranked.chunk, patience));
        due.filter(|at| *at > now).min()
    }

    /// A chunk that few have, among the next ones that anybody has.
    pub(super) fn supplied(&self) -> Option<ChunkIndex> {
        let chunks = self.all.iter().map(|ranked| ranked.chunk);
        self.rarest(chunks.filter(|chunk| self.have(*chunk) > 0).take(SAMPLE))
    }

    /// The one of `chunks` that the fewest have.
    pub(super) fn rarest(
        &self,
        chunks: impl IntoIterator<Item = ChunkIndex>,
    ) -> Option<ChunkIndex> {
        chunks.into_iter().min_by_key(|chunk| self.have(*chunk))
    }

    fn due_at(&self, chunk: ChunkIndex, patience: Duration) -> Option<Duration> {
        Some(self.supply.get(&chunk)?.since + patience)
    }

    fn classify(&mut self, chunk: ChunkIndex) {
        let ranked = self.rank(chunk);
        let supply = self.supply.get(&chunk).copied().unwrap_or_else(Supply::none);
        if supply.have == 0 && supply.fetching == 0 {
            self.supply.remove(&chunk);
        }
        let is_pending = self.all.contains(&ranked);
        let is_rare = is_pending && supply.have == 0 && supply.fetching == 0;
        let is_promised = is_pending && supply.have == 0 && supply.fetching > 0;
        for (set, belongs) in [(&mut self.rare, is_rare), (&mut self.promised, is_promised)] {
            if belongs {
                set.insert(ranked);
            } else {
                set.remove(&ranked);
            }
        }
    }
}

impl Supply {
    fn none() -> Self {
        Self { have: 0, fetching: 0, since: Duration::ZERO }
    }
}
