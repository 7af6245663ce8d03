//! The second step of a download: fetching what the game is.
//!
//! Pure. The layout is chosen; its pages are fetched once, and then the hashes of the content, if that
//! is decided by now. Sources that tell only now what they have may join if it fits. Where nobody gives
//! the layout that was chosen, another one is.

use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{ContentHash, PeerId};

use crate::consensus::{Call, Candidate, Consensus, LayoutChoice};
use crate::heads::Heads;
use crate::layout::Layout;
use crate::ledger::ChunkHashes;
use crate::part_fetch::{AskPart, PartEnd, PartFetch};
use crate::parts::{PartError, PartJob, Sizes, Whole, check_head};
use crate::scheduler::{Order, SourceGroup};
use crate::transfer::Transfer;
use crate::votes::Voter;

/// What was chosen, and what is there of it.
#[derive(Debug)]
pub struct Description {
    consensus: Consensus,
    heads: Heads,
    order: Order,
    of: ContentHash,
    fetch: PartFetch,
    layout: Option<Layout>,
    hashes: Option<(ContentHash, ChunkHashes)>,
    dropped: Vec<Dropped>,
    /// Those whose requests for an earlier part are to end.
    dismissed: Vec<PeerId>,
    some_left: bool,
    last_reason: String,
}

/// A source that the download has dropped.
#[derive(Debug)]
pub struct Dropped {
    /// The source.
    pub peer_id: PeerId,
    /// Why, in words.
    pub reason: String,
    /// Whether it sent what is wrong, and is never to be asked again.
    pub is_for_good: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Ask a source for a part.
    Ask(AskPart),
    /// Wait for an answer.
    Wait,
    /// All is there that can be.
    Described(Box<Transfer>),
    /// Every source gave what is wrong; the last one for this reason.
    AllBad(String),
    /// The sources disagree; there is this to choose from.
    Disputed(Vec<Candidate>),
    /// Every source is gone.
    AllGone,
}

impl Description {
    /// Begins with the sources that have told what they have, and those that have not yet.
    pub fn new(of: ContentHash, consensus: Consensus, heads: Heads, order: Order) -> Option<Self> {
        let (_, head) = heads.iter().find(|(_, head)| head.manifest_hash == of)?;
        let fetch = PartFetch::new(head.layout_pages);
        Some(Self {
            consensus,
            heads,
            order,
            of,
            fetch,
            layout: None,
            hashes: None,
            dropped: Vec::new(),
            dismissed: Vec::new(),
            some_left: false,
            last_reason: String::new(),
        })
    }

    /// Which layout was chosen.
    #[cfg(test)]
    pub fn of(&self) -> ContentHash {
        self.of
    }

    /// A source has been asked what it has, at the address `voter` if that has a vote.
    pub fn await_head(&mut self, peer: PeerId, voter: Option<Voter>) {
        self.heads.await_answer(peer, voter);
    }

