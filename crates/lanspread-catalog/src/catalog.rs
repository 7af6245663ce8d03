//! The catalog as the rest of the program sees it.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use lanspread_proto::limits::LIBRARY_MAX_GAMES;
use lanspread_proto::{ContentHash, GameId, GameVersion};

use crate::error::{CatalogError, DuplicateId};
use crate::{json, sqlite};

/// Most games in a catalog: as many as a library may have.
pub const CATALOG_MAX_GAMES: usize = LIBRARY_MAX_GAMES as usize;
/// Longest title, publisher, release or genre in bytes, so that every one fits a record line.
pub const CATALOG_TEXT_MAX_BYTES: usize = 1024;

/// One game of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogGame {
    /// Which game: also the name of its root directory.
    pub id: GameId,
    /// What people call it.
    pub title: String,
    /// The expected version: no other one is announced, served or fetched.
    pub version: GameVersion,
    /// The expected content root, where the catalog pins the content.
    pub content_root: Option<ContentHash>,
    /// Size in bytes, as the catalog tells it. For people: nothing relies on it.
    pub size: Option<u64>,
    /// How many can play at once.
    pub max_players: Option<u32>,
    /// Who published it.
    pub publisher: Option<String>,
    /// When it was released, as the catalog writes it.
    pub release: Option<String>,
    /// The catalog's own id of the genre.
    pub genre_id: Option<String>,
}

impl CatalogGame {
    /// A game of which only the required values are known.
    #[must_use]
    pub fn new(id: GameId, title: impl Into<String>, version: GameVersion) -> Self {
        Self {
            id,
            title: title.into(),
            version,
            content_root: None,
            size: None,
            max_players: None,
            publisher: None,
            release: None,
            genre_id: None,
        }
    }
}

/// Where a game is in its catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogPosition(u32);

/// Every game of the party by id. No two ids differ in letter case alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// In id order.
    games: Vec<CatalogGame>,
}

impl Catalog {
    /// A catalog without games: nothing is announced, served or fetched.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

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

    /// Makes a catalog of `games`.
    ///
    /// # Errors
    /// [`DuplicateId`] names the first two ids that are equal or differ in letter case alone: they
    /// would share one directory on Windows and macOS.
    pub fn from_games(games: impl IntoIterator<Item = CatalogGame>) -> Result<Self, DuplicateId> {
        let mut by_directory: BTreeMap<String, GameId> = BTreeMap::new();
        let mut in_order = Vec::new();
        for game in games {
            match by_directory.entry(directory_key(&game.id)) {
                btree_map::Entry::Occupied(first) => {
                    return Err(DuplicateId { first: first.get().clone(), second: game.id });
                }
                btree_map::Entry::Vacant(free) => free.insert(game.id.clone()),
            };
            in_order.push(game);
        }
        in_order.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { games: in_order })
    }

    /// The game `id`, if the catalog has it.
    #[must_use]
    pub fn get(&self, id: &GameId) -> Option<&CatalogGame> {
        self.at(self.position(id)?)
    }

    /// Where the game `id` is among all games, in id order. A catalog does not change, so that this is as
    /// good a name for the game, in four bytes.
    #[must_use]
    pub fn position(&self, id: &GameId) -> Option<CatalogPosition> {
        let at = self.games.binary_search_by(|game| game.id.cmp(id)).ok()?;
        u32::try_from(at).ok().map(CatalogPosition)
    }

    /// The game at a position.
    #[must_use]
    pub fn at(&self, position: CatalogPosition) -> Option<&CatalogGame> {
        self.games.get(usize::try_from(position.0).ok()?)
    }

    /// All games in id order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &CatalogGame> {
        self.games.iter()
    }

    /// How many games there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.games.len()
    }

    /// Whether there is no game.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.games.is_empty()
    }

    /// The catalog in its JSON form, in id order, with a line break at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::format_games(self.iter())
    }
}

/// What names the root directory of `id` where the file system ignores letter case.
pub(crate) fn directory_key(id: &GameId) -> String {
    id.as_str().to_lowercase()
}

/// Says what keeps `text` from being a title, publisher, release or genre.
pub(crate) fn text_fault(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        Some("is empty".to_owned())
    } else if text.len() > CATALOG_TEXT_MAX_BYTES {
        Some(format!("has {} bytes, more than {CATALOG_TEXT_MAX_BYTES}", text.len()))
    } else if text.chars().any(char::is_control) {
        Some("holds a control character".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(id: &str) -> CatalogGame {
        CatalogGame::new(id.parse().unwrap(), "A title", "1".parse().unwrap())
    }

    #[test]
    fn games_come_in_id_order() {
        let catalog = Catalog::from_games([game("b"), game("C"), game("a")]).unwrap();
        let ids: Vec<_> = catalog.iter().map(|game| game.id.as_str()).collect();
        assert_eq!(ids, ["C", "a", "b"]);
        assert_eq!(catalog.get(&"a".parse().unwrap()), Some(&game("a")));
        assert_eq!(catalog.get(&"A".parse().unwrap()), None);
    }

    #[test]
    fn ids_that_share_a_directory_are_refused() {
        for (first, second) in [("quake", "quake"), ("quake", "Quake"), ("ÜNREAL", "ünreal")] {
            let error = Catalog::from_games([game(first), game("x"), game(second)]).unwrap_err();
            assert_eq!((error.first.as_str(), error.second.as_str()), (first, second));
        }
    }
}
