//! Writing a SQLite catalog, and stating content roots in a copy of one.

use std::collections::BTreeMap;
use std::path::Path;

use lanspread_proto::{ContentHash, GameId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::{CatalogError, columns, has_content, set_bounds, text};
use crate::catalog::Catalog;

/// The columns that are read, with their usual types.
const TABLE: &str = "CREATE TABLE games (
    game_id TEXT PRIMARY KEY NOT NULL,
    game_title TEXT NOT NULL,
    game_version TEXT NOT NULL,
    game_size INTEGER,
    game_maxplayers INTEGER,
    game_publisher TEXT,
    game_release TEXT,
    genre_id TEXT,
    content_root TEXT
)";

/// Ensures that no program has left changes beside the database at `path`: they belong to this file alone,
/// and would be lost, or harm the file that replaces it.
pub(crate) fn ensure_unused(path: &Path) -> Result<(), CatalogError> {
    match ["-wal", "-journal"].into_iter().find(|suffix| has_content(path, suffix)) {
        Some(suffix) => Err(CatalogError::InUse { path: path.to_owned(), suffix }),
        None => Ok(()),
    }
}

/// Fills the empty file `temporary`, which is to become the catalog at `path`, with all games of a catalog.
pub(crate) fn write_games(
    path: &Path,
    temporary: &Path,
    catalog: &Catalog,
) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::SqliteWrite { path: path.to_owned(), source };
    let write = || {
        let mut connection = open(temporary)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLE)?;
        let mut insert =
            transaction.prepare("INSERT INTO games VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        for game in catalog.iter() {
            insert.execute(params![
                game.id.as_str(),
                game.title,
                game.version.as_str(),
                game.size.and_then(|bytes| i64::try_from(bytes).ok()),
                game.max_players,
                game.publisher,
                game.release,
                game.genre_id,
                game.content_root.map(|root| root.to_string()),
            ])?;
        }
        drop(insert);
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)
    };
    write().map_err(failed)
}

/// States content roots in `temporary`, a copy of the database at `path`.
pub(crate) fn state_roots(
    path: &Path,
    temporary: &Path,
    roots: &BTreeMap<&GameId, ContentHash>,
) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::SqliteWrite { path: path.to_owned(), source };
    let write = || {
        let mut connection = open(temporary)?;
        // A catalog comes from elsewhere: whatever it would do beside the update stays undone.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF")?;
        set_bounds(&mut connection)?;
        if !columns(&connection)?.contains_key("content_root") {
            connection.execute_batch("ALTER TABLE games ADD COLUMN content_root TEXT")?;
        }
        let transaction = connection.transaction()?;
        // Without a type, so that an id stays the number or the text that it is in the catalog.
        transaction
            .execute_batch("CREATE TEMP TABLE roots (id PRIMARY KEY, root) WITHOUT ROWID")?;
        copy_ids(&transaction, roots)?;
        let changed = transaction.execute(
            "UPDATE main.games SET content_root =
                (SELECT root FROM temp.roots WHERE id = game_id COLLATE BINARY)
             WHERE EXISTS (SELECT 1 FROM temp.roots WHERE id = game_id COLLATE BINARY)",
            [],
        )?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(changed)
    };
    match write() {
        Ok(changed) if changed == roots.len() => {}
        Ok(_) => return Err(failed(rusqlite::Error::QueryReturnedNoRows)),
        Err(error) => return Err(failed(error)),
    }
    // What is not in the file itself would not come along.
    ensure_unused(temporary)
}

/// Fills the table of roots with the ids as they stand in the catalog.
fn copy_ids(
    connection: &Connection,
    roots: &BTreeMap<&GameId, ContentHash>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO temp.roots VALUES (?1, ?2)")?;
    let mut select = connection.prepare("SELECT game_id FROM main.games")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let stands = row.get_ref(0)?;
        let id = text(stands).and_then(|id| GameId::new(id).ok());
        if let Some(root) = id.and_then(|id| roots.get(&id)) {
            insert.execute(params![rusqlite::types::Value::try_from(stands)?, root.to_string()])?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}
