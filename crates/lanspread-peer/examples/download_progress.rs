//! A download, with its progress.
//!
//! ```text
//! cargo run -p lanspread-peer --example download_progress
//! ```

#![expect(clippy::print_stdout, reason = "an example tells a person what it does")]

use std::error::Error;
use std::fs;
use std::path::Path;

use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_fixture::{GameFixture, SizedFile};
use lanspread_mdns::MdnsInterface;
use lanspread_peer::{
    EventReceiver, PeerConfig, PeerEvent, PeerRuntimeHandle, event_channel, start_peer,
};
use lanspread_proto::GameId;

/// Size of each of the four files of the game.
const FILE_BYTES: u64 = 4 << 20;

/// Runs the example. Fails when the game does not arrive whole.
#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let quake: GameId = "quake".parse()?;
    let (there, here) = (dir.path().join("alpha/games"), dir.path().join("bravo/games"));
    let mut game = GameFixture::new(&there, quake.clone(), "20240131".parse()?);
    game.files = SizedFile::numbered("maps", 4, FILE_BYTES)?;
    game.make()?;
    fs::create_dir_all(&here)?;

    let (alpha, _alpha_events) = start("alpha", &there, dir.path()).await?;
    let (bravo, events) = start("bravo", &here, dir.path()).await?;
    bravo.connect(alpha.listen_addr()).await?;
    let progress = tokio::spawn(print_progress(events));
    let summary = bravo.download(quake).wait().await?;
    println!("{} files with {} bytes are here", summary.files, summary.bytes);

    let (done, total) = progress.await?;
    if done != total || total < 4 * FILE_BYTES {
        return Err(format!("the last progress was {done} of {total} bytes").into());
    }
    for file in &game.files {
        let path = Path::new("quake").join(file.path.as_str());
        if fs::read(there.join(&path))? != fs::read(here.join(&path))? {
            return Err(format!("{} differs", path.display()).into());
        }
    }
    bravo.shutdown().await?;
    alpha.shutdown().await?;
    Ok(())
}

/// Prints progress until the download ends. Returns the bytes of the last report, done and in all.
async fn print_progress(mut events: EventReceiver) -> (u64, u64) {
    let mut last = (0, 0);
    while let Some(event) = events.recv().await {
        match event {
            PeerEvent::DownloadProgress(progress) => {
                last = (progress.bytes_done, progress.bytes_total);
                println!("{} of {} bytes", progress.bytes_done, progress.bytes_total);
            }
            PeerEvent::DownloadFinished { .. } | PeerEvent::DownloadFailed { .. } => break,
            _ => {}
        }
    }
    last
}

/// Starts a peer on the loopback interface.
async fn start(
    name: &str,
    games_dir: &Path,
    dir: &Path,
) -> Result<(PeerRuntimeHandle, EventReceiver), Box<dyn Error>> {
    let quake = CatalogGame::new("quake".parse()?, "Quake", "20240131".parse()?);
    let catalog = Catalog::from_games([quake])?;
    let state_dir = dir.join(name).join("state");
    let mut config =
        PeerConfig::new(name.parse()?, "example".parse()?, games_dir, state_dir, catalog);
    config.listen = "127.0.0.1:0".parse()?;
    config.mdns = MdnsInterface::Off;
    let (sender, events) = event_channel();
    Ok((start_peer(config, sender).await?, events))
}
