//! Archives that RAR itself made, unpacked in this process.

mod support;

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use lanspread_archive::{
    AutoUnpacker, Damage, MaxDictionary, RarUnpacker, UnpackControl, UnpackError, UnpackSummary,
    Unpacker, UnsafeReason,
};
use lanspread_proto::path::PATH_MAX_BYTES;
use support::{
    RawEntry, Target, Watch, data, rar3, rar5, raw_directory, raw_file, raw_link, units,
};

#[test]
fn solid_archives_of_both_generations_come_out_whole() {
    for name in ["rar3-solid.rar", "rar5-solid.rar"] {
        let target = Target::new();
        let summary = target.unpack(&RarUnpacker::default(), &data(name)).unwrap();
        assert_eq!(summary, UnpackSummary { files: 2, bytes: 4096 }, "{name}");
        let tree = target.tree();
        assert_eq!(crc32fast::hash(&tree["stest1.txt"]), 0xc5b7_e6a2, "{name}");
        assert_eq!(tree["stest1.txt"], tree["stest2.txt"], "{name}");
    }
}

#[test]
fn directories_spaces_and_other_alphabets_are_kept() {
    for name in ["rar3-subdirs.rar", "rar5-subdirs.rar"] {
        let target = Target::new();
        target.unpack(&RarUnpacker::default(), &data(name)).unwrap();
        let expected = [
            "sub/",
            "sub/dir1/",
            "sub/dir1/file1.txt",
            "sub/dir2/",
            "sub/dir2/file2.txt",
            "sub/empty/",
            "sub/with space/",
            "sub/with space/long fn.txt",
            "sub/üȵĩöḋè/",
            "sub/üȵĩöḋè/file.txt",
        ];
        assert_eq!(target.names(), expected, "{name}");
    }
    let target = Target::new();
    target.unpack(&RarUnpacker::default(), &data("unicode.rar")).unwrap();
    assert_eq!(target.names(), ["уииоотивл.txt", "𝐀𝐁𝐁𝐂.txt"]);
}

#[test]
fn names_of_rar3_are_joined_from_their_units() {
    let names = ["😀.txt", "Größe\\日本 𝐀😀.dat", "ä.txt"];
    let names = names.map(|name| (name, units(name)));
    let entries = names.each_ref().map(|(name, units)| (&**units, name.as_bytes()));
    let target = Target::new();
    target.unpack_bytes(&RarUnpacker::default(), &rar3(&entries)).unwrap();
    let expected = ["Größe/", "Größe/日本 𝐀😀.dat", "ä.txt", "😀.txt"];
    assert_eq!(target.names(), expected);
}

