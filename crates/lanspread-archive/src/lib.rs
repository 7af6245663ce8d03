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

mod auto;
mod control;
mod copies;
mod dictionary;
mod error;
mod external;
mod fixture;
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
pub use external::ExternalUnrar;
pub use fixture::FixtureUnpacker;
pub use names::NAMES_MAX;
pub use pass::{BLOCK_BYTES, UnpackSummary};
pub use rar::RarUnpacker;
pub use received::{StreamSource, unpack_stream};
pub use roots::root_archives;
pub use stream::{ArchiveStream, StreamInstallProvider, StreamItem, StreamSink, StreamTotals};
pub use unpacker::Unpacker;
