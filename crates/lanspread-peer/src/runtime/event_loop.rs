//! The command loop: the one owner of the peer's state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use lanspread_proto::{GameId, PeerId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::downloads::ActiveDownload;
use super::handles::Handles;
use super::installs::ActiveInstall;
use super::local_games::LocalLibrary;
use super::membership::Membership;
use super::shutdown::Shutdown;
use super::streams::ActiveStream;
use super::verifications::ActiveVerification;
use crate::command::PeerCommand;
use crate::error::{CommandError, RuntimeFailure};
use crate::event::PeerEvent;
use crate::messages::{CopyCheck, Fetch, InboxMessage};
use crate::operation::Operation;
use crate::operation::table::OperationTable;

/// All state of a peer that is not a file.
pub(crate) struct EventLoop {
    pub(super) membership: Membership,
    pub(super) library: LocalLibrary,
    pub(super) operations: OperationTable,
    pub(super) downloads: BTreeMap<GameId, ActiveDownload>,
    pub(super) installs: BTreeMap<GameId, ActiveInstall>,
    pub(super) streams: BTreeMap<GameId, ActiveStream>,
    pub(super) verifications: BTreeMap<GameId, ActiveVerification>,
    /// Games whose setup script is being started: no operation begins with them meanwhile.
    pub(super) starting_setup: BTreeSet<GameId>,
    /// Whether another games directory is about to be used: no operation begins then.
    pub(super) is_changing_dir: bool,

    pub(super) inbox: mpsc::Receiver<InboxMessage>,
    pub(super) commands: mpsc::Receiver<PeerCommand>,
    pub(super) handles: Handles,
    pub(super) shutdown: Shutdown,
}

impl EventLoop {
    pub(super) fn peer_id(&self) -> PeerId {
        self.handles.me.peer_id
    }

    pub(super) fn listen_addr(&self) -> SocketAddr {
        self.handles.listen_addr
    }

