//! The command loop's part about downloads: who may begin one, what it is fed, how it ends.
//!
//! An update is a download that may also begin where the game is on this disk.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use lanspread_catalog::CatalogGame;
use lanspread_disk::IoFailure;
use lanspread_download::error::DownloadFailure;
use lanspread_download::{
    self, CommittedBits, DownloadEnd, DownloadJob, DownloadNotice, DownloadOutcome, SourceChange,
    SwarmContext,
};
use lanspread_library::{Index, KnownContent, LocalGame};
use lanspread_net::links::LinkedSource;
use lanspread_net::source::Source;
use lanspread_proto::{ContentHash, GameId, PeerId};
use lanspread_transfer::consensus::Stated;
use lanspread_transfer::scheduler::Order;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::guard::OperationGuard;
use super::installs::InstallReply;
use super::stated::stated;
use super::{MOVED_AWAY, Operations};
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::PeerEvent;
use crate::info::DownloadSummary;
use crate::messages::{CopyCheck, Fetch, InboxMessage};
use crate::operation::Operation;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::{LocalLibrary, look_at, look_at_known};
use crate::runtime::membership::{Membership, SourcesChanged};

/// Most notices of a download that wait for the loop; the download waits beyond that.
const NOTICES_MAX: usize = 64;

/// A download that is under way.
pub(crate) struct ActiveDownload {
    cancel: CancellationToken,
    changes: mpsc::UnboundedSender<SourceChange>,
    sources: BTreeSet<PeerId>,
    install: bool,
    is_update: bool,
    summary: Option<DownloadSummary>,
    /// Answered when the download has begun.
    on_begin: Option<Reply<DownloadSummary>>,
    /// Answered when it has ended, or the installation after it.
    on_end: Option<Reply<DownloadSummary>>,
    on_cancel: Vec<Reply<()>>,
}

