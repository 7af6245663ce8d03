//! A peer on file systems that lack what a local one has, from its first start on.

use lanspread_disk::durable::Guarantee;
use lanspread_disk::durable::faults::lacking;

use super::peer::{Peer, config};
use super::world::{CrashWorld, Download, Local, QUAKE};
use crate::platform::testing::Errno;

/// Does with a game whatever a peer can do with one.
async fn use_everything(source: &Peer, world: &CrashWorld) {
    let mut peer = Peer::start(config(world.games(), world.state())).await.unwrap();
    peer.connect(source.addr()).await;
    peer.update(true).await.unwrap();
    assert!(peer.hashed_game(QUAKE).await.game.installed);
    peer.uninstall().await.unwrap();
    peer.remove().await.unwrap();
    peer.download().await.unwrap();
    peer.install().await.unwrap();
    peer.stop().await;
    let peer = Peer::start(config(world.games(), world.state())).await.unwrap();
    assert!(peer.game(QUAKE).await.game.installed);
    peer.stop().await;
}

fn world(dir: &tempfile::TempDir, name: &str, download: Download, local: Local) -> CrashWorld {
    let world = CrashWorld { dir: dir.path().join(name) };
    world.prepare(download, local);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_works_on_a_disk_that_lacks_guarantees() {
    let dir = tempfile::tempdir().unwrap();
    let served = world(&dir, "source", Download::New, Local::Absent);
    let mut source = Peer::start(config(served.games(), served.state())).await.unwrap();
    source.hashed_game(QUAKE).await;
    for (name, guarantee, errno) in [
        ("shared folder", Guarantee::DirectorySync, Errno::INVAL),
        ("network file system", Guarantee::DirectorySync, Errno::BADF),
        ("no sync at all", Guarantee::FileSync, Errno::OPNOTSUPP),
        ("no locks", Guarantee::Lock, Errno::NOLCK),
    ] {
        let world = world(&dir, name, Download::Old, Local::Old);
        let _lacking = lacking(&world.disk(), guarantee, errno);
        use_everything(&source, &world).await;
    }
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_not_taken_for_one_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(&dir, "failing", Download::New, Local::Absent);
    let peer = Peer::start(config(world.games(), world.state())).await.unwrap();
    let lacking = lacking(&world.root(), Guarantee::DirectorySync, Errno::IO);
    peer.install().await.unwrap_err();
    assert!(!world.root().join("local").exists());
    drop(lacking);
    peer.install().await.unwrap();
    peer.stop().await;
}
