//! The authoritative game catalog, and the `version.ini` of a game root.
//!
//! A catalog says which games a party shares, and in which version. It is read once, whole, from a
//! SQLite database (`game.db`) or a JSON file; which of the two a file is, its content decides. What
//! [`Catalog::load`] returns obeys every rule; a file that breaks one is an error that says where.
//! Nothing here watches files or knows of peers, and every call blocks.

mod catalog;
mod error;
mod game;
mod json;
mod load;
mod sqlite;
mod version_ini;

pub use catalog::{CATALOG_MAX_GAMES, Catalog, CatalogPosition};
pub use error::{BadVersion, CatalogError, DuplicateId, RowError, VersionError};
pub use game::{CATALOG_TEXT_MAX_BYTES, CatalogGame};
pub use json::{JSON_CATALOG_MAX_BYTES, add_to_json_catalog};
pub use version_ini::{
    VERSION_INI_MAX_BYTES, VERSION_INI_NAME, VersionIni, format_version_ini, parse_version_ini,
    read_version, read_version_ini,
};
