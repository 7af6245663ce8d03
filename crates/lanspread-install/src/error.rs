//! What can go wrong with an installation.

use std::path::PathBuf;

use lanspread_disk::IoFailure;
use lanspread_disk::free_space::NotEnoughSpace;
use lanspread_net::dispute::ContentDispute;
use lanspread_proto::stream::StreamErrorCode;
use lanspread_proto::{GameId, PeerId};

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
    #[error(transparent)]
    Io(IoFailure),
    /// It was cancelled, and everything is as it was before.
    #[error("the installation was cancelled")]
    Cancelled,
    /// The peer is stopping; what was begun is rolled back.
    #[error("the installation was interrupted by shutdown")]
    Interrupted,
}

impl From<IoFailure> for InstallFailure {
    fn from(failure: IoFailure) -> Self {
        match failure.is_full() {
            true => Self::DiskFull { path: failure.path },
            false => Self::Io(failure),
        }
    }
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
    /// The last source that was asked gave the turn to others, since too little of what it sent was taken.
    #[error("source {peer_id} gave the turn to others: {reason}")]
    TurnLost {
        /// Which source.
        peer_id: PeerId,
        /// What it said.
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
    /// The sources disagree on what the game is. Nothing was asked of them.
    #[error(transparent)]
    ContentDisputed(ContentDispute),
    /// The game does not fit on the disk.
    #[error(transparent)]
    NotEnoughSpace(#[from] NotEnoughSpace),
    /// It was cancelled.
    #[error("the streamed installation was cancelled")]
    Cancelled,
    /// A step of the transaction failed.
    #[error(transparent)]
    Install(#[from] InstallFailure),
}

impl From<IoFailure> for StreamFailure {
    fn from(failure: IoFailure) -> Self {
        Self::Install(failure.into())
    }
}

impl StreamFailure {
    /// Returns whether another source may do better.
    #[must_use]
    pub fn is_of_source(&self) -> bool {
        match self {
            Self::SourceFailed { .. }
            | Self::SourceLost { .. }
            | Self::TurnLost { .. }
            | Self::BadSource { .. }
            | Self::Archive { .. } => true,
            Self::ContentDisputed(_)
            | Self::NotEnoughSpace(_)
            | Self::Cancelled
            | Self::Install(_) => false,
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
    #[error(transparent)]
    Io(#[from] IoFailure),
}
