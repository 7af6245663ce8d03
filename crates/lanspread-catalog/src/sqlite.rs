//! The SQLite form: a table `games`, of which the known columns are read and others ignored.
//!
//! A database comes from elsewhere and can hold programs: views, computed columns, virtual tables. Only
//! plain columns of a real table are read, under bounds on the work, the memory and the size of a value,
//! so that a start ends whatever the file holds.

mod write;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use lanspread_proto::ids::GAME_ID_MAX_BYTES;
use lanspread_proto::text::without_byte_order_mark;
use lanspread_proto::{ContentHash, GameId, GameVersion};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use crate::catalog::CATALOG_MAX_GAMES;
use crate::error::{CatalogError, RowError};
use crate::game::{CatalogGame, text_fault};

pub(crate) use write::{ensure_unused, state_roots, write_games};

/// How every SQLite database begins. Source: "Database File Format", section 1.3.1.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

const REQUIRED_COLUMNS: [&str; 3] = ["game_id", "game_title", "game_version"];
const OPTIONAL_COLUMNS: [&str; 6] =
    ["content_root", "game_size", "game_maxplayers", "game_publisher", "game_release", "genre_id"];

/// Longest id that an error message repeats, in bytes.
const SHOWN_ID_MAX_BYTES: usize = 2 * GAME_ID_MAX_BYTES;

/// Bytes in the unit in which launchers write a fractional `game_size`.
const GIB: f64 = 1_073_741_824.0;

/// Most instructions that SQLite's virtual machine may execute for one catalog. The largest one takes
/// less than two million; this many take about a second.
const INSTRUCTIONS_MAX: u32 = 50_000_000;
/// How many instructions go by between two looks at the bound.
const INSTRUCTIONS_PER_LOOK: u32 = 10_000;
/// Longest value or row in bytes. A row may hold a cover image, though nobody reads it here.
const VALUE_MAX_BYTES: i32 = 64 * 1024 * 1024;
/// Longest statement in bytes: a definition in the schema may have comments, and is no data.
const STATEMENT_MAX_BYTES: i32 = 1024 * 1024;
/// Most memory in bytes that SQLite may take in this process, one value included. Once it is set,
/// SQLite does not let it be raised again.
const HEAP_MAX_BYTES: u32 = 128 * 1024 * 1024;

/// Most bytes of text that all games may have together: as much as a JSON catalog.
const TEXT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Reads the games of the database at `path`, without creating or changing any file.
pub(crate) fn read_games(path: &Path) -> Result<Vec<CatalogGame>, CatalogError> {
    let sqlite_error = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            CatalogError::TooMuchWork { path: path.to_owned(), max: INSTRUCTIONS_MAX }
        }
        Some(ErrorCode::OutOfMemory) => {
            CatalogError::TooMuchMemory { path: path.to_owned(), max: HEAP_MAX_BYTES }
        }
        _ => CatalogError::Sqlite { path: path.to_owned(), source },
    };
    let mut connection = open(path).map_err(sqlite_error)?;
    set_bounds(&mut connection).map_err(sqlite_error)?;
    if !is_table(&connection).map_err(sqlite_error)? {
        return Err(CatalogError::NotATable { path: path.to_owned() });
    }
    let present = columns(&connection).map_err(sqlite_error)?;
    let select = select_statement(path, &present)?;
    let mut statement = connection.prepare(&select).map_err(sqlite_error)?;
    let mut rows = statement.query([]).map_err(sqlite_error)?;
    let mut games = Vec::new();
    let mut text_bytes = 0;
    while let Some(row) = rows.next().map_err(sqlite_error)? {
        let number = games.len() + 1;
        let game = read_row(row).map_err(|reason| CatalogError::BadRow {
            path: path.to_owned(),
            row: number,
            id: shown_id(row),
            reason,
        })?;
        text_bytes += text_len(&game);
        if text_bytes > TEXT_MAX_BYTES {
            return Err(CatalogError::TooMuchText { path: path.to_owned(), max: TEXT_MAX_BYTES });
        }
        games.push(game);
    }
    Ok(games)
}

