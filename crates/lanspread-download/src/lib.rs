//! Fetches a game from several sources at once, onto a disk that may lose power at any moment.
//!
//! [`run`] asks every source what the game is and settles on one claim, fetches its layout once, parks the sentinel,
//! fetches chunks from all sources that have the same game, and verifies each before it is written. At the end it
//! makes sure that the whole is the game, and commits it with the sentinel last.
//!
//! A download from a source that has a game of one file in memory:
//!
//! ```
//! use std::net::SocketAddr;
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use futures_util::future::{BoxFuture, FutureExt, ready};
//! use lanspread_disk::free_space::FreeSpace;
//! use lanspread_download::{DownloadJob, SwarmContext, run};
//! use lanspread_net::limit::Limiter;
//! use lanspread_net::source::{ArrivedBytes, ReceivedChunks, Source};
//! use lanspread_proto::hash::chunk_hash;
//! use lanspread_proto::layout::encode_layout;
//! use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, Part};
//! use lanspread_proto::{Attributes, FileHashes, Manifest, ManifestFile, PeerId, SourceError};
//! use lanspread_serve::outbound::OutboundTransfers;
//! use lanspread_serve::swarm::Swarm;
//! use lanspread_transfer::consensus::Stated;
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
//!     fn addr(&self) -> Option<SocketAddr> {
//!         None
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
//!         _: ArrivedBytes,
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
//!     stated: manifest.content_root().map(Stated::Catalog),
//!     limiter: Limiter::new(None),
//!     free_space: FreeSpace::of_this_machine(),
//!     order: Order::File,
//!     initial: vec![Arc::new(InMemory(manifest))],
//!     stop: CancellationToken::new(),
//!     keeps_on_cancel: false,
//! };
//! // Nobody else fetches the game here, and no source joins later.
//! let seat = SwarmContext {
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
//! [`recover_all`] settles what a crash left, and [`removal`] removes a download. Through a
//! [`Swarm`](lanspread_serve::swarm::Swarm), downloads of several peers give each other what they have. What is
//! behind a source, a [`Source`](lanspread_net::source::Source) hides. Which
//! sources there are, what a finished game means for the library, and who may download at all, is up to the caller.

#[cfg(any(test, feature = "testing"))]
pub mod audit;
mod demand;
mod engine;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod journal;
pub mod pages;
pub mod points;
mod recovery;
pub mod removal;
mod storage;
mod unfinished;

pub use self::engine::{run, voter_of};
pub use self::job::{
    CommittedBits, DownloadEnd, DownloadJob, DownloadNotice, DownloadOutcome, SourceChange,
    SwarmContext,
};
pub use self::journal::{journal_path, note_removal};
pub use self::recovery::recover_all;
pub use self::unfinished::{all_unfinished, is_unfinished, remove_unfinished, unfinished_bytes};
