//! Two peers in one process: each sees the game of the other.
//!
//! ```text
//! cargo run -p lanspread-peer --example two_peers
//! ```

#![expect(clippy::print_stdout, reason = "an example tells a person what it does")]

use std::error::Error;
use std::path::Path;

use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_fixture::GameFixture;
use lanspread_mdns::MdnsInterface;
use lanspread_peer::{
    EventReceiver, GameScope, PeerConfig, PeerEvent, PeerRuntimeHandle, event_channel, start_peer,
};

/// Runs the example. Fails when a peer does not see what it should.
#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (alpha, _alpha_events) = start("alpha", "quake", dir.path()).await?;
    let (bravo, mut bravo_events) = start("bravo", "doom", dir.path()).await?;

    let found = alpha.connect(bravo.listen_addr()).await?;
    println!("alpha is connected to {found}");
    while let Some(event) = bravo_events.recv().await {
        if let PeerEvent::GamesListUpdated { game_count, .. } = event {
            println!("bravo is told of {game_count} game");
            break;
        }
    }

    expect_remote_game(&alpha, "doom").await?;
    expect_remote_game(&bravo, "quake").await?;
    alpha.shutdown().await?;
    bravo.shutdown().await?;
    Ok(())
}

/// Starts a peer on the loopback interface that holds one game.
async fn start(
    name: &str,
    game: &str,
    dir: &Path,
) -> Result<(PeerRuntimeHandle, EventReceiver), Box<dyn Error>> {
    let games_dir = dir.join(name).join("games");
    GameFixture::new(&games_dir, game.parse()?, "20240131".parse()?).make()?;
    let catalog = Catalog::from_games([
        CatalogGame::new("quake".parse()?, "Quake", "20240131".parse()?),
        CatalogGame::new("doom".parse()?, "Doom", "20240131".parse()?),
    ])?;
    let state_dir = dir.join(name).join("state");
    let mut config =
        PeerConfig::new(name.parse()?, "example".parse()?, games_dir, state_dir, catalog);
    config.listen = "127.0.0.1:0".parse()?;
    config.mdns = MdnsInterface::Off;
    let (sender, events) = event_channel();
    Ok((start_peer(config, sender).await?, events))
}

/// Fails unless other peers announce this game, and no other.
async fn expect_remote_game(peer: &PeerRuntimeHandle, game: &str) -> Result<(), Box<dyn Error>> {
    let games = peer.list_games(GameScope::Remote).await?.value;
    let ids: Vec<_> = games.iter().map(|game| game.id.as_str()).collect();
    println!("{} sees {ids:?}", peer.status().await?.value.name);
    if ids == [game] { Ok(()) } else { Err(format!("expected {game}, got {ids:?}").into()) }
}
