//! The JSON form: `{"games":[{"id":…,"title":…,"version":…}]}`.
//!
//! Unknown fields are refused: a misspelt `content_root` would otherwise pin nothing.

mod roots;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use lanspread_proto::text::without_byte_order_mark;
use lanspread_proto::{ContentHash, GameId, GameVersion};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::error::{CatalogError, DuplicateId};
use crate::game::{CatalogGame, directory_key, text_fault};
use crate::replace::Replacement;

pub(crate) use roots::state_roots;

/// Longest JSON catalog in bytes: 600 bytes for each of the most games a catalog may have.
pub const JSON_CATALOG_MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    games: Vec<GameEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GameEntry {
    id: GameId,
    title: Text,
    version: GameVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_root: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_players: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    genre_id: Option<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[derive(Clone)]
struct Text(String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        match text_fault(&value) {
            Some(fault) => Err(format!("text {fault}")),
            None => Ok(Self(value)),
        }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<GameEntry> for CatalogGame {
    fn from(entry: GameEntry) -> Self {
        Self {
            id: entry.id,
            title: entry.title.0,
            version: entry.version,
            content_root: entry.content_root,
            size: entry.size,
            max_players: entry.max_players,
            publisher: entry.publisher.map(String::from),
            release: entry.release.map(String::from),
            genre_id: entry.genre_id.map(String::from),
        }
    }
}

impl From<&CatalogGame> for GameEntry {
    fn from(game: &CatalogGame) -> Self {
        Self {
            id: game.id.clone(),
            title: Text(game.title.clone()),
            version: game.version.clone(),
            content_root: game.content_root,
            size: game.size,
            max_players: game.max_players,
            publisher: game.publisher.clone().map(Text),
            release: game.release.clone().map(Text),
            genre_id: game.genre_id.clone().map(Text),
        }
    }
}

impl Catalog {
    /// The catalog in its JSON form, in id order, with a line break at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        format_games(self.iter())
    }
}

/// Adds `game` to the JSON catalog at `path`, in place of the game of the same id if there is one.
///
/// A missing file is created. The file is replaced by a rename, so that a reader sees the old or
/// the new catalog and a crash leaves one of them. Writers in one directory wait for each other.
///
/// # Errors
/// [`CatalogError`], when the file at `path` is no JSON catalog, holds an id that differs from this
/// one in letter case alone, or cannot be written.
pub fn add_to_json_catalog(path: &Path, game: CatalogGame) -> Result<(), CatalogError> {
    let replacement = Replacement::begin(path)?;
    let mut games = match File::open(path) {
        Ok(file) => read_games(path, Vec::new(), file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(CatalogError::Read { path: path.to_owned(), source }),
    };
    let directory = directory_key(&game.id);
    games.retain(|other| other.id != game.id);
    let duplicate = |source| CatalogError::Duplicate { path: path.to_owned(), source };
    if let Some(other) = games.iter().find(|other| directory_key(&other.id) == directory) {
        return Err(duplicate(DuplicateId { first: other.id.clone(), second: game.id }));
    }
    games.push(game);
    let catalog = Catalog::from_games(games).map_err(duplicate)?;
    replacement.replace(|_, mut file| {
        file.write_all(catalog.to_json().as_bytes())
            .map_err(|source| CatalogError::Write { path: path.to_owned(), source })
    })
}

/// Reads the games of the JSON file at `path`: `head` is what was read of it already.
pub(crate) fn read_games(
    path: &Path,
    head: Vec<u8>,
    rest: impl Read,
) -> Result<Vec<CatalogGame>, CatalogError> {
    let mut text = head;
    rest.take(JSON_CATALOG_MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|source| CatalogError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > JSON_CATALOG_MAX_BYTES {
        return Err(CatalogError::TooLong { path: path.to_owned(), max: JSON_CATALOG_MAX_BYTES });
    }
    parse_games(path, &text)
}

fn parse_games(path: &Path, text: &[u8]) -> Result<Vec<CatalogGame>, CatalogError> {
    let text = without_byte_order_mark(text);
    match text.trim_ascii_start().first() {
        None => return Err(CatalogError::EmptyFile { path: path.to_owned() }),
        Some(b'{' | b'[') => {}
        Some(_) => return Err(CatalogError::UnknownFormat { path: path.to_owned() }),
    }
    let file: CatalogFile = serde_json::from_slice(text)
        .map_err(|source| CatalogError::Json { path: path.to_owned(), source })?;
    Ok(file.games.into_iter().map(CatalogGame::from).collect())
}

fn format_games<'a>(games: impl Iterator<Item = &'a CatalogGame>) -> String {
    let file = CatalogFile { games: games.map(GameEntry::from).collect() };
    #[expect(clippy::expect_used, reason = "text and numbers under fixed keys always serialize")]
    let mut json = serde_json::to_string_pretty(&file).expect("plain data");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<CatalogGame>, CatalogError> {
        parse_games(Path::new("games.json"), text.as_bytes())
    }

    #[test]
    fn every_field_survives_a_round_trip() {
        let full = CatalogGame {
            content_root: Some(ContentHash::of(b"x")),
            size: Some(u64::MAX),
            max_players: Some(8),
            publisher: Some("A publisher".to_owned()),
            release: Some("1996".to_owned()),
            genre_id: Some("3".to_owned()),
            ..CatalogGame::new("quake".parse().unwrap(), "Quäke \"1\"", "2".parse().unwrap())
        };
        let bare = CatalogGame::new("a".parse().unwrap(), "A", "1".parse().unwrap());
        let catalog = Catalog::from_games([full, bare]).unwrap();
        let again = Catalog::from_games(parse(&catalog.to_json()).unwrap()).unwrap();
        assert_eq!(again, catalog);
    }

    #[test]
    fn a_byte_order_mark_is_no_fault() {
        let games = parse("\u{feff} {\"games\":[]}").unwrap();
        assert!(games.is_empty());
    }

    #[test]
    fn an_unknown_field_is_named_with_its_position() {
        let text =
            "{\"games\":[\n{\"id\":\"a\",\"title\":\"A\",\"version\":\"1\",\"contentroot\":1}]}";
        let message = parse(text).unwrap_err().to_string();
        for part in ["games.json", "unknown field `contentroot`", "line 2 column 49"] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}
