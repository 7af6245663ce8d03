//! The command loop's part about streamed installations.

use std::collections::BTreeMap;
use std::sync::Arc;

use lanspread_install::error::{InstallFailure, StreamFailure};
use lanspread_install::{StreamJob, StreamNotice, StreamedGame};
use lanspread_library::LocalGame;
use lanspread_net::source::StreamOrigin;
use lanspread_proto::{ContentHash, GameId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Operations;
use super::guard::OperationGuard;
use super::installs::{is_installed, moved_away};
use super::stated::stated;
use super::stream_sources::{ChosenSources, StreamSources};
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::{PeerEvent, StreamProgress};
use crate::info::StreamSummary;
use crate::messages::InboxMessage;
use crate::operation::Operation;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::{LocalLibrary, look_at};
use crate::runtime::membership::Membership;

/// Most notices of a streamed installation that wait for the loop; it waits beyond that.
const NOTICES_MAX: usize = 64;

/// A `stream-install` command.
pub(in crate::runtime) struct StreamInstallation {
    pub(in crate::runtime) game_id: GameId,
    /// The one content that is wanted.
    pub(in crate::runtime) content_root: Option<ContentHash>,
    /// Whether to answer at the end.
    pub(in crate::runtime) wait: bool,
    pub(in crate::runtime) reply: Reply<StreamSummary>,
}

/// A streamed installation that is under way.
pub(crate) struct ActiveStream {
    cancel: CancellationToken,
    has_begun: bool,
    /// Answered when the first source has said what it will send.
    on_begin: Option<Reply<StreamSummary>>,
    /// Answered at the end.
    on_end: Option<Reply<StreamSummary>>,
    on_cancel: Vec<Reply<()>>,
}

impl Operations {
    pub(in crate::runtime) fn stream_install(
        &mut self,
        stream: StreamInstallation,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let begun = self.begin_stream(&stream, library, membership, handles);
        let StreamInstallation { game_id, wait, reply, .. } = stream;
        let sources = match begun {
            Ok(allowed) => allowed,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        // Shutdown cancels it as well: the transaction hears of it and rolls back.
        let cancel = handles.tasks.shutdown.child_token();
        let (on_begin, on_end) = if wait { (None, Some(reply)) } else { (Some(reply), None) };
        let active = ActiveStream {
            cancel: cancel.clone(),
            has_begun: false,
            on_begin,
            on_end,
            on_cancel: Vec::new(),
        };
        self.streams.insert(game_id.clone(), active);
        library.publish(vec![game_id.clone()], &self.table, handles);
        let job = StreamJob {
            game_id: game_id.clone(),
            version: sources.version.clone(),
            root: library.root_of(&game_id),
            state_dir: handles.state_dir.clone(),
            limiter: handles.download_limiter.clone(),
            free_space: handles.free_space.clone(),
            me: handles.me.peer_id,
            sources: Vec::new(),
        };
        self.run_stream(job, sources, cancel, library, handles);
    }

    /// Marks the game, unless it must not be installed in this way.
    fn begin_stream(
        &mut self,
        stream: &StreamInstallation,
        library: &LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) -> Result<StreamSources, CommandError> {
        let game_id = &stream.game_id;
        self.check_idle(game_id, handles)?;
        let unknown = || CommandError::UnknownGame(game_id.clone());
        let game = handles.catalog.get(game_id).cloned().ok_or_else(unknown)?;
        if library.is_downloaded(game_id, handles) {
            return Err(CommandError::AlreadyDownloaded(game_id.clone()));
        }
        let stated = stated(&game, stream.content_root)?;
        let sources: BTreeMap<_, _> = membership
            .source_ids(game_id, &handles.catalog)
            .into_iter()
            .map(|peer_id| (peer_id, Arc::new(membership.linked(peer_id))))
            .collect();
        if sources.is_empty() {
            return Err(CommandError::NoSource(game_id.clone()));
        }
        self.begin(game_id, Operation::StreamInstalling)?;
        Ok(StreamSources { game_id: game_id.clone(), version: game.version, stated, sources })
    }

    fn run_stream(
        &self,
        mut job: StreamJob,
        sources: StreamSources,
        cancel: CancellationToken,
        library: &LocalLibrary,
        handles: &Handles,
    ) {
        let (game_id, root) = (job.game_id.clone(), job.root.clone());
        let (notices, mut notice_receiver) = mpsc::channel(NOTICES_MAX);
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), library.games_dir.clone(), library.index.clone());
        let guard = OperationGuard::new(
            &game_id,
            |game_id, local| {
                let outcome = Err(StreamFailure::Install(InstallFailure::Interrupted));
                InboxMessage::StreamEnded { game_id, outcome, local }
            },
            library,
            handles,
        );
        // Not cut off at shutdown, so that it can roll back.
        handles.tasks.spawn_to_end(async move {
            let tell = async {
                while let Some(notice) = notice_receiver.recv().await {
                    let game_id = game_id.clone();
                    let _ = inbox_sender.send(InboxMessage::StreamNotice { game_id, notice }).await;
                }
            };
            let voted = inbox_sender.clone();
            let run = async {
                let chosen = cancel.run_until_cancelled(sources.choose()).await;
                let ChosenSources { sources, count } = chosen.ok_or(StreamFailure::Cancelled)??;
                if let Some(count) = count {
                    let game_id = job.game_id.clone();
                    let _ = voted.send(InboxMessage::StreamVoted { game_id, count }).await;
                }
                job.sources = sources.into_iter().map(|it| it as Arc<dyn StreamOrigin>).collect();
                lanspread_install::install_streamed(job, notices, cancel).await
            };
            let (outcome, ()) = tokio::join!(run, tell);
            let local = look_at(games_dir, game_id.clone(), index).await;
            let outcome = match is_installed(local.as_ref()) {
                true => outcome,
                false => outcome.and(Err(StreamFailure::Install(moved_away(root)))),
            };
            guard.done();
            let _ = inbox_sender.send(InboxMessage::StreamEnded { game_id, outcome, local }).await;
        });
    }

    pub(in crate::runtime) fn on_stream_notice(
        &mut self,
        game_id: GameId,
        notice: StreamNotice,
        handles: &Handles,
    ) {
        match notice {
            StreamNotice::Waiting { peer_id, position } => {
                handles.emit(PeerEvent::StreamInstallWaiting { game_id, peer_id, position });
            }
            StreamNotice::Began { peer_id, files, bytes } => {
                let Some(active) = self.streams.get_mut(&game_id) else { return };
                let is_first = !std::mem::replace(&mut active.has_begun, true);
                let on_begin = active.on_begin.take();
                if is_first {
                    let begin = PeerEvent::StreamInstallBegin { game_id, peer_id, files, bytes };
                    handles.emit(begin);
                }
                if let Some(reply) = on_begin {
                    let _ = reply.send(Ok(StreamSummary { peer_id, files, bytes }));
                }
            }
            StreamNotice::Progress { peer_id, bytes_done, bytes_total, bytes_per_second } => {
                let progress =
                    StreamProgress { game_id, peer_id, bytes_done, bytes_total, bytes_per_second };
                handles.emit(PeerEvent::StreamInstallProgress(progress));
            }
            StreamNotice::SourceDropped { peer_id, reason } => {
                handles.emit(PeerEvent::SourceDropped { game_id, peer_id, reason });
            }
        }
    }

    pub(in crate::runtime) fn on_stream_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<StreamedGame, StreamFailure>,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let Some(active) = self.streams.remove(&game_id) else { return };
        let outcome = outcome.map_err(|failure| match failure {
            StreamFailure::ContentDisputed(dispute) => {
                StreamFailure::ContentDisputed(membership.with_sizes(dispute, &handles.catalog))
            }
            other => other,
        });
        library.replace_local(&game_id, local, handles);
        library.unhashable.remove(&game_id);
        self.table.end(&game_id);
        library.publish(vec![game_id.clone()], &self.table, handles);
        let replies = active.on_begin.into_iter().chain(active.on_end);
        match outcome {
            Ok(StreamedGame { peer_id, files, bytes }) => {
                let game = game_id.clone();
                let finished =
                    PeerEvent::StreamInstallFinished { game_id: game, peer_id, files, bytes };
                handles.emit(finished);
                for reply in replies {
                    let _ = reply.send(Ok(StreamSummary { peer_id, files, bytes }));
                }
                // The game was installed before the cancellation came through.
                for reply in active.on_cancel {
                    let _ = reply.send(Err(CommandError::NotDownloading(game_id.clone())));
                }
            }
            Err(failure) => {
                let event = PeerEvent::StreamInstallFailed { game_id, failure: failure.clone() };
                handles.emit(event);
                for reply in replies {
                    let _ = reply.send(Err(CommandError::Stream(failure.clone())));
                }
                for reply in active.on_cancel {
                    let answer = match &failure {
                        StreamFailure::Cancelled => Ok(()),
                        failure => Err(CommandError::Stream(failure.clone())),
                    };
                    let _ = reply.send(answer);
                }
            }
        }
    }

    /// Cancels the streamed installation of a game; gives the reply back where there is none.
    pub(in crate::runtime) fn cancel_stream(
        &mut self,
        game_id: &GameId,
        reply: Reply<()>,
    ) -> Option<Reply<()>> {
        let Some(active) = self.streams.get_mut(game_id) else { return Some(reply) };
        active.on_cancel.push(reply);
        active.cancel.cancel();
        None
    }
}
