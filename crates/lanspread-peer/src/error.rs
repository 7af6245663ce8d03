//! What can go wrong, one enum per operation.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_download::error::{DownloadFailure, RemoveFailure};
use lanspread_install::error::{InstallFailure, SetupFailure, StreamFailure};
use lanspread_library::VerifyFailure;
use lanspread_mdns::MdnsError;
use lanspread_net::handshake::RejectReason;
use lanspread_net::identity::IdentityError;
use lanspread_net::quic::BindError;
use lanspread_proto::{ContentHash, GameId, PeerId};

use crate::operation::Operation;

/// Why a peer did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The games directory is missing, no directory, or not readable.
    #[error(transparent)]
    GamesDir(#[from] GamesDirError),
    /// The state directory cannot be made or written.
    #[error("state directory {path} is not usable: {source}")]
    StateDir {
        /// The state directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state directory lies inside the games directory.
    #[error("state directory {state_dir} lies inside the games directory {games_dir}")]
    StateInsideGames {
        /// The state directory.
        state_dir: PathBuf,
        /// The games directory.
        games_dir: PathBuf,
    },
    /// A newer program has written the state directory, so this one would misread it.
    #[error(
        "state directory {path} has format {format}{}, and this program knows formats up to {known}",
        .program.as_ref().map(|version| format!(" of version {version}")).unwrap_or_default()
    )]
    StateDirNewer {
        /// The state directory.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format that this program knows.
        known: u32,
        /// The version of the program that wrote it, as that program tells it.
        program: Option<String>,
    },
    /// Another peer runs on the state directory.
    #[error("another peer is running on state directory {path}")]
    StateDirLocked {
        /// The state directory.
        path: PathBuf,
    },
    /// The key or certificate is broken. It is never replaced silently: that would be another peer.
    #[error("identity file {path} is broken: {reason}")]
    Identity {
        /// The broken file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The listen address cannot be bound.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// Discovery cannot start.
    #[error(transparent)]
    Mdns(#[from] MdnsError),
    /// Two settings do not go together.
    #[error("the peer timeout (--peer-timeout) must be longer than the ping delay (--ping-after)")]
    Timeouts,
}

/// Why a directory cannot be the games directory.
#[derive(Debug, thiserror::Error)]
#[error("games directory {path} is not usable: {source}")]
pub struct GamesDirError {
    /// The directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The catalog has no such game.
    #[error("game {0} is not in the catalog")]
    UnknownGame(GameId),
    /// Something else is being done with the game.
    #[error("game {game_id} is busy {operation}")]
    GameBusy {
        /// Which game.
        game_id: GameId,
        /// What is being done.
        operation: Operation,
    },
    /// No known peer announces the game at the catalog's version.
    #[error("no known peer has game {0} at the catalog's version")]
    NoSource(GameId),
    /// The content that was chosen is not the one that the catalog states.
    #[error(
        "field `content_root` is refused: the catalog states {content_root} for game {game_id}"
    )]
    OtherContentRoot {
        /// Which game.
        game_id: GameId,
        /// What the catalog states.
        content_root: ContentHash,
    },
    /// The game is already there at the catalog's version.
    #[error("game {0} is already downloaded at the catalog's version")]
    AlreadyDownloaded(GameId),
    /// The game is ready, and no source announces another content of it.
    #[error("game {0} is up to date")]
    UpToDate(GameId),
    /// The game is not there, so it cannot be installed.
    #[error("game {0} is not downloaded")]
    NotDownloaded(GameId),
    /// The game is already installed.
    #[error("game {0} is already installed")]
    AlreadyInstalled(GameId),
    /// The game is not installed.
    #[error("game {0} is not installed")]
    NotInstalled(GameId),
    /// The game is installed, so its download must stay.
    #[error("game {0} is installed")]
    StillInstalled(GameId),
    /// There is nothing to cancel.
    #[error("game {0} is neither being downloaded nor installed")]
    NotDownloading(GameId),
    /// The directory cannot be the games directory.
    #[error(transparent)]
    GamesDir(#[from] GamesDirError),
    /// The games directory cannot change while games are worked on.
    #[error("games directory cannot change while {game_id} is {operation}")]
    OperationsActive {
        /// One of the games.
        game_id: GameId,
        /// What is being done with it.
        operation: Operation,
    },
    /// Another games directory is about to be used.
    #[error("the games directory is being changed")]
    ChangingGamesDir,
    /// The awaited download ended without the game.
    #[error(transparent)]
    Download(DownloadFailure),
    /// The awaited download was cancelled.
    #[error("the download of {0} was cancelled")]
    Cancelled(GameId),
    /// The awaited download lost all its sources.
    #[error("all sources of {0} are gone")]
    AllPeersGone(GameId),
    /// The awaited installation or uninstallation failed.
    #[error(transparent)]
    Install(InstallFailure),
    /// The awaited streamed installation failed, or was cancelled.
    #[error(transparent)]
    Stream(StreamFailure),
    /// The awaited removal failed.
    #[error(transparent)]
    Remove(RemoveFailure),
    /// The awaited verification ended without a result.
    #[error(transparent)]
    Verify(VerifyFailure),
    /// The setup script of the game is being started at this moment.
    #[error("the setup of game {0} is being started")]
    SetupStarting(GameId),
    /// The setup script was not started.
    #[error(transparent)]
    Setup(SetupFailure),
    /// The peer is stopping.
    #[error("the peer is shutting down")]
    ShuttingDown,
}

/// Why a peer could not be connected to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or not in time.
    #[error("no peer answered at {addr}: {reason}")]
    Unreachable {
        /// Where.
        addr: SocketAddr,
        /// What the transport said.
        reason: String,
    },
    /// One side did not let the other in.
    #[error("peer at {addr} was rejected: {message}")]
    Rejected {
        /// Where.
        addr: SocketAddr,
        /// Who it claimed to be, if it came to that.
        peer_id: Option<PeerId>,
        /// Why.
        reason: RejectReason,
        /// In words.
        message: String,
    },
    /// The address is this peer's own.
    #[error("{0} is this peer itself")]
    Myself(SocketAddr),
    /// The peer is stopping.
    #[error("the peer is shutting down")]
    ShuttingDown,
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Directory { path, source } => Self::StateDir { path, source },
            IdentityError::Broken { path, source } => {
                Self::Identity { path, reason: source.to_string() }
            }
        }
    }
}

impl From<BindError> for StartError {
    fn from(BindError { addr, source }: BindError) -> Self {
        Self::Listen { addr, reason: source.to_string() }
    }
}

/// A required service died and took the runtime with it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} died: {message}")]
pub struct RuntimeFailure {
    /// Which service.
    pub service: &'static str,
    /// Why.
    pub message: String,
}
