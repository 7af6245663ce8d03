//! However an operation ends, its game is idle afterwards and can be worked on again.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lanspread_archive::{AutoUnpacker, UnpackControl, UnpackError, UnpackSummary, Unpacker};
use lanspread_disk::Dir;
use lanspread_fixture::FixtureWriter;
use lanspread_peer::{CommandError, InstallFailure, PeerCommand};
use support::{Setup, TestPeer, game_id};
use tokio::sync::Notify;

/// Panics the first time and fails the second; then it does its work.
#[derive(Default)]
struct Moody {
    times: AtomicUsize,
}

impl Unpacker for Moody {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        match self.times.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("in no mood"),
            1 => Err(UnpackError::UnknownFormat { archive: archive.to_path_buf() }),
            _ => AutoUnpacker::new(None).unpack(archive, target, control),
        }
    }
}

/// Unpacks for as long as nobody cancels it, the first time.
struct Endless {
    begun: Arc<Notify>,
    times: AtomicUsize,
}

impl Unpacker for Endless {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        if self.times.fetch_add(1, Ordering::SeqCst) > 0 {
            return AutoUnpacker::new(None).unpack(archive, target, control);
        }
        drop(target.create_new("half.exe").unwrap());
        self.begun.notify_one();
        while !control.is_cancelled() {
            std::thread::yield_now();
        }
        Err(UnpackError::Cancelled)
    }
}

#[tokio::test]
async fn an_installation_can_be_cancelled_and_is_rolled_back() {
    let mut archive = FixtureWriter::new(Vec::new()).unwrap();
    archive.add_file(&"quake.exe".parse().unwrap(), 1, false, b"x".as_slice()).unwrap();
    let archive = archive.finish().unwrap();
    let setup = Setup::new("alpha", &["quake"]).with_game("quake", &archive);
    let begun = Arc::new(Notify::new());
    let unpacker = Endless { begun: Arc::clone(&begun), times: AtomicUsize::new(0) };
    let alpha = setup.with(|config| config.unpacker = Arc::new(unpacker)).start().await;
    let install =
        || alpha.ask(|reply| PeerCommand::Install { game_id: game_id("quake"), wait: true, reply });
    let cancel = || alpha.ask(|reply| PeerCommand::Cancel { game_id: game_id("quake"), reply });

    let (installed, cancelled) = tokio::join!(install(), async {
        begun.notified().await;
        cancel().await
    });
    assert!(
        matches!(installed, Err(CommandError::Install(InstallFailure::Cancelled))),
        "{installed:?}"
    );
    cancelled.unwrap();
    assert!(is_idle(&alpha).await);
    let root = alpha.games_dir.join("quake");
    let mut names: Vec<_> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["quake.eti", "version.ini"]);
    let refused = cancel().await;
    assert!(matches!(refused, Err(CommandError::NotDownloading(_))), "{refused:?}");
    install().await.unwrap();
    assert_eq!(std::fs::read(root.join("local/quake.exe")).unwrap(), b"x");
}

async fn is_idle(peer: &TestPeer) -> bool {
    let status = peer.ask(|reply| PeerCommand::Status { reply }).await.unwrap().value;
    status.active_operations.is_empty()
}

#[tokio::test]
async fn a_game_is_idle_after_a_panic_an_error_and_a_success() {
    let mut archive = FixtureWriter::new(Vec::new()).unwrap();
    archive.add_file(&"quake.exe".parse().unwrap(), 1, false, b"x".as_slice()).unwrap();
    let archive = archive.finish().unwrap();
    let setup = Setup::new("alpha", &["quake"]).with_game("quake", &archive);
    let alpha = setup.with(|config| config.unpacker = Arc::new(Moody::default())).start().await;
    let install =
        || alpha.ask(|reply| PeerCommand::Install { game_id: game_id("quake"), wait: true, reply });

    let panicked = install().await;
    assert!(matches!(panicked, Err(CommandError::Install(InstallFailure::Io { .. }))));
    assert!(is_idle(&alpha).await);
    let failed = install().await;
    assert!(matches!(failed, Err(CommandError::Install(InstallFailure::BadArchive { .. }))));
    assert!(is_idle(&alpha).await);
    install().await.unwrap();
    assert!(is_idle(&alpha).await);
    assert_eq!(std::fs::read(alpha.games_dir.join("quake/local/quake.exe")).unwrap(), b"x");
}
