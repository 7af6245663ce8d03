//! Moves what versions before the state directory kept beside the games into it.
//!
//! Runs once, before anything else looks at the games directory, and nothing else reads the old
//! files. Each is copied, durably, before it is deleted: after a crash or an error it is in one of
//! the two places, or in both, and the next start goes on. What an old file says is kept as it is.
//! The index is made anew by the scan, and what an interrupted installation left is recognised by
//! the marks inside, so nothing in them has to be interpreted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lanspread_catalog::Catalog;
use lanspread_disk::state_file::{ensure_dir, game_state_dir, write_atomic};
use lanspread_disk::{durable, is_spelling_of};
use lanspread_install::setup::SETUP_DONE;
use lanspread_library::root_ids;
use lanspread_proto::GameId;
use lanspread_proto::fold::fold;
use lanspread_proto::reserved::{FIRST_START_MARKER, LEGACY_DIR, LEGACY_GAME_FILE, LOCAL_DIR};

use crate::points;

const LEGACY_INDEX: &str = "index.json";
/// Where the old index goes, below the state directory.
const MIGRATED_INDEX: &str = "legacy_index.json";
/// Where the old metadata of a game goes, in the game's state.
const MIGRATED_GAME_FILE: &str = "legacy.json";
/// More than any old file has; a longer one is something else and stays where it is.
const LEGACY_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why an old file stays where it is. The next start tries again.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub(crate) struct MigrationError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a migration did.
#[derive(Debug, Default)]
pub(crate) struct MigrationReport {
    /// Where the old files were that are now in the state directory.
    pub(crate) moved: Vec<PathBuf>,
    /// What could not be moved.
    pub(crate) failed: Vec<MigrationError>,
}

/// Moves every old file in `games_dir` to `state_dir`. Without old files it only lists directories.
/// `catalog` tells what a game is called whose root this disk spells in another way.
pub(crate) fn migrate(games_dir: &Path, state_dir: &Path, catalog: &Catalog) -> MigrationReport {
    let mut report = MigrationReport::default();
    let legacy_dir = games_dir.join(LEGACY_DIR);
    report.add(move_file(&legacy_dir.join(LEGACY_INDEX), &state_dir.join(MIGRATED_INDEX)));
    if !report.moved.is_empty() {
        // Whatever else is in it is not ours, and then it stays.
        let _ = durable::remove_dir(points::LEGACY_DIR_REMOVE, &legacy_dir);
    }
    let entries = match fs::read_dir(games_dir) {
        Ok(entries) => entries,
        Err(source) => {
            report.add(Err(failed("list", games_dir)(source)));
            return report;
        }
    };
    let names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    // Games that are in no catalog have old files as well.
    let known = root_ids(games_dir, catalog, names.iter().cloned());
    let by_fold: BTreeMap<_, _> = known.iter().map(|id| (fold(id.as_str()), id)).collect();
    let is_known = |name: &str| {
        let id = by_fold.get(&fold(name));
        id.is_some_and(|id| is_spelling_of(games_dir, name, id.as_str()))
    };
    let others = names.iter().filter(|name| !is_known(name)).filter_map(|n| GameId::new(n).ok());
    for game_id in others.chain(known.iter().cloned()).collect::<BTreeSet<_>>() {
        let root = games_dir.join(game_id.as_str());
        let state = game_state_dir(state_dir, &game_id);
        report.add(move_file(&root.join(LEGACY_GAME_FILE), &state.join(MIGRATED_GAME_FILE)));
        for marker in [root.join(FIRST_START_MARKER), root.join(LOCAL_DIR).join(FIRST_START_MARKER)]
        {
            report.add(move_file(&marker, &state.join(SETUP_DONE)));
        }
    }
    report
}

impl MigrationReport {
    fn add(&mut self, outcome: Result<Option<PathBuf>, MigrationError>) {
        match outcome {
            Ok(moved) => self.moved.extend(moved),
            Err(error) => self.failed.push(error),
        }
    }
}

