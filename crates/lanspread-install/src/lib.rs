//! Installing and uninstalling a game so that a crash at any moment leaves `local/` old or new.
//!
//! ```
//! use std::fs::{self, File};
//!
//! use lanspread_archive::FixtureUnpacker;
//! use lanspread_fixture::FixtureWriter;
//! use lanspread_install::{InstallJob, install, uninstall};
//! use lanspread_proto::GameId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (games_dir, state_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let (games_dir, state_dir) = (games_dir.path(), state_dir.path());
//! let game_id = GameId::new("quake")?;
//! let root = games_dir.join("quake");
//! fs::create_dir(&root)?;
//! let mut archive = FixtureWriter::new(File::create(root.join("quake.eti"))?)?;
//! archive.add_file(&"bin/quake.exe".parse()?, 4, true, &b"game"[..])?;
//! archive.finish()?;
//!
//! let summary = install(&mut InstallJob {
//!     root: &root,
//!     state_dir,
//!     game_id: &game_id,
//!     unpacker: &FixtureUnpacker,
//!     cancel: &|| false,
//!     progress: &mut |_bytes| {},
//! })?;
//! assert_eq!((summary.files, summary.bytes), (1, 4));
//! assert_eq!(fs::read(root.join("local/bin/quake.exe"))?, b"game");
//!
//! uninstall(&root, state_dir, &game_id)?;
//! assert!(!root.join("local").exists() && root.join("quake.eti").exists());
//! # Ok(())
//! # }
//! ```
//!
//! A transaction first writes its intent into the state directory. What it puts beside `local/`
//! carries a mark inside that says what it is and what may become of it, so that even without the
//! intent nothing of the user's is taken for a leftover. Whatever way a transaction ends, success
//! and failure included, a recovery settles the rest: the rules of [`recover_all`], which runs at the next
//! start, are the ones that run every time.
//!
//! [`install_streamed`] fills the new `local/` from what a source sends, by the same transaction.
//! [`setup`] starts the setup script that some games bring along.
//!
//! All of it but [`install_streamed`] blocks. Nothing here knows whether a game is busy: the caller sees to
//! it that nothing else touches the root meanwhile.

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
