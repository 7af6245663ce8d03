//! The attacks, one a module.

pub(crate) mod flood;
pub(crate) mod join;
pub(crate) mod mdns;
pub(crate) mod refused;
pub(crate) mod silent;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod unread;
