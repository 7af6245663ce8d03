use std::fs::{self, File};

use lanspread_proto::{ContentHash, FileBits, FileHashes, Manifest, ManifestFile};
use proptest::prelude::*;

use super::content::GAMES_DIRS_MAX;
use super::revisions::REVISIONS_FILE;
use super::store::{INDEX_FILE, LOG_FILE};
use super::*;
use crate::stamp::Mtime;

fn id(text: &str) -> GameId {
    text.parse().unwrap()
}

/// What is known of a game with one archive of this size.
fn known(size: u64) -> KnownContent {
    let file = ManifestFile { path: "a.eti".parse().unwrap(), size, hashes: None };
    let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
    let remembered = size.is_multiple_of(2).then(|| {
        let mut bits = FileBits::new(1);
        bits.set(0);
        bits
    });
    KnownContent { manifest: Arc::new(manifest), times: Arc::new([Some(Mtime(7, 8))]), remembered }
}

fn load(state: &Path) -> Index {
    let (index, warning) = Index::load(state).unwrap();
    assert_eq!(warning, None);
    index
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn what_was_saved_is_found_again_for_the_same_directory_only() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    assert_eq!(index.library_rev(), 0);
    index.record(games, id("quake"), known(7));
    index.save().unwrap();

    let index = load(state.path());
    assert_eq!(index.known(games, &id("quake")), Some(known(7)));
    assert_eq!(index.known(Path::new("/other"), &id("quake")), None);
    assert_eq!(index.known(games, &id("doom")), None);
}

#[test]
fn the_least_recently_used_games_directory_is_forgotten_first() {
    let state = tempfile::tempdir().unwrap();
    let mut index = load(state.path());
    let dirs: Vec<_> = (0..=GAMES_DIRS_MAX).map(|n| PathBuf::from(format!("/{n}"))).collect();
    for dir in &dirs {
        index.record(dir, id("quake"), known(1));
        index.forget(&dirs[0], &id("doom"));
    }
    let kept = |dir: &PathBuf| index.known(dir, &id("quake")).is_some();
    let kept: Vec<_> = dirs.iter().map(kept).collect();
    assert_eq!(kept, [true, false, true, true, true]);
}

#[test]
fn a_changed_game_costs_a_line_about_it_alone_and_an_unchanged_library_nothing() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    for n in 0..2_000 {
        index.record(games, id(&format!("quake{n}")), known(n));
    }
    index.save().unwrap();
    let snapshot = state.path().join(INDEX_FILE);
    let written = fs::metadata(&snapshot).unwrap().modified().unwrap();
    let log = state.path().join(LOG_FILE);
    assert_eq!(size_of(&log), 0);

    let mut index = load(state.path());
    for n in 0..2_000 {
        index.record(games, id(&format!("quake{n}")), known(n));
    }
    index.forget(games, &id("never-there"));
    index.save().unwrap();
    assert_eq!(size_of(&log), 0);
    index.record(games, id("quake7"), known(70));
    index.save().unwrap();
    let frame = fs::read(&log).unwrap();
    let named = frame.windows(6).filter(|it| it == b"quake7").count();
    assert!(named == 1 && frame.len() < 120, "{named} in {} bytes", frame.len());
    assert_eq!(fs::metadata(&snapshot).unwrap().modified().unwrap(), written);
    let found = load(state.path()).known(games, &id("quake7"));
    assert_eq!(found, Some(known(70)));
}

#[test]
fn the_log_never_outgrows_the_snapshot_by_much() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    let mut written = 0;
    for n in 0..8_000 {
        index.record(games, id("quake"), known(n));
        index.save().unwrap();
        written = written.max(size_of(&state.path().join(LOG_FILE)));
    }
    assert!((200_000..=256 * 1024).contains(&written), "{written}");
    assert_eq!(load(state.path()).known(games, &id("quake")), Some(known(7_999)));
}

