//! The external program, played by a script that answers like `unrar` 7.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanspread_archive::{
    AutoUnpacker, Damage, ExternalUnrar, MaxDictionary, StreamInstallProvider, StreamItem,
    StreamSink, StreamTotals, UnpackError, UnpackSummary, Unpacker, UnrarVersion, UnsafeReason,
};
use support::{Target, Watch, data, rar3, rar5, units};

/// While one test writes a script another must not fork: the child would hold the script open for
/// writing, and the system refuses to run it.
static SCRIPTS: Mutex<()> = Mutex::new(());

struct Fake {
    target: Target,
    archive: PathBuf,
    program: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Fake {
    /// A program that answers `lt` with `listing` and runs the shell line `print` for `p`.
    fn new(listing: &str, print: &str) -> Self {
        let turn = SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner);
        let target = Target::new();
        let archive = target.beside("game.eti");
        fs::write(&archive, rar5(&[])).unwrap();
        fs::write(target.beside("listing"), listing).unwrap();
        fs::write(target.beside("complaint"), "").unwrap();
        let program = target.beside("unrar");
        let script = format!(
            "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$*\" >> calls\n\
             case $1 in\nlt) cat listing; cat complaint >&2 ;;\np) {print} ;;\nesac\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { target, archive, program, _turn: turn }
    }

    fn unpack(&self) -> Result<UnpackSummary, UnpackError> {
        let unpacker = AutoUnpacker::new(Some(self.program.clone()));
        self.target.unpack(&unpacker, &self.archive)
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.target.beside("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

const HEAD: &str = "\nUNRAR 7.01 freeware      Copyright (c) 1993-2024 Alexander Roshal\n\n\
                    Archive: game.eti\nDetails: RAR 5\n";

fn listed(name: &str, kind: &str, more: &str) -> String {
    format!(
        "\n        Name: {name}\n        Type: {kind}\n{more}       mtime: 2020-07-20 21:01:44,3\n  \
         Attributes: -rw-r--r--\n     Host OS: Unix\n Compression: RAR 5.0(v50) -m3 -md=128k\n"
    )
}

fn listed_file(name: &str, content: &str) -> String {
    let crc32 = crc32fast::hash(content.as_bytes());
    let size = content.len();
    listed(
        name,
        "File",
        &format!("        Size: {size}\n       Ratio: 10%\n       CRC32: {crc32:08X}\n"),
    )
}

fn listed_link(name: &str, kind: &str, target: &str, size: usize) -> String {
    let more = format!("      Target: {target}\n        Size: {size}\n       CRC32: 00000000\n");
    listed(name, kind, &more)
}

#[test]
fn references_and_hard_links_become_copies() {
    let listing = [
        HEAD,
        &listed_file("a", "hello"),
        &listed_link("dir/b", "File reference", "a", 5),
        &listed_file("c", "world!"),
        &listed_link("d", "Hard link", "dir/b", 5),
    ]
    .concat();
    let fake = Fake::new(&listing, "printf helloworld!");
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 4, bytes: 21 });
    let tree = fake.target.tree();
    assert!(["a", "dir/b", "d"].iter().all(|name| tree[*name] == b"hello"));
    assert_eq!(tree["c"], b"world!");
}

#[test]
fn two_runs_bring_the_whole_tree() {
    let listing = [
        HEAD,
        &listed_file("sub dir/ü.txt", "hello"),
        &listed_file("empty", ""),
        &listed("dir", "Directory", ""),
        &listed_file("b", "world!"),
    ]
    .concat();
    let fake = Fake::new(&listing, "printf hello; printf world!");
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 3, bytes: 11 });
    let tree = fake.target.tree();
    let names: Vec<_> = tree.keys().map(String::as_str).collect();
    assert_eq!(names, ["b", "dir/", "empty", "sub dir/", "sub dir/ü.txt"]);
    assert_eq!((&*tree["sub dir/ü.txt"], &*tree["b"]), (&b"hello"[..], &b"world!"[..]));
    let archive = fake.archive.display();
    assert_eq!(
        fake.calls(),
        [
            format!("lt -v -cfg- -c- -p- -ver -- {archive}"),
            format!("p -inul -cfg- -c- -p- -ver -- {archive}"),
        ]
    );
}

