//! What keeps a game on this disk from being whole, as far as a user is told.

use std::fmt;

use lanspread_proto::manifest::ManifestError;

/// Most problems of one game that are told one by one; the others are counted. A root full of bad
/// names must fill neither the log nor an event.
pub const PROBLEMS_MAX: usize = 100;

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemReason {
    /// Its name is refused on some platform.
    Name,
    /// Its name is not UTF-8.
    NotUtf8,
    /// Its path is longer, or has more components, than a path that travels.
    TooDeep,
    /// It is a link, a pipe or the like.
    Special,
    /// It cannot be read.
    Unreadable,
    /// The game has more files than a manifest lists.
    TooManyFiles,
    /// The paths of all files together are longer than a manifest can hold.
    PathsTooLong,
    /// The game has more empty directories than are told of.
    TooManyDirectories,
    /// It has more bytes than a manifest can hold.
    TooLarge,
    /// `version.ini` tells no version.
    BadVersion,
    /// It is not there.
    Missing,
    /// It has another size than it should have.
    Size,
    /// It has other content than it should have.
    Content,
    /// It does not belong to the game.
    Extra,
}

/// Something in a game root that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameProblem {
    /// Where it lies in the game root, with `/`; bytes that are not UTF-8 stand as `\xE9`. Empty for
    /// the root itself.
    pub path: String,
    /// What kind of problem it is.
    pub reason: ProblemReason,
    /// The problem in words.
    pub message: String,
}

impl GameProblem {
    /// Why the files of a game make no manifest.
    pub fn of_manifest(error: &ManifestError) -> Self {
        let reason = match error {
            ManifestError::TooManyFiles(_) => ProblemReason::TooManyFiles,
            ManifestError::PathsTooLong(_) => ProblemReason::PathsTooLong,
            ManifestError::TooManyChunks(_)
            | ManifestError::Conflict(_)
            | ManifestError::ChunkCount { .. }
            | ManifestError::Hashes { .. } => ProblemReason::TooLarge,
        };
        Self { path: String::new(), reason, message: error.to_string() }
    }
}

impl fmt::Display for GameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// The problems of one game.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GameProblems {
    /// The first [`PROBLEMS_MAX`], in path order.
    pub told: Vec<GameProblem>,
    /// How many there are.
    pub count: usize,
}

impl GameProblems {
    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds one. Keeps the ones that come first in path order.
    pub fn add(&mut self, problem: GameProblem) {
        let is_told =
            |told: &GameProblem| told.path == problem.path && told.reason == problem.reason;
        if self.told.iter().any(is_told) {
            return;
        }
        self.count += 1;
        let at = self.told.partition_point(|told| told.path <= problem.path);
        if at < PROBLEMS_MAX {
            self.told.insert(at, problem);
            self.told.truncate(PROBLEMS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problems_in_path_order_are_told_and_all_are_counted() {
        let mut problems = GameProblems::default();
        for n in (0..250).rev() {
            let (path, message) = (format!("{n:03}"), "odd".to_owned());
            problems.add(GameProblem { path, reason: ProblemReason::Extra, message });
        }
        let told: Vec<_> = problems.told.iter().map(|problem| problem.path.clone()).collect();
        let expected: Vec<_> = (0..PROBLEMS_MAX).map(|n| format!("{n:03}")).collect();
        assert_eq!((told, problems.count), (expected, 250));
        // Whoever finds the same again tells nothing new.
        problems.add(problems.told[0].clone());
        assert_eq!(problems.count, 250);
    }
}
