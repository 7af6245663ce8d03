//! Serves games to other peers: what a session answers, sends and shares.
//!
//! A [`session`] answers the requests of one peer and sends it the changes of this peer's library and downloads. A
//! [`Server`] gives out what the published [`view`] allows, and what a [`swarm`] shares of games that are being fetched.
//! [`outbound`] counts the peers that fetch, so that nothing touches files that are being read.
//!
//! | Kind of request | Handled in |
//! | --- | --- |
//! | any: the one `match` | `session/request.rs` |
//! | what a game is, pages of it | `server/games.rs` |
//! | chunks, complaints of wrong ones | `server/chunks.rs` |
//! | pages of the library | `server/library.rs` |
//! | streamed installs | `server/stream.rs` |
//! | fetches of several peers | `swarm.rs` |
//! | what bounds all of them, in its order | `admission.rs` |
//!
//! # Example
//! An operation that wants the files of a game stops the requests that read them, and waits for those:
//!
//! ```
//! use lanspread_proto::{GameId, PeerId};
//! use lanspread_serve::outbound::OutboundTransfers;
//! use tokio::sync::mpsc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (counts, mut reports) = mpsc::unbounded_channel();
//! let outbound = OutboundTransfers::new(counts);
//! let (quake, peer) = (GameId::new("quake")?, PeerId::from_public_key(b"key"));
//!
//! // A request looks for its game and registers in one step.
//! let look = || Ok::<_, &str>("/games/quake");
//! let (transfer, root) = outbound.begin_if(&quake, peer, look)?;
//! assert_eq!(root, "/games/quake");
//! assert_eq!(reports.recv().await.map(|report| report.count), Some(1));
//!
//! let request = tokio::spawn(async move { transfer.stopped().await });
//! outbound.drain(&quake).await;
//! request.await?;
//! # Ok(())
//! # }
//! ```

mod admission;
mod chunk_reader;
mod contradictions;
mod layout_pages;
pub mod library_fetch;
mod library_pages;
pub mod outbound;
pub mod published_library;
mod reply;
mod server;
pub mod session;
pub mod swarm;
#[cfg(test)]
mod tests;
mod unpacking;

pub use contradictions::Contradiction;
pub use server::Server;
pub use unpacking::StreamService;