/// The bytes of all texts of a game.
fn text_len(game: &CatalogGame) -> usize {
    let optional = [&game.publisher, &game.release, &game.genre_id];
    let optional: usize = optional.into_iter().flatten().map(String::len).sum();
    game.id.as_str().len() + game.title.len() + game.version.as_str().len() + optional
}

/// Opens the database as a file that nobody changes, where that is so.
///
/// That is the one mode in which SQLite reads a database in WAL mode without creating files beside
/// it, which a read-only directory would refuse. It ignores what a writer has left in a log or
/// journal, so where one of these is there, the database is opened in the ordinary way.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if has_content(path, "-wal") || has_content(path, "-journal") {
        Connection::open_with_flags(path, read_only)?
    } else {
        let uri = format!("{}?immutable=1", file_uri(path));
        Connection::open_with_flags(uri, read_only | OpenFlags::SQLITE_OPEN_URI)?
    };
    // A catalog comes from elsewhere: its views must not call functions with side effects.
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

/// Bounds what the database can make SQLite do.
fn set_bounds(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA hard_heap_limit = {HEAP_MAX_BYTES}"))?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_MAX_BYTES)?;
    let mut looks_left = INSTRUCTIONS_MAX / INSTRUCTIONS_PER_LOOK;
    let is_spent = move || {
        looks_left = looks_left.saturating_sub(1);
        looks_left == 0
    };
    let per_look = INSTRUCTIONS_PER_LOOK.try_into().unwrap_or(i32::MAX);
    connection.progress_handler(per_look, Some(is_spent))
}

/// Whether `games`, if there is any, is a table with pages of its own: neither a view, which is a query,
/// nor a virtual table, which is a program.
fn is_table(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare(
        "SELECT type = 'table' AND rootpage > 0 FROM sqlite_schema
         WHERE name = 'games' COLLATE NOCASE AND type IN ('table', 'view')",
    )?;
    let mut rows = statement.query([])?;
    rows.next()?.map_or(Ok(true), |row| row.get(0))
}

fn has_content(path: &Path, suffix: &str) -> bool {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    Path::new(&beside).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// The `file:` URI of `path`. Source: SQLite, "Uniform Resource Identifiers", section 3.
fn file_uri(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = String::from("file://");
    if cfg!(windows) {
        uri.push('/');
    }
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match *byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            b'/' | b':' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(*byte)),
            plain if plain.is_ascii_alphanumeric() => uri.push(char::from(plain)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

/// The columns of the table of games in lower case, and whether each is computed when it is read.
fn columns(connection: &Connection) -> rusqlite::Result<BTreeMap<String, bool>> {
    // 2 stands for a virtual generated column. Source: SQLite, "PRAGMA table_xinfo".
    let mut statement =
        connection.prepare("SELECT name, hidden = 2 FROM pragma_table_xinfo('games')")?;
    let columns =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    columns.map(|column| column.map(|(name, is)| (name.to_ascii_lowercase(), is))).collect()
}

fn select_statement(path: &Path, present: &BTreeMap<String, bool>) -> Result<String, CatalogError> {
    if present.is_empty() {
        return Err(CatalogError::MissingTable { path: path.to_owned() });
    }
    let missing = REQUIRED_COLUMNS.into_iter().find(|column| !present.contains_key(*column));
    if let Some(column) = missing {
        return Err(CatalogError::MissingColumn { path: path.to_owned(), column });
    }
    let known = || REQUIRED_COLUMNS.into_iter().chain(OPTIONAL_COLUMNS);
    if let Some(column) = known().find(|column| present.get(*column) == Some(&true)) {
        return Err(CatalogError::ComputedColumn { path: path.to_owned(), column });
    }
    let optional = OPTIONAL_COLUMNS.into_iter().filter(|column| present.contains_key(*column));
    let columns: Vec<_> = REQUIRED_COLUMNS.into_iter().chain(optional).collect();
    // One more than allowed, so that the caller sees that there are too many.
    let limit = CATALOG_MAX_GAMES + 1;
    Ok(format!("SELECT {} FROM games LIMIT {limit}", columns.join(", ")))
}

fn read_row(row: &Row<'_>) -> Result<CatalogGame, RowError> {
    let title = required_text(row, "game_title")?;
    if let Some(reason) = text_fault(&title) {
        return Err(RowError::BadText { column: "game_title", reason });
    }
    Ok(CatalogGame {
        id: GameId::new(required_text(row, "game_id")?)?,
        title,
        version: GameVersion::new(required_text(row, "game_version")?)?,
        content_root: content_root(row)?,
        size: size_bytes(row),
        max_players: text(value(row, "game_maxplayers")).and_then(|text| text.parse().ok()),
        publisher: shown_text(row, "game_publisher"),
        release: shown_text(row, "game_release"),
        genre_id: shown_text(row, "genre_id"),
    })
}

fn value<'row>(row: &'row Row<'_>, column: &'static str) -> ValueRef<'row> {
    row.get_ref(column).unwrap_or(ValueRef::Null)
}

