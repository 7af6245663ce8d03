//! What is fuzzed: each function reads bytes of others as the product reads them, and holds what comes of them to
//! the rules that the rest of the product relies on.

mod archives;
mod catalogs;
mod scheduler;
mod state;
mod wire;

pub use archives::{rar, rar_names};
pub use catalogs::{catalog_json, catalog_sqlite};
pub use scheduler::scheduler;
pub use state::index;
#[cfg(feature = "peer")]
pub use state::journal;
pub use wire::{codec, manifest, messages, pages, path};
