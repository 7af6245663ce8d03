//! Damaged and invented archives: never a panic or a crash, never a file outside the target.

mod support;

use std::fs;

use lanspread_archive::{AutoUnpacker, FixtureUnpacker, RarUnpacker, Unpacker};
use proptest::prelude::*;
use support::{Target, data, fixture, raw_directory, raw_file};

/// Unpacks, and looks at what is there afterwards whatever came of it.
fn unpack_and_look(unpacker: &dyn Unpacker, bytes: &[u8]) -> bool {
    let target = Target::new();
    let is_unpacked = target.unpack_bytes(unpacker, bytes).is_ok();
    target.tree();
    assert_eq!(target.names_beside(), ["archive.eti"]);
    is_unpacked
}

fn sound_fixture() -> Vec<u8> {
    fixture(&[
        raw_directory("d"),
        raw_file("d/a.txt", b"some content"),
        raw_file("b", b""),
        raw_file("c/c/c", &[9; 300]),
    ])
}

/// What damage does: it changes some bytes, and may cut the end off.
fn damaged(sound: &[u8], changes: &[(prop::sample::Index, u8)], cut: Option<usize>) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for (index, byte) in changes {
        let place = index.index(bytes.len());
        bytes.splice(place..=place, [*byte]);
    }
    if let Some(length) = cut {
        bytes.truncate(length % sound.len());
    }
    bytes
}

const REAL_ARCHIVES: [&str; 11] = [
    "rar15-comment.rar",
    "rar2-unix-owner.rar",
    "rar3-solid.rar",
    "rar3-subdirs.rar",
    "rar3-comment-psw.rar",
    "rar5-dups.rar",
    "rar5-hlink.rar",
    "rar5-solid.rar",
    "rar5-subdirs.rar",
    "rar5-times.rar",
    "unicode.rar",
];

fn changes(most: usize) -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_fixture_never_passes(changes in changes(6), cut: Option<usize>) {
        let sound = sound_fixture();
        let bytes = damaged(&sound, &changes, cut);
        let is_unpacked = unpack_and_look(&FixtureUnpacker, &bytes);
        // A changed name is a name as well: only names carry no checksum.
        prop_assert!(!is_unpacked || bytes.len() == sound.len());
    }

    #[test]
    fn invented_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(!unpack_and_look(&AutoUnpacker::default(), &bytes));
        let magic: [&[u8]; 3] = [b"LSPFIX1\n", b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"];
        for start in magic {
            let bytes = [start, bytes.as_slice()].concat();
            unpack_and_look(&AutoUnpacker::default(), &bytes);
        }
    }

    #[test]
    fn damaged_rar_archives_do_no_harm(
        name in prop::sample::select(&REAL_ARCHIVES[..]),
        changes in changes(6),
        cut: Option<usize>,
    ) {
        let sound = fs::read(data(name)).unwrap();
        unpack_and_look(&RarUnpacker::default(), &damaged(&sound, &changes, cut));
    }
}
