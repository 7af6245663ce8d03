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
mod names;
mod remote;
mod scan;
mod settle;
mod stamp;
mod survey;
mod verify;
mod walk;

pub(crate) use delta::{Difference, diff};
pub(crate) use gate::RescanGate;
pub(crate) use hashing::{HashError, Hashed, Reading, hash_manifest};
pub(crate) use index::{Index, IndexWarning};
pub(crate) use names::{ids_with_state, may_be_root_of, root_ids};
pub(crate) use remote::{
    DeltaOutcome, Gathering, KnownGame, LibraryError, RemoteDelta, RemoteLibrary,
};
pub(crate) use scan::{
    GameScan, LocalGame, Scan, ScanError, ScanWarning, roots, scan_game, scan_games,
    scan_games_dir, scan_known_game,
};
pub(crate) use settle::settle;
pub(crate) use stamp::{Fingerprint, KnownContent, SETTLE_TIME, Stamp, StampedFile};
pub(crate) use survey::{Glance, survey, suspects};
pub(crate) use verify::{Reference, Verdict, verify};
pub(crate) use walk::{is_whole, looks_like};