    /// Runs until shutdown, or until a required service dies.
    pub(super) async fn run(mut self) -> Result<(), RuntimeFailure> {
        self.library.begin_first_look(&self.handles);
        let shutdown = self.shutdown.requested();
        let outcome = loop {
            let dial_at = self.membership.dials.next_due();
            let (publish_at, find_at) = (self.library.publish_at, self.library.find_games_dir_at);
            let patience_ends_at = self.library.patience_ends_at();
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                Some(command) = self.commands.recv(), if self.library.takes_commands() => {
                    if let Some(command) = self.library.hold(command, &self.operations, &self.handles) {
                        self.handle_command(command).await;
                    }
                }
                Some(message) = self.inbox.recv() => {
                    if let InboxMessage::ServiceDied(failure) = message {
                        let RuntimeFailure { service, message } = failure.clone();
                        self.handles.emit(PeerEvent::RuntimeFailed { service, message }).await;
                        break Err(failure);
                    }
                    self.handle_message(message).await;
                }
                () = until(dial_at) => self.membership.dial_due(&self.handles),
                () = until(publish_at) => self.library.publish(Vec::new(), &self.operations, &self.handles).await,
                () = until(find_at) => self.library.find_games_dir(&self.handles),
                () = until(patience_ends_at) => {
                    let ready = self.library.lose_patience(&self.operations, &self.handles);
                    self.handle_commands(ready).await;
                }
            }
        };
        self.commands.close();
        self.shutdown.finish(&self.membership.links, self.inbox, &self.handles.events).await;
        outcome
    }

    pub(super) async fn handle_command(&mut self, command: PeerCommand) {
        // An answer nobody waits for any more is dropped; the command is carried out all the same.
        match command {
            PeerCommand::Status { reply } => {
                drop(reply.send(Ok(self.handles.as_of(self.status()))))
            }
            PeerCommand::ListPeers { reply } => {
                let peers = self.list_peers();
                drop(reply.send(Ok(self.handles.as_of(peers))));
            }
            PeerCommand::ListGames { scope, reply } => self.list_games(scope, reply),
            PeerCommand::GetGame { game_id, reply } => self.get_game(game_id, reply),
            PeerCommand::Connect { addr, reply } => {
                self.membership.connect(addr, reply, &self.handles)
            }
            PeerCommand::SetGameDir { path, reply } => self.set_game_dir(path, reply),
            PeerCommand::Download { game_id, install, wait, reply } => {
                let (is_update, copy) = (false, CopyCheck::Known);
                self.fetch(Fetch { game_id, is_update, copy, install, wait, reply }).await;
            }
            PeerCommand::Update { game_id, install, wait, reply } => {
                let (is_update, copy) = (true, CopyCheck::Known);
                self.fetch(Fetch { game_id, is_update, copy, install, wait, reply }).await;
            }
            PeerCommand::CancelDownload { game_id, reply } => self.cancel_download(game_id, reply),
            PeerCommand::Verify { game_id, repair, wait, reply } => {
                self.verify(game_id, repair, wait, reply).await;
            }
            PeerCommand::Install { game_id, wait, reply } => {
                self.install(game_id, wait, reply).await;
            }
            PeerCommand::StreamInstall { game_id, wait, reply } => {
                self.stream_install(game_id, wait, reply).await;
            }
            PeerCommand::Uninstall { game_id, wait, reply } => {
                self.uninstall(game_id, wait, reply).await;
            }
            PeerCommand::RunSetup { game_id, reply } => self.run_setup(game_id, reply),
            PeerCommand::RemoveDownload { game_id, wait, reply } => {
                self.remove_download(game_id, wait, reply).await;
            }
        }
    }

    /// Carries out commands that have waited.
    pub(super) async fn handle_commands(&mut self, commands: Vec<PeerCommand>) {
        for command in commands {
            self.handle_command(command).await;
        }
    }

    pub(super) async fn handle_message(&mut self, message: InboxMessage) {
        match message {
            InboxMessage::HandshakeEnded(encounter) => {
                let changed = self.membership.on_handshake(encounter, &self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::Contested(contest) => {
                let changed = self.membership.on_contest(*contest, &self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::ClonesLookedFor => self.membership.is_looking_for_clones = false,
            InboxMessage::LinkDown { peer_id, link_id, is_conflict } => {
                self.membership.on_link_down(peer_id, link_id, is_conflict, &self.handles).await;
            }
            InboxMessage::LinkNeeded { peer_id } => {
                self.membership.on_link_needed(peer_id, &self.handles)
            }
            InboxMessage::Delta { peer_id, link_id, delta } => {
                let changed =
                    self.membership.on_delta(peer_id, link_id, delta, &self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::Library { peer_id, link_id, outcome } => {
                let changed =
                    self.membership.on_library(peer_id, link_id, outcome, &self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::LibraryBehind { peer_id, told_rev } => {
                self.membership.on_library_behind(peer_id, told_rev, &self.handles);
            }
            InboxMessage::Goodbye { peer_id, link_id } => {
                let changed = self.membership.on_goodbye(peer_id, link_id, &self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::Pinged { peer_id, link_id, is_answered } => {
                self.membership.on_ping(peer_id, link_id, is_answered, &self.handles);
            }
            InboxMessage::JudgeSilence => {
                let changed = self.membership.judge_silence(&self.handles).await;
                self.refresh_sources(&changed);
            }
            InboxMessage::Discovered(event) => self.membership.on_discovery(event, &self.handles),
            InboxMessage::Mdns(told) => self.membership.on_mdns_status(told, &self.handles).await,
            InboxMessage::Outbound(count) => {
                let (game_id, count) = (count.game_id, count.count);
                self.handles.emit(PeerEvent::OutboundTransferCountChanged { game_id, count }).await;
            }
            InboxMessage::GamesDirScanned { outcome, reply } => {
                self.on_games_dir_scanned(outcome, reply).await;
            }
            InboxMessage::LookedAt { games_dir, outcome } => {
                let ready = self
                    .library
                    .on_looked_at(games_dir, outcome, &self.operations, &self.handles)
                    .await;
                self.handle_commands(ready).await;
            }
            InboxMessage::GameLookedUp(looked_up) => self.answer_game(looked_up),
            InboxMessage::GamesLookedUp { scope, unfinished, reply } => {
                self.answer_games(scope, unfinished, reply);
            }
            InboxMessage::HashesWanted { game_id } => {
                self.library.on_hashes_wanted(game_id, &self.operations, &self.handles)
            }
            InboxMessage::Settled { game_id } => {
                self.library.on_settled(game_id, &self.operations, &self.handles)
            }
            InboxMessage::Contradicted(contradiction) => {
                self.library.on_contradiction(contradiction, &self.operations, &self.handles).await
            }
            InboxMessage::Hashed { game_id, scanned, outcome } => {
                self.library
                    .on_hashed(game_id, &scanned, outcome, &self.operations, &self.handles)
                    .await;
            }
            InboxMessage::DiskChanged(change) => {
                self.library.on_disk_change(change, &self.operations, &self.handles)
            }
            InboxMessage::Surveyed { games_dir, mount, outcome } => {
                self.library
                    .on_surveyed(&games_dir, mount, outcome, &self.operations, &self.handles)
                    .await;
            }
            InboxMessage::Rescanned { games_dir, game_ids, outcome } => {
                let ready = self
                    .library
                    .on_rescanned(&games_dir, game_ids, outcome, &self.operations, &self.handles)
                    .await;
                self.handle_commands(ready).await;
            }
            InboxMessage::UpdateLooked { fetch, local } => {
                self.on_update_looked(fetch, local).await
            }
            InboxMessage::VerifyProgress { game_id, bytes_done, bytes_total } => {
                let event = PeerEvent::VerifyProgress { game_id, bytes_done, bytes_total };
                self.handles.emit(event).await;
            }
            InboxMessage::VerifyEnded { game_id, outcome } => {
                self.on_verify_ended(game_id, outcome).await;
            }
            InboxMessage::DownloadTold { game_id, notice } => {
                self.on_download_notice(game_id, notice).await;
            }
            InboxMessage::DownloadEnded { game_id, outcome, local } => {
                self.on_download_ended(game_id, outcome, local).await;
            }
            InboxMessage::InstallProgress { game_id, bytes_done } => {
                self.handles.emit(PeerEvent::InstallProgress { game_id, bytes_done }).await;
            }
            InboxMessage::InstallEnded { game_id, outcome, local } => {
                self.on_install_ended(game_id, outcome, local).await;
            }
            InboxMessage::StreamTold { game_id, notice } => {
                self.on_stream_notice(game_id, notice).await
            }
            InboxMessage::StreamEnded { game_id, outcome, local } => {
                self.on_stream_ended(game_id, outcome, local).await;
            }
            InboxMessage::UninstallEnded { game_id, outcome, local } => {
                self.on_uninstall_ended(game_id, outcome, local).await;
            }
            InboxMessage::UnfinishedLooked { game_id, is_there, wait, reply } => {
                self.on_unfinished_looked(game_id, is_there, wait, reply).await;
            }
            InboxMessage::RemoveEnded { game_id, outcome, local } => {
                self.on_remove_ended(game_id, outcome, local).await;
            }
            InboxMessage::SetupStarted { game_id, outcome, reply } => {
                self.on_setup_started(&game_id, outcome, reply);
            }
            InboxMessage::ServiceDied(failure) => {
                tracing::error!(%failure, "a service died while the peer was stopping");
            }
        }
    }

    /// Marks a game as worked on, unless it is already, or its directory is about to change.
    pub(super) fn begin(
        &mut self,
        game_id: &GameId,
        operation: Operation,
    ) -> Result<(), CommandError> {
        if self.is_changing_dir {
            return Err(CommandError::ChangingGamesDir);
        }
        if self.starting_setup.contains(game_id) {
            return Err(CommandError::SetupStarting(game_id.clone()));
        }
        let busy = |operation| CommandError::GameBusy { game_id: game_id.clone(), operation };
        self.operations.begin(game_id, operation).map_err(busy)
    }
}

/// Waits for a moment, or for ever where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
