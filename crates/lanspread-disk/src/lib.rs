//! Files and directories below a directory that a peer works in: a game root, or the directory into
//! which an archive is unpacked.
//!
//! A [`Dir`] is an open directory. Everything below it is reached component by component, and no
//! symbolic link is followed on the way or at the end. A directory that is replaced by a link while
//! a download or an installation runs ends that operation with an error, and nothing outside the
//! root is read, written or removed.
//!
//! [`lanspread_proto::fold`] and [`is_spelling_of`] answer which names a disk may take for one file. File systems
//! differ in that, and one file system can differ from directory to directory, so the disk itself is
//! asked whenever two spellings are in doubt. No answer is stored.
//!
//! Everything here blocks. Absolute paths are only taken for the directory where the work begins;
//! its parents belong to the user and may be links.

pub mod chunk_buffer;
mod clashes;
mod dir;
pub mod durable;
pub mod foreign;
mod found;
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
pub mod room;
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
