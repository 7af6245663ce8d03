//! References and hard links in RAR archives: copies, where they refer to what came before.

mod support;

use std::fs;
use std::time::{Duration, SystemTime};

use lanspread_archive::{Damage, RarUnpacker, UnpackError, UnpackSummary, Unpacker, UnsafeReason};
use support::{RawEntry, Target, Watch, data, rar5, raw_directory, raw_file, raw_link};

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
