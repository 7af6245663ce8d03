//! Reads games on this disk, as a peer does.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use lanspread_catalog::read_version;
use lanspread_library::{
    GameProblem, GameProblems, LocalGame, ProblemReason, Reading, Reference, looks_like, verify,
};
use lanspread_proto::fold::fold;
use lanspread_proto::foreign::is_foreign_directory;
use lanspread_proto::{ContentHash, GameId, GameVersion};

use super::progress::Progress;

/// The content of a whole game.
#[derive(Debug)]
pub(super) struct GameContent {
    pub(super) version: GameVersion,
    pub(super) root: ContentHash,
    pub(super) files: usize,
    /// Of all files but the sentinel.
    pub(super) bytes: u64,
    game: LocalGame,
}

impl GameContent {
    /// Returns whether a catalog that states `root` means this content, also by a root of an older version.
    pub(super) fn has_root(&self, root: Option<ContentHash>) -> bool {
        root.is_some() && !self.game.is_other_content(root)
    }
}

/// What is on this disk of a game.
#[derive(Debug)]
pub(super) enum Finding {
    Whole(Box<GameContent>),
    /// It is not there, and why it counts as that.
    Absent(String),
    /// It is there, and is not a game that can be shared.
    Refused(GameProblems),
}

/// Reads every byte of a game, and tells of its progress.
pub(super) fn inspect(games_dir: &Path, id: &GameId) -> Finding {
    let mut progress = Progress::new(id);
    read_game(games_dir, id, &mut |done, total| progress.at(done, total))
}

fn read_game(games_dir: &Path, id: &GameId, passed: &mut dyn FnMut(u64, u64)) -> Finding {
    let root = games_dir.join(id.as_str());
    match fs::symlink_metadata(&root) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return refused_root(ProblemReason::Special, "it is no directory of its own"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::Absent("the games directory has no such directory".to_owned());
        }
        Err(error) => return refused_root(ProblemReason::Unreadable, &error.to_string()),
    }
    match read_version(&root) {
        Ok(Some(_)) => {}
        Ok(None) => {
            return Finding::Absent("its directory has no version.ini: it is not whole".to_owned());
        }
        Err(error) => return refused_root(ProblemReason::BadVersion, &error.to_string()),
    }
    let reading = Reading { cancel: &|| false, now: &SystemTime::now };
    // Only what is read counts: nobody else says what the game should be.
    let reference = Reference::choose(None, None, None);
    match verify(&root, &reference, &reading, passed) {
        Ok(verdict) if !verdict.problems.is_empty() => Finding::Refused(verdict.problems),
        Ok(verdict) => {
            let (files, bytes) = (verdict.files, verdict.bytes);
            let whole = verdict.local.and_then(|game| {
                let (version, root) = (game.version.clone()?, game.content_root()?);
                Some(GameContent { version, root, files, bytes, game })
            });
            match whole.filter(|content| looks_like(&root, &content.game.fingerprint)) {
                Some(content) => Finding::Whole(Box::new(content)),
                None => refused_root(ProblemReason::Content, "it changed while it was read"),
            }
        }
        Err(error) => refused_root(ProblemReason::Unreadable, &error.to_string()),
    }
}

fn refused_root(reason: ProblemReason, message: &str) -> Finding {
    Finding::Refused(problem_of_root(reason, message))
}

fn problem_of_root(reason: ProblemReason, message: &str) -> GameProblems {
    let mut problems = GameProblems::default();
    problems.add(GameProblem { path: String::new(), reason, message: message.to_owned() });
    problems
}

/// A directory whose name cannot be the id of a game.
#[derive(Debug)]
pub(super) struct BadName {
    pub(super) name: String,
    pub(super) problems: GameProblems,
}

/// Returns the games of which there may be something in a games directory, in id order, and what looks like
/// one and cannot be.
///
/// With `only`, these games alone are looked for.
pub(super) fn candidates(
    games_dir: &Path,
    only: &[GameId],
) -> anyhow::Result<Vec<Result<GameId, BadName>>> {
    let names = directories(games_dir)
        .with_context(|| format!("cannot read games directory {}", games_dir.display()))?;
    if !only.is_empty() {
        let only: BTreeSet<_> = only.iter().cloned().collect();
        return Ok(only.into_iter().map(Ok).collect());
    }
    let mut spellings: BTreeMap<String, usize> = BTreeMap::new();
    for name in &names {
        *spellings.entry(fold(&name.to_string_lossy()).into_owned()).or_default() += 1;
    }
    let is_alone = |name: &str| spellings.get(fold(name).as_ref()) == Some(&1);
    Ok(names.iter().map(|name| game_id(name, is_alone)).collect())
}

/// The names of all directories, and of links to some: these look like games to people, and are none.
fn directories(games_dir: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(games_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let is_other = bytes.starts_with(b".") || is_foreign_directory(bytes);
        if !is_other && entry.path().is_dir() {
            names.insert(name);
        }
    }
    Ok(names)
}

fn game_id(name: &OsStr, is_alone: impl Fn(&str) -> bool) -> Result<GameId, BadName> {
    let bad = |message: &str| BadName {
        name: name.to_string_lossy().into_owned(),
        problems: problem_of_root(ProblemReason::Name, message),
    };
    match name.to_str() {
        None => Err(bad("its name is not UTF-8")),
        Some(name) if !is_alone(name) => {
            Err(bad("another directory has its name, but for letter case or the like"))
        }
        Some(name) => GameId::new(name).map_err(|error| bad(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_that_changes_while_it_is_read_is_refused() {
        let id: GameId = "quake".parse().unwrap();
        for changed in ["quake.eti", "new", "version.ini"] {
            let games = tempfile::tempdir().unwrap();
            let root = games.path().join("quake");
            fs::create_dir(&root).unwrap();
            fs::write(root.join("version.ini"), "1").unwrap();
            fs::write(root.join("quake.eti"), "archive").unwrap();
            let read = |passed: &mut dyn FnMut(u64, u64)| read_game(games.path(), &id, passed);
            assert!(matches!(read(&mut |_, _| {}), Finding::Whole(_)), "{changed}");
            let found = read(&mut |_, _| fs::write(root.join(changed), "something else").unwrap());
            let Finding::Refused(problems) = found else { panic!("{changed}: {found:?}") };
            let said: Vec<_> = problems.told.iter().map(|problem| &problem.message).collect();
            assert!(said.iter().any(|message| message.contains("changed")), "{said:?}");
        }
    }
}
