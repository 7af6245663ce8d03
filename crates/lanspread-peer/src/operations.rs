//! What is being done with games: by this peer, and for others.

pub(crate) mod table;
