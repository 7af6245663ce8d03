//! The games on this disk: what is there, what it consists of, and what changed.
//!
//! A scan looks at the game roots and takes from the [`Index`] whatever did not change since the
//! index was written; hashing fills in what the scan could not know without reading; a delta tells
//! others the difference. All of it blocks and runs wherever the caller puts it: nothing here is a
//! task, keeps a clock or talks to a peer.

mod attributes;
mod delta;
mod gate;
mod hashing;
mod index;
mod local_game;
mod names;
pub mod points;
mod problem;
mod remote;
mod scan;
mod settle;
mod stamp;
mod survey;
mod verify;
mod walk;

pub use delta::{Difference, diff};
pub use gate::RescanGate;
pub use hashing::{HashError, Hashed, Reading, hash_manifest};
pub use index::{Index, IndexWarning};
pub use local_game::LocalGame;
pub use names::{may_be_root_of, root_ids};
pub use problem::{GameProblem, GameProblems, PROBLEMS_MAX, ProblemReason};
pub use remote::{DeltaOutcome, Gathering, KnownGame, LibraryError, RemoteDelta, RemoteLibrary};
pub use scan::{
    GameScan, Scan, ScanError, ScanWarning, roots, scan_game, scan_games, scan_games_dir,
    scan_known_game,
};
pub use settle::settle;
pub use stamp::{Fingerprint, KnownContent, SETTLE_TIME, Stamp, StampedFile};
pub use survey::{Glance, survey, suspects};
pub use verify::{Reference, Verdict, VerifyFailure, VerifyReference, verify};
pub use walk::{is_whole, looks_like};
