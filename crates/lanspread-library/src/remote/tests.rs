use std::mem::size_of;
use std::sync::LazyLock;

use super::*;
use lanspread_catalog::CatalogGame;
use lanspread_proto::library::{LibrarySnapshot, encode_delta, encode_library};

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

#[test]
fn an_announcement_takes_80_bytes() {
    assert_eq!(size_of::<Announcement>(), 80);
}

#[test]
fn only_games_of_the_catalog_are_kept_and_only_those_at_its_version_are_of_use() {
    let library = received(&snapshot(3, &[(0, 1), (1, 2), (50, 1), (60, 1)]));
    let [zero, one] = [0, 1].map(|id| CATALOG.position(&game(id, 1).id).unwrap());
    let GameSummary { size, manifest_hash, content_root, .. } = game(0, 1);
    let usable = Announcement::Usable(KnownGame { size, manifest_hash, content_root });
    assert_eq!(library.rev, 3);
    assert_eq!(library.games, [(zero, usable), (one, Announcement::OtherVersion)]);
    assert!(received(&snapshot(3, &[])).games.is_empty());
}

#[test]
fn a_delta_that_names_a_game_twice_is_refused() {
    let twice = encode_delta(&[game(1, 2)], &[game(1, 1).id]).unwrap();
    let error = RemoteDelta::read(1, 2, &twice, &CATALOG).unwrap_err();
    assert_eq!(error, LibraryError::Twice(game(1, 1).id));
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
