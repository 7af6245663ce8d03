use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_disk::IoFailure;
use lanspread_disk::trash::{self, Trash};
use lanspread_net::exchange::FrameReader;
use lanspread_net::exchange::frames::testing::{arriving, bytes_of, chattering, falling_silent};
use lanspread_proto::message::{Refusal, RefusalCode, StreamInstall};
use lanspread_proto::stream::{
    STREAM_ARCHIVES_MAX, STREAM_ENTRIES_MAX, StreamErrorCode, StreamExtent, StreamFrame,
};
use lanspread_proto::{RelPath, SourceError};
use tempfile::TempDir;
use tokio::time::{Duration, Instant, advance, timeout};

use super::testing::{crc32, receive, reception};
use super::*;
use crate::recover_all;

/// What a source does when it is asked.
#[derive(Clone)]
enum Does {
    Sends(Vec<StreamFrame>),
    /// Is gone after these frames.
    BreaksOffAfter(Vec<StreamFrame>),
    /// Says nothing after these frames.
    FallsSilentAfter(Vec<StreamFrame>),
    Refuses(RefusalCode),
    /// Gives nothing but this frame after these, every 5 s.
    RepeatsAfter(Vec<StreamFrame>, StreamFrame),
}

struct Scripted {
    peer_id: PeerId,
    does: Does,
    asked: Arc<Mutex<Vec<PeerId>>>,
}

impl StreamOrigin for Scripted {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn addr(&self) -> Option<SocketAddr> {
        None
    }

