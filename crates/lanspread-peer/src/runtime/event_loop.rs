//! The command loop: the one owner of the peer's state.

mod queries;

use std::net::SocketAddr;

use lanspread_download::DownloadNotice;
use lanspread_install::StreamedGame;
use lanspread_proto::PeerId;
use lanspread_transfer::progress::SourceBytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::handles::Handles;
use super::local_library::LocalLibrary;
use super::membership::Membership;
use super::operations::{Operations, StreamInstallation, Verify};
use super::shutdown::Shutdown;
use crate::command::PeerCommand;
use crate::error::RuntimeFailure;
use crate::event::PeerEvent;
use crate::messages::{CopyCheck, Fetch, InboxMessage};

/// All state of a peer that is not a file.
///
/// Each state changes through its own methods. A method takes `&mut` of a second state that it changes as
/// well, `&` of what it reads, and returns what the loop has to pass on.
pub(crate) struct EventLoop {
    pub(super) membership: Membership,
    pub(super) library: LocalLibrary,
    pub(super) operations: Operations,

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
            let sums_at = self.membership.refusals.next_due();
            let has_room = self.handles.events.has_room();
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                // Each command may lead to an event that is kept until it is taken.
                () = self.handles.events.room(), if !has_room => {}
                Some(command) = self.commands.recv(), if has_room && self.library.takes_commands() => {
                    let table = &self.operations.table;
                    if let Some(command) = self.library.hold(command, table, &self.handles) {
                        self.handle_command(command);
                    }
                }
                Some(message) = self.inbox.recv() => {
                    if let InboxMessage::ServiceDied(failure) = message {
                        let RuntimeFailure { service, message } = failure.clone();
                        self.handles.emit(PeerEvent::RuntimeFailed { service, message });
                        break Err(failure);
                    }
                    self.handle_message(message);
                }
                () = self.handles.sightings.wait() => self.membership.on_sightings(&self.handles),
                () = until(dial_at) => self.membership.dial_due(&self.handles),
                () = until(sums_at) => self.membership.tell_refusals(&self.handles),
                () = until(publish_at) => {
                    let table = &self.operations.table;
                    self.library.publish(Vec::new(), table, &self.handles);
                }
                () = until(find_at) => self.library.find_games_dir(&self.handles),
                () = until(patience_ends_at) => {
                    let table = &self.operations.table;
                    let ready = self.library.lose_patience(table, &self.handles);
                    self.handle_commands(ready);
                }
            }
        };
        self.commands.close();
        self.shutdown.finish(&self.membership.links, self.inbox, &self.handles.events).await;
        outcome
    }

    pub(super) fn handle_command(&mut self, command: PeerCommand) {
        let Self { membership, library, operations, handles, .. } = self;
        // An answer nobody waits for any more is dropped; the command is carried out all the same.
        match command {
            PeerCommand::Status { reply } => {
                drop(reply.send(Ok(self.handles.as_of(self.status()))));
            }
            PeerCommand::ListPeers { reply } => {
                let peers = membership.list_peers();
                drop(reply.send(Ok(handles.as_of(peers))));
            }
            PeerCommand::ListGames { scope, reply } => self.list_games(scope, reply),
            PeerCommand::GetGame { game_id, reply } => self.get_game(game_id, reply),
            PeerCommand::Connect { addr, reply } => membership.connect(addr, reply, handles),
            PeerCommand::SetGamesDir { path, reply } => {
                operations.set_game_dir(path, reply, library, handles)
            }
            PeerCommand::Download { game_id, content_root, install, wait, reply } => {
                let (is_update, copy) = (false, CopyCheck::Known);
                let fetch = Fetch { game_id, is_update, copy, content_root, install, wait, reply };
                operations.fetch(fetch, library, membership, handles);
            }
            PeerCommand::Update { game_id, content_root, install, wait, reply } => {
                let (is_update, copy) = (true, CopyCheck::Known);
                let fetch = Fetch { game_id, is_update, copy, content_root, install, wait, reply };
                operations.fetch(fetch, library, membership, handles);
            }
            PeerCommand::Cancel { game_id, reply } => {
                operations.cancel_download(game_id, reply, handles)
            }
            PeerCommand::Verify { game_id, repair, wait, reply } => {
                let verify = Verify { game_id, repair, wait, reply };
                operations.verify(verify, library, membership, handles);
            }
            PeerCommand::Install { game_id, wait, reply } => {
                operations.install(game_id, wait, reply, library, handles);
            }
            PeerCommand::StreamInstall { game_id, content_root, wait, reply } => {
                let stream = StreamInstallation { game_id, content_root, wait, reply };
                operations.stream_install(stream, library, membership, handles);
            }
            PeerCommand::Uninstall { game_id, wait, reply } => {
                operations.uninstall(game_id, wait, reply, library, handles);
            }
            PeerCommand::RunSetup { game_id, reply } => {
                operations.run_setup(game_id, reply, library, handles)
            }
            PeerCommand::Remove { game_id, wait, reply } => {
                operations.remove_download(game_id, wait, reply, library, handles);
            }
        }
    }

    /// Carries out commands that have waited.
    pub(super) fn handle_commands(&mut self, commands: Vec<PeerCommand>) {
        for command in commands {
            self.handle_command(command);
        }
    }

    pub(super) fn handle_message(&mut self, message: InboxMessage) {
        let Self { membership, library, operations, handles, .. } = self;
        match message {
            InboxMessage::HandshakeEnded(encounter) => {
                let changed = membership.on_handshake(encounter, handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::Contested(contest) => {
                let changed = membership.on_contest(*contest, handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::ClonesLookedFor => membership.is_looking_for_clones = false,
            InboxMessage::LinkDown { peer_id, link_id, is_conflict } => {
                membership.on_link_down(peer_id, link_id, is_conflict, handles);
            }
            InboxMessage::LinkNeeded { peer_id } => membership.on_link_needed(peer_id, handles),
            InboxMessage::Delta { peer_id, link_id, delta } => {
                let changed = membership.on_delta(peer_id, link_id, delta, handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::Library { peer_id, link_id, outcome } => {
                let changed = membership.on_library(peer_id, link_id, outcome, handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::LibraryBehind { peer_id, told_rev } => {
                membership.on_library_behind(peer_id, told_rev, handles);
            }
            InboxMessage::Goodbye { peer_id, link_id } => {
                let changed = membership.on_goodbye(peer_id, link_id, handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::Pinged { peer_id, link_id, is_answered } => {
                membership.on_ping(peer_id, link_id, is_answered, handles);
            }
            InboxMessage::JudgeSilence => {
                let changed = membership.judge_silence(handles);
                operations.refresh_sources(&changed, membership, handles);
            }
            InboxMessage::Mdns(told) => membership.on_mdns_status(told, handles),
            InboxMessage::Outbound(count) => {
                let (game_id, count) = (count.game_id, count.count);
                handles.emit(PeerEvent::OutboundTransferCountChanged { game_id, count });
            }
            InboxMessage::GamesDirScanned { outcome, reply } => {
                let ready = operations.on_games_dir_scanned(outcome, reply, library, handles);
                self.handle_commands(ready);
            }
            InboxMessage::FirstLookProgress { games_dir, outcome } => {
                let ready = library.on_looked_at(games_dir, outcome, &operations.table, handles);
                self.handle_commands(ready);
            }
            InboxMessage::GameLookedUp(looked_up) => self.answer_game(looked_up),
            InboxMessage::GamesLookedUp { scope, unfinished, reply } => {
                self.answer_games(scope, unfinished, reply);
            }
            InboxMessage::HashesWanted { game_id } => {
                library.on_hashes_wanted(game_id, &operations.table, handles)
            }
            InboxMessage::Settled { game_id } => {
                library.on_settled(game_id, &operations.table, handles)
            }
            InboxMessage::Contradicted(contradiction) => {
                library.on_contradiction(contradiction, &operations.table, handles)
            }
            InboxMessage::Hashed { game_id, scanned, outcome } => {
                library.on_hashed(game_id, &scanned, outcome, &operations.table, handles);
            }
            InboxMessage::DiskChanged(change) => {
                library.on_disk_change(change, &operations.table, handles)
            }
            InboxMessage::QuickScanned { games_dir, mount, outcome } => {
                library.on_quick_scanned(&games_dir, mount, outcome, &operations.table, handles);
            }
            InboxMessage::Rescanned { games_dir, game_ids, outcome } => {
                let ready =
                    library.on_rescanned(&games_dir, game_ids, outcome, &operations.table, handles);
                self.handle_commands(ready);
            }
            InboxMessage::UpdateLooked { fetch, local } => {
                operations.on_update_looked(fetch, local, library, membership, handles)
            }
            InboxMessage::VerifyProgress { game_id, bytes_done, bytes_total } => {
                let event = PeerEvent::VerifyProgress { game_id, bytes_done, bytes_total };
                handles.emit(event);
            }
            InboxMessage::VerifyEnded { game_id, outcome } => {
                operations.on_verify_ended(game_id, outcome, library, membership, handles);
            }
            InboxMessage::DownloadNotice { game_id, notice } => {
                if let DownloadNotice::Progress(progress) = &notice {
                    membership.note_deliveries(&progress.sources);
                }
                operations.on_download_notice(game_id, notice, handles);
            }
            InboxMessage::DownloadEnded { game_id, outcome, local } => {
                if let Ok(outcome) = &outcome {
                    membership.note_deliveries(&outcome.sources);
                }
                operations.on_download_ended(game_id, outcome, local, library, membership, handles);
            }
            InboxMessage::InstallProgress { game_id, bytes_done } => {
                handles.emit(PeerEvent::InstallProgress { game_id, bytes_done });
            }
            InboxMessage::InstallEnded { game_id, outcome, local } => {
                operations.on_install_ended(game_id, outcome, local, library, handles);
            }
            InboxMessage::StreamNotice { game_id, notice } => {
                operations.on_stream_notice(game_id, notice, handles)
            }
            InboxMessage::StreamVoted { game_id, count } => {
                handles.emit(PeerEvent::voted(game_id, count));
            }
            InboxMessage::StreamEnded { game_id, outcome, local } => {
                if let Ok(StreamedGame { peer_id, bytes, .. }) = &outcome {
                    membership.note_deliveries(&[SourceBytes { peer_id: *peer_id, bytes: *bytes }]);
                }
                operations.on_stream_ended(game_id, outcome, local, library, membership, handles);
            }
            InboxMessage::UninstallEnded { game_id, outcome, local } => {
                operations.on_uninstall_ended(game_id, outcome, local, library, handles);
            }
            InboxMessage::UnfinishedLooked { game_id, is_there, wait, reply } => {
                operations.on_unfinished_looked(game_id, is_there, wait, reply, library, handles);
            }
            InboxMessage::RemoveEnded { game_id, outcome, local } => {
                operations.on_remove_ended(game_id, outcome, local, library, handles);
            }
            InboxMessage::SetupStarted { game_id, outcome, reply } => {
                operations.on_setup_started(&game_id, outcome, reply);
            }
            InboxMessage::ServiceDied(failure) => {
                tracing::error!(%failure, "a service died while the peer was stopping");
            }
        }
    }
}

/// Waits for a moment, or for ever where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
