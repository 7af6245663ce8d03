//! The catalog as the rest of the program sees it.

use std::collections::BTreeMap;
use std::collections::btree_map;

use lanspread_proto::GameId;
use lanspread_proto::limits::LIBRARY_MAX_GAMES;

use crate::error::DuplicateId;
use crate::game::{CatalogGame, directory_key};

/// Most games in a catalog: as many as a library may have.
pub const CATALOG_MAX_GAMES: usize = LIBRARY_MAX_GAMES as usize;

/// Where a game is in its catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogPosition(u32);

impl CatalogPosition {
    /// Returns how many games come before it.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the position that so many games come before; `None` beyond what a catalog can have.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        (index < CATALOG_MAX_GAMES).then(|| u32::try_from(index).ok().map(Self)).flatten()
    }
}

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