#[test]
fn revisions_never_come_again_after_a_crash_and_go_on_after_a_clean_end() {
    let state = tempfile::tempdir().unwrap();
    let mut announced = 0;
    for _ in 0..3 {
        let mut index = load(state.path());
        index.reserve_revs().unwrap();
        // More than are reserved at once: the saves in between reserve more.
        for n in 0..3 * REV_HEADROOM / 2 {
            let rev = index.next_rev();
            assert!(rev > announced, "{rev} after {announced}");
            announced = rev;
            if n % 10_000 == 0 {
                index.save().unwrap();
            }
        }
    }
    let mut index = load(state.path());
    announced = index.next_rev();
    index.close().unwrap();
    assert_eq!(load(state.path()).next_rev(), announced + 1);
}

#[test]
fn a_broken_snapshot_is_moved_aside_and_its_revision_kept() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join(INDEX_FILE);
    let mut index = load(state.path());
    index.record(Path::new("/games"), id("quake"), known(1));
    index.reserve_revs().unwrap();
    index.save().unwrap();
    let rev = index.library_rev() + REV_HEADROOM;
    let whole = fs::read(&path).unwrap();
    fs::remove_file(state.path().join(REVISIONS_FILE)).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |len: usize| whole[..len].to_vec();
    let broken = [
        (Vec::new(), 0),
        (b"\0\0\0\0".to_vec(), 0),
        (flipped(5), 0),
        (cut(10), 0),
        (cut(whole.len() - 1), rev),
        (flipped(whole.len() - 20), rev),
        ([whole.clone(), vec![1]].concat(), rev),
    ];
    for (count, (bytes, rev)) in broken.into_iter().enumerate() {
        fs::write(&path, &bytes).unwrap();
        let (index, warning) = Index::load(state.path()).unwrap();
        assert_eq!(fs::read(warning.unwrap().moved_to).unwrap(), bytes);
        assert_eq!(index.library_rev(), rev, "{count}");
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), count + 1);
    }
}

#[test]
fn a_broken_index_of_an_older_format_is_moved_aside_and_its_revision_kept() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join(legacy::SNAPSHOT_FILE);
    let broken: [(&[u8], u64); 5] = [
        (b"", 0),
        (b"\0\0\0\0", 0),
        (br#"{"format":1,"library_rev":4711,"libraries":[{"#, 4711),
        (br#"{"format":1,"library_rev":47"#, 0),
        (br#"{"format":3,"library_rev":5,"libraries":[]}"#, 5),
    ];
    for (count, (bytes, rev)) in broken.into_iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let (index, warning) = Index::load(state.path()).unwrap();
        assert_eq!(fs::read(warning.unwrap().moved_to).unwrap(), bytes);
        assert_eq!(index.library_rev(), rev);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), count + 1);
    }
}

#[test]
fn the_index_of_an_older_version_is_read() {
    let state = tempfile::tempdir().unwrap();
    let text = r#"{"format":1,"library_rev":1025,"libraries":[]}"#;
    fs::write(state.path().join(legacy::SNAPSHOT_FILE), text).unwrap();
    assert_eq!(load(state.path()).library_rev(), 1025);
}

#[test]
fn a_log_that_is_damaged_before_its_end_is_moved_aside_and_counts_up_to_there() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    index.save().unwrap();
    for name in ["doom", "hexen", "quake"] {
        index.record(games, id(name), known(1));
        index.save().unwrap();
    }
    let path = state.path().join(LOG_FILE);
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.windows(5).position(|it| it == b"hexen").unwrap();
    damaged[at + 2] = b'X';
    fs::write(&path, &damaged).unwrap();
    let (index, warning) = Index::load(state.path()).unwrap();
    assert_eq!(fs::read(warning.unwrap().moved_to).unwrap(), damaged);
    let is_known = |index: &Index, name| index.known(games, &id(name)).is_some();
    let known = |index: &Index| ["doom", "hexen", "quake"].map(|name| is_known(index, name));
    assert_eq!(known(&index), [true, false, false]);
    index.save().unwrap();
    assert_eq!(known(&load(state.path())), [true, false, false]);
}

