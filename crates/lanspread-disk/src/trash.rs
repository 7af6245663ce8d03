//! What a start finds to delete, out of the way at once and deleted in the background.
//!
//! To delete hundreds of thousands of files takes a while, and a start must not wait for it. So recovery
//! renames what has to go into a directory of its own in the games directory, and the peer is ready.
//! That directory carries the mark of a peer, which is deleted last: whatever a crash leaves of it, the
//! next start goes on with. What cannot be renamed (another file system, a directory that may not be
//! written to) is deleted in place, which takes as long as it takes. What is mounted in it stays where it is.
//!
//! Everything here blocks.

use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::{fs, io};

use lanspread_proto::reserved::{OWNER_MARKER, TRASH_PREFIX};

use crate::durable::below;
use crate::mark::{OwnerMarker, is_marked, mark, unmark};
use crate::{Dir, Entry, Kind, points};

/// Most directories of this kind: each is what one start could not delete.
const CONTAINERS_MAX: u32 = 1000;

/// How a recovery deletes.
pub enum Disposal<'a> {
    /// Before it goes on.
    InPlace,
    /// In the background, where that is possible.
    Aside(&'a mut Trash),
}

impl Disposal<'_> {
    /// Puts what is at `path` out of the way; returns `false` if it is still to be deleted. The removal of
    /// its name is not synced.
    pub fn try_aside(&mut self, path: &Path) -> bool {
        let Self::Aside(trash) = self else { return false };
        match trash.put(path) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "deleted in place");
                false
            }
        }
    }
}

/// Where one recovery of a games directory puts what has to go.
pub struct Trash {
    games_dir: PathBuf,
    container: Option<Container>,
    count: u64,
}

/// A directory in an open games directory, into which things are put.
struct Container {
    games: Dir,
    name: String,
}

impl Trash {
    /// Nothing is made before something is put there.
    pub fn of(games_dir: &Path) -> Self {
        Self { games_dir: games_dir.to_path_buf(), container: None, count: 0 }
    }

    /// On return the new name is durable: what goes is never lost sight of. No link is followed.
    fn put(&mut self, path: &Path) -> io::Result<()> {
        let from = path.strip_prefix(&self.games_dir).map_err(io::Error::other)?;
        let Container { games, name } = match &mut self.container {
            Some(container) => container,
            none => none.insert(make_container(&self.games_dir)?),
        };
        let to = Path::new(name).join(self.count.to_string());
        below::rename(points::TRASH_PUT, games, from, &to)?;
        self.count += 1;
        below::sync_dir(points::TRASH_PUT_SYNC, &games.dir(name)?)
    }
}

fn make_container(games_dir: &Path) -> io::Result<Container> {
    let games = Dir::open(games_dir)?;
    for number in 1..=CONTAINERS_MAX {
        let name = format!("{TRASH_PREFIX}{number}");
        match below::create_dir(points::TRASH_CREATE, &games, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        mark(&games.dir(&name)?, OwnerMarker::Removed)?;
        below::sync_dir(points::TRASH_CREATE_SYNC, &games)?;
        return Ok(Container { games, name });
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many directories wait to be deleted"))
}

/// Deletes all that recoveries of `games_dir` have put out of the way, until `is_stopped`. What fails is
/// told and left for the next start.
pub fn empty(games_dir: &Path, is_stopped: &dyn Fn() -> bool) {
    let entries = fs::read_dir(games_dir).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| is_container_name(name)) {
        let path = games_dir.join(&name);
        match empty_container(games_dir, &name, is_stopped) {
            Ok(true) => tracing::info!(path = %path.display(), "deleted what a start found"),
            Ok(false) => return,
            // Another peer that has just ended may be at it as well; what is no directory is not ours.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the next start deletes the rest");
            }
        }
    }
}

