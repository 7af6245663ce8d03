//! Archives that RAR itself made, unpacked in this process.

mod support;

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use lanspread_archive::{
    AutoUnpacker, Damage, RarUnpacker, UnpackControl, UnpackError, UnpackSummary, Unpacker,
    UnsafeReason,
};
use lanspread_proto::limits::PATH_MAX_BYTES;
use support::{Target, Watch, data, rar3, rar5, raw_file, units};

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
    // In UTF-8, and in units of UTF-16.
    for name in ["unicode.rar", "unicode2.rar"] {
        let target = Target::new();
        target.unpack(&RarUnpacker::default(), &data(name)).unwrap();
        assert_eq!(target.names(), ["уииоотивл.txt", "𝐀𝐁𝐁𝐂.txt"], "{name}");
    }
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
