//! Settles the downloads that a crash interrupted, at the next start.
//!
//! A journal without a sentinel is a download to go on with: everything stays. One that says that
//! the download was cancelled has the rest removed. A sentinel ends both: the game is committed, or
//! somebody put it there, and nothing of it is ours to remove.
//!
//! A journal without a root is of no use, and goes. But where the games directory has no directory at all,
//! its disk may not be mounted: then the journal of a download to go on with stays. It claims nothing that
//! is not verified, so that nothing is lost where the user has deleted the last root, and the first start
//! that finds any other root removes it. The journal of a cancelled download goes all the same, because
//! what has the name of its root some day may be the user's.
//!
//! A root without sentinel and journal is left alone: nothing tells whether a peer or the user put
//! it there. Nobody is offered it, and the next download takes from it what is of use.

use std::path::{Path, PathBuf};
use std::{fs, io};

use lanspread_disk::trash::{Disposal, Trash};
use lanspread_disk::{durable, state_file};
use lanspread_proto::GameId;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::reserved::TRASH_PREFIX;

use crate::journal::{self, Contents, journal_path, journalled_games};
use crate::storage::discard;

/// What to do about a journal that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The next download goes on from it.
    Keep,
    /// It is of no use any more.
    Remove,
    /// What the download brought is removed, and then the journal.
    Discard,
}

/// What recovery finds in the place of a game root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Missing,
    WithSentinel,
    WithoutSentinel,
}

/// Settles every download into `games_dir` that has a journal, and returns the games of which
/// something was put right, in id order. What has to be deleted goes to `trash`. What fails for one game is logged and tried again at the
/// next start.
///
/// # Errors
/// When the state directory cannot be read.
pub fn recover_all(
    games_dir: &Path,
    state_dir: &Path,
    trash: &mut Trash,
) -> io::Result<Vec<GameId>> {
    let mut recovered = Vec::new();
    for game_id in journalled_games(state_dir)? {
        let root = games_dir.join(game_id.as_str());
        match recover(&root, &journal_path(state_dir, &game_id), trash) {
            Ok(true) => recovered.push(game_id),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%game_id, %error, "an interrupted download could not be settled");
            }
        }
    }
    Ok(recovered)
}

/// Returns whether there was anything to settle.
fn recover(root: &Path, journal: &Path, trash: &mut Trash) -> io::Result<bool> {
    let contents = journal::read(journal)?;
    let found = look(root)?;
    // Looked at for each journal, of which there are few.
    let may_be_unmounted = found == Root::Missing && has_no_roots(durable::parent_of(root))?;
    match decide(contents.as_ref(), root, found, may_be_unmounted) {
        Action::Keep => return Ok(false),
        Action::Remove => {}
        Action::Discard => {
            discard(root, &mut Disposal::Aside(trash)).map_err(io::Error::other)?;
        }
    }
    state_file::remove_file(journal)?;
    Ok(true)
}

fn decide(contents: Option<&Contents>, root: &Path, found: Root, may_be_unmounted: bool) -> Action {
    // A torn header was never followed by anything.
    let Some(contents) = contents else { return Action::Remove };
    if !contents.header.is_about(root) {
        return Action::Keep;
    }
    match found {
        Root::Missing if may_be_unmounted && !contents.is_discarding => Action::Keep,
        Root::Missing | Root::WithSentinel => Action::Remove,
        Root::WithoutSentinel if contents.is_discarding => Action::Discard,
        Root::WithoutSentinel => Action::Keep,
    }
}