fn is_container_name(name: &str) -> bool {
    name.strip_prefix(TRASH_PREFIX).is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns whether it came to its end.
fn empty_container(
    games_dir: &Path,
    name: &str,
    is_stopped: &dyn Fn() -> bool,
) -> io::Result<bool> {
    // It is ours, and so is what lacks rights in it.
    let container = Dir::open_owned(&games_dir.join(name))?;
    // Without a mark it is ours only if there is nothing in it: a crash came before the mark, or after.
    if is_marked(&container)? {
        for entry in container.entries()? {
            if entry.name == OWNER_MARKER {
                continue;
            }
            if !remove(&container, &entry, is_stopped)? {
                return Ok(false);
            }
        }
        below::sync_dir(points::TRASH_SYNC, &container)?;
        unmark(&container)?;
    }
    match below::remove_dir(points::TRASH_DIR_REMOVE, &Dir::open(games_dir)?, name) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(true),
        removed => removed.map(|()| true),
    }
}

/// Removes an entry, of a directory one after the other what is in it, so that it can end in between.
fn remove(container: &Dir, entry: &Entry, is_stopped: &dyn Fn() -> bool) -> io::Result<bool> {
    if entry.kind != Kind::Directory {
        return below::remove_file(points::TRASH_REMOVE, container, &entry.name).map(|()| true);
    }
    let directory = container.dir_to_empty(&entry.name)?;
    for below_it in directory.entries()? {
        if is_stopped() {
            return Ok(false);
        }
        below::remove_tree(points::TRASH_REMOVE, &directory, &below_it.name)?;
    }
    below::remove_dir(points::TRASH_REMOVE, container, &entry.name).map(|()| true)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::testing::make_link;

    fn tree(games: &TempDir, name: &str) -> PathBuf {
        let path = games.path().join(name);
        fs::create_dir_all(path.join("deep/er")).unwrap();
        fs::write(path.join("deep/er/file"), "x").unwrap();
        fs::write(path.join("file"), "x").unwrap();
        path
    }

    fn names(games: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(games.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_put_away_is_gone_from_its_place_and_deleted_later() {
        let games = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "theirs").unwrap();
        let (one, two) = (tree(&games, "one"), tree(&games, "two"));
        make_link(outside.path(), one.join("link"));
        make_link(outside.path(), one.join("deep/link"));
        fs::write(games.path().join("file"), "x").unwrap();
        let mut trash = Trash::of(games.path());
        let mut disposal = Disposal::Aside(&mut trash);
        assert!(disposal.try_aside(&one) && disposal.try_aside(&two));
        assert!(disposal.try_aside(&games.path().join("file")));
        assert!(!disposal.try_aside(&games.path().join("missing")));
        assert_eq!(names(&games), [format!("{TRASH_PREFIX}1")]);
        empty(games.path(), &|| false);
        assert_eq!(names(&games), Vec::<String>::new());
        assert!(outside.path().join("kept").is_file());
        assert!(!Disposal::InPlace.try_aside(outside.path()));
    }

    #[test]
    fn one_that_is_stopped_is_brought_to_its_end_later() {
        let games = tempfile::tempdir().unwrap();
        let one = tree(&games, "one");
        assert!(Disposal::Aside(&mut Trash::of(games.path())).try_aside(&one));
        empty(games.path(), &|| true);
        assert_eq!(names(&games).len(), 1);
        let two = tree(&games, "two");
        assert!(Disposal::Aside(&mut Trash::of(games.path())).try_aside(&two));
        assert_eq!(names(&games).len(), 2);
        // A crash came before the mark of another one.
        fs::create_dir(games.path().join(format!("{TRASH_PREFIX}7"))).unwrap();
        empty(games.path(), &|| false);
        assert_eq!(names(&games), Vec::<String>::new());
    }

    #[test]
    fn what_only_has_the_name_is_left_alone() {
        let games = tempfile::tempdir().unwrap();
        let outside = tree(&games, "outside");
        mark(&Dir::open(&outside).unwrap(), OwnerMarker::Removed).unwrap();
        let unmarked = tree(&games, &format!("{TRASH_PREFIX}1"));
        tree(&games, &format!("{TRASH_PREFIX}mine"));
        make_link(&outside, games.path().join(format!("{TRASH_PREFIX}2")));
        let before = names(&games);
        empty(games.path(), &|| false);
        assert_eq!(names(&games), before);
        assert!(unmarked.join("deep/er/file").is_file() && outside.join("file").is_file());
    }
}
