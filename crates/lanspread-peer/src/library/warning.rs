//! What a scan tells a user about a game root that is not as it should be.

use std::io;
use std::path::PathBuf;

use lanspread_catalog::VersionError;
use lanspread_proto::GameId;
use lanspread_proto::manifest::ManifestError;
use lanspread_proto::path::PathError;

/// How many problems of one game are told one by one; the others are counted.
const PROBLEMS_PER_GAME_MAX: usize = 20;

/// Something in a game root that is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("game {game_id}: {problem}")]
pub(crate) struct ScanWarning {
    /// Which game.
    pub(crate) game_id: GameId,
    /// What is wrong.
    pub(crate) problem: ScanProblem,
}

/// What can be wrong in a game root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanProblem {
    /// A link, a pipe or the like: not shared, or not taken for a game root or an installation.
    #[error("{} is neither a file nor a directory and is passed over", .0.display())]
    Special(PathBuf),
    /// A name that cannot travel to every platform: not shared.
    #[error("it cannot be shared whole: {0}")]
    Name(#[from] PathError),
    /// More of the two above than are told.
    #[error("{0} more files or directories are passed over")]
    More(usize),
    /// The sentinel is there and tells no version, so the game does not count as downloaded.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The files are too many or too large, so the game is not shared.
    #[error("it cannot be shared: {0}")]
    Manifest(#[from] ManifestError),
    /// Something cannot be read, so the game is not shared.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The problems of one game. A root full of bad names must not fill the log.
#[derive(Default)]
pub(super) struct Problems {
    told: Vec<ScanProblem>,
    untold: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: ScanProblem) {
        if self.told.len() < PROBLEMS_PER_GAME_MAX {
            self.told.push(problem);
        } else {
            self.untold += 1;
        }
    }

    pub(super) fn into_told(self) -> impl Iterator<Item = ScanProblem> {
        let more = (self.untold > 0).then_some(ScanProblem::More(self.untold));
        self.told.into_iter().chain(more)
    }
}