#[test]
fn two_runs_stream_the_whole_tree() {
    struct Contents(Vec<u8>);
    impl StreamSink for Contents {
        fn take(&mut self, item: StreamItem<'_>) -> bool {
            match item {
                StreamItem::Data(block) => self.0.extend(block),
                StreamItem::EndFile { crc32 } => self.0.extend(crc32.to_be_bytes()),
                StreamItem::Directory(_)
                | StreamItem::File { .. }
                | StreamItem::Copy { .. }
                | StreamItem::EndArchive => {}
            }
            true
        }
    }
    let files = [listed_file("sub dir/a", "hello"), listed_file("b", "world!")];
    let fake = Fake::new(&[HEAD, &files.concat()].concat(), "printf hello; printf world!");
    let provider = AutoUnpacker::new(Some(fake.program.clone()));
    let stream = provider.open(std::slice::from_ref(&fake.archive), &mut ()).unwrap();
    let announced = StreamTotals { archives: 1, entries: 2, files: 2, bytes: 11 };
    assert_eq!(stream.totals(), announced);
    assert_eq!(fake.calls().len(), 1);
    let mut contents = Contents(Vec::new());
    assert_eq!(stream.run(&mut contents, &mut ()).unwrap(), announced);
    let crc32 = |text: &[u8]| crc32fast::hash(text).to_be_bytes();
    let expected = [b"hello", &crc32(b"hello")[..], b"world!", &crc32(b"world!")].concat();
    assert_eq!(contents.0, expected);
    let calls = fake.calls();
    let commands: Vec<_> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    assert_eq!(commands, ["lt", "p"]);
}

/// The real program prints `??` for the two units of one character.
#[test]
fn names_that_the_program_cannot_spell_are_read_from_the_headers() {
    let (first, second) = (units("😀.txt"), units("dir\\b"));
    let archive = rar3(&[(&first, b"hello"), (&second, b"world!")]);
    let listing = [HEAD, &listed_file("??.txt", "hello"), &listed_file("dir/b", "world!")].concat();
    let fake = Fake::new(&listing, "printf hello; printf world!");
    fs::write(&fake.archive, archive).unwrap();
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 2, bytes: 11 });
    assert_eq!(fake.target.names(), ["dir/", "dir/b", "😀.txt"]);
    drop(fake);

    let half = rar3(&[(&[0xd83d], b"hello")]);
    let listing = [HEAD, &listed_file("?", "hello")].concat();
    let fake = Fake::new(&listing, "printf hello");
    fs::write(&fake.archive, half).unwrap();
    match fake.unpack() {
        Err(UnpackError::UnsafeEntry { reason, .. }) => assert_eq!(reason, UnsafeReason::NotText),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_spans_volumes_is_one_file() {
    let part = |ratio, crc| {
        let more = format!("        Size: 5\n       Ratio: {ratio}\n  {crc}\n");
        listed("big", "File", &more)
    };
    let crc = format!("CRC32: {:08X}", crc32fast::hash(b"hello"));
    let listing = [
        HEAD,
        &part("-->", "Pack-CRC32: 00000001"),
        HEAD,
        &part("<->", "Pack-CRC32: 00000002"),
        HEAD,
        &part("<--", &crc),
    ]
    .concat();
    let fake = Fake::new(&listing, "printf hello");
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 1, bytes: 5 });
}