    /// Which sources share an address with it.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        self.heads.locate(peer, group);
    }

    /// A source tells what it has.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn on_head(
        &mut self,
        peer: PeerId,
        voter: Option<Voter>,
        head: GameHead,
    ) -> Result<(), String> {
        self.consensus.heard(peer);
        let known = self.heads.iter().next().map(|(_, known)| &known.version);
        let checked = known.map_or(Ok(()), |version| check_head(&head, version));
        if let Err(reason) = checked {
            self.heads.refuse(peer);
            return Err(reason);
        }
        self.consensus.recognise(&head);
        self.heads.insert(peer, voter, head);
        Ok(())
    }

    /// A source does not tell what it has.
    pub fn on_refusal(&mut self, peer: PeerId, reason: String) {
        self.consensus.heard(peer);
        self.heads.refuse(peer);
        self.last_reason = reason;
    }

    /// A source is gone.
    pub fn on_left(&mut self, peer: PeerId) {
        self.some_left = true;
        self.consensus.forget(peer);
        self.forget(peer);
    }

    /// The request to a source for a part has ended; returns whether the source has changed, and is to
    /// be asked once more what it has.
    pub fn on_part_ended(&mut self, peer: PeerId, result: Result<(), PartError>) -> bool {
        match self.fetch.ended(peer, result) {
            PartEnd::Whole(Whole::Layout(manifest)) => {
                self.layout = Some(Layout::new(Arc::new(manifest)));
                self.consensus.decide_content(&self.heads.claims());
                if let (Some(content), Some(layout)) = (self.consensus.content(), &self.layout) {
                    let job = PartJob::hashes(content, Arc::clone(layout.manifest()));
                    self.dismissed = self.fetch.take_dismissed();
                    self.fetch = PartFetch::new(job.page_count());
                }
            }
            PartEnd::Whole(Whole::Hashes(manifest)) => {
                self.hashes = manifest.content_root().zip(ChunkHashes::of(&manifest));
            }
            PartEnd::Again => {}
            PartEnd::Changed => {
                self.forget(peer);
                return true;
            }
            PartEnd::Bad(reason) => self.drop_source(peer, reason, true),
            PartEnd::Failing(reason) => self.drop_source(peer, reason, false),
            PartEnd::Gone => {
                self.some_left = true;
                self.drop_source(peer, "it is not to be reached".to_owned(), false);
            }
        }
        false
    }

    /// The sources that are no longer used since the last call, and why.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// The sources whose requests for a part are to end since the last call.
    pub fn take_dismissed(&mut self) -> Vec<PeerId> {
        let mut dismissed = std::mem::take(&mut self.dismissed);
        dismissed.extend(self.fetch.take_dismissed());
        dismissed
    }

    /// When to call [`Self::step`] again, should nothing happen before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.fetch.wake_at(now)
    }

    /// What is to be done next; to be called until it is no [`Step::Ask`]. After [`Step::Described`] nothing is left in here.
    pub fn step(&mut self, now: Duration) -> Step {
        let Some(layout) = &self.layout else { return self.ask_layout(now) };
        let claims = self.heads.claims();
        // Before the disk is touched.
        if self.consensus.is_disputed(&claims) {
            return Step::Disputed(self.consensus.candidates(&claims));
        }
        if let Some(content) = self.consensus.content().filter(|_| self.hashes.is_none()) {
            let manifest = Arc::clone(layout.manifest());
            let has_it = |head: &GameHead| head.content_root == Some(content);
            let anew = |_| Some(PartJob::hashes(content, Arc::clone(&manifest)));
            if let Some(ask) = self.fetch.choose(claimants(&self.heads, has_it), anew, now) {
                return Step::Ask(ask);
            }
            // Where nobody is left who has them, the game is fetched without.
            if self.fetch.is_under_way() {
                return Step::Wait;
            }
        }
        let consensus = std::mem::replace(&mut self.consensus, Consensus::new(None));
        let (heads, hashes) = (std::mem::take(&mut self.heads), self.hashes.take());
        match self.layout.take() {
            Some(layout) => {
                let transfer = Transfer::new(layout, consensus, hashes, &heads, self.order, now);
                Step::Described(Box::new(transfer))
            }
            None => Step::Wait,
        }
    }

    fn ask_layout(&mut self, now: Duration) -> Step {
        let (of, heads) = (self.of, &self.heads);
        let has_it = |head: &GameHead| head.manifest_hash == of;
        let known = heads.iter().find(|(_, head)| has_it(head)).map(|(_, head)| Sizes::of(head));
        let sizes = |peer: PeerId| heads.get(peer).map(Sizes::of).or_else(|| known.clone());
        let anew = |peer| sizes(peer).map(|sizes| PartJob::layout(of, sizes));
        if let Some(ask) = self.fetch.choose(claimants(heads, has_it), anew, now) {
            return Step::Ask(ask);
        }
        if self.fetch.is_under_way() {
            return Step::Wait;
        }
        // Nobody gives the layout that was chosen, and those that claim another one have their turn.
        self.consensus.reopen_layout();
        let claims = self.heads.claims();
        let pages_of = |of| {
            let (_, head) = self.heads.iter().find(|(_, head)| head.manifest_hash == of)?;
            Some((of, head.layout_pages))
        };
        let reopened = match self.consensus.decide_layout(&claims, &[], Call::Last) {
            LayoutChoice::Disputed if !claims.is_empty() => {
                return Step::Disputed(self.consensus.candidates(&claims));
            }
            LayoutChoice::Chosen(of) => pages_of(of),
            LayoutChoice::Disputed | LayoutChoice::Open | LayoutChoice::NoneFits => None,
        };
        if let Some((of, pages)) = reopened {
            self.of = of;
            self.fetch = PartFetch::new(pages);
            return self.ask_layout(now);
        }
        if self.heads.awaited_count() > 0 {
            return Step::Wait;
        }
        match self.some_left || self.last_reason.is_empty() {
            true => Step::AllGone,
            false => Step::AllBad(self.last_reason.clone()),
        }
    }

    fn drop_source(&mut self, peer_id: PeerId, reason: String, is_for_good: bool) {
        if let Some(claim) = self.heads.claim_of(peer_id).filter(|_| !is_for_good) {
            self.consensus.keep_vote(claim);
        }
        self.forget(peer_id);
        self.last_reason.clone_from(&reason);
        self.dropped.push(Dropped { peer_id, reason, is_for_good });
    }

    fn forget(&mut self, peer: PeerId) {
        self.heads.remove(peer);
        self.fetch.left(peer);
    }
}

fn claimants(
    heads: &Heads,
    has_it: impl Fn(&GameHead) -> bool,
) -> impl Iterator<Item = (PeerId, Option<SourceGroup>)> {
    let having = heads.iter().filter(move |(_, head)| has_it(head));
    having.map(|(peer, _)| (peer, heads.group(peer)))
}