impl Operations {
    pub(in crate::runtime) fn fetch(
        &mut self,
        fetch: Fetch,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let begun = self.begin_fetch(&fetch, library, membership, handles);
        if matches!(begun, Err(CommandError::UpToDate(_))) && fetch.copy == CopyCheck::Known {
            return self.look_before_update(fetch, library, handles);
        }
        let Fetch { game_id, is_update, copy, install, wait, reply, .. } = fetch;
        let (game, stated, sources) = match begun {
            Ok(allowed) => allowed,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let job = DownloadJob {
            game_id: game_id.clone(),
            version: game.version,
            root: library.root_of(&game_id),
            journal: lanspread_download::journal_path(&handles.state_dir, &game_id),
            stated,
            limiter: handles.download_limiter.clone(),
            free_space: handles.free_space.clone(),
            order: Order::Of(handles.me.peer_id),
            initial: sources.iter().map(|peer_id| membership.source(*peer_id)).collect(),
            stop: handles.tasks.shutdown.clone(),
            keeps_on_cancel: copy == CopyCheck::IsWrong,
        };
        let (changes, change_receiver) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let (on_begin, on_end) = if wait { (None, Some(reply)) } else { (Some(reply), None) };
        let active = ActiveDownload {
            cancel: cancel.clone(),
            changes,
            sources,
            install: install.unwrap_or(handles.auto_install),
            is_update,
            summary: None,
            on_begin,
            on_end,
            on_cancel: Vec::new(),
        };
        self.downloads.insert(game_id.clone(), active);
        library.publish(vec![game_id.clone()], &self.table, handles);
        self.run_download(job, change_receiver, cancel, library, membership, handles);
    }

    /// Looks whether a copy that seems to be up to date still is what the library says.
    fn look_before_update(&self, fetch: Fetch, library: &LocalLibrary, handles: &Handles) {
        let (inbox_sender, index) = (handles.inbox_sender.clone(), library.index.clone());
        let (games_dir, game_id) = (library.games_dir.clone(), fetch.game_id.clone());
        handles.spawn(async move {
            let local = look_at(games_dir, game_id, index).await;
            let _ = inbox_sender.send(InboxMessage::UpdateLooked { fetch, local }).await;
        });
    }

    pub(in crate::runtime) fn on_update_looked(
        &mut self,
        fetch: Fetch,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let game_id = &fetch.game_id;
        // Of an active game, its operation tells.
        if self.table.get(game_id).is_none() && !self.is_changing_dir {
            library.take_over_found(
                vec![game_id.clone()],
                local.map(|local| (game_id.clone(), local)),
                &self.table,
                handles,
            );
        }
        self.fetch(Fetch { copy: CopyCheck::Looked, ..fetch }, library, membership, handles);
    }

    /// Marks the game, unless it must not be fetched.
    fn begin_fetch(
        &mut self,
        fetch: &Fetch,
        library: &LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) -> Result<(CatalogGame, Option<Stated>, BTreeSet<PeerId>), CommandError> {
        let Fetch { game_id, is_update, copy, content_root, .. } = fetch;
        let (is_update, copy) = (*is_update, *copy);
        let unknown = || CommandError::UnknownGame(game_id.clone());
        let game = handles.catalog.get(game_id).cloned().ok_or_else(unknown)?;
        if let Some(operation) = self.table.get(game_id) {
            return Err(CommandError::GameBusy { game_id: game_id.clone(), operation });
        }
        let stated = stated(&game, *content_root)?;
        if !is_update && library.is_downloaded(game_id, handles) {
            return Err(CommandError::AlreadyDownloaded(game_id.clone()));
        }
        let sources = membership.source_ids(game_id, &handles.catalog);
        if is_update
            && copy != CopyCheck::IsWrong
            && self.is_up_to_date(game_id, *content_root, membership, handles)
        {
            return Err(CommandError::UpToDate(game_id.clone()));
        }
        if sources.is_empty() {
            return Err(CommandError::NoSource(game_id.clone()));
        }
        let operation = if is_update { Operation::Updating } else { Operation::Downloading };
        self.begin(game_id, operation)?;
        Ok((game, stated, sources))
    }

    /// Whether the game is ready here, and has the content that was chosen or that the catalog states
    /// or, where neither is, no source announces another content of it than this peer has read.
    fn is_up_to_date(
        &self,
        game_id: &GameId,
        choice: Option<ContentHash>,
        membership: &Membership,
        handles: &Handles,
    ) -> bool {
        let Some(ready) = handles.server.library.borrow().game(game_id).cloned() else {
            return false;
        };
        if choice.is_some() && ready.manifest.content_root() != choice {
            return false;
        }
        let states_content =
            handles.catalog.get(game_id).is_some_and(|game| game.content_root.is_some());
        if (states_content || choice.is_some()) && ready.manifest.content_root().is_some() {
            return true;
        }
        let mut announced = membership.peers.announcements(&handles.catalog, game_id);
        !announced.any(|summary| {
            let is_other_content = match (summary.content_root, ready.manifest.content_root()) {
                (Some(theirs), ours) => Some(theirs) != ours,
                (None, _) => false,
            };
            summary.manifest_hash != ready.manifest.manifest_hash() || is_other_content
        })
    }

    fn run_download(
        &self,
        job: DownloadJob,
        changes: mpsc::UnboundedReceiver<SourceChange>,
        cancel: CancellationToken,
        library: &LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let (game_id, root) = (job.game_id.clone(), job.root.clone());
        let (notices, mut notice_receiver) = mpsc::channel(NOTICES_MAX);
        let (inbox_sender, games_dir, index) =
            (handles.inbox_sender.clone(), library.games_dir.clone(), library.index.clone());
        let links = membership.links.clone();
        let source_of =
            move |peer_id| Arc::new(LinkedSource::new(peer_id, None, links.clone())) as _;
        let seat =
            SwarmContext { swarm: handles.server.swarm.clone(), source_of: Box::new(source_of) };
        let (outbound, stop) = (handles.server.outbound.clone(), handles.tasks.shutdown.clone());
        let guard = OperationGuard::new(
            &game_id,
            |game_id, local| {
                let outcome = Err(panicked(Path::new(game_id.as_str())));
                InboxMessage::DownloadEnded { game_id, outcome, local }
            },
            library,
            handles,
        );
        // Not cut off at shutdown: nothing may be written after it.
        handles.tasks.spawn_to_end(async move {
            let tell = async {
                while let Some(notice) = notice_receiver.recv().await {
                    let game_id = game_id.clone();
                    let _ =
                        inbox_sender.send(InboxMessage::DownloadNotice { game_id, notice }).await;
                }
            };
            // The published library no longer offers the game; who slipped in before must not read what is
            // about to be written.
            if stop.run_until_cancelled(outbound.drain(&game_id)).await.is_none() {
                guard.done();
                return;
            }
            let run = lanspread_download::run(job, seat, changes, notices, cancel);
            // A panic must not leave the game busy for ever.
            let run = AssertUnwindSafe(run).catch_unwind();
            let (outcome, ()) = tokio::join!(run, tell);
            let outcome = outcome.unwrap_or_else(|_| Err(panicked(&root)));
            let local = match &outcome {
                Ok(outcome) => look_at_committed(games_dir, game_id.clone(), &index, outcome).await,
                Err(_) => look_at(games_dir, game_id.clone(), index).await,
            };
            let is_there = local.as_ref().is_some_and(|local| local.version.is_some());
            let outcome = outcome.and_then(|outcome| match is_there {
                true => Ok(outcome),
                false => Err(DownloadEnd::Failed(DownloadFailure::Io(IoFailure::refused(
                    "find", root, MOVED_AWAY,
                )))),
            });
            guard.done();
            let _ =
                inbox_sender.send(InboxMessage::DownloadEnded { game_id, outcome, local }).await;
        });
    }

    /// Tells running downloads of these games who serves them now.
    pub(in crate::runtime) fn refresh_sources(
        &mut self,
        changed: &SourcesChanged,
        membership: &Membership,
        handles: &Handles,
    ) {
        let current: BTreeMap<GameId, BTreeSet<PeerId>> = changed
            .games()
            .iter()
            .filter(|game_id| self.downloads.contains_key(*game_id))
            .map(|game_id| (game_id.clone(), membership.source_ids(game_id, &handles.catalog)))
            .collect();
        for (game_id, sources) in current {
            let joined: Vec<Arc<dyn Source>> =
                sources.iter().map(|peer_id| membership.source(*peer_id)).collect();
            let Some(active) = self.downloads.get_mut(&game_id) else { continue };
            let changes = joined
                .into_iter()
                .filter(|source| !active.sources.contains(&source.peer_id()))
                .map(SourceChange::Joined)
                .chain(active.sources.difference(&sources).map(|id| SourceChange::Left(*id)));
            for change in changes {
                // A download that has just ended needs no sources.
                let _ = active.changes.send(change);
            }
            active.sources = sources;
        }
    }

    pub(in crate::runtime) fn on_download_notice(
        &mut self,
        game_id: GameId,
        notice: DownloadNotice,
        handles: &Handles,
    ) {
        match notice {
            DownloadNotice::GotManifest { files, bytes, sources } => {
                handles.emit(PeerEvent::GotGameFiles { game_id, files, bytes, sources });
            }
            DownloadNotice::Began { files, bytes, sources } => {
                let summary = DownloadSummary { files, bytes, sources: sources.clone() };
                let begin =
                    PeerEvent::DownloadBegin { game_id: game_id.clone(), files, bytes, sources };
                handles.emit(begin);
                let Some(active) = self.downloads.get_mut(&game_id) else { return };
                active.summary = Some(summary.clone());
                if let Some(reply) = active.on_begin.take() {
                    let _ = reply.send(Ok(summary));
                }
            }
            DownloadNotice::Voted(count) => handles.emit(PeerEvent::voted(game_id, count)),
            DownloadNotice::Progress(progress) => {
                handles.emit(PeerEvent::DownloadProgress(progress));
            }
            DownloadNotice::SourceDropped { peer_id, reason } => {
                handles.emit(PeerEvent::SourceDropped { game_id, peer_id, reason });
            }
        }
    }

    pub(in crate::runtime) fn on_download_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<DownloadOutcome, DownloadEnd>,
        local: Option<LocalGame>,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let Some(active) = self.downloads.remove(&game_id) else { return };
        library.replace_local(&game_id, local, handles);
        library.unhashable.remove(&game_id);
        self.table.end(&game_id);
        library.publish(vec![game_id.clone()], &self.table, handles);
        // Only now, so that whoever fetches from here finds the game in one place or the other.
        handles.server.swarm.close(&game_id);
        let failure = match outcome {
            Ok(outcome) => {
                self.download_succeeded(game_id, outcome, active, library, handles);
                return;
            }
            // Whoever waits is told that the peer is stopping.
            Err(DownloadEnd::Interrupted) => return,
            Err(DownloadEnd::Cancelled) => Ended::Cancelled,
            Err(DownloadEnd::AllPeersGone) => Ended::AllPeersGone,
            Err(DownloadEnd::Failed(DownloadFailure::ContentDisputed(dispute))) => {
                let dispute = membership.with_sizes(dispute, &handles.catalog);
                Ended::Failed(DownloadFailure::ContentDisputed(dispute))
            }
            Err(DownloadEnd::Failed(failure)) => Ended::Failed(failure),
        };
        handles.emit(failure.event(&game_id));
        for reply in active.on_begin.into_iter().chain(active.on_end) {
            let _ = reply.send(Err(failure.error(&game_id)));
        }
        for reply in active.on_cancel {
            let answer = match &failure {
                Ended::Cancelled => Ok(()),
                Ended::AllPeersGone | Ended::Failed(_) => Err(failure.error(&game_id)),
            };
            let _ = reply.send(answer);
        }
    }

