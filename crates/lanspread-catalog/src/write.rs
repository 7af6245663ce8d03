//! Writing a catalog, and adding content roots to one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use lanspread_proto::{ContentHash, GameId, GameVersion};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::game::CatalogGame;
use crate::json::JSON_CATALOG_MAX_BYTES;
use crate::replace::Replacement;
use crate::{json, sqlite};

/// The two formats of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogFormat {
    /// A JSON object.
    Json,
    /// A SQLite database.
    Sqlite,
}

impl CatalogFormat {
    /// Returns the format that the name of a file stands for: `.json`, or `.db`, `.sqlite` and `.sqlite3`.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "json" => Some(Self::Json),
            "db" | "sqlite" | "sqlite3" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

impl fmt::Display for CatalogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Sqlite => "SQLite",
        })
    }
}

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It may.
    Replace,
    /// It stays, and nothing is written.
    Keep,
}

/// A content root to state, and what the catalog must say of the game when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChange {
    /// The version of the game.
    pub version: GameVersion,
    /// The root that the catalog states so far.
    pub old: Option<ContentHash>,
    /// The root to state.
    pub new: ContentHash,
}

impl Catalog {
    /// Writes the catalog to `path`.
    ///
    /// A reader sees the old or the new file, and a crash leaves one of them. A file that is replaced gives the new
    /// one its mode, and its owner where that is allowed.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] for a file that is to be kept; [`CatalogError::NotAFile`] for anything else
    /// at `path`; [`CatalogError::NoGames`]; else why the file cannot be written.
    pub fn save(
        &self,
        path: &Path,
        format: CatalogFormat,
        existing: Existing,
    ) -> Result<(), CatalogError> {
        if self.is_empty() {
            return Err(CatalogError::NoGames { path: path.to_owned() });
        }
        let replacement = begin_saving(path, existing)?;
        replacement.replace(|temporary, mut file| match format {
            CatalogFormat::Json => {
                let (text, max) = (self.to_json(), JSON_CATALOG_MAX_BYTES);
                if text.len() as u64 > max {
                    return Err(CatalogError::TooLong { path: path.to_owned(), max });
                }
                let written = file.write_all(text.as_bytes());
                written.map_err(|source| CatalogError::Write { path: path.to_owned(), source })
            }
            CatalogFormat::Sqlite => sqlite::write_games(path, temporary, self),
        })
    }

    /// Finds out whether [`save`](Self::save) may succeed, before much work is done for it.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn check_save(path: &Path, existing: Existing) -> Result<(), CatalogError> {
        begin_saving(path, existing)?.rehearse()
    }
}

fn begin_saving(path: &Path, existing: Existing) -> Result<Replacement, CatalogError> {
    let replacement = Replacement::begin(path)?;
    match replacement.path().metadata() {
        Ok(found) if !found.is_file() => Err(CatalogError::NotAFile { path: path.to_owned() }),
        Ok(_) if existing == Existing::Keep => Err(CatalogError::Exists { path: path.to_owned() }),
        Ok(_) => {
            sqlite::ensure_unused(replacement.path())?;
            Ok(replacement)
        }
        Err(_) => Ok(replacement),
    }
}

/// States content roots in the catalog at `path`, and leaves everything else of it as it is: fields and columns that
/// are not looked at, the order, and the white space of JSON.
///
/// The file is replaced as [`Catalog::save`] does.
///
/// # Errors
/// [`CatalogError::Meanwhile`], when the catalog says something else of a game than `changes` expect;
/// [`CatalogError::InUse`], when a program has a SQLite catalog open; [`CatalogError::Unsound`], when the file is so
/// damaged that it would say something else of other games; what [`Catalog::load`] says; and
/// [`CatalogError::Write`]. Nothing is written then.
pub fn add_content_roots(
    path: &Path,
    changes: &BTreeMap<GameId, RootChange>,
) -> Result<(), CatalogError> {
    let replacement = Replacement::begin(path)?;
    let real = replacement.path().to_owned();
    // Under the lock, so that what was added since the games were read is not lost.
    let catalog = Catalog::load(&real)?;
    for (id, change) in changes {
        let is_expected = catalog
            .get(id)
            .is_some_and(|game| game.version == change.version && game.content_root == change.old);
        if !is_expected {
            return Err(CatalogError::Meanwhile { path: path.to_owned(), id: id.clone() });
        }
    }
    let expected = with_roots(&catalog, changes);
    let check = |temporary: &Path| match Catalog::load(temporary) {
        Ok(found) if found == expected => Ok(()),
        _ => Err(CatalogError::Unsound { path: path.to_owned() }),
    };
    let roots: BTreeMap<_, _> = changes.iter().map(|(id, change)| (id, change.new)).collect();
    let read_failed = |source| CatalogError::Read { path: path.to_owned(), source };
    let write_failed = |source| CatalogError::Write { path: path.to_owned(), source };
    if is_database(&real).map_err(read_failed)? {
        sqlite::ensure_unused(&real)?;
        return replacement.replace(|temporary, mut file| {
            let mut old = File::open(&real).map_err(read_failed)?;
            std::io::copy(&mut old, &mut file).map_err(write_failed)?;
            sqlite::state_roots(path, temporary, &roots)?;
            check(temporary)
        });
    }
    let text = std::fs::read(&real).map_err(read_failed)?;
    let text = json::state_roots(path, &text, &roots)?;
    replacement.replace(|temporary, mut file| {
        file.write_all(&text).map_err(write_failed)?;
        check(temporary)
    })
}

/// What a catalog must say once the roots are in it.
fn with_roots(catalog: &Catalog, changes: &BTreeMap<GameId, RootChange>) -> Catalog {
    let games = catalog.iter().map(|game| {
        let content_root =
            changes.get(&game.id).map_or(game.content_root, |change| Some(change.new));
        CatalogGame { content_root, ..game.clone() }
    });
    // The ids are those of a catalog.
    Catalog::from_games(games).unwrap_or_default()
}

/// Finds out whether [`add_content_roots`] may write the catalog at `path`, before much work is done for it.
///
/// # Errors
/// As [`add_content_roots`].
pub fn check_add_content_roots(path: &Path) -> Result<(), CatalogError> {
    let replacement = Replacement::begin(path)?;
    sqlite::ensure_unused(replacement.path())?;
    replacement.rehearse()
}

fn is_database(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(sqlite::MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head == sqlite::MAGIC)
}
