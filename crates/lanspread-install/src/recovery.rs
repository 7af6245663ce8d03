//! Settles what a transaction left, at its end and at the next start.

use std::path::Path;
use std::{fs, io};

use lanspread_disk::durable::below;
use lanspread_disk::mark::unmark;
use lanspread_disk::root::remove_empty_root;
use lanspread_disk::state_file::ids_with_state;
use lanspread_disk::trash::{Disposal, Trash};
use lanspread_disk::{Dir, IoFailure};
use lanspread_proto::GameId;
use lanspread_proto::reserved::{
    BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR, SENTINEL_DISCARDED, SENTINEL_TMP,
};

use crate::decision::{Action, plan};
use crate::error::InstallFailure;
use crate::install_paths::{InstallPaths, remove_if_empty, remove_owned};
use crate::intent::{self, intent_path};
use crate::points;
use crate::step::{Hook, Step};

/// What a recovery of all games did.
#[derive(Debug, Default)]
pub struct RecoveryReport {
    /// The games of which something was put right, in id order.
    pub recovered: Vec<GameId>,
    /// What could not be put right; the other games were. The intent stays, so that the next start tries
    /// again.
    pub failed: Vec<IoFailure>,
}

/// Settles the installation of one game, and returns whether there was anything to settle.
///
/// Afterwards `local/` is what it was before the last transaction or what that was to make of it,
/// and nothing that a peer put beside it is left. What carries no mark of a peer stays.
///
/// # Errors
/// [`IoFailure`] names the step that failed; those after it were not tried.
pub(crate) fn recover(root: &Path, state_dir: &Path, game_id: &GameId) -> Result<bool, IoFailure> {
    recover_with(root, state_dir, game_id, &mut Disposal::InPlace)
}

fn recover_with(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
    disposal: &mut Disposal<'_>,
) -> Result<bool, IoFailure> {
    let paths = InstallPaths::of(root);
    let has_settled = settle_with(&paths, state_dir, game_id, disposal, &mut |_| Ok(()))?;
    if has_settled {
        // That of a streamed installation, which was made for nothing else.
        remove_empty_root(root).map_err(IoFailure::at("remove", root))?;
    }
    Ok(has_settled)
}

/// Rolls back an installation that panicked, of which the log tells.
pub fn panicked(root: &Path, state_dir: &Path, game_id: &GameId) -> InstallFailure {
    if let Err(error) = recover(root, state_dir, game_id) {
        tracing::warn!(%game_id, %error, "an installation is settled at the next start");
    }
    let reason = "an internal error, which the log describes";
    IoFailure::refused("go on installing", root, reason).into()
}

/// Settles every game in `games_dir` at the start, before anything else looks at it. What has to be
/// deleted goes to `trash`, so that the start does not wait for it.
///
/// Of a download that was interrupted, the unfinished sentinel goes, and so does the one of the
/// version before: the files may hold bytes of both versions. What the download brought stays.
///
/// # Errors
/// [`IoFailure`] when `games_dir` cannot be read. What fails for one game is in the report.
pub fn recover_all(
    games_dir: &Path,
    state_dir: &Path,
    trash: &mut Trash,
) -> Result<RecoveryReport, IoFailure> {
    let mut game_ids = Vec::new();
    for entry in fs::read_dir(games_dir).map_err(IoFailure::at("read", games_dir))? {
        let entry = entry.map_err(IoFailure::at("read", games_dir))?;
        let is_root = entry.file_type().map_err(IoFailure::at("look at", &entry.path()))?.is_dir();
        let game_id = entry.file_name().to_str().and_then(|name| GameId::new(name).ok());
        game_ids.extend(game_id.filter(|_| is_root));
    }
    let mut report = RecoveryReport::default();
    for game_id in ids_with_state(games_dir, state_dir, game_ids.into_iter()) {
        let root = games_dir.join(game_id.as_str());
        let settled = recover_with(&root, state_dir, &game_id, &mut Disposal::Aside(trash));
        let swept = sweep_sentinels(&root);
        if [&settled, &swept].iter().any(|result| matches!(result, Ok(true))) {
            report.recovered.push(game_id);
        }
        report.failed.extend([settled, swept].into_iter().filter_map(Result::err));
    }
    Ok(report)
}

/// Like [`recover`], with a hook before every step.
pub(super) fn settle(
    paths: &InstallPaths,
    state_dir: &Path,
    game_id: &GameId,
    hook: &mut Hook<'_>,
) -> Result<bool, IoFailure> {
    settle_with(paths, state_dir, game_id, &mut Disposal::InPlace, hook)
}

fn settle_with(
    paths: &InstallPaths,
    state_dir: &Path,
    game_id: &GameId,
    disposal: &mut Disposal<'_>,
    hook: &mut Hook<'_>,
) -> Result<bool, IoFailure> {
    let intent_path = intent_path(state_dir, game_id);
    let intent = intent::read(state_dir, game_id).map_err(IoFailure::at("read", &intent_path))?;
    let found = paths.look().map_err(IoFailure::at("look at", &paths.root))?;
    let actions = plan(intent, found);
    for action in &actions {
        let (verb, path) = describe(*action, paths, &intent_path);
        hook(Step::Settle)
            .and_then(|()| execute(*action, paths, state_dir, game_id, disposal))
            .map_err(IoFailure::at(verb, path))?;
    }
    Ok(!actions.is_empty())
}

