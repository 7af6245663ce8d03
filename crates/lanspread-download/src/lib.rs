//! Fetches a game from several sources at once, onto a disk that may lose power at any moment.
//!
//! [`run`] asks every source what the game is and settles on one claim, fetches its layout once, parks the sentinel,
//! fetches chunks from all sources that have the same game, and verifies each before it is written. At the end it
//! makes sure that the whole is the game, and commits it with the sentinel last.
//!
//! A download from a source that has a game of one file in memory:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use futures_util::future::{BoxFuture, FutureExt, ready};
//! use lanspread_disk::room::Room;
//! use lanspread_download::{DownloadJob, Seat, run};
//! use lanspread_net::limit::Limiter;
//! use lanspread_net::source::{ReceivedChunks, Source};
//! use lanspread_proto::hash::chunk_hash;
//! use lanspread_proto::layout::encode_layout;
//! use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, Part};
//! use lanspread_proto::{Attributes, FileHashes, Manifest, ManifestFile, PeerId, SourceError};
//! use lanspread_serve::outbound::OutboundTransfers;
//! use lanspread_serve::swarm::Swarm;
//! use lanspread_transfer::scheduler::Order;
//! use tokio::sync::mpsc;
//! use tokio_util::sync::CancellationToken;
//!
//! const CONTENT: &[u8] = b"all that the game has";
//!
//! /// A source that holds a manifest, and [`CONTENT`].
//! struct InMemory(Manifest);
//!
//! impl Source for InMemory {
//!     fn peer_id(&self) -> PeerId {
//!         PeerId::from_public_key(b"alpha")
//!     }
//!
//!     fn get_game(&self, _: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>> {
//!         let page = Attributes::default().encode().unwrap();
//!         ready(Ok(GameHead::of(&self.0, Vec::new(), Attributes::identity(&page)))).boxed()
//!     }
//!
//!     fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>> {
//!         let files = self.0.files().iter().map(|file| (&file.path, file.size));
//!         let page = match request.part {
//!             Part::Layout => encode_layout(files).swap_remove(0),
//!             Part::Hashes => self.0.hash_page(request.page).unwrap(),
//!             Part::Attributes => Attributes::default().encode().unwrap(),
//!         };
//!         ready(Ok(page)).boxed()
//!     }
//!
//!     fn get_chunks(
//!         &self,
//!         _: GetChunks,
//!         _: Vec<u32>,
//!     ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
//!         let hashes = vec![chunk_hash(CONTENT.len() as u64, 0, CONTENT)];
//!         ready(Ok(ReceivedChunks { hashes, bytes: Bytes::from_static(CONTENT) })).boxed()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let size = CONTENT.len() as u64;
//! let hashes = Some(FileHashes::from_chunks([chunk_hash(size, 0, CONTENT)]));
//! let file = ManifestFile { path: "data.pak".parse()?, size, hashes };
//! let manifest = Manifest::new("20240131".parse()?, vec![file])?;
//!
//! let directory = tempfile::tempdir()?;
//! let root = directory.path().join("quake");
//! let job = DownloadJob {
//!     game_id: "quake".parse()?,
//!     version: manifest.version().clone(),
//!     root: root.clone(),
//!     journal: directory.path().join("download.journal"),
//!     catalog_content_root: manifest.content_root(),
//!     limiter: Limiter::new(None),
//!     room: Room::of_this_machine(),
//!     order: Order::File,
//!     initial: vec![Arc::new(InMemory(manifest))],
//!     stop: CancellationToken::new(),
//!     keeps_on_cancel: false,
//! };
//! // Nobody else fetches the game here, and no source joins later.
//! let seat = Seat {
//!     swarm: Swarm::new(OutboundTransfers::new(mpsc::unbounded_channel().0)),
//!     source_of: Box::new(|peer| panic!("{peer} is not there")),
//! };
//! let (_, changes) = mpsc::unbounded_channel();
//! let (notices, _told) = mpsc::channel(16);
//! let outcome = run(job, seat, changes, notices, CancellationToken::new()).await?;
//!
//! assert_eq!(outcome.sources[0].bytes, size);
//! assert_eq!(std::fs::read(root.join("data.pak"))?, CONTENT);
//! assert_eq!(std::fs::read(root.join("version.ini"))?, b"20240131\n");
//! # Ok(())
//! # }
//! ```
//!
//! What is to be done is decided by [`lanspread_transfer`]. Here `engine`, `storage` and `journal` do it,
//! [`recover_all`] settles what a crash left, and [`removal`] removes a download. Through [`Swarm`],
//! downloads of several peers give each other what they have. What is behind a source, a [`Source`] hides. Which
//! sources there are, what a finished game means for the library, and who may download at all, is up to the caller.

#[cfg(any(test, feature = "testing"))]
pub mod audit;
mod demand;
mod engine;
pub mod error;
mod journal;
pub mod pages;
pub mod points;
mod recovery;
pub mod removal;
mod storage;
mod unfinished;

use std::path::PathBuf;
use std::sync::Arc;

use lanspread_net::source::Source;
use lanspread_proto::{ContentHash, FileBits, GameId, GameVersion, Manifest, PeerId};
use lanspread_serve::swarm::Swarm;
use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
use lanspread_transfer::scheduler::Order;
use tokio_util::sync::CancellationToken;

pub use self::engine::run;
pub use self::journal::{journal_path, note_removal};
pub use self::recovery::recover_all;
pub use self::unfinished::{all_unfinished, is_unfinished, remove_unfinished, unfinished_bytes};
use lanspread_disk::room::Room;
use lanspread_library::Fingerprint;
use lanspread_net::limit::Limiter;

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
    /// The content that the catalog demands, where it does.
    pub catalog_content_root: Option<ContentHash>,
    /// What all downloads of this peer keep to together.
    pub limiter: Limiter,
    /// Where the room on the disk is asked for.
    pub room: Room,
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
pub struct Seat {
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
