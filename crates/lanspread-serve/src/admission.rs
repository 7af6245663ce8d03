//! Bounds what the requests of others take of this peer.

pub(crate) mod complaints;
pub(crate) mod fair_semaphore;
pub(crate) mod page_slots;
pub(crate) mod requester;
pub(crate) mod send_slots;
pub(crate) mod stream_queue;
pub(crate) mod super_seeding;

use std::sync::Arc;

use complaints::ComplaintBudget;
use lanspread_net::limit::Limiter;
use page_slots::PageSlots;
use send_slots::SendSlots;
use super_seeding::SuperSeeding;
use tokio::sync::Semaphore;

/// What is sent at once under a limit: it goes out evenly, and who is sent something at the same time
/// gets as much of it.
pub(crate) const PACED_BYTES: usize = 32 * 1024;
/// Most layouts and libraries that are being encoded at a time: each takes one blocking thread, and as much
/// memory as it will have.
pub(crate) const ENCODINGS_MAX: usize = 2;

/// Most looks at whole games at a time: each asks the disk for every file, and anybody may ask for one.
pub(crate) const LOOKS_MAX: usize = 2;

/// The bounds of one peer, for all connections together. Clones share everything.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) super_seeding: SuperSeeding,
    pub(crate) send_slots: SendSlots,
    pub(crate) page_slots: PageSlots,
    pub(crate) complaints: ComplaintBudget,
    /// [`ENCODINGS_MAX`] permits.
    pub(crate) encodings: Arc<Semaphore>,
    /// [`LOOKS_MAX`] permits.
    pub(crate) looks: Arc<Semaphore>,
    /// Paces chunks, pages of games and streams.
    pub(crate) upload: Limiter,
}

impl Admission {
    pub(crate) fn new(upload: Limiter) -> Self {
        Self {
            super_seeding: SuperSeeding::new(),
            send_slots: SendSlots::new(upload.limit()),
            page_slots: PageSlots::new(),
            complaints: ComplaintBudget::default(),
            encodings: Arc::new(Semaphore::new(ENCODINGS_MAX)),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            upload,
        }
    }
}
