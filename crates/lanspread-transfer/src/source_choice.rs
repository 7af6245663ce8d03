//! Which sources a game may be streamed from.
//!
//! Pure. Nothing of a stream can be verified by hashes, so the sources are chosen before: by what they
//! say that they have, and by the rules of [`consensus`](crate::consensus). What the chosen one sends
//! is its word alone.

use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{GameVersion, PeerId};

use crate::consensus::{Call, Candidate, Consensus, LayoutChoice, Stated, VoteCount};
use crate::heads::Heads;
use crate::parts::check_head;
use crate::votes::Voter;

/// How long sources are waited for that are hashing, where those that have hashed have no majority.
const HASHES_WAIT: Duration = Duration::from_secs(10);

/// What sources have told so far.
#[derive(Debug)]
pub struct SourceChoice {
    version: GameVersion,
    consensus: Consensus,
    heads: Heads,
    /// Until when sources are waited for that are hashing.
    hashes_until: Option<Duration>,
    /// The last source that could not be used, and why.
    refusal: Option<(PeerId, String)>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum ChoiceStep {
    /// Wait for an answer, until this time at most.
    Wait(Option<Duration>),
    /// Ask these sources what they have once they have hashed it.
    AskHashes(Vec<PeerId>),
    /// The game may be streamed from these sources.
    Chosen {
        /// In peer id order.
        sources: Vec<PeerId>,
        /// How the vote ended; `None` where the content is stated.
        count: Option<VoteCount>,
    },
    /// The sources disagree; there is this to choose from.
    Disputed(Vec<Candidate>),
    /// No source has what is stated; this is the last one, and why.
    NoneFits(PeerId, String),
    /// No source has told anything.
    Nobody,
}

impl SourceChoice {
    /// Nobody has been asked; `stated` is the content root that decides, where there is one.
    pub fn new(version: GameVersion, stated: Option<Stated>) -> Self {
        Self {
            version,
            consensus: Consensus::new(stated),
            heads: Heads::default(),
            hashes_until: None,
            refusal: None,
        }
    }

    /// A source has been asked what it has, at the address `voter` if that has a vote.
    pub fn await_head(&mut self, peer: PeerId, voter: Option<Voter>) {
        self.heads.await_answer(peer, voter);
    }

    /// A source told what it has.
    pub fn on_head(&mut self, peer: PeerId, voter: Option<Voter>, head: GameHead) {
        if let Err(reason) = check_head(&head, &self.version) {
            return self.on_refusal(peer, reason);
        }
        self.consensus.recognise(&head);
        self.heads.insert(peer, voter, head);
    }

    /// A source did not tell what it has, or not in time.
    pub fn on_refusal(&mut self, peer: PeerId, reason: String) {
        self.heads.refuse(peer);
        self.refusal = Some((peer, reason));
    }

    /// What follows from all that has been told.
    pub fn step(&mut self, now: Duration) -> ChoiceStep {
        let (claims, awaited) = (self.heads.claims(), self.heads.awaited());
        if claims.is_empty() {
            return if awaited.is_empty() { ChoiceStep::Nobody } else { ChoiceStep::Wait(None) };
        }
        // Sources that are asked once more have told their layout.
        let unanswered: Vec<_> = match self.hashes_until {
            Some(_) => Vec::new(),
            None => awaited,
        };
        match self.consensus.decide_layout(&claims, &unanswered, Call::Everybody) {
            LayoutChoice::Chosen(_) => {}
            LayoutChoice::Open => return ChoiceStep::Wait(None),
            LayoutChoice::Disputed => return self.disputed(),
            LayoutChoice::NoneFits => return self.none_fits(),
        }
        if self.consensus.decide_content(&claims) {
            return self.chosen();
        }
        if !unanswered.is_empty() {
            return ChoiceStep::Wait(None);
        }
        if self.consensus.is_disputed(&claims) {
            return self.disputed();
        }
        let is_hashed = claims.iter().any(|claim| claim.content.is_some());
        if !is_hashed || self.consensus.stated_content().is_some() {
            return self.chosen();
        }
        match self.hashes_until {
            None => {
                self.hashes_until = Some(now + HASHES_WAIT);
                let hashing = claims.iter().filter(|claim| claim.content.is_none());
                let hashing: Vec<_> = hashing.map(|claim| claim.peer).collect();
                ChoiceStep::AskHashes(hashing)
            }
            Some(until) if now < until => ChoiceStep::Wait(Some(until)),
            Some(_) if self.consensus.settle(&claims) => self.chosen(),
            Some(_) => self.disputed(),
        }
    }

