//! RAR archives that need something, that have something in front, or that are old.

mod support;

use std::fs;

use lanspread_archive::{
    AutoUnpacker, Damage, MaxDictionary, RarUnpacker, UnpackError, UnpackSummary,
};
use support::{RawEntry, Target, data, rar3, rar5, raw_file, raw_link, units};

/// A stored entry whose header asks for a dictionary of 128 KiB, doubled so many times, and 32nds more.
fn with_dictionary(version: usize, doubled: usize, more: usize) -> Vec<u8> {
    let compression = version | doubled << 10 | more << 15;
    rar5(&[RawEntry { compression, ..raw_file("file", b"hello") }])
}

#[test]
fn a_dictionary_above_the_limit_is_refused_with_both_numbers() {
    let limit = |gib: u64| MaxDictionary::new(gib << 30).unwrap();
    for (archive, needed, refusing, taking) in [
        (with_dictionary(0, 14, 0), "2 GiB", limit(1), limit(2)),
        (with_dictionary(0, 15, 0), "4 GiB", limit(2), limit(4)),
        (with_dictionary(1, 15, 1), "4224 MiB", limit(4), limit(8)),
        (with_dictionary(1, 19, 0), "64 GiB", limit(32), limit(64)),
    ] {
        let target = Target::new();
        match target.unpack_bytes(&RarUnpacker::new(refusing), &archive) {
            Err(UnpackError::Unsupported { reason, .. }) => {
                let expected = "needs a dictionary of";
                assert_eq!(
                    reason,
                    format!("{expected} {needed}, more than {refusing} (--max-dictionary)")
                );
            }
            other => panic!("{needed}: {other:?}"),
        }
        assert!(target.names().is_empty());
        let summary = target.unpack_bytes(&RarUnpacker::new(taking), &archive).unwrap();
        assert_eq!(summary, UnpackSummary { files: 1, bytes: 5 }, "{needed}");
    }
    let target = Target::new();
    target.unpack_bytes(&RarUnpacker::default(), &with_dictionary(0, 13, 0)).unwrap();
}

#[test]
fn what_is_newer_than_the_library_is_not_called_damaged() {
    let mut format = rar5(&[raw_file("file", b"hello")]);
    format[6] = 2;
    let compression = rar5(&[RawEntry { compression: 2 | 3 << 7, ..raw_file("file", b"hello") }]);
    for archive in [format, compression] {
        let result = Target::new().unpack_bytes(&AutoUnpacker::default(), &archive);
        assert!(
            matches!(&result, Err(UnpackError::Unsupported { reason, .. }) if reason.contains("newer")),
            "{result:?}"
        );
    }
}

/// The first bytes of a program for Windows, and for Unix.
const PROGRAMS: [&[u8]; 2] = [b"MZ\x90\0", b"\x7fELF\x02\x01"];

fn self_extracting(program: &[u8], program_bytes: usize, archive: &[u8]) -> Vec<u8> {
    let mut bytes = program.to_vec();
    // What looks like a signature and is none is passed over.
    bytes.extend(b"Rar!\x1a\x07\xff, RE~^");
    bytes.resize(program_bytes, 0xcc);
    bytes.extend(archive);
    bytes
}

#[test]
fn self_extracting_archives_are_read() {
    /// As far as a signature is searched for.
    const FAR: usize = 2 * 1024 * 1024 - 9 - 7;
    for (name, bytes) in [("rar3-subdirs.rar", 0), ("rar5-crc.rar", 4096)] {
        let archive = fs::read(data(name)).unwrap();
        let expected = Target::new();
        expected.unpack(&RarUnpacker::default(), &data(name)).unwrap();
        for (program, length) in [(PROGRAMS[0], 64), (PROGRAMS[1], 200_000), (PROGRAMS[0], FAR)] {
            let target = Target::new();
            let made = self_extracting(program, length, &archive);
            let summary = target.unpack_bytes(&AutoUnpacker::default(), &made).unwrap();
            assert!(summary.bytes >= bytes, "{name}");
            assert_eq!(target.tree(), expected.tree(), "{name} behind {length} bytes");
        }
        let target = Target::new();
        let too_far = self_extracting(PROGRAMS[0], FAR + 1, &archive);
        let result = target.unpack_bytes(&AutoUnpacker::default(), &too_far);
        assert!(matches!(result, Err(UnpackError::UnknownFormat { .. })), "{result:?}");
        let no_program = self_extracting(b"PK\x03\x04", 64, &archive);
        let result = target.unpack_bytes(&AutoUnpacker::default(), &no_program);
        assert!(matches!(result, Err(UnpackError::UnknownFormat { .. })), "{result:?}");
    }
}