#[test]
fn unsafe_entries_are_refused_before_anything_is_unpacked() {
    let redirection = |kind| UnsafeReason::Redirection(kind);
    let nothing = |to: &str| UnsafeReason::RefersToNothing { to: to.to_owned() };
    for (entry, expected) in [
        (listed("x", "Unix symbolic link", "      Target: /etc\n"), redirection("symbolic link")),
        (listed_link("x", "Hard link", "b", 1), nothing("b")),
        (listed_link("x", "File reference", "../a", 1), nothing("../a")),
        (listed("x", "NTFS junction point", "      Target: C:\n"), redirection("junction")),
    ] {
        let fake = Fake::new(&[HEAD, &listed_file("a", "1"), &entry].concat(), "printf 1");
        match fake.unpack() {
            Err(UnpackError::UnsafeEntry { entry, reason }) => {
                assert_eq!((entry.as_str(), reason), ("x", expected));
            }
            other => panic!("{other:?}"),
        }
        assert!(fake.target.names().is_empty());
        assert_eq!(fake.calls().len(), 1);
    }
    let fake = Fake::new(&[HEAD, &listed_file(".Lanspread_Owned", "1")].concat(), "printf 1");
    let result = fake.unpack();
    assert!(
        matches!(result, Err(UnpackError::UnsafeEntry { reason: UnsafeReason::Reserved, .. })),
        "{result:?}"
    );
    drop(fake);
    for name in ["../x", "/x", "C:/x", "a/../../x", "con"] {
        let fake = Fake::new(&[HEAD, &listed_file(name, "1")].concat(), "printf 1");
        let result = fake.unpack();
        assert!(
            matches!(result, Err(UnpackError::UnsafeEntry { reason: UnsafeReason::Path(_), .. })),
            "{name}: {result:?}"
        );
        assert_eq!(fake.calls().len(), 1);
    }
}

#[test]
fn a_dictionary_above_the_limit_and_a_newer_compression_are_refused() {
    let with = |compression: &str| {
        let entry = listed_file("a", "1").replace("-md=128k", compression);
        [HEAD, &entry].concat()
    };
    let limit = |gib: u64| MaxDictionary::new(gib << 30).unwrap();
    for (size, needed, refusing, taking) in [
        ("-md=2g", "2 GiB", limit(1), limit(2)),
        ("-md=4096M", "4 GiB", limit(2), limit(4)),
        ("-md=8g", "8 GiB", limit(4), limit(8)),
    ] {
        let fake = Fake::new(&with(size), "printf 1");
        let unpacker = AutoUnpacker::new(Some(fake.program.clone()));
        let unpack = |limit| {
            let unpacker = unpacker.clone().with_max_dictionary(limit);
            fake.target.unpack(&unpacker, &fake.archive)
        };
        match unpack(refusing) {
            Err(UnpackError::Unsupported { reason, .. }) => {
                assert!(reason.contains(&format!("dictionary of {needed}, more than {refusing}")));
            }
            other => panic!("{size}: {other:?}"),
        }
        assert_eq!(unpack(taking).unwrap(), UnpackSummary { files: 1, bytes: 1 });
        let asked = fake.calls().pop().unwrap().contains("p -inul -mdx8388608k -cfg-");
        assert_eq!(asked, size == "-md=8g", "{size}");
    }
    let newer = with("-md=128k").replace("(v50)", "(v0)");
    let fake = Fake::new(&newer, "exit 2");
    let result = fake.unpack();
    assert!(matches!(result, Err(UnpackError::Unsupported { .. })), "{result:?}");
    assert_eq!(fake.calls().len(), 1);
}

/// The real program ends with 3 for such an archive, after it has printed all of it.
#[test]
fn a_complaint_about_odd_headers_is_passed_over() {
    let (first, second) = (
        "content", "content
",
    );
    let listing =
        [HEAD, &listed_file("FILE1.TXT", first), &listed_file("FILE2.TXT", second)].concat();
    let print = "printf 'contentcontent\n'; exit 3";
    let fake = Fake::new(&listing, print);
    fs::copy(data("rar15-comment.rar"), &fake.archive).unwrap();
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 2, bytes: 15 });
    drop(fake);
    // Version 6 complains of owners as well.
    let fake = Fake::new(&[HEAD, &listed_file("file.txt", "foo\n")].concat(), "echo foo; exit 3");
    fs::copy(data("rar2-unix-owner.rar"), &fake.archive).unwrap();
    assert_eq!(fake.unpack().unwrap(), UnpackSummary { files: 1, bytes: 4 });
    drop(fake);
    // One entry less than there are headers, another content, and another archive.
    let fewer =
        Fake::new(&[HEAD, &listed_file("FILE1.TXT", first)].concat(), "printf content; exit 3");
    fs::copy(data("rar15-comment.rar"), &fewer.archive).unwrap();
    let result = fewer.unpack();
    assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
    drop(fewer);
    let other = Fake::new(&listing, "printf 'CONTENTcontent\n'; exit 3");
    fs::copy(data("rar15-comment.rar"), &other.archive).unwrap();
    let result = other.unpack();
    assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
    drop(other);
    let result = Fake::new(&listing, print).unpack();
    assert!(matches!(result, Err(UnpackError::Damaged { .. })), "{result:?}");
}

