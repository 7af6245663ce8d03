//! Archives that `lanspread-fixture` writes, and archives that break its rules, in both formats.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lanspread_archive::{
    AutoUnpacker, BLOCK_BYTES, Damage, FixtureUnpacker, MaxDictionary, RarUnpacker, UnpackError,
    UnpackSummary, Unpacker, UnsafeReason,
};
use lanspread_fixture::{FixtureWriter, RarWriter};
use lanspread_proto::RelPath;
use support::{RawEntry, Target, Watch, fixture, rar5, raw_directory, raw_file};

type Build = fn(&[RawEntry<'_>]) -> Vec<u8>;

static RAR: RarUnpacker = RarUnpacker::new(MaxDictionary::DEFAULT);

fn formats() -> [(&'static str, &'static dyn Unpacker, Build); 2] {
    [("rar", &RAR, rar5), ("fixture", &FixtureUnpacker, fixture)]
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn rar_with(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = RarWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.add_file(&path(name), content.len() as u64, None, false, content).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_written_rar_unpacks_to_the_same_tree() {
    let big: Vec<u8> = (0..3 * BLOCK_BYTES + 17).map(|index| (index * 7 % 251) as u8).collect();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writer = RarWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.add_directory(&path("empty")).unwrap();
    writer.add_file(&path("data/big.bin"), big.len() as u64, Some(modified), false, &*big).unwrap();
    writer.add_file(&path("data/日本 ü.txt"), 5, None, false, &b"hello"[..]).unwrap();
    writer.add_file(&path("nothing"), 0, None, false, io::empty()).unwrap();
    let bytes = writer.finish().unwrap().into_inner();

    let target = Target::new();
    let summary = target.unpack_bytes(&AutoUnpacker::new(None), &bytes).unwrap();
    assert_eq!(summary, UnpackSummary { files: 3, bytes: big.len() as u64 + 5 });
    let tree = target.tree();
    let names: Vec<_> = tree.keys().map(String::as_str).collect();
    assert_eq!(names, ["data/", "data/big.bin", "data/日本 ü.txt", "empty/", "nothing"]);
    assert!(tree["data/big.bin"] == big);
    assert_eq!(tree["data/日本 ü.txt"], b"hello");
    let kept = fs::metadata(target.path().join("data/big.bin")).unwrap().modified().unwrap();
    assert_eq!(kept, modified);
}

#[test]
fn a_written_fixture_unpacks_to_the_same_tree() {
    let mut writer = FixtureWriter::new(Vec::new()).unwrap();
    writer.add_directory(&path("empty/below")).unwrap();
    writer.add_file(&path("a/b.txt"), 5, false, &b"hello"[..]).unwrap();
    writer.add_file(&path("nothing"), 0, false, io::empty()).unwrap();
    let bytes = writer.finish().unwrap();

    let target = Target::new();
    let summary = target.unpack_bytes(&AutoUnpacker::new(None), &bytes).unwrap();
    assert_eq!(summary, UnpackSummary { files: 2, bytes: 5 });
    assert_eq!(target.names(), ["a/", "a/b.txt", "empty/", "empty/below/", "nothing"]);
}

#[test]
fn an_executable_file_is_written_and_comes_out_as_one() {
    let mut rar = RarWriter::new(Cursor::new(Vec::new())).unwrap();
    let mut fixture = FixtureWriter::new(Vec::new()).unwrap();
    for (name, executable) in [("bin/tool", true), ("readme", false)] {
        rar.add_file(&path(name), 2, None, executable, &b"#!"[..]).unwrap();
        fixture.add_file(&path(name), 2, executable, &b"#!"[..]).unwrap();
    }
    for archive in [rar.finish().unwrap().into_inner(), fixture.finish().unwrap()] {
        let target = Target::new();
        target.unpack_bytes(&AutoUnpacker::default(), &archive).unwrap();
        assert!(target.is_executable("bin/tool") && !target.is_executable("readme"));
    }
}

#[test]
fn entries_that_would_leave_the_target_are_refused() {
    for (format, unpacker, build) in formats() {
        for name in [
            "../evil",
            "a/../../evil",
            "/tmp/evil",
            "\\evil",
            "..\\evil",
            "C:\\evil",
            "C:evil",
            "nul.txt",
            "a//evil",
            "dots.",
        ] {
            let target = Target::new();
            let bytes = build(&[raw_file("first", b"1"), raw_file(name, b"evil")]);
            match target.unpack_bytes(unpacker, &bytes) {
                Err(UnpackError::UnsafeEntry { entry, reason: UnsafeReason::Path(_) }) => {
                    assert_eq!(entry, name, "{format}");
                }
                other => panic!("{format} {name}: {other:?}"),
            }
            assert_eq!(target.names(), ["first"], "{format} {name}");
            assert_eq!(target.names_beside(), ["archive.eti"], "{format} {name}");
        }
    }
}

#[test]
fn backslashes_separate_folders() {
    for (format, unpacker, build) in formats() {
        let target = Target::new();
        target.unpack_bytes(unpacker, &build(&[raw_file("a\\b.txt", b"1")])).unwrap();
        assert_eq!(target.names(), ["a/", "a/b.txt"], "{format}");
    }
}

#[test]
fn names_that_collide_are_refused() {
    for (format, unpacker, build) in formats() {
        for (entries, expected) in [
            ([raw_file("a", b"1"), raw_file("a", b"2")], UnsafeReason::Duplicate),
            ([raw_file("a", b"1"), raw_directory("a")], UnsafeReason::Duplicate),
            ([raw_directory("a"), raw_file("a", b"1")], UnsafeReason::Duplicate),
            ([raw_file("a", b"1"), raw_file("a/b", b"2")], UnsafeReason::BelowFile),
        ] {
            let target = Target::new();
            match target.unpack_bytes(unpacker, &build(&entries)) {
                Err(UnpackError::UnsafeEntry { reason, .. }) => assert_eq!(reason, expected),
                other => panic!("{format}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_name_longer_than_the_readers_buffer_is_refused() {
    let name = vec!["x"; 2_100].join("/");
    let target = Target::new();
    let result = target.unpack_bytes(&RarUnpacker::default(), &rar5(&[raw_file(&name, b"1")]));
    assert!(
        matches!(result, Err(UnpackError::UnsafeEntry { reason: UnsafeReason::NameTooLong, .. })),
        "{result:?}"
    );
}

#[cfg(unix)]
#[test]
fn links_in_the_target_are_not_followed() {
    use std::os::unix::fs::symlink;
    for (format, unpacker, build) in formats() {
        let target = Target::new();
        let outside = target.beside("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, target.path().join("linked")).unwrap();
        symlink(outside.join("file"), target.path().join("file")).unwrap();
        for name in ["linked/evil", "file"] {
            let result = target.unpack_bytes(unpacker, &build(&[raw_file(name, b"evil")]));
            assert!(matches!(result, Err(UnpackError::Io { .. })), "{format} {name}: {result:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{format}");
    }
}

#[test]
fn an_existing_file_is_not_touched() {
    for (format, unpacker, build) in formats() {
        let target = Target::new();
        fs::write(target.path().join("kept"), "mine").unwrap();
        let error = target.unpack_bytes(unpacker, &build(&[raw_file("kept", b"x")])).unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists), "{format}: {error}");
        assert_eq!(target.tree()["kept"], b"mine", "{format}");
    }
}

/// Puts a link to `outside` in the place of a directory as soon as something is unpacked.
struct Swap {
    directory: PathBuf,
    outside: PathBuf,
}

impl lanspread_archive::UnpackControl for Swap {
    fn is_cancelled(&mut self) -> bool {
        false
    }

    fn on_progress(&mut self, _: u64) {
        let _ = fs::rename(&self.directory, self.directory.with_extension("moved"));
        let _ = std::os::unix::fs::symlink(&self.outside, &self.directory);
    }
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_meanwhile_is_not_followed() {
    for (format, unpacker, build) in formats() {
        let target = Target::new();
        let (archive, outside) = (target.beside("a.eti"), target.beside("outside"));
        fs::create_dir(&outside).unwrap();
        let files = [raw_file("d/a", b"1"), raw_file("e/b", b"2"), raw_file("d/c", b"3")];
        fs::write(&archive, build(&files)).unwrap();
        let mut swap = Swap { directory: target.path().join("d"), outside: outside.clone() };
        let error = unpacker.unpack(&archive, &target.dir(), &mut swap).unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::NotADirectory), "{format}: {error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{format}");
    }
}

#[test]
fn cancelling_ends_within_a_block() {
    let content = vec![7; 6 * BLOCK_BYTES];
    let mut writer = FixtureWriter::new(Vec::new()).unwrap();
    writer.add_file(&path("big"), content.len() as u64, false, &*content).unwrap();
    let fixture = writer.finish().unwrap();
    for (unpacker, bytes) in [
        (&RarUnpacker::default() as &dyn Unpacker, rar_with("big", &content)),
        (&FixtureUnpacker, fixture),
    ] {
        let target = Target::new();
        let archive = target.beside("a.eti");
        fs::write(&archive, bytes).unwrap();
        let limit = 2 * BLOCK_BYTES as u64;
        let mut watch = Watch { cancel_above_bytes: Some(limit), ..Watch::default() };
        let result = unpacker.unpack(&archive, &target.dir(), &mut watch);
        assert!(matches!(result, Err(UnpackError::Cancelled)), "{result:?}");
        let last = *watch.reports.last().unwrap();
        assert!(last > limit && last <= limit + BLOCK_BYTES as u64, "{last}");
        assert!(watch.reports.is_sorted());
    }
}

#[test]
fn progress_ends_at_the_sum_of_all_files() {
    for (format, unpacker, build) in formats() {
        let target = Target::new();
        let archive = target.beside("a.eti");
        fs::write(&archive, build(&[raw_file("a", b"123"), raw_file("b", b"4567")])).unwrap();
        let mut watch = Watch::default();
        unpacker.unpack(&archive, &target.dir(), &mut watch).unwrap();
        assert_eq!(watch.reports, [3, 7], "{format}");
    }
}

#[test]
fn a_panic_of_the_caller_passes_through_the_library() {
    struct Panics;
    impl lanspread_archive::UnpackControl for Panics {
        fn is_cancelled(&mut self) -> bool {
            false
        }
        fn on_progress(&mut self, _: u64) {
            panic!("the caller's own");
        }
    }
    let target = Target::new();
    let archive = target.beside("a.eti");
    fs::write(&archive, rar5(&[raw_file("a", b"123")])).unwrap();
    let caught = std::panic::catch_unwind(|| {
        RarUnpacker::default().unpack(&archive, &target.dir(), &mut Panics)
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's own"));
    // The library is free again.
    fs::remove_file(target.path().join("a")).unwrap();
    target.unpack(&RarUnpacker::default(), &archive).unwrap();
}

#[test]
fn unknown_formats_are_told_from_damaged_ones() {
    let target = Target::new();
    for bytes in [&b""[..], b"PK\x03\x04", b"RE~^", b"MZ something"] {
        let result = target.unpack_bytes(&AutoUnpacker::new(None), bytes);
        assert!(matches!(result, Err(UnpackError::UnknownFormat { .. })), "{result:?}");
    }
    for bytes in [&b"Rar!\x1a\x07\x01\x00"[..], b"Rar!\x1a\x07\x00", b"LSPFIX1\n"] {
        let result = target.unpack_bytes(&AutoUnpacker::new(None), bytes);
        assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
    }
}

#[test]
fn damage_of_a_fixture_is_told_apart() {
    let whole = fixture(&[raw_file("a", b"hello")]);
    let content = whole.iter().position(|byte| *byte == b'h').unwrap();
    let mut changed = whole.clone();
    changed[content] ^= 1;
    let longer = [whole.as_slice(), b"x"].concat();
    for (bytes, expected) in [
        (&changed[..], Damage::BadCrc),
        (&whole[..content + 2], Damage::Truncated),
        (&whole[..whole.len() - 1], Damage::Truncated),
        (&longer[..], Damage::Malformed("it goes on after its end")),
    ] {
        let target = Target::new();
        match target.unpack_bytes(&FixtureUnpacker, bytes) {
            Err(UnpackError::Damaged { damage, .. }) => assert_eq!(damage, expected),
            other => panic!("{other:?}"),
        }
    }
}
