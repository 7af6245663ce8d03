//! The command loop's part about hashing the games on this disk, and about what contradicts the hashes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lanspread_library::{
    GameProblem, HashError, Hashed, LocalGame, ProblemReason, Reading, SETTLE_TIME, hash_manifest,
};
use lanspread_proto::GameId;
use lanspread_serve::Contradiction;
use tokio::time::{Instant, sleep};

use super::LocalLibrary;
use crate::messages::InboxMessage;
use crate::operation::table::OperationTable;
use crate::runtime::handles::Handles;

/// How long games that were hashed wait to be published together: a library of small games is
/// hashed at hundreds a second, and each publication costs every peer a message.
const HASHED_PUBLISH_PAUSE: Duration = Duration::from_millis(250);
/// How long after the hashing the files are read again whose time was too close to it: a little longer
/// than it takes until every change shows.
const SETTLE_PAUSE: Duration = SETTLE_TIME.saturating_add(Duration::from_millis(100));

impl LocalLibrary {
    /// Lets files be read once more, whose time was too close to the moment at which they were.
    pub(in crate::runtime) fn settle_later(
        &mut self,
        game_id: &GameId,
        local: &LocalGame,
        handles: &Handles,
    ) {
        if local.doubtful.is_empty() || !self.settling.insert(game_id.clone()) {
            return;
        }
        let (inbox_sender, game_id) = (handles.inbox_sender.clone(), game_id.clone());
        handles.spawn(async move {
            sleep(SETTLE_PAUSE).await;
            let _ = inbox_sender.send(InboxMessage::Settled { game_id }).await;
        });
    }

    pub(in crate::runtime) fn on_settled(
        &mut self,
        game_id: GameId,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        self.settling.remove(&game_id);
        self.to_settle.insert(game_id);
        self.hash_next(operations, handles);
    }

    /// Starts hashing what is served without hashes: one game after the other, and beside it one
    /// that a peer waits for, so that a small game does not wait for a large one.
    pub(in crate::runtime) fn hash_next(&mut self, operations: &OperationTable, handles: &Handles) {
        while let Some(game_id) = self.next_to_hash(operations) {
            self.hashes_wanted.remove(&game_id);
            self.hash(game_id, handles);
        }
    }

    fn next_to_hash(&self, operations: &OperationTable) -> Option<GameId> {
        let wanted = self.hashes_wanted.iter().find(|game_id| self.is_to_hash(game_id, operations));
        let is_first_look = self.first_look.is_some();
        match self.hashing.len() {
            // The first look at the library has the disk for itself.
            0 if !is_first_look => {
                let unhashed =
                    || self.to_hash.iter().find(|game_id| self.is_to_hash(game_id, operations));
                let doubtful =
                    || self.to_settle.iter().find(|game_id| self.is_idle(game_id, operations));
                wanted.or_else(unhashed).or_else(doubtful)
            }
            0 | 1 => wanted,
            _ => None,
        }
        .cloned()
    }

    fn is_to_hash(&self, game_id: &GameId, operations: &OperationTable) -> bool {
        self.to_hash.contains(game_id)
            && self.is_idle(game_id, operations)
            && !self.unhashable.contains(game_id)
    }

    fn is_idle(&self, game_id: &GameId, operations: &OperationTable) -> bool {
        operations.get(game_id).is_none() && !self.hashing.contains(game_id)
    }

    pub(in crate::runtime) fn on_hashes_wanted(
        &mut self,
        game_id: GameId,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        if self.is_to_hash(&game_id, operations) {
            self.hashes_wanted.insert(game_id);
            self.hash_next(operations, handles);
        }
    }

    fn hash(&mut self, game_id: GameId, handles: &Handles) {
        self.to_settle.remove(&game_id);
        let Some(local) = self.games.get(&game_id).cloned() else { return };
        let Some(unhashed) = local.without_hashes(&local.doubtful).manifest else { return };
        if unhashed.content_root().is_some() {
            return;
        }
        self.hashing.insert(game_id.clone());
        let root = self.root_of(&game_id);
        let (inbox_sender, cancel) = (handles.inbox_sender.clone(), handles.tasks.cancel.clone());
        let (fingerprint, version_ini) = (local.fingerprint.clone(), local.version_ini.clone());
        handles.spawn(async move {
            let work = move || {
                let reading = Reading { cancel: &|| cancel.is_cancelled(), now: &SystemTime::now };
                hash_manifest(&root, &unhashed, version_ini.as_deref(), &fingerprint, &reading)
            };
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome =
                outcome.unwrap_or_else(|error| Err(HashError::Abandoned(error.to_string())));
            let _ =
                inbox_sender.send(InboxMessage::Hashed { game_id, scanned: local, outcome }).await;
        });
    }

