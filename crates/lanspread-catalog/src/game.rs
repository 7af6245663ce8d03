//! One game, as a catalog tells of it.

use lanspread_proto::{ContentHash, GameId, GameVersion};

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