/// Copies `old` to `new`, unless that is there from an earlier attempt, and deletes `old`. Returns
/// `old` if it was there.
fn move_file(old: &Path, new: &Path) -> Result<Option<PathBuf>, MigrationError> {
    match fs::symlink_metadata(old) {
        Ok(metadata) if metadata.is_file() => {}
        // A directory or a link of that name was never ours.
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed("look at", old)(error)),
    }
    if !new.exists() {
        let bytes = read(old).map_err(failed("read", old))?;
        let parent = new.parent().unwrap_or(new);
        ensure_dir(parent).map_err(failed("make", parent))?;
        write_atomic(new, &bytes).map_err(failed("write", new))?;
    }
    durable::remove_file(points::LEGACY_REMOVE, old).map_err(failed("remove", old))?;
    let parent = old.parent().unwrap_or(old);
    durable::sync_dir(points::LEGACY_SYNC, parent).map_err(failed("sync", parent))?;
    Ok(Some(old.to_path_buf()))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LEGACY_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LEGACY_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for an old file"));
    }
    Ok(bytes)
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> MigrationError + 'a {
    move |source| MigrationError { action, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk {
        dir: tempfile::TempDir,
    }

    impl Disk {
        /// A games directory as an old version left it.
        fn new() -> Self {
            let disk = Self { dir: tempfile::tempdir().unwrap() };
            fs::create_dir_all(disk.games().join(".lanspread")).unwrap();
            fs::create_dir_all(disk.games().join("quake/local")).unwrap();
            fs::create_dir(disk.state()).unwrap();
            fs::write(disk.games().join(".lanspread/index.json"), "index").unwrap();
            fs::write(disk.games().join("quake/.lanspread.json"), "quake").unwrap();
            fs::write(disk.games().join("quake/local/.softlan_first_start_done"), "").unwrap();
            disk
        }

        fn games(&self) -> PathBuf {
            self.dir.path().join("games")
        }

        fn state(&self) -> PathBuf {
            self.dir.path().join("state")
        }

        fn state_text(&self, path: &str) -> String {
            fs::read_to_string(self.state().join(path)).unwrap()
        }
    }

    #[test]
    fn old_files_move_once_and_keep_what_they_say() {
        let disk = Disk::new();
        let report = migrate(&disk.games(), &disk.state(), &Catalog::empty());
        assert_eq!((report.moved.len(), report.failed.len()), (3, 0));
        assert_eq!(disk.state_text("legacy_index.json"), "index");
        assert_eq!(disk.state_text("games/quake/legacy.json"), "quake");
        assert_eq!(disk.state_text("games/quake/setup_done"), "");
        assert!(!disk.games().join(".lanspread").exists());
        assert!(fs::read_dir(disk.games().join("quake")).unwrap().count() == 1);
        assert!(fs::read_dir(disk.games().join("quake/local")).unwrap().next().is_none());
        let again = migrate(&disk.games(), &disk.state(), &Catalog::empty());
        assert!(again.moved.is_empty() && again.failed.is_empty());
    }

    #[test]
    fn an_old_file_stays_until_its_replacement_is_written() {
        let disk = Disk::new();
        // A file where the state of games should be: nothing can be written below it.
        fs::write(disk.state().join("games"), "in the way").unwrap();
        let report = migrate(&disk.games(), &disk.state(), &Catalog::empty());
        assert_eq!((report.moved.len(), report.failed.len()), (1, 2));
        assert!(disk.games().join("quake/.lanspread.json").exists());
        assert!(disk.games().join("quake/local/.softlan_first_start_done").exists());
        fs::remove_file(disk.state().join("games")).unwrap();
        assert_eq!(migrate(&disk.games(), &disk.state(), &Catalog::empty()).moved.len(), 2);
        assert_eq!(disk.state_text("games/quake/legacy.json"), "quake");
    }

    #[test]
    fn a_crash_between_copy_and_deletion_is_finished_by_the_next_start() {
        let disk = Disk::new();
        fs::create_dir_all(disk.state().join("games/quake")).unwrap();
        fs::write(disk.state().join("games/quake/legacy.json"), "quake").unwrap();
        assert_eq!(migrate(&disk.games(), &disk.state(), &Catalog::empty()).moved.len(), 3);
        assert!(!disk.games().join("quake/.lanspread.json").exists());
        assert_eq!(disk.state_text("games/quake/legacy.json"), "quake");
    }

    #[test]
    fn links_and_directories_of_these_names_are_not_ours() {
        let disk = Disk::new();
        let old = disk.games().join("quake/.lanspread.json");
        fs::remove_file(&old).unwrap();
        crate::platform::testing::symlink("/etc/hostname", &old).unwrap();
        fs::write(disk.games().join(".lanspread/other"), "kept").unwrap();
        migrate(&disk.games(), &disk.state(), &Catalog::empty());
        assert!(fs::symlink_metadata(&old).unwrap().is_symlink());
        assert!(disk.games().join(".lanspread/other").exists());
    }
}
