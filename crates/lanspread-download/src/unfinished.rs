//! What a download left that did not come to its end: how much it is, and how it goes.
//!
//! The journal is the proof that files without a sentinel are those of a download of this peer. A root
//! without it may be the user's, whatever its name, and is neither told of nor removed.
//!
//! Everything here blocks.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use lanspread_disk::trash::Disposal;
use lanspread_disk::{platform, state_file};
use lanspread_proto::GameId;
use lanspread_proto::foreign::{is_foreign_directory, is_foreign_file};
use lanspread_proto::manifest::VERSION_FILE;

use crate::error::RemoveFailure;
use crate::journal::{self, journal_path, journalled_games};
use crate::storage::{StorageError, discard, failed, is_discarded};

/// Most files and directories that are counted: more than a manifest can list. Those beyond are removed
/// all the same.
const COUNTED_MAX: usize = 1_000_000;
/// Whether `root` holds a download that did not come to its end. One that is under way is not told
/// apart.
///
/// # Errors
/// When the journal or the root cannot be looked at.
pub fn is_unfinished(root: &Path, journal: &Path) -> io::Result<bool> {
    let is_ours = journal::read_header(journal)?.is_some_and(|header| header.is_about(root));
    if !is_ours || !look_at(root)?.is_some_and(|found| found.is_dir()) {
        return Ok(false);
    }
    Ok(look_at(&root.join(VERSION_FILE))?.is_none())
}

/// The games of which an unfinished download is in `games_dir`, with the bytes that it takes. What
/// cannot be looked at is left out.
pub fn all_unfinished(games_dir: &Path, state_dir: &Path) -> BTreeMap<GameId, u64> {
    let games = journalled_games(state_dir).unwrap_or_default().into_iter();
    let found = games.filter_map(|game_id| {
        let bytes = unfinished_bytes(games_dir, state_dir, &game_id)?;
        Some((game_id, bytes))
    });
    found.collect()
}

/// The bytes that the unfinished download of a game takes on the disk, if there is one: what its removal
/// gives back.
pub fn unfinished_bytes(games_dir: &Path, state_dir: &Path, game_id: &GameId) -> Option<u64> {
    let root = games_dir.join(game_id.as_str());
    let is_there = is_unfinished(&root, &journal_path(state_dir, game_id)).unwrap_or_default();
    is_there.then(|| allocated_bytes(&root))
}

/// Removes an unfinished download and its journal. `local/` and all else that is reserved stays.
///
/// # Errors
/// [`RemoveFailure`]. A refusal leaves everything as it was; after an error of the disk the journal
/// still tells of the rest, and the next start goes on.
pub fn remove_unfinished(
    root: &Path,
    journal: &Path,
    game_id: &GameId,
) -> Result<(), RemoveFailure> {
    if !is_unfinished(root, journal).map_err(failed("look at", root))? {
        return Err(RemoveFailure::NotDownloaded(game_id.clone()));
    }
    Ok(sweep(root, journal)?)
}

/// Removes what a download brought, the journal last: a crash meanwhile leaves one that says so.
pub(super) fn sweep(root: &Path, journal: &Path) -> Result<(), StorageError> {
    journal::mark_discarding(journal).map_err(failed("write", journal))?;
    discard(root, &mut Disposal::InPlace)?;
    state_file::remove_file(journal).map_err(failed("remove", journal))
}

/// What is allocated for all in `root` that [`sweep`] would remove. Links are not followed; what cannot
/// be looked at counts as nothing.
fn allocated_bytes(root: &Path) -> u64 {
    let mut bytes = 0_u64;
    let mut counted = 0;
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if directory == *root && !is_discarded(&entry.file_name()) {
                continue;
            }
            counted += 1;
            if counted > COUNTED_MAX {
                return bytes;
            }
            let Ok(found) = entry.metadata() else { continue };
            let name = entry.file_name();
            let is_foreign = match found.is_dir() {
                true => is_foreign_directory(name.as_encoded_bytes()),
                false => found.is_file() && is_foreign_file(name.as_encoded_bytes()),
            };
            if is_foreign {
                continue;
            }
            if found.is_dir() {
                directories.push(entry.path());
            } else {
                bytes = bytes.saturating_add(platform::allocated_bytes(&found));
            }
        }
    }
    bytes
}

