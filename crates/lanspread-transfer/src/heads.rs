//! The sources that are asked what they have, and what they answered.

use std::collections::BTreeMap;

use lanspread_proto::PeerId;
use lanspread_proto::message::GameHead;

use crate::consensus::Claim;
use crate::scheduler::SourceGroup;
use crate::votes::Voter;

/// One entry for each source that owes an answer or has given one, in peer id order.
#[derive(Debug, Default)]
pub struct Heads {
    sources: BTreeMap<PeerId, SourceState>,
}

/// What is known of one source. It is asked once more where it is reached in another way than before.
#[derive(Debug, Default)]
struct SourceState {
    /// Its address, if that has a vote.
    voter: Option<Voter>,
    is_awaited: bool,
    head: Option<GameHead>,
    group: Option<SourceGroup>,
}

impl Heads {
    /// Notes that a source has been asked, at the address `voter` if that has a vote.
    pub fn await_answer(&mut self, peer: PeerId, voter: Option<Voter>) {
        let source = self.sources.entry(peer).or_default();
        (source.voter, source.is_awaited) = (voter, true);
    }

    /// Notes that a source has answered with something that is of no use. What it said before stays.
    pub fn refuse(&mut self, peer: PeerId) {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        source.is_awaited = false;
        if source.head.is_none() {
            self.sources.remove(&peer);
        }
    }

    /// Takes in what a source says that it has.
    pub fn insert(&mut self, peer: PeerId, voter: Option<Voter>, head: GameHead) {
        let source = self.sources.entry(peer).or_default();
        (source.voter, source.is_awaited, source.head) = (voter, false, Some(head));
    }

    /// Notes which sources share an address with this one.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.group = group;
        }
    }

    /// Returns which sources share an address with this one, where that is known.
    pub fn group(&self, peer: PeerId) -> Option<SourceGroup> {
        self.sources.get(&peer)?.group
    }

    /// Forgets a source.
    pub fn remove(&mut self, peer: PeerId) {
        self.sources.remove(&peer);
    }

    /// Returns how many sources owe an answer.
    pub fn awaited_count(&self) -> usize {
        self.sources.values().filter(|source| source.is_awaited).count()
    }

    /// Returns the sources that owe a first answer, with their addresses.
    pub fn awaited(&self) -> Vec<(PeerId, Option<Voter>)> {
        let unanswered = self.sources.iter().filter(|(_, source)| source.head.is_none());
        unanswered.map(|(peer, source)| (*peer, source.voter)).collect()
    }

    /// Returns what a source says that it has.
    pub fn get(&self, peer: PeerId) -> Option<&GameHead> {
        self.sources.get(&peer)?.head.as_ref()
    }

    /// Returns the sources that have answered and what they say, in peer id order.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &GameHead)> {
        self.sources.iter().filter_map(|(peer, source)| Some((*peer, source.head.as_ref()?)))
    }

    /// Returns the sources that owe a first answer.
    pub fn unanswered(&self) -> impl Iterator<Item = PeerId> {
        let unanswered = self.sources.iter().filter(|(_, source)| source.head.is_none());
        unanswered.map(|(peer, _)| *peer)
    }

    /// Returns what the sources claim, in peer id order.
    pub fn claims(&self) -> Vec<Claim> {
        self.sources.keys().filter_map(|peer| self.claim_of(*peer)).collect()
    }

    /// Returns what one source claims.
    pub fn claim_of(&self, peer: PeerId) -> Option<Claim> {
        let source = self.sources.get(&peer)?;
        Some(Claim::of(peer, source.voter, source.head.as_ref()?))
    }
}
