//! What changed between two libraries, and what a peer's word about its own is worth.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_proto::GameId;
use lanspread_proto::message::{GameSummary, LibraryDelta, LibrarySnapshot};

/// Most games one peer may announce: five times a very large library, and about what fits the
/// bounded answer.
pub(crate) const LIBRARY_MAX_GAMES: usize = 50_000;

/// Why a received snapshot is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// More than [`LIBRARY_MAX_GAMES`].
    #[error("library lists {0} games, more than {LIBRARY_MAX_GAMES}")]
    TooManyGames(usize),
    /// The same game twice.
    #[error("library lists game {0} twice")]
    Duplicate(GameId),
}

/// What became of a received delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeltaOutcome {
    /// It is known already.
    Ignored,
    /// It was applied.
    Applied {
        /// The games it added, updated or removed.
        changed: BTreeSet<GameId>,
    },
    /// It does not build on what is known, and nothing was changed: a snapshot is needed.
    Gap,
}

/// Brings a received snapshot into id order.
///
/// # Errors
/// [`SnapshotError`] when it cannot be anybody's library.
pub(crate) fn normalise(mut snapshot: LibrarySnapshot) -> Result<LibrarySnapshot, SnapshotError> {
    if snapshot.games.len() > LIBRARY_MAX_GAMES {
        return Err(SnapshotError::TooManyGames(snapshot.games.len()));
    }
    snapshot.games.sort_by(|a, b| a.id.cmp(&b.id));
    for (game, next) in snapshot.games.iter().zip(snapshot.games.iter().skip(1)) {
        if game.id == next.id {
            return Err(SnapshotError::Duplicate(game.id.clone()));
        }
    }
    Ok(snapshot)
}

/// What leads from `old` to `new`, two libraries of this peer; `None` if they have equal games.
pub(crate) fn diff(old: &LibrarySnapshot, new: &LibrarySnapshot) -> Option<LibraryDelta> {
    let (old_games, new_games) = (by_id(old), by_id(new));
    let mut added = Vec::new();
    let mut updated = Vec::new();
    for (id, game) in &new_games {
        match old_games.get(id) {
            None => added.push((*game).clone()),
            Some(known) if known != game => updated.push((*game).clone()),
            Some(_) => {}
        }
    }
    let gone = old_games.keys().filter(|id| !new_games.contains_key(*id));
    let removed: Vec<GameId> = gone.map(|id| (*id).clone()).collect();
    if added.is_empty() && updated.is_empty() && removed.is_empty() {
        return None;
    }
    Some(LibraryDelta { from_rev: old.rev, to_rev: new.rev, added, updated, removed })
}

/// Applies what a peer says has changed to what is known of its library, which is normalised.
///
/// A delta that contradicts itself or what is known changes nothing and is answered like a gap:
/// the snapshot settles it.
pub(crate) fn apply(known: &mut LibrarySnapshot, delta: LibraryDelta) -> DeltaOutcome {
    if delta.to_rev <= known.rev {
        return DeltaOutcome::Ignored;
    }
    if delta.from_rev != known.rev {
        return DeltaOutcome::Gap;
    }
    let Some(changed) = consistent_changes(known, &delta) else { return DeltaOutcome::Gap };
    let is_untouched = |game: &GameSummary| !changed.contains(&game.id);
    let untouched = std::mem::take(&mut known.games).into_iter().filter(is_untouched);
    known.games = untouched.chain(delta.added).chain(delta.updated).collect();
    known.games.sort_by(|a, b| a.id.cmp(&b.id));
    known.rev = delta.to_rev;
    DeltaOutcome::Applied { changed }
}

/// The games a delta names, if it names each once and says of each what can be.
fn consistent_changes(known: &LibrarySnapshot, delta: &LibraryDelta) -> Option<BTreeSet<GameId>> {
    let known_games = by_id(known);
    let added = delta.added.iter().map(|game| (&game.id, false));
    let updated = delta.updated.iter().map(|game| (&game.id, true));
    let removed = delta.removed.iter().map(|id| (id, true));
    let mut changed = BTreeSet::new();
    for (id, must_be_known) in added.chain(updated).chain(removed) {
        if known_games.contains_key(id) != must_be_known || !changed.insert(id.clone()) {
            return None;
        }
    }
    // Every removed game is known and named once, so the difference is not negative.
    let games = known.games.len() + delta.added.len() - delta.removed.len();
    (games <= LIBRARY_MAX_GAMES).then_some(changed)
}

