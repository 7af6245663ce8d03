//! The headless Lanspread peer.
//!
//! [`start_peer`] makes a peer that finds others by mDNS, tells them over QUIC which games it
//! holds, fetches games from all of them at once and installs them. It is driven through
//! [`PeerCommand`]s and observed through [`PeerEvent`]s; it prints nothing and owns no format.
//!
//! The command loop (`runtime`) owns all state; services and operations are tasks that
//! send it messages. Decisions (`peers`, the chunk scheduler, library deltas, install recovery) are
//! pure and know neither sockets nor disks nor clocks.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod chunk_buffer;
mod command;
mod config;
#[cfg(test)]
mod crash;
mod disk;
mod download;
mod error;
mod event;
mod identity;
mod install;
mod library;
mod migration;
mod net;
mod operations;
mod peers;
mod room;
mod runtime;
mod services;
mod setup;
mod state_file;
mod trash;

pub use command::{
    DownloadSummary, GameDetails, GameInfo, GameScope, PeerCommand, PeerInfo, PeerStatus, Reply,
    SetupStarted, SourceInfo, StreamSummary,
};
pub use config::{NetworkKey, PeerConfig, RateLimit};
pub use error::{
    CommandError, ConnectError, DownloadFailure, GamesDirError, InstallFailure, NotEnoughRoom,
    RemoveFailure, RuntimeFailure, SetupFailure, StartError, StreamFailure,
};
pub use event::{
    ActiveOperation, Availability, DownloadProgress, LostReason, Operation, PeerEvent,
    RejectReason, SourceBytes, StreamProgress,
};
pub use runtime::{PeerRuntimeHandle, start_peer};
