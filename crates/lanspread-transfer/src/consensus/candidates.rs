//! What a caller can choose from where the sources of a game disagree.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use lanspread_proto::{ContentHash, PeerId};

use super::Claim;
use crate::votes::Voter;

/// Most contents that are told. Those that most addresses are for come first, and one address can claim
/// any number, so that the others are hardly worth a look.
const CANDIDATES_MAX: usize = 16;

/// A content that sources say a game has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its root; `None` where its sources have not hashed it.
    pub content: Option<ContentHash>,
    /// The sources that say so, in peer id order.
    pub sources: Vec<PeerId>,
}

/// Tells one content from another: its root, or the layout of what is not hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Hashed(ContentHash),
    Unhashed(ContentHash),
}

impl Kind {
    fn of(claim: &Claim) -> Self {
        claim.content.map_or(Self::Unhashed(claim.layout), Self::Hashed)
    }

    fn content(self) -> Option<ContentHash> {
        match self {
            Self::Hashed(content) => Some(content),
            Self::Unhashed(_) => None,
        }
    }
}

/// Returns the candidates among `claims`.
pub(super) fn of(claims: &[&Claim]) -> Vec<Candidate> {
    let mut by_kind: BTreeMap<Kind, BTreeSet<PeerId>> = BTreeMap::new();
    let mut by_voter: BTreeMap<(Voter, bool), BTreeSet<Kind>> = BTreeMap::new();
    for claim in claims {
        let kind = Kind::of(claim);
        by_kind.entry(kind).or_default().insert(claim.peer);
        if let Some(voter) = claim.voter {
            by_voter.entry((voter, kind.content().is_some())).or_default().insert(kind);
        }
    }
    // An address that contradicts itself is for nothing, or it would fill the list.
    let votes_for = |kind: &Kind| {
        let only = |kinds: &&BTreeSet<Kind>| kinds.len() == 1 && kinds.contains(kind);
        by_voter.values().filter(only).count()
    };
    let mut all: Vec<_> = by_kind.into_iter().collect();
    // Stable: among equals the first by hash stays the first.
    all.sort_by_cached_key(|(kind, _)| Reverse(votes_for(kind)));
    let candidate = |(kind, sources): (Kind, BTreeSet<PeerId>)| Candidate {
        content: kind.content(),
        sources: sources.into_iter().collect(),
    };
    all.into_iter().take(CANDIDATES_MAX).map(candidate).collect()
}