#[test]
fn a_name_of_half_a_character_is_refused() {
    for half in [[0xd83d, 0x2e], [0xde00, 0x2e]] {
        let target = Target::new();
        match target.unpack_bytes(&RarUnpacker::default(), &rar3(&[(&half, b"1")])) {
            Err(UnpackError::UnsafeEntry { reason, .. }) => {
                assert_eq!(reason, UnsafeReason::NotText);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_longest_path_is_unpacked_and_a_longer_one_is_refused() {
    let longest = format!("{}/{}", vec!["d".repeat(200); 5].join("/"), "f".repeat(19));
    assert_eq!(longest.len(), PATH_MAX_BYTES);
    let target = Target::new();
    target.unpack_bytes(&RarUnpacker::default(), &rar5(&[raw_file(&longest, b"1")])).unwrap();
    assert!(target.tree().contains_key(&longest));
    for more in [1, 3_070, 3_071, 6_000] {
        let longer = longest.clone() + &"f".repeat(more);
        let result =
            Target::new().unpack_bytes(&RarUnpacker::default(), &rar5(&[raw_file(&longer, b"1")]));
        assert!(matches!(result, Err(UnpackError::UnsafeEntry { .. })), "{more}: {result:?}");
    }
}

#[test]
fn old_archives_and_both_checksums_are_read() {
    for (name, files) in [("rar2-unix-owner.rar", 1), ("rar5-crc.rar", 2), ("rar5-blake.rar", 2)] {
        let target = Target::new();
        assert_eq!(
            target.unpack(&RarUnpacker::default(), &data(name)).unwrap().files,
            files,
            "{name}"
        );
    }
}

#[test]
fn times_of_files_are_kept() {
    let target = Target::new();
    target.unpack(&RarUnpacker::default(), &data("rar5-times.rar")).unwrap();
    let modified = fs::metadata(target.path().join("stest1.txt")).unwrap().modified().unwrap();
    assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(1_307_872_413));
}

#[test]
fn volumes_are_followed_whatever_their_extension_and_folder() {
    let target = Target::new();
    let folder = target.beside("Spiel für 日本");
    fs::create_dir(&folder).unwrap();
    for part in 1..=3 {
        let from = data(&format!("rar5-vols.part{part}.rar"));
        fs::copy(from, folder.join(format!("game.part{part}.eti"))).unwrap();
    }
    let first = folder.join("game.part1.eti");
    let summary = target.unpack(&RarUnpacker::default(), &first).unwrap();
    assert_eq!(summary, UnpackSummary { files: 2, bytes: 207_050 });
    assert_eq!(crc32fast::hash(&target.tree()["vols/bigfile.txt"]), 0x509a_d74c);
}

#[test]
fn a_missing_volume_is_named() {
    let target = Target::new();
    let folder = target.beside("für 日本");
    fs::create_dir(&folder).unwrap();
    let first = folder.join("game.part1.eti");
    fs::copy(data("rar5-vols.part1.rar"), &first).unwrap();
    match target.unpack(&RarUnpacker::default(), &first) {
        Err(UnpackError::MissingVolume { archive, volume }) => {
            assert_eq!(archive, first);
            assert_eq!(volume, folder.join("game.part2.eti"));
        }
        other => panic!("{other:?}"),
    }
}

/// UnRAR itself would ask for `ruake.eti`, `quake3.eti` or `quake.par3.eti`, which is none of them.
#[test]
fn a_missing_volume_is_named_as_it_would_be_found() {
    for name in ["quake.eti", "quake2.eti", "Quake.part.eti", "quake.par2.eti", "quake"] {
        let folder = Target::new();
        let first = folder.beside(name);
        fs::copy(data("rar5-vols.part1.rar"), &first).unwrap();
        let letter = if name == "quake" { 'r' } else { 'e' };
        for number in 0..2 {
            let Err(UnpackError::MissingVolume { volume, .. }) =
                Target::new().unpack(&RarUnpacker::default(), &first)
            else {
                panic!("{name}: a volume is missing");
            };
            assert_eq!(volume, first.with_extension(format!("{letter}0{number}")), "{name}");
            fs::copy(data(&format!("rar5-vols.part{}.rar", number + 2)), &volume).unwrap();
        }
        let summary = Target::new().unpack(&RarUnpacker::default(), &first).unwrap();
        assert_eq!(summary, UnpackSummary { files: 2, bytes: 207_050 }, "{name}");
    }
}

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_an_archive_or_a_volume_is_refused_at_once() {
    use rustix::fs::{CWD, Mode, mkfifoat};

    for pipe in ["game.part1.eti", "game.part2.eti", "game.part3.eti", "game.part1.e00"] {
        let target = Target::new();
        for part in 1..=2 {
            let from = data(&format!("rar5-vols.part{part}.rar"));
            fs::copy(from, target.beside(&format!("game.part{part}.eti"))).unwrap();
        }
        let place = target.beside(pipe);
        let _ = fs::remove_file(&place);
        mkfifoat(CWD, &place, Mode::RUSR | Mode::WUSR).unwrap();
        let (ended, outcome) = mpsc::channel();
        // In a thread, since a reader that opens the pipe never comes back.
        thread::spawn(move || {
            let first = target.beside("game.part1.eti");
            ended.send(target.unpack(&AutoUnpacker::new(None), &first)).unwrap();
        });
        match outcome.recv_timeout(PATIENCE).expect("it waits for the pipe") {
            Err(UnpackError::Io { path, .. }) => assert_eq!(path, place),
            other => panic!("{other:?}"),
        }
    }
    // The library is still there for others.
    let target = Target::new();
    target.unpack(&RarUnpacker::default(), &data("rar5-solid.rar")).unwrap();
}

#[test]
fn an_operation_that_waits_for_another_can_be_cancelled() {
    /// Holds up its archive at the first block, until it may go on.
    struct Holds(mpsc::Sender<()>, mpsc::Receiver<()>);

    impl UnpackControl for Holds {
        fn is_cancelled(&mut self) -> bool {
            false
        }

        fn on_progress(&mut self, _: u64) {
            self.0.send(()).unwrap();
            let _ = self.1.recv();
        }
    }

    let (is_held, held) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let first = thread::spawn(move || {
        let target = Target::new();
        let mut control = Holds(is_held, may_go_on);
        RarUnpacker::default().unpack(&data("rar5-solid.rar"), &target.dir(), &mut control)
    });
    held.recv_timeout(PATIENCE).unwrap();
    // One whose block is being handled holds up nobody.
    let target = Target::new();
    target.unpack(&RarUnpacker::default(), &data("rar3-solid.rar")).unwrap();
    let mut watch = Watch { cancel_above_bytes: Some(0), ..Watch::default() };
    let target = Target::new();
    let cancelled =
        RarUnpacker::default().unpack(&data("rar3-solid.rar"), &target.dir(), &mut watch);
    assert!(matches!(cancelled, Err(UnpackError::Cancelled)), "{cancelled:?}");
    drop(go_on);
    assert_eq!(first.join().unwrap().unwrap().files, 2);
}

#[test]
fn a_later_volume_is_refused() {
    let target = Target::new();
    let result = target.unpack(&RarUnpacker::default(), &data("rar5-vols.part2.rar"));
    assert!(matches!(result, Err(UnpackError::NotFirstVolume { .. })), "{result:?}");
    assert!(target.names().is_empty());
}

#[test]
fn a_later_volume_that_was_cut_is_damage() {
    let target = Target::new();
    for part in 1..=3 {
        let from = data(&format!("rar5-vols.part{part}.rar"));
        fs::copy(from, target.beside(&format!("game.part{part}.eti"))).unwrap();
    }
    let second = target.beside("game.part3.eti");
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 4]).unwrap();
    let result = target.unpack(&RarUnpacker::default(), &target.beside("game.part1.eti"));
    assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
}

#[test]
fn passwords_on_contents_and_headers_are_refused() {
    for name in ["rar3-comment-psw.rar", "rar3-comment-hpsw.rar", "rar5-psw.rar", "rar5-hpsw.rar"] {
        let target = Target::new();
        let result = target.unpack(&RarUnpacker::default(), &data(name));
        assert!(matches!(result, Err(UnpackError::PasswordProtected { .. })), "{name}: {result:?}");
        assert!(target.names().is_empty(), "{name}");
    }
}

#[test]
fn references_and_hard_links_become_copies() {
    for (name, files) in [("rar5-dups.rar", 9), ("rar5-hlink.rar", 3)] {
        let target = Target::new();
        let mut watch = Watch::default();
        let summary =
            RarUnpacker::default().unpack(&data(name), &target.dir(), &mut watch).unwrap();
        assert_eq!(summary, UnpackSummary { files, bytes: files * 2048 }, "{name}");
        let tree = target.tree();
        let names: Vec<_> = (1..=files).map(|number| format!("stest{number}.txt")).collect();
        assert_eq!(tree.keys().cloned().collect::<Vec<_>>(), names, "{name}");
        assert!(tree.values().all(|content| crc32fast::hash(content) == 0xc5b7_e6a2), "{name}");
        assert!(watch.reports.is_sorted() && watch.reports.last() == Some(&(files * 2048)));
        // Files of their own: what is written to one is not in the others.
        fs::write(target.path().join("stest2.txt"), "changed").unwrap();
        assert_eq!(fs::metadata(target.path().join("stest1.txt")).unwrap().len(), 2048);
        let modified = fs::metadata(target.path().join("stest3.txt")).unwrap().modified().unwrap();
        assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(1_307_872_413));
    }
}

