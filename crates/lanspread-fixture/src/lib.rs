//! Makes games and archives for tests.
//!
//! [`GameFixture`] describes a game root and makes it, with its entry in a catalog. The same description
//! gives the same bytes on every machine:
//!
//! ```
//! use std::fs;
//!
//! use lanspread_fixture::{ArchiveFormat, GameArchive, GameFixture, SizedFile};
//! use lanspread_proto::{GameId, GameVersion, RelPath};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! # let parent = parent.path();
//! let version = GameVersion::new("20240131")?;
//! let mut game = GameFixture::new(parent.join("alpha"), GameId::new("quake")?, version);
//! game.files.push(SizedFile { path: RelPath::new("readme.txt")?, size_bytes: 1000 });
//! game.archive = Some(GameArchive {
//!     format: ArchiveFormat::Rar,
//!     entries: SizedFile::numbered("maps", 20, 64 * 1024)?,
//! });
//! let made = game.make()?;
//! assert_eq!(made.root, parent.join("alpha/quake"));
//! assert_eq!(made.files, 3, "readme.txt, quake.eti and version.ini");
//!
//! game.games_dir = parent.join("bravo");
//! let same = game.make()?;
//! assert_eq!(fs::read(made.root.join("quake.eti"))?, fs::read(same.root.join("quake.eti"))?);
//! # Ok(())
//! # }
//! ```
//!
//! [`RarWriter`] writes RAR 5 archives and [`FixtureWriter`] the format of tests; `lanspread-archive`
//! reads both. This crate does not depend on `lanspread-archive`, and restates the formats. The tests of
//! `lanspread-archive` unpack what is written here, so a wrong constant is wrong on one side alone. A
//! program that makes archives links no UnRAR library, and unit tests of `lanspread-archive` can use the
//! writers, since there is one `lanspread-archive` in their build. RARLAB's technote defines RAR 5;
//! `lanspread-archive` owns the format of tests, and describes it in its module `fixture`.

mod archive;
mod content;
mod game;
mod platform;
mod rar;

pub use archive::FixtureWriter;
pub use content::WriteError;
pub use game::{ArchiveFormat, FixtureError, GameArchive, GameFixture, MadeGame, SizedFile};
pub use rar::RarWriter;
