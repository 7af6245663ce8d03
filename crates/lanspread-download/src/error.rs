//! What can go wrong with a download and its removal.

use std::path::PathBuf;

use lanspread_disk::IoFailure;
use lanspread_disk::free_space::NotEnoughSpace;
use lanspread_net::dispute::ContentDispute;
use lanspread_proto::GameId;

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
    /// The sources disagree. Verified chunks stay as they do when all sources are gone.
    #[error(transparent)]
    ContentDisputed(ContentDispute),
    /// The bytes on disk are not the content that the catalog, the caller or most sources want.
    #[error("the content of {game_id} is not what {authority} says")]
    ContentMismatch {
        /// Which game.
        game_id: GameId,
        /// `the catalog`, `content_root` or `the majority of its sources`.
        authority: &'static str,
    },
    /// The game does not fit on the disk. Everything is as it was before.
    #[error(transparent)]
    NotEnoughSpace(#[from] NotEnoughSpace),
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
    #[error(transparent)]
    Io(IoFailure),
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
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// It did not come to its end; what it left is not downloaded, or as it was.
    #[error("the removal was interrupted")]
    Interrupted,
}

impl From<IoFailure> for DownloadFailure {
    fn from(failure: IoFailure) -> Self {
        match failure.is_full() {
            true => Self::DiskFull { path: failure.path },
            false => Self::Io(failure),
        }
    }
}
