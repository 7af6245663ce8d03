//! Unpacks the archives of a game.
//!
//! An [`Unpacker`] reads an archive once from front to back and writes its entries below a folder:
//! [`RarUnpacker`] in this process, [`ExternalUnrar`] through a program that the user names,
//! [`FixtureUnpacker`] for the format of tests, and [`AutoUnpacker`] whichever fits. They all share one
//! pass over the entries and one set of rules, so that an archive refused by one is refused by all:
//! entries that would leave the folder, links out of the archive, names that exist twice or not on every
//! platform, passwords, and contents that are not what was announced.
//!
//! A [`StreamInstallProvider`] makes the same pass over all archives of a game and hands the entries
//! on instead of writing them; [`unpack_stream`] writes what arrives at the other end, under the
//! same rules.
//!
//! Everything here blocks. Archives come from other machines and are taken for hostile; the folders
//! below which they are unpacked belong to the caller alone while it lasts.
//!
//! An archive is unpacked into a folder, and a second time nothing of it is overwritten:
//!
//! ```
//! use std::fs::{self, File};
//!
//! use lanspread_archive::{AutoUnpacker, Unpacker, root_archives};
//! use lanspread_disk::Dir;
//! use lanspread_fixture::RarWriter;
//! use lanspread_proto::RelPath;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! let mut archive = RarWriter::new(File::create(root.join("quake.eti"))?)?;
//! archive.add_file(&RelPath::new("id1/autoexec.cfg")?, 6, None, false, &b"god 1\n"[..])?;
//! archive.finish()?;
//!
//! let local = root.join("local");
//! fs::create_dir(&local)?;
//! let target = Dir::open(&local)?;
//! let unpacker = AutoUnpacker::default();
//! for archive in root_archives(root)? {
//!     // `()` neither watches nor cancels.
//!     let summary = unpacker.unpack(&archive, &target, &mut ())?;
//!     assert_eq!((summary.files, summary.bytes), (1, 6));
//!     let error = unpacker.unpack(&archive, &target, &mut ()).unwrap_err();
//!     assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AlreadyExists));
//! }
//! assert_eq!(fs::read_to_string(local.join("id1/autoexec.cfg"))?, "god 1\n");
//! # Ok(())
//! # }
//! ```

mod auto;
mod control;
mod copies;
mod dictionary;
mod error;
mod external;
mod fixture;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod names;
mod pass;
mod platform;
mod rar;
mod received;
mod regular;
mod roots;
mod sink;
mod stream;
mod unpacker;

pub use auto::{ArchiveFormat, AutoUnpacker};
pub use control::UnpackControl;
pub use dictionary::MaxDictionary;
pub use error::{Damage, UnpackError, UnsafeReason};
pub use external::{ExternalUnrar, UnrarVersion};
pub use fixture::FixtureUnpacker;
pub use names::NAMES_MAX;
pub use pass::{BLOCK_BYTES, UnpackSummary};
pub use rar::RarUnpacker;
pub use received::{StreamSource, unpack_stream};
pub use roots::root_archives;
pub use stream::{ArchiveStream, StreamInstallProvider, StreamItem, StreamSink, StreamTotals};
pub use unpacker::Unpacker;
