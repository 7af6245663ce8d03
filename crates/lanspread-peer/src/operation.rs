//! What is being done with a game.

pub(crate) mod table;

use std::fmt;

use lanspread_proto::GameId;

/// What is being done with a game. At most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It is being fetched.
    Downloading,
    /// It is being fetched in place of the copy that is here.
    Updating,
    /// It is being unpacked into `local/`.
    Installing,
    /// It is being unpacked by a source and written into `local/` here.
    StreamInstalling,
    /// Its `local/` is being removed.
    Uninstalling,
    /// Its root is being deleted.
    Removing,
    /// It is being read and held against what it should be. It is served meanwhile.
    Verifying,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Downloading => "downloading",
            Self::Updating => "updating",
            Self::Installing => "installing",
            Self::StreamInstalling => "stream-installing",
            Self::Uninstalling => "uninstalling",
            Self::Removing => "removing",
            Self::Verifying => "verifying",
        })
    }
}

/// A game and what is being done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveOperation {
    /// Which game.
    pub game_id: GameId,
    /// What is being done.
    pub operation: Operation,
}
