//! The command loop's part about questions: nothing here changes anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use lanspread_catalog::CatalogGame;
use lanspread_download::{all_unfinished, unfinished_bytes};
use lanspread_install::setup;
use lanspread_library::{GameProblem, LocalGame, ProblemReason};
use lanspread_net::links::LinkedSource;
use lanspread_proto::{GameId, Manifest};
use tokio::time::Instant;

use super::EventLoop;
use crate::command::{GameScope, Reply};
use crate::error::CommandError;
use crate::info::{AsOf, Availability, GameDetails, GameInfo, IdentityConflict, PeerStatus};
use crate::messages::{GameLookup, InboxMessage, ManifestClaim};
use crate::operation::Operation;
use crate::peers::db::RemoteGame;

impl EventLoop {
    pub(in crate::runtime) fn status(&self) -> PeerStatus {
        PeerStatus {
            peer_id: self.handles.me.peer_id,
            name: self.handles.me.name.clone(),
            listen_addr: self.handles.listen_addr,
            games_dir: self.library.games_dir.clone(),
            state_dir: self.handles.state_dir.clone(),
            library_rev: self.library.library_rev(),
            peer_count: self.membership.peers.len(),
            mdns: self.membership.mdns.clone(),
            identity_conflicts: self.identity_conflicts(),
            peers_of_other_version: self.membership.versions.all(Instant::now()),
            active_operations: self.operations.table.all(),
            outbound_transfers: self.handles.server.outbound.counts(),
        }
    }

    fn identity_conflicts(&self) -> Vec<IdentityConflict> {
        let conflict = |(peer_id, addrs)| IdentityConflict {
            peer_id,
            is_own: peer_id == self.handles.me.peer_id,
            addrs,
        };
        self.membership.conflicts.all(Instant::now()).map(conflict).collect()
    }

    /// Looks up beside the loop what unfinished downloads take, and has the games listed then.
    pub(in crate::runtime) fn list_games(
        &self,
        scope: GameScope,
        reply: Reply<AsOf<Vec<GameInfo>>>,
    ) {
        let (games_dir, state_dir) =
            (self.library.games_dir.clone(), self.handles.state_dir.clone());
        let inbox_sender = self.handles.inbox_sender.clone();
        self.handles.spawn(async move {
            let look = move || all_unfinished(&games_dir, &state_dir);
            // A look that panicked found nothing.
            let unfinished = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            // A peer that stops answers nothing.
            let _ =
                inbox_sender.send(InboxMessage::GamesLookedUp { scope, unfinished, reply }).await;
        });
    }

