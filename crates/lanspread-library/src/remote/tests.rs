use std::mem::size_of;
use std::sync::LazyLock;

use lanspread_catalog::CatalogGame;
use lanspread_proto::library::{LibrarySnapshot, encode_delta, encode_library};
use proptest::prelude::*;

use super::super::diff;
use super::*;

/// Games 0 to 9, at version 1. Others are in no catalog.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let games = (0..10).map(|n| {
        let id = game(n, 1).id;
        CatalogGame::new(id.clone(), id.as_str().to_owned(), "1".parse().unwrap())
    });
    Catalog::from_games(games).unwrap()
});

fn game(id: u8, version: u8) -> GameSummary {
    GameSummary {
        id: format!("game{id:02}").parse().unwrap(),
        version: version.to_string().parse().unwrap(),
        size: u64::from(version),
        manifest_hash: ContentHash::of(&[version]),
        content_root: None,
    }
}

fn snapshot(rev: u64, games: &[(u8, u8)]) -> LibrarySnapshot {
    LibrarySnapshot { rev, games: games.iter().map(|(id, v)| game(*id, *v)).collect() }
}

fn positions(ids: &[u8]) -> BTreeSet<CatalogPosition> {
    ids.iter().map(|id| CATALOG.position(&game(*id, 0).id).unwrap()).collect()
}

/// What is kept of a library, which travels in pages.
fn received(snapshot: &LibrarySnapshot) -> RemoteLibrary {
    gather(snapshot, &encode_library(&snapshot.games)).unwrap()
}

fn header(snapshot: &LibrarySnapshot, pages: usize) -> LibraryPageHeader {
    let games = u32::try_from(snapshot.games.len()).unwrap();
    LibraryPageHeader { rev: snapshot.rev, games, pages: u32::try_from(pages).unwrap(), len: 0 }
}

fn gather<P: AsRef<[u8]>>(
    snapshot: &LibrarySnapshot,
    pages: &[P],
) -> Result<RemoteLibrary, LibraryError> {
    let header = header(snapshot, pages.len());
    let mut gathering = Gathering::new(&header, &CATALOG)?;
    while let Some(page) = gathering.next_page() {
        gathering.take(&header, pages[usize::try_from(page).unwrap()].as_ref())?;
    }
    gathering.finish()
}

/// A delta, which travels as a page.
fn delta(old: &LibrarySnapshot, new: &LibrarySnapshot) -> Option<RemoteDelta> {
    let (told, page) = diff(old, new)?.encode();
    Some(RemoteDelta::read(told.from_rev, told.to_rev, &page, &CATALOG).unwrap())
}

#[test]
fn a_known_game_takes_80_bytes() {
    assert_eq!(size_of::<KnownGame>(), 80);
}

#[test]
fn only_games_of_the_catalog_are_kept_and_only_those_at_its_version_are_of_use() {
    let library = received(&snapshot(3, &[(0, 1), (1, 2), (50, 1), (60, 1)]));
    assert_eq!((library.rev(), library.len()), (3, 2));
    let usable: BTreeSet<_> = library.usable().map(|game| game.position).collect();
    assert_eq!(usable, positions(&[0]));
    let [zero, one] = [0, 1].map(|id| CATALOG.position(&game(id, 1).id).unwrap());
    assert_eq!(library.usable_at(zero).unwrap().size, 1);
    assert_eq!(library.usable_at(one), None);
    assert_eq!(received(&snapshot(3, &[])).len(), 0);
}

#[test]
fn a_delta_says_what_is_other_and_gone() {
    let old = snapshot(4, &[(1, 1), (2, 1), (3, 1), (70, 1)]);
    let new = snapshot(7, &[(2, 1), (3, 2), (4, 1), (71, 1)]);
    let change = delta(&old, &new).unwrap();
    assert_eq!(delta(&old, &LibrarySnapshot { rev: 9, ..old.clone() }), None);
    let mut known = received(&old);
    let outcome = known.apply(change.clone());
    assert_eq!(outcome, DeltaOutcome::Applied { changed: positions(&[1, 3, 4]) });
    assert_eq!(known, received(&new));
    assert_eq!(known.apply(change), DeltaOutcome::Ignored);
    assert_eq!(known, received(&new));
    assert_eq!(received(&old).differences(&known), positions(&[1, 3, 4]));
}

#[test]
fn a_delta_that_does_not_build_on_what_is_known_is_a_gap() {
    let known = received(&snapshot(1, &[(1, 1)]));
    let page = encode_delta(&[game(2, 1)], &[]).unwrap();
    for (from, to) in [(0, 2), (2, 3), (9, 9)] {
        let mut state = known.clone();
        let change = RemoteDelta::read(from, to, &page, &CATALOG).unwrap();
        assert_eq!(state.apply(change), DeltaOutcome::Gap);
        assert_eq!(state, known);
    }
    assert_eq!(known.clone().apply(RemoteDelta::gap(5)), DeltaOutcome::Gap);
    let twice = encode_delta(&[game(1, 2)], &[game(1, 1).id]).unwrap();
    let error = RemoteDelta::read(1, 2, &twice, &CATALOG).unwrap_err();
    assert_eq!(error, LibraryError::Twice(game(1, 1).id));
}

