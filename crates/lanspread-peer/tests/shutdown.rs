//! A peer that is stopped in the middle of something: it ends soon, and leaves the disk alone.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lanspread_archive::{UnpackControl, UnpackError, UnpackSummary, Unpacker};
use lanspread_disk::Dir;
use lanspread_peer::{PeerCommand, PeerEvent};
use support::{Setup, TestPeer, game_id};

/// What a stop may take, as promised.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Far longer than any block takes to be written.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Names, sizes, blocks and times of all that is below `directory`.
fn footprint(directory: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let times = (meta.mtime(), meta.mtime_nsec());
            found.push(format!("{:?} {} {} {times:?}", entry.path(), meta.len(), meta.blocks()));
            if meta.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Stops a peer, and asserts that it is soon, and that nothing is written afterwards.
async fn stop(peer: TestPeer) {
    let (games_dir, state_dir) = (peer.games_dir.clone(), peer.state_dir.clone());
    let began = Instant::now();
    let events = peer.stop().await;
    let took = began.elapsed();
    let left = [footprint(&games_dir), footprint(&state_dir)];
    assert!(matches!(events.last(), Some(PeerEvent::Stopped)));
    assert!(took < STOP_MAX, "{took:?}");
    tokio::time::sleep(AFTERWARDS).await;
    assert_eq!([footprint(&games_dir), footprint(&state_dir)], left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_stopped_writes_nothing_more_and_goes_on_at_once() {
    let bytes: Vec<u8> = (0..64 << 20).map(|i: u32| (i / 7 % 251) as u8).collect();
    let alpha = Setup::new("alpha", &["quake"]).with_game("quake", &bytes).start().await;
    let setup = Setup::new("bravo", &["quake"]);
    let download = |peer: &TestPeer, wait| {
        let (sender, game_id) = (peer.handle.sender(), game_id("quake"));
        let (reply, answer) = tokio::sync::oneshot::channel();
        let command = PeerCommand::Download {
            game_id,
            content_root: None,
            install: Some(false),
            wait,
            reply,
        };
        async move {
            sender.send(command).await.unwrap();
            answer.await
        }
    };
    for _ in 0..2 {
        let mut bravo = setup.start().await;
        bravo.connect(&alpha).await.unwrap();
        download(&bravo, false).await.unwrap().unwrap();
        let is_under_way = |event: &PeerEvent| match event {
            PeerEvent::DownloadProgress(progress) => (progress.bytes_done > 0).then_some(()),
            _ => None,
        };
        bravo.event(is_under_way).await;
        stop(bravo).await;
        assert!(!setup.config.games_dir.join("quake/version.ini").exists());
    }
    let bravo = setup.start().await;
    bravo.connect(&alpha).await.unwrap();
    download(&bravo, true).await.unwrap().unwrap();
    let found = fs::read(setup.config.games_dir.join("quake/quake.eti")).unwrap();
    assert!(found == bytes, "other bytes");
}

/// Writes until it is told to stop, like an unpacker that never comes to its end.
#[derive(Debug, Default)]
struct Endless {
    is_writing: AtomicBool,
}

impl Unpacker for Endless {
    fn unpack(
        &self,
        _: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        for count in 0_u64.. {
            if control.is_cancelled() {
                break;
            }
            fs::write(target.at(format!("file{}", count % 1000)), count.to_string()).unwrap();
            self.is_writing.store(true, Ordering::SeqCst);
        }
        Err(UnpackError::Cancelled)
    }
}

/// Writes something and panics.
#[derive(Debug)]
struct Broken;

impl Unpacker for Broken {
    fn unpack(
        &self,
        _: &Path,
        target: &Dir,
        _: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        fs::write(target.at("half"), "half").unwrap();
        panic!("a defect in an unpacker");
    }
}

#[tokio::test]
async fn an_installation_that_panics_fails_and_takes_nothing_with_it() {
    let setup = Setup::new("alpha", &["quake"])
        .with_game("quake", b"archive")
        .with(|config| config.unpacker = Arc::new(Broken));
    let mut peer = setup.start().await;
    for _ in 0..2 {
        let install = |reply| PeerCommand::Install { game_id: game_id("quake"), wait: true, reply };
        let error = peer.ask(install).await.unwrap_err();
        assert!(error.to_string().contains("an internal error"), "{error}");
        let failed = |event: &PeerEvent| matches!(event, PeerEvent::InstallFailed { .. });
        peer.event(|event| failed(event).then_some(())).await;
        let root = peer.games_dir.join("quake");
        assert_eq!(fs::read_dir(root).unwrap().count(), 2);
    }
    stop(peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_is_stopped_is_rolled_back_before_the_end() {
    let unpacker = Arc::new(Endless::default());
    let setup = Setup::new("alpha", &["quake"])
        .with_game("quake", b"archive")
        .with(|config| config.unpacker = Arc::clone(&unpacker) as _);
    let peer = setup.start().await;
    let install = |reply| PeerCommand::Install { game_id: game_id("quake"), wait: false, reply };
    peer.ask(install).await.unwrap();
    while !unpacker.is_writing.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    stop(peer).await;
    let root = setup.config.games_dir.join("quake");
    let mut names: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["quake.eti", "version.ini"]);
}
