//! Streamed installations between real peers over QUIC on loopback.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_archive::{
    ArchiveStream, AutoUnpacker, StreamInstallProvider, StreamItem, StreamSink, StreamTotals,
    UnpackControl, UnpackError,
};
use lanspread_fixture::RarWriter;
use lanspread_peer::{
    Availability, CommandError, GameScope, Operation, PeerCommand, PeerEvent, StreamFailure,
    StreamSummary,
};
use lanspread_proto::RelPath;
use lanspread_proto::stream::StreamErrorCode;
use support::{Setup, TestPeer, game_id};
use tokio::sync::watch;

/// A real archive with these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = RarWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    for (path, content) in files {
        let path = RelPath::new(*path).unwrap();
        writer.add_file(&path, content.len() as u64, None, false, *content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn quake() -> Vec<u8> {
    archive(&[("bin/quake.exe", &[7; 3_000_000]), ("readme.txt", b"hello")])
}

/// An archive that RAR itself made.
fn real(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lanspread-archive/tests/data");
    fs::read(data.join(name)).unwrap()
}

async fn stream(peer: &TestPeer) -> Result<StreamSummary, CommandError> {
    let command = |reply| PeerCommand::StreamInstall {
        game_id: game_id("quake"),
        content_root: None,
        wait: true,
        reply,
    };
    peer.ask(command).await
}

fn failure(result: Result<StreamSummary, CommandError>) -> StreamFailure {
    match result {
        Err(CommandError::Stream(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// The game root, `local/` included: names of directories end in `/`.
fn tree(peer: &TestPeer) -> BTreeMap<String, Vec<u8>> {
    fn collect(directory: &Path, prefix: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries {
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
    let mut tree = BTreeMap::new();
    collect(&peer.games_dir.join("quake"), "", &mut tree);
    tree
}

/// A peer with an old installation of the game and no download of it.
async fn installed(name: &'static str) -> TestPeer {
    let setup = Setup::new(name, &["quake"]);
    let local = setup.config.games_dir.join("quake/local");
    fs::create_dir_all(&local).unwrap();
    fs::write(local.join("save.dat"), "mine").unwrap();
    setup.start().await
}

/// Streams that stop after their first block, until they are let go on.
struct Gated {
    inner: AutoUnpacker,
    is_open: watch::Receiver<bool>,
    reached: watch::Sender<usize>,
}

struct GatedStream {
    inner: Box<dyn ArchiveStream>,
    is_open: watch::Receiver<bool>,
    reached: watch::Sender<usize>,
}

struct GatedSink<'a> {
    inner: &'a mut dyn StreamSink,
    is_open: watch::Receiver<bool>,
    reached: watch::Sender<usize>,
    has_reached: bool,
}

/// Unpacks nothing.
struct Broken;

impl StreamInstallProvider for Broken {
    fn open(
        &self,
        archives: &[PathBuf],
        _: &mut dyn UnpackControl,
    ) -> Result<Box<dyn ArchiveStream>, UnpackError> {
        Err(UnpackError::PasswordProtected {
            archive: archives.first().cloned().unwrap_or_default(),
        })
    }
}

impl StreamInstallProvider for Gated {
    fn open(
        &self,
        archives: &[PathBuf],
        control: &mut dyn UnpackControl,
    ) -> Result<Box<dyn ArchiveStream>, UnpackError> {
        let inner = self.inner.open(archives, control)?;
        let (is_open, reached) = (self.is_open.clone(), self.reached.clone());
        Ok(Box::new(GatedStream { inner, is_open, reached }))
    }
}

impl ArchiveStream for GatedStream {
    fn totals(&self) -> StreamTotals {
        self.inner.totals()
    }

    fn run(
        self: Box<Self>,
        sink: &mut dyn StreamSink,
        control: &mut dyn UnpackControl,
    ) -> Result<StreamTotals, UnpackError> {
        let Self { inner, is_open, reached } = *self;
        inner.run(&mut GatedSink { inner: sink, is_open, reached, has_reached: false }, control)
    }
}

impl StreamSink for GatedSink<'_> {
    fn take(&mut self, item: StreamItem<'_>) -> bool {
        let is_data = matches!(item, StreamItem::Data(_));
        if !self.inner.take(item) {
            return false;
        }
        if is_data && !std::mem::replace(&mut self.has_reached, true) {
            self.reached.send_modify(|reached| *reached += 1);
            // A gate that is gone is open.
            let wait = async { drop(self.is_open.wait_for(|is_open| *is_open).await) };
            tokio::runtime::Handle::current().block_on(wait);
        }
        true
    }
}

/// The other end of a [`Gated`].
struct Gate {
    open: watch::Sender<bool>,
    reached: watch::Receiver<usize>,
}

impl Gate {
    fn new() -> (Self, Arc<Gated>) {
        let (open, is_open) = watch::channel(false);
        let (reached, has_reached) = watch::channel(0);
        let gated = Gated { inner: AutoUnpacker::default(), is_open, reached };
        (Self { open, reached: has_reached }, Arc::new(gated))
    }

    /// Waits until so many streams stand at the gate, or have passed it.
    async fn reached(&mut self, count: usize) {
        self.reached.wait_for(|reached| *reached >= count).await.unwrap();
    }
}

async fn gated_source(name: &'static str) -> (TestPeer, Gate) {
    let (gate, gated) = Gate::new();
    let setup = Setup::new(name, &["quake"])
        .with_game("quake", &quake())
        .with(|config| config.stream_provider = gated);
    (setup.start().await, gate)
}

#[tokio::test]
async fn a_streamed_game_is_installed_and_never_downloaded() {
    let alpha =
        Setup::new("alpha", &["quake"]).with_game("quake", &real("rar5-solid.rar")).start().await;
    let bravo = Setup::new("bravo", &["quake"]).start().await;
    bravo.connect(&alpha).await.unwrap();

    let summary = stream(&bravo).await.unwrap();
    assert_eq!(summary, StreamSummary { peer_id: alpha.id(), files: 2, bytes: 4096 });
    let tree = tree(&bravo);
    let names: Vec<_> = tree.keys().map(String::as_str).collect();
    assert_eq!(names, ["local/", "local/stest1.txt", "local/stest2.txt"]);
    assert_eq!(tree["local/stest1.txt"], tree["local/stest2.txt"]);

    let game = bravo.games(GameScope::Local).await.remove(0);
    assert_eq!(game.availability, Some(Availability::LocalOnly));
    assert!(game.installed && !game.downloaded);
    let seen = alpha.games(GameScope::All).await.remove(0);
    assert_eq!(seen.peer_count, 0, "nobody takes it for a source");

    let events = bravo.stop().await;
    let told = events.iter().filter_map(|event| match event {
        PeerEvent::StreamInstallBegin { files: 2, bytes: 4096, .. } => Some("begin"),
        PeerEvent::StreamInstallProgress(progress) if progress.bytes_done == 4096 => Some("all"),
        PeerEvent::StreamInstallFinished { files: 2, bytes: 4096, .. } => Some("finished"),
        PeerEvent::StreamInstallFailed { .. } => Some("failed"),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["begin", "all", "finished"]);
    alpha.stop().await;
}

#[tokio::test]
async fn an_old_installation_is_replaced_whole() {
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &quake()).start().await;
    let bravo = installed("bravo").await;
    bravo.connect(&alpha).await.unwrap();
    stream(&bravo).await.unwrap();
    let tree = tree(&bravo);
    let names: Vec<_> = tree.keys().map(String::as_str).collect();
    let expected = ["local/", "local/bin/", "local/bin/quake.exe", "local/readme.txt"];
    assert_eq!(names, expected);
    assert_eq!(tree["local/bin/quake.exe"], [7; 3_000_000]);
    bravo.stop().await;
    alpha.stop().await;
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_at_once() {
    let alpha = Setup::new("alpha", &["quake", "doom"]).with_game("quake", &quake()).start().await;
    let bravo = Setup::new("bravo", &["quake", "doom"]).with_game("quake", &quake()).start().await;
    bravo.connect(&alpha).await.unwrap();
    let ask = async |id: &str| {
        let command = |reply| PeerCommand::StreamInstall {
            game_id: game_id(id),
            content_root: None,
            wait: true,
            reply,
        };
        bravo.ask(command).await.unwrap_err()
    };
    assert!(matches!(ask("heretic").await, CommandError::UnknownGame(_)));
    assert!(matches!(ask("doom").await, CommandError::NoSource(_)));
    assert!(matches!(ask("quake").await, CommandError::AlreadyDownloaded(_)));
    bravo.stop().await;
    alpha.stop().await;
}

/// Archives that a source must not stream, and what the receiver is told.
#[tokio::test]
async fn bad_archives_leave_the_old_installation() {
    let mut flipped = archive(&[("a", b"first"), ("b", &[3; 2_000_000])]);
    let in_content = flipped.len() - 1_000_000;
    flipped[in_content] ^= 1;
    let whole = quake();
    let newer = b"Rar!\x1a\x07\x02\0of a version to come".to_vec();
    let rows = [
        ("a newer format", newer, StreamErrorCode::UnsupportedArchive),
        ("a wrong checksum", flipped, StreamErrorCode::BadArchive),
        ("cut", whole[..whole.len() - 1000].to_vec(), StreamErrorCode::BadArchive),
        ("no archive", b"not even an archive".to_vec(), StreamErrorCode::BadArchive),
        ("missing volume", real("rar5-vols.part1.rar"), StreamErrorCode::MissingVolume),
        ("password", real("rar5-psw.rar"), StreamErrorCode::PasswordProtected),
        ("password on headers", real("rar5-hpsw.rar"), StreamErrorCode::PasswordProtected),
        ("link", real("rar5-evil-symlink-traversal.rar"), StreamErrorCode::UnsafeArchive),
    ];
    for (what, bytes, expected) in rows {
        let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &bytes).start().await;
        let bravo = installed("bravo").await;
        let before = tree(&bravo);
        bravo.connect(&alpha).await.unwrap();
        match failure(stream(&bravo).await) {
            StreamFailure::Archive { peer_id, code, message } => {
                assert_eq!((peer_id, code), (alpha.id(), expected), "{what}: {message}");
                let games_dir = alpha.games_dir.display().to_string();
                assert!(!message.contains(&games_dir), "{what}: {message}");
            }
            other => panic!("{what}: {other}"),
        }
        assert_eq!(tree(&bravo), before, "{what}");
        let game = bravo.games(GameScope::Local).await.remove(0);
        assert_eq!((game.installed, game.operation), (true, None), "{what}");
        bravo.stop().await;
        alpha.stop().await;
    }
}

#[tokio::test]
async fn copies_executable_bits_and_empty_directories_arrive() {
    use std::os::unix::fs::PermissionsExt;

    let mut writer = RarWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    writer.add_directory(&RelPath::new("saves/slot").unwrap()).unwrap();
    for (name, executable) in [("bin/tool", true), ("readme", false)] {
        let path = RelPath::new(name).unwrap();
        writer.add_file(&path, 2, None, executable, &b"#!"[..]).unwrap();
    }
    let odd = writer.finish().unwrap().into_inner();
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &odd);
    fs::write(alpha.config.games_dir.join("quake/second.eti"), real("rar5-dups.rar")).unwrap();
    let alpha = alpha.start().await;
    let bravo = Setup::new("bravo", &["quake"]).start().await;
    bravo.connect(&alpha).await.unwrap();
    let summary = stream(&bravo).await.unwrap();
    assert_eq!((summary.files, summary.bytes), (11, 4 + 9 * 2048));
    let tree = tree(&bravo);
    let copies = (1..=9).map(|number| &tree[&format!("local/stest{number}.txt")]);
    assert!(copies.into_iter().all(|copy| copy.len() == 2048 && copy == &tree["local/stest1.txt"]));
    assert!(tree.contains_key("local/saves/slot/"));
    let mode = |name: &str| {
        let path = bravo.games_dir.join("quake/local").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("bin/tool") & 0o7111, (mode("bin/tool") & 0o444) >> 2);
    assert_eq!(mode("readme") & 0o7111, 0);
    bravo.stop().await;
    alpha.stop().await;
}

#[tokio::test]
async fn a_game_without_archives_has_nothing_to_stream() {
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &quake());
    fs::remove_file(alpha.config.games_dir.join("quake/quake.eti")).unwrap();
    let alpha = alpha.start().await;
    let bravo = Setup::new("bravo", &["quake"]).start().await;
    bravo.connect(&alpha).await.unwrap();
    let failure = failure(stream(&bravo).await);
    let code = StreamErrorCode::NoArchive;
    assert!(matches!(failure, StreamFailure::Archive { code: c, .. } if c == code), "{failure}");
    assert!(!bravo.games_dir.join("quake").exists());
    bravo.stop().await;
    alpha.stop().await;
}

#[tokio::test]
async fn a_second_source_makes_up_for_a_broken_one() {
    let bad = Setup::new("alpha", &["quake"]).with_game("quake", &quake());
    let bad = bad.with(|config| config.stream_provider = Arc::new(Broken)).start().await;
    let good = Setup::new("bravo", &["quake"]).with_game("quake", &quake()).start().await;
    let receiver = installed("charlie").await;
    receiver.connect(&bad).await.unwrap();
    receiver.connect(&good).await.unwrap();
    assert_eq!(stream(&receiver).await.unwrap().peer_id, good.id());
    assert!(!tree(&receiver).contains_key("local/save.dat"));
    for peer in [receiver, good, bad] {
        peer.stop().await;
    }
}

#[tokio::test]
async fn cancelling_rolls_back_and_frees_the_game() {
    let (alpha, mut gate) = gated_source("alpha").await;
    let mut bravo = installed("bravo").await;
    let before = tree(&bravo);
    bravo.connect(&alpha).await.unwrap();
    let command = |reply| PeerCommand::StreamInstall {
        game_id: game_id("quake"),
        content_root: None,
        wait: false,
        reply,
    };
    let begun = bravo.ask(command).await.unwrap();
    assert_eq!((begun.files, begun.bytes), (2, 3_000_005));
    gate.reached(1).await;
    let busy = stream(&bravo).await;
    let operation = Operation::StreamInstalling;
    assert!(
        matches!(busy, Err(CommandError::GameBusy { operation: o, .. }) if o == operation),
        "{busy:?}"
    );
    let cancel = |reply| PeerCommand::Cancel { game_id: game_id("quake"), reply };
    bravo.ask(cancel).await.unwrap();
    let failed = |event: &PeerEvent| match event {
        PeerEvent::StreamInstallFailed { failure, .. } => Some(failure.clone()),
        _ => None,
    };
    assert_eq!(bravo.event(failed).await, StreamFailure::Cancelled);
    assert_eq!(tree(&bravo), before);
    let again = |reply| PeerCommand::Cancel { game_id: game_id("quake"), reply };
    assert!(matches!(bravo.ask(again).await, Err(CommandError::NotDownloading(_))));
    gate.open.send_replace(true);
    stream(&bravo).await.unwrap();
    assert!(tree(&bravo).contains_key("local/bin/quake.exe"));
    bravo.stop().await;
    alpha.stop().await;
}

#[tokio::test]
async fn an_operation_on_the_source_ends_its_streams() {
    let (alpha, gate, mut first, mut second) = one_waits().await;
    // What the other one had before it began.
    let before = tree(&second);
    let removal = async {
        let counts = alpha.ask(|reply| PeerCommand::Status { reply }).await.unwrap().value;
        assert_eq!(counts.outbound_transfers, [(game_id("quake"), 2)]);
        let remove =
            alpha.ask(|reply| PeerCommand::Remove { game_id: game_id("quake"), wait: true, reply });
        // It waits until nobody reads the game any more, and the thread stands at the gate.
        let open = async {
            tokio::task::yield_now().await;
            gate.open.send_replace(true);
        };
        let (removed, ()) = tokio::join!(remove, open);
        removed.unwrap();
    };
    let failures = async { [stream_failure(&mut first).await, stream_failure(&mut second).await] };
    let (failures, ()) = tokio::join!(failures, removal);
    for failure in failures {
        match failure {
            StreamFailure::SourceFailed { reason, .. } => {
                assert!(reason.contains("about to change"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(tree(&first) == before && tree(&second) == before, "the old installations are there");
    assert!(!alpha.games_dir.join("quake").exists());
    for peer in [first, second, alpha] {
        peer.stop().await;
    }
}

#[tokio::test]
async fn whoever_is_beyond_the_limit_waits_and_is_told() {
    let (gate, gated) = Gate::new();
    let mut gate = gate;
    let setup = Setup::new("alpha", &["quake"]).with_game("quake", &quake()).with(|config| {
        config.stream_provider = gated;
        config.max_streams = NonZeroUsize::MIN;
    });
    let alpha = setup.start().await;
    let first = Setup::new("bravo", &["quake"]).start().await;
    let mut second = Setup::new("charlie", &["quake"]).start().await;
    first.connect(&alpha).await.unwrap();
    second.connect(&alpha).await.unwrap();
    let run_first = async { stream(&first).await.unwrap() };
    let run_second = async {
        gate.reached(1).await;
        let command = |reply| PeerCommand::StreamInstall {
            game_id: game_id("quake"),
            content_root: None,
            wait: true,
            reply,
        };
        let (reply, answer) = tokio::sync::oneshot::channel();
        second.handle.sender().send(command(reply)).await.unwrap();
        let waiting = |event: &PeerEvent| match event {
            PeerEvent::StreamInstallWaiting { position, .. } => Some(*position),
            _ => None,
        };
        assert_eq!(second.event(waiting).await, 1);
        assert_eq!(*gate.reached.borrow(), 1);
        gate.open.send_replace(true);
        answer.await.unwrap().unwrap();
    };
    tokio::join!(run_first, run_second);
    assert_eq!(*gate.reached.borrow(), 2);
    assert!(tree(&second).contains_key("local/readme.txt"));
    for peer in [first, second, alpha] {
        peer.stop().await;
    }
}

/// A source that streams to one at a time, somebody it streams to, and somebody who waits.
async fn one_waits() -> (TestPeer, Gate, TestPeer, TestPeer) {
    let (mut gate, gated) = Gate::new();
    let setup = Setup::new("alpha", &["quake"]).with_game("quake", &quake()).with(|config| {
        config.stream_provider = gated;
        config.max_streams = NonZeroUsize::MIN;
    });
    let alpha = setup.start().await;
    let first = installed("bravo").await;
    let mut second = installed("charlie").await;
    for peer in [&first, &second] {
        peer.connect(&alpha).await.unwrap();
    }
    let command = |reply| PeerCommand::StreamInstall {
        game_id: game_id("quake"),
        content_root: None,
        wait: false,
        reply,
    };
    first.ask(command).await.unwrap();
    gate.reached(1).await;
    // Its answer comes with the first byte, which never does: nobody waits for it.
    let (reply, _) = tokio::sync::oneshot::channel();
    second.handle.sender().send(command(reply)).await.unwrap();
    let waiting = |event: &PeerEvent| match event {
        PeerEvent::StreamInstallWaiting { position, .. } => Some(*position),
        _ => None,
    };
    assert_eq!(second.event(waiting).await, 1);
    (alpha, gate, first, second)
}

async fn stream_failure(peer: &mut TestPeer) -> StreamFailure {
    let failed = |event: &PeerEvent| match event {
        PeerEvent::StreamInstallFailed { failure, .. } => Some(failure.clone()),
        _ => None,
    };
    peer.event(failed).await
}

#[tokio::test]
async fn who_waits_can_cancel_before_its_turn() {
    let (alpha, gate, mut first, mut second) = one_waits().await;
    let before = tree(&second);
    // The gate is closed, so that nobody's turn comes.
    let cancel = |reply| PeerCommand::Cancel { game_id: game_id("quake"), reply };
    second.ask(cancel).await.unwrap();
    assert_eq!(stream_failure(&mut second).await, StreamFailure::Cancelled);
    assert_eq!(tree(&second), before);
    gate.open.send_replace(true);
    let finished =
        |event: &PeerEvent| matches!(event, PeerEvent::StreamInstallFinished { .. }).then_some(());
    first.event(finished).await;
    stream(&second).await.unwrap();
    assert!(tree(&second).contains_key("local/readme.txt"));
    for peer in [first, second, alpha] {
        peer.stop().await;
    }
}

#[tokio::test]
async fn a_source_that_stops_fails_those_who_wait_too() {
    let (alpha, gate, first, mut second) = one_waits().await;
    let before = tree(&second);
    let stop = async {
        gate.open.send_replace(true);
        alpha.stop().await;
    };
    let (failure, _) = tokio::join!(stream_failure(&mut second), stop);
    assert!(matches!(failure, StreamFailure::SourceFailed { .. }), "{failure}");
    assert_eq!(tree(&second), before);
    for peer in [first, second] {
        peer.stop().await;
    }
}

#[tokio::test]
async fn a_peer_that_stops_leaves_the_old_installation() {
    let (alpha, mut gate) = gated_source("alpha").await;
    let setup = Setup::new("bravo", &["quake"]);
    let local = setup.config.games_dir.join("quake/local");
    fs::create_dir_all(&local).unwrap();
    fs::write(local.join("save.dat"), "mine").unwrap();
    let bravo = setup.start().await;
    let before = tree(&bravo);
    bravo.connect(&alpha).await.unwrap();
    let command = |reply| PeerCommand::StreamInstall {
        game_id: game_id("quake"),
        content_root: None,
        wait: false,
        reply,
    };
    bravo.ask(command).await.unwrap();
    gate.reached(1).await;
    bravo.stop().await;
    let bravo = setup.start().await;
    assert_eq!(tree(&bravo), before);
    let intent = setup.config.state_dir.join("games/quake/install_intent.json");
    assert!(!intent.exists());
    gate.open.send_replace(true);
    bravo.stop().await;
    alpha.stop().await;
}
