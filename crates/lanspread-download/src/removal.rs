//! Deleting a downloaded game from the disk, so that a crash never leaves a half game that looks
//! whole.
//!
//! A journal says first that the root is being removed, and the sentinel goes before the rest, durably. If the
//! sentinel cannot be removed, the journal is taken back.
//! Whatever a crash or an error leaves after that is not downloaded: it is neither announced nor served,
//! the next start or removal deletes it, and a download writes over it.
//!
//! Everything here blocks. The caller sees to it that nothing else touches the root meanwhile.

use std::path::Path;
use std::{fs, io};

use lanspread_disk::durable::{self, below};
use lanspread_disk::foreign::is_foreign_entry;
use lanspread_disk::{Dir, Found, IoFailure, reserve, state_file};
use lanspread_proto::fold::is_same_fold;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::reserved::{LOCAL_DIR, is_install_transient};
use lanspread_proto::{GameId, GameVersion};

use crate::error::RemoveFailure;
use crate::journal::{journal_path, note_removal};
use crate::points;

/// Deletes the root of a game that is downloaded and not installed, with all that is in it but foreign
/// files, which keep the root where they are. A root that is a mount point stays, and is empty then.
///
/// Links are removed, never followed. Where something is mounted below the root, the removal is refused. The
/// root must be a directory directly in `games_dir`, and not a link to one. `version` is what its sentinel
/// says. While the removal lasts, the journal in `state_dir` says what is going on.
///
/// # Errors
/// [`RemoveFailure`]. A refusal leaves everything as it was; an error of the disk may leave a root
/// without its sentinel, or with parts of the rest, and the journal beside it: it is an unfinished
/// download then, which can be removed.
pub fn remove_root(
    games_dir: &Path,
    game_id: &GameId,
    state_dir: &Path,
    version: &GameVersion,
) -> Result<(), RemoveFailure> {
    let path = games_dir.join(game_id.as_str());
    let not_downloaded = || RemoveFailure::NotDownloaded(game_id.clone());
    let root = open_root(&path)?.ok_or_else(not_downloaded)?;
    let sentinel = root.at(VERSION_FILE);
    let found = root.look(VERSION_FILE).map_err(failed("look at", &sentinel))?;
    found.filter(Found::is_file).ok_or_else(not_downloaded)?;
    refuse_what_is_the_users(&root)?;
    root.refuse_mounts("", &is_foreign_entry).map_err(failed("remove", &path))?;

    let journal = &journal_path(state_dir, game_id);
    reserve::with(state_dir, || note_removal(journal, &path, version.clone())).map_err(
        |error| match reserve::is_full(&error) {
            true => RemoveFailure::DiskFull { path: journal.clone() },
            false => failed("write", journal)(error),
        },
    )?;
    if let Err(error) = below::remove_file(points::REMOVAL_SENTINEL, &root, VERSION_FILE) {
        // The game is whole. A journal that stayed would have a later start remove whatever is there then.
        state_file::remove_file(journal).map_err(failed("remove", journal))?;
        return Err(failed("remove", &sentinel)(error));
    }
    below::sync_dir(points::REMOVAL_SENTINEL_SYNC, &root).map_err(failed("sync", &path))?;
    remove_whole(&root, &path).map_err(failed("remove", &path))?;
    durable::sync_dir(points::REMOVAL_ROOT_SYNC, games_dir).map_err(failed("sync", games_dir))?;
    // One that stays behind is swept at the next start.
    if let Err(error) = state_file::remove_file(journal) {
        tracing::warn!(%game_id, %error, "the journal of a removed game stays behind");
    }
    Ok(())
}

