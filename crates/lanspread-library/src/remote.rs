//! The libraries of other peers, as far as the own catalog knows their games.
//!
//! What a peer can make this one hold is bounded by the own catalog, and not by its word: a game that is
//! not in it is read and dropped, one that is in it is kept by its position there.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_catalog::{Catalog, CatalogPosition};
use lanspread_proto::library::{
    DeltaPage, GameSummary, LibraryChange, LibraryPage, LibraryPageError,
};
use lanspread_proto::limits::{LIBRARY_MAX_GAMES, LIBRARY_PAGES_MAX};
use lanspread_proto::message::LibraryPageHeader;
use lanspread_proto::{ContentHash, GameId, GameVersion};

/// What is known of the library of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteLibrary {
    rev: u64,
    /// In the order of their positions.
    games: Vec<KnownGame>,
    /// The versions of those that are not of the catalog's.
    other_versions: BTreeMap<CatalogPosition, GameVersion>,
}

/// A game of the own catalog that a peer announces: 80 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownGame {
    /// Where the catalog lists it.
    pub position: CatalogPosition,
    /// Its bytes.
    pub size: u64,
    /// The identity of its layout.
    pub manifest_hash: ContentHash,
    /// The identity of its content, once the peer has hashed it.
    pub content_root: Option<ContentHash>,
}

/// What changed in the library of a peer, as far as the own catalog knows the games.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDelta {
    /// The revision that it builds on.
    pub from_rev: u64,
    /// The revision that it leads to.
    pub to_rev: u64,
    changed: BTreeMap<CatalogPosition, Announced>,
    removed: BTreeSet<CatalogPosition>,
}

/// A game, and its version where that is not the catalog's.
type Announced = (KnownGame, Option<GameVersion>);

/// What became of a received delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaOutcome {
    /// It is known already.
    Ignored,
    /// It was applied.
    Applied {
        /// The games that it names.
        changed: BTreeSet<CatalogPosition>,
    },
    /// It does not build on what is known, and nothing was changed: the library is needed.
    Gap,
}

/// Why what a peer tells of its library is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// More than [`LIBRARY_MAX_GAMES`], or more than [`LIBRARY_PAGES_MAX`].
    #[error("the library has {games} games in {pages} pages, more than there can be")]
    TooLarge {
        /// How many games were announced.
        games: u32,
        /// How many pages were announced.
        pages: u32,
    },
    /// The pages are not of one library.
    #[error("page {0} of the library is of another one")]
    OtherLibrary(u32),
    /// A page is broken.
    #[error("page {page} of the library is broken: {source}")]
    Page {
        /// Which page, from 0.
        page: u32,
        /// What is wrong with it.
        source: LibraryPageError,
    },
    /// A page does not go on where the one before it ended.
    #[error("page {0} of the library does not follow the one before it")]
    Order(u32),
    /// Another number of games came than was announced.
    #[error("the library has {found} games, and says that it has {announced}")]
    Count {
        /// How many games came.
        found: u64,
        /// How many games were announced.
        announced: u32,
    },
    /// A delta is broken.
    #[error("the change of the library is broken: {0}")]
    Delta(#[from] LibraryPageError),
    /// A delta names a game as changed and as removed.
    #[error("the change of the library names game {0} twice")]
    Twice(GameId),
}

impl RemoteLibrary {
    /// Returns the revision that it is of.
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// Returns whether it has no game that the catalog knows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.games.is_empty()
    }

    /// Returns how many games of the catalog are announced, in whichever version.
    pub fn len(&self) -> usize {
        self.games.len()
    }

    /// Returns where in the catalog its games are.
    pub fn positions(&self) -> BTreeSet<CatalogPosition> {
        self.games.iter().map(|game| game.position).collect()
    }

    /// Returns the games that are announced at the version of the catalog.
    pub fn usable(&self) -> impl Iterator<Item = &KnownGame> {
        self.games.iter().filter(|game| !self.other_versions.contains_key(&game.position))
    }

    /// Returns a game, if it is announced at the version of the catalog.
    pub fn usable_at(&self, position: CatalogPosition) -> Option<&KnownGame> {
        let game = self.get(position)?;
        (!self.other_versions.contains_key(&position)).then_some(game)
    }

    /// Returns which games another library announces otherwise.
    pub fn differences(&self, other: &Self) -> BTreeSet<CatalogPosition> {
        let is_other = |position: &CatalogPosition| {
            self.get(*position) != other.get(*position)
                || self.other_versions.get(position) != other.other_versions.get(position)
        };
        self.positions().union(&other.positions()).copied().filter(is_other).collect()
    }

    /// Applies what a peer says has changed.
    pub fn apply(&mut self, delta: RemoteDelta) -> DeltaOutcome {
        let RemoteDelta { from_rev, to_rev, changed, removed } = delta;
        if to_rev <= self.rev {
            return DeltaOutcome::Ignored;
        }
        if from_rev != self.rev {
            return DeltaOutcome::Gap;
        }
        let mut named = removed;
        named.extend(changed.keys());
        self.games.retain(|game| !named.contains(&game.position));
        self.other_versions.retain(|position, _| !named.contains(position));
        for (game, version) in changed.into_values() {
            self.add(game, version);
        }
        self.games.sort_by_key(|game| game.position);
        self.rev = to_rev;
        DeltaOutcome::Applied { changed: named }
    }

    fn get(&self, position: CatalogPosition) -> Option<&KnownGame> {
        let at = self.games.binary_search_by_key(&position, |game| game.position).ok()?;
        self.games.get(at)
    }

    fn add(&mut self, game: KnownGame, version: Option<GameVersion>) {
        self.games.push(game);
        if let Some(version) = version {
            self.other_versions.insert(game.position, version);
        }
    }
}

