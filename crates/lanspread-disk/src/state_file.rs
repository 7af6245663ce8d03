//! Files of the state directory that a crash leaves whole: the old content or the new one.
//!
//! Whatever the umask is, a file and a directory that are made here are their owner's alone: what somebody plays and
//! which parties he was in is his own business.
//!
//! Every call blocks. One writer at a time per path: two would share one temporary file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lanspread_proto::GameId;
use lanspread_proto::fold::fold;

use crate::durable::{self, parent_of};
use crate::names::is_spelling_of;
use crate::{platform, points};

/// How many broken files of one name are kept: enough to look into, and an end to the search.
const CORRUPT_COPIES_MAX: u32 = 1000;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// What others may learn, if the file system keeps no modes.
    State,
    /// What others must not learn.
    Secret,
}

/// Returns where the state of one game is kept: its intent, its journal, its setup marker.
pub fn game_state_dir(state_dir: &Path, game_id: &GameId) -> PathBuf {
    state_dir.join("games").join(game_id.as_str())
}

/// Returns the ids under which the state of those games is kept whose roots `games_dir` lists as
/// `names`, in order.
pub fn ids_with_state(
    games_dir: &Path,
    state_dir: &Path,
    names: impl Iterator<Item = GameId>,
) -> BTreeSet<GameId> {
    let kept = fs::read_dir(state_dir.join("games")).into_iter().flatten().filter_map(Result::ok);
    let kept = kept.filter_map(|entry| GameId::new(entry.file_name().to_str()?).ok());
    let kept: BTreeMap<_, _> = kept.map(|id| (fold(id.as_str()).into_owned(), id)).collect();
    let meant = |listed: GameId| match kept.get(&*fold(listed.as_str())) {
        Some(id) if is_spelling_of(games_dir, listed.as_str(), id.as_str()) => id.clone(),
        _ => listed,
    };
    names.map(meant).collect()
}

/// Replaces the file at `path` by one with `bytes`. On return it is durable.
///
/// A crash, like an error, leaves the old file or the new one. The directory must exist.
///
/// # Errors
/// Whatever the system reports. Where the last sync failed, the new file is there and may not be durable.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Content::State)
}

/// Replaces a file as [`write_atomic`] does, and warns where the file system lets others read it.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Content::Secret)
}

/// Returns options to open a file for writing that, if it is made, only its owner may read and write.
#[must_use]
pub fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    platform::owner_alone(options.write(true));
    options
}

/// Makes the directory `path` and whatever is missing above it, durably. Only their owner may look into them.
///
/// What is there stays as it is.
///
/// # Errors
/// Whatever the system reports.
pub fn ensure_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    ensure_dir(parent)?;
    match durable::create_private_dir(points::STATE_DIR_CREATE, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    durable::sync_dir(points::STATE_DIR_SYNC, parent)
}

/// Removes the file at `path`, durably. Not an error if it is not there.
///
/// # Errors
/// Whatever the system reports.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match durable::remove_file(points::FILE_REMOVE, path) {
        Ok(()) => durable::sync_name(points::FILE_REMOVE_SYNC, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames a broken file to the first free `<name>.corrupt-N` and returns its new path.
///
/// An earlier broken file is never overwritten.
///
/// # Errors
/// Whatever the system reports; [`io::ErrorKind::AlreadyExists`] where too many are kept.
pub fn move_aside(path: &Path) -> io::Result<PathBuf> {
    for copy in 1..=CORRUPT_COPIES_MAX {
        let target = with_suffix(path, &format!(".corrupt-{copy}"));
        // The name is claimed before the rename, because a rename replaces what it finds.
        match private_options().create_new(true).open(&target) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        if let Err(error) = durable::rename(points::ASIDE_RENAME, path, &target) {
            // What is lost is an empty file; the failed rename is what the caller must hear of.
            let _ = fs::remove_file(&target);
            return Err(error);
        }
        durable::sync_dir(points::ASIDE_SYNC, parent_of(path))?;
        return Ok(target);
    }
    let message = format!("{CORRUPT_COPIES_MAX} broken copies of {} are kept", path.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
}

fn replace(path: &Path, bytes: &[u8], content: Content) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    // One that a crash left may be a link or have another mode, so it is never written through.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&temporary, bytes, content)
        .and_then(|()| durable::rename(points::STATE_RENAME, &temporary, path));
    if let Err(error) = written {
        // Its name is fixed, so that the next write sweeps it if this does not.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    durable::sync_name(points::STATE_RENAME_SYNC, path)
}

fn write_new(path: &Path, bytes: &[u8], content: Content) -> io::Result<()> {
    durable::reach(points::STATE_WRITE, path)?;
    let mut file = private_options().create_new(true).open(path)?;
    if content == Content::Secret {
        durable::check_private(path, &file);
    }
    file.write_all(bytes)?;
    durable::sync_all(points::STATE_SYNC, path, &file)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{make_link, mode};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, b"a long first content").unwrap();
        write_atomic(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::create_dir_all(path.join("not empty")).unwrap();
        assert!(write_atomic(&path, b"x").is_err());
        assert_eq!(names(dir.path()), ["a.json"]);
        assert!(write_atomic(&dir.path().join("missing/a.json"), b"x").is_err());
    }

    #[test]
    fn a_left_over_temporary_file_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"theirs").unwrap();
        make_link(&elsewhere, dir.path().join("key.pem.tmp"));
        write_atomic_private(&path, b"secret").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"theirs");
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("state/games");
        ensure_dir(&deep).unwrap();
        let (file, aside) = (deep.join("file"), deep.join("broken"));
        write_atomic(&file, b"x").unwrap();
        private_options().create(true).truncate(false).open(&aside).unwrap();
        for (path, expected) in
            [(dir.path().join("state"), 0o700), (deep, 0o700), (file, 0o600), (aside, 0o600)]
        {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
    }

    #[test]
    fn every_broken_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        for content in ["one", "two"] {
            fs::write(&path, content).unwrap();
            let moved = move_aside(&path).unwrap();
            assert_eq!(fs::read_to_string(moved).unwrap(), content);
        }
        assert_eq!(names(dir.path()), ["index.json.corrupt-1", "index.json.corrupt-2"]);
        assert!(move_aside(&path).is_err());
        assert_eq!(names(dir.path()), ["index.json.corrupt-1", "index.json.corrupt-2"]);
    }

    #[test]
    fn directories_are_made_once_and_removing_nothing_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let deep = game_state_dir(dir.path(), &"quake".parse().unwrap());
        ensure_dir(&deep).unwrap();
        ensure_dir(&deep).unwrap();
        let file = deep.join("x");
        fs::write(&file, b"").unwrap();
        remove_file(&file).unwrap();
        remove_file(&file).unwrap();
        assert!(names(&deep).is_empty());
        fs::write(&file, b"").unwrap();
        assert!(ensure_dir(&file.join("below")).is_err());
    }

    #[test]
    fn on_a_disk_that_tells_spellings_apart_state_is_kept_under_exact_names() {
        let (games, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["Quake", "doom"] {
            fs::create_dir(games.path().join(name)).unwrap();
        }
        fs::create_dir_all(state.path().join("games/quake")).unwrap();
        let listed: BTreeSet<GameId> = ["Quake", "doom"].map(|id| id.parse().unwrap()).into();
        let kept = ids_with_state(games.path(), state.path(), listed.iter().cloned());
        assert_eq!(kept, listed);
    }
}
