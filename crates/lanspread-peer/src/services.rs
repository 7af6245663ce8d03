//! The long-lived tasks around the command loop: they watch and ask, the loop decides.

pub(crate) mod discovery;
pub(crate) mod liveness;
pub(crate) mod local_monitor;
pub(crate) mod server;
pub(crate) mod sightings;
