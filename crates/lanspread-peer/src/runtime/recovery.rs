//! Checks a games directory and settles what a crash left in it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use lanspread_disk::trash::{self, Trash};
use lanspread_install::recover_all;

use super::handles::Handles;
use crate::error::GamesDirError;

/// Settles what a crash left behind. A game that cannot be settled is left as it is. What has to be
/// deleted is put out of the way, for [`empty_trash`].
pub(super) fn recover(games_dir: &Path, state_dir: &Path) {
    let mut trash = Trash::of(games_dir);
    match lanspread_download::recover_all(games_dir, state_dir, &mut trash) {
        Ok(recovered) => {
            for game_id in recovered {
                tracing::info!(%game_id, "settled what an interrupted download left");
            }
        }
        Err(error) => tracing::warn!(%error, "interrupted downloads could not be settled"),
    }
    match recover_all(games_dir, state_dir, &mut trash) {
        Ok(report) => {
            for game_id in report.recovered {
                tracing::info!(%game_id, "settled what an interrupted operation left");
            }
            for error in report.failed {
                tracing::warn!(%error, "an interrupted operation could not be settled");
            }
        }
        Err(error) => tracing::warn!(%error, "interrupted operations could not be settled"),
    }
}

/// Checks that a games directory can be read, and that neither it nor the state directory lies in the other.
pub(super) fn check_games_dir(path: &Path, state_dir: &Path) -> Result<PathBuf, GamesDirError> {
    let unusable = |source| GamesDirError { path: path.to_path_buf(), source };
    let games_dir = fs::canonicalize(path).map_err(unusable)?;
    fs::read_dir(&games_dir).map_err(unusable)?;
    let reason = if games_dir.starts_with(state_dir) {
        "it lies inside the state directory"
    } else if state_dir.starts_with(&games_dir) {
        "the state directory lies inside it"
    } else {
        return Ok(games_dir);
    };
    Err(unusable(io::Error::new(io::ErrorKind::InvalidInput, reason)))
}

/// Deletes in the background what recovery has put out of the way.
pub(super) fn empty_trash(games_dir: &Path, handles: &Handles) {
    let (games_dir, shutdown) = (games_dir.to_path_buf(), handles.tasks.shutdown.clone());
    handles.spawn(async move {
        let work = move || trash::empty(&games_dir, &|| shutdown.is_cancelled());
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "the next start deletes what this one found");
        }
    });
}
