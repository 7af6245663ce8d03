//! What can be wrong with a catalog or a `version.ini`.

use std::io;
use std::path::PathBuf;

use lanspread_proto::GameId;
use lanspread_proto::hash::HashError;
use lanspread_proto::ids::IdError;
use lanspread_proto::version_ini::BadVersion;

/// Why a catalog cannot be loaded or written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file cannot be opened or read.
    #[error("cannot read catalog {path}: {source}; check that the file exists and is readable")]
    Read {
        /// The catalog.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The path names a directory, a pipe or a device.
    #[error("catalog {path} is not a regular file; name a SQLite or JSON file")]
    NotAFile {
        /// The catalog.
        path: PathBuf,
    },
    /// The file holds nothing, or only white space.
    #[error("catalog {path} is an empty file; copy it again or write a new one")]
    EmptyFile {
        /// The catalog.
        path: PathBuf,
    },
    /// A JSON file is longer than its bound.
    #[error("JSON catalog {path} has more than {max} bytes; use a SQLite catalog instead")]
    TooLong {
        /// The catalog.
        path: PathBuf,
        /// The bound in bytes.
        max: u64,
    },
    /// The content is of neither format.
    #[error(
        "catalog {path} is neither a SQLite database nor a JSON object; \
         check that it is the right file and was copied whole"
    )]
    UnknownFormat {
        /// The catalog.
        path: PathBuf,
    },
    /// The JSON is malformed, or a value in it breaks a rule.
    #[error("JSON catalog {path} is not valid: {source}; correct the file there")]
    Json {
        /// The catalog.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// SQLite cannot read the database.
    #[error("cannot read SQLite catalog {path}: {source}; check it, or copy it again")]
    Sqlite {
        /// The catalog.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The database has no table of games.
    #[error("SQLite catalog {path} has no table \"games\"; check that it is a game catalog")]
    MissingTable {
        /// The catalog.
        path: PathBuf,
    },
    /// The table of games lacks a column that must be there.
    #[error("table \"games\" of SQLite catalog {path} has no column {column:?}; add the column")]
    MissingColumn {
        /// The catalog.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// What is called `games` is a view or a virtual table, whose rows are computed.
    #[error("\"games\" of SQLite catalog {path} is not a plain table; copy its rows into one")]
    NotATable {
        /// The catalog.
        path: PathBuf,
    },
    /// A column of the table of games is computed whenever it is read.
    #[error(
        "column {column:?} of table \"games\" of SQLite catalog {path} is computed; store its values"
    )]
    ComputedColumn {
        /// The catalog.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// Reading the database takes more work than a catalog can need.
    #[error(
        "SQLite catalog {path} takes more than {max} instructions to read; \
         check that it is a game catalog, or copy it again"
    )]
    TooMuchWork {
        /// The catalog.
        path: PathBuf,
        /// The bound, in instructions of SQLite's virtual machine.
        max: u32,
    },
    /// Reading the database takes more memory than a catalog can need.
    #[error(
        "SQLite catalog {path} takes more than {max} bytes of memory to read; \
         check that it is a game catalog, or copy it again"
    )]
    TooMuchMemory {
        /// The catalog.
        path: PathBuf,
        /// The bound in bytes.
        max: u32,
    },
    /// The texts of all games are longer together than their bound.
    #[error("the games of SQLite catalog {path} have more than {max} bytes of text; shorten them")]
    TooMuchText {
        /// The catalog.
        path: PathBuf,
        /// The bound in bytes.
        max: usize,
    },
    /// A row of the table of games breaks a rule.
    #[error("row {row} of SQLite catalog {path} (game_id {id}): {reason}; correct the row")]
    BadRow {
        /// The catalog.
        path: PathBuf,
        /// Which row of the table, from 1.
        row: usize,
        /// The `game_id` as it stands there.
        id: String,
        /// What is wrong.
        reason: RowError,
    },
    /// Two games would share one directory.
    #[error("catalog {path}: {source}; rename or remove one of them")]
    Duplicate {
        /// The catalog.
        path: PathBuf,
        /// Which games.
        source: DuplicateId,
    },
    /// The catalog has more games than its bound.
    #[error("catalog {path} has more than {max} games; split it")]
    TooManyGames {
        /// The catalog.
        path: PathBuf,
        /// The bound.
        max: usize,
    },
    /// The catalog is well-formed and names no game at all, so that nothing could be shared.
    #[error("catalog {path} has no games; add at least one")]
    NoGames {
        /// The catalog.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write catalog {path}: {source}; check that its directory is writable")]
    Write {
        /// The catalog.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite cannot write the database.
    #[error("cannot write SQLite catalog {path}: {source}; check it, or write a new one")]
    SqliteWrite {
        /// The catalog.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// There is a file already that was not to be replaced.
    #[error("catalog {path} is there already")]
    Exists {
        /// The catalog.
        path: PathBuf,
    },
    /// A program has left changes of the database beside it.
    #[error(
        "changes of SQLite catalog {path} are in a file beside it (\"{suffix}\"); \
         end the program that has it open, then try again"
    )]
    InUse {
        /// The catalog.
        path: PathBuf,
        /// How the name of that file goes on.
        suffix: &'static str,
    },
    /// With the roots the catalog would not say the rest as before.
    #[error(
        "catalog {path} is damaged: with the roots it would say something else of other games; \
         copy it again, or write a new one"
    )]
    Unsound {
        /// The catalog.
        path: PathBuf,
    },
    /// The catalog says something else of a game than when the game was compared with it.
    #[error("catalog {path} was changed meanwhile, at game {:?}; run the command again", .id.as_str())]
    Meanwhile {
        /// The catalog.
        path: PathBuf,
        /// Which game.
        id: GameId,
    },
}

/// Two game ids that name one directory on file systems that ignore case, or are equal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the game ids {:?} and {:?} name the same directory", .first.as_str(), .second.as_str())]
pub struct DuplicateId {
    /// The id that came first.
    pub first: GameId,
    /// The id that came later.
    pub second: GameId,
}

/// What is wrong with one row of a SQLite catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The game id or the version breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A value that must be there is NULL, or neither text nor a whole number.
    #[error("{column} is {found}, not text")]
    NotText {
        /// The column.
        column: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A text breaks the rules for titles.
    #[error("{column} {reason}")]
    BadText {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The content root is no hash.
    #[error("content_root {0}")]
    ContentRoot(#[from] HashError),
}

/// Why the `version.ini` of a game root gives no version.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The `version.ini`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The first line is no version.
    #[error("first line of {path} is not a version: {source}")]
    Bad {
        /// The `version.ini`.
        path: PathBuf,
        /// What is wrong with it.
        source: BadVersion,
    },
}
