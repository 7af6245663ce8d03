//! Archives as a stream, and the stream as files again.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lanspread_archive::{
    ArchiveStream, AutoUnpacker, BLOCK_BYTES, Damage, StreamInstallProvider, StreamItem,
    StreamSink, StreamSource, StreamTotals, UnpackError, UnsafeReason, unpack_stream,
};
use lanspread_proto::RelPath;
use proptest::prelude::*;
use support::{RawEntry, Target, Watch, data, fixture, rar5, raw_directory, raw_file, raw_link};

/// An item that owns what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Directory(RelPath),
    File(RelPath, u64, Option<SystemTime>, bool),
    Data(Vec<u8>),
    EndFile(u32),
    Copy(RelPath, RelPath, Option<SystemTime>, bool),
    EndArchive,
}

/// Records a stream, up to a number of items; what it has recorded can be played.
#[derive(Debug, Clone)]
struct Tape {
    items: Vec<Item>,
    most: usize,
    played: usize,
    /// Whether it ends before its source says so.
    breaks_off: bool,
}

impl Tape {
    fn new(most: usize) -> Self {
        Self { items: Vec::new(), most, played: 0, breaks_off: false }
    }

    fn of(items: Vec<Item>) -> Self {
        Self { items, most: 0, played: 0, breaks_off: false }
    }
}

impl StreamSink for Tape {
    fn take(&mut self, item: StreamItem<'_>) -> bool {
        if self.items.len() >= self.most {
            return false;
        }
        self.items.push(match item {
            StreamItem::Directory(path) => Item::Directory(path.clone()),
            StreamItem::File { path, size_bytes, modified, executable } => {
                Item::File(path.clone(), size_bytes, modified, executable)
            }
            StreamItem::Data(block) => {
                assert!(block.len() <= BLOCK_BYTES);
                Item::Data(block.to_vec())
            }
            StreamItem::EndFile { crc32 } => Item::EndFile(crc32),
            StreamItem::Copy { path, from, modified, executable } => {
                Item::Copy(path.clone(), from.clone(), modified, executable)
            }
            StreamItem::EndArchive => Item::EndArchive,
        });
        true
    }
}

impl StreamSource for Tape {
    fn next_item(&mut self) -> Option<StreamItem<'_>> {
        let item = self.items.get(self.played)?;
        self.played += 1;
        Some(match item {
            Item::Directory(path) => StreamItem::Directory(path),
            Item::File(path, size_bytes, modified, executable) => {
                let (size_bytes, modified, executable) = (*size_bytes, *modified, *executable);
                StreamItem::File { path, size_bytes, modified, executable }
            }
            Item::Data(block) => StreamItem::Data(block),
            Item::EndFile(crc32) => StreamItem::EndFile { crc32: *crc32 },
            Item::Copy(path, from, modified, executable) => {
                let (modified, executable) = (*modified, *executable);
                StreamItem::Copy { path, from, modified, executable }
            }
            Item::EndArchive => StreamItem::EndArchive,
        })
    }

    fn is_complete(&self) -> bool {
        self.played == self.items.len() && !self.breaks_off
    }
}

fn open(archives: &[PathBuf]) -> Result<Box<dyn ArchiveStream>, UnpackError> {
    AutoUnpacker::default().open(archives, &mut ())
}

fn record(archives: &[PathBuf]) -> (Tape, StreamTotals) {
    let stream = open(archives).unwrap();
    let announced = stream.totals();
    let mut tape = Tape::new(usize::MAX);
    assert_eq!(stream.run(&mut tape, &mut ()).unwrap(), announced);
    (tape, announced)
}

fn receive(
    tape: &mut Tape,
    announced: StreamTotals,
    target: &Target,
) -> Result<StreamTotals, UnpackError> {
    unpack_stream(tape, announced, Path::new("a stream"), &target.dir(), &mut ())
}

