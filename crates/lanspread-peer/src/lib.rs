//! The headless Lanspread peer.
//!
//! A peer finds others by mDNS, tells them over QUIC which games it holds, fetches games from all of them
//! at once and installs them. [`start_peer`] starts one; a [`PeerRuntimeHandle`] asks and commands it, and
//! [`PeerEvent`]s report what happens:
//!
//! ```
//! use lanspread_catalog::{Catalog, CatalogGame};
//! use lanspread_mdns::MdnsInterface;
//! use lanspread_peer::{GameScope, PeerConfig, event_channel, start_peer};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let (games_dir, state_dir) = (dir.path().join("games"), dir.path().join("state"));
//! std::fs::create_dir_all(games_dir.join("quake"))?;
//! std::fs::write(games_dir.join("quake/version.ini"), "20240131")?;
//!
//! let quake = CatalogGame::new("quake".parse()?, "Quake", "20240131".parse()?);
//! let catalog = Catalog::from_games([quake])?;
//! let mut config = PeerConfig::new("alpha".parse()?, "party".parse()?, games_dir, state_dir, catalog);
//! config.mdns = MdnsInterface::Off;
//! config.listen = "127.0.0.1:0".parse()?;
//!
//! let (sender, _events) = event_channel();
//! let peer = start_peer(config, sender).await?;
//! let games = peer.list_games(GameScope::Local).await?.value;
//! assert_eq!(games.first().map(|game| game.title.as_str()), Some("Quake"));
//! peer.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` has a program with two peers, one with a download and its progress, and one with a
//! streamed installation. This crate prints nothing and owns no format.
//!
//! The command loop (`runtime`) owns all state; services and operations are tasks that
//! send it messages. Decisions (`peers`, the chunk scheduler, library deltas, install recovery) are
//! pure and know neither sockets nor disks nor clocks.

mod command;
mod config;
#[cfg(test)]
mod crash;
mod error;
mod event;
mod event_channel;
mod handle;
mod info;
mod messages;
mod migration;
mod operation;
mod peers;
mod platform;
mod points;
mod runtime;
mod services;
mod state_format;

pub use command::{GameScope, PeerCommand, Reply};
pub use config::{NetworkKey, PeerConfig, RateLimit};
pub use error::{CommandError, ConnectError, GamesDirError, RuntimeFailure, StartError};
pub use event::{LostReason, PeerEvent, StreamProgress};
pub use event_channel::{EventClass, EventReceiver, EventSender, event_channel};
pub use handle::{
    Download, PeerRuntimeHandle, PendingOperation, StreamedInstallation, Verification,
};
pub use info::{
    AsOf, Availability, DownloadSummary, GameDetails, GameInfo, IdentityConflict, MdnsStatus,
    OtherVersionPeer, PeerInfo, PeerStatus, SourceInfo, StreamSummary, VerifyReport, VerifySummary,
};
pub use lanspread_disk::IoFailure;
pub use lanspread_disk::free_space::NotEnoughSpace;
pub use lanspread_download::error::{DownloadFailure, RemoveFailure};
pub use lanspread_install::error::{InstallFailure, SetupFailure, StreamFailure};
pub use lanspread_install::setup::SetupStarted;
pub use lanspread_library::{
    GameProblem, GameProblems, PROBLEMS_MAX, ProblemReason, VerifyFailure, VerifyReference,
};
pub use lanspread_net::dispute::{Candidate, CandidateSource, ContentDispute};
pub use lanspread_net::handshake::RejectReason;
pub use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
pub use operation::{ActiveOperation, Operation};
pub use runtime::start_peer;
