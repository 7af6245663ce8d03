//! The headless Lanspread peer.
//!
//! [`start_peer`] makes a peer that finds others by mDNS, tells them over QUIC which games it
//! holds, fetches games from all of them at once and installs them. It is driven through
//! [`PeerCommand`]s and observed through [`PeerEvent`]s; it prints nothing and owns no format.
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
mod handle;
mod info;
mod messages;
mod migration;
mod operation;
mod peers;
mod points;
mod runtime;
mod services;
mod state_format;

pub use command::{GameScope, PeerCommand, Reply};
pub use config::{NetworkKey, PeerConfig, RateLimit};
pub use error::{CommandError, ConnectError, GamesDirError, RuntimeFailure, StartError};
pub use event::{LostReason, PeerEvent, StreamProgress};
pub use handle::PeerRuntimeHandle;
pub use info::{
    AsOf, Availability, DownloadSummary, GameDetails, GameInfo, IdentityConflict, MdnsStatus,
    OtherVersionPeer, PeerInfo, PeerStatus, SourceInfo, StreamSummary, VerifyReport, VerifySummary,
};
pub use lanspread_disk::IoFailure;
pub use lanspread_disk::room::NotEnoughRoom;
pub use lanspread_download::error::{DownloadFailure, RemoveFailure};
pub use lanspread_install::error::{InstallFailure, SetupFailure, StreamFailure};
pub use lanspread_install::setup::SetupStarted;
pub use lanspread_library::{
    GameProblem, GameProblems, PROBLEMS_MAX, ProblemReason, VerifyFailure, VerifyReference,
};
pub use lanspread_net::handshake::RejectReason;
pub use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
pub use operation::{ActiveOperation, Operation};
pub use runtime::start_peer;