fn by_id(snapshot: &LibrarySnapshot) -> BTreeMap<&GameId, &GameSummary> {
    snapshot.games.iter().map(|game| (&game.id, game)).collect()
}

#[cfg(test)]
mod tests {
    use lanspread_proto::ContentHash;
    use proptest::prelude::*;

    use super::*;

    fn game(id: u8, version: u8) -> GameSummary {
        GameSummary {
            id: format!("game{id}").parse().unwrap(),
            version: version.to_string().parse().unwrap(),
            size: u64::from(version),
            manifest_hash: ContentHash::of(&[version]),
            content_root: None,
        }
    }

    fn snapshot(rev: u64, games: &[(u8, u8)]) -> LibrarySnapshot {
        LibrarySnapshot { rev, games: games.iter().map(|(id, v)| game(*id, *v)).collect() }
    }

    fn ids(ids: &[u8]) -> BTreeSet<GameId> {
        ids.iter().map(|id| game(*id, 0).id).collect()
    }

    #[test]
    fn a_delta_says_what_is_new_other_and_gone() {
        let old = snapshot(4, &[(1, 1), (2, 1), (3, 1)]);
        let new = snapshot(7, &[(2, 1), (3, 2), (4, 1)]);
        let delta = diff(&old, &new).unwrap();
        assert_eq!((delta.from_rev, delta.to_rev), (4, 7));
        assert_eq!(delta.added, [game(4, 1)]);
        assert_eq!(delta.updated, [game(3, 2)]);
        assert_eq!(delta.removed, [game(1, 1).id]);
        assert_eq!(diff(&old, &LibrarySnapshot { rev: 9, ..old.clone() }), None);

        let mut known = old;
        let outcome = apply(&mut known, delta.clone());
        assert_eq!(outcome, DeltaOutcome::Applied { changed: ids(&[1, 3, 4]) });
        assert_eq!(known, new);
        assert_eq!(apply(&mut known, delta), DeltaOutcome::Ignored);
        assert_eq!(known, new);
    }

    #[test]
    fn a_delta_that_contradicts_itself_or_what_is_known_asks_for_a_snapshot() {
        let known = snapshot(1, &[(1, 1), (2, 1)]);
        let base = LibraryDelta {
            from_rev: 1,
            to_rev: 2,
            added: vec![],
            updated: vec![],
            removed: vec![],
        };
        let hostile = [
            LibraryDelta { added: vec![game(1, 2)], ..base.clone() },
            LibraryDelta { added: vec![game(3, 1), game(3, 2)], ..base.clone() },
            LibraryDelta { updated: vec![game(3, 1)], ..base.clone() },
            LibraryDelta {
                updated: vec![game(1, 2)],
                removed: vec![game(1, 1).id],
                ..base.clone()
            },
            LibraryDelta { removed: vec![game(3, 1).id], ..base.clone() },
            LibraryDelta { removed: vec![game(1, 1).id; 2], ..base.clone() },
            LibraryDelta { from_rev: 0, ..base.clone() },
            LibraryDelta { from_rev: 2, ..base.clone() },
            LibraryDelta { from_rev: 9, to_rev: 9, ..base },
        ];
        for delta in hostile {
            let mut state = known.clone();
            assert_eq!(apply(&mut state, delta.clone()), DeltaOutcome::Gap, "{delta:?}");
            assert_eq!(state, known);
        }
    }

    #[test]
    fn an_unsorted_delta_keeps_the_order() {
        let mut known = snapshot(1, &[(5, 1)]);
        let delta = LibraryDelta {
            from_rev: 1,
            to_rev: 2,
            added: vec![game(9, 1), game(1, 1)],
            updated: vec![],
            removed: vec![],
        };
        apply(&mut known, delta);
        assert_eq!(known, snapshot(2, &[(1, 1), (5, 1), (9, 1)]));
    }

