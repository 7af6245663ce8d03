//! Installing and uninstalling a game so that a crash at any moment leaves `local/` old or new.
//!
//! A transaction first writes its intent into the state directory. What it puts beside `local/`
//! carries a mark inside that says what it is and what may become of it, so that even without the
//! intent nothing of the user's is taken for a leftover. Whatever way a transaction ends, success
//! and failure included, [`recovery::recover`] settles the rest: the rules that run at the next start are the
//! ones that run every time.
//!
//! [`streamed`] fills the new `local/` from what a source sends, by the same transaction.
//!
//! All of it but [`streamed`] blocks. Nothing here knows whether a game is busy: the caller sees to it that nothing
//! else touches the root meanwhile.

mod decision;
mod durability;
pub mod error;
mod install_paths;
mod intent;
mod platform;
pub mod points;
mod recovery;
pub mod setup;
mod step;
mod streamed;
mod transaction;

pub use recovery::{panicked, recover_all};
pub use streamed::run as install_streamed;
pub use streamed::{StreamJob, StreamNotice, StreamedGame};
pub use transaction::{InstallJob, InstallSummary, install, uninstall};
