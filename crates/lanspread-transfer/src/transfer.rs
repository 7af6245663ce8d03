//! The second step of a download: fetching the chunks and making sure that they are the game.
//!
//! Pure. Joins the scheduler (who is asked for what), the consensus (what the content is) and the
//! ledger (what is written) into what follows from each event. What is to be done comes out as
//! [`Effect`]s and as the [`TransferStatus`] of the download.
//!
//! A source that gives wrong bytes, or claims what cannot be true, is dropped for good, and what
//! rests on its word alone is fetched again. A source that is gone, or stops serving, may come back.

mod attributes;
mod source_state;
mod sources;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::message::RefusalCode;
use lanspread_proto::{ContentHash, Manifest, PeerId, SourceError};

use self::source_state::{SourceState, Sources};
use crate::attributes::{AttributeClaims, AttributesPart};
use crate::consensus::{Authority, Candidate, Claim, Consensus, VoteCount};
use crate::heads::Heads;
use crate::layout::{ChunkIndex, Layout, PieceIndex};
use crate::ledger::{ChunkHashes, Ledger, WrittenChunk};
use crate::part_fetch::{AskPart, PartFetch};
use crate::record::Record;
use crate::scheduler::{Arrival, Ask, Order, RequestFailure, Scheduler, SourceGroup, Trust};

/// Something that the shell has to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Ask a source for the chunks of a piece that are missing.
    AskPiece(Ask),
    /// End the request for a piece: another source has delivered it.
    AbandonPiece(Ask),
    /// Ask a source what it has once it has hashed it, for as long as that takes.
    AskHashes(PeerId),
    /// Ask a source for the hashes that are decided.
    AskPart(AskPart),
    /// End the request to a source for the hashes: another one has given them.
    EndPart(PeerId),
    /// Ask a source for its attributes.
    AskAttributes(AttributesPart),
    /// End all requests to a source, and tell why it is no longer used.
    Drop {
        /// The source.
        peer: PeerId,
        /// Why, in words.
        reason: String,
        /// Whether it sent what is wrong, and is never to be asked again.
        is_for_good: bool,
    },
    /// Enter into the journal what became of a chunk.
    Record(Record),
    /// All of a piece is written, and others may have it.
    AnnouncePiece(PieceIndex),
}

/// Where a download stands.
#[derive(Debug)]
pub enum TransferStatus {
    /// Chunks or claims are still to come.
    Ongoing,
    /// Everything is written and right; the manifest has the hashes of what is written.
    Complete(Arc<Manifest>),
    /// Nobody serves the game any more.
    AllGone,
    /// Every source was dropped for what it sent; the last one for this reason.
    AllBad(String),
    /// Everything is written, and it is not what is decided.
    Mismatch(Authority),
    /// The sources disagree; there is this to choose from.
    Disputed(Vec<Candidate>),
}

/// Why a source is no longer used, as far as it matters for what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// It is gone or does not serve the game any more.
    Gone,
    /// It failed too often.
    Failing,
    /// It sent what is not true.
    Bad,
}

/// A download whose layout is known.
#[derive(Debug)]
pub struct Transfer {
    layout: Arc<Layout>,
    scheduler: Scheduler,
    consensus: Consensus,
    ledger: Ledger,
    /// What the sources tell beside the content.
    attributes: AttributeClaims,
    /// The hashes of the content that is decided, once they have come.
    hashes: Option<(ContentHash, Arc<ChunkHashes>)>,
    /// How they come.
    hash_fetch: Option<PartFetch>,
    /// Pieces that were asked for and have not come.
    unanswered: BTreeSet<PieceIndex>,
    /// How many chunks are being looked for on disk, of each piece that is held for that.
    looking: BTreeMap<PieceIndex, usize>,
    sources: Sources,
    some_left: bool,
    last_reason: String,
    /// When a first source told its content.
    first_content_at: Option<Duration>,
    /// Since when everything is written, and the manifest of it.
    complete: Option<(Duration, Arc<Manifest>)>,
    judge_at: Option<Duration>,
    /// Whether the sources disagree for good.
    is_disputed: bool,
    /// Since when nobody seems to have what is missing, or to be about to.
    stuck_since: Option<Duration>,
    /// Since when nobody has what is missing, whatever is promised.
    in_flight_since: Option<Duration>,
    effects: Vec<Effect>,
}