    fn download_succeeded(
        &mut self,
        game_id: GameId,
        outcome: DownloadOutcome,
        active: ActiveDownload,
        library: &mut LocalLibrary,
        handles: &Handles,
    ) {
        let files = outcome.manifest.files().len();
        let bytes = outcome.manifest.total_size();
        let finished = PeerEvent::DownloadFinished {
            game_id: game_id.clone(),
            files,
            bytes,
            sources: outcome.sources.clone(),
        };
        handles.emit(finished);
        // The game was whole before the cancellation came through.
        for reply in active.on_cancel {
            let _ = reply.send(Err(CommandError::NotDownloading(game_id.clone())));
        }
        let summary = active.summary.unwrap_or_else(|| DownloadSummary {
            files,
            bytes,
            sources: outcome.sources.iter().map(|source| source.peer_id).collect(),
        });
        if let Some(reply) = active.on_begin {
            let _ = reply.send(Ok(summary.clone()));
        }
        let on_end = active.on_end.map(|reply| (reply, summary));
        // Only an update may put a new installation in the place of the one that is there.
        let is_installed = library.games.get(&game_id).is_some_and(|local| local.installed);
        if active.install && (active.is_update || !is_installed) {
            self.start_install(game_id, InstallReply::Download(on_end), library, handles);
        } else if let Some((reply, summary)) = on_end {
            let _ = reply.send(Ok(summary));
        }
    }