#[test]
fn a_copy_may_be_of_a_copy_and_lie_anywhere() {
    let entries = [
        raw_file("a/first", b"hello"),
        raw_link(5, "b/c/second", "a/first", 5),
        raw_link(4, "third", "b\\c\\second", 5),
        raw_file("empty", b""),
        raw_link(5, "empty too", "empty", 0),
    ];
    let target = Target::new();
    let summary = target.unpack_bytes(&RarUnpacker::default(), &rar5(&entries)).unwrap();
    assert_eq!(summary, UnpackSummary { files: 5, bytes: 15 });
    let tree = target.tree();
    assert!(["a/first", "b/c/second", "third"].iter().all(|name| tree[*name] == b"hello"));
    assert!(tree["empty too"].is_empty());
}

#[test]
fn a_reference_to_nothing_before_it_is_refused() {
    let before = [raw_file("dir/file", b"hello"), raw_directory("other")];
    for to in [
        "late",
        "copy",
        "dir",
        "other",
        "",
        "file",
        "../target",
        "/etc/passwd",
        "dir/file/",
        "DIR/file",
    ] {
        for kind in [4, 5] {
            let mut entries = Vec::from(before.each_ref().map(|entry| RawEntry { ..*entry }));
            entries.extend([raw_link(kind, "copy", to, 5), raw_file("late", b"hello")]);
            let target = Target::new();
            let result = target.unpack_bytes(&RarUnpacker::default(), &rar5(&entries));
            // One without a name is no link for the library, and a file without content.
            if to.is_empty() {
                assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
                continue;
            }
            match result {
                Err(UnpackError::UnsafeEntry { entry, reason }) => {
                    assert_eq!(entry, "copy");
                    assert_eq!(reason, UnsafeReason::RefersToNothing { to: to.to_owned() });
                }
                other => panic!("{to}: {other:?}"),
            }
            assert!(!target.names().contains(&"copy".to_owned()));
        }
    }
}

