//! What tells a handshake which library this peer announces.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::library::LibrarySnapshot;

/// Tells which library this peer announces.
pub trait Announcer: Send + Sync {
    /// Returns the library, once it is known. A handshake waits for it within its own bound.
    fn library(&self) -> BoxFuture<'_, Arc<LibrarySnapshot>>;
}

/// A library that does not change.
impl Announcer for Arc<LibrarySnapshot> {
    fn library(&self) -> BoxFuture<'_, Arc<LibrarySnapshot>> {
        std::future::ready(Self::clone(self)).boxed()
    }
}
