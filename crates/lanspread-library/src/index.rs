//! What scans and hashing found out, kept across restarts.
//!
//! A start reads all of it and writes one revision; a change writes what changed. See [`store`] for
//! how.

mod content;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod legacy;
mod record;
mod revisions;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lanspread_proto::GameId;

use self::content::{Content, Unsaved, directory_key};
use self::revisions::REV_HEADROOM;
use self::store::{Loaded, Store};
use crate::stamp::KnownContent;

/// Why the index could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} library index {}: {source}", path.display())]
pub struct IndexError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A part of the index was broken and has begun anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("library index is broken and made again ({reason}); the old one is {}", moved_to.display())]
pub struct IndexWarning {
    /// Where the broken file is now.
    pub moved_to: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Manifests and times of files by games directory, and the revision of the announced library.
///
/// Games directories are told apart by their path, which should be canonical; entries of one are
/// never used for another. Clones are one and the same index: the command loop alone changes it,
/// looks at the disk read it, and one task saves it.
#[derive(Debug, Clone)]
pub struct Index {
    state: Arc<RwLock<State>>,
    store: Arc<Mutex<Store>>,
}

#[derive(Debug)]
struct State {
    content: Content,
    unsaved: Unsaved,
    library_rev: u64,
}

impl Index {
    /// Loads the index of `state_dir`, which must exist. A missing one is empty.
    ///
    /// A broken one is moved aside, and the warning says where to; its games will be hashed again.
    ///
    /// # Errors
    /// [`IndexError`] when a file can be neither read nor moved aside.
    pub fn load(state_dir: &Path) -> Result<(Self, Option<IndexWarning>), IndexError> {
        let Loaded { store, content, library_rev, warning } = Store::load(state_dir)?;
        let state = State { content, unsaved: Unsaved::default(), library_rev };
        let state = Arc::new(RwLock::new(state));
        Ok((Self { state, store: Arc::new(Mutex::new(store)) }, warning))
    }

    /// Makes sure that no revision that is announced from now on ever comes again. To be called
    /// once before the first is announced; [`save`](Self::save) does it from then on.
    pub fn reserve_revs(&self) -> io::Result<()> {
        let ahead = self.library_rev().saturating_add(REV_HEADROOM);
        self.store().revisions.write(ahead)
    }

    /// Writes what changed, durably. Blocks.
    ///
    /// # Errors
    /// What the system said; then the next call writes it.
    pub fn save(&self) -> io::Result<()> {
        let mut store = self.store();
        if store.revisions.is_short(self.library_rev()) {
            let ahead = self.library_rev().saturating_add(REV_HEADROOM);
            store.revisions.write(ahead)?;
        }
        let changes = {
            let State { content, unsaved, .. } = &mut *self.write();
            if unsaved.is_empty() && !store.is_snapshot_due() {
                return Ok(());
            }
            unsaved.take(content)
        };
        let saved = store.save(changes.clone(), || self.read().content.clone());
        if saved.is_err() {
            self.write().unsaved.put_back(changes);
        }
        saved
    }

    /// Saves for the last time: revisions go on from the one that was announced last.
    ///
    /// # Errors
    /// What the system said.
    pub fn close(&self) -> io::Result<()> {
        self.save()?;
        self.store().revisions.write(self.library_rev())
    }

    /// Notes that the files are gone, so that the next save writes all of them.
    pub fn begin_anew(&self) {
        self.store().begin_anew();
    }

    /// Returns the revision of the announced library.
    pub fn library_rev(&self) -> u64 {
        self.read().library_rev
    }

    /// Counts one more change of the announced library and returns the new revision.
    pub fn next_rev(&mut self) -> u64 {
        let mut state = self.write();
        state.library_rev = state.library_rev.saturating_add(1);
        state.library_rev
    }

    /// Returns what is known of the content of a game.
    pub fn known(&self, games_dir: &Path, game_id: &GameId) -> Option<KnownContent> {
        let state = self.read();
        let entry = state.content.entry(&directory_key(games_dir), game_id)?;
        Some(entry.clone())
    }

    /// Remembers what a game consists of: after a scan, with hashes, or as a download brought it.
    ///
    /// The times must have been taken before the content was read from the disk, so that a change in
    /// between shows at the next scan.
    pub fn record(&mut self, games_dir: &Path, game_id: GameId, known: KnownContent) {
        self.set(&directory_key(games_dir), game_id, Some(known));
    }

    /// Forgets a game, so that all of it is read again.
    pub fn forget(&mut self, games_dir: &Path, game_id: &GameId) {
        self.set(&directory_key(games_dir), game_id.clone(), None);
    }

    /// Makes a directory the one that was used last, and forgets all games in it but those `found`.
    pub fn retain(&mut self, games_dir: &Path, is_found: impl Fn(&GameId) -> bool) {
        let key = directory_key(games_dir);
        let known = {
            let State { content, unsaved, .. } = &mut *self.write();
            unsaved.use_dir(content, &key);
            content.game_ids(&key)
        };
        for game_id in known.into_iter().filter(|game_id| !is_found(game_id)) {
            self.set(&key, game_id, None);
        }
    }

    fn set(&self, games_dir: &str, game_id: GameId, entry: Option<KnownContent>) {
        let State { content, unsaved, .. } = &mut *self.write();
        unsaved.set(content, games_dir, game_id, entry);
    }

    // Whoever panicked while it held a lock left nothing half done: every change is one call.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
