//! The games on this disk: what is there, what it consists of, and what changed.
//!
//! ```
//! use std::fs;
//! use std::time::SystemTime;
//!
//! use lanspread_catalog::{Catalog, CatalogGame};
//! use lanspread_library::{Index, Reading, hash_manifest, scan_games_dir};
//! use lanspread_proto::GameId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (games_dir, state_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let (games_dir, state_dir) = (games_dir.path(), state_dir.path());
//! let quake = GameId::new("quake")?;
//! let root = games_dir.join("quake");
//! fs::create_dir(&root)?;
//! fs::write(root.join("version.ini"), "20240131")?;
//! fs::write(root.join("quake.eti"), "archive")?;
//!
//! let game = CatalogGame::new(quake.clone(), "Quake", "20240131".parse()?);
//! let catalog = Catalog::from_games([game])?;
//! let (index, _) = Index::load(state_dir)?;
//! let scan = scan_games_dir(games_dir, &catalog, &index)?;
//! let game = scan.games.get(&quake).ok_or("it is not found")?;
//! let manifest = game.manifest.as_ref().ok_or("it is not downloaded")?;
//! assert_eq!(manifest.content_root(), None, "a scan opens no file but version.ini");
//!
//! let reading = Reading { cancel: &|| false, now: &SystemTime::now };
//! let own = game.version_ini.as_deref();
//! let hashed = hash_manifest(&root, manifest, own, &game.fingerprint, &reading)?;
//! assert!(hashed.manifest.content_root().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! A scan looks at the game roots and takes from the [`Index`] whatever did not change since the
//! index was written; hashing fills in what the scan could not know without reading; [`diff`] tells
//! others the difference, a [`RemoteLibrary`] is what another peer tells, and [`Libraries`] keeps what all of them tell. [`verify()`] reads a whole
//! game again, and [`RescanScheduler`] keeps looks at the disk from contradicting operations.
//!
//! All of it blocks and runs wherever the caller puts it: nothing here is a task, keeps a clock or talks to
//! a peer.

mod attributes;
mod delta;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
mod index;
mod libraries;
mod local_game;
mod names;
pub mod points;
mod problem;
mod quick_scan;
mod remote;
mod rescan_scheduler;
mod scan;
mod settle;
mod stamp;
mod verify;
mod walk;

pub use delta::{Difference, diff};
pub use hashing::{HashError, Hashed, Reading, hash_manifest};
pub use index::{Index, IndexWarning};
pub use libraries::{Libraries, OWNER_ANNOUNCEMENTS_MAX};
pub use local_game::LocalGame;
pub use names::{may_be_root_of, root_ids};
pub use problem::{GameProblem, GameProblems, PROBLEMS_MAX, ProblemReason};
pub use quick_scan::{QuickScan, quick_scan, suspects};
pub use remote::{
    Announcement, DeltaOutcome, Gathering, KnownGame, LibraryError, RemoteDelta, RemoteLibrary,
};
pub use rescan_scheduler::RescanScheduler;
pub use scan::{
    GameScan, Scan, ScanError, ScanWarning, roots, scan_game, scan_games, scan_games_dir,
    scan_known_game,
};
pub use settle::settle;
pub use stamp::{Fingerprint, KnownContent, SETTLE_TIME, Stamp, StampedFile};
pub use verify::{Reference, Verdict, VerifyFailure, VerifyReference, verify};
pub use walk::{is_whole, looks_like};