/// Whether a games directory has no directory but those of a peer itself, as a mount point on which nothing
/// is mounted.
fn has_no_roots(games_dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(games_dir)? {
        let entry = entry?;
        let is_own = entry.file_name().as_encoded_bytes().starts_with(TRASH_PREFIX.as_bytes());
        if !is_own && !entry.file_type()?.is_file() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn look(root: &Path) -> io::Result<Root> {
    let is_there = |path: PathBuf| match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    Ok(match is_there(root.to_path_buf())? {
        false => Root::Missing,
        true if is_there(root.join(VERSION_FILE))? => Root::WithSentinel,
        true => Root::WithoutSentinel,
    })
}

#[cfg(test)]
mod tests {
    use lanspread_disk::trash;
    use lanspread_proto::{GameVersion, Manifest, ManifestFile, RelPath};
    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Header, Journal, mark_discarding};

    /// A games directory and a state directory with the journal of one download.
    struct Crashed {
        games: TempDir,
        state: TempDir,
    }

    impl Crashed {
        fn new(files: &[&str]) -> Self {
            let crashed =
                Self { games: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() };
            for file in files {
                let path = crashed.root().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
            let file = ManifestFile { path: RelPath::new("a.eti").unwrap(), size: 1, hashes: None };
            let manifest = Manifest::new(GameVersion::new("1").unwrap(), vec![file]).unwrap();
            let header = Header::new(&crashed.root(), &manifest);
            Journal::begin(&crashed.journal(), header).unwrap();
            crashed
        }

        fn cancelled(self) -> Self {
            mark_discarding(&self.journal()).unwrap();
            self
        }

        fn root(&self) -> PathBuf {
            self.games.path().join("quake")
        }

        fn journal(&self) -> PathBuf {
            journal_path(self.state.path(), &"quake".parse().unwrap())
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn recover(&self) -> bool {
            let mut trash = Trash::of(self.games.path());
            let recovered = recover_all(self.games.path(), self.state.path(), &mut trash).unwrap();
            trash::empty(self.games.path(), &|| false);
            !recovered.is_empty()
        }
    }

    #[test]
    fn an_interrupted_download_is_kept_to_go_on_with() {
        let crashed = Crashed::new(&["a.eti"]);
        assert!(!crashed.recover());
        assert_eq!(crashed.names(), ["a.eti"]);
        assert!(crashed.journal().exists());
    }

    #[test]
    fn an_interrupted_cancellation_is_brought_to_its_end() {
        let crashed = Crashed::new(&["a.eti", "data/x", "local/save"]).cancelled();
        assert!(crashed.recover());
        assert_eq!(crashed.names(), ["local"]);
        assert!(!crashed.journal().exists());
        assert!(!crashed.recover());
    }

    #[test]
    fn a_root_with_a_sentinel_is_never_discarded() {
        let crashed = Crashed::new(&["a.eti", "version.ini"]).cancelled();
        assert!(crashed.recover());
        assert_eq!(crashed.names(), ["a.eti", "version.ini"]);
        assert!(!crashed.journal().exists());
    }

    #[test]
    fn a_journal_without_root_or_without_header_is_of_no_use() {
        let missing = Crashed::new(&[]);
        fs::create_dir(missing.games.path().join("doom")).unwrap();
        assert!(missing.recover());
        assert!(!missing.journal().exists());
        let broken = Crashed::new(&["a.eti"]);
        fs::write(broken.journal(), "torn").unwrap();
        assert!(broken.recover());
        assert!(!broken.journal().exists());
        assert_eq!(broken.names(), ["a.eti"]);
    }

    #[test]
    fn a_journal_is_kept_while_its_disk_may_not_be_mounted() {
        let unmounted = Crashed::new(&[]);
        let games = unmounted.games.path();
        fs::write(games.join("the disk is not mounted"), "").unwrap();
        fs::create_dir(games.join(format!("{TRASH_PREFIX}1"))).unwrap();
        assert!(!unmounted.recover());
        assert!(unmounted.journal().exists());
        // It is back.
        fs::create_dir(unmounted.root()).unwrap();
        fs::write(unmounted.root().join("a.eti"), "x").unwrap();
        assert!(!unmounted.recover());
        assert_eq!(unmounted.names(), ["a.eti"]);
        assert!(unmounted.journal().exists());
        // What has lost its root must not be deleted under the same name some day.
        let cancelled = Crashed::new(&[]).cancelled();
        assert!(cancelled.recover());
        assert!(!cancelled.journal().exists());
    }

    #[test]
    fn the_journal_of_another_games_directory_is_left_alone() {
        let crashed = Crashed::new(&["a.eti"]).cancelled();
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("quake")).unwrap();
        fs::write(other.path().join("quake/mine"), "x").unwrap();
        let mut trash = Trash::of(other.path());
        assert!(recover_all(other.path(), crashed.state.path(), &mut trash).unwrap().is_empty());
        assert!(crashed.journal().exists() && other.path().join("quake/mine").exists());
    }
}
