//! Advertising this peer on the local link, and browsing for the others.
//!
//! Who takes part: an mDNS daemon thread of `mdns_sd`, which this crate alone knows, and one browse
//! thread, which turns what the daemon resolves into [`BrowseEvent`]s. Promised: each peer appears
//! once, is updated only by a real change, and is gone once; packets leave through the chosen
//! interfaces only; addresses are on the link or in a network that the user named; memory and work are bounded,
//! whatever the link sends, because a gate in front of the daemon counts packets by where they come from; a port
//! that another program keeps for itself is an error. Not promised: that a record is true. Anyone on the link can
//! write anything, so a [`PeerRecord`] is a hint whom to dial, and the handshake decides who that is.
//!
//! What a peer would tell is checked before anything is sent; `off` starts nothing at all:
//!
//! ```
//! use lanspread_mdns::{
//!     Advertisement, BrowseEvent, InterfaceError, MdnsConfig, MdnsError, MdnsService,
//! };
//! use lanspread_proto::{PROTOCOL_VERSION, PeerId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = MdnsConfig {
//!     interface: "all".parse()?,
//!     // A peer that listens on loopback is advertised there alone.
//!     listen: "127.0.0.1".parse()?,
//!     networks: Vec::new(),
//!     advertisement: Advertisement {
//!         peer_id: PeerId::from_public_key(b"the public key of its certificate"),
//!         proto_ver: PROTOCOL_VERSION,
//!         library_rev: 1,
//!         network: "lanspread".parse()?,
//!         hostname: "alpha".parse()?,
//!         port: 4433,
//!     },
//! };
//! config.check()?;
//!
//! let nowhere = MdnsConfig { interface: "nowhere0".parse()?, ..config.clone() };
//! let error = nowhere.check().unwrap_err();
//! assert!(matches!(error, MdnsError::Interface(InterfaceError::Unknown { .. })));
//!
//! let off = MdnsConfig { interface: "off".parse()?, ..config };
//! let service = MdnsService::start(off, |event| match event {
//!     BrowseEvent::Appeared(peer) => println!("dial {:?}", peer.addrs),
//!     other => println!("{other:?}"),
//! })?;
//! assert!(service.is_none());
//! # Ok(())
//! # }
//! ```

mod browser;
mod gate;
mod interface;
mod link;
mod network;
mod packet;
mod platform;
mod port;
mod record;
mod service;
mod tracker;

pub use interface::{InterfaceError, InterfaceNameError, MdnsInterface};
pub use network::{IpNetwork, IpNetworkError};
pub use port::PortError;
pub use record::{Advertisement, OtherRecord, PEER_MAX_ADDRS, PeerRecord, SERVICE_TYPE};
pub use service::{MdnsConfig, MdnsError, MdnsService, SHUTDOWN_LIMIT};
pub use tracker::{BrowseEvent, MAX_TRACKED_PEERS};