    /// Answers which games are known after the look, which may have taken a while.
    pub(in crate::runtime) fn answer_games(
        &self,
        scope: GameScope,
        mut unfinished: BTreeMap<GameId, u64>,
        reply: Reply<AsOf<Vec<GameInfo>>>,
    ) {
        let remote = self.membership.peers.remote_games(&self.handles.catalog);
        let games = self.handles.catalog.iter().filter_map(|game| {
            let mut info = self.game_info(game, remote.get(&game.id).copied());
            info.partial_bytes = unfinished.remove(&game.id).filter(|_| info.may_be_partial());
            let is_local = || self.is_local(&game.id) || info.partial_bytes.is_some();
            let is_remote = || remote.contains_key(&game.id);
            let is_wanted = match scope {
                GameScope::All => is_local() || is_remote(),
                GameScope::Local => is_local(),
                GameScope::Remote => is_remote(),
            };
            is_wanted.then_some(info)
        });
        let games = games.collect();
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Ok(self.handles.as_of(games)));
    }

    /// Looks up beside the loop what it does not know of a game, and has it answered then. Where the
    /// game is not downloaded here, a source is asked for its manifest.
    pub(in crate::runtime) fn get_game(&self, game_id: GameId, reply: Reply<AsOf<GameDetails>>) {
        let Some(game) = self.handles.catalog.get(&game_id) else {
            let _ = reply.send(Err(CommandError::UnknownGame(game_id)));
            return;
        };
        let sources = self.membership.peers.sources(&self.handles.catalog, &game_id);
        let expected_version = game.version.clone();
        let is_known =
            self.library.games.get(&game_id).is_some_and(|local| local.manifest.is_some());
        let (links, games_dir, state_dir) = (
            self.membership.links.clone(),
            self.library.games_dir.clone(),
            self.handles.state_dir.clone(),
        );
        let (inbox_sender, told) =
            (self.handles.inbox_sender.clone(), self.handles.manifest_cache.clone());
        self.handles.spawn(async move {
            let mut what = None;
            for source in &sources {
                if is_known || what.is_some() {
                    break;
                }
                let asked = LinkedSource::new(source.peer_id, Some(source.addr), links.clone());
                what = told.manifest(source, &asked, &game_id, &expected_version).await;
            }
            let id = game_id.clone();
            let look = move || {
                let unfinished = unfinished_bytes(&games_dir, &state_dir, &id);
                (setup::is_done(&state_dir, &id), unfinished)
            };
            // A look that panicked found nothing.
            let (setup_done, unfinished) =
                tokio::task::spawn_blocking(look).await.unwrap_or_default();
            let looked_up = GameLookup { game_id, told: what, setup_done, unfinished, reply };
            // A peer that stops answers nothing.
            let _ = inbox_sender.send(InboxMessage::GameLookedUp(looked_up)).await;
        });
    }

    /// Answers what is known of a game after the look, which may have taken a while.
    pub(in crate::runtime) fn answer_game(&self, looked_up: GameLookup) {
        let GameLookup { game_id, told, setup_done, unfinished, reply } = looked_up;
        let Some(game) = self.handles.catalog.get(&game_id) else {
            let _ = reply.send(Err(CommandError::UnknownGame(game_id)));
            return;
        };
        let remote = self.membership.peers.remote_game(&self.handles.catalog, &game_id);
        let mut info = self.game_info(game, remote);
        info.partial_bytes = unfinished.filter(|_| info.may_be_partial());
        let local = self.library.games.get(&game_id).and_then(|local| {
            let attributes = Some(Arc::clone(local.attributes.attributes()));
            Some(ManifestClaim { manifest: local.manifest.clone()?, attributes })
        });
        let told = local.or(told);
        let details = GameDetails {
            sources: self.membership.peers.sources(&self.handles.catalog, &game_id),
            setup_done: info.installed && setup_done,
            attributes: told.as_ref().and_then(|told| told.attributes.clone()),
            manifest: told.map(|told| told.manifest),
            game: info,
        };
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Ok(self.handles.as_of(details)));
    }

    /// Whether anything of a game is on this disk, or is being fetched to it.
    fn is_local(&self, game_id: &GameId) -> bool {
        self.library.games.contains_key(game_id)
            || self.operations.table.get(game_id).is_some()
            || self.known_unseen(game_id).is_some()
    }

    /// What the index knows of a game that was not looked at since the start.
    fn known_unseen(&self, game_id: &GameId) -> Option<Arc<Manifest>> {
        let is_unseen = !self.library.is_looked_at(game_id);
        is_unseen
            .then(|| self.library.index.known(&self.library.games_dir, game_id))
            .flatten()
            .map(|it| it.manifest)
    }

    fn game_info(&self, game: &CatalogGame, remote: Option<RemoteGame>) -> GameInfo {
        let local = self.library.games.get(&game.id);
        let operation = self.operations.table.get(&game.id);
        let unseen = self.known_unseen(&game.id);
        let version = local.and_then(|local| local.version.clone());
        let version = version.or_else(|| unseen.as_ref().map(|known| known.version().clone()));
        let installed = local.is_some_and(|local| local.installed);
        let manifest = local.and_then(|local| local.manifest.as_ref()).or(unseen.as_ref());
        let local_size = manifest.map(|manifest| manifest.total_size());
        let mut problems = local.map(LocalGame::all_problems).unwrap_or_default();
        let remote_size = remote.map(|remote| remote.size);
        let availability = match operation {
            Some(Operation::Downloading | Operation::Updating) => Some(Availability::Downloading),
            _ if self.handles.server.library.borrow().game(&game.id).is_some() => {
                Some(Availability::Ready)
            }
            _ if !problems.is_empty() => Some(Availability::Incomplete),
            _ if version.is_some() || installed => Some(Availability::LocalOnly),
            _ => None,
        };
        if let Some(problem) = local.and_then(|local| other_content(game, local)) {
            problems.add(problem);
        }
        if local.is_some_and(|local| local.leaves_out_directories) {
            problems.add(too_many_directories());
        }
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
            partial_bytes: None,
            problems,
        }
    }
}

/// What is to be told of a game whose content is not the one that the catalog states.
fn other_content(game: &CatalogGame, local: &LocalGame) -> Option<GameProblem> {
    let found = local.content_root()?;
    local.is_other_content(game.content_root).then(|| GameProblem {
        path: String::new(),
        reason: ProblemReason::Content,
        message: format!(
            "its content is not the one that the catalog states; to accept it, state {found}"
        ),
    })
}

/// What is to be told of a game that is whole but for some of its empty directories.
fn too_many_directories() -> GameProblem {
    GameProblem {
        path: String::new(),
        reason: ProblemReason::TooManyDirectories,
        message: "it has more empty directories than are shared; the last ones are left out"
            .to_owned(),
    }
}