#[test]
fn a_streamed_archive_brings_what_an_unpacked_one_does() {
    for name in [
        "rar15-comment.rar",
        "rar2-unix-owner.rar",
        "rar3-solid.rar",
        "rar3-subdirs.rar",
        "rar5-blake.rar",
        "rar5-crc.rar",
        "rar5-dups.rar",
        "rar5-hlink.rar",
        "rar5-solid.rar",
        "rar5-subdirs.rar",
        "rar5-times.rar",
        "rar5-vols.part1.rar",
        "unicode.rar",
    ] {
        let unpacked = Target::new();
        let summary = unpacked.unpack(&AutoUnpacker::default(), &data(name)).unwrap();
        let (mut tape, announced) = record(&[data(name)]);
        assert_eq!((announced.files, announced.bytes), (summary.files, summary.bytes), "{name}");
        assert_eq!(announced.archives, 1, "{name}");
        let streamed = Target::new();
        assert_eq!(receive(&mut tape, announced, &streamed).unwrap(), announced, "{name}");
        assert_eq!(streamed.tree(), unpacked.tree(), "{name}");
        assert_eq!(times(&streamed), times(&unpacked), "{name}");
    }
}

fn times(target: &Target) -> Vec<(String, SystemTime)> {
    let files = target.names().into_iter().filter(|name| !name.ends_with('/'));
    files
        .map(|name| {
            let modified = fs::metadata(target.path().join(&name)).unwrap().modified().unwrap();
            (name, modified)
        })
        // Where the archive has no time it is now, and differs.
        .filter(|(_, modified)| modified.elapsed().is_ok_and(|age| age.as_secs() > 3600))
        .collect()
}

#[test]
fn several_archives_come_one_after_the_other() {
    let target = Target::new();
    let made = target.beside("made.eti");
    let entries = [raw_directory("sub"), raw_file("sub/one", b"1"), raw_file("two", b"22")];
    fs::write(&made, fixture(&entries)).unwrap();
    let (mut tape, announced) = record(&[data("rar5-solid.rar"), made]);
    assert_eq!(announced, StreamTotals { archives: 2, entries: 5, files: 4, bytes: 4099 });
    let mut watch = Watch::default();
    let name = Path::new("a stream");
    unpack_stream(&mut tape, announced, name, &target.dir(), &mut watch).unwrap();
    assert_eq!(target.names(), ["stest1.txt", "stest2.txt", "sub/", "sub/one", "two"]);
    assert!(watch.reports.is_sorted());
    assert_eq!(watch.reports.last(), Some(&4099));
}

#[test]
fn archives_that_name_the_same_file_are_refused_by_the_listing() {
    let target = Target::new();
    let (first, second) = (target.beside("a.eti"), target.beside("b.eti"));
    let archives = [first.clone(), second.clone()];
    for (one, other, expected) in
        [("sub/x", "sub/x", UnsafeReason::Duplicate), ("sub", "sub/x", UnsafeReason::BelowFile)]
    {
        fs::write(&first, rar5(&[raw_file(one, b"1")])).unwrap();
        fs::write(&second, fixture(&[raw_file(other, b"2")])).unwrap();
        match open(&archives).err() {
            Some(UnpackError::UnsafeEntry { entry, reason }) => {
                assert_eq!((entry.as_str(), reason), (other, expected));
            }
            other => panic!("{other:?}"),
        }
    }
    fs::write(&first, rar5(&[raw_file("sub/x", b"1")])).unwrap();
    fs::write(&second, fixture(&[raw_directory("sub"), raw_file("sub/y", b"2")])).unwrap();
    assert_eq!(open(&archives).unwrap().totals().files, 2, "a directory may come twice");
}

#[test]
fn a_checksum_is_sent_whatever_the_archive_stores() {
    for name in ["rar5-blake.rar", "rar5-crc.rar"] {
        let (tape, _) = record(&[data(name)]);
        let mut content = Vec::new();
        for item in tape.items {
            match item {
                Item::File(..) => content.clear(),
                Item::Data(block) => content.extend(block),
                Item::EndFile(crc32) => assert_eq!(crc32, crc32fast::hash(&content), "{name}"),
                Item::Directory(_) | Item::Copy(..) | Item::EndArchive => {}
            }
        }
    }
}