#[test]
fn the_executable_bit_is_read_from_the_listing() {
    let rows = [
        ("a", "-rw-r--r--", false),
        ("b", "-rwxr-xr-x", true),
        ("c", "-rw-r--r-x", true),
        ("d", "-rwsr-sr-t", true),
        ("e", "-rwSr-Sr-T", false),
        ("f", "..A....", false),
        ("g", "..A.x..x.x", false),
    ];
    let mut listing = HEAD.to_owned();
    for (name, attributes, _) in rows {
        listing += &listed_file(name, "1").replace("-rw-r--r--", attributes);
    }
    let link = listed_link("h", "File reference", "a", 1);
    listing += &link.replace("-rw-r--r--", "-rwxr-xr-x");
    let fake = Fake::new(&listing, "printf 1111111");
    fake.unpack().unwrap();
    for (name, attributes, executable) in rows {
        assert_eq!(fake.target.is_executable(name), executable, "{attributes}");
    }
    assert!(fake.target.is_executable("h"));
}

#[test]
fn passwords_are_refused_before_anything_is_unpacked() {
    let encrypted = listed("a", "File", "        Size: 1\n       Flags: solid encrypted \n");
    for listing in [
        [HEAD, &encrypted].concat(),
        "\nArchive: game.eti\nDetails: RAR 5, encrypted headers\n".to_owned(),
    ] {
        let fake = Fake::new(&listing, "printf 1");
        let result = fake.unpack();
        assert!(matches!(result, Err(UnpackError::PasswordProtected { .. })), "{result:?}");
        assert_eq!(fake.calls().len(), 1);
    }
}

#[test]
fn a_listing_that_is_not_understood_is_refused() {
    for entry in [
        "\n        Name: a\nb\n        Type: File\n        Size: 1\n".to_owned(),
        "\n        Name: a\n        Type: File\n        Type: File\n        Size: 1\n".to_owned(),
        "\n        Name: a\n        Name: b\n        Type: File\n        Size: 1\n".to_owned(),
        "\n        Name: a\n        Type: File\n".to_owned(),
        "\n        Name: a\n        Type: File\n        Size: -1\n".to_owned(),
        "\n        Name: a\n        Type: Door\n        Size: 1\n".to_owned(),
        format!("\n        Name: {}\n", "a".repeat(100_000)),
    ] {
        let fake = Fake::new(&[HEAD, &entry].concat(), "printf 1");
        let result = fake.unpack();
        assert!(matches!(result, Err(UnpackError::External { .. })), "{entry:?}: {result:?}");
        assert!(fake.target.names().is_empty());
    }
}

#[test]
fn content_that_is_not_as_listed_is_damage() {
    let listing = [HEAD, &listed_file("a", "hello")].concat();
    for (print, expected) in [
        ("printf hellO", Damage::BadCrc),
        ("printf hello!", Damage::Malformed("it holds more than it lists")),
        ("printf hel", Damage::TooShort { announced: 5, found: 3 }),
        ("printf hel; exit 3", Damage::BadCrc),
        ("printf hel; echo 'Unexpected end of archive' >&2; exit 3", Damage::Truncated),
        (
            "printf hello; echo 'a - checksum error' >&2; exit 3",
            Damage::Reported("a - checksum error".to_owned()),
        ),
    ] {
        let fake = Fake::new(&listing, print);
        match fake.unpack() {
            Err(UnpackError::Damaged { damage, .. }) => assert_eq!(damage, expected, "{print}"),
            other => panic!("{print}: {other:?}"),
        }
    }
}

