//! The authoritative game catalog, and the `version.ini` of a game root.
//!
//! A catalog says which games a party shares, and in which version. It is read once, whole, from a
//! SQLite database (`game.db`) or a JSON file; which of the two a file is, its content decides. What
//! [`Catalog::load`] returns obeys every rule; a file that breaks one is an error that says where.
//! Nothing here watches files or knows of peers, and every call blocks.
//!
//! A catalog is made, loaded, and compared with the game that is in a directory:
//!
//! ```
//! use lanspread_catalog::{
//!     Catalog, CatalogGame, add_to_json_catalog, format_version_ini, read_version,
//! };
//! use lanspread_proto::{GameId, GameVersion};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let games_dir = tempfile::tempdir()?;
//! # let games_dir = games_dir.path();
//! let quake = GameId::new("quake")?;
//! let expected = GameVersion::new("20240131")?;
//! let path = games_dir.join("catalog.json");
//! add_to_json_catalog(&path, CatalogGame::new(quake.clone(), "Quake", expected.clone()))?;
//!
//! let catalog = Catalog::load(&path)?;
//! let game = catalog.get(&quake).ok_or("the catalog lacks the game")?;
//! assert_eq!(game.title, "Quake");
//!
//! let root = games_dir.join(game.id.as_str());
//! std::fs::create_dir(&root)?;
//! assert_eq!(read_version(&root)?, None, "not downloaded");
//! std::fs::write(root.join("version.ini"), format_version_ini(&expected))?;
//! assert_eq!(read_version(&root)?.as_ref(), Some(&game.version));
//! # Ok(())
//! # }
//! ```

mod catalog;
mod error;
mod game;
mod json;
mod load;
mod platform;
mod replace;
mod sqlite;
mod version_ini;
mod write;

pub use catalog::{CATALOG_MAX_GAMES, Catalog, CatalogPosition};
pub use error::{CatalogError, DuplicateId, RowError, VersionError};
pub use game::{CATALOG_TEXT_MAX_BYTES, CatalogGame};
pub use json::{JSON_CATALOG_MAX_BYTES, add_to_json_catalog};
pub use lanspread_proto::version_ini::{BadVersion, format_version_ini, parse_version_ini};
pub use version_ini::{
    VERSION_INI_MAX_BYTES, VERSION_INI_NAME, VersionIni, read_version, read_version_ini,
};
pub use write::{CatalogFormat, Existing, RootChange, add_content_roots, check_add_content_roots};