#[test]
fn the_log_of_another_snapshot_says_nothing() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    index.save().unwrap();
    index.record(games, id("quake"), known(1));
    index.save().unwrap();
    let log = fs::read(state.path().join(LOG_FILE)).unwrap();
    // A crash between the two steps of a new snapshot leaves the log of the old one.
    index.forget(games, &id("quake"));
    index.begin_anew();
    index.save().unwrap();
    fs::write(state.path().join(LOG_FILE), &log).unwrap();
    let mut index = load(state.path());
    assert_eq!(index.known(games, &id("quake")), None);
    index.record(games, id("doom"), known(2));
    index.save().unwrap();
    let index = load(state.path());
    assert_eq!(index.known(games, &id("doom")), Some(known(2)));
    assert_eq!(index.known(games, &id("quake")), None);
}

#[test]
fn what_cannot_be_saved_now_is_saved_later() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    index.reserve_revs().unwrap();
    index.save().unwrap();
    let log = state.path().join(LOG_FILE);
    fs::create_dir(&log).unwrap();
    index.record(games, id("quake"), known(1));
    index.record(games, id("doom"), known(1));
    assert!(index.save().is_err());
    index.record(games, id("quake"), known(2));
    fs::remove_dir(&log).unwrap();
    index.save().unwrap();
    let found = load(state.path());
    assert_eq!(found.known(games, &id("quake")), Some(known(2)));
    assert_eq!(found.known(games, &id("doom")), Some(known(1)));

    // Whoever removes the log takes nothing with it that the index knows.
    fs::remove_file(&log).unwrap();
    index.record(games, id("hexen"), known(3));
    index.save().unwrap();
    let found = load(state.path());
    for name in ["doom", "hexen", "quake"] {
        assert!(found.known(games, &id(name)).is_some(), "{name}");
    }
}

/// One thing that happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Record {
        dir: usize,
        game: usize,
        size: u64,
    },
    Forget {
        dir: usize,
        game: usize,
    },
    Save,
    /// All is written in a new snapshot.
    Rewrite,
    /// The process ends without a save and starts again.
    Restart,
    /// A save is cut off after this share of its bytes, and the process starts again.
    Cut {
        per_mille: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let dir = 0..GAMES_DIRS_MAX + 2;
    let record = (dir.clone(), 0..4_usize, 0..3_u64).prop_map(|(dir, game, size)| Step::Record {
        dir,
        game,
        size,
    });
    let forget = (dir, 0..4_usize).prop_map(|(dir, game)| Step::Forget { dir, game });
    let cut = (0..=1_000_usize).prop_map(|per_mille| Step::Cut { per_mille });
    let step = prop_oneof![
        8 => record,
        2 => forget,
        4 => Just(Step::Save),
        1 => Just(Step::Rewrite),
        1 => Just(Step::Restart),
        2 => cut,
    ];
    prop::collection::vec(step, 0..60)
}

fn content(index: &Index) -> Content {
    let state = index.read();
    state.content.clone()
}

/// Saves, and cuts off the line that it appended: as much is on disk as a crash may leave.
fn save_and_cut(index: &Index, state: &Path, per_mille: usize) -> bool {
    let log = state.join(LOG_FILE);
    let (before, generation) = (size_of(&log), index.store().save_generation());
    index.save().unwrap();
    let appended = size_of(&log).saturating_sub(before);
    if index.store().save_generation() != generation || appended == 0 {
        return true;
    }
    let kept = appended * per_mille as u64 / 1_000;
    File::options().write(true).open(&log).unwrap().set_len(before + kept).unwrap();
    kept == appended
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_and_log_always_lead_to_what_was_saved_last(steps in steps()) {
        let state = tempfile::tempdir().unwrap();
            let mut index = load(state.path());
        let mut saved = content(&index);
        for step in steps {
            let dir = |dir| PathBuf::from(format!("/{dir}"));
            let game = |game| id(&format!("game{game}"));
            match step {
                Step::Record { dir: d, game: g, size } => {
                    index.record(&dir(d), game(g), known(size));
                }
                Step::Forget { dir: d, game: g } => index.forget(&dir(d), &game(g)),
                Step::Rewrite => index.begin_anew(),
                Step::Save => {
                    index.save().unwrap();
                    saved = content(&index);
                }
                Step::Restart => {
                    index = load(state.path());
                    prop_assert_eq!(&content(&index), &saved);
                }
                Step::Cut { per_mille } => {
                    let after = content(&index);
                    if save_and_cut(&index, state.path(), per_mille) {
                        saved = after;
                    }
                    index = load(state.path());
                    prop_assert_eq!(&content(&index), &saved);
                }
            }
        }
        index.save().unwrap();
        prop_assert_eq!(content(&load(state.path())), content(&index));
    }
}

