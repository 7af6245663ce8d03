//! Bounds what the requests of others take of this peer.

pub(crate) mod fair_semaphore;
pub(crate) mod send_slots;
pub(crate) mod stream_queue;
pub(crate) mod super_seeding;
