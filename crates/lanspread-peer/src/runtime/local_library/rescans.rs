//! The command loop's part about changes on the disk that no operation made.
//!
//! The local monitor says what may have changed; the gate says what to look at now; the looks run
//! beside the loop, and what they find is taken over here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lanspread_disk::mount_of;
use lanspread_library::{LocalGame, QuickScan, ScanError, quick_scan, scan_games, suspects};
use lanspread_proto::GameId;
use tokio::time::{Instant, sleep};

use super::{LocalLibrary, log_warnings};
use crate::command::PeerCommand;
use crate::messages::{DiskChange, InboxMessage};
use crate::operation::table::OperationTable;
use crate::runtime::handles::Handles;

/// Pause before a game is looked at that changed while it was hashed: it is being written, and
/// would only change again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Pause between two looks for a games directory that was deleted or unmounted.
const FIND_GAMES_DIR_PAUSE: Duration = Duration::from_secs(2);

impl LocalLibrary {
    pub(in crate::runtime) fn on_disk_change(
        &mut self,
        change: DiskChange,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        match change {
            DiskChange::Games(game_ids) => self.look_at_games(game_ids, operations, handles),
            DiskChange::Anything => self.quick_scan(handles),
        }
    }

    pub(in crate::runtime) fn look_again_later(game_id: GameId, handles: &Handles) {
        let inbox_sender = handles.inbox_sender.clone();
        handles.spawn(async move {
            sleep(LOOK_AGAIN_AFTER).await;
            let change = DiskChange::Games(BTreeSet::from([game_id]));
            let _ = inbox_sender.send(InboxMessage::DiskChanged(change)).await;
        });
    }

    /// Looks at the roots of games that may have changed, but for those of active games.
    pub(in crate::runtime) fn look_at_games(
        &mut self,
        changed: BTreeSet<GameId>,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        let game_ids = self.rescans.admit(changed, |game_id| operations.get(game_id).is_some());
        if game_ids.is_empty() {
            return;
        }
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), self.games_dir.clone(), self.index.clone());
        handles.spawn(async move {
            let (asked_dir, asked_ids) = (games_dir.clone(), game_ids.clone());
            let work = move || {
                let scan = scan_games(&asked_dir, &asked_ids, &index)?;
                log_warnings(&scan.warnings);
                Ok(scan.games)
            };
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome = outcome.unwrap_or_else(|error| Err(abandoned(&games_dir, error)));
            let _ =
                inbox_sender.send(InboxMessage::Rescanned { games_dir, game_ids, outcome }).await;
        });
    }

    /// Takes in what a look at some roots found. Returns the commands that wait no longer.
    pub(in crate::runtime) fn on_rescanned(
        &mut self,
        games_dir: &Path,
        game_ids: BTreeSet<GameId>,
        outcome: Result<BTreeMap<GameId, LocalGame>, ScanError>,
        operations: &OperationTable,
        handles: &Handles,
    ) -> Vec<PeerCommand> {
        let mut counted = Vec::new();
        let mut again = BTreeSet::new();
        for game_id in game_ids {
            let is_active = operations.get(&game_id).is_some();
            let settled = self.rescans.settle(&game_id, is_active);
            if settled.again {
                again.insert(game_id.clone());
            }
            // Found or not, and whoever has found more: it is known what there is of it.
            self.mark_looked_at(&game_id);
            if settled.counts {
                counted.push(game_id);
            }
        }
        match outcome {
            Ok(found) => self.take_over_found(counted, found, operations, handles),
            Err(error) if games_dir == self.games_dir => {
                self.lose_games_dir(&error, operations, handles)
            }
            Err(_) => {}
        }
        self.look_at_games(again, operations, handles);
        self.take_ready_commands(handles)
    }

    pub(in crate::runtime) fn take_over_found(
        &mut self,
        game_ids: Vec<GameId>,
        found: impl IntoIterator<Item = (GameId, LocalGame)>,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        let mut found: BTreeMap<GameId, LocalGame> = found.into_iter().collect();
        let mut changed = Vec::new();
        for game_id in game_ids {
            let known = self.games.get(&game_id);
            let known_before = self.out_of_reach.remove(&game_id);
            let local = match (found.remove(&game_id), known.or(known_before.as_ref())) {
                (Some(found), Some(known)) => Some(found.keep_hashes_of(known)),
                (found, _) => found,
            };
            // What could not be read may be readable now.
            self.unhashable.remove(&game_id);
            if local.as_ref() != known {
                changed.push(game_id.clone());
            }
            self.take_over(&game_id, local, handles);
        }
        if changed.is_empty() {
            self.hash_next(operations, handles);
        } else {
            self.publish(changed, operations, handles);
        }
    }

    /// Lists all roots, to find those that have to be looked at.
    pub(in crate::runtime) fn quick_scan(&mut self, handles: &Handles) {
        if self.owe_quick_scan() || !self.rescans.admit_quick_scan() {
            return;
        }
        let (inbox_sender, games_dir) = (handles.inbox_sender.clone(), self.games_dir.clone());
        let catalog = Arc::clone(&handles.catalog);
        handles.spawn(async move {
            let asked_dir = games_dir.clone();
            let work = move || {
                let mount = mount_of(&asked_dir).ok();
                let outcome = quick_scan(&asked_dir, &catalog);
                // The disk may have gone or come meanwhile.
                (mount.filter(|mount| mount_of(&asked_dir).is_ok_and(|now| now == *mount)), outcome)
            };
            let outcome = tokio::task::spawn_blocking(work).await;
            let (mount, outcome) =
                outcome.unwrap_or_else(|error| (None, Err(abandoned(&games_dir, error))));
            let _ =
                inbox_sender.send(InboxMessage::QuickScanned { games_dir, mount, outcome }).await;
        });
    }

    pub(in crate::runtime) fn on_quick_scanned(
        &mut self,
        games_dir: &Path,
        mount: Option<u64>,
        outcome: Result<BTreeMap<GameId, QuickScan>, ScanError>,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        let settled = self.rescans.settle_quick_scan();
        match outcome {
            _ if !settled.counts => {}
            Ok(seen) if is_unmounted(self.games_mount, mount, &seen) => {
                self.lose_games_dir(&unmounted(games_dir), operations, handles);
            }
            Ok(seen) => {
                match seen.is_empty() {
                    true => self.games_mount = None,
                    false => self.games_mount = mount.or(self.games_mount),
                }
                if self.find_games_dir_at.take().is_some() {
                    let path = games_dir.display();
                    tracing::info!("games directory {path} can be read again");
                    // The watches were on what it was before.
                    self.watched.send_replace(games_dir.to_path_buf());
                }
                self.look_at_games(suspects(&self.games, &seen), operations, handles);
            }
            Err(error) => self.lose_games_dir(&error, operations, handles),
        }
        if settled.again {
            self.quick_scan(handles);
        }
    }

    /// Looks whether a games directory that was lost is back.
    pub(in crate::runtime) fn find_games_dir(&mut self, handles: &Handles) {
        self.find_games_dir_at = Some(Instant::now() + FIND_GAMES_DIR_PAUSE);
        self.quick_scan(handles);
    }

    /// Takes all games out of the library, and keeps what is known about them: when the directory
    /// is back they are too, and nothing has to be hashed again.
    pub(in crate::runtime) fn lose_games_dir(
        &mut self,
        error: &ScanError,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        if self.find_games_dir_at.is_none() {
            tracing::error!("{error}; its games are not shared until it can be read again");
            self.find_games_dir_at = Some(Instant::now() + FIND_GAMES_DIR_PAUSE);
        }
        let lost: Vec<GameId> = self
            .games
            .keys()
            .filter(|game_id| operations.get(game_id).is_none())
            .cloned()
            .collect();
        for game_id in &lost {
            let local = self.games.remove(game_id);
            self.out_of_reach.extend(local.map(|local| (game_id.clone(), local)));
            self.to_hash.remove(game_id);
        }
        if !lost.is_empty() {
            self.publish(lost, operations, handles);
        }
    }
}

