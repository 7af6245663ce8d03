//! What a transfer keeps of each source.

use std::collections::BTreeMap;

use lanspread_proto::{PeerId, PieceSet};

use crate::consensus::Claim;
use crate::layout::PieceIndex;

/// How a peer takes part in a transfer.
#[derive(Debug)]
pub(super) enum SourceState {
    /// It is asked for its claim.
    Awaited,
    /// It has the whole game, and is asked for any of it.
    Full {
        /// What it says that the game is.
        claim: Claim,
        /// What it offers of its own download, which counts when it leaves as a source of the whole.
        offer: Option<Offer>,
    },
    /// It fetches the same content, and is asked for the part that it has.
    Partial {
        /// What it offers; `None` once it fetches the game no more.
        offer: Option<Offer>,
        /// Whether it is asked for its claim as well.
        is_awaited: bool,
    },
    /// It sent what is not true, and is never asked again.
    Banned,
}

/// What a peer offers that fetches the same content.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) has: PieceSet,
    pub(super) asking: Vec<PieceIndex>,
}

/// The peers that take part in a transfer, in peer id order. Whoever has left has no entry.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<PeerId, SourceState>);

impl Sources {
    pub(super) fn get(&self, peer: PeerId) -> Option<&SourceState> {
        self.0.get(&peer)
    }

    pub(super) fn insert(&mut self, peer: PeerId, state: SourceState) {
        self.0.insert(peer, state);
    }

    /// Removes a peer and all that is known of it. One that is banned stays banned.
    pub(super) fn remove(&mut self, peer: PeerId) {
        if !matches!(self.get(peer), Some(SourceState::Banned)) {
            self.0.remove(&peer);
        }
    }

    /// Lets a peer wait for its claim to be heard; returns whether it newly does.
    pub(super) fn await_claim(&mut self, peer: PeerId) -> bool {
        match self.0.get_mut(&peer) {
            None => self.0.insert(peer, SourceState::Awaited).is_none(),
            Some(SourceState::Partial { is_awaited, .. }) => !std::mem::replace(is_awaited, true),
            Some(SourceState::Awaited | SourceState::Full { .. } | SourceState::Banned) => false,
        }
    }

    /// Makes a peer a source of the whole game. What it offers of its own download is kept.
    pub(super) fn claim(&mut self, peer: PeerId, claim: Claim) {
        let offer = self.take_offer(peer);
        self.0.insert(peer, SourceState::Full { claim, offer });
    }

    /// Takes back which content a source claims. Where it `abstains`, it will not claim any.
    pub(super) fn withdraw_content(&mut self, peer: PeerId, abstains: bool) {
        if let Some(SourceState::Full { claim, .. }) = self.0.get_mut(&peer) {
            *claim = Claim { content: None, abstains, ..*claim };
        }
    }

    /// Keeps what a peer offers; returns whether it is to be asked for that now.
    pub(super) fn offer(&mut self, peer: PeerId, new: Offer) -> bool {
        let is_awaited = self.is_awaited(peer);
        match self.0.get_mut(&peer) {
            Some(SourceState::Banned) => false,
            Some(SourceState::Full { offer, .. }) => {
                *offer = Some(new);
                false
            }
            None | Some(SourceState::Awaited | SourceState::Partial { .. }) => {
                let state = SourceState::Partial { offer: Some(new), is_awaited };
                self.0.insert(peer, state);
                true
            }
        }
    }

    pub(super) fn offer_mut(&mut self, peer: PeerId) -> Option<&mut Offer> {
        match self.0.get_mut(&peer)? {
            SourceState::Full { offer, .. } | SourceState::Partial { offer, .. } => offer.as_mut(),
            SourceState::Awaited | SourceState::Banned => None,
        }
    }

    pub(super) fn take_offer(&mut self, peer: PeerId) -> Option<Offer> {
        match self.0.get_mut(&peer)? {
            SourceState::Full { offer, .. } | SourceState::Partial { offer, .. } => offer.take(),
            SourceState::Awaited | SourceState::Banned => None,
        }
    }

    /// Ends what a peer gives of its own download; returns whether it was asked for that.
    pub(super) fn end_partial(&mut self, peer: PeerId) -> bool {
        drop(self.take_offer(peer));
        let Some(SourceState::Partial { is_awaited, .. }) = self.get(peer) else { return false };
        match is_awaited {
            true => drop(self.0.insert(peer, SourceState::Awaited)),
            false => drop(self.0.remove(&peer)),
        }
        true
    }

    pub(super) fn is_full(&self, peer: PeerId) -> bool {
        matches!(self.get(peer), Some(SourceState::Full { .. }))
    }

    pub(super) fn is_partial(&self, peer: PeerId) -> bool {
        matches!(self.get(peer), Some(SourceState::Partial { .. }))
    }

    pub(super) fn is_awaited(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(SourceState::is_awaited)
    }

    /// Whether anybody has the whole game, or may be about to say so.
    pub(super) fn has_full_or_awaited(&self) -> bool {
        let mut sources = self.0.values();
        sources.any(|it| it.is_awaited() || matches!(it, SourceState::Full { .. }))
    }

    pub(super) fn has_partial(&self) -> bool {
        self.0.values().any(|source| matches!(source, SourceState::Partial { .. }))
    }

    /// The sources that have the whole game, in peer id order.
    pub(super) fn full(&self) -> impl Iterator<Item = PeerId> {
        let full = self.0.iter().filter(|(_, it)| matches!(it, SourceState::Full { .. }));
        full.map(|(peer, _)| *peer)
    }

    /// What sources claim, in peer id order.
    pub(super) fn claims(&self) -> impl Iterator<Item = Claim> {
        self.0.values().filter_map(SourceState::claim)
    }

    pub(super) fn claim_of(&self, peer: PeerId) -> Option<Claim> {
        self.get(peer)?.claim()
    }
}

impl SourceState {
    fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited | Self::Partial { is_awaited: true, .. })
    }

    fn claim(&self) -> Option<Claim> {
        match self {
            Self::Full { claim, .. } => Some(*claim),
            Self::Awaited | Self::Partial { .. } | Self::Banned => None,
        }
    }
}