    /// Those that claim the decided content, or all that may have it where none is decided.
    fn chosen(&self) -> ChoiceStep {
        let content = self.consensus.content();
        let claims = self.heads.claims();
        let fitting = claims.iter().filter(|claim| {
            self.consensus.contradiction(claim).is_none()
                && (content.is_none() || claim.content == content)
        });
        let sources = fitting.map(|claim| claim.peer).collect();
        let count = match self.consensus.stated_content() {
            Some(_) => None,
            None => Some(self.consensus.vote_count().cloned().unwrap_or_else(|| {
                let awaited = self.heads.awaited().into_iter().filter_map(|(_, voter)| voter);
                let told = claims.iter().filter_map(|claim| claim.voter);
                let mut others: Vec<_> = told.chain(awaited).collect();
                others.sort();
                others.dedup();
                VoteCount { content: None, voters: Vec::new(), others }
            })),
        };
        ChoiceStep::Chosen { sources, count }
    }

    fn disputed(&self) -> ChoiceStep {
        ChoiceStep::Disputed(self.consensus.candidates(&self.heads.claims()))
    }

    fn none_fits(&self) -> ChoiceStep {
        let contradicted =
            self.heads.claims().into_iter().rev().find_map(|claim| {
                Some((claim.peer, self.consensus.contradiction(&claim)?.to_owned()))
            });
        match contradicted.or_else(|| self.refusal.clone()) {
            Some((peer, reason)) => ChoiceStep::NoneFits(peer, reason),
            None => ChoiceStep::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::ContentHash;

    use super::*;

    const START: Duration = Duration::ZERO;

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn at(address: u8) -> Option<Voter> {
        (address > 0).then_some(Voter::new([10, 0, 0, address]))
    }

    fn hash(n: u8) -> ContentHash {
        [n; 32].into()
    }

    fn head(layout: u8, content: Option<u8>) -> GameHead {
        GameHead {
            version: "1".parse().unwrap(),
            files: 1,
            chunks: 1,
            path_bytes: 1,
            manifest_hash: hash(layout),
            layout_pages: 1,
            content_root: content.map(hash),
            old_content_roots: Vec::new(),
            attributes: hash(0),
        }
    }

    /// Sources by number, each at an address, with what it told.
    fn choice(stated: Option<Stated>, sources: &[(u8, Option<GameHead>)]) -> SourceChoice {
        let mut choice = SourceChoice::new("1".parse().unwrap(), stated);
        for (n, (address, _)) in (1..).zip(sources) {
            choice.await_head(peer(n), at(*address));
        }
        for (n, (address, head)) in (1..).zip(sources) {
            match head {
                Some(head) => choice.on_head(peer(n), at(*address), head.clone()),
                None => choice.on_refusal(peer(n), "silent".into()),
            }
        }
        choice
    }

    fn chosen(step: ChoiceStep) -> (Vec<PeerId>, Option<VoteCount>) {
        match step {
            ChoiceStep::Chosen { sources, count } => (sources, count),
            other => panic!("{other:?}"),
        }
    }

    fn sorted(numbers: &[u8]) -> Vec<PeerId> {
        let mut peers: Vec<_> = numbers.iter().map(|n| peer(*n)).collect();
        peers.sort();
        peers
    }

    #[test]
    fn those_that_have_what_most_addresses_have_are_asked() {
        let liar = || (9, Some(head(1, Some(8))));
        let right = |address| (address, Some(head(1, Some(7))));
        let silent = (4, Some(head(1, None)));
        let sources = [liar(), liar(), liar(), right(2), right(3), right(5), silent];
        let (sources, count) = chosen(choice(None, &sources).step(START));
        assert_eq!(sources, sorted(&[4, 5, 6]));
        let count = count.unwrap();
        assert_eq!((count.content, count.voters.len()), (Some(hash(7)), 3));
        assert_eq!(count.others, [at(4), at(9)].map(Option::unwrap));
    }

    #[test]
    fn a_majority_is_not_waited_for_longer_than_it_takes() {
        let mut choice = choice(None, &[(1, Some(head(1, Some(7)))), (2, Some(head(1, Some(7))))]);
        choice.await_head(peer(3), at(3));
        let (sources, count) = chosen(choice.step(START));
        assert_eq!((sources, count.unwrap().others), (sorted(&[1, 2]), vec![at(3).unwrap()]));
        choice = SourceChoice::new("1".parse().unwrap(), None);
        (1..=2).for_each(|n| choice.await_head(peer(n), at(n)));
        choice.on_head(peer(1), at(1), head(1, Some(7)));
        assert!(matches!(choice.step(START), ChoiceStep::Wait(None)));
        choice.on_refusal(peer(2), "silent".into());
        assert_eq!(chosen(choice.step(START)).0, sorted(&[1]));
        choice.on_refusal(peer(1), "it is gone".into());
    }

    #[test]
    fn sources_that_disagree_end_in_a_dispute() {
        for other in [head(1, Some(8)), head(2, None), head(2, Some(8))] {
            let sources = [(1, Some(head(1, Some(7)))), (2, Some(other))];
            match choice(None, &sources).step(START) {
                ChoiceStep::Disputed(candidates) => assert_eq!(candidates.len(), 2),
                step => panic!("{step:?}"),
            }
            let stated = Some(Stated::Choice(hash(7)));
            let (sources, count) = chosen(choice(stated, &sources).step(START));
            assert_eq!((sources, count), (vec![peer(1)], None));
        }
    }

    #[test]
    fn those_that_are_hashing_are_waited_for_within_a_bound() {
        let sources = [1, 2, 3].map(|n| (n, Some(head(1, (n == 1).then_some(8)))));
        for told in [Some(7), None] {
            let mut choice = choice(None, &sources);
            match choice.step(START) {
                ChoiceStep::AskHashes(hashing) => assert_eq!(hashing, sorted(&[2, 3])),
                step => panic!("{step:?}"),
            }
            assert!(matches!(choice.step(START), ChoiceStep::Wait(Some(HASHES_WAIT))));
            match told {
                Some(told) => {
                    for n in [2, 3] {
                        choice.on_head(peer(n), at(n), head(1, Some(told)));
                    }
                    assert_eq!(chosen(choice.step(START)).0, sorted(&[2, 3]));
                }
                None => assert_eq!(chosen(choice.step(HASHES_WAIT)).0, [peer(1)]),
            }
        }
    }

    #[test]
    fn where_nobody_has_hashed_all_may_be_asked() {
        let sources = [(1, Some(head(1, None))), (2, Some(head(1, None))), (3, None)];
        let (sources, count) = chosen(choice(None, &sources).step(START));
        assert_eq!(sources, sorted(&[1, 2]));
        let others = [at(1), at(2)].map(Option::unwrap).to_vec();
        assert_eq!(count, Some(VoteCount { content: None, voters: Vec::new(), others }));
    }

    #[test]
    fn what_is_stated_leaves_out_who_has_something_else() {
        let stated = Some(Stated::Catalog(hash(7)));
        let sources = [(1, Some(head(1, Some(8)))), (2, Some(head(1, None)))];
        assert_eq!(chosen(choice(stated, &sources).step(START)).0, [peer(2)]);
        let step = choice(stated, &sources[..1]).step(START);
        assert!(matches!(step, ChoiceStep::NoneFits(of, _) if of == peer(1)), "{step:?}");
        assert!(matches!(choice(stated, &[(1, None)]).step(START), ChoiceStep::Nobody));
    }
}
