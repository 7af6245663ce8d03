//! Everything between peers.
//!
//! [`transport`] is the seam: connections and streams of bytes, with nothing of QUIC in it.
//! [`quic`] implements it over s2n-quic and is the only file that names that crate. Above the seam,
//! [`handshake`] decides whom to talk to, and [`link`] asks and answers on one connection.

pub mod announcer;
mod debts;
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
pub mod source;
mod tls;
pub mod transport;
