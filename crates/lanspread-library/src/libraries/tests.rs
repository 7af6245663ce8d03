use std::sync::LazyLock;

use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_proto::ContentHash;
use lanspread_proto::library::{GameSummary, LibrarySnapshot, encode_delta, encode_library};
use lanspread_proto::message::LibraryPageHeader;
use proptest::prelude::*;

use super::*;
use crate::delta::diff;
use crate::remote::Gathering;

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

/// Game `id` at version 1, with another content for each `content`.
fn odd(id: u8, content: u8) -> GameSummary {
    GameSummary { content_root: Some(ContentHash::of(&[content])), ..game(id, 1) }
}

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

fn snapshot(rev: u64, games: &[(u8, u8)]) -> LibrarySnapshot {
    LibrarySnapshot { rev, games: games.iter().map(|(id, v)| game(*id, *v)).collect() }
}

fn position(id: u8) -> CatalogPosition {
    CATALOG.position(&game(id, 0).id).unwrap()
}

fn positions(ids: &[u8]) -> BTreeSet<CatalogPosition> {
    ids.iter().map(|id| position(*id)).collect()
}

/// A library, which travels in pages.
fn received(snapshot: &LibrarySnapshot) -> RemoteLibrary {
    let page = encode_library(&snapshot.games).remove(0);
    let games = u32::try_from(snapshot.games.len()).unwrap();
    let header = LibraryPageHeader { rev: snapshot.rev, games, pages: 1, len: 0 };
    let mut gathering = Gathering::new(&header, &CATALOG).unwrap();
    gathering.take(&header, &page).unwrap();
    gathering.finish().unwrap()
}

/// What is kept of peer 0, as if it had been read just now.
fn kept(libraries: &Libraries<u8>) -> RemoteLibrary {
    let mine = &libraries.peers[&peer(0)];
    let games = mine.held.iter().enumerate().filter_map(|(index, held)| {
        let position = CatalogPosition::from_index(index).unwrap();
        match *held {
            Held::NOTHING => None,
            Held::OTHER_VERSION => Some((position, Announcement::OtherVersion)),
            _ => libraries
                .usable_at(peer(0), position)
                .map(|it| (position, Announcement::Usable(*it))),
        }
    });
    RemoteLibrary { rev: mine.rev, games: games.collect() }
}

fn known(snapshot: &LibrarySnapshot) -> Libraries<u8> {
    let mut libraries = Libraries::default();
    libraries.replace(peer(0), 0, &received(snapshot));
    libraries
}

/// A delta, which travels as a page.
fn delta(old: &LibrarySnapshot, new: &LibrarySnapshot) -> Option<RemoteDelta> {
    let (told, page) = diff(old, new)?.encode();
    Some(RemoteDelta::read(told.from_rev, told.to_rev, &page, &CATALOG).unwrap())
}

#[test]
fn a_delta_says_what_is_other_and_gone() {
    let old = snapshot(4, &[(1, 1), (2, 1), (3, 1), (70, 1)]);
    let new = snapshot(7, &[(2, 1), (3, 2), (4, 1), (71, 1)]);
    let change = delta(&old, &new).unwrap();
    assert_eq!(delta(&old, &LibrarySnapshot { rev: 9, ..old.clone() }), None);
    let mut libraries = known(&old);
    let outcome = libraries.apply(peer(0), change.clone());
    assert_eq!(outcome, Some(DeltaOutcome::Applied { changed: positions(&[1, 3, 4]) }));
    assert_eq!(kept(&libraries), received(&new));
    assert_eq!(libraries.apply(peer(0), change.clone()), Some(DeltaOutcome::Ignored));
    assert_eq!(kept(&libraries), received(&new));
    assert_eq!(libraries.apply(peer(1), change), None);
    assert_eq!(known(&old).replace(peer(0), 0, &received(&new)), positions(&[1, 3, 4]));
}

#[test]
fn a_delta_that_does_not_build_on_what_is_known_is_a_gap() {
    let before = snapshot(1, &[(1, 1)]);
    let page = encode_delta(&[game(2, 1)], &[]).unwrap();
    for (from, to) in [(0, 2), (2, 3), (9, 9)] {
        let mut libraries = known(&before);
        let change = RemoteDelta::read(from, to, &page, &CATALOG).unwrap();
        assert_eq!(libraries.apply(peer(0), change), Some(DeltaOutcome::Gap));
        assert_eq!(kept(&libraries), received(&before));
    }
    let mut libraries = known(&before);
    assert_eq!(libraries.apply(peer(0), RemoteDelta::gap(5)), Some(DeltaOutcome::Gap));
}

#[test]
fn a_change_that_does_not_fit_a_page_is_told_as_a_gap() {
    let named = |n: u32| GameSummary { id: format!("g{n:06}").parse().unwrap(), ..game(0, 0) };
    let full = LibrarySnapshot { rev: 8, games: (0..20_000).map(named).collect() };
    let (told, page) = diff(&snapshot(7, &[]), &full).unwrap().encode();
    assert_eq!((told.from_rev, told.to_rev), (8, 8));
    assert_eq!(usize::try_from(told.len).unwrap(), page.len());
    let change = RemoteDelta::read(8, 8, &page, &CATALOG).unwrap();
    assert_eq!(known(&snapshot(7, &[])).apply(peer(0), change), Some(DeltaOutcome::Gap));
}

