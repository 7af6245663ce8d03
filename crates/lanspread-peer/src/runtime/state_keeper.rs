//! Keeps the state directory for this peer, and in it what the peer knows.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanspread_disk::{durable, state_file};
use lanspread_library::Index;
use lanspread_net::identity::Identity;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::StartError;
use crate::platform::FileIdentity;
use crate::state_format;

const LOCK_FILE: &str = "lock";
/// Shortest rest before the index is saved: what a crash loses of it is only hashed again.
const SAVE_REST_MIN: Duration = Duration::from_millis(500);
/// How much longer the rest is than the last save took: while thousands of games are hashed, saving
/// must stay a small part of the work.
const SAVE_REST_FACTOR: u32 = 9;
/// Rest after a save that failed. A full disk does not become empty any sooner.
const SAVE_RETRY_REST: Duration = Duration::from_secs(5);

/// The state directory, locked against other peers until the last clone of this is dropped.
#[derive(Debug, Clone)]
pub(super) struct StateDir {
    path: PathBuf,
    lock: Arc<Mutex<File>>,
}

impl StateDir {
    /// Locks `path`, which must exist.
    ///
    /// # Errors
    /// [`StartError::StateDirLocked`] when another peer has it, [`StartError::StateDir`] when it
    /// cannot be written.
    pub(super) fn lock(path: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::StateDir { path: path.to_path_buf(), source };
        match lock_file(path).map_err(unusable)? {
            Some(lock) => Ok(Self { path: path.to_path_buf(), lock: Arc::new(Mutex::new(lock)) }),
            None => Err(StartError::StateDirLocked { path: path.to_path_buf() }),
        }
    }

    /// Whether the directory is still the one that was locked.
    fn is_kept(&self) -> io::Result<bool> {
        let ours = FileIdentity::of(&self.held().metadata()?);
        match fs::symlink_metadata(self.path.join(LOCK_FILE)) {
            Ok(found) => Ok(FileIdentity::of(&found) == ours),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the directory back after it was deleted, with the identity in it.
    ///
    /// # Errors
    /// What the system said, also when another peer has the directory by now.
    fn take_back(&self, identity: &Identity) -> io::Result<()> {
        state_file::ensure_dir(&self.path)?;
        let lock = lock_file(&self.path)?.ok_or(io::ErrorKind::WouldBlock)?;
        state_format::claim(&self.path).map_err(io::Error::other)?;
        identity.restore(&self.path)?;
        *self.held() = lock;
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, File> {
        // Replacing it is all that ever happens under the lock.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The locked file; `None` if another peer has it.
fn lock_file(state_dir: &Path) -> io::Result<Option<File>> {
    let path = state_dir.join(LOCK_FILE);
    let file = state_file::private_options().create(true).truncate(false).open(&path)?;
    Ok(durable::try_lock(&path, &file)?.then_some(file))
}

/// Saves the index whenever it has changed, and keeps the state directory there.
pub(super) struct StateKeeper {
    dir: StateDir,
    identity: Arc<Identity>,
    index: Index,
}

impl StateKeeper {
    pub(super) fn new(dir: StateDir, identity: Arc<Identity>, index: Index) -> Self {
        Self { dir, identity, index }
    }

    /// Runs until cancelled, and saves for the last time then. Each save comes after a rest, in
    /// which more may change.
    pub(super) async fn run(mut self, mut changes: watch::Receiver<()>, cancel: CancellationToken) {
        let mut rest = SAVE_REST_MIN;
        let mut failed_before = false;
        // What the start found out.
        changes.mark_changed();
        loop {
            let wait = async {
                // Without a sender nothing changes any more, and the end is near.
                if !failed_before && changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                sleep(rest).await;
            };
            let is_over = cancel.run_until_cancelled(wait).await.is_none();
            let _ = changes.borrow_and_update();
            let begun = Instant::now();
            let work = move || {
                let saved = self.save(is_over);
                (self, saved)
            };
            let saved = match tokio::task::spawn_blocking(work).await {
                Ok((keeper, saved)) => {
                    self = keeper;
                    saved
                }
                Err(error) => {
                    tracing::error!(%error, "nothing is saved any more");
                    return;
                }
            };
            tell(&saved, failed_before, &self.dir.path);
            failed_before = saved.is_err();
            if is_over {
                return;
            }
            rest = if failed_before {
                SAVE_RETRY_REST
            } else {
                SAVE_REST_MIN.max(begun.elapsed() * SAVE_REST_FACTOR)
            };
        }
    }

    fn save(&mut self, is_over: bool) -> io::Result<()> {
        if !self.dir.is_kept()? {
            let path = self.dir.path.display();
            tracing::warn!("state directory {path} was removed and is made again");
            self.dir.take_back(&self.identity)?;
            self.index.begin_anew();
            self.index.reserve_revs()?;
        }
        if is_over { self.index.close() } else { self.index.save() }
    }
}

/// Tells once that saving fails, and once that it works again.
fn tell(saved: &io::Result<()>, failed_before: bool, state_dir: &Path) {
    let path = state_dir.display();
    match saved {
        Err(error) if !failed_before => tracing::error!(
            "the library index cannot be saved in {path}: {error}; make room or access there: until \
             then it is tried again, and after a restart what is not saved is hashed again"
        ),
        Ok(()) if failed_before => tracing::info!("the library index is saved again in {path}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(state_dir: &Path) -> StateKeeper {
        let dir = StateDir::lock(state_dir).unwrap();
        let identity = Arc::new(Identity::load_or_create(state_dir).unwrap());
        let (index, _) = Index::load(state_dir).unwrap();
        StateKeeper::new(dir, identity, index)
    }

    #[test]
    fn a_state_directory_that_is_removed_comes_back_with_all_that_is_known() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/state");
        fs::create_dir_all(&path).unwrap();
        let mut keeper = keeper(&path);
        let peer_id = keeper.identity.peer_id;
        let announced = keeper.index.next_rev();
        keeper.save(false).unwrap();
        fs::remove_dir_all(parent.path().join("deep")).unwrap();
        keeper.save(false).unwrap();
        fs::remove_file(path.join(LOCK_FILE)).unwrap();
        keeper.save(false).unwrap();
        assert!(matches!(StateDir::lock(&path), Err(StartError::StateDirLocked { .. })));
        drop(keeper);
        assert!(path.join("state_format.json").is_file());
        assert_eq!(Identity::load_or_create(&path).unwrap().peer_id, peer_id);
        let (mut index, warning) = Index::load(&path).unwrap();
        assert_eq!(warning, None);
        assert!(index.next_rev() > announced);
    }

    #[test]
    fn a_state_directory_that_another_peer_has_taken_is_not_written_to() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        fs::create_dir(&path).unwrap();
        let mut ours = keeper(&path);
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let theirs = keeper(&path);
        assert!(ours.save(false).is_err());
        let found = Identity::load_or_create(&path).unwrap().peer_id;
        assert_eq!(found, theirs.identity.peer_id);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_saved_is_tried_again_until_it_can() {
        let state = tempfile::tempdir().unwrap();
        let keeper = keeper(state.path());
        let index_file = state.path().join("library_index.bin");
        fs::create_dir(&index_file).unwrap();
        let (changed, changes) = watch::channel(());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(keeper.run(changes, cancel.clone()));
        sleep(SAVE_RETRY_REST).await;
        assert!(index_file.is_dir());
        fs::remove_dir(&index_file).unwrap();
        // Nothing changes, and it is saved all the same.
        while !index_file.is_file() {
            sleep(SAVE_REST_MIN).await;
        }
        cancel.cancel();
        task.await.unwrap();
        drop(changed);
    }
}
