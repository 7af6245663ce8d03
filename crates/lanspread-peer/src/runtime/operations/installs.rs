//! The command loop's part about installing and uninstalling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_disk::{IoFailure, reserve};
use lanspread_install::error::InstallFailure;
use lanspread_install::{InstallJob, InstallSummary};
use lanspread_library::LocalGame;
use lanspread_proto::GameId;
use lanspread_proto::reserved::LOCAL_DIR;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::guard::OperationGuard;
use super::{MOVED_AWAY, Operations};
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::PeerEvent;
use crate::info::DownloadSummary;
use crate::messages::{InboxMessage, InboxSender};
use crate::operation::Operation;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::{LocalLibrary, look_at};

/// Pause between two progress reports: at most ten a second.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// An installation, uninstallation or removal that is under way.
pub(crate) struct ActiveInstall {
    pub(in crate::runtime) on_end: InstallReply,
    /// Ends it. Only an installation has one: what is being deleted is better gone.
    cancel: Option<CancellationToken>,
    on_cancel: Vec<Reply<()>>,
}

impl ActiveInstall {
    /// One that is not cancelled.
    pub(in crate::runtime) fn new(on_end: InstallReply) -> Self {
        Self { on_end, cancel: None, on_cancel: Vec::new() }
    }
}

/// Who waits for the end of an installation.
pub(crate) enum InstallReply {
    /// Nobody.
    None,
    /// An `install`, `uninstall` or `remove-download` command.
    Install(Reply<()>),
    /// A `download` command, if it waits, with its answer.
    Download(Option<(Reply<DownloadSummary>, DownloadSummary)>),
}

