//! Pages of layouts and attributes: golden bytes, one form only, and hostile input.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::collections::BTreeMap;

use bytes::Bytes;
use lanspread_proto::attributes::AttributesError;
use lanspread_proto::layout::{LayoutPage, LayoutPageError, encode_layout};
use lanspread_proto::limits::{
    DIRECTORIES_MAX, DIRECTORIES_MAX_BYTES, PAGE_MAX_BYTES, PATH_MAX_BYTES,
};
use lanspread_proto::{Attributes, FileBits, RelPath};
use proptest::prelude::*;

type Files = BTreeMap<RelPath, u64>;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn files(list: &[(&str, u64)]) -> Files {
    list.iter().map(|(text, size)| (path(text), *size)).collect()
}

fn encode(files: &Files) -> Vec<Bytes> {
    encode_layout(files.iter().map(|(path, size)| (path, *size)))
}

fn decode(page: &[u8]) -> Result<Vec<(RelPath, u64)>, LayoutPageError> {
    LayoutPage::new(page)?.collect()
}

#[test]
fn golden_bytes_of_a_layout() {
    let game = files(&[("bin/tool", 24), ("bin/tools.dat", 3_000_000), ("readme.txt", 5)]);
    let page = "03 0008 62696e2f746f6f6c 18 0805 732e646174 c08db701 000a 726561646d652e747874 05";
    assert_eq!(encode(&game), [hex::decode(page.replace(' ', "")).unwrap()]);
    assert_eq!(encode(&game)[0].len(), 36);
    assert_eq!(encode(&Files::new()), Vec::<Bytes>::new());
}