#[test]
fn failures_tell_status_and_the_end_of_stderr() {
    let listing = [HEAD, &listed_file("a", "hello")].concat();
    let print = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo ' no luck' >&2; exit 2";
    match Fake::new(&listing, print).unpack() {
        Err(UnpackError::External { status, stderr, .. }) => {
            assert!(status.contains('2'), "{status}");
            assert!(stderr.ends_with(" no luck") && stderr.len() <= 4096, "{}", stderr.len());
        }
        other => panic!("{other:?}"),
    }
    let print = "echo 'Cannot find volume /games/a.part2.rar  ' >&2; exit 1";
    match Fake::new(&listing, print).unpack() {
        Err(UnpackError::MissingVolume { volume, .. }) => {
            assert_eq!(volume, Path::new("/games/a.part2.rar"));
        }
        other => panic!("{other:?}"),
    }
}

/// What unrar 6.2 does: it lists as far as it comes, complains, and ends well.
#[test]
fn a_volume_that_only_the_listing_misses_is_missed() {
    let more = "        Size: 5\n       Ratio: -->\n  Pack-CRC32: 00000001\n";
    let fake = Fake::new(&[HEAD, &listed("big", "File", more)].concat(), "printf he; exit 3");
    fs::write(fake.target.beside("complaint"), "\nCannot find volume /games/a.part2.rar").unwrap();
    match fake.unpack() {
        Err(UnpackError::MissingVolume { volume, .. }) => {
            assert_eq!(volume, Path::new("/games/a.part2.rar"));
        }
        other => panic!("{other:?}"),
    }
    assert!(fake.target.names().is_empty());
    assert_eq!(fake.calls().len(), 1);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let target = Target::new();
    let unpacker = ExternalUnrar::new(target.beside("none"));
    let error = target.unpack(&unpacker, &data("rar5-solid.rar")).unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn cancelling_kills_the_program() {
    let listing = [HEAD, &listed_file("a", "hello"), &listed_file("b", "world")].concat();
    let fake = Fake::new(&listing, "echo $$ > pid; printf hello; exec sleep 600");
    let mut watch = Watch { cancel_above_bytes: Some(0), ..Watch::default() };
    let unpacker = ExternalUnrar::new(fake.program.clone());
    let result = unpacker.unpack(&fake.archive, &fake.target.dir(), &mut watch);
    assert!(matches!(result, Err(UnpackError::Cancelled)), "{result:?}");
    let pid = fs::read_to_string(fake.target.beside("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid}");
}

#[test]
fn a_pipe_in_place_of_a_volume_is_refused_before_the_program_runs() {
    use rustix::fs::{CWD, Mode, mkfifoat};

    let fake = Fake::new(&format!("{HEAD}{}", listed_file("a", "x")), "printf x");
    let pipe = fake.target.beside("game.e00");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    match fake.unpack() {
        Err(UnpackError::Io { path, .. }) => assert_eq!(path, pipe),
        other => panic!("{other:?}"),
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn the_version_is_read_from_the_banner() {
    let fake = Fake::new("", "");
    let says = |script: &str| {
        fs::write(&fake.program, format!("#!/bin/sh\n{script}\n")).unwrap();
        ExternalUnrar::new(fake.program.clone()).version()
    };
    let banner = "printf '\\nUNRAR 6.00 freeware  Copyright (c) 1993-2020\\n\\nUsage: ...'; exit 7";
    let found = says(banner).unwrap().unwrap();
    assert_eq!(found, UnrarVersion { major: 6, minor: 0 });
    assert!(found < UnrarVersion::OLDEST_SAFE);
    assert_eq!(says("yes UNRARED").unwrap(), None, "endless output is read to a bound");
    assert!(matches!(says("exec sleep 60"), Err(UnpackError::Cancelled)));
    fs::remove_file(&fake.program).unwrap();
    assert!(matches!(
        ExternalUnrar::new(fake.program.clone()).version(),
        Err(UnpackError::Io { .. })
    ));
}
