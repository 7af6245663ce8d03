//! What can go wrong, one enum per operation.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_disk::room::NotEnoughRoom;
use lanspread_library::VerifyFailure;
use lanspread_mdns::MdnsError;
use lanspread_net::handshake::RejectReason;
use lanspread_net::identity::IdentityError;
use lanspread_net::quic::BindError;
use lanspread_proto::stream::StreamErrorCode;
use lanspread_proto::{GameId, PeerId};

use crate::event::Operation;

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

/// Why a download ended without the game. Cloneable, since event and answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownloadFailure {
    /// No source gave a usable manifest at the catalog's version.
    #[error("no source gave a usable manifest of {game_id}: {reason}")]
    NoManifest {
        /// Which game.
        game_id: GameId,
        /// What the last source said.
        reason: String,
    },
    /// Every source was dropped for what it sent.
    #[error("every source of {game_id} was dropped: {reason}")]
    BadSources {
        /// Which game.
        game_id: GameId,
        /// Why the last one was dropped.
        reason: String,
    },
    /// The bytes on disk are not the content that the catalog or most sources have.
    #[error("the content of {game_id} is not what {authority} says")]
    ContentMismatch {
        /// Which game.
        game_id: GameId,
        /// `the catalog` or `the majority of its sources`.
        authority: &'static str,
    },
    /// The game does not fit on the disk. Everything is as it was before.
    #[error(transparent)]
    NotEnoughRoom(#[from] NotEnoughRoom),
    /// The disk cannot hold two files of the game side by side. Nothing was touched.
    #[error("the disk of {path} does not tell {second:?} from {first:?}, and the game has both")]
    NamesClash {
        /// The game root.
        path: PathBuf,
        /// The file or directory that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// The disk spells a name of the game in its own way. Nothing was touched.
    #[error(
        "the disk of {path} makes {spelled:?} of the name {name:?}, which other peers would not know"
    )]
    NameNotKept {
        /// The game root.
        path: PathBuf,
        /// The file or directory.
        name: String,
        /// What the disk makes of it.
        spelled: String,
    },
    /// The disk was full on the way.
    #[error("no space left for {path}")]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Why an installation or uninstallation failed. Cloneable, since event and answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallFailure {
    /// The root holds no archive.
    #[error("game {0} has no archive to install")]
    NoArchive(GameId),
    /// The archive needs a password.
    #[error("archive {path} is protected by a password")]
    PasswordProtected {
        /// Which archive.
        path: PathBuf,
    },
    /// An entry would leave the install directory, or is no plain file or directory.
    #[error("archive {path} is refused: {reason}")]
    UnsafeArchive {
        /// Which archive.
        path: PathBuf,
        /// Which entry, and why.
        reason: String,
    },
    /// The disk cannot hold two files of the archive side by side.
    #[error("the disk of {path} does not tell {second:?} from {first:?}, and the archive has both")]
    NamesClash {
        /// Where it is unpacked.
        path: PathBuf,
        /// The file or directory that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// The archive continues in a volume that is not there.
    #[error("volume {volume} of archive {path} is missing")]
    MissingVolume {
        /// The first volume.
        path: PathBuf,
        /// Where the missing one was looked for.
        volume: PathBuf,
    },
    /// The archive needs something that is missing here: memory, or a newer program.
    #[error("{reason}")]
    UnsupportedArchive {
        /// Which archive needs what.
        reason: String,
    },
    /// The archive is damaged, incomplete, or of an unknown format.
    #[error("archive {path} cannot be unpacked: {reason}")]
    BadArchive {
        /// Which archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is not enough room.
    #[error("no space left for {path}")]
    DiskFull {
        /// What did not fit.
        path: PathBuf,
    },
    /// A step of the transaction failed.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It was cancelled, and everything is as it was before.
    #[error("the installation was cancelled")]
    Cancelled,
    /// The peer is stopping; what was begun is rolled back.
    #[error("the installation was interrupted by shutdown")]
    Interrupted,
}

/// Why a streamed installation failed. Everything is as it was before. Cloneable, since event and
/// answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFailure {
    /// The last source that was asked is gone, fell silent, refused, or gave up for its own reasons.
    #[error("source {peer_id} did not send the game to its end: {reason}")]
    SourceFailed {
        /// Which source.
        peer_id: PeerId,
        /// What it said, or what became of the connection.
        reason: String,
    },
    /// The connection to the last source that was asked is lost.
    #[error("the connection to source {peer_id} is lost: {reason}")]
    SourceLost {
        /// Which source.
        peer_id: PeerId,
        /// What is known of it.
        reason: String,
    },
    /// The last source that was asked sent what no source should send.
    #[error("source {peer_id} sent what is refused: {reason}")]
    BadSource {
        /// Which source.
        peer_id: PeerId,
        /// What is wrong with it.
        reason: String,
    },
    /// The last source that was asked cannot unpack its archives.
    #[error("source {peer_id} cannot unpack the game: {message}")]
    Archive {
        /// Which source.
        peer_id: PeerId,
        /// What kind of obstacle it is.
        code: StreamErrorCode,
        /// What the source said.
        message: String,
    },
    /// The game does not fit on the disk.
    #[error(transparent)]
    NotEnoughRoom(#[from] NotEnoughRoom),
    /// It was cancelled.
    #[error("the streamed installation was cancelled")]
    Cancelled,
    /// A step of the transaction failed.
    #[error(transparent)]
    Install(#[from] InstallFailure),
}

impl StreamFailure {
    /// Whether another source may do better.
    #[must_use]
    pub fn is_of_source(&self) -> bool {
        match self {
            Self::SourceFailed { .. }
            | Self::SourceLost { .. }
            | Self::BadSource { .. }
            | Self::Archive { .. } => true,
            Self::NotEnoughRoom(_) | Self::Cancelled | Self::Install(_) => false,
        }
    }
}

/// Why a setup script was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupFailure {
    /// This system has no setup scripts.
    #[error("setup scripts are not supported on this system")]
    Unsupported,
    /// The installation has no script for this system.
    #[error("there is no setup script {path}")]
    NoScript {
        /// Where it would be.
        path: PathBuf,
    },
    /// The script, its log or its marker is not usable.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Why a download was not removed. Cloneable, since event and answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveFailure {
    /// The root is no directory of its own, or has neither a regular `version.ini` nor a journal of
    /// an unfinished download.
    #[error("game {0} is not downloaded")]
    NotDownloaded(GameId),
    /// The root holds an installation, or what may be one.
    #[error("{path} may hold an installation")]
    Installation {
        /// What looks like one.
        path: PathBuf,
    },
    /// There is no room to note that the removal has begun. Nothing was removed.
    #[error("no space left for {path}")]
    DiskFull {
        /// The note.
        path: PathBuf,
    },
    /// A step failed. Once the sentinel is gone, the game is no longer downloaded.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It did not come to its end; what it left is not downloaded, or as it was.
    #[error("the removal was interrupted")]
    Interrupted,
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Directory { path, source } => Self::StateDir { path, source },
            IdentityError::Broken { path, reason } => Self::Identity { path, reason },
        }
    }
}

impl From<BindError> for StartError {
    fn from(BindError { addr, reason }: BindError) -> Self {
        Self::Listen { addr, reason }
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