#[test]
fn what_the_first_format_knew_of_archives_is_kept_and_other_files_are_in_doubt() {
    let state = tempfile::tempdir().unwrap();
    let stamp = |size: u64| format!(r#"{{"size":{size},"mtime_s":7,"mtime_ns":9}}"#);
    let entry = |size: u64| {
        let (archive, sentinel) = (stamp(size), stamp(2));
        format!(
            r#"{{"fingerprint":{{"archives":[{{"name":"a.eti","stamp":{archive}}}],
            "sentinel":{sentinel}}},"manifest":{{"version":"1","files":[
            {{"path":"a.eti","size":{size}}},{{"path":"cfg/Thumbs.db","size":1}},
            {{"path":"cfg/x","size":3}},{{"path":"version.ini","size":2}}]}}}}"#
        )
    };
    let snapshot = format!(
        r#"{{"format":1,"library_rev":5,"generation":1,"libraries":[{{"games_dir":"/games",
        "games":{{"doom":{},"quake":{}}}}}]}}"#,
        entry(1),
        entry(1)
    );
    fs::write(state.path().join(legacy::SNAPSHOT_FILE), snapshot).unwrap();
    // As a peer of that time appended it: quake has changed since.
    let body = format!(
        r#"{{"generation":1,"libraries":[{{"games_dir":"/games","anew":false,"games":{{"quake":{}}}}}]}}"#,
        entry(4).replace('\n', "")
    );
    let mut check = blake3::hash(body.as_bytes()).to_hex().to_string();
    check.truncate(16);
    fs::write(state.path().join(legacy::LOG_FILE), format!("{check} {body}\n")).unwrap();

    for _ in 0..2 {
        let index = load(state.path());
        for (game, size) in [("doom", 1), ("quake", 4)] {
            let found = index.known(Path::new("/games"), &id(game)).unwrap();
            assert_eq!(found.manifest.files()[0].size, size, "{game}");
            let paths: Vec<_> = found.manifest.files().iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, ["a.eti", "cfg/x"], "{game}");
            assert_eq!(found.times[..], [Some(Mtime(7, 9)), None], "{game}");
        }
        // The next start finds it in the format of today, and nothing of the old one.
        index.save().unwrap();
        let names = [INDEX_FILE, legacy::SNAPSHOT_FILE, legacy::LOG_FILE];
        let is_there = names.map(|name| state.path().join(name).exists());
        assert_eq!(is_there, [true, false, false]);
    }
}

