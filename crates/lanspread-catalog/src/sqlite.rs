//! The SQLite form: a table `games`, of which the known columns are read and others ignored.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use lanspread_proto::ids::GAME_ID_MAX_BYTES;
use lanspread_proto::{ContentHash, GameId, GameVersion};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use crate::catalog::{CATALOG_MAX_GAMES, CatalogGame, text_fault};
use crate::error::{CatalogError, RowError};

/// How every SQLite database begins. Source: "Database File Format", section 1.3.1.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

const REQUIRED_COLUMNS: [&str; 3] = ["game_id", "game_title", "game_version"];
const OPTIONAL_COLUMNS: [&str; 6] =
    ["content_root", "game_size", "game_maxplayers", "game_publisher", "game_release", "genre_id"];

/// Longest id that an error message repeats, in bytes.
const SHOWN_ID_MAX_BYTES: usize = 2 * GAME_ID_MAX_BYTES;

/// Bytes in the unit in which launchers write a fractional `game_size`.
const GIB: f64 = 1_073_741_824.0;

/// Reads the games of the database at `path`, without creating or changing any file.
pub(crate) fn read_games(path: &Path) -> Result<Vec<CatalogGame>, CatalogError> {
    let sqlite_error = |source| CatalogError::Sqlite { path: path.to_owned(), source };
    let connection = open(path).map_err(sqlite_error)?;
    let present = column_names(&connection).map_err(sqlite_error)?;
    let select = select_statement(path, &present)?;
    let mut statement = connection.prepare(&select).map_err(sqlite_error)?;
    let mut rows = statement.query([]).map_err(sqlite_error)?;
    let mut games = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite_error)? {
        let number = games.len() + 1;
        games.push(read_row(row).map_err(|reason| CatalogError::BadRow {
            path: path.to_owned(),
            row: number,
            id: shown_id(row),
            reason,
        })?);
    }
    Ok(games)
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

fn column_names(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('games')")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.map(|name| Ok(name?.to_ascii_lowercase())).collect()
}

fn select_statement(path: &Path, present: &BTreeSet<String>) -> Result<String, CatalogError> {
    if present.is_empty() {
        return Err(CatalogError::MissingTable { path: path.to_owned() });
    }
    let missing = REQUIRED_COLUMNS.into_iter().find(|column| !present.contains(*column));
    if let Some(column) = missing {
        return Err(CatalogError::MissingColumn { path: path.to_owned(), column });
    }
    let optional = OPTIONAL_COLUMNS.into_iter().filter(|column| present.contains(*column));
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
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(|text| text.trim().to_owned()),
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