/// A value as text: databases store a date such as 20240131 as a number or as text.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(without_byte_order_mark(bytes)).ok()?;
            Some(text.trim().to_owned())
        }
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

fn required_text(row: &Row<'_>, column: &'static str) -> Result<String, RowError> {
    let value = value(row, column);
    text(value).ok_or(RowError::NotText { column, found: kind(value) })
}

fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "a whole number",
        ValueRef::Real(_) => "a fraction",
        ValueRef::Text(_) => "bytes that are not UTF-8",
        ValueRef::Blob(_) => "a blob",
    }
}

/// The id for an error message, whatever stands in the column.
fn shown_id(row: &Row<'_>) -> String {
    let value = value(row, "game_id");
    match text(value) {
        Some(id) if id.len() <= SHOWN_ID_MAX_BYTES => format!("{id:?}"),
        Some(_) => "very long".to_owned(),
        None => kind(value).to_owned(),
    }
}

/// Unlike the other optional columns a bad value is an error: it would pin nothing.
fn content_root(row: &Row<'_>) -> Result<Option<ContentHash>, RowError> {
    if matches!(value(row, "content_root"), ValueRef::Null | ValueRef::Text(b"")) {
        return Ok(None);
    }
    let text = required_text(row, "content_root")?;
    Ok(Some(text.parse::<ContentHash>()?))
}

/// A whole number counts bytes. Launchers write a fraction, which counts GiB.
fn size_bytes(row: &Row<'_>) -> Option<u64> {
    match value(row, "game_size") {
        ValueRef::Real(gib) if gib.is_finite() && gib >= 0.0 =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is not negative, and a float too large becomes the largest number"
            )]
            Some((gib * GIB) as u64)
        }
        other => text(other)?.parse().ok(),
    }
}

/// A text that only people read: one that breaks a rule is left out, not an error.
fn shown_text(row: &Row<'_>, column: &'static str) -> Option<String> {
    text(value(row, column)).filter(|text| text_fault(text).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_database_asks_for_ends() {
        let mut connection = Connection::open_in_memory().unwrap();
        set_bounds(&mut connection).unwrap();
        let code = |sql: &str| {
            let outcome = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            outcome.unwrap_err().sqlite_error_code()
        };
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)
            SELECT count(*) FROM n";
        assert_eq!(code(endless), Some(ErrorCode::OperationInterrupted));
        assert_eq!(code("SELECT length(zeroblob(1000000000))"), Some(ErrorCode::TooBig));
        let rows = "SELECT count(*) FROM (SELECT DISTINCT hex(zeroblob(30000000)) || value
            FROM json_each('[1,2,3,4,5,6,7,8,9]'))";
        assert_eq!(code(rows), Some(ErrorCode::OutOfMemory));
    }
}
