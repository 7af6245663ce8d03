//! The sources of a transfer: who may be asked, who has a say, and why one is no longer used.

use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{PeerId, PieceSet};

use super::source_state::{Offer, SourceState};
use super::{Blame, Effect, Transfer};
use crate::consensus::Claim;
use crate::layout::{ChunkIndex, PieceIndex};
use crate::ledger::ChunkHashes;
use crate::part_fetch::{PartEnd, PartFetch};
use crate::parts::{PartError, PartJob, Whole, check_head};
use crate::votes::Voter;

impl Transfer {
    /// A source wants to join; returns whether it may, and is to be asked for its claim.
    pub fn await_claim(&mut self, peer: PeerId) -> bool {
        self.sources.await_claim(peer)
    }

    /// A source that wanted to join cannot be used.
    pub fn on_claim_refused(&mut self, peer: PeerId, reason: String) {
        self.consensus.heard(peer);
        if self.sources.is_awaited(peer) {
            self.release(peer, Blame::Failing, Some(reason));
        }
    }

    /// A source says what the game is, from the address `voter` if that has a vote.
    pub fn on_claim(&mut self, peer: PeerId, voter: Option<Voter>, head: &GameHead, now: Duration) {
        self.consensus.heard(peer);
        let is_joining = self.sources.is_awaited(peer);
        if !is_joining && !self.sources.is_full(peer) {
            return;
        }
        if let Err(reason) = check_head(head, self.layout.manifest().version()) {
            return self.release(peer, Blame::Failing, Some(reason));
        }
        let claim = Claim::of(peer, voter, head);
        self.consensus.recognise(head);
        if let Some(reason) = self.consensus.contradiction(&claim) {
            self.consensus.keep_vote(claim);
            return self.release(peer, Blame::Bad, Some(reason.into()));
        }
        self.claim(claim, now);
        self.attributes.claim(peer, voter, head.attributes);
        if self.contradicts_itself(peer, claim) {
            let reason = "it sent a chunk that its own hashes contradict".into();
            return self.release(peer, Blame::Bad, Some(reason));
        }
        if is_joining {
            self.scheduler.join(peer, now);
            self.ask_hashes_if_unknown(peer);
        }
        self.reconsider();
    }

    pub(super) fn claim(&mut self, claim: Claim, now: Duration) {
        if claim.content.is_some() {
            self.first_content_at.get_or_insert(now);
        }
        self.sources.claim(claim.peer, claim);
    }

    /// A source will not tell its hashes. It may serve chunks, but no longer has a say.
    pub fn on_abstention(&mut self, peer: PeerId) {
        self.sources.withdraw_content(peer, true);
        self.reconsider();
    }

    /// A source that has the whole game is gone; returns whether it was one. If it fetches the same
    /// content itself, it goes on as one that has a part of it.
    pub fn on_left(&mut self, peer: PeerId, now: Duration) -> bool {
        self.consensus.forget(peer);
        let was_source = self.sources.is_full(peer) || self.sources.is_awaited(peer);
        if was_source {
            let offer = self.sources.take_offer(peer);
            self.release(peer, Blame::Gone, None);
            if let Some(Offer { has, asking }) = offer {
                self.on_offer(peer, &has, &asking, now);
            }
        } else {
            self.reconsider();
        }
        was_source
    }

    /// Whether a peer is asked for the part that it has.
    pub fn is_partial_source(&self, peer: PeerId) -> bool {
        self.sources.is_partial(peer)
    }

    pub(super) fn ask_hashes_if_unknown(&mut self, peer: PeerId) {
        let claim = self.sources.claim_of(peer);
        if claim.is_some_and(|claim| claim.content.is_none()) {
            self.effects.push(Effect::AskHashes(peer));
        }
    }

    /// Sees to it that the hashes of the decided content come, as long as somebody has them.
    pub(super) fn fetch_hashes(&mut self, now: Duration) {
        let Some(content) = self.consensus.content() else { return };
        if self.hashes_of(content).is_some() {
            return;
        }
        let anew = || PartJob::hashes(content, Arc::clone(self.layout.manifest()));
        let claims = self.sources.claims();
        let has_them = claims.filter(|claim| claim.content == Some(content));
        let mut fetch = match self.hash_fetch.take() {
            Some(fetch) => fetch,
            None => PartFetch::new(anew().page_count()),
        };
        let has_them: Vec<_> =
            has_them.map(|claim| (claim.peer, self.scheduler.group(claim.peer))).collect();
        let asks =
            std::iter::from_fn(|| fetch.choose(has_them.iter().copied(), |_| Some(anew()), now));
        let asks: Vec<_> = asks.map(Effect::AskPart).collect();
        self.effects.extend(fetch.take_dismissed().into_iter().map(Effect::EndPart));
        self.effects.extend(asks);
        self.hash_fetch = Some(fetch);
    }

    /// Whether the hashes of the decided content may still come.
    pub(super) fn awaits_hashes(&self) -> bool {
        !self.is_decided() && self.hash_fetch.as_ref().is_some_and(PartFetch::is_under_way)
    }