    #[test]
    fn a_library_is_bounded_however_it_grows() {
        let named =
            |n: usize| GameSummary { id: format!("g{n:06}").parse().unwrap(), ..game(0, 0) };
        let full = LibrarySnapshot { rev: 1, games: (0..LIBRARY_MAX_GAMES).map(named).collect() };
        let mut known = normalise(full.clone()).unwrap();
        let one_more = LibrarySnapshot {
            rev: 2,
            games: full.games.iter().cloned().chain([named(LIBRARY_MAX_GAMES)]).collect(),
        };
        assert_eq!(apply(&mut known, diff(&full, &one_more).unwrap()), DeltaOutcome::Gap);
        let error = normalise(one_more).unwrap_err();
        assert_eq!(error, SnapshotError::TooManyGames(LIBRARY_MAX_GAMES + 1));
    }

    #[test]
    fn a_snapshot_is_sorted_and_names_each_game_once() {
        let sorted = normalise(snapshot(1, &[(2, 1), (1, 1)])).unwrap();
        assert_eq!(sorted, snapshot(1, &[(1, 1), (2, 1)]));
        let error = normalise(snapshot(1, &[(2, 1), (1, 1), (2, 2)])).unwrap_err();
        assert_eq!(error, SnapshotError::Duplicate(game(2, 1).id));
    }

    fn any_games() -> impl Strategy<Value = Vec<GameSummary>> {
        let games = prop::collection::btree_map(0_u8..12, 0_u8..3, 0..12);
        games.prop_map(|games| {
            let mut games: Vec<_> = games.into_iter().map(|(id, v)| game(id, v)).collect();
            games.sort_by(|a, b| a.id.cmp(&b.id));
            games
        })
    }

    /// The deltas that the owner of these libraries sends, as the runtime numbers revisions.
    fn history(states: Vec<Vec<GameSummary>>) -> (Vec<LibrarySnapshot>, Vec<LibraryDelta>) {
        let mut snapshots = vec![LibrarySnapshot::default()];
        let mut deltas = Vec::new();
        for games in states {
            let last = snapshots.last().unwrap();
            let next = LibrarySnapshot { rev: last.rev + 1, games };
            if let Some(delta) = diff(last, &next) {
                deltas.push(delta);
                snapshots.push(next);
            }
        }
        (snapshots, deltas)
    }

    proptest! {
        #[test]
        fn deltas_in_order_lead_to_the_snapshot_even_when_doubled(
            states in prop::collection::vec(any_games(), 1..8),
            doubled in prop::collection::vec(any::<bool>(), 8),
        ) {
            let (snapshots, deltas) = history(states);
            let mut known = LibrarySnapshot::default();
            for ((delta, after), twice) in deltas.iter().zip(snapshots.iter().skip(1)).zip(doubled) {
                let applied = matches!(apply(&mut known, delta.clone()), DeltaOutcome::Applied { .. });
                prop_assert!(applied);
                if twice {
                    prop_assert_eq!(apply(&mut known, delta.clone()), DeltaOutcome::Ignored);
                }
                prop_assert_eq!(&known, after);
            }
        }

        #[test]
        fn a_missing_delta_is_noticed_by_the_next_one(
            states in prop::collection::vec(any_games(), 2..8),
            missing in any::<prop::sample::Index>(),
        ) {
            let (snapshots, deltas) = history(states);
            prop_assume!(deltas.len() > 1);
            let missing = missing.index(deltas.len() - 1);
            let mut known = LibrarySnapshot::default();
            for (at, delta) in deltas.iter().enumerate() {
                if at == missing {
                    continue;
                }
                let outcome = apply(&mut known, delta.clone());
                prop_assert_eq!(outcome == DeltaOutcome::Gap, at > missing);
            }
            prop_assert_eq!(&known, &snapshots[missing]);
        }

        #[test]
        fn whatever_a_peer_sends_the_library_stays_normal(
            start in any_games(),
            added in prop::collection::vec((0_u8..12, 0_u8..3), 0..6),
            updated in prop::collection::vec((0_u8..12, 0_u8..3), 0..6),
            removed in prop::collection::vec(0_u8..12, 0..6),
        ) {
            let mut known = LibrarySnapshot { rev: 1, games: start };
            apply(&mut known, LibraryDelta {
                from_rev: 1,
                to_rev: 2,
                added: added.into_iter().map(|(id, v)| game(id, v)).collect(),
                updated: updated.into_iter().map(|(id, v)| game(id, v)).collect(),
                removed: removed.into_iter().map(|id| game(id, 0).id).collect(),
            });
            prop_assert_eq!(normalise(known.clone()).unwrap(), known);
        }
    }
}
