//! What a game is, where its sources do not say the same.
//!
//! Pure. Sources claim a layout (paths and sizes) and, once they have hashed the game, its content.
//! The layout is chosen first, since nothing can be fetched without one; the content may be decided
//! while chunks are already coming in, or only at the end:
//!
//! - A stated root decides alone: that of the catalog, or one that the caller chose. It may be in the
//!   form of wire version 3; then the sources tell which content it stands for, as a hint, and what was
//!   fetched shows whether it does.
//! - Else sources vote by address ([`votes`](crate::votes)), on the layout and then on the content. More
//!   than half of the addresses decide, those included that have not said anything yet.
//! - When everything is fetched and the content is still open, sources that are hashing are waited for.
//!   After a while what is known counts, if it is what was fetched. If nobody has hashed, nobody
//!   contradicts what was verified chunk by chunk. A source that left no longer counts.
//! - Where nobody can have a majority, the game is disputed, and the caller has to choose.
//!
//! What is decided stays decided: sources that join later have to fit.

mod candidates;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{ContentHash, PeerId};

pub use self::candidates::Candidate;
use crate::votes::{Among, Poll, Vote, Voter};

/// How long a complete download waits for a first source to tell its content, and then for a majority.
/// Sources hash while they serve, as a rule faster than a network fetches. One that is hostile must not
/// decide because it has hashed first.
const CONTENT_WAIT: Duration = Duration::from_secs(60);
/// The same where all who have answered are heard out: twice as long as a request waits for its connection. An honest
/// source answers within a round trip, whether it has hashed or not, so silence must not cost more.
const SILENT_WAIT: Duration = Duration::from_secs(10);

/// What one source says a game is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Which source.
    pub peer: PeerId,
    /// Its address, if that has a vote.
    pub voter: Option<Voter>,
    /// [`GameHead::manifest_hash`].
    pub layout: ContentHash,
    /// [`GameHead::content_root`], once it is known.
    pub content: Option<ContentHash>,
    /// Whether it will not tell its content.
    pub abstains: bool,
}

impl Claim {
    /// What a source says.
    pub fn of(peer: PeerId, voter: Option<Voter>, head: &GameHead) -> Self {
        let (layout, content) = (head.manifest_hash, head.content_root);
        Self { peer, voter, layout, content, abstains: false }
    }

    /// What it says of the content.
    fn vote(&self) -> Vote<ContentHash> {
        match self.content {
            Some(content) => Vote::For(content),
            None if self.abstains => Vote::Abstains,
            None => Vote::Pending,
        }
    }
}

/// A content root that decides whatever the sources say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stated {
    /// The catalog has it.
    Catalog(ContentHash),
    /// The caller chose it.
    Choice(ContentHash),
}

impl Stated {
    /// Returns the root.
    pub const fn root(self) -> ContentHash {
        match self {
            Self::Catalog(root) | Self::Choice(root) => root,
        }
    }
}

/// Who decided what the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The catalog.
    Catalog,
    /// The caller.
    Choice,
    /// The addresses of the sources.
    Votes,
}

/// How a vote on the content ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteCount {
    /// The content, if it is known.
    pub content: Option<ContentHash>,
    /// The addresses that are for it, in order.
    pub voters: Vec<Voter>,
    /// The addresses that are for something else or have said nothing, in order.
    pub others: Vec<Voter>,
}

/// How much longer sources are waited for that have said nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// As long as one of them could change the outcome.
    Everybody,
    /// Until those that have said something have a majority.
    Heard,
    /// No more.
    Last,
}

/// What comes of the choice of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutChoice {
    /// It is this one.
    Chosen(ContentHash),
    /// More claims are needed.
    Open,
    /// The sources disagree.
    Disputed,
    /// No source has what is stated.
    NoneFits,
}

