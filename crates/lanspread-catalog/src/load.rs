//! Reading a catalog of whichever format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::catalog::{CATALOG_MAX_GAMES, Catalog};
use crate::error::CatalogError;
use crate::{json, sqlite};

impl Catalog {
    /// Reads the catalog at `path`: SQLite or JSON, as its content tells.
    ///
    /// A SQLite database is opened read-only, and no file is created beside it.
    ///
    /// # Errors
    /// [`CatalogError`] says what is wrong, where, and what to do. A catalog without games is an
    /// error; where none is wanted, there is [`Catalog::empty`].
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let read_error = |source| CatalogError::Read { path: path.to_owned(), source };
        // Asked before opening, because opening a pipe that nobody writes to waits for ever.
        if !path.metadata().map_err(read_error)?.is_file() {
            return Err(CatalogError::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(read_error)?;
        let mut head = Vec::new();
        let magic_len = sqlite::MAGIC.len() as u64;
        file.by_ref().take(magic_len).read_to_end(&mut head).map_err(read_error)?;
        let games = if head == sqlite::MAGIC {
            sqlite::read_games(path)?
        } else {
            json::read_games(path, head, file)?
        };
        if games.len() > CATALOG_MAX_GAMES {
            return Err(CatalogError::TooManyGames {
                path: path.to_owned(),
                max: CATALOG_MAX_GAMES,
            });
        }
        let catalog = Self::from_games(games)
            .map_err(|source| CatalogError::Duplicate { path: path.to_owned(), source })?;
        if catalog.is_empty() {
            return Err(CatalogError::NoGames { path: path.to_owned() });
        }
        Ok(catalog)
    }
}
