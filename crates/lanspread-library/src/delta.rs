//! What changed between two libraries of this peer.

use std::collections::BTreeMap;

use bytes::Bytes;
use lanspread_proto::GameId;
use lanspread_proto::library::{GameSummary, LibrarySnapshot, encode_delta};
use lanspread_proto::message::LibraryDelta;

/// What leads from one library of this peer to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    from_rev: u64,
    to_rev: u64,
    /// Games that are new, or other ones than before, in id order.
    changed: Vec<GameSummary>,
    /// Games that are gone, in id order.
    removed: Vec<GameId>,
}

/// Returns what leads from `old` to `new`; `None` if they have equal games.
pub fn diff(old: &LibrarySnapshot, new: &LibrarySnapshot) -> Option<Difference> {
    let (old_games, new_games) = (by_id(old), by_id(new));
    let is_known = |game: &&GameSummary| old_games.get(&game.id) == Some(game);
    let changed = new.games.iter().filter(|game| !is_known(game)).cloned();
    let gone = old.games.iter().filter(|game| !new_games.contains_key(&game.id));
    let (changed, removed): (Vec<_>, Vec<_>) =
        (changed.collect(), gone.map(|game| game.id.clone()).collect());
    if changed.is_empty() && removed.is_empty() {
        return None;
    }
    Some(Difference { from_rev: old.rev, to_rev: new.rev, changed, removed })
}

impl Difference {
    /// Returns the message that tells it, and the page behind it. What does not fit a page is told as a
    /// delta from a revision that nobody can know yet, so that every receiver asks for the library.
    pub fn encode(&self) -> (LibraryDelta, Bytes) {
        let fitting = encode_delta(&self.changed, &self.removed);
        let from_rev = if fitting.is_some() { self.from_rev } else { self.to_rev };
        let page = fitting.or_else(|| encode_delta(&[], &[])).unwrap_or_default();
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        (LibraryDelta { from_rev, to_rev: self.to_rev, len }, page)
    }
}

fn by_id(snapshot: &LibrarySnapshot) -> BTreeMap<&GameId, &GameSummary> {
    snapshot.games.iter().map(|game| (&game.id, game)).collect()
}