#[test]
fn peers_that_announce_the_same_share_it_and_the_first_peer_tells_the_size() {
    let mut libraries = Libraries::default();
    for n in 0..3 {
        libraries.replace(peer(n), n, &received(&snapshot(1, &[(1, 1), (2, 2)])));
    }
    assert_eq!((libraries.announcements, libraries.usable_games()), (1, 1));
    assert_eq!(libraries.usable_by(position(1)), Some((3, 1)));
    assert_eq!(libraries.usable_by(position(2)), None, "it is of another version");
    assert_eq!(libraries.usable().map(|(at, _)| at).collect::<BTreeSet<_>>(), positions(&[1]));
    assert_eq!(libraries.len_of(peer(0)), 2);

    let larger = GameSummary { size: 99, ..game(1, 1) };
    let last = (0..3).map(peer).max().unwrap();
    let library = received(&LibrarySnapshot { rev: 2, games: vec![larger] });
    assert_eq!(libraries.replace(last, 0, &library), positions(&[1, 2]));
    assert_eq!(libraries.usable_by(position(1)), Some((3, 1)));
    for n in (0..3).filter(|n| peer(*n) != last) {
        assert_eq!(libraries.remove(peer(n)), positions(&[1, 2]));
    }
    assert_eq!(libraries.usable_by(position(1)), Some((1, 99)));
    libraries.remove(last);
    assert!(libraries.accounts.is_empty() && libraries.announcements == 0);
    assert_eq!((libraries.usable_games(), libraries.usable_by(position(1))), (0, None));
}

#[test]
fn an_owner_beyond_its_budget_takes_part_in_what_is_known_and_adds_nothing() {
    let mut libraries = known(&snapshot(1, &[(1, 1)]));
    // Owner 7 has used all that it may.
    libraries.accounts.insert(7, OWNER_ANNOUNCEMENTS_MAX);
    libraries.announcements += OWNER_ANNOUNCEMENTS_MAX;
    let library = received(&snapshot(1, &[(1, 1), (2, 1)]));
    assert_eq!(libraries.replace(peer(7), 7, &library), positions(&[1]));
    assert_eq!(libraries.len_of(peer(7)), 1);
    assert_eq!(libraries.usable_by(position(2)), None);
    libraries.replace(peer(8), 8, &library);
    assert_eq!(libraries.usable_by(position(2)), Some((1, 1)));
}

#[test]
fn whoever_announces_what_nobody_else_does_leaves_room_for_others() {
    let mut libraries = Libraries::<u8>::default();
    for owner in 0..40 {
        while libraries.has_room(owner) {
            *libraries.accounts.entry(owner).or_default() += 1;
            libraries.announcements += 1;
        }
        assert!(libraries.accounts[&owner] > 0, "owner {owner} found no room");
        if owner == 4 {
            assert!(libraries.accounts[&owner] > OWNER_ANNOUNCEMENTS_MAX / 2);
        }
    }
    assert!(libraries.announcements <= ANNOUNCEMENTS_MAX);
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
        let mut libraries = known(&LibrarySnapshot::default());
        let steps = deltas(&snapshots).into_iter().zip(snapshots.windows(2));
        for ((delta, states), twice) in steps.zip(doubled) {
            let Some(DeltaOutcome::Applied { changed }) = libraries.apply(peer(0), delta.clone())
            else { panic!() };
            if twice {
                prop_assert_eq!(libraries.apply(peer(0), delta), Some(DeltaOutcome::Ignored));
            }
            prop_assert_eq!(kept(&libraries), received(&states[1]));
            let differences = known(&states[0]).replace(peer(0), 0, &received(&states[1]));
            // A game that changes from one useless version to another is named, and no difference.
            prop_assert!(differences.is_subset(&changed));
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
        let mut libraries = known(&LibrarySnapshot::default());
        for (at, delta) in deltas.iter().enumerate() {
            if at == missing {
                continue;
            }
            let outcome = libraries.apply(peer(0), delta.clone());
            prop_assert_eq!(outcome == Some(DeltaOutcome::Gap), at > missing);
        }
        prop_assert_eq!(kept(&libraries), received(&snapshots[missing]));
    }

    /// Whatever peers announce, everybody's library is what it told, and the counts are those of a plain table.
    #[test]
    fn what_is_kept_is_what_was_told(
        steps in prop::collection::vec(
            (0_u8..5, prop::collection::btree_map(0_u8..10, 0_u8..4, 0..6)), 1..60,
        ),
    ) {
        let mut libraries = Libraries::<u8>::default();
        let mut told: BTreeMap<PeerId, BTreeMap<u8, u8>> = BTreeMap::new();
        for (n, games) in steps {
            if games.is_empty() {
                libraries.remove(peer(n));
                told.remove(&peer(n));
            } else {
                let summaries = games.iter().map(|(id, content)| odd(*id, *content)).collect();
                let library = received(&LibrarySnapshot { rev: 1, games: summaries });
                let before = told.insert(peer(n), games.clone()).unwrap_or_default();
                let changed = (0..10).filter(|id| before.get(id) != games.get(id)).collect::<Vec<_>>();
                prop_assert_eq!(libraries.replace(peer(n), n, &library), positions(&changed));
            }
            let mut ways = BTreeSet::new();
            for id in 0..10 {
                let mut count = 0;
                for (peer_id, games) in &told {
                    let root = libraries.usable_at(*peer_id, position(id)).and_then(|it| it.content_root);
                    prop_assert_eq!(root, games.get(&id).map(|content| ContentHash::of(&[*content])));
                    ways.extend(games.get(&id).map(|content| (id, *content)));
                    count += usize::from(games.contains_key(&id));
                }
                prop_assert_eq!(libraries.usable_by(position(id)).map_or(0, |it| it.0), count);
            }
            prop_assert_eq!(libraries.announcements, ways.len());
            prop_assert_eq!(libraries.accounts.values().sum::<usize>(), ways.len());
            let games: BTreeSet<_> = ways.iter().map(|(id, _)| id).collect();
            prop_assert_eq!(libraries.usable_games(), games.len());
        }
    }
}