/// What format 2 wrote of a game whose files were all hashed.
fn old_game(files: &[(&str, &[u8])]) -> String {
    let file = |(path, bytes): &(&str, &[u8])| {
        let hash = ContentHash::of(bytes);
        format!(r#"{{"path":"{path}","size":{},"hash":"{hash}","chunks":"{hash}"}}"#, bytes.len())
    };
    let list: Vec<_> = files.iter().map(file).collect();
    let times = vec!["[7,9]"; files.len()].join(",");
    format!(r#"{{"times":[{times}],"manifest":{{"version":"1","files":[{}]}}}}"#, list.join(","))
}

#[test]
fn the_second_format_loses_no_hash_and_no_file_that_is_content() {
    let state = tempfile::tempdir().unwrap();
    let game =
        old_game(&[("Thumbs.db", b"t"), ("a.eti", b"archive"), ("b", b"2"), ("version.ini", b"1")]);
    let snapshot = format!(
        r#"{{"format":2,"library_rev":5,"generation":3,"libraries":[
        {{"games_dir":"/new","games":{{"quake":{game}}}}},{{"games_dir":"/old","games":{{}}}}]}}"#
    );
    fs::write(state.path().join(legacy::SNAPSHOT_FILE), snapshot).unwrap();
    let mut index = load(state.path());
    let found = index.known(Path::new("/new"), &id("quake")).unwrap();
    let file = |path: &str, bytes: &[u8]| ManifestFile {
        path: path.parse().unwrap(),
        size: bytes.len() as u64,
        hashes: Some(FileHashes::from_chunks([ContentHash::of(bytes)])),
    };
    let files = vec![file("a.eti", b"archive"), file("b", b"2")];
    assert_eq!(*found.manifest, Manifest::new("1".parse().unwrap(), files).unwrap());
    assert!(found.manifest.content_root().is_some());
    assert_eq!(found.times[..], [Some(Mtime(7, 9)); 2]);
    // The order of the directories is kept as well: the others are forgotten before this one.
    for n in 0..GAMES_DIRS_MAX - 1 {
        index.record(&PathBuf::from(format!("/{n}")), id("doom"), known(1));
    }
    index.save().unwrap();
    assert_eq!(load(state.path()).known(Path::new("/new"), &id("quake")), Some(found));
}

#[test]
fn a_snapshot_of_today_counts_and_not_one_of_an_older_format_that_a_crash_left() {
    let state = tempfile::tempdir().unwrap();
    let games = Path::new("/games");
    let mut index = load(state.path());
    index.record(games, id("doom"), known(1));
    index.save().unwrap();
    let old = r#"{"format":2,"library_rev":5,"libraries":[]}"#;
    fs::write(state.path().join(legacy::SNAPSHOT_FILE), old).unwrap();
    let mut index = load(state.path());
    assert_eq!(index.known(games, &id("doom")), Some(known(1)));
    index.record(games, id("doom"), known(2));
    index.save().unwrap();
    assert!(!state.path().join(legacy::SNAPSHOT_FILE).exists());
}

#[test]
fn golden_bytes_of_a_record() {
    let changes = {
        let mut index = load(tempfile::tempdir().unwrap().path());
        let hashes = Some(FileHashes::from_chunks([[7; 32].into()]));
        let file = ManifestFile { path: "a.eti".parse().unwrap(), size: 3, hashes };
        let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
        let times = Arc::new([Some(Mtime(7, 8))]);
        let mut bits = FileBits::new(1);
        bits.set(0);
        let known = KnownContent { manifest: Arc::new(manifest), times, remembered: Some(bits) };
        index.record(Path::new("/g"), id("q"), known);
        let State { content, unsaved, .. } = &mut *index.write();
        unsaved.take(content)
    };
    let body = [
        // Generation 5; the directory `/g`, of which nothing was known; the game `q`.
        "05 02 2f67 01 01 01 71 01",
        // Version 1; one layout page; one time; which files are hashed; their hashes.
        "01 31 01 09 01 00 05 612e657469 03 01 01 0e 08 01 01 20",
        &"07".repeat(32),
        // The executable bits that are remembered.
        "01 01 01",
    ];
    let body = hex::decode(body.concat().replace(' ', "")).unwrap();
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(&body);
    frame.extend(&blake3::hash(&body).as_bytes()[..8]);
    assert_eq!(record::encode_save(5, &changes), frame);
}

#[test]
fn no_part_of_a_real_index_breaks_the_reader() {
    // Bodies of frames, as `fuzz/` has them.
    for seed in [
        &include_bytes!("../../../../fuzz/seeds/index/library_index.bin.bodies")[..],
        include_bytes!("../../../../fuzz/seeds/index/library_index.blog.bodies"),
    ] {
        for cut in 0..=seed.len() {
            fuzzing::index(seed.get(..cut).unwrap());
        }
        for at in 0..seed.len() {
            for bit in 0..8 {
                let mut damaged = seed.to_vec();
                damaged[at] ^= 1 << bit;
                fuzzing::index(&damaged);
            }
        }
    }
}