#[test]
fn a_reference_of_another_size_is_damage() {
    for size in [0, 4, 6] {
        let archive = rar5(&[raw_file("file", b"hello"), raw_link(5, "copy", "file", size)]);
        match Target::new().unpack_bytes(&RarUnpacker::default(), &archive) {
            Err(UnpackError::Damaged { entry, damage: Damage::Malformed(_), .. }) => {
                assert_eq!(entry.as_deref(), Some("copy"), "{size}");
            }
            other => panic!("{size}: {other:?}"),
        }
    }
}

#[test]
fn copies_can_be_cancelled() {
    let target = Target::new();
    let mut watch = Watch { cancel_above_bytes: Some(3 * 2048), ..Watch::default() };
    let result = RarUnpacker::default().unpack(&data("rar5-dups.rar"), &target.dir(), &mut watch);
    assert!(matches!(result, Err(UnpackError::Cancelled)), "{result:?}");
    let last = watch.reports.last().copied();
    assert!(last > Some(3 * 2048) && last < Some(9 * 2048), "{last:?}");
}

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
    let compression =
        rar5(&[RawEntry { compression: 2 | 3 << 7, ..raw_file("file", b"hello") }]);
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

#[test]
fn links_of_every_kind_are_refused() {
    for (name, entry, kind) in [
        ("rar3-symlink-unix.rar", "data_link", "symbolic link"),
        ("rar5-symlink-unix.rar", "data_link", "symbolic link"),
        ("rar5-symlink-win.rar", "links/bad_link", "Windows symbolic link"),
        ("rar5-evil-symlink-traversal.rar", "", "symbolic link"),
    ] {
        let target = Target::new();
        match target.unpack(&RarUnpacker::default(), &data(name)) {
            Err(UnpackError::UnsafeEntry { entry: found, reason }) => {
                assert!(entry.is_empty() || found == entry, "{name}: {found}");
                assert_eq!(reason, UnsafeReason::Redirection(kind), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        // Whatever stands there is a regular file or directory: `tree` asserts that.
        target.tree();
        assert!(target.names_beside().is_empty(), "{name}");
    }
}

#[test]
fn a_changed_byte_is_a_wrong_checksum() {
    let mut bytes = fs::read(data("rar5-crc.rar")).unwrap();
    let stored = bytes.len() - 100;
    bytes[stored] ^= 1;
    let target = Target::new();
    match target.unpack_bytes(&RarUnpacker::default(), &bytes) {
        Err(UnpackError::Damaged { entry, damage, .. }) => {
            assert_eq!(entry.as_deref(), Some("stest2.txt"));
            assert_eq!(damage, Damage::BadCrc);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_cut_anywhere_is_never_taken_for_a_whole_one() {
    let bytes = fs::read(data("rar5-subdirs.rar")).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        let target = Target::new();
        let result = target.unpack_bytes(&RarUnpacker::default(), &bytes[..length]);
        assert!(result.is_err(), "{length} bytes: {result:?}");
    }
}

#[test]
fn archives_are_unpacked_by_many_threads_at_once() {
    std::thread::scope(|scope| {
        for name in ["rar3-solid.rar", "rar5-solid.rar", "rar3-solid.rar", "rar5-crc.rar"] {
            scope.spawn(move || {
                for _ in 0..20 {
                    let target = Target::new();
                    assert_eq!(
                        target.unpack(&RarUnpacker::default(), &data(name)).unwrap().bytes,
                        4096
                    );
                }
            });
        }
    });
}
