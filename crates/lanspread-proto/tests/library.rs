//! The pages of libraries and of their changes: golden bytes, round trips and hostile input.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use bytes::Bytes;
use lanspread_proto::library::{
    DeltaPage, GameSummary, LibraryChange, LibraryPage, LibraryPageError, encode_delta,
    encode_library,
};
use lanspread_proto::limits::{LIBRARY_MAX_GAMES, LIBRARY_PAGES_MAX, PAGE_MAX_BYTES};
use lanspread_proto::{ContentHash, GameId};
use proptest::prelude::*;

fn hash(n: u8) -> ContentHash {
    ContentHash::from([n; 32])
}

fn game(id: &str, version: &str) -> GameSummary {
    GameSummary {
        id: id.parse().unwrap(),
        version: version.parse().unwrap(),
        size: 734_003_200,
        manifest_hash: hash(1),
        content_root: Some(hash(2)),
    }
}

fn read(page: &[u8]) -> Result<Vec<GameSummary>, LibraryPageError> {
    LibraryPage::new(page)?.collect()
}

fn read_delta(page: &[u8]) -> Result<Vec<LibraryChange>, LibraryPageError> {
    DeltaPage::new(page)?.collect()
}

/// The record of `doom` in the design, as hexadecimal digits.
fn doom() -> String {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    format!("0004646f6f6d 01083230323331323234 808080de02 {one} 01{two}").replace(' ', "")
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

#[test]
fn golden_bytes_of_a_page() {
    let one = encode_library(&[game("doom", "20231224")]);
    assert_eq!(one, [Bytes::from(hex(&format!("01{}", doom())))]);

    // One of the same version, which is not hashed, and one of another version.
    let unhashed = GameSummary { content_root: None, size: 5, ..game("doom 2", "20231224") };
    let games = [game("doom", "20231224"), unhashed, game("quake", "1")];
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    let rest =
        format!("04 02 2032 00 05 {one} 00  00 05 7175616b65 01 01 31 808080de02 {one} 01{two}");
    let page = hex(&format!("03{}{rest}", doom()));
    assert_eq!(encode_library(&games), [Bytes::from(page.clone())]);
    assert_eq!(read(&page).unwrap(), games);
    assert_eq!(encode_library(&[]), [Bytes::from_static(&[0])]);
    assert!(read(&[0]).unwrap().is_empty());
}

#[test]
fn golden_bytes_of_a_delta() {
    let removed = ["hexen", "hexen 2", "quake"].map(|id| id.parse::<GameId>().unwrap());
    let page = encode_delta(&[game("doom", "20231224")], &removed).unwrap();
    let gone = "03  00 05 686578656e  05 02 2032  00 05 7175616b65";
    assert_eq!(page, hex(&format!("01{}{gone}", doom())));
    let mut changes = vec![LibraryChange::Changed(game("doom", "20231224"))];
    changes.extend(removed.map(LibraryChange::Removed));
    assert_eq!(read_delta(&page).unwrap(), changes);
    assert_eq!(encode_delta(&[], &[]).unwrap().as_ref(), [0, 0]);
    assert!(read_delta(&[0, 0]).unwrap().is_empty());
}

#[test]
fn a_library_of_100_000_games_has_as_many_pages_as_it_needs() {
    let usual = |n: u32| game(&format!("game number {n:06}"), "20240131");
    let long = |n: u32| GameSummary {
        size: u64::MAX,
        ..game(&format!("{n:06}{}", "x".repeat(94)), &format!("{}{n:06}", "1".repeat(58)))
    };
    let count = |games: Vec<GameSummary>| {
        let pages = encode_library(&games);
        assert!(pages.iter().all(|page| page.len() <= PAGE_MAX_BYTES));
        let read: Vec<_> = pages.iter().flat_map(|page| read(page).unwrap()).collect();
        assert_eq!(read, games);
        u32::try_from(pages.len()).unwrap()
    };
    assert_eq!(count((0..LIBRARY_MAX_GAMES).map(usual).collect()), 29);
    let longest = count((0..LIBRARY_MAX_GAMES).map(long).collect());
    assert!((80..=LIBRARY_PAGES_MAX).contains(&longest), "{longest}");
}

#[test]
fn a_page_is_filled_to_the_byte() {
    let named = |id: &str| GameSummary { size: 1, ..game(id, "1") };
    let many: Vec<_> = (0..5_000).map(|n| named(&format!("a{n:04}"))).collect();
    // One game gives its place to one whose name fills the rest.
    let whole = read(&encode_library(&many)[0]).unwrap().len() - 1;
    let filled = |last: usize| {
        let mut games = many[..whole].to_vec();
        games.push(named(&"b".repeat(last)));
        games
    };
    let lens = |last| encode_library(&filled(last)).iter().map(Bytes::len).collect::<Vec<_>>();
    let room = (1..100).take_while(|last| lens(*last).len() == 1).last().unwrap();
    assert_eq!(lens(room), [PAGE_MAX_BYTES]);
    assert_eq!(lens(room + 1).len(), 2);
}

#[test]
fn pages_that_nobody_writes_are_refused() {
    let page = hex(&format!("01{}", doom()));
    let errors = |bytes: &[u8]| read(bytes).unwrap_err();
    assert_eq!(errors(&[]), LibraryPageError::Unreadable(0));
    assert_eq!(errors(&[page.as_slice(), &[0]].concat()), LibraryPageError::End);
    assert_eq!(errors(&vec![0; PAGE_MAX_BYTES + 1]), LibraryPageError::TooLong(PAGE_MAX_BYTES + 1));
    let twice = hex(&format!("02{}{}", doom(), doom()));
    assert_eq!(errors(&twice), LibraryPageError::NotCanonical(1));
    let (a, b) = (game("b", "1"), game("a", "2"));
    let second = encode_library(&[b])[0].slice(1..);
    let unordered = [&[2], &encode_library(&[a])[0][1..], &second].concat();
    assert_eq!(errors(&unordered), LibraryPageError::Order(1));
    let no_id = hex(&format!("01{}", doom().replacen("0004646f6f6d", "00042e2e2f61", 1)));
    assert!(matches!(errors(&no_id), LibraryPageError::Name { record: 0, .. }));
    let no_version = hex(&format!("01{}", doom().replacen("01083230323331323234", "00", 1)));
    assert_eq!(errors(&no_version), LibraryPageError::NotCanonical(0));
    let long_number = hex(&format!("01{}", doom().replacen("808080de02", "808080de8200", 1)));
    assert_eq!(errors(&long_number), LibraryPageError::NotCanonical(0));
    let long_count = hex(&format!("8100{}", doom()));
    assert_eq!(errors(&long_count), LibraryPageError::NotCanonical(0));
    assert_eq!(read_delta(&page).unwrap_err(), LibraryPageError::Unreadable(1));
}

fn any_games() -> impl Strategy<Value = Vec<GameSummary>> {
    let told = (0_u8..3, any::<u64>(), any::<bool>());
    let games = prop::collection::btree_map("[a-c\u{1F600}\u{1F601}é]{1,6}", told, 0..40);
    games.prop_map(|games| {
        let game = |(id, (version, size, is_hashed)): (String, (u8, u64, bool))| GameSummary {
            size,
            content_root: is_hashed.then(|| hash(version)),
            ..game(&id, &version.to_string())
        };
        games.into_iter().map(game).collect()
    })
}

proptest! {
    #[test]
    fn pages_round_trip_and_have_one_form(games in any_games()) {
        let pages = encode_library(&games);
        prop_assert_eq!(pages.len(), 1);
        prop_assert_eq!(read(&pages[0]).unwrap(), games);
    }

    #[test]
    fn deltas_round_trip(games in any_games(), gone in any_games()) {
        let removed: Vec<_> = gone.into_iter().map(|game| game.id).collect();
        let page = encode_delta(&games, &removed).unwrap();
        let changed = games.into_iter().map(LibraryChange::Changed);
        let expected: Vec<_> = changed.chain(removed.into_iter().map(LibraryChange::Removed)).collect();
        prop_assert_eq!(read_delta(&page).unwrap(), expected);
    }

    #[test]
    fn a_page_that_is_read_is_the_one_that_its_games_have(
        games in any_games(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let page = encode_library(&games)[0].to_vec();
        let mut flipped = page.clone();
        let at = at.index(flipped.len());
        flipped[at] = byte;
        let cut = &page[..cut.index(page.len())];
        for bytes in [flipped.as_slice(), cut] {
            if let Ok(games) = read(bytes) {
                prop_assert_eq!(&encode_library(&games)[0], bytes);
            }
            let _ = read_delta(bytes);
        }
    }

    #[test]
    fn made_up_pages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = read_delta(&bytes);
    }
}