impl RemoteDelta {
    /// Reads a delta.
    ///
    /// # Errors
    /// [`LibraryError`] says what is wrong with it. The library settles what it was about.
    pub fn read(
        from_rev: u64,
        to_rev: u64,
        page: &[u8],
        catalog: &Catalog,
    ) -> Result<Self, LibraryError> {
        let mut delta = Self { from_rev, to_rev, ..Self::gap(to_rev) };
        for change in DeltaPage::new(page)? {
            match change? {
                LibraryChange::Changed(game) => {
                    if let Some(announced) = announced(game, catalog) {
                        delta.changed.insert(announced.0.position, announced);
                    }
                }
                LibraryChange::Removed(id) => {
                    let Some(position) = catalog.position(&id) else { continue };
                    if delta.changed.contains_key(&position) {
                        return Err(LibraryError::Twice(id));
                    }
                    delta.removed.insert(position);
                }
            }
        }
        Ok(delta)
    }

    /// Makes an empty delta at `rev`. A peer with another revision sees a gap.
    pub fn gap(rev: u64) -> Self {
        Self { from_rev: rev, to_rev: rev, changed: BTreeMap::new(), removed: BTreeSet::new() }
    }
}

/// The library of a peer, of which some pages have come.
pub struct Gathering<'a> {
    catalog: &'a Catalog,
    library: RemoteLibrary,
    games: u32,
    pages: u32,
    /// How many pages and games have come.
    taken: u32,
    found: u64,
    last: Option<GameId>,
}

impl<'a> Gathering<'a> {
    /// Begins with what the first page says of all.
    ///
    /// # Errors
    /// [`LibraryError::TooLarge`].
    pub fn new(header: &LibraryPageHeader, catalog: &'a Catalog) -> Result<Self, LibraryError> {
        let LibraryPageHeader { rev, games, pages, .. } = *header;
        if games > LIBRARY_MAX_GAMES || !(1..=LIBRARY_PAGES_MAX).contains(&pages) {
            return Err(LibraryError::TooLarge { games, pages });
        }
        let library = RemoteLibrary { rev, ..RemoteLibrary::default() };
        Ok(Self { catalog, library, games, pages, taken: 0, found: 0, last: None })
    }

    /// Returns the revision that is gathered.
    pub fn rev(&self) -> u64 {
        self.library.rev
    }

    /// Returns the next page to ask for; `None` when all have come.
    pub fn next_page(&self) -> Option<u32> {
        (self.taken < self.pages).then_some(self.taken)
    }

    /// Takes in the next page.
    ///
    /// # Errors
    /// [`LibraryError`] says what is wrong with it.
    pub fn take(&mut self, header: &LibraryPageHeader, bytes: &[u8]) -> Result<(), LibraryError> {
        let page = self.taken;
        let is_same =
            (header.rev, header.games, header.pages) == (self.library.rev, self.games, self.pages);
        if !is_same {
            return Err(LibraryError::OtherLibrary(page));
        }
        let broken = |source| LibraryError::Page { page, source };
        for game in LibraryPage::new(bytes).map_err(broken)? {
            let game = game.map_err(broken)?;
            if self.last.as_ref().is_some_and(|last| *last >= game.id) {
                return Err(LibraryError::Order(page));
            }
            self.last = Some(game.id.clone());
            self.found += 1;
            if let Some((game, version)) = announced(game, self.catalog) {
                self.library.add(game, version);
            }
        }
        self.taken += 1;
        Ok(())
    }

    /// Returns the whole library.
    ///
    /// # Errors
    /// [`LibraryError::Count`].
    pub fn finish(self) -> Result<RemoteLibrary, LibraryError> {
        let (found, announced) = (self.found, self.games);
        // Both are in id order, and so the games are in the order of their positions.
        (found == u64::from(announced))
            .then_some(self.library)
            .ok_or(LibraryError::Count { found, announced })
    }
}

/// What is kept of an announced game; `None` if the catalog does not have it.
fn announced(game: GameSummary, catalog: &Catalog) -> Option<Announced> {
    let GameSummary { id, version, size, manifest_hash, content_root } = game;
    let position = catalog.position(&id)?;
    let is_other = catalog.at(position)?.version != version;
    Some((KnownGame { position, size, manifest_hash, content_root }, is_other.then_some(version)))
}

#[cfg(test)]
mod tests;