impl Transfer {
    /// Begins with the sources whose heads are there, and waits for the others.
    pub fn new(
        layout: Layout,
        consensus: Consensus,
        hashes: Option<(ContentHash, ChunkHashes)>,
        heads: &Heads,
        order: Order,
        now: Duration,
    ) -> Self {
        let (chunk_count, piece_count) = (layout.chunk_count(), layout.piece_count());
        let mut transfer = Self {
            layout: Arc::new(layout),
            scheduler: Scheduler::new(piece_count, order),
            ledger: Ledger::new(chunk_count),
            attributes: AttributeClaims::default(),
            hashes: hashes.map(|(content, hashes)| (content, Arc::new(hashes))),
            hash_fetch: None,
            consensus,
            unanswered: BTreeSet::new(),
            looking: BTreeMap::new(),
            sources: Sources::default(),
            some_left: false,
            last_reason: String::new(),
            first_content_at: None,
            complete: None,
            judge_at: None,
            is_disputed: false,
            stuck_since: None,
            in_flight_since: None,
            effects: Vec::new(),
        };
        for claim in heads.claims() {
            transfer.claim(claim, now);
        }
        for peer in heads.unanswered() {
            transfer.sources.await_claim(peer);
        }
        transfer.reconsider();
        transfer.drop_outvoted();
        for peer in transfer.full_sources().collect::<Vec<_>>() {
            transfer.scheduler.join(peer, now);
            transfer.scheduler.locate(peer, heads.group(peer));
            transfer.ask_hashes_if_unknown(peer);
        }
        transfer.claim_attributes(heads);
        transfer
    }

    /// The chunks and where they belong.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What is written.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The sources in use that have the whole game, in peer id order.
    pub fn full_sources(&self) -> impl Iterator<Item = PeerId> {
        self.sources.full()
    }

    /// Whether a source is in use that has the whole game.
    pub fn is_full_source(&self, peer: PeerId) -> bool {
        self.sources.is_full(peer)
    }

    /// How many sources a chunk is being asked of.
    pub fn active_sources(&self) -> usize {
        self.scheduler.active_sources()
    }

    /// Asks for the next piece if there is room for it; returns how many bytes are missing of it. None are where it was
    /// asked for before and did not come.
    pub fn ask(&mut self, now: Duration) -> Option<u32> {
        let ask = self.scheduler.ask(now)?;
        self.effects.push(Effect::AskPiece(ask));
        let is_first = self.unanswered.insert(ask.piece);
        let places = self.missing(ask.piece).filter_map(|chunk| self.layout.location(chunk));
        Some(if is_first { places.map(|(place, _)| place.len).sum() } else { 0 })
    }

    /// Asks once more for the next piece that was asked for before and did not come; returns whether there is one.
    pub fn ask_again(&mut self, now: Duration) -> bool {
        let ask = self.scheduler.ask_again(&self.unanswered, now);
        self.effects.extend(ask.map(Effect::AskPiece));
        ask.is_some()
    }

    /// Takes in how many bytes of a piece have come so far, `of` so many.
    pub fn on_progress(&mut self, ask: Ask, bytes: u64, of: u64, now: Duration) {
        self.scheduler.on_progress(ask, bytes, of, now);
    }

    /// Returns how many bytes have come since the last call of answers that are not waited for any more.
    pub fn take_wasted_bytes(&mut self) -> u64 {
        self.scheduler.take_wasted_bytes()
    }

