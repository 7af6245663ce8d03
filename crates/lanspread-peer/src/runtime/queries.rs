//! The command loop's part about questions: nothing here changes anything.

use lanspread_catalog::CatalogGame;
use lanspread_proto::GameId;
use tokio::time::Instant;

use super::core::Core;
use crate::command::{
    GameDetails, GameInfo, GameScope, IdentityConflict, PeerInfo, PeerStatus, Reply,
};
use crate::download::{GameAnswer, Source};
use crate::error::CommandError;
use crate::event::{Availability, Operation};
use crate::net::links::LinkedSource;
use crate::peers::db::RemoteGame;
use crate::setup;
use lanspread_proto::message::GetGame;
use std::sync::Arc;

impl Core {
    pub(super) fn status(&self) -> PeerStatus {
        PeerStatus {
            peer_id: self.me.peer_id,
            name: self.me.name.clone(),
            listen_addr: self.listen_addr,
            games_dir: self.games_dir.clone(),
            state_dir: self.state_dir.clone(),
            library_rev: self.library_rev(),
            peer_count: self.peers.len(),
            mdns: self.mdns.clone(),
            identity_conflicts: self.identity_conflicts(),
            peers_of_other_version: self.versions.summary(Instant::now()),
            active_operations: self.operations.all(),
            outbound_transfers: self.server.outbound.counts(),
        }
    }

    fn identity_conflicts(&self) -> Vec<IdentityConflict> {
        let conflict = |(peer_id, addrs)| IdentityConflict {
            peer_id,
            is_own: peer_id == self.me.peer_id,
            addrs,
        };
        self.conflicts.all(Instant::now()).map(conflict).collect()
    }

    pub(super) fn list_peers(&mut self) -> Vec<PeerInfo> {
        let now = Instant::now();
        let peer_ids: Vec<_> = self.peers.iter().map(|(peer_id, _)| peer_id).collect();
        for peer_id in &peer_ids {
            self.note_heard(*peer_id);
        }
        peer_ids.into_iter().filter_map(|peer_id| self.peers.info(peer_id, now)).collect()
    }

    pub(super) fn list_games(&self, scope: GameScope) -> Vec<GameInfo> {
        let remote = self.peers.remote_games(&self.catalog);
        self.catalog
            .iter()
            .filter(|game| {
                let is_local = || self.is_local(&game.id);
                let is_remote = || remote.contains_key(&game.id);
                match scope {
                    GameScope::All => is_local() || is_remote(),
                    GameScope::Local => is_local(),
                    GameScope::Remote => is_remote(),
                }
            })
            .map(|game| self.game_info(game, remote.get(&game.id).copied()))
            .collect()
    }

    /// Answers what is known of a game, beside the loop. Where it is not downloaded here, a source is
    /// asked for its manifest.
    pub(super) fn get_game(&self, game_id: GameId, reply: Reply<GameDetails>) {
        let Some(game) = self.catalog.get(&game_id) else {
            let _ = reply.send(Err(CommandError::UnknownGame(game_id)));
            return;
        };
        let sources = self.peers.sources(&self.catalog, &game_id);
        let info =
            self.game_info(game, self.peers.remote_games(&self.catalog).get(&game_id).copied());
        let mut manifest = self.local.get(&game_id).and_then(|local| local.manifest.clone());
        let (links, state_dir) = (self.links.clone(), self.state_dir.clone());
        self.spawn(async move {
            let (is_installed, id) = (info.installed, game_id.clone());
            let look = move || is_installed && setup::is_done(&state_dir, &id);
            // A look that panicked found nothing.
            let setup_done = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            for source in &sources {
                if manifest.is_some() {
                    break;
                }
                let request =
                    GetGame { game_id: game_id.clone(), known_manifest: None, await_hashes: false };
                let asked = LinkedSource::new(source.peer_id, links.clone());
                if let Ok(GameAnswer::Manifest(answer)) = asked.get_game(request).await
                    && *answer.version() == info.expected_version
                {
                    manifest = Some(Arc::new(answer));
                }
            }
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Ok(GameDetails { game: info, sources, setup_done, manifest }));
        });
    }

    /// Whether anything of a game is on this disk, or is being fetched to it.
    fn is_local(&self, game_id: &GameId) -> bool {
        self.local.get(game_id).is_some_and(|game| game.version.is_some() || game.installed)
            || self.operations.get(game_id).is_some()
    }

    fn game_info(&self, game: &CatalogGame, remote: Option<RemoteGame>) -> GameInfo {
        let local = self.local.get(&game.id);
        let operation = self.operations.get(&game.id);
        let version = local.and_then(|local| local.version.clone());
        let installed = local.is_some_and(|local| local.installed);
        let local_size =
            local.and_then(|local| local.manifest.as_ref()).map(|manifest| manifest.total_size());
        let remote_size = remote.map(|remote| remote.size);
        let availability = match operation {
            Some(Operation::Downloading | Operation::Updating) => Some(Availability::Downloading),
            None if self.server.view.borrow().game(&game.id).is_some() => Some(Availability::Ready),
            _ if version.is_some() || installed => Some(Availability::LocalOnly),
            _ => None,
        };
        GameInfo {
            id: game.id.clone(),
            title: game.title.clone(),
            downloaded: version.is_some(),
            version,
            expected_version: game.version.clone(),
            size: local_size.or(remote_size).or(game.size).unwrap_or(0),
            installed,
            availability,
            peer_count: remote.map_or(0, |remote| remote.peer_count),
            operation,
        }
    }
}
