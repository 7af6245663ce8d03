//! What another peer tells of its library: the pages of all of it, and the changes.
//!
//! What a peer can make this one hold is bounded by the own catalog, and not by its word: a game that is
//! not in it is read and dropped, one that is in it is kept by its position there. [`Libraries`](crate::Libraries) keeps what
//! was read here.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_catalog::{Catalog, CatalogPosition};
use lanspread_proto::library::{
    DeltaPage, GameSummary, LibraryChange, LibraryPage, LibraryPageError,
};
use lanspread_proto::limits::{LIBRARY_MAX_GAMES, LIBRARY_PAGES_MAX};
use lanspread_proto::message::LibraryPageHeader;
use lanspread_proto::{ContentHash, GameId};

/// The library of a peer as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteLibrary {
    /// The revision that it is of.
    pub rev: u64,
    /// In the order of their positions, each position once.
    pub games: Vec<(CatalogPosition, Announcement)>,
}

/// What a peer says of a game of the own catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// It has the version of the catalog.
    Usable(KnownGame),
    /// It has another version, which is of no use here.
    OtherVersion,
}

/// A game at the version of the catalog: 80 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownGame {
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
    pub(crate) changed: BTreeMap<CatalogPosition, Announcement>,
    pub(crate) removed: BTreeSet<CatalogPosition>,
}

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
                    delta.changed.extend(announced(game, catalog));
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

    /// Returns how many games it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changed.len() + self.removed.len()
    }

    /// Returns whether it names no game.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        // At once, so that a large library is not copied as it grows.
        let kept_max = usize::try_from(games).unwrap_or(usize::MAX).min(catalog.len());
        let library = RemoteLibrary { rev, games: Vec::with_capacity(kept_max) };
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
            if self.found > u64::from(self.games) {
                return Err(self.miscounted());
            }
            self.library.games.extend(announced(game, self.catalog));
        }
        self.taken += 1;
        Ok(())
    }

    /// Returns the whole library.
    ///
    /// # Errors
    /// [`LibraryError::Count`].
    pub fn finish(self) -> Result<RemoteLibrary, LibraryError> {
        if self.found != u64::from(self.games) {
            return Err(self.miscounted());
        }
        // Both are in id order, and so the games are in the order of their positions.
        Ok(self.library)
    }

    fn miscounted(&self) -> LibraryError {
        LibraryError::Count { found: self.found, announced: self.games }
    }
}

/// What is kept of an announced game; `None` if the catalog does not have it.
fn announced(game: GameSummary, catalog: &Catalog) -> Option<(CatalogPosition, Announcement)> {
    let GameSummary { id, version, size, manifest_hash, content_root } = game;
    let position = catalog.position(&id)?;
    let known = KnownGame { size, manifest_hash, content_root };
    Some(match catalog.at(position)?.version == version {
        true => (position, Announcement::Usable(known)),
        false => (position, Announcement::OtherVersion),
    })
}

#[cfg(test)]
mod tests;