fn execute(
    action: Action,
    paths: &InstallPaths,
    state_dir: &Path,
    game_id: &GameId,
    disposal: &mut Disposal<'_>,
) -> io::Result<()> {
    let mut remove = |root: &Dir, name: &str| match disposal.try_aside(&root.at(name)) {
        true => Ok(()),
        false => remove_owned(root, name),
    };
    match action {
        Action::RestoreBackup => {
            let root = paths.open()?;
            below::rename(points::RESTORE_BACKUP, &root, BACKUP_DIR, LOCAL_DIR)?;
            below::sync_dir(points::SETTLE_SYNC, &root)
        }
        Action::UnmarkLocal => {
            let root = paths.open()?;
            // A mark may only go once the name it stands under is durable.
            below::sync_dir(points::SETTLE_SYNC, &root)?;
            unmark(&root.dir(LOCAL_DIR)?)
        }
        Action::RemoveInstalling => {
            let root = paths.open()?;
            remove(&root, INSTALLING_DIR)?;
            below::sync_dir(points::SETTLE_SYNC, &root)
        }
        Action::RemoveBackup => {
            let root = paths.open()?;
            // The backup may only go once what made it needless is durable.
            below::sync_dir(points::SETTLE_SYNC, &root)?;
            remove(&root, BACKUP_DIR)?;
            below::sync_dir(points::SETTLE_SYNC, &root)
        }
        Action::RemoveEmptyInstalling | Action::RemoveEmptyBackup => {
            let root = paths.open()?;
            let is_backup = action == Action::RemoveEmptyBackup;
            remove_if_empty(&root, if is_backup { BACKUP_DIR } else { INSTALLING_DIR })?;
            // Durable before the intent goes: without it nobody would dare to remove them.
            below::sync_dir(points::SETTLE_SYNC, &root)
        }
        Action::ClearIntent => intent::clear(state_dir, game_id),
    }
}

fn describe<'a>(
    action: Action,
    paths: &'a InstallPaths,
    intent: &'a Path,
) -> (&'static str, &'a Path) {
    match action {
        Action::RestoreBackup => ("restore", &paths.local),
        Action::UnmarkLocal => ("take the mark out of", &paths.local),
        Action::RemoveInstalling | Action::RemoveEmptyInstalling => ("remove", &paths.installing),
        Action::RemoveBackup | Action::RemoveEmptyBackup => ("remove", &paths.backup),
        Action::ClearIntent => ("remove", intent),
    }
}

fn sweep_sentinels(path: &Path) -> Result<bool, IoFailure> {
    let looked = Dir::open(path).map_err(IoFailure::at("open", path))?;
    let mut swept = false;
    for name in [SENTINEL_TMP, SENTINEL_DISCARDED] {
        let at = looked.at(name);
        if looked.look(name).map_err(IoFailure::at("look at", &at))?.is_some() {
            let root = Dir::open_owned(path).map_err(IoFailure::at("open", path))?;
            below::remove_file_durably(&root, name).map_err(IoFailure::at("remove", &at))?;
            swept = true;
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use lanspread_proto::reserved::TRASH_PREFIX;

    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn the_start_sweeps_what_is_ours_in_every_root_and_nothing_else() {
        let games = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let quake = games.path().join("quake");
        write(&quake, ".version.ini.tmp", "1");
        write(&quake, ".version.ini.discarded", "1");
        write(&quake, "quake.eti", "half of it");
        write(&quake, ".local.installing/.lanspread_owned", "");
        write(&quake, ".local.installing/half", "");
        let doom = games.path().join("doom");
        write(&doom, ".local.installing/theirs", "kept");
        write(&doom, ".local.backup/theirs", "kept");
        write(games.path(), "a file", "");
        write(games.path(), ".hidden/.version.ini.tmp", "");

        let report = recover_all(games.path(), state.path(), &mut Trash::of(games.path())).unwrap();
        assert_eq!(report.recovered, ["quake".parse().unwrap()]);
        assert!(report.failed.is_empty());
        let names = |root: &Path| fs::read_dir(root).unwrap().count();
        assert_eq!((names(&quake), names(&doom)), (1, 2));
        // It is out of the way, and the start has not waited for its deletion.
        assert!(games.path().join(format!("{TRASH_PREFIX}1/0/half")).is_file());
        assert!(games.path().join(".hidden/.version.ini.tmp").exists());
        assert!(
            recover_all(games.path(), state.path(), &mut Trash::of(games.path()))
                .unwrap()
                .recovered
                .is_empty()
        );
    }

    #[test]
    fn what_fails_for_one_game_does_not_keep_the_others_waiting() {
        let games = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        write(games.path(), "doom/.version.ini.tmp/not a file", "");
        write(games.path(), "quake/.local.backup/.lanspread_owned", "replaced");
        write(games.path(), "quake/.local.backup/save.dat", "precious");
        let report = recover_all(games.path(), state.path(), &mut Trash::of(games.path())).unwrap();
        assert_eq!(report.recovered, ["quake".parse().unwrap()]);
        assert_eq!(report.failed.len(), 1);
        let local = games.path().join("quake/local");
        assert_eq!(fs::read_to_string(local.join("save.dat")).unwrap(), "precious");
        assert_eq!(fs::read_dir(local).unwrap().count(), 1);
    }
}