/// Which errors a listing finds, so that nothing is sent of such an archive.
#[test]
fn what_headers_tell_is_refused_before_anything_is_sent() {
    type Check = fn(&UnpackError) -> bool;
    let password: Check = |error| matches!(error, UnpackError::PasswordProtected { .. });
    let link: Check = |error| {
        let reason = |reason: &UnsafeReason| matches!(reason, UnsafeReason::Redirection(_));
        matches!(error, UnpackError::UnsafeEntry { reason: r, .. } if reason(r))
    };
    let later: Check = |error| matches!(error, UnpackError::NotFirstVolume { .. });
    for (name, check) in [
        ("rar3-comment-psw.rar", password),
        ("rar5-psw.rar", password),
        ("rar5-hpsw.rar", password),
        ("rar3-symlink-unix.rar", link),
        ("rar5-symlink-unix.rar", link),
        ("rar5-symlink-win.rar", link),
        ("rar5-evil-symlink-traversal.rar", link),
        ("rar5-vols.part2.rar", later),
    ] {
        let error = open(&[data(name)]).err().unwrap();
        assert!(check(&error), "{name}: {error:?}");
    }
    let target = Target::new();
    for name in ["../up", "a/../../b", "/etc/passwd", "C:\\x", "\\\\host\\share", "aux.txt", "a."] {
        for bytes in [rar5(&[raw_file(name, b"x")]), fixture(&[raw_file(name, b"x")])] {
            let archive = target.beside("evil.eti");
            fs::write(&archive, bytes).unwrap();
            let error = open(&[archive]).err().unwrap();
            assert!(matches!(error, UnpackError::UnsafeEntry { .. }), "{name}: {error:?}");
        }
    }
}