/// Whether what was fetched is the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Agreed,
    /// More claims are needed; ask again on the next one, or when this much has been waited.
    Open(Duration),
    /// The content has just been decided: compare, fetch what differs, and ask again.
    Decided,
    /// It is not, and no source has the right content.
    Differs,
    /// The sources disagree.
    Disputed,
}

/// What follows from the claims of the sources in use, which its caller keeps.
#[derive(Debug)]
pub struct Consensus {
    stated: Option<Stated>,
    /// Contents that have the stated root in the old form, as sources say.
    recognised: BTreeSet<ContentHash>,
    layout: Option<ContentHash>,
    content: Option<ContentHash>,
    /// The claims of sources that are not used and have a vote all the same.
    kept: BTreeMap<PeerId, Claim>,
    /// The sources that had not answered when the layout was decided, and have not since.
    silent: BTreeMap<PeerId, Option<Voter>>,
    count: Option<VoteCount>,
}

impl Consensus {
    /// Nothing is claimed yet; `stated` is the content root that decides, where there is one.
    pub fn new(stated: Option<Stated>) -> Self {
        Self {
            stated,
            recognised: BTreeSet::new(),
            layout: None,
            content: None,
            kept: BTreeMap::new(),
            silent: BTreeMap::new(),
            count: None,
        }
    }

    /// Takes in the old forms of a content root that a head tells. Comes before its claim counts.
    pub fn recognise(&mut self, head: &GameHead) {
        if let Some(content) = head.content_root
            && self.stated_content().is_some_and(|stated| head.old_content_roots.contains(&stated))
        {
            self.recognised.insert(content);
        }
    }

    /// Whether a content is stated, and not in a form in which `content` is known to have it.
    pub fn is_unrecognised(&self, content: ContentHash) -> bool {
        self.stated_content().is_some_and(|stated| stated != content)
            && !self.recognised.contains(&content)
    }

    /// The decided content.
    pub fn content(&self) -> Option<ContentHash> {
        self.content
    }

    /// What the content is stated to be, in one form or the other.
    pub fn stated_content(&self) -> Option<ContentHash> {
        self.stated.map(Stated::root)
    }

    /// Who decides.
    pub fn authority(&self) -> Authority {
        match self.stated {
            Some(Stated::Catalog(_)) => Authority::Catalog,
            Some(Stated::Choice(_)) => Authority::Choice,
            None => Authority::Votes,
        }
    }

    /// How the vote ended, once it has; `None` where the content is stated.
    pub fn vote_count(&self) -> Option<&VoteCount> {
        self.count.as_ref()
    }

    /// Lets a source that is not used any more keep its vote, until it is [forgotten](Self::forget).
    /// Else those that fail under load, or that the layout leaves out, would leave the decision to others.
    pub fn keep_vote(&mut self, claim: Claim) {
        if self.stated.is_none() && self.content.is_none() {
            self.kept.insert(claim.peer, Claim { abstains: true, ..claim });
        }
    }

    /// Notes that a source has answered, or will not.
    pub fn heard(&mut self, peer: PeerId) {
        self.silent.remove(&peer);
    }

    /// Forgets a source that was not used.
    pub fn forget(&mut self, peer: PeerId) {
        self.kept.remove(&peer);
        self.heard(peer);
    }

    /// Decides the layout by `claims`, in peer id order, while the sources `awaited` may still make one.
    pub fn decide_layout(
        &mut self,
        claims: &[Claim],
        awaited: &[(PeerId, Option<Voter>)],
        call: Call,
    ) -> LayoutChoice {
        let call = if awaited.is_empty() { Call::Last } else { call };
        let choice = match self.stated {
            Some(_) => self.stated_layout(claims, awaited, call),
            None => self.voted_layout(claims, awaited, call),
        };
        if let LayoutChoice::Chosen(layout) = choice {
            self.layout = Some(layout);
            self.silent = awaited.iter().copied().collect();
        }
        choice
    }