#[test]
fn self_extracting_archives_are_checked_like_others() {
    let archive = fs::read(data("rar5-subdirs.rar")).unwrap();
    let made = self_extracting(PROGRAMS[1], 1000, &archive);
    for length in (1000..made.len()).step_by(7) {
        let result = Target::new().unpack_bytes(&AutoUnpacker::default(), &made[..length]);
        assert!(result.is_err(), "{length} bytes: {result:?}");
    }
    // The first signature counts, whatever stands behind it.
    let false_start = self_extracting(b"MZ Rar!\x1a\x07\x01\0", 1000, &archive);
    let result = Target::new().unpack_bytes(&AutoUnpacker::default(), &false_start);
    assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");

    let target = Target::new();
    for part in 1..=3 {
        let volume = fs::read(data(&format!("rar5-vols.part{part}.rar"))).unwrap();
        let program = if part == 1 { [PROGRAMS[0], &[0xcc; 500]].concat() } else { Vec::new() };
        let bytes = [program, volume].concat();
        fs::write(target.beside(&format!("game.part{part}.eti")), bytes).unwrap();
    }
    let first = target.beside("game.part1.eti");
    let summary = target.unpack(&AutoUnpacker::default(), &first).unwrap();
    assert_eq!(summary, UnpackSummary { files: 2, bytes: 207_050 });
}

/// Such headers are sound, and the library complains of them nevertheless.
#[test]
fn archives_with_comments_of_the_old_kind_are_read() {
    for (name, contents) in [
        ("rar15-comment.rar", [0xe27f_07a9, 0x3c43_06f7]),
        ("rar15-comment-lock.rar", [0xe27f_07a9, 0x3c43_06f7]),
        ("rar202-comment-nopsw.rar", [0x7a19_7dba, 0x785f_c3e3]),
    ] {
        let target = Target::new();
        let summary = target.unpack(&RarUnpacker::default(), &data(name)).unwrap();
        assert_eq!(summary.files, 2, "{name}");
        let tree = target.tree();
        let found = ["FILE1.TXT", "FILE2.TXT"].map(|file| crc32fast::hash(&tree[file]));
        assert_eq!(found, contents, "{name}");
    }
    let encrypted = data("rar202-comment-psw.rar");
    let result = Target::new().unpack(&RarUnpacker::default(), &encrypted);
    assert!(matches!(result, Err(UnpackError::PasswordProtected { .. })), "{result:?}");
    let target = Target::new();
    target.unpack(&RarUnpacker::default(), &data("rar3-comment-plain.rar")).unwrap();
}

#[test]
fn a_broken_header_beside_a_comment_is_damage() {
    let sound = fs::read(data("rar15-comment.rar")).unwrap();
    let headers: Vec<usize> =
        (7..sound.len()).filter(|at| sound[*at..].starts_with(&[0x74, 0x08, 0x80])).collect();
    assert_eq!(headers.len(), 2);
    // The time of the file in each of them.
    for header in headers {
        let mut bytes = sound.clone();
        bytes[header + 18] ^= 1;
        let result = Target::new().unpack_bytes(&RarUnpacker::default(), &bytes);
        assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
    }
    for cut in [1, 3, 20, 60] {
        let bytes = &sound[..sound.len() - cut];
        let result = Target::new().unpack_bytes(&RarUnpacker::default(), bytes);
        assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{cut}: {result:?}");
    }
}

#[test]
fn an_archive_of_rar3_that_is_cut_between_two_entries_is_damage() {
    let (a, b) = (units("a"), units("b"));
    let whole = rar3(&[(&a, b"1"), (&b, b"2")]);
    let first = rar3(&[(&a, b"1")]);
    let target = Target::new();
    // Without the end block, behind the first entry and behind the second one.
    for length in [first.len() - 7, whole.len() - 7] {
        match target.unpack_bytes(&RarUnpacker::default(), &whole[..length]) {
            Err(UnpackError::Damaged { damage, .. }) => assert_eq!(damage, Damage::Truncated),
            other => panic!("{other:?}"),
        }
    }
    target.unpack_bytes(&RarUnpacker::default(), &whole).unwrap();
}

#[test]
fn the_executable_bit_is_kept_and_nothing_else_of_a_mode() {
    let with = |mode, entry| RawEntry { mode, ..entry };
    let rows = [
        ("none", Some(0o100_644), false),
        ("all", Some(0o100_755), true),
        ("owner", Some(0o100_744), true),
        ("others", Some(0o100_001), true),
        ("without type", Some(0o755), true),
        ("setuid", Some(0o106_755), true),
        ("setuid alone", Some(0o107_644), false),
        ("windows", None, false),
    ];
    let mut entries: Vec<_> =
        rows.iter().map(|(name, mode, _)| with(*mode, raw_file(name, b"#!"))).collect();
    entries.push(with(Some(0o100_755), raw_link(5, "copy of none", "none", 2)));
    entries.push(with(Some(0o100_644), raw_link(4, "copy of all", "all", 2)));
    let target = Target::new();
    target.unpack_bytes(&RarUnpacker::default(), &rar5(&entries)).unwrap();
    for (name, _, executable) in rows {
        assert_eq!(target.is_executable(name), executable, "{name}");
    }
    assert!(target.is_executable("copy of none") && !target.is_executable("copy of all"));
}
