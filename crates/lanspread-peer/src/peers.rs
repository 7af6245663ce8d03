//! Who is known, and which games they announce. Pure: facts and `now` go in, decisions come out.

pub(crate) mod conflicts;
pub(crate) mod db;
pub(crate) mod dialling;
pub(crate) mod duplicate_connection;
pub(crate) mod liveness;
pub(crate) mod places;
pub(crate) mod refusals;
pub(crate) mod versions;
pub(crate) mod waiting_room;