    pub(in crate::runtime) fn on_hashed(
        &mut self,
        game_id: GameId,
        scanned: &LocalGame,
        outcome: Result<Hashed, HashError>,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        self.hashing.remove(&game_id);
        match outcome {
            Ok(hashed) => self.take_over_hashes(game_id, scanned, hashed, handles),
            Err(HashError::Cancelled) => {}
            Err(error @ HashError::Changed { .. }) => {
                tracing::warn!(%game_id, %error, "a game changed while it was hashed");
                self.unhashable.insert(game_id.clone());
                Self::look_again_later(game_id, handles);
            }
            Err(HashError::Io { path, source }) => {
                let message = format!("it cannot be read: {source}");
                self.unhashable.insert(game_id.clone());
                self.could_not_read(game_id, scanned, path.to_string(), message);
            }
            Err(error @ (HashError::Manifest(_) | HashError::Abandoned(_))) => {
                tracing::warn!(%game_id, %error, "a game could not be hashed");
                self.unhashable.insert(game_id);
            }
        }
        self.hash_next(operations, handles);
        if self.hashing.is_empty() {
            self.publish_hashed(operations, handles);
        } else if !self.unpublished.is_empty() && self.publish_at.is_none() {
            self.publish_at = Some(Instant::now() + HASHED_PUBLISH_PAUSE);
        }
    }

    fn take_over_hashes(
        &mut self,
        game_id: GameId,
        scanned: &LocalGame,
        hashed: Hashed,
        handles: &Handles,
    ) {
        let Some(local) = self.games.get(&game_id) else { return };
        if local.fingerprint != scanned.fingerprint || local.manifest != scanned.manifest {
            return;
        }
        let is_confirmed = local.manifest.as_deref() == Some(&hashed.manifest);
        // What was in doubt has been read a second time, long enough after the first.
        let doubtful = hashed.doubtful.difference(&scanned.doubtful).cloned().collect();
        let local = LocalGame {
            manifest: Some(Arc::new(hashed.manifest)),
            doubtful: Arc::<BTreeSet<_>>::new(doubtful),
            unread: None,
            old_content_roots: hashed.old_content_roots.into(),
            ..local.clone()
        };
        if !is_confirmed {
            Self::warn_of_other_content(&game_id, &local, handles);
        }
        self.take_over(&game_id, Some(local), handles);
        if is_confirmed {
            self.index_changed.send_replace(());
        } else {
            self.unpublished.insert(game_id);
        }
    }

    /// A file can be listed and not be read: then the game is not whole.
    fn could_not_read(
        &mut self,
        game_id: GameId,
        scanned: &LocalGame,
        path: String,
        message: String,
    ) {
        tracing::warn!(%game_id, path, message, "a game could not be hashed");
        let Some(local) = self.games.get_mut(&game_id) else { return };
        if local.fingerprint == scanned.fingerprint {
            let reason = ProblemReason::Unreadable;
            local.unread = Some(Arc::new(GameProblem { path, reason, message }));
            self.unpublished.insert(game_id);
        }
    }

    /// Somebody who read a game found it otherwise than it is known here.
    pub(in crate::runtime) fn on_contradiction(
        &mut self,
        contradiction: Contradiction,
        operations: &OperationTable,
        handles: &Handles,
    ) {
        let Contradiction { game_id, path } = contradiction;
        let Some(path) = path else {
            return self.look_at_games(BTreeSet::from([game_id]), operations, handles);
        };
        let Some(local) = self.games.get(&game_id) else { return };
        let is_known = local.manifest.as_ref().and_then(|manifest| manifest.file(&path));
        if !self.is_idle(&game_id, operations) || is_known.is_none_or(|file| file.hashes.is_none())
        {
            return;
        }
        tracing::warn!(%game_id, %path, "a file changed without a trace in its time; it is hashed anew");
        let local = local.without_hashes(&BTreeSet::from([path]));
        self.unhashable.remove(&game_id);
        self.take_over(&game_id, Some(local), handles);
        self.publish(vec![game_id], operations, handles);
    }

    fn publish_hashed(&mut self, operations: &OperationTable, handles: &Handles) {
        if !self.unpublished.is_empty() {
            self.publish(Vec::new(), operations, handles);
        }
    }

    /// Tells of content that a corrected catalog would accept.
    fn warn_of_other_content(game_id: &GameId, local: &LocalGame, handles: &Handles) {
        let stated = handles.catalog.get(game_id).and_then(|game| game.content_root);
        if let (Some(stated), Some(found), true) =
            (stated, local.content_root(), local.is_other_content(stated))
        {
            tracing::warn!(
                %game_id, %stated, %found,
                "the content on disk is not the catalog's; it is not announced"
            );
        }
    }
}
