//! Whether a peer takes what it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The standing of one connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Standing(Arc<AtomicU8>);

/// Nothing has been sent yet.
const UNKNOWN: u8 = 0;
const TAKING: u8 = 1;
const SLOW: u8 = 2;

impl Standing {
    /// Makes the standing of a peer that was sent nothing yet.
    pub(crate) fn unknown() -> Self {
        Self(Arc::new(AtomicU8::new(UNKNOWN)))
    }

    /// Returns whether the peer has taken what it was sent last.
    pub(crate) fn is_taking(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TAKING
    }

    /// Returns whether the peer has not taken what it was sent last.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SLOW
    }

    /// Notes whether the peer takes what it is sent. Until then neither is known.
    pub(crate) fn set(&self, is_taking: bool) {
        self.0.store(if is_taking { TAKING } else { SLOW }, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn taking() -> Self {
        let standing = Self::unknown();
        standing.set(true);
        standing
    }
}