    /// The request to a source for the hashes has ended.
    pub fn on_part_ended(&mut self, peer: PeerId, result: Result<(), PartError>) {
        let Some(fetch) = &mut self.hash_fetch else { return };
        match fetch.ended(peer, result) {
            PartEnd::Whole(Whole::Hashes(manifest)) => {
                let hashes = manifest.content_root().zip(ChunkHashes::of(&manifest));
                self.hashes = hashes.map(|(content, hashes)| (content, Arc::new(hashes)));
                let dismissed = fetch.take_dismissed();
                self.effects.extend(dismissed.into_iter().map(Effect::EndPart));
                self.hash_fetch = None;
                self.apply_content();
            }
            PartEnd::Whole(Whole::Layout(_)) | PartEnd::Again => {}
            PartEnd::Changed => {
                self.sources.withdraw_content(peer, false);
                self.effects.push(Effect::AskHashes(peer));
                self.reconsider();
            }
            PartEnd::Bad(reason) => self.release(peer, Blame::Bad, Some(reason)),
            PartEnd::Failing(reason) => self.release(peer, Blame::Failing, Some(reason)),
            PartEnd::Gone => {
                let reason = "it is not to be reached for its hashes".to_owned();
                self.release(peer, Blame::Gone, Some(reason));
            }
        }
    }

    fn contradicts_itself(&self, peer: PeerId, claim: Claim) -> bool {
        let hashes = claim.content.and_then(|content| self.hashes_of(content));
        hashes.is_some_and(|hashes| {
            self.ledger.conflicts(hashes).iter().any(|(_, by)| *by == Some(peer))
        })
    }

    /// A peer that fetches the same content has a part of it, and is asking others for some. It has
    /// no say in what the content is. As long as it is also a source that has everything, its offer
    /// waits: what a library says and what a fetch says come in no certain order.
    pub fn on_offer(&mut self, peer: PeerId, has: &PieceSet, asking: &[PieceIndex], now: Duration) {
        if !self.is_decided() {
            return;
        }
        if self.sources.offer(peer, Offer { has: has.clone(), asking: asking.to_vec() }) {
            self.scheduler.offer(peer, has, asking, now);
        }
    }

    /// It has more of it.
    pub fn on_more_offered(
        &mut self,
        peer: PeerId,
        more: &[PieceIndex],
        asking: &[PieceIndex],
        now: Duration,
    ) {
        let Some(offer) = self.sources.offer_mut(peer) else { return };
        for piece in more {
            offer.has.insert(piece.0);
        }
        offer.asking = asking.to_vec();
        if self.sources.is_partial(peer) {
            self.scheduler.offer_more(peer, more, asking, now);
        }
    }

    /// It fetches it no more, and is soon gone or a source that has everything. What it was asked
    /// for may still come.
    pub fn on_offers_ended(&mut self, peer: PeerId) {
        drop(self.sources.take_offer(peer));
        if self.sources.is_partial(peer) {
            self.scheduler.offer_nothing(peer);
        }
    }

    /// It is not to be reached; returns whether that ends the requests to it for pieces.
    pub fn on_partial_source_left(&mut self, peer: PeerId) -> bool {
        let was_partial = self.sources.end_partial(peer);
        if was_partial {
            self.scheduler.leave(peer);
        }
        was_partial
    }

    pub(super) fn drop_outvoted(&mut self) {
        let contradicted = |claim| Some((claim, self.consensus.contradiction(&claim)?));
        let outvoted: Vec<_> = self.sources.claims().filter_map(contradicted).collect();
        outvoted.iter().for_each(|(claim, _)| self.consensus.keep_vote(*claim));
        for (claim, reason) in outvoted {
            self.release(claim.peer, Blame::Bad, Some(reason.into()));
        }
    }

    pub(super) fn release_for_chunk(&mut self, peer: PeerId, chunk: ChunkIndex) {
        if !self.sources.is_full(peer) && !self.sources.is_partial(peer) {
            return;
        }
        let path = self.layout.location(chunk).map(|(_, file)| file.path.to_string());
        let reason = format!("it sent a wrong chunk of {}", path.unwrap_or_default());
        self.release(peer, Blame::Bad, Some(reason));
    }

    /// A source has failed at giving pieces. One that had a part and is about to join with everything
    /// is given up only as what it was.
    pub(super) fn give_up(&mut self, peer: PeerId, blame: Blame, reason: String) {
        if blame != Blame::Bad && self.sources.is_awaited(peer) {
            self.on_partial_source_left(peer);
        } else {
            self.release(peer, blame, Some(reason));
        }
    }

    pub(super) fn release(&mut self, peer: PeerId, blame: Blame, reason: Option<String>) {
        self.remove(peer);
        match blame {
            Blame::Gone => self.some_left = true,
            Blame::Failing => {}
            Blame::Bad => {
                self.sources.insert(peer, SourceState::Banned);
                self.attributes.forget(peer);
                for chunk in self.ledger.unconfirmed_from(peer) {
                    self.strike(chunk);
                }
            }
        }
        if let Some(reason) = reason {
            self.last_reason.clone_from(&reason);
            let is_for_good = blame == Blame::Bad;
            self.effects.push(Effect::Drop { peer, reason, is_for_good });
        }
        self.reconsider();
    }

    /// Ends all that is under way with a source, and forgets it. What it gave and what its copy has
    /// beside the content stays: the ledger and the attributes tell whose it is.
    fn remove(&mut self, peer: PeerId) {
        self.sources.remove(peer);
        self.scheduler.leave(peer);
        self.attributes.end_requests(peer);
        if let Some(fetch) = &mut self.hash_fetch {
            fetch.left(peer);
        }
    }
}