#[test]
fn a_change_that_does_not_fit_a_page_is_told_as_a_gap() {
    let named = |n: u32| GameSummary { id: format!("g{n:06}").parse().unwrap(), ..game(0, 0) };
    let full = LibrarySnapshot { rev: 8, games: (0..20_000).map(named).collect() };
    let (told, page) = diff(&snapshot(7, &[]), &full).unwrap().encode();
    assert_eq!((told.from_rev, told.to_rev), (8, 8));
    assert_eq!(usize::try_from(told.len).unwrap(), page.len());
    let change = RemoteDelta::read(8, 8, &page, &CATALOG).unwrap();
    assert_eq!(received(&snapshot(7, &[])).apply(change), DeltaOutcome::Gap);
}

#[test]
fn a_library_that_is_not_what_it_says_is_refused() {
    let whole = snapshot(1, &[(1, 1), (2, 1)]);
    let one = |id| encode_library(&[game(id, 1)]).remove(0);
    let error = |pages: &[bytes::Bytes]| gather(&whole, pages).unwrap_err();
    assert_eq!(error(&[one(2), one(1)]), LibraryError::Order(1));
    assert_eq!(error(&[one(1), one(1)]), LibraryError::Order(1));
    assert_eq!(error(&[one(1)]), LibraryError::Count { found: 1, announced: 2 });
    let more = encode_library(&snapshot(1, &[(1, 1), (2, 1), (3, 1)]).games);
    assert_eq!(error(&more), LibraryError::Count { found: 3, announced: 2 });
    let cut = one(1).slice(..20);
    assert!(matches!(error(&[one(1), cut]), LibraryError::Page { page: 1, .. }));

    let header = header(&whole, 2);
    let mut gathering = Gathering::new(&header, &CATALOG).unwrap();
    let other = LibraryPageHeader { rev: 2, ..header };
    assert_eq!(gathering.take(&other, &one(1)), Err(LibraryError::OtherLibrary(0)));
    for (games, pages) in [(LIBRARY_MAX_GAMES + 1, 1), (1, LIBRARY_PAGES_MAX + 1), (0, 0)] {
        let large = LibraryPageHeader { games, pages, ..header };
        let error = Gathering::new(&large, &CATALOG).map(drop).unwrap_err();
        assert_eq!(error, LibraryError::TooLarge { games, pages });
    }
}

fn any_games() -> impl Strategy<Value = Vec<GameSummary>> {
    // Of 14, four are in no catalog.
    let games = prop::collection::btree_map(0_u8..14, 0_u8..3, 0..12);
    games.prop_map(|games| games.into_iter().map(|(id, v)| game(id, v)).collect())
}

/// The libraries of a peer as it numbers them: those that differ from the one before.
fn history(states: Vec<Vec<GameSummary>>) -> Vec<LibrarySnapshot> {
    let mut snapshots = vec![LibrarySnapshot::default()];
    for games in states {
        let last = snapshots.last().unwrap();
        let next = LibrarySnapshot { rev: last.rev + 1, games };
        if diff(last, &next).is_some() {
            snapshots.push(next);
        }
    }
    snapshots
}

fn deltas(snapshots: &[LibrarySnapshot]) -> Vec<RemoteDelta> {
    snapshots.windows(2).map(|pair| delta(&pair[0], &pair[1]).unwrap()).collect()
}

proptest! {
    #[test]
    fn deltas_in_order_lead_to_the_library_even_when_doubled(
        states in prop::collection::vec(any_games(), 1..8),
        doubled in prop::collection::vec(any::<bool>(), 8),
    ) {
        let snapshots = history(states);
        let mut known = RemoteLibrary::default();
        let steps = deltas(&snapshots).into_iter().zip(snapshots.iter().skip(1));
        for ((delta, after), twice) in steps.zip(doubled) {
            let before = known.clone();
            let DeltaOutcome::Applied { changed } = known.apply(delta.clone()) else { panic!() };
            if twice {
                prop_assert_eq!(known.apply(delta), DeltaOutcome::Ignored);
            }
            prop_assert_eq!(&known, &received(after));
            prop_assert_eq!(before.differences(&known), changed);
        }
    }

    #[test]
    fn a_missing_delta_is_noticed_by_the_next_one(
        states in prop::collection::vec(any_games(), 2..8),
        missing in any::<prop::sample::Index>(),
    ) {
        let snapshots = history(states);
        let deltas = deltas(&snapshots);
        prop_assume!(deltas.len() > 1);
        let missing = missing.index(deltas.len() - 1);
        let mut known = RemoteLibrary::default();
        for (at, delta) in deltas.iter().enumerate() {
            if at == missing {
                continue;
            }
            let outcome = known.apply(delta.clone());
            prop_assert_eq!(outcome == DeltaOutcome::Gap, at > missing);
        }
        prop_assert_eq!(&known, &received(&snapshots[missing]));
    }
}
