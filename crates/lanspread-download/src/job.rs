//! What a download is given, what it tells while it runs, and how it ends.

use std::path::PathBuf;
use std::sync::Arc;

use lanspread_disk::free_space::FreeSpace;
use lanspread_library::Fingerprint;
use lanspread_net::limit::Limiter;
use lanspread_net::source::Source;
use lanspread_proto::{FileBits, GameId, GameVersion, Manifest, PeerId};
use lanspread_serve::swarm::Swarm;
use lanspread_transfer::consensus::{Stated, VoteCount};
use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
use lanspread_transfer::scheduler::Order;
use tokio_util::sync::CancellationToken;

use crate::error::DownloadFailure;

/// What to download.
pub struct DownloadJob {
    /// Which game.
    pub game_id: GameId,
    /// The version of the catalog; sources with another one are not used.
    pub version: GameVersion,
    /// The game root; its parent must exist.
    pub root: PathBuf,
    /// Where its journal is kept while it is unfinished.
    pub journal: PathBuf,
    /// The content that decides whatever the sources say; else their addresses vote.
    pub stated: Option<Stated>,
    /// What all downloads of this peer keep to together.
    pub limiter: Limiter,
    /// Where the room on the disk is asked for.
    pub free_space: FreeSpace,
    /// The order in which chunks are fetched that are as rare as each other.
    pub order: Order,
    /// The sources known at the start: the choice among manifests waits for them. Those that come
    /// later are told as [`SourceChange::Joined`] and have to fit.
    pub initial: Vec<Arc<dyn Source>>,
    /// Cancelled when the peer stops: the download ends as it is, for another start to go on with.
    pub stop: CancellationToken,
    /// Whether a cancellation keeps what is on the disk, for the next download to go on with: a repair
    /// has brought little of it.
    pub keeps_on_cancel: bool,
}

/// How a download reaches others that fetch the same content.
pub struct SwarmContext {
    /// Where it shares what it has, and hears of what they have.
    pub swarm: Swarm,
    /// Makes a source of one of them.
    pub source_of: Box<dyn Fn(PeerId) -> Arc<dyn Source> + Send + Sync>,
}

/// A change of the sources while a download runs.
pub enum SourceChange {
    /// A peer now has the game, or is reached in another way than before.
    Joined(Arc<dyn Source>),
    /// A peer is lost or no longer has the game.
    Left(PeerId),
}

/// What a download tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadNotice {
    /// The manifest is chosen. Comes first, and once.
    GotManifest {
        /// How many files the game has.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// Whose manifest it is, in peer id order.
        sources: Vec<PeerId>,
    },
    /// The disk is ready and the first chunks are being asked for. Comes second, and once.
    Began {
        /// How many files the game has.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// Who is asked, in peer id order.
        sources: Vec<PeerId>,
    },
    /// The sources have voted on the content, which nothing states. Comes after `Began`, and once.
    Voted(VoteCount),
    /// How far it is: at most ten a second, and a last one when all of it is verified.
    Progress(DownloadProgress),
    /// A source is no longer used. May come at any time.
    SourceDropped {
        /// Which source.
        peer_id: PeerId,
        /// Why, in words.
        reason: String,
    },
}

/// A download that is committed.
#[derive(Debug, Clone)]
pub struct DownloadOutcome {
    /// What is on disk, with all hashes as they were computed on arrival.
    pub manifest: Arc<Manifest>,
    /// What each source gave, in peer id order.
    pub sources: Vec<SourceBytes>,
    /// What became of the executable bits.
    pub bits: CommittedBits,
    /// What the files looked like when they held that.
    pub seen: Fingerprint,
}

/// What became of the executable bits of a download that is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommittedBits {
    /// No source tells any, and those on the disk are as they were.
    Untold,
    /// The files have them.
    Kept,
    /// The file system does not keep them, so that they have to be remembered.
    Lost(FileBits),
}

/// Why a download ended without the game.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownloadEnd {
    /// It was cancelled, and what it brought is discarded.
    #[error("the download was cancelled")]
    Cancelled,
    /// The peer stops. What is on disk stays, without a sentinel, and nothing writes there any more.
    #[error("the download was interrupted")]
    Interrupted,
    /// Nobody serves the game any more. Verified chunks stay on disk, without a sentinel, and in the
    /// journal, so that the next download goes on from there.
    #[error("all sources are gone")]
    AllPeersGone,
    /// It failed. Verified chunks stay as they do when all sources are gone.
    #[error(transparent)]
    Failed(DownloadFailure),
}