    /// Which sources share an address with it.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        self.scheduler.locate(peer, group);
    }

    /// The chunks of a piece that are not written.
    pub fn missing(&self, piece: PieceIndex) -> impl Iterator<Item = ChunkIndex> {
        self.layout.chunks_of(piece).filter(|chunk| !self.ledger.is_written(*chunk))
    }

    /// The bytes of a piece have arrived; returns whether they are wanted. If so, [`Self::on_chunk_written`] or
    /// [`Self::on_chunk_mismatch`] must follow for each chunk of it, and then [`Self::settle`].
    pub fn on_piece_received(&mut self, ask: Ask, now: Duration) -> bool {
        match self.scheduler.on_arrival(ask.peer, ask.piece, now) {
            Arrival::Wanted { abandon } => {
                self.unanswered.remove(&ask.piece);
                let abandoned = abandon.into_iter().map(|peer| Ask { peer, ..ask });
                self.effects.extend(abandoned.map(Effect::AbandonPiece));
                true
            }
            Arrival::Unwanted => false,
        }
    }

    /// The hash that a chunk from `peer` must have, beside the one that came with it.
    pub fn expected_hash(&self, peer: PeerId, chunk: ChunkIndex) -> Option<ContentHash> {
        self.hashes_of(self.content_of(peer)?)?.get(chunk)
    }

    /// The content root of the content that chunks from `peer` must be of, if one is known.
    pub fn content_of(&self, peer: PeerId) -> Option<ContentHash> {
        let claimed = || self.sources.claim_of(peer)?.content;
        self.consensus.content().or_else(claimed)
    }

    /// A chunk has the hash that came with it, and is on disk.
    pub fn on_chunk_written(&mut self, by: PeerId, chunk: ChunkIndex, hash: ContentHash, len: u32) {
        let expected = self.decided().map(|hashes| hashes.get(chunk));
        let is_confirmed = expected == Some(Some(hash));
        let is_right = is_confirmed || expected.is_none() && !self.is_banned(by);
        if !is_right {
            self.ledger.spoil(chunk);
            return self.on_chunk_mismatch(by, chunk);
        }
        self.enter(chunk, WrittenChunk { hash, by: Some(by), len, is_confirmed });
    }

    /// A chunk is not what it should be, and nothing of it was written.
    pub fn on_chunk_mismatch(&mut self, by: PeerId, chunk: ChunkIndex) {
        self.release_for_chunk(by, chunk);
    }

    /// All chunks of a piece that had arrived, or was held, have been dealt with.
    pub fn settle(&mut self, piece: PieceIndex) {
        if self.missing(piece).next().is_some() {
            return self.scheduler.reject(piece);
        }
        self.scheduler.on_written(piece);
        self.effects.push(Effect::AnnouncePiece(piece));
    }

    /// Whether it is decided what the content is.
    pub fn is_decided(&self) -> bool {
        self.decided().is_some()
    }

    /// The hashes of all chunks, once they are decided.
    pub fn decided_hashes(&self) -> Option<Arc<ChunkHashes>> {
        Some(Arc::clone(self.hashes_of(self.consensus.content()?)?))
    }

    /// The hash that a chunk must have, once that is decided.
    pub fn decided_hash(&self, chunk: ChunkIndex) -> Option<ContentHash> {
        self.decided()?.get(chunk)
    }

    /// Asks nobody for a chunk that may be on disk already; returns whether it is still to be had.
    /// If so, [`Self::on_chunk_found`] or [`Self::on_chunk_missing`] must follow.
    pub fn hold(&mut self, chunk: ChunkIndex) -> bool {
        let piece = self.layout.piece_of(chunk);
        let is_held = !self.ledger.is_written(chunk)
            && (self.looking.contains_key(&piece) || self.scheduler.hold(piece));
        if is_held {
            *self.looking.entry(piece).or_default() += 1;
        }
        is_held
    }

    /// A chunk that was held is on disk with this hash.
    pub fn on_chunk_found(&mut self, chunk: ChunkIndex, hash: ContentHash, len: u32) {
        let expected = self.decided_hash(chunk);
        if expected.is_none_or(|expected| expected == hash) {
            let is_confirmed = expected.is_some();
            self.enter(chunk, WrittenChunk { hash, by: None, len, is_confirmed });
        }
        self.looked_for(chunk);
    }

    /// A chunk that was held is not on disk.
    pub fn on_chunk_missing(&mut self, chunk: ChunkIndex) {
        self.looked_for(chunk);
    }

    fn looked_for(&mut self, chunk: ChunkIndex) {
        let piece = self.layout.piece_of(chunk);
        let Some(left) = self.looking.get_mut(&piece) else { return };
        *left -= 1;
        if *left == 0 {
            self.looking.remove(&piece);
            self.settle(piece);
        }
    }

    /// A request for a piece failed.
    pub fn on_request_failed(&mut self, ask: Ask, error: &SourceError, now: Duration) {
        let (failure, blame) = match error {
            SourceError::Gone(_) => (RequestFailure::Lost, Blame::Gone),
            SourceError::Protocol(_) => (RequestFailure::Refused, Blame::Bad),
            SourceError::Refused(refusal) => match refusal.code {
                RefusalCode::Busy => (RequestFailure::Busy, Blame::Failing),
                RefusalCode::ReadFailed => (RequestFailure::Refused, Blame::Failing),
                // It has not what it offered, or no longer: something else is asked of it first.
                RefusalCode::NotServed if self.is_partial_source(ask.peer) => {
                    (RequestFailure::Refused, Blame::Gone)
                }
                // It may only be busy with the game for a moment. If not, it says so in its
                // library, and whoever looks after the sources lets it leave.
                RefusalCode::NotServed => (RequestFailure::Lost, Blame::Gone),
                RefusalCode::ProtocolVersion
                | RefusalCode::Network
                | RefusalCode::NetworkKey
                | RefusalCode::Identity
                | RefusalCode::OutOfOrder
                | RefusalCode::NoSuchChunk
                | RefusalCode::Changed
                | RefusalCode::NoSuchPage => (RequestFailure::Refused, Blame::Bad),
            },
        };
        let trust = self.scheduler.on_failure(ask.peer, ask.piece, failure, now);
        let is_passing = match error {
            SourceError::Gone(_) => true,
            SourceError::Protocol(_) => false,
            SourceError::Refused(_) => blame != Blame::Bad,
        };
        if trust == Trust::Spent || !is_passing {
            self.give_up(ask.peer, blame, error.to_string());
        }
    }

    /// What is to be done since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When to call [`Self::ask`] and [`Self::status`] again, should nothing happen before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        let judge_at = self.judge_at.filter(|at| *at > now);
        let fetch_at = self.hash_fetch.as_ref().and_then(|fetch| fetch.wake_at(now));
        let attributes_at = self.attributes.wake_at(now);
        let own = [judge_at, fetch_at, attributes_at];
        self.scheduler.wake_at(now).into_iter().chain(own.into_iter().flatten()).min()
    }

    /// The content and its hashes, once both are known for good.
    pub fn decided_content(&self) -> Option<(ContentHash, Arc<ChunkHashes>)> {
        let content = self.consensus.content()?;
        Some((content, Arc::clone(self.hashes_of(content)?)))
    }

    /// How the vote on the content ended, once it has; `None` where the content is stated.
    pub fn vote_count(&self) -> Option<&VoteCount> {
        self.consensus.vote_count()
    }

    /// What those are being asked for that have the whole game.
    pub fn fetching(&self, now: Duration) -> Vec<PieceIndex> {
        self.scheduler.fetching(now)
    }

    fn hashes_of(&self, content: ContentHash) -> Option<&Arc<ChunkHashes>> {
        self.hashes.as_ref().filter(|(known, _)| *known == content).map(|(_, hashes)| hashes)
    }

    fn decided(&self) -> Option<&ChunkHashes> {
        self.hashes_of(self.consensus.content()?).map(Arc::as_ref)
    }

    fn claims(&self) -> Vec<Claim> {
        self.sources.claims().collect()
    }

    fn is_banned(&self, peer: PeerId) -> bool {
        matches!(self.sources.get(peer), Some(SourceState::Banned))
    }

    fn enter(&mut self, chunk: ChunkIndex, written: WrittenChunk) {
        self.ledger.enter(chunk, written);
        self.effects.push(Effect::Record(Record::Written(chunk, written.hash)));
    }

    fn strike(&mut self, chunk: ChunkIndex) {
        self.ledger.revoke(chunk);
        self.scheduler.reject_again(self.layout.piece_of(chunk));
        self.effects.push(Effect::Record(Record::Struck(chunk)));
    }

    /// Decides the content where the claims now suffice, and applies it to what is written.
    fn reconsider(&mut self) {
        let claims = self.claims();
        if self.consensus.decide_content(&claims) {
            self.apply_content();
        }
        self.is_disputed = self.consensus.is_disputed(&claims);
    }

    fn apply_content(&mut self) {
        if let Some(hashes) = self.decided() {
            let conflicts = self.ledger.conflicts(hashes);
            for (chunk, _) in &conflicts {
                self.strike(*chunk);
            }
            self.ledger.confirm();
            for (chunk, by) in conflicts {
                // What was on disk before is nobody's fault.
                if let Some(peer) = by {
                    self.release_for_chunk(peer, chunk);
                }
            }
        }
        self.drop_outvoted();
    }
}