impl InstallReply {
    /// For a command whose operation has begun: one that does not wait is answered now.
    pub(in crate::runtime) fn of_command(wait: bool, reply: Reply<()>) -> Self {
        if wait {
            return Self::Install(reply);
        }
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Ok(()));
        Self::None
    }

    /// For a command that was allowed or refused. Returns `None` when it was refused, which is the answer.
    pub(in crate::runtime) fn unless_refused(
        allowed: Result<(), CommandError>,
        wait: bool,
        reply: Reply<()>,
    ) -> Option<Self> {
        match allowed {
            Ok(()) => Some(Self::of_command(wait, reply)),
            Err(error) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    pub(in crate::runtime) fn send(self, outcome: Result<(), CommandError>) {
        match self {
            Self::None | Self::Download(None) => {}
            Self::Install(reply) => drop(reply.send(outcome)),
            Self::Download(Some((reply, summary))) => {
                drop(reply.send(outcome.map(|()| summary)));
            }
        }
    }
}

impl Operations {
    pub(in crate::runtime) fn install(
        &mut self,
        game_id: GameId,
        wait: bool,
        reply: Reply<()>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let allowed = self.check_idle(&game_id, handles).and_then(|()| {
            let is_installed = library.games.get(&game_id).is_some_and(|local| local.installed);
            if is_installed {
                Err(CommandError::AlreadyInstalled(game_id.clone()))
            } else if library.is_downloaded(&game_id, handles) {
                self.begin(&game_id, Operation::Installing)
            } else {
                Err(CommandError::NotDownloaded(game_id.clone()))
            }
        });
        let Some(on_end) = InstallReply::unless_refused(allowed, wait, reply) else { return };
        self.run_install(game_id, on_end, library, handles);
    }

    /// Starts an installation of an idle game that is downloaded. An old `local/` is replaced whole.
    pub(in crate::runtime) fn start_install(
        &mut self,
        game_id: GameId,
        on_end: InstallReply,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        if let Err(error) = self.begin(&game_id, Operation::Installing) {
            on_end.send(Err(error));
            return;
        }
        self.run_install(game_id, on_end, library, handles);
    }

    /// Runs an installation that has begun.
    fn run_install(
        &mut self,
        game_id: GameId,
        on_end: InstallReply,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        // Shutdown cancels it as well.
        let cancel = handles.tasks.shutdown.child_token();
        let active = ActiveInstall { cancel: Some(cancel.clone()), ..ActiveInstall::new(on_end) };
        self.installs.insert(game_id.clone(), active);
        library.publish(vec![game_id.clone()], &self.table, handles);
        handles.emit(PeerEvent::InstallBegin { game_id: game_id.clone() });
        let (progress, progress_receiver) = watch::channel(0);
        let (root, state_dir) = (library.root_of(&game_id), handles.state_dir.clone());
        let unpacker = Arc::clone(&handles.unpacker);
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), library.games_dir.clone(), library.index.clone());
        let guard = OperationGuard::new(
            &game_id,
            |game_id, local| {
                let outcome = Err(InstallFailure::Interrupted);
                InboxMessage::InstallEnded { game_id, outcome, local }
            },
            library,
            handles,
        );
        // Not cut off at shutdown: the transaction hears of the cancellation and rolls back.
        handles.tasks.spawn_to_end(async move {
            let (id, place) = (game_id.clone(), root.clone());
            let work = move || {
                let mut progress = |bytes_done| {
                    progress.send_replace(bytes_done);
                };
                let mut job = InstallJob {
                    root: &root,
                    state_dir: &state_dir,
                    game_id: &id,
                    unpacker: &*unpacker,
                    cancel: &|| cancel.is_cancelled(),
                    progress: &mut progress,
                };
                let installed =
                    catch_unwind(AssertUnwindSafe(|| lanspread_install::install(&mut job)));
                installed
                    .unwrap_or_else(|_| Err(lanspread_install::panicked(&root, &state_dir, &id)))
            };
            let mut run = tokio::task::spawn_blocking(work);
            let tell = tell_progress(progress_receiver, game_id.clone(), inbox_sender.clone());
            let outcome = tokio::select! {
                outcome = &mut run => outcome,
                () = tell => run.await,
            };
            let outcome = outcome.unwrap_or(Err(InstallFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            let outcome = match is_installed(local.as_ref()) {
                true => outcome,
                false => outcome.and(Err(moved_away(place))),
            };
            guard.done();
            let _ = inbox_sender.send(InboxMessage::InstallEnded { game_id, outcome, local }).await;
        });
    }

    pub(in crate::runtime) fn on_install_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<InstallSummary, InstallFailure>,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let on_cancel = self
            .installs
            .get_mut(&game_id)
            .map(|active| std::mem::take(&mut active.on_cancel))
            .unwrap_or_default();
        let on_end = self.end_install(&game_id, local, library, handles);
        let failure = match outcome {
            Ok(InstallSummary { files, bytes }) => {
                let game = game_id.clone();
                handles.emit(PeerEvent::InstallFinished { game_id: game, files, bytes });
                on_end.send(Ok(()));
                // The game was installed before the cancellation came through.
                for reply in on_cancel {
                    let _ = reply.send(Err(CommandError::NotDownloading(game_id.clone())));
                }
                return;
            }
            Err(InstallFailure::Interrupted) if !on_cancel.is_empty() => InstallFailure::Cancelled,
            Err(failure) => failure,
        };
        handles.emit(PeerEvent::InstallFailed { game_id, failure: failure.clone() });
        on_end.send(Err(CommandError::Install(failure.clone())));
        for reply in on_cancel {
            let answer = match &failure {
                InstallFailure::Cancelled => Ok(()),
                failure => Err(CommandError::Install(failure.clone())),
            };
            let _ = reply.send(answer);
        }
    }

    /// Cancels the installation of a game from its archives; gives the reply back where there is none.
    pub(in crate::runtime) fn cancel_install(
        &mut self,
        game_id: &GameId,
        reply: Reply<()>,
    ) -> Option<Reply<()>> {
        let active = self.installs.get_mut(game_id);
        let Some((active, cancel)) =
            active.and_then(|active| active.cancel.clone().map(|cancel| (active, cancel)))
        else {
            return Some(reply);
        };
        active.on_cancel.push(reply);
        cancel.cancel();
        None
    }

    pub(in crate::runtime) fn uninstall(
        &mut self,
        game_id: GameId,
        wait: bool,
        reply: Reply<()>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let allowed = self.check_idle(&game_id, handles).and_then(|()| {
            if !library.games.get(&game_id).is_some_and(|local| local.installed) {
                return Err(CommandError::NotInstalled(game_id.clone()));
            }
            self.begin(&game_id, Operation::Uninstalling)
        });
        let Some(on_end) = InstallReply::unless_refused(allowed, wait, reply) else { return };
        self.installs.insert(game_id.clone(), ActiveInstall::new(on_end));
        library.publish(vec![game_id.clone()], &self.table, handles);
        handles.emit(PeerEvent::UninstallBegin { game_id: game_id.clone() });
        let (root, state_dir) = (library.root_of(&game_id), handles.state_dir.clone());
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), library.games_dir.clone(), library.index.clone());
        let outbound = handles.server.outbound.clone();
        let guard = OperationGuard::new(
            &game_id,
            |game_id, local| {
                let outcome = Err(InstallFailure::Interrupted);
                InboxMessage::UninstallEnded { game_id, outcome, local }
            },
            library,
            handles,
        );
        handles.tasks.spawn_to_end(async move {
            outbound.drain(&game_id).await;
            let id = game_id.clone();
            let work = move || {
                let removed = lanspread_install::uninstall(&root, &state_dir, &id);
                reserve::keep(&state_dir);
                removed
            };
            let outcome = tokio::task::spawn_blocking(work).await;
            let outcome = outcome.unwrap_or(Err(InstallFailure::Interrupted));
            let local = look_at(games_dir, game_id.clone(), index).await;
            guard.done();
            let _ =
                inbox_sender.send(InboxMessage::UninstallEnded { game_id, outcome, local }).await;
        });
    }

    pub(in crate::runtime) fn on_uninstall_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<(), InstallFailure>,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let on_end = self.end_install(&game_id, local, library, handles);
        match outcome {
            Ok(()) => {
                handles.emit(PeerEvent::UninstallFinished { game_id });
                on_end.send(Ok(()));
            }
            Err(failure) => {
                let event = PeerEvent::UninstallFailed { game_id, failure: failure.clone() };
                handles.emit(event);
                on_end.send(Err(CommandError::Install(failure)));
            }
        }
    }

    pub(in crate::runtime) fn end_install(
        &mut self,
        game_id: &GameId,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) -> InstallReply {
        library.replace_local(game_id, local, handles);
        library.unhashable.remove(game_id);
        self.table.end(game_id);
        library.publish(vec![game_id.clone()], &self.table, handles);
        self.installs.remove(game_id).map_or(InstallReply::None, |active| active.on_end)
    }
}

/// Passes on how far an installation is, until it ends.
async fn tell_progress(
    mut progress: watch::Receiver<u64>,
    game_id: GameId,
    inbox_sender: InboxSender,
) {
    while progress.changed().await.is_ok() {
        let bytes_done = *progress.borrow_and_update();
        let message = InboxMessage::InstallProgress { game_id: game_id.clone(), bytes_done };
        if inbox_sender.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

/// Whether there is an installation.
pub(in crate::runtime) fn is_installed(local: Option<&LocalGame>) -> bool {
    local.is_some_and(|local| local.installed)
}

/// Why an installation into `root` failed that was done.
pub(in crate::runtime) fn moved_away(root: PathBuf) -> InstallFailure {
    InstallFailure::Io(IoFailure::refused("find", root.join(LOCAL_DIR), MOVED_AWAY))
}