    fn voted_layout(
        &self,
        claims: &[Claim],
        awaited: &[(PeerId, Option<Voter>)],
        call: Call,
    ) -> LayoutChoice {
        let mut poll = Poll::default();
        let all = claims.iter().chain(self.kept.values());
        all.for_each(|claim| poll.add(claim.voter, Vote::For(claim.layout)));
        awaited.iter().for_each(|(_, voter)| poll.add(*voter, Vote::Awaited));
        let winner = match call {
            Call::Everybody => poll.winner(Among::All),
            Call::Heard => poll.winner(Among::Voted),
            Call::Last if poll.has_votes() => poll.winner(Among::Voted),
            Call::Last => poll.unanimous_unaddressed(),
        };
        match winner {
            Some(layout) => LayoutChoice::Chosen(layout),
            None if call == Call::Last => LayoutChoice::Disputed,
            None => LayoutChoice::Open,
        }
    }

    /// What was fetched is held against what is stated in the end, so a wrong choice costs time alone.
    fn stated_layout(
        &self,
        claims: &[Claim],
        awaited: &[(PeerId, Option<Voter>)],
        call: Call,
    ) -> LayoutChoice {
        let fitting = || claims.iter().filter(|claim| self.contradiction(claim).is_none());
        if let Some(claim) = fitting().find(|claim| claim.content.is_some()) {
            return LayoutChoice::Chosen(claim.layout);
        }
        let mut poll = Poll::default();
        fitting().for_each(|claim| poll.add(claim.voter, Vote::For(claim.layout)));
        awaited.iter().for_each(|(_, voter)| poll.add(*voter, Vote::Awaited));
        if let Some(layout) = poll.winner(Among::All) {
            return LayoutChoice::Chosen(layout);
        }
        if call == Call::Everybody {
            return LayoutChoice::Open;
        }
        // Among equals the lowest.
        let most = poll.counts().into_iter().rev().max_by_key(|(_, count)| *count);
        let most = most.map(|(layout, _)| layout);
        match most.or_else(|| fitting().map(|claim| claim.layout).min()) {
            Some(layout) => LayoutChoice::Chosen(layout),
            None if call == Call::Last => LayoutChoice::NoneFits,
            None => LayoutChoice::Open,
        }
    }

    /// Takes back which layout was decided: nobody gives it.
    pub fn reopen_layout(&mut self) {
        self.layout = None;
    }

    /// Decides the content, where `claims`, in peer id order, suffice for that; returns whether they
    /// newly do.
    pub fn decide_content(&mut self, claims: &[Claim]) -> bool {
        if self.content.is_some() {
            return false;
        }
        let mut claimed = claims.iter().filter_map(|claim| claim.content);
        match self.stated {
            Some(_) => self.content = claimed.find(|content| !self.is_unrecognised(*content)),
            None => {
                if let Some(content) = self.winner(claims, Among::All) {
                    self.decide(claims, content);
                }
            }
        }
        self.content.is_some()
    }

    /// Decides the content by what is known, as where no more sources are waited for; returns whether
    /// that is possible.
    pub fn settle(&mut self, claims: &[Claim]) -> bool {
        if self.stated.is_none()
            && self.content.is_none()
            && let Some(content) = self.winner(claims, Among::Voted)
        {
            self.decide(claims, content);
        }
        self.content.is_some()
    }

    fn decide(&mut self, claims: &[Claim], content: ContentHash) {
        self.content = Some(content);
        self.count = Some(self.count_for(claims, content));
    }

    fn count_for(&self, claims: &[Claim], content: ContentHash) -> VoteCount {
        let (voters, others) = self.poll(claims).sides(content);
        VoteCount { content: Some(content), voters, others }
    }

    /// What addresses say of the content, with those that have not answered.
    fn poll(&self, claims: &[Claim]) -> Poll<ContentHash> {
        let mut poll = self.answers(claims);
        self.silent.values().for_each(|voter| poll.add(*voter, Vote::Awaited));
        poll
    }

