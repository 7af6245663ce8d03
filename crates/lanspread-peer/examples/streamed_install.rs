//! A streamed installation: the source unpacks its archive, and only the unpacked files travel.
//!
//! ```text
//! cargo run -p lanspread-peer --example streamed_install
//! ```

#![expect(clippy::print_stdout, reason = "an example tells a person what it does")]

use std::error::Error;
use std::fs;
use std::path::Path;

use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_fixture::{ArchiveFormat, GameArchive, GameFixture, SizedFile};
use lanspread_mdns::MdnsInterface;
use lanspread_peer::{EventReceiver, PeerConfig, PeerRuntimeHandle, event_channel, start_peer};
use lanspread_proto::GameId;

/// Runs the example. Fails when the game is not installed, or its archive is stored.
#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let quake: GameId = "quake".parse()?;
    let (there, here) = (dir.path().join("alpha/games"), dir.path().join("bravo/games"));
    let entries = SizedFile::numbered("maps", 3, 1 << 20)?;
    let mut game = GameFixture::new(&there, quake.clone(), "20240131".parse()?);
    game.archive = Some(GameArchive { format: ArchiveFormat::Rar, entries: entries.clone() });
    game.make()?;
    fs::create_dir_all(&here)?;

    let (alpha, _alpha_events) = start("alpha", &there, dir.path()).await?;
    let (bravo, _bravo_events) = start("bravo", &here, dir.path()).await?;
    bravo.connect(alpha.listen_addr()).await?;
    let summary = bravo.stream_install(quake).wait().await?;
    println!("{} sent {} files with {} bytes", summary.peer_id, summary.files, summary.bytes);

    let root = here.join("quake");
    for entry in &entries {
        let installed = fs::metadata(root.join("local").join(entry.path.as_str()))?;
        if installed.len() != entry.size_bytes {
            return Err(format!("{} has {} bytes", entry.path, installed.len()).into());
        }
    }
    if root.join("quake.eti").exists() {
        return Err("the archive is stored".into());
    }
    bravo.shutdown().await?;
    alpha.shutdown().await?;
    Ok(())
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
