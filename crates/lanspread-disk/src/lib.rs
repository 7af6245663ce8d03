//! Files and directories that a peer works with: reached without following links, and changed so that a
//! crash leaves the old state or the new one.
//!
//! ```
//! use lanspread_disk::{Dir, state_file};
//!
//! # fn main() -> std::io::Result<()> {
//! # let games_dir = tempfile::tempdir()?;
//! # let games_dir = games_dir.path();
//! let root = games_dir.join("quake");
//! std::fs::create_dir(&root)?;
//! std::fs::write(root.join("quake.eti"), "archive")?;
//!
//! let dir = Dir::open(&root)?;
//! let found = dir.look("quake.eti")?.ok_or(std::io::ErrorKind::NotFound)?;
//! assert!(found.is_file() && found.size == 7);
//! assert!(dir.read("../quake/quake.eti").is_err(), "nothing outside of the root is reached");
//!
//! let journal = games_dir.join("journal");
//! state_file::write_atomic(&journal, b"one chunk")?;
//! state_file::write_atomic(&journal, b"two chunks")?;
//! assert_eq!(std::fs::read(&journal)?, b"two chunks");
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | work below a directory without following a link | [`Dir`], [`Parents`], [`DirReader`], [`game_file`] |
//! | learn which names a disk takes for one | [`is_spelling_of`], [`Listing`], [`Doubts`] |
//! | tell what no game put into its root | [`foreign`] |
//! | change the disk durably, each change at a [`Point`] where tests let it crash | [`durable`], [`points`] |
//! | keep a file of the state directory whole | [`state_file`] |
//! | make and remove the root of a game | [`root`] |
//! | say what failed on which path | [`IoFailure`] |
//! | hold the bytes of chunks in memory that is used again | [`chunk_buffer`] |
//! | ask for room before anything is written | [`room`], [`reserve`] |
//! | mark what a peer has made, and delete it in the background | [`mark`], [`trash`] |
//! | ask the operating system for the rest | [`platform`] |
//!
//! A [`Dir`] is an open directory. Everything below it is reached component by component, and no
//! symbolic link is followed on the way or at the end. A directory that is replaced by a link while
//! a download or an installation runs ends that operation with an error, and nothing outside the
//! root is read, written or removed.
//!
//! [`lanspread_proto::fold`] and [`is_spelling_of`] answer which names a disk may take for one file.
//! File systems differ in that, and one file system can differ from directory to directory, so the disk
//! itself is asked whenever two spellings are in doubt. No answer is stored.
//!
//! Everything here blocks. Absolute paths are only taken for the directory where the work begins;
//! its parents belong to the user and may be links.
//!
//! The feature `failpoints` is for tests: it gives points names, lets them fail, end the process or cut the
//! power, and offers what such tests put on the disk.

pub mod chunk_buffer;
mod clashes;
mod dir;
pub mod durable;
pub mod foreign;
mod found;
pub mod free_space;
pub mod game_file;
mod io_failure;
pub mod mark;
mod mounts;
mod names;
mod parents;
pub mod platform;
mod point;
pub mod points;
pub mod reserve;
pub mod root;
pub mod state_file;
pub mod trash;
mod tree;

pub use clashes::{Clash, Doubts};
pub use dir::Dir;
pub use found::{Entry, Found, Kind};
pub use io_failure::IoFailure;
pub use mounts::mount_in_the_way;
pub use names::{Listing, is_spelling_of};
pub use parents::Parents;
#[cfg(any(test, feature = "failpoints"))]
pub use platform::testing;
pub use platform::{DirReader, mount_of};
pub use point::Point;