/// Whether a quick scan has looked at the mount point of a disk that is gone: no game is there, in another mount
/// than that in which games were found last.
fn is_unmounted(
    games_mount: Option<u64>,
    mount: Option<u64>,
    seen: &BTreeMap<GameId, QuickScan>,
) -> bool {
    seen.is_empty() && games_mount.is_some() && mount != games_mount
}

fn unmounted(games_dir: &Path) -> ScanError {
    let source = io::Error::new(io::ErrorKind::NotFound, "its disk is not mounted");
    ScanError { path: games_dir.to_path_buf(), source }
}

/// A look that panicked found nothing out.
fn abandoned(games_dir: &Path, error: tokio::task::JoinError) -> ScanError {
    ScanError { path: games_dir.to_path_buf(), source: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_catalog::{Catalog, CatalogGame};
    use lanspread_disk::testing::may_mount;

    use super::*;
    use crate::platform::testing::{detach, mount};

    #[test]
    fn a_games_directory_that_was_unmounted_is_told_from_an_empty_one() {
        if !may_mount() {
            return;
        }
        let (disk, games) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(disk.path().join("quake")).unwrap();
        let quake = CatalogGame::new("quake".parse().unwrap(), "Quake", "1".parse().unwrap());
        let catalog = Catalog::from_games([quake]).unwrap();
        let is_unmounted = |mounted_before| {
            let seen = quick_scan(games.path(), &catalog).unwrap();
            is_unmounted(mounted_before, mount_of(games.path()).ok(), &seen)
        };
        mount(disk.path(), games.path());
        let mounted = mount_of(games.path()).ok();
        assert!(mounted.is_some() && !is_unmounted(mounted) && !is_unmounted(None));
        detach(games.path());
        assert!(is_unmounted(mounted) && !is_unmounted(None));
        mount(disk.path(), games.path());
        assert!(!is_unmounted(mounted));
        // Emptied by hand, it is as empty as it looks.
        let mounted = mount_of(games.path()).ok();
        fs::remove_dir(games.path().join("quake")).unwrap();
        assert!(!is_unmounted(mounted));
    }
}
