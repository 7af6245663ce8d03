//! Everything between peers.
//!
//! [`transport`] is the seam: connections and streams of bytes, with nothing of QUIC in it.
//! [`quic`] implements it over s2n-quic and is the only file that names that crate. Above the seam,
//! [`handshake`] decides whom to talk to, [`link`] asks and answers on one connection, and
//! [`serve`] gives out what the published library allows.

mod debts;
pub(crate) mod echoes;
pub(crate) mod exchange;
pub(crate) mod handshake;
pub(crate) mod limit;
pub(crate) mod link;
pub(crate) mod links;
#[cfg(test)]
pub(crate) mod memory;

pub(crate) mod quic;
pub(crate) mod serve;
mod tls;
pub(crate) mod transport;
mod turns;
pub(crate) mod view;