#[test]
fn archives_that_are_not_whole_are_found_by_the_listing() {
    let target = Target::new();
    let cut = target.beside("cut.eti");
    let sound = fs::read(data("rar5-crc.rar")).unwrap();
    fs::write(&cut, &sound[..sound.len() - 100]).unwrap();
    let error = open(&[cut]).err().unwrap();
    assert!(matches!(error, UnpackError::Damaged { .. }), "{error:?}");
    let sound = fixture(&[raw_file("a", &[7; 1000])]);
    for length in 0..sound.len() {
        let cut = target.beside("cut.eti");
        fs::write(&cut, &sound[..length]).unwrap();
        assert!(open(&[cut]).is_err(), "{length}");
    }
    let lonely = target.beside("game.part1.eti");
    fs::copy(data("rar5-vols.part1.rar"), &lonely).unwrap();
    match open(&[lonely]).err().unwrap() {
        UnpackError::MissingVolume { volume, .. } => {
            assert_eq!(volume, target.beside("game.part2.eti"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_checksum_ends_the_stream_before_the_end_of_its_file() {
    let mut bytes = fs::read(data("rar5-crc.rar")).unwrap();
    let stored = bytes.len() - 100;
    bytes[stored] ^= 1;
    let target = Target::new();
    let archive = target.beside("archive.eti");
    fs::write(&archive, bytes).unwrap();
    let mut tape = Tape::new(usize::MAX);
    let error = open(&[archive]).unwrap().run(&mut tape, &mut ()).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { damage: Damage::BadCrc, .. }), "{error:?}");
    let ends = tape.items.iter().filter(|item| matches!(item, Item::EndFile(_))).count();
    assert_eq!(ends, 1);
    assert!(matches!(tape.items.last(), Some(Item::Data(_))), "{:?}", tape.items.last());
}

#[test]
fn a_sink_can_end_the_stream_at_every_item() {
    let (whole, _) = record(&[data("rar5-solid.rar")]);
    for most in 0..whole.items.len() {
        let mut tape = Tape::new(most);
        let result = open(&[data("rar5-solid.rar")]).unwrap().run(&mut tape, &mut ());
        assert!(matches!(result, Err(UnpackError::Cancelled)), "{most}: {result:?}");
        assert_eq!(tape.items, whole.items[..most]);
    }
}

/// A stream stays where its sink keeps it, and nobody waits for it.
#[test]
fn a_stalled_stream_holds_up_no_other_archive() {
    struct Stalled {
        reached: std::sync::mpsc::Sender<()>,
        go_on: std::sync::mpsc::Receiver<()>,
    }
    impl StreamSink for Stalled {
        fn take(&mut self, item: StreamItem<'_>) -> bool {
            if matches!(item, StreamItem::Data(_)) {
                let _ = self.reached.send(());
                let _ = self.go_on.recv();
            }
            true
        }
    }
    let (reached, is_reached) = std::sync::mpsc::channel();
    let (go, go_on) = std::sync::mpsc::channel();
    let stalled = std::thread::spawn(move || {
        let mut sink = Stalled { reached, go_on };
        open(&[data("rar5-solid.rar")]).unwrap().run(&mut sink, &mut ()).unwrap()
    });
    is_reached.recv().unwrap();
    let target = Target::new();
    assert!(target.unpack(&AutoUnpacker::default(), &data("rar5-crc.rar")).is_ok());
    record(&[data("rar5-solid.rar")]);
    drop(go);
    assert_eq!(stalled.join().unwrap().files, 2);
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn file(name: &str, content: &[u8]) -> Vec<Item> {
    vec![
        Item::File(path(name), content.len() as u64, None, false),
        Item::Data(content.to_vec()),
        Item::EndFile(crc32fast::hash(content)),
    ]
}

/// What a dishonest sender may try, what it has announced, and how it is answered.
#[test]
fn streams_that_break_a_rule_are_refused_and_leave_nothing_outside() {
    let totals = |archives, entries, files, bytes| StreamTotals { archives, entries, files, bytes };
    let one = totals(1, 1, 1, 3);
    let end = || vec![Item::EndArchive];
    let wrong_crc =
        vec![Item::File(path("a"), 3, None, false), Item::Data(vec![1; 3]), Item::EndFile(7)];
    let long = vec![Item::File(path("a"), 3, None, false), Item::Data(vec![1; 4])];
    let short = vec![Item::File(path("a"), 3, None, false), Item::EndFile(crc32fast::hash(b""))];
    let nested = [file("a", b"abc")[..2].to_vec(), file("b", b"")].concat();
    let folder = vec![Item::Directory(path("d"))];
    let copy = |name, from| vec![Item::Copy(path(name), path(from), None, false)];
    let two = totals(1, 2, 2, 6);
    let rows: Vec<(&str, StreamTotals, Vec<Item>, &str)> = vec![
        ("wrong checksum", one, [wrong_crc, end()].concat(), "the checksum is wrong"),
        ("longer than its size", one, long, "more than the announced 3 bytes"),
        ("shorter than its size", totals(1, 1, 1, 3), short, "it holds 0 of 3 bytes"),
        (
            "more bytes",
            one,
            [file("a", b"abc"), file("b", b"d")].concat(),
            "it brings more bytes than it announced",
        ),
        (
            "more entries",
            one,
            [file("a", b"abc"), folder.clone(), end()].concat(),
            "it brings more entries than it announced",
        ),
        ("fewer entries", totals(1, 2, 1, 3), [file("a", b"abc"), end()].concat(), "brought less"),
        ("fewer bytes", totals(1, 1, 1, 9), [file("a", b"abc"), end()].concat(), "brought less"),
        (
            "more archives",
            one,
            [file("a", b"abc"), end(), end()].concat(),
            "it goes on after the last announced archive",
        ),
        ("fewer archives", totals(2, 1, 1, 3), [file("a", b"abc"), end()].concat(), "too early"),
        ("no end", one, file("a", b"abc"), "it ends too early"),
        ("cut in a file", one, file("a", b"abc")[..1].to_vec(), "it ends too early"),
        ("content of no file", one, vec![Item::Data(vec![1])], "impossible order"),
        ("end of no file", one, vec![Item::EndFile(0)], "impossible order"),
        ("file in a file", one, nested, "impossible order"),
        ("archive ends in a file", one, [file("a", b"abc")[..2].to_vec(), end()].concat(), "order"),
        (
            "a name twice",
            totals(1, 2, 2, 6),
            [file("a", b"abc"), file("a", b"abc"), end()].concat(),
            "another entry has this name",
        ),
        (
            "a file and a folder",
            totals(1, 2, 1, 3),
            [file("d", b"abc"), folder.clone(), end()].concat(),
            "another entry has this name",
        ),
        (
            "below a file",
            totals(1, 2, 2, 6),
            [file("a", b"abc"), file("a/b", b"abc"), end()].concat(),
            "a file stands where it needs a directory",
        ),
        (
            "a file of an archive before",
            totals(2, 2, 2, 6),
            [file("a", b"abc"), end(), file("a", b"xyz"), end()].concat(),
            "another entry has this name",
        ),
    ];
    let copies = [
        ("a copy of nothing", two, [copy("b", "a"), end()].concat(), "refers to \"a\""),
        ("a copy of itself", two, [copy("b", "b"), end()].concat(), "refers to \"b\""),
        (
            "a copy of a file to come",
            two,
            [copy("b", "a"), file("a", b"abc"), end()].concat(),
            "refers to \"a\"",
        ),
        (
            "a copy of a file that is not complete",
            two,
            [file("a", b"abc")[..2].to_vec(), copy("b", "a")].concat(),
            "impossible order",
        ),
        (
            "a copy of a file of another archive",
            totals(2, 2, 2, 6),
            [file("a", b"abc"), end(), copy("b", "a"), end()].concat(),
            "refers to \"a\"",
        ),
        (
            "a copy of a folder",
            two,
            [folder.clone(), copy("b", "d"), end()].concat(),
            "refers to \"d\"",
        ),
        (
            "a copy in the place of a file",
            totals(1, 3, 3, 9),
            [file("a", b"abc"), file("b", b"abc"), copy("b", "a"), end()].concat(),
            "another entry has this name",
        ),
        (
            "a copy beyond the announced bytes",
            totals(1, 2, 2, 5),
            [file("a", b"abc"), copy("b", "a"), end()].concat(),
            "it brings more bytes than it announced",
        ),
        (
            "a copy beyond the announced entries",
            totals(1, 1, 1, 6),
            [file("a", b"abc"), copy("b", "a"), end()].concat(),
            "it brings more entries than it announced",
        ),
    ];
    for (what, announced, items, words) in rows.into_iter().chain(copies) {
        let target = Target::new();
        let error = receive(&mut Tape::of(items), announced, &target).unwrap_err();
        assert!(error.to_string().contains(words), "{what}: {error}");
        assert!(target.names_beside().is_empty(), "{what}");
    }
    let target = Target::new();
    let items = [folder, file("a", b"abc"), end()].concat();
    assert!(receive(&mut Tape::of(items), totals(1, 2, 1, 3), &target).is_ok());
}

#[test]
fn the_executable_bit_of_files_and_copies_arrives() {
    let target = Target::new();
    let archive = target.beside("a.eti");
    let mode = Some(0o100_755);
    let entries = [
        RawEntry { mode, ..raw_file("tool", b"#!") },
        raw_file("readme", b"hi"),
        RawEntry { mode, ..raw_link(5, "copy", "readme", 2) },
    ];
    fs::write(&archive, rar5(&entries)).unwrap();
    let (mut tape, announced) = record(&[archive]);
    receive(&mut tape, announced, &target).unwrap();
    assert!(target.is_executable("tool") && target.is_executable("copy"));
    assert!(!target.is_executable("readme"));
}

#[test]
fn copies_are_made_after_a_stream_that_was_confirmed() {
    let items = [
        file("a", b"abc"),
        vec![
            Item::Copy(path("c/b"), path("a"), None, false),
            Item::Copy(path("d"), path("c/b"), None, false),
        ],
        file("e", b"x"),
        vec![Item::EndArchive],
    ]
    .concat();
    let announced = StreamTotals { archives: 1, entries: 4, files: 4, bytes: 10 };
    let (target, mut watch) = (Target::new(), Watch::default());
    let mut tape = Tape::of(items.clone());
    let name = Path::new("a stream");
    unpack_stream(&mut tape, announced, name, &target.dir(), &mut watch).unwrap();
    assert_eq!(target.names(), ["a", "c/", "c/b", "d", "e"]);
    assert!(["a", "c/b", "d"].iter().all(|name| target.tree()[*name] == b"abc"));
    assert!(watch.reports.is_sorted() && watch.reports.last() == Some(&10), "{:?}", watch.reports);

    let target = Target::new();
    let error = receive(&mut Tape { breaks_off: true, ..Tape::of(items) }, announced, &target);
    assert!(matches!(error, Err(UnpackError::Damaged { damage: Damage::Truncated, .. })));
    assert_eq!(target.names(), ["a", "e"], "nothing is copied for a stream that broke off");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_with_an_item_missing_or_swapped_never_passes(
        index in any::<prop::sample::Index>(),
        is_removed: bool,
    ) {
        let target = Target::new();
        let archive = target.beside("a.eti");
        let entries =
            [raw_file("a", b"one"), raw_file("b/c", b"three"), raw_directory("d"), raw_file("e", b"")];
        fs::write(&archive, fixture(&entries)).unwrap();
        let (mut tape, announced) = record(&[archive]);
        let at = index.index(tape.items.len() - 1);
        if is_removed {
            tape.items.remove(at);
        } else {
            tape.items.swap(at, at + 1);
        }
        let result = receive(&mut tape, announced, &target);
        prop_assert!(result.is_err(), "{:?}", tape.items);
        prop_assert_eq!(target.names_beside(), ["a.eti"]);
    }
}

/// A mark makes a directory one of the peer's own, which it may delete.
#[test]
fn the_mark_of_a_peer_is_refused_from_archives_and_streams() {
    let is_reserved = |result: &Result<(), UnpackError>| {
        matches!(result, Err(UnpackError::UnsafeEntry { reason: UnsafeReason::Reserved, .. }))
    };
    for name in [".lanspread_owned", ".LANSPREAD_OWNED", ".lanspread\u{200d}_owned"] {
        for entry in [raw_file(name, b"replaced"), raw_directory(name)] {
            for archive in
                [rar5(std::slice::from_ref(&entry)), fixture(std::slice::from_ref(&entry))]
            {
                let target = Target::new();
                let unpacked = target.unpack_bytes(&AutoUnpacker::default(), &archive).map(drop);
                assert!(is_reserved(&unpacked), "{name:?}: {unpacked:?}");
                assert!(target.names().is_empty());
                let opened = open(&[target.beside("archive.eti")]).map(drop);
                assert!(is_reserved(&opened), "{name:?}: {opened:?}");
            }
        }
        let (mut tape, announced) = record(&[data("rar5-solid.rar")]);
        let path = tape.items.iter_mut().find_map(|item| match item {
            Item::File(path, ..) => Some(path),
            _ => None,
        });
        *path.unwrap() = name.parse().unwrap();
        let target = Target::new();
        let (name_of_stream, dir) = (Path::new("a stream"), target.dir());
        let received = unpack_stream(&mut tape, announced, name_of_stream, &dir, &mut ()).map(drop);
        assert!(is_reserved(&received), "{name:?}: {received:?}");
        assert!(target.names().is_empty());
    }
}