#[test]
fn a_path_of_the_greatest_length_and_a_character_that_is_not_cut() {
    let parts = [("x", 255), ("y", 255), ("z", 255), ("a", 200), ("b", 55)];
    let long = parts.map(|(letter, len)| letter.repeat(len)).join("/");
    assert_eq!(long.len(), PATH_MAX_BYTES);
    let game = files(&[(&long, u64::MAX), ("a\u{1F600}", 1), ("a\u{1F601}", 2)]);
    let [page] = &encode(&game)[..] else { panic!("more than one page") };
    // Of the second face only the `a` is shared, though three bytes more are the same.
    assert!(page.starts_with(b"\x03\x00\x05a\xf0\x9f\x98\x80\x01\x01\x04\xf0\x9f\x98\x81\x02"));
    assert!(page.ends_with(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_eq!(decode(page).unwrap(), game.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_page_is_filled_to_the_byte() {
    let mut game: Files =
        (0..1_000).map(|n| (path(&format!("{n:04}{}", "x".repeat(240))), 1)).collect();
    let mut at = 0;
    while encode(&game).len() == 1 {
        game.insert(path(&format!("z{at}{}", "y".repeat(200))), 1);
        at += 1;
    }
    game.pop_last();
    let left = PAGE_MAX_BYTES - encode(&game)[0].len();
    assert!((4..250).contains(&left), "{left}");
    // The name shares nothing with the others, and so costs all of its letters and three bytes.
    let fits = "~".repeat(left - 3 - usize::from(left > 130));
    let mut exact = game.clone();
    exact.insert(path(&fits), 1);
    let pages = encode(&exact);
    assert_eq!((pages.len(), pages[0].len()), (1, PAGE_MAX_BYTES));
    let mut over = game.clone();
    over.insert(path(&(fits + "~")), 1);
    let pages = encode(&over);
    assert_eq!(pages.len(), 2);
    assert_eq!(decode(&pages[1]).unwrap().len(), 1);
    assert_eq!(decode(&[pages[0].as_ref(), &[0]].concat()), Err(LayoutPageError::End));
    let long = vec![1; PAGE_MAX_BYTES + 1];
    assert_eq!(decode(&long), Err(LayoutPageError::TooLong(PAGE_MAX_BYTES + 1)));
}

#[test]
fn every_other_form_of_a_page_is_refused() {
    let refused: [(&[u8], &str); 12] = [
        (b"", "no page"),
        (b"\x00", "no record"),
        (b"\x81\x00\x00\x01a\x00", "a number of records that is longer than it must be"),
        (b"\x01\x00\x81\x00a\x00", "a length that is longer than it must be"),
        (b"\x01\x00\x01a\x80\x00", "a size that is longer than it must be"),
        (b"\x01\x01\x01a\x00", "something shared with nothing"),
        (b"\x02\x00\x02ab\x00\x00\x02ac\x00", "less shared than could be"),
        (b"\x02\x00\x02ab\x00\x03\x01c\x00", "more shared than there is"),
        (b"\x02\x00\x01b\x00\x00\x01a\x00", "another order"),
        (b"\x02\x00\x01b\x00\x01\x00\x00", "a path twice"),
        (b"\x01\x00\x02..\x00", "a path out of the root"),
        (b"\x01\x00\x01\xff\x00", "what is no text"),
    ];
    for (page, what) in refused {
        assert!(decode(page).is_err(), "{what}");
    }
}

#[test]
fn golden_bytes_of_attributes() {
    let mut executable = FileBits::new(3);
    executable.set(0);
    executable.set(3);
    let attributes = Attributes {
        executable: Some(executable),
        directories: vec![path("saves/slot1"), path("saves/slot2")],
        version_ini: Some(Bytes::from_static(b"20240131\r\n")),
    };
    let page = "010101 02 000b 73617665732f736c6f7431 0a01 32 010a 32303234303133310d0a";
    let page = hex::decode(page.replace(' ', "")).unwrap();
    assert_eq!(attributes.encode().unwrap(), page);
    assert_eq!(page.len(), 32);
    assert!(Attributes::identity(&page).to_string().starts_with("351a"));
    assert_eq!(Attributes::decode(&page, 3).unwrap(), attributes);
    assert_eq!(Attributes::default().encode().unwrap(), [0, 0, 0][..]);
    for files in [0, 8, 9] {
        let mut bits = FileBits::new(files);
        bits.set(files.saturating_sub(1));
        let attributes = Attributes { executable: Some(bits), ..Attributes::default() };
        let page = attributes.encode().unwrap();
        let golden: &[u8] = match files {
            0 => &[1, 0, 0, 0],
            8 => &[1, 1, 0x80, 0, 0],
            _ => &[1, 2, 0, 1, 0, 0],
        };
        assert_eq!(page, golden);
        assert_eq!(Attributes::decode(&page, files).unwrap(), attributes);
        assert_eq!(Attributes::decode(&page, files + 8), Err(AttributesError::Bits));
    }
    assert_eq!(Attributes::decode(&[1, 1, 8, 0, 0], 3), Err(AttributesError::Bits));
}

#[test]
fn attributes_keep_to_their_limits() {
    let with = |directories: Vec<RelPath>| Attributes { directories, ..Attributes::default() };
    let many = |count: usize| with((0..count).map(|n| path(&format!("{n:08}"))).collect());
    assert!(many(DIRECTORIES_MAX).encode().is_ok());
    assert_eq!(many(DIRECTORIES_MAX + 1).encode(), Err(AttributesError::TooManyDirectories));
    // About 246 bytes each, beside what is shared with the one before.
    let long = |count: usize| {
        let name = |n: usize| format!("{n:03}/d{}", "e".repeat(240));
        with((0..count).map(|n| path(&name(n))).collect())
    };
    let fits = (500..600).take_while(|count| long(*count).encode().is_ok()).last().unwrap();
    assert!(fits * 250 > DIRECTORIES_MAX_BYTES - 500 && fits < DIRECTORIES_MAX, "{fits}");
    for bad in [vec!["b", "a"], vec!["a", "a"], vec!["a", "a-b", "a/b"]] {
        let error = with(bad.into_iter().map(path).collect()).encode().unwrap_err();
        assert!(matches!(error, AttributesError::Order(_)), "{error}");
    }
    for (len, is_ok) in [(0, false), (1, true), (4096, true), (4097, false)] {
        let version_ini = Some(Bytes::from(vec![b'1'; len]));
        let attributes = Attributes { version_ini, ..Attributes::default() };
        assert_eq!(attributes.encode().is_ok(), is_ok, "{len}");
    }
    let refused: [&[u8]; 6] =
        [b"", b"\x00\x00", b"\x00\x00\x00\x00", b"\x02\x00\x00", b"\x00\x81\x00", b"\x00\x01\x01"];
    for page in refused {
        assert!(Attributes::decode(page, 0).is_err(), "{page:?}");
    }
}

fn any_files() -> impl Strategy<Value = Files> {
    let name = "[a-c\u{1F600}\u{1F601}é]{1,3}(/[a-c\u{1F600}\u{1F601}]{1,2}){0,3}";
    let file = (name, prop_oneof![0..300_u64, any::<u64>()]);
    prop::collection::vec(file, 1..40)
        .prop_map(|list| list.into_iter().map(|(text, size)| (path(&text), size)).collect())
}

proptest! {
    #[test]
    fn layouts_round_trip_and_have_one_form(game in any_files()) {
        let pages = encode(&game);
        let read: Vec<_> = pages.iter().flat_map(|page| decode(page).unwrap()).collect();
        prop_assert_eq!(&read, &game.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(encode_layout(read.iter().map(|(path, size)| (path, *size))), pages);
    }

    #[test]
    fn a_cut_or_flipped_page_is_an_error_or_another_layout(
        game in any_files(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>(),
    ) {
        let page = encode(&game).remove(0).to_vec();
        let at = at.index(page.len());
        let mut other = page.clone();
        if cut {
            other.truncate(at);
        } else {
            other[at] ^= 1 << bit;
        }
        if let Ok(read) = decode(&other) {
            // What is read at all is another layout, and this is how everybody writes it.
            prop_assert_ne!(&read, &game.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(encode_layout(read.iter().map(|(path, size)| (path, *size))), [other]);
        }
    }

    #[test]
    fn made_up_pages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(encode_layout(read.iter().map(|(path, size)| (path, *size))), [bytes.clone()]);
        }
        if let Ok(attributes) = Attributes::decode(&bytes, 9) {
            prop_assert_eq!(attributes.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn damaged_attributes_are_an_error_or_others(
        names in prop::collection::btree_set("[a-c]{1,3}\u{1F600}?", 0..6),
        bits in prop::collection::vec(any::<bool>(), 9),
        ini in prop::option::of(prop::collection::vec(any::<u8>(), 1..20)),
        at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut executable = FileBits::new(9);
        (0..9).filter(|file| bits[*file]).for_each(|file| executable.set(file));
        let attributes = Attributes {
            executable: Some(executable),
            directories: names.iter().map(|name| path(name)).collect(),
            version_ini: ini.map(Bytes::from),
        };
        let page = attributes.encode().unwrap();
        prop_assert_eq!(&Attributes::decode(&page, 9).unwrap(), &attributes);
        let mut other = page.to_vec();
        let at = at.index(page.len());
        other[at] ^= 1 << bit;
        if let Ok(read) = Attributes::decode(&other, 9) {
            prop_assert_ne!(read, attributes);
        }
        prop_assert!(Attributes::decode(&page[..at], 9).is_err());
    }
}