/// Opens the root as a directory of its own; `None` where it is missing, a link or a file.
fn open_root(path: &Path) -> Result<Option<Dir>, RemoveFailure> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match Dir::open_owned(path) {
        Ok(root) => Ok(Some(root)),
        Err(error) if matches!(error.kind(), NotADirectory | NotFound) => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Removes a root that is open as `root`, and was found at `path`.
fn remove_whole(root: &Dir, path: &Path) -> io::Result<()> {
    durable::reach(points::REMOVAL_ROOT, path)?;
    match root.clear_but(&is_foreign_entry)? {
        true => match fs::remove_dir(path) {
            // It is a mount point, and stays as one that is not empty does.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
            removed => removed,
        },
        false => Ok(()),
    }
}

/// An installation that nobody knew of a moment ago, or that waits in a backup, is not a download.
fn refuse_what_is_the_users(root: &Dir) -> Result<(), RemoveFailure> {
    for entry in root.entries().map_err(failed("list", root.path()))? {
        let is_installation = entry
            .name
            .to_str()
            .is_some_and(|name| is_same_fold(name, LOCAL_DIR) || is_install_transient(name));
        if is_installation {
            return Err(RemoveFailure::Installation { path: root.at(entry.name) });
        }
    }
    Ok(())
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> RemoveFailure + 'a {
    move |source| IoFailure::new(action, path, source).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use lanspread_disk::durable::Guarantee;
    use lanspread_disk::durable::faults::lacking;
    use lanspread_disk::testing::{may_mount, mount_disk, without_privileges};
    use rustix::fs::{Uid, chown};
    use rustix::io::Errno;
    use tempfile::TempDir;

    use super::*;
    use crate::{is_unfinished, remove_unfinished};

    fn quake() -> GameId {
        GameId::new("quake").unwrap()
    }

    fn remove(games: &TempDir) -> Result<(), RemoveFailure> {
        let state = tempfile::tempdir().unwrap();
        let journal = journal_path(state.path(), &quake());
        let removed =
            remove_root(games.path(), &quake(), state.path(), &GameVersion::new("1").unwrap());
        assert!(!journal.exists());
        removed
    }

    fn write(games: &TempDir, path: &str) {
        let path = games.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "1\n").unwrap();
    }

    fn downloaded() -> TempDir {
        let games = tempfile::tempdir().unwrap();
        for file in ["version.ini", "quake.eti", "deep/er/file", ".sync/state"] {
            write(&games, &format!("quake/{file}"));
        }
        games
    }

    #[test]
    fn the_root_goes_whole_and_the_others_stay() {
        let games = downloaded();
        write(&games, "doom/version.ini");
        remove(&games).unwrap();
        let left: Vec<_> = fs::read_dir(games.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(left.len(), 1);
        assert!(games.path().join("doom/version.ini").is_file());
        let again = remove(&games);
        assert_eq!(again, Err(RemoveFailure::NotDownloaded(quake())));
    }

    #[test]
    fn what_an_error_leaves_is_known_to_be_ours_and_can_be_removed() {
        let games = downloaded();
        let state = tempfile::tempdir().unwrap();
        let (root, journal) = (games.path().join("quake"), journal_path(state.path(), &quake()));
        // It fails when the sentinel is gone.
        let failing = lacking(games.path(), Guarantee::DirectorySync, Errno::IO);
        let version = GameVersion::new("1").unwrap();
        remove_root(games.path(), &quake(), state.path(), &version).unwrap_err();
        drop(failing);
        assert!(root.join("quake.eti").is_file() && !root.join("version.ini").exists());
        assert!(is_unfinished(&root, &journal).unwrap());
        remove_unfinished(&root, &journal, &quake()).unwrap();
        assert!(!root.join("quake.eti").exists() && !journal.exists());
    }

    #[test]
    fn a_removal_that_could_not_begin_leaves_nothing_that_a_later_start_goes_on_with() {
        let games = downloaded();
        let state = tempfile::tempdir().unwrap();
        let (root, journal) = (games.path().join("quake"), journal_path(state.path(), &quake()));
        // The rights of a directory of another user cannot be changed. Only root can give one away.
        if chown(&root, Some(Uid::from_raw(12_345)), None).is_err() {
            return;
        }
        without_privileges();
        let version = GameVersion::new("1").unwrap();
        remove_root(games.path(), &quake(), state.path(), &version).unwrap_err();
        assert!(root.join("version.ini").is_file() && !journal.exists());
    }

    #[test]
    fn what_is_mounted_below_the_root_is_refused_before_anything_is_touched() {
        if !may_mount() {
            return;
        }
        let games = downloaded();
        let user = games.path().join("quake/deep/user");
        mount_disk(&user, None);
        write(&games, "quake/deep/user/save.dat");
        let Err(RemoveFailure::Io(failure)) = remove(&games) else {
            panic!("it was not refused");
        };
        let mounted = format!("something is mounted at {}; unmount it", user.display());
        assert!(failure.source.to_string().contains(&mounted), "{failure}");
        for file in ["version.ini", "quake.eti", "deep/er/file", "deep/user/save.dat"] {
            assert!(games.path().join("quake").join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn a_game_can_be_removed_from_a_full_disk() {
        if !may_mount() {
            return;
        }
        let disk = tempfile::tempdir().unwrap();
        mount_disk(disk.path(), Some(c"size=1m"));
        let (games, state) = (disk.path().join("games"), disk.path().join("state"));
        fs::create_dir_all(games.join("quake")).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(games.join("quake/version.ini"), "1").unwrap();
        let version = GameVersion::new("1").unwrap();
        let fill = || {
            let mut file = fs::File::create(games.join("quake/quake.eti")).unwrap();
            while io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        };
        fill();
        let remove = || remove_root(&games, &quake(), &state, &version);
        let path = journal_path(&state, &quake());
        assert_eq!(remove(), Err(RemoveFailure::DiskFull { path }));
        assert!(games.join("quake/version.ini").is_file());
        fs::remove_file(games.join("quake/quake.eti")).unwrap();
        reserve::keep(&state);
        fill();
        remove().unwrap();
        assert!(!games.join("quake").exists() && !state.join("reserve").exists());
    }

    #[test]
    fn a_root_that_is_a_mount_point_stays_empty() {
        if !may_mount() {
            return;
        }
        let games = tempfile::tempdir().unwrap();
        mount_disk(&games.path().join("quake"), None);
        for file in ["version.ini", "quake.eti", "deep/file"] {
            write(&games, &format!("quake/{file}"));
        }
        remove(&games).unwrap();
        assert_eq!(fs::read_dir(games.path().join("quake")).unwrap().count(), 0);
        assert_eq!(remove(&games), Err(RemoveFailure::NotDownloaded(quake())));
    }

    #[test]
    fn links_inside_are_removed_and_not_followed() {
        let games = downloaded();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "theirs").unwrap();
        symlink(outside.path(), games.path().join("quake/link")).unwrap();
        symlink(outside.path().join("kept"), games.path().join("quake/deep/link")).unwrap();
        remove(&games).unwrap();
        assert!(!games.path().join("quake").exists());
        assert_eq!(fs::read_to_string(outside.path().join("kept")).unwrap(), "theirs");
    }

    #[test]
    fn a_link_in_place_of_the_root_or_the_sentinel_is_refused() {
        let games = tempfile::tempdir().unwrap();
        let elsewhere = downloaded();
        let target = elsewhere.path().join("quake");
        symlink(&target, games.path().join("quake")).unwrap();
        let refused = || remove(&games);
        assert_eq!(refused(), Err(RemoveFailure::NotDownloaded(quake())));
        fs::remove_file(games.path().join("quake")).unwrap();
        write(&games, "quake/quake.eti");
        symlink(target.join("version.ini"), games.path().join("quake/version.ini")).unwrap();
        assert_eq!(refused(), Err(RemoveFailure::NotDownloaded(quake())));
        fs::remove_file(games.path().join("quake/version.ini")).unwrap();
        fs::create_dir(games.path().join("quake/version.ini")).unwrap();
        assert_eq!(refused(), Err(RemoveFailure::NotDownloaded(quake())));
        assert!(games.path().join("quake/quake.eti").is_file());
        assert!(target.join("version.ini").is_file());
    }

    #[test]
    fn an_installation_in_any_form_is_refused_before_anything_is_touched() {
        for name in ["local", "LOCAL", ".local.backup", ".local.installing", ".local.old"] {
            let games = downloaded();
            write(&games, &format!("quake/{name}/save.dat"));
            let path = games.path().join("quake").join(name);
            let refused = remove(&games);
            assert_eq!(refused, Err(RemoveFailure::Installation { path: path.clone() }));
            assert!(path.join("save.dat").is_file());
            assert!(games.path().join("quake/version.ini").is_file());
        }
    }

    #[test]
    fn what_systems_left_stays_and_all_else_goes() {
        let games = downloaded();
        let foreign = ["Thumbs.db", "deep/er/desktop.ini", "$RECYCLE.BIN/x"];
        for path in foreign {
            write(&games, &format!("quake/{path}"));
        }
        remove(&games).unwrap();
        for path in foreign {
            assert!(games.path().join("quake").join(path).is_file(), "{path}");
        }
        for path in ["version.ini", "quake.eti", "deep/er/file", ".sync"] {
            assert!(!games.path().join("quake").join(path).exists(), "{path}");
        }
        let again = remove(&games);
        assert_eq!(again, Err(RemoveFailure::NotDownloaded(quake())));
    }

    #[test]
    fn directories_that_may_not_be_written_to_go_as_well() {
        without_privileges();
        let games = downloaded();
        for directory in ["deep/er", "deep", ""] {
            let path = games.path().join("quake").join(directory);
            fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
        }
        remove(&games).unwrap();
        assert!(!games.path().join("quake").exists());
    }
}
