//! Makes games and archives for tests.
//!
//! [`GameFixture`] describes a game root and makes it, with its entry in a catalog.
//! [`RarWriter`] writes RAR 5 archives and [`FixtureWriter`] the format of tests. `lanspread-archive`
//! reads both. This crate does not depend on it: the two restate the formats, and the tests of
//! `lanspread-archive` hold them to each other. So a wrong constant is not wrong on both sides, a
//! program that makes archives links no UnRAR library, and unit tests of `lanspread-archive` can use
//! the writers. The RAR 5 format is that of RARLAB's technote; the format of fixture archives is
//! owned by `lanspread-archive`, whose `fixture` module describes it.

mod archive;
mod content;
mod game;
mod platform;
mod rar;

pub use archive::FixtureWriter;
pub use content::WriteError;
pub use game::{ArchiveFormat, FixtureError, GameArchive, GameFixture, MadeGame, SizedFile};
pub use rar::RarWriter;
