//! Connects peers: QUIC, identities, handshakes, requests and their answers.
//!
//! [`transport`] is the seam: connections and streams of bytes, with nothing of QUIC in it. [`quic`] implements it over
//! s2n-quic and is the only module that names that crate. Above the seam, [`handshake`] decides which peers are let in,
//! [`link`] asks on one connection, and [`exchange`] is one request and its answer on one stream.
//!
//! # Example
//! Two peers of one party shake hands over QUIC:
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use lanspread_net::echoes::Echoes;
//! use lanspread_net::handshake::{self, LocalPeer};
//! use lanspread_net::identity::Identity;
//! use lanspread_net::quic::{self, Endpoints};
//! use lanspread_proto::library::LibrarySnapshot;
//!
//! type Error = Box<dyn std::error::Error>;
//!
//! fn start(name: &str, state_dir: &Path) -> Result<(Endpoints, LocalPeer), Error> {
//!     let identity = Identity::load_or_create(state_dir)?;
//!     let endpoints = quic::bind(&identity, ([127, 0, 0, 1], 0).into(), Duration::from_secs(30))?;
//!     let peer = LocalPeer {
//!         peer_id: identity.peer_id,
//!         name: name.parse()?,
//!         network: "party".parse()?,
//!         network_key: None,
//!         session: 1,
//!         listen_port: endpoints.listener.local_addr().port(),
//!         announcer: Arc::new(Arc::new(LibrarySnapshot::default())),
//!         echoes: Echoes::default(),
//!     };
//!     Ok((endpoints, peer))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let (alpha_dir, bravo_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
//!     let (alpha_ends, alpha) = start("alpha", alpha_dir.path())?;
//!     let (mut bravo_ends, bravo) = start("bravo", bravo_dir.path())?;
//!
//!     let addrs = [bravo_ends.listener.local_addr()];
//!     let dialer = &*alpha_ends.dialer;
//!     let dial = handshake::dial_first(dialer, &addrs, Some(bravo.peer_id), &alpha, || true);
//!     let accept = async {
//!         let opened = bravo_ends.listener.accept().await.ok_or("the listener is dead")?;
//!         Ok::<_, Error>(handshake::accept(opened, &bravo, || {}).await?)
//!     };
//!     let ((_, dialled), accepted) = tokio::join!(dial, accept);
//!
//!     assert_eq!(dialled?.link.hello.name, bravo.name);
//!     assert_eq!(accepted?.link.peer_id(), alpha.peer_id);
//!     Ok(())
//! }
//! ```

pub mod address;
pub mod announcer;
mod arrivals;
mod debts;
pub mod dispute;
pub mod echoes;
pub mod exchange;
pub mod handshake;
pub mod identity;
pub mod limit;
pub mod link;
pub mod links;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod network_key;
pub mod progress;
pub mod quic;
pub mod rate;
pub mod source;
mod tls;
pub mod transport;
