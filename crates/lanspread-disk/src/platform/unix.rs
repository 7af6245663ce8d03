//! Unix.

pub(crate) mod resolve;
pub(crate) mod rights;