    /// What addresses have answered. Who has another layout has other content, hashed or not.
    fn answers(&self, claims: &[Claim]) -> Poll<ContentHash> {
        let mut poll = Poll::default();
        for claim in claims.iter().chain(self.kept.values()) {
            let is_other = self.layout.is_some_and(|layout| layout != claim.layout);
            let vote = match claim.content {
                None if is_other => Vote::For(claim.layout),
                _ => claim.vote(),
            };
            poll.add(claim.voter, vote);
        }
        poll
    }

    /// The content that has a majority, if a source in use has it.
    fn winner(&self, claims: &[Claim], among: Among) -> Option<ContentHash> {
        let winner = self.poll(claims).winner(among)?;
        claims.iter().any(|claim| claim.content == Some(winner)).then_some(winner)
    }

    /// Whether nobody who may still say something can give a content a majority.
    pub fn is_disputed(&self, claims: &[Claim]) -> bool {
        if self.stated.is_some() || self.content.is_some() || claims.is_empty() {
            return false;
        }
        let poll = self.poll(claims);
        poll.has_votes() && !poll.is_open() && self.winner(claims, Among::Voted).is_none()
    }

    /// What there is to choose from, the content that most addresses are for first.
    pub fn candidates(&self, claims: &[Claim]) -> Vec<Candidate> {
        candidates::of(&claims.iter().chain(self.kept.values()).collect::<Vec<_>>())
    }

    /// Why `claim` cannot be true, in words.
    pub fn contradiction(&self, claim: &Claim) -> Option<&'static str> {
        if self.layout.is_some_and(|layout| layout != claim.layout) {
            return Some("its files are not those that most sources have");
        }
        let content = claim.content?;
        if self.is_unrecognised(content) {
            return Some(match self.authority() {
                Authority::Choice => "its content is not the one that was chosen",
                Authority::Catalog | Authority::Votes => "its content is not what the catalog says",
            });
        }
        self.content
            .is_some_and(|decided| decided != content)
            .then_some("its content is not what most sources have")
    }

    /// Judges `own`, the content that was fetched, `waited` after the last chunk of it came and a first
    /// source told its content, if one has. `is_stated` says whether it has the stated root in any form.
    pub fn judge(
        &mut self,
        claims: &[Claim],
        own: ContentHash,
        is_stated: bool,
        waited: Duration,
    ) -> Verdict {
        if self.stated.is_some() {
            return self.judge_stated(claims, is_stated, waited);
        }
        if let Some(content) = self.content {
            return if content == own { Verdict::Agreed } else { Verdict::Differs };
        }
        let poll = self.poll(claims);
        let has_claims = claims.iter().any(|claim| claim.content.is_some());
        let winner = match poll.has_votes() {
            true => self.winner(claims, Among::Voted),
            false => poll.unanimous_unaddressed(),
        };
        let wait = if self.answers(claims).is_open() { CONTENT_WAIT } else { SILENT_WAIT };
        match !has_claims || winner == Some(own) {
            _ if poll.is_open() && waited < wait => Verdict::Open(wait),
            true if has_claims => {
                self.decide(claims, own);
                Verdict::Decided
            }
            // Nobody contradicts it.
            true => {
                self.count = Some(self.count_for(claims, own));
                Verdict::Agreed
            }
            // What some have sent contradicts what others have hashed.
            false => Verdict::Disputed,
        }
    }

    fn judge_stated(&self, claims: &[Claim], is_stated: bool, waited: Duration) -> Verdict {
        let is_hashing = |claim: &Claim| claim.content.is_none() && !claim.abstains;
        match is_stated {
            true => Verdict::Agreed,
            // A hint that it is the stated content may have been wrong.
            false if self.content.is_some() => Verdict::Differs,
            false if waited < CONTENT_WAIT && claims.iter().any(is_hashing) => {
                Verdict::Open(CONTENT_WAIT)
            }
            false => Verdict::Differs,
        }
    }
}
