//! The watches on one games directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_catalog::Catalog;
use lanspread_disk::mount_of;
use lanspread_library::roots;
use lanspread_proto::GameId;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::pending_changes::PendingChanges;
use crate::platform::FileIdentity;

/// Watches on a games directory and the game roots in it. Every call blocks.
///
/// A watch that the system refuses, because there are too many, is told once; the fallback scan
/// stands in for it.
#[derive(Debug)]
pub(super) struct Watches {
    games_dir: PathBuf,
    watcher: Option<RecommendedWatcher>,
    identity: Option<Identity>,
    refused: usize,
}

impl Watches {
    /// Watches `games_dir` and all roots in it, as far as they are there and the system lets it.
    pub(super) fn new(
        games_dir: PathBuf,
        catalog: &Arc<Catalog>,
        pending: Arc<watch::Sender<PendingChanges>>,
    ) -> Self {
        let (reported_dir, reported) = (games_dir.clone(), Arc::clone(catalog));
        let watcher = notify::recommended_watcher(move |report| {
            pending.send_if_modified(|pending| pending.note(&reported_dir, &reported, report));
        });
        let watcher = watcher.inspect_err(|error| tell_refusal(&games_dir, error)).ok();
        let identity = identity(&games_dir);
        let mut watches = Self { games_dir, watcher, identity, refused: 0 };
        let games_dir = watches.games_dir.clone();
        watches.watch(&games_dir);
        // One that cannot be read has no roots to watch, and the scan tells what is wrong with it.
        for game_id in roots(&games_dir, catalog).unwrap_or_default() {
            watches.watch(&games_dir.join(game_id.as_str()));
        }
        watches
    }

    /// Watches these roots as they are now, whatever they were before.
    pub(super) fn follow(mut self, roots: &BTreeSet<GameId>) -> Self {
        for game_id in roots {
            let root = self.games_dir.join(game_id.as_str());
            if let Some(watcher) = &mut self.watcher {
                // One that is gone has taken its watch with it.
                let _ = watcher.unwatch(&root);
            }
            self.watch(&root);
        }
        self
    }

    /// Whether nothing that is there goes unwatched.
    pub(super) fn are_whole(&self) -> bool {
        self.watcher.is_some()
            && self.refused == 0
            && self.identity.is_some()
            && self.identity == identity(&self.games_dir)
    }

    fn watch(&mut self, path: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        // A link is not followed, so that what lies elsewhere is not watched either.
        if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            return;
        }
        match watcher.watch(path, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
            Err(error) => {
                if self.refused == 0 {
                    tell_refusal(path, &error);
                }
                self.refused += 1;
            }
        }
    }
}

fn tell_refusal(path: &Path, error: &notify::Error) {
    let path = path.display();
    tracing::warn!(
        %error,
        "{path} cannot be watched; its changes are noticed at the next scan, in minutes, or at once \
         where the system allows more watches (fs.inotify.max_user_watches, max_user_instances)"
    );
}

/// The directory that is watched. Unmounting a disk ends the watches on it, and the same disk has the same
/// devices and inodes when it is mounted again.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    directory: FileIdentity,
    mount: u64,
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some(Identity { directory: FileIdentity::of(&found), mount: mount_of(path).ok()? })
}

#[cfg(test)]
mod tests {
    use lanspread_disk::testing::may_mount;

    use super::*;
    use crate::platform::testing::{detach, mount};

    #[test]
    fn watches_on_a_disk_that_was_mounted_again_are_not_whole() {
        if !may_mount() {
            return;
        }
        let (disk, games) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        mount(disk.path(), games.path());
        let catalog = Arc::new(Catalog::from_games([]).unwrap());
        let (sender, _pending) = watch::channel(PendingChanges::default());
        let watches = Watches::new(games.path().to_path_buf(), &catalog, Arc::new(sender));
        assert!(watches.are_whole());
        detach(games.path());
        assert!(!watches.are_whole());
        mount(disk.path(), games.path());
        assert!(!watches.are_whole());
    }
}
