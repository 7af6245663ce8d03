//! Advertising this peer on the local link, and browsing for the others.
//!
//! Who takes part: an mDNS daemon thread of `mdns_sd`, which this crate alone knows, and one browse
//! thread, which turns what the daemon resolves into [`BrowseEvent`]s. Promised: each peer appears
//! once, is updated only by a real change, and is gone once; packets leave through the chosen
//! interfaces only; a port that another program keeps for itself is an error. Not promised: that a record is true. Anyone on the link can write anything, so
//! a [`PeerRecord`] is a hint whom to dial, and the handshake decides who that is.

mod interface;
mod platform;
mod port;
mod record;
mod service;
mod tracker;

pub use interface::{InterfaceError, InterfaceNameError, MdnsInterface};
pub use port::PortError;
pub use record::{Advertisement, OtherRecord, PEER_MAX_ADDRS, PeerRecord, SERVICE_TYPE};
pub use service::{MdnsConfig, MdnsError, MdnsService, SHUTDOWN_LIMIT};
pub use tracker::{BrowseEvent, MAX_TRACKED_PEERS};
