//! Which archives of a game root are unpacked.

mod support;

use std::fs;

use lanspread_archive::root_archives;
use support::{data, rar5};
use tempfile::TempDir;

/// The first headers of RAR 3 volumes, by their flags.
fn rar3_start(flags: u16) -> Vec<u8> {
    let mut start = b"Rar!\x1a\x07\x00".to_vec();
    start.extend([0, 0, 0x73]);
    start.extend(flags.to_le_bytes());
    start.extend([13, 0, 0, 0, 0, 0, 0, 0]);
    start
}

#[test]
fn first_volumes_at_the_root_are_listed_by_name() {
    let root = TempDir::new().unwrap();
    let place = |name: &str| root.path().join(name);
    for part in 1..=3 {
        fs::copy(data(&format!("rar5-vols.part{part}.rar")), place(&format!("c.part{part}.eti")))
            .unwrap();
    }
    fs::write(place("b.ETI"), rar5(&[])).unwrap();
    fs::write(place("a.eti"), "no archive").unwrap();
    fs::write(place("d.part1.eti"), rar3_start(0x0111)).unwrap();
    fs::write(place("d.part2.eti"), rar3_start(0x0011)).unwrap();
    fs::write(place("game.rar"), rar5(&[])).unwrap();
    // What macOS keeps beside them.
    fs::write(place("._b.ETI"), "resources").unwrap();
    fs::write(place("._c.part1.eti"), "resources").unwrap();
    fs::write(place("version.ini"), "20240131").unwrap();
    fs::create_dir(place("folder.eti")).unwrap();
    fs::create_dir(place("local")).unwrap();
    fs::write(place("local").join("nested.eti"), rar5(&[])).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(place("b.ETI"), place("link.eti")).unwrap();

    let names: Vec<_> = root_archives(root.path())
        .unwrap()
        .into_iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a.eti", "b.ETI", "c.part1.eti", "d.part1.eti"]);
}

#[test]
fn a_root_that_is_not_there_is_an_error() {
    let root = TempDir::new().unwrap();
    assert!(root_archives(&root.path().join("none")).is_err());
}