fn look_at(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use lanspread_proto::{GameVersion, Manifest, ManifestFile, RelPath};
    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Header, Journal};

    const MIB: u64 = 1024 * 1024;

    /// A root that a download has written a megabyte to, beside what is the user's.
    struct Unfinished {
        games: TempDir,
        state: TempDir,
    }

    impl Unfinished {
        fn new() -> Self {
            let unfinished =
                Self { games: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() };
            unfinished.put("quake.eti", &vec![1; MIB as usize]);
            File::options()
                .write(true)
                .open(unfinished.root().join("quake.eti"))
                .unwrap()
                .set_len(64 * MIB)
                .unwrap();
            unfinished.put("deep/er/file", b"x");
            for kept in ["local/save.dat", ".sync/state", ".local.backup/theirs"] {
                unfinished.put(kept, &vec![2; MIB as usize]);
            }
            let file = ManifestFile { path: path("quake.eti"), size: 64 * MIB, hashes: None };
            let manifest = Manifest::new(GameVersion::new("1").unwrap(), vec![file]).unwrap();
            let header = Header::new(&unfinished.root(), &manifest);
            Journal::begin(&unfinished.journal(), header).unwrap();
            unfinished
        }

        fn put(&self, path: &str, bytes: &[u8]) {
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn root(&self) -> PathBuf {
            self.games.path().join("quake")
        }

        fn journal(&self) -> PathBuf {
            journal_path(self.state.path(), &quake())
        }

        fn bytes(&self) -> Option<u64> {
            let all = all_unfinished(self.games.path(), self.state.path());
            assert!(all.len() <= 1);
            all.get(&quake()).copied()
        }

        fn remove(&self) -> Result<(), RemoveFailure> {
            remove_unfinished(&self.root(), &self.journal(), &quake())
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn quake() -> GameId {
        "quake".parse().unwrap()
    }

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_told_is_what_the_removal_gives_back() {
        let unfinished = Unfinished::new();
        let bytes = unfinished.bytes().unwrap();
        assert!((MIB..2 * MIB).contains(&bytes), "{bytes}");
        unfinished.remove().unwrap();
        assert_eq!(unfinished.names(), [".local.backup", ".sync", "local"]);
        assert!(!unfinished.journal().exists());
        assert_eq!(unfinished.bytes(), None);
        assert_eq!(unfinished.remove(), Err(RemoveFailure::NotDownloaded(quake())));
    }

    #[test]
    fn a_root_without_a_journal_is_the_users() {
        let unfinished = Unfinished::new();
        let before = unfinished.names();
        let foreign_journal = fs::read(unfinished.journal()).unwrap();
        fs::remove_file(unfinished.journal()).unwrap();
        assert_eq!(unfinished.bytes(), None);
        assert_eq!(unfinished.remove(), Err(RemoveFailure::NotDownloaded(quake())));
        // Neither does that of another games directory tell anything about it.
        let other = Unfinished::new();
        fs::write(other.journal(), foreign_journal).unwrap();
        assert_eq!(other.bytes(), None);
        assert_eq!(other.remove(), Err(RemoveFailure::NotDownloaded(quake())));
        fs::write(other.journal(), "torn").unwrap();
        assert_eq!(other.bytes(), None);
        assert_eq!((unfinished.names(), other.names()), (before.clone(), before));
    }

    #[test]
    fn a_root_with_a_sentinel_or_behind_a_link_is_no_unfinished_download() {
        let unfinished = Unfinished::new();
        unfinished.put("version.ini", b"1");
        assert_eq!(unfinished.bytes(), None);
        assert_eq!(unfinished.remove(), Err(RemoveFailure::NotDownloaded(quake())));
        fs::remove_file(unfinished.root().join("version.ini")).unwrap();
        let elsewhere = unfinished.games.path().join("elsewhere");
        fs::rename(unfinished.root(), &elsewhere).unwrap();
        assert_eq!(unfinished.bytes(), None);
        std::os::unix::fs::symlink(&elsewhere, unfinished.root()).unwrap();
        assert_eq!(unfinished.bytes(), None);
        assert_eq!(unfinished.remove(), Err(RemoveFailure::NotDownloaded(quake())));
        assert!(elsewhere.join("quake.eti").is_file());
    }
}