    /// Cancels whatever brings or installs the game, a download, an update, an installation or a
    /// streamed one, or what verifies it.
    pub(in crate::runtime) fn cancel_download(
        &mut self,
        game_id: GameId,
        reply: Reply<()>,
        handles: &Handles,
    ) {
        let Some(reply) = self.cancel_stream(&game_id, reply) else { return };
        let Some(reply) = self.cancel_install(&game_id, reply) else { return };
        let Some(reply) = self.cancel_verification(&game_id, reply) else { return };
        match self.downloads.get_mut(&game_id) {
            Some(active) => {
                active.on_cancel.push(reply);
                active.cancel.cancel();
            }
            None if handles.catalog.get(&game_id).is_none() => {
                let _ = reply.send(Err(CommandError::UnknownGame(game_id)));
            }
            None => drop(reply.send(Err(CommandError::NotDownloading(game_id)))),
        }
    }
}

fn panicked(root: &Path) -> DownloadEnd {
    DownloadEnd::Failed(DownloadFailure::Io(IoFailure::refused(
        "go on writing",
        root,
        "an internal error, which the log describes",
    )))
}

/// How a download ended without the game.
enum Ended {
    Cancelled,
    AllPeersGone,
    Failed(DownloadFailure),
}

impl Ended {
    fn event(&self, game_id: &GameId) -> PeerEvent {
        let game_id = game_id.clone();
        match self {
            Self::Cancelled => PeerEvent::DownloadCancelled { game_id },
            Self::AllPeersGone => PeerEvent::DownloadAllPeersGone { game_id },
            Self::Failed(failure) => {
                PeerEvent::DownloadFailed { game_id, failure: failure.clone() }
            }
        }
    }

    fn error(&self, game_id: &GameId) -> CommandError {
        match self {
            Self::Cancelled => CommandError::Cancelled(game_id.clone()),
            Self::AllPeersGone => CommandError::AllPeersGone(game_id.clone()),
            Self::Failed(failure) => CommandError::Download(failure.clone()),
        }
    }
}

/// Looks at what a download has brought. What is on disk is what was verified, so it is not read again,
/// unless it has changed since.
async fn look_at_committed(
    games_dir: PathBuf,
    game_id: GameId,
    index: &Index,
    outcome: &DownloadOutcome,
) -> Option<LocalGame> {
    let DownloadOutcome { manifest, bits, seen, .. } = outcome.clone();
    let remembered = match bits {
        // Of the files that the download left as they were.
        CommittedBits::Untold => {
            let before = index.known(&games_dir, &game_id);
            before.and_then(|before| before.remembered_of(&seen))
        }
        CommittedBits::Kept => None,
        CommittedBits::Lost(bits) => Some(bits),
    };
    let known = KnownContent { remembered, ..KnownContent::new(manifest, &seen, |_| false) };
    look_at_known(games_dir, game_id, known).await
}