    fn open(&self, request: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>> {
        assert_eq!((request.game_id.as_str(), request.version.as_str()), ("quake", "1"));
        self.asked.lock().unwrap().push(self.peer_id);
        let answer = match &self.does {
            Does::Sends(frames) => Ok(arriving(&bytes_of(frames), 1000, false)),
            Does::BreaksOffAfter(frames) => Ok(arriving(&bytes_of(frames), 1000, true)),
            Does::FallsSilentAfter(frames) => Ok(falling_silent(&bytes_of(frames))),
            Does::RepeatsAfter(frames, frame) => {
                Ok(chattering(&bytes_of(frames), frame, Duration::from_secs(5)))
            }
            Does::Refuses(code) => {
                let message = "no".to_owned();
                Err(SourceError::Refused(Refusal { code: *code, message }))
            }
        };
        async move { answer }.boxed()
    }
}

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn extent(files: u64, bytes: u64) -> StreamExtent {
    StreamExtent { archives: 1, entries: files, files, bytes }
}

/// A file of `size` bytes as [`bytes_of`] fills it.
fn file(name: &str, size: u32) -> Vec<StreamFrame> {
    let content = vec![b'x'; size as usize];
    vec![
        StreamFrame::File {
            path: path(name),
            size: size.into(),
            modified_ms: None,
            executable: false,
        },
        StreamFrame::Data { len: size },
        StreamFrame::FileEnd { crc32: crc32(&content) },
    ]
}

/// A sound stream of one file of 700 bytes.
fn sound() -> Vec<StreamFrame> {
    let mut frames =
        vec![StreamFrame::Waiting { position: 2 }, StreamFrame::Waiting { position: 0 }];
    frames.push(StreamFrame::Begin(extent(1, 700)));
    frames.extend(file("bin/new.exe", 700));
    frames.insert(5, StreamFrame::Waiting { position: 0 });
    frames.extend([StreamFrame::ArchiveEnd {}, StreamFrame::End(extent(1, 700))]);
    frames
}

/// A peer with an old installation, or none, and the sources it knows.
struct World {
    games: TempDir,
    state: TempDir,
    asked: Arc<Mutex<Vec<PeerId>>>,
}

impl World {
    fn new(is_installed: bool) -> Self {
        let (games, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if is_installed {
            fs::create_dir_all(games.path().join("quake/local")).unwrap();
            fs::write(games.path().join("quake/local/old.exe"), "old").unwrap();
        }
        Self { games, state, asked: Arc::default() }
    }

    fn root(&self) -> PathBuf {
        self.games.path().join("quake")
    }

    fn job(&self, sources: &[Does]) -> StreamJob {
        let source = |(n, does): (usize, &Does)| {
            let peer_id = PeerId::from_public_key(&[n as u8]);
            let (does, asked) = (does.clone(), Arc::clone(&self.asked));
            Arc::new(Scripted { peer_id, does, asked }) as Arc<dyn StreamOrigin>
        };
        StreamJob {
            game_id: "quake".parse().unwrap(),
            version: "1".parse().unwrap(),
            root: self.root(),
            state_dir: self.state.path().to_path_buf(),
            limiter: Limiter::new(None),
            free_space: FreeSpace::of_this_machine(),
            me: PeerId::from_public_key(b"me"),
            sources: sources.iter().enumerate().map(source).collect(),
        }
    }

    async fn run(
        &self,
        sources: &[Does],
    ) -> (Result<StreamedGame, StreamFailure>, Vec<StreamNotice>) {
        let (notices, mut told) = mpsc::channel(1000);
        let outcome = run(self.job(sources), notices, CancellationToken::new()).await;
        let mut seen = Vec::new();
        while let Some(notice) = told.recv().await {
            seen.push(notice);
        }
        (outcome, seen)
    }

    /// Every file and directory on the disk and in the state directory, with the content of files.
    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        for dir in [self.games.path(), self.state.path()] {
            collect(dir, "", &mut tree);
        }
        // Where intents are kept, with nothing in it.
        tree.retain(|name, _| !["games/", "games/quake/"].contains(&name.as_str()));
        tree
    }
}

fn collect(directory: &std::path::Path, prefix: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), tree);
            tree.insert(format!("{name}/"), Vec::new());
        } else {
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_becomes_the_new_local_and_nothing_else() {
    for is_installed in [false, true] {
        let world = World::new(is_installed);
        let (outcome, notices) = world.run(&[Does::Sends(sound())]).await;
        let peer_id = PeerId::from_public_key(&[0]);
        assert_eq!(outcome, Ok(StreamedGame { peer_id, files: 1, bytes: 700 }));
        let names: Vec<_> = world.tree().into_keys().collect();
        let expected = ["quake/", "quake/local/", "quake/local/bin/", "quake/local/bin/new.exe"];
        assert_eq!(names, expected);
        assert_eq!(
            notices[..3],
            [
                StreamNotice::Waiting { peer_id, position: 2 },
                StreamNotice::Waiting { peer_id, position: 0 },
                StreamNotice::Began { peer_id, files: 1, bytes: 700 },
            ]
        );
        match notices.last() {
            Some(StreamNotice::Progress { bytes_done: 700, bytes_total: 700, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Streams that must not be installed, and how they are called.
fn bad_streams() -> Vec<(&'static str, Does, &'static str)> {
    let begin = || vec![StreamFrame::Begin(extent(1, 700))];
    let end = || vec![StreamFrame::ArchiveEnd {}, StreamFrame::End(extent(1, 700))];
    let whole = || [begin(), file("a", 700), end()].concat();
    let sends = |parts: &[Vec<StreamFrame>]| Does::Sends(parts.concat());
    let mut wrong_crc = whole();
    wrong_crc[3] = StreamFrame::FileEnd { crc32: 7 };
    let error = |code| StreamFrame::Error { code, message: "told so".to_owned() };
    let other_end = vec![StreamFrame::ArchiveEnd {}, StreamFrame::End(extent(1, 701))];
    let many = StreamExtent { archives: 1, entries: STREAM_ENTRIES_MAX + 1, files: 0, bytes: 0 };
    let crooked = StreamExtent { archives: 1, entries: 1, files: 2, bytes: 0 };
    let archives = StreamExtent { archives: STREAM_ARCHIVES_MAX + 1, ..extent(1, 700) };
    let beyond = StreamFrame::Waiting { position: 1_001 };
    let big_block = StreamFrame::Data { len: 256 * 1024 + 1 };
    let mut rows = vec![
        ("wrong checksum", Does::Sends(wrong_crc), "bad"),
        ("no totals first", sends(&[file("a", 700)]), "bad"),
        ("totals twice", sends(&[begin(), begin()]), "bad"),
        ("more after the end", sends(&[whole(), begin()]), "bad"),
        ("other totals at the end", sends(&[begin(), file("a", 700), other_end]), "bad"),
        ("end without its file", sends(&[begin(), end()]), "bad"),
        ("a second file", sends(&[begin(), file("a", 700), file("b", 1), end()]), "bad"),
        ("a longer file", sends(&[begin(), file("a", 701), end()]), "bad"),
        ("too many entries", sends(&[vec![StreamFrame::Begin(many)]]), "bad"),
        ("more files than entries", sends(&[vec![StreamFrame::Begin(crooked)]]), "bad"),
        ("too many archives", sends(&[vec![StreamFrame::Begin(archives)]]), "bad"),
        ("a place beyond any queue", sends(&[vec![beyond], whole()]), "bad"),
        ("a block too long", sends(&[begin(), vec![big_block]]), "bad"),
        ("an empty block", sends(&[begin(), vec![StreamFrame::Data { len: 0 }]]), "bad"),
        ("no end", sends(&[begin(), file("a", 700)]), "failed"),
        ("nothing", sends(&[]), "failed"),
        ("broken off before", Does::BreaksOffAfter(Vec::new()), "failed"),
        ("broken off in a file", Does::BreaksOffAfter(whole()[..3].to_vec()), "failed"),
        ("broken off before the end", Does::BreaksOffAfter(whole()[..5].to_vec()), "failed"),
        ("reset after the end", Does::BreaksOffAfter(whole()), "failed"),
        ("refused", Does::Refuses(RefusalCode::NotServed), "failed"),
        ("stopped", sends(&[begin(), vec![error(StreamErrorCode::Stopped)]]), "failed"),
        ("unread", sends(&[begin(), vec![error(StreamErrorCode::ReadFailed)]]), "failed"),
    ];
    for code in [
        StreamErrorCode::NoArchive,
        StreamErrorCode::PasswordProtected,
        StreamErrorCode::UnsafeArchive,
        StreamErrorCode::MissingVolume,
        StreamErrorCode::BadArchive,
        StreamErrorCode::UnsupportedArchive,
    ] {
        rows.push(("an archive at once", sends(&[vec![error(code)]]), "archive"));
        rows.push((
            "an archive later",
            sends(&[begin(), file("a", 9), vec![error(code)]]),
            "archive",
        ));
    }
    rows
}

#[tokio::test]
async fn whatever_is_wrong_with_a_stream_everything_is_as_it_was() {
    for (what, does, kind) in bad_streams() {
        for is_installed in [false, true] {
            let world = World::new(is_installed);
            let before = world.tree();
            let (outcome, notices) = world.run(std::slice::from_ref(&does)).await;
            let found = match &outcome {
                Err(StreamFailure::BadSource { .. }) => "bad",
                Err(StreamFailure::SourceFailed { .. }) => "failed",
                Err(StreamFailure::Archive { .. }) => "archive",
                other => panic!("{what}: {other:?}"),
            };
            assert_eq!(found, kind, "{what}: {outcome:?}");
            assert_eq!(world.tree(), before, "{what}");
            let dropped = matches!(notices.last(), Some(StreamNotice::SourceDropped { .. }));
            assert!(dropped, "{what}: {notices:?}");
        }
    }
}

#[tokio::test]
async fn another_source_makes_up_for_a_bad_one() {
    for (what, does, _) in bad_streams() {
        let world = World::new(true);
        // The order does not follow the list, so that the sound one may come first.
        let sources = [does.clone(), does, Does::Sends(sound())];
        let (outcome, _) = world.run(&sources).await;
        assert_eq!(outcome.map(|game| game.bytes), Ok(700), "{what}");
        assert!(!world.root().join("local/old.exe").exists(), "{what}");
    }
}

#[tokio::test]
async fn three_sources_are_asked_once_each_and_no_more() {
    let world = World::new(false);
    let refusing = vec![Does::Refuses(RefusalCode::Busy); 5];
    let (outcome, notices) = world.run(&refusing).await;
    assert!(matches!(outcome, Err(StreamFailure::SourceFailed { .. })), "{outcome:?}");
    let mut asked = world.asked.lock().unwrap().clone();
    assert_eq!((asked.len(), notices.len()), (3, 3));
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_written() {
    let world = World::new(true);
    let before = world.tree();
    let huge = vec![StreamFrame::Begin(extent(1, u64::MAX))];
    let (outcome, notices) = world.run(&[Does::Sends(huge.clone()), Does::Sends(huge)]).await;
    assert!(matches!(outcome, Err(StreamFailure::NotEnoughSpace(_))), "{outcome:?}");
    assert_eq!(notices, []);
    assert_eq!(world.tree(), before);
    assert_eq!(world.asked.lock().unwrap().len(), 1);
}

/// A source may have nothing to send for a long time, or be given up only after one.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_it_while_the_source_is_silent() {
    let world = World::new(true);
    fs::create_dir(world.root().join(".local.installing")).unwrap();
    let before = world.tree();
    let began = Instant::now();
    let silent = Does::FallsSilentAfter(vec![StreamFrame::Begin(extent(1, 700))]);
    let (outcome, _) = world.run(&[silent]).await;
    let failure = InstallFailure::Io(IoFailure::refused(
        "replace",
        world.root().join(".local.installing"),
        "it was not made by a peer",
    ));
    assert_eq!(outcome, Err(StreamFailure::Install(failure)));
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited for the source");
    assert_eq!(world.tree(), before);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_falls_silent_is_given_up() {
    for frames in [Vec::new(), vec![StreamFrame::Waiting { position: 1 }]] {
        let world = World::new(true);
        let before = world.tree();
        let (outcome, _) = world.run(&[Does::FallsSilentAfter(frames.clone())]).await;
        match outcome {
            Err(StreamFailure::SourceLost { reason, .. }) => {
                assert_eq!(reason, "nothing arrived for 10 s", "{frames:?}");
            }
            other => panic!("{frames:?}: {other:?}"),
        }
        assert_eq!(world.asked.lock().unwrap().len(), 2, "it may only have another address");
        assert_eq!(world.tree(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_nothing_but_signs_of_life_is_given_up() {
    let in_turn = StreamFrame::Waiting { position: 0 };
    let begin = StreamFrame::Begin(extent(1, 700));
    let mut half = vec![begin.clone()];
    half.push(StreamFrame::File {
        path: path("a"),
        size: 700,
        modified_ms: None,
        executable: false,
    });
    for (frames, least_s) in [(Vec::new(), 600), (vec![begin], 120), (half, 120)] {
        let world = World::new(true);
        let before = world.tree();
        let began = Instant::now();
        let sources = [Does::RepeatsAfter(frames.clone(), in_turn.clone())];
        let mut running = Box::pin(world.run(&sources));
        // Time does not go on by itself while the disk waits for what arrives.
        let (outcome, _) = loop {
            tokio::select! {
                biased;
                ended = &mut running => break ended,
                () = advance(Duration::from_secs(1)) => {}
            }
            // It also goes by while the disk works, which takes real time: so far more than is needed.
            assert!(began.elapsed() < Duration::from_secs(10_000_000), "{frames:?}: not given up");
        };
        match outcome {
            Err(StreamFailure::SourceFailed { reason, .. }) => {
                assert_eq!(reason, "nothing of the game arrived in time", "{frames:?}");
            }
            other => panic!("{frames:?}: {other:?}"),
        }
        assert!(began.elapsed() >= Duration::from_secs(least_s), "{frames:?}");
        assert_eq!(world.tree(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_a_little_just_in_time_is_left_for_another() {
    let world = World::new(true);
    let mut frames = vec![StreamFrame::Begin(extent(1, 1_000_000))];
    let (path, size) = (path("a"), 1_000_000);
    frames.push(StreamFrame::File { path, size, modified_ms: None, executable: false });
    let trickles = Does::RepeatsAfter(frames, StreamFrame::Data { len: 1 });
    // Whichever is asked first.
    let sources = [trickles.clone(), trickles, Does::Sends(sound())];
    let began = Instant::now();
    let mut running = Box::pin(world.run(&sources));
    let (outcome, notices) = loop {
        tokio::select! {
            biased;
            ended = &mut running => break ended,
            () = advance(Duration::from_secs(1)) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(10_000_000), "it was not given up");
    };
    assert_eq!(outcome.map(|game| game.bytes), Ok(700));
    for notice in notices {
        if let StreamNotice::SourceDropped { reason, .. } = notice {
            assert!(reason.contains("it sends less than 4 KiB a second"), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_source_that_gave_the_turn_to_others_is_asked_again_once() {
    let world = World::new(false);
    let message = "others wait".to_owned();
    let lost = vec![StreamFrame::Error { code: StreamErrorCode::TooSlow, message }];
    let (outcome, _) = world.run(&[Does::Sends(lost)]).await;
    assert!(matches!(outcome, Err(StreamFailure::TurnLost { .. })), "{outcome:?}");
    assert_eq!(world.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_waited_for_as_long_as_the_source_gives_signs_of_life() {
    let world = World::new(true);
    let queued = Does::RepeatsAfter(Vec::new(), StreamFrame::Waiting { position: 1 });
    let a_day = Duration::from_secs(24 * 3_600);
    assert!(timeout(a_day, world.run(&[queued])).await.is_err(), "it was given up");
}

#[tokio::test]
async fn only_a_better_place_is_told() {
    let told = async |positions: &[u32]| {
        let world = World::new(false);
        let waiting = positions.iter().map(|position| StreamFrame::Waiting { position: *position });
        let frames = waiting.chain(sound().split_off(2)).collect();
        let (outcome, notices) = world.run(&[Does::Sends(frames)]).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        let told = notices.iter().filter_map(|notice| match notice {
            StreamNotice::Waiting { position, .. } => Some(*position),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&[3, 3, 2, 5, 2, 3, 1, 4, 0, 0, 7]).await, [3, 2, 1, 0]);
    let alternating: Vec<_> = (0..500).map(|n| n % 2 + 1).collect();
    assert_eq!(told(&alternating).await, [1]);
    // Nobody came first.
    assert!(told(&[0, 0]).await.is_empty());
}

#[test]
fn a_panic_while_it_is_written_leaves_everything_as_it_was() {
    for is_installed in [false, true] {
        for steps in 0.. {
            let world = World::new(is_installed);
            let before = world.tree();
            let mut seen = 0;
            let mut hook = |_| {
                seen += 1;
                assert!(seen <= steps, "a panic, as planned");
                Ok(())
            };
            let game_id = "quake".parse().unwrap();
            let reception = reception(&world.root(), world.state.path(), &game_id, &[("a", "new")]);
            let outcome = reception.install_or_roll_back(&mut hook);
            let is_new = world.tree().contains_key("quake/local/a");
            if outcome.is_ok() {
                assert!(is_new);
                break;
            }
            let failure = InstallFailure::Io(IoFailure::refused(
                "go on installing",
                world.root(),
                "an internal error, which the log describes",
            ));
            assert_eq!(outcome, Err(StreamFailure::Install(failure)), "at step {steps}");
            let transient = |name: &String| name.contains(".local.") || name.contains("intent");
            let left: Vec<_> = world.tree().into_keys().filter(transient).collect();
            assert!(left.is_empty(), "at step {steps}: {left:?}");
            assert!(is_new || world.tree() == before, "at step {steps}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_installation_is_rolled_back() {
    let world = World::new(true);
    let before = world.tree();
    let cancel = CancellationToken::new();
    let (notices, mut told) = mpsc::channel(1);
    let running = tokio::spawn(run(
        world.job(&[Does::Sends(sound()), Does::Sends(sound())]),
        notices,
        cancel.clone(),
    ));
    // The first notice; beyond the next one it waits for somebody to listen.
    told.recv().await.unwrap();
    cancel.cancel();
    while told.recv().await.is_some() {}
    assert_eq!(running.await.unwrap(), Err(StreamFailure::Cancelled));
    assert_eq!(world.tree(), before);
}

/// What a kill unwinds with.
struct Killed;

#[test]
fn a_kill_leaves_no_root_that_was_made_for_the_stream() {
    let game_id: GameId = "quake".parse().unwrap();
    for steps in 0.. {
        let world = World::new(false);
        let mut seen = 0;
        let mut hook = |_| {
            seen += 1;
            if seen > steps { resume_unwind(Box::new(Killed)) } else { Ok(()) }
        };
        let root = world.root();
        let installing =
            || receive(&root, world.state.path(), &game_id, &[("a", "new")], &mut hook);
        let ended = catch_unwind(AssertUnwindSafe(installing));
        let mut trash = Trash::of(world.games.path());
        recover_all(world.games.path(), world.state.path(), &mut trash).unwrap();
        trash::empty(world.games.path(), &|| false);
        let mut tree = world.tree();
        // Where no root was made yet, nothing on the disk needs the intent; the next one clears it.
        tree.retain(|name, _| !name.ends_with("install_intent.json"));
        let names: Vec<_> = tree.into_keys().collect();
        let is_new = names == ["quake/", "quake/local/", "quake/local/a"];
        assert!(is_new || names.is_empty(), "killed before step {steps}: {names:?}");
        match ended {
            Ok(result) => {
                assert!(result.is_ok() && is_new, "{names:?}");
                break;
            }
            Err(payload) => assert!(payload.is::<Killed>()),
        }
    }
}
