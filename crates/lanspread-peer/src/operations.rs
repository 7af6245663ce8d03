//! What is being done with games: by this peer, and for others.

pub(crate) mod removal;
pub(crate) mod table;
