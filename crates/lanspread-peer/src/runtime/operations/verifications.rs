//! The command loop's part about verifying games. A game is served while it is verified.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lanspread_download::pages::fetch_manifest;
use lanspread_download::voter_of;
use lanspread_library::{
    KnownContent, Reading, Reference, Verdict, VerifyFailure, is_whole, verify,
};
use lanspread_net::links::LinkedSource;
use lanspread_net::source::Source;
use lanspread_proto::message::GetGame;
use lanspread_proto::{ContentHash, GameId, GameVersion};
use lanspread_transfer::reference::wanted_content;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Operations;
use super::guard::OperationGuard;
use crate::command::Reply;
use crate::error::CommandError;
use crate::event::PeerEvent;
use crate::info::{DownloadSummary, VerifyReport, VerifySummary};
use crate::messages::{CopyCheck, Fetch, InboxMessage, InboxSender, Verified};
use crate::operation::Operation;
use crate::runtime::handles::Handles;
use crate::runtime::local_library::LocalLibrary;
use crate::runtime::membership::Membership;

/// Most sources that are asked what a game should be: enough for a majority of addresses.
const CLAIMS_MAX: usize = 8;
/// Pause between two progress reports: at most ten a second.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// A verification that is under way.
pub(crate) struct ActiveVerification {
    cancel: CancellationToken,
    repair: bool,
    on_end: Option<Reply<VerifySummary>>,
    on_cancel: Vec<Reply<()>>,
}

/// A `verify` command.
pub(in crate::runtime) struct Verify {
    pub(in crate::runtime) game_id: GameId,
    /// Whether to fetch what is wrong.
    pub(in crate::runtime) repair: bool,
    /// Whether to answer at the end.
    pub(in crate::runtime) wait: bool,
    pub(in crate::runtime) reply: Reply<VerifySummary>,
}

/// What it takes to verify a game.
struct Job {
    game_id: GameId,
    root: PathBuf,
    version: Option<GameVersion>,
    catalog: Option<ContentHash>,
    known: Option<KnownContent>,
    sources: Vec<LinkedSource>,
}

impl Operations {
    pub(in crate::runtime) fn verify(
        &mut self,
        verify: Verify,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let Verify { game_id, repair, wait, reply } = verify;
        let begun = self.check_idle(&game_id, handles).and_then(|()| {
            let local = library.games.get(&game_id).filter(|local| local.version.is_some());
            let local =
                local.cloned().ok_or_else(|| CommandError::NotDownloaded(game_id.clone()))?;
            self.begin(&game_id, Operation::Verifying).map(|()| local)
        });
        let local = match begun {
            Ok(local) => local,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let manifest = local.manifest.as_ref();
        let files = manifest.map_or(0, |manifest| manifest.files().len());
        let bytes = manifest.map_or(0, |manifest| manifest.total_size());
        let on_end = if wait {
            Some(reply)
        } else {
            let summary = VerifySummary { files, bytes, report: None, repaired: false };
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Ok(summary));
            None
        };
        let cancel = handles.tasks.shutdown.child_token();
        let on_cancel = Vec::new();
        let active = ActiveVerification { cancel: cancel.clone(), repair, on_end, on_cancel };
        self.verifications.insert(game_id.clone(), active);
        library.publish(vec![game_id.clone()], &self.table, handles);
        handles.emit(PeerEvent::VerifyBegin { game_id: game_id.clone(), files, bytes });
        let job = Job {
            root: library.root_of(&game_id),
            version: local.version.clone(),
            catalog: handles.catalog.get(&game_id).and_then(|game| game.content_root),
            known: library.index.known(&library.games_dir, &game_id),
            sources: membership.sources_by_address(&game_id, &handles.catalog, CLAIMS_MAX),
            game_id,
        };
        self.run_verification(job, cancel, library, handles);
    }

    fn run_verification(
        &self,
        job: Job,
        cancel: CancellationToken,
        library: &LocalLibrary,
        handles: &Handles,
    ) {
        let game_id = job.game_id.clone();
        let inbox_sender = handles.inbox_sender.clone();
        let guard = OperationGuard::new(
            &game_id,
            |game_id, _| {
                let outcome = Err(VerifyFailure::Interrupted);
                InboxMessage::VerifyEnded { game_id, outcome }
            },
            library,
            handles,
        );
        handles.spawn(async move {
            let outcome = match cancel.run_until_cancelled(job.reference()).await {
                Some(reference) => read(job, reference, cancel, inbox_sender.clone()).await,
                None => Err(VerifyFailure::Cancelled),
            };
            guard.done();
            let _ = inbox_sender.send(InboxMessage::VerifyEnded { game_id, outcome }).await;
        });
    }

    /// Cancels a verification, unless there is none: then the reply comes back.
    pub(in crate::runtime) fn cancel_verification(
        &mut self,
        game_id: &GameId,
        reply: Reply<()>,
    ) -> Option<Reply<()>> {
        let Some(active) = self.verifications.get_mut(game_id) else { return Some(reply) };
        active.on_cancel.push(reply);
        active.cancel.cancel();
        None
    }

    pub(in crate::runtime) fn on_verify_ended(
        &mut self,
        game_id: GameId,
        outcome: Result<Verified, VerifyFailure>,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let Some(active) = self.verifications.remove(&game_id) else { return };
        let ActiveVerification { repair, on_end, on_cancel, .. } = active;
        self.table.end(&game_id);
        let outcome = match outcome {
            Ok(Verified { files, bytes, local, report }) => {
                library.rescans.overtake(&game_id);
                library.unhashable.remove(&game_id);
                library.take_over(&game_id, local, handles);
                Ok(VerifySummary { files, bytes, report: Some(report), repaired: false })
            }
            Err(failure) => Err(failure),
        };
        library.publish(vec![game_id.clone()], &self.table, handles);
        // What changed since a file was read was told to nobody.
        library.look_at_games([game_id.clone()].into(), &self.table, handles);
        let summary = match outcome {
            Ok(summary) => summary,
            Err(failure) => {
                let is_cancelled = failure == VerifyFailure::Cancelled;
                let event =
                    PeerEvent::VerifyFailed { game_id: game_id.clone(), failure: failure.clone() };
                handles.emit(event);
                for reply in on_cancel {
                    let answer = match is_cancelled {
                        true => Ok(()),
                        false => Err(CommandError::Verify(failure.clone())),
                    };
                    let _ = reply.send(answer);
                }
                if let Some(reply) = on_end {
                    let _ = reply.send(Err(CommandError::Verify(failure)));
                }
                return;
            }
        };
        for reply in on_cancel {
            let _ = reply.send(Err(CommandError::NotDownloading(game_id.clone())));
        }
        let VerifySummary { files, bytes, report, .. } = summary.clone();
        let is_wrong = report.as_ref().is_some_and(|report| !report.problems.is_empty());
        if let Some(report) = report {
            let game_id = game_id.clone();
            handles.emit(PeerEvent::VerifyFinished { game_id, files, bytes, report });
        }
        if repair && is_wrong {
            self.repair(game_id, summary, on_end, library, membership, handles);
        } else if let Some(reply) = on_end {
            let _ = reply.send(Ok(summary));
        }
    }

    /// Fetches what is wrong, as an update does: what is right on the disk is asked of nobody.
    fn repair(
        &mut self,
        game_id: GameId,
        summary: VerifySummary,
        on_end: Option<Reply<VerifySummary>>,
        library: &mut LocalLibrary,
        membership: &Membership,
        handles: &Handles,
    ) {
        let (reply, repaired) = oneshot::channel();
        let root = library.root_of(&game_id);
        handles.spawn(async move {
            // A dropped reply means that the peer stops; so does this one then.
            let Ok::<Result<DownloadSummary, CommandError>, _>(repaired) = repaired.await else {
                return;
            };
            if let Some(on_end) = on_end {
                // What cannot travel no source has, so nothing of it is repaired.
                let look = move || is_whole(&root);
                // A look that panicked saw nothing whole.
                let is_whole = tokio::task::spawn_blocking(look).await.unwrap_or_default();
                let summary = VerifySummary { repaired: is_whole, ..summary };
                let _ = on_end.send(repaired.map(|_| summary));
            }
        });
        let (is_update, copy, install) = (true, CopyCheck::IsWrong, Some(false));
        let (content_root, wait) = (None, true);
        let fetch = Fetch { game_id, is_update, copy, content_root, install, wait, reply };
        self.fetch(fetch, library, membership, handles);
    }
}

impl Job {
    /// Asks the sources what the game should be, and decides.
    async fn reference(&self) -> Reference {
        let asked = self.sources.iter().map(|source| async move {
            let game_id = self.game_id.clone();
            let head = source.get_game(GetGame { game_id, await_hashes: false }).await.ok()?;
            let voter = Source::addr(source).and_then(|addr| voter_of(addr.ip()));
            (self.version.as_ref() == Some(&head.version)).then_some((source, (voter, head)))
        });
        let told = join_all(asked).await.into_iter().flatten();
        let (sources, claims): (Vec<_>, Vec<_>) = told.unzip();
        let own = self.known.as_ref().map(|known| Arc::clone(&known.manifest));
        let own_root = own.as_ref().and_then(|own| own.content_root());
        let wanted = wanted_content(self.catalog, own_root, &claims);
        let is_wanted = |root: Option<ContentHash>| wanted.is_some() && root == wanted;
        let mut manifest = own.clone().filter(|own| is_wanted(own.content_root()));
        let told = sources.iter().zip(&claims);
        for (source, (_, head)) in told.filter(|(_, (_, head))| is_wanted(head.content_root)) {
            if manifest.is_some() {
                break;
            }
            let fetched = fetch_manifest(*source, &self.game_id, head).await;
            manifest = fetched.ok().map(Arc::new);
        }
        let reference = Reference::choose(self.catalog, own, manifest);
        Reference { known: self.known.clone(), ..reference }
    }
}

async fn read(
    job: Job,
    reference: Reference,
    cancel: CancellationToken,
    inbox_sender: InboxSender,
) -> Result<Verified, VerifyFailure> {
    let Job { game_id, root, .. } = job;
    let (progress, progress_receiver) = watch::channel((0, 0));
    let authority = reference.authority;
    let work = move || {
        let reading = Reading { cancel: &|| cancel.is_cancelled(), now: &SystemTime::now };
        let mut passed = |done, total| {
            progress.send_replace((done, total));
        };
        verify(&root, &reference, &reading, &mut passed)
    };
    let mut run = tokio::task::spawn_blocking(work);
    let verdict = tokio::select! {
        verdict = &mut run => verdict,
        () = tell_progress(progress_receiver, game_id, inbox_sender) => run.await,
    };
    let Verdict { files, bytes, local, problems } =
        verdict.unwrap_or(Err(VerifyFailure::Interrupted))?;
    Ok(Verified { files, bytes, local, report: VerifyReport { reference: authority, problems } })
}

/// Passes on how far a verification is, until it ends.
async fn tell_progress(
    mut progress: watch::Receiver<(u64, u64)>,
    game_id: GameId,
    inbox_sender: InboxSender,
) {
    while progress.changed().await.is_ok() {
        let (bytes_done, bytes_total) = *progress.borrow_and_update();
        let game_id = game_id.clone();
        let message = InboxMessage::VerifyProgress { game_id, bytes_done, bytes_total };
        if inbox_sender.send(message).await.is_err() {
            return;
        }
        sleep(PROGRESS_PAUSE).await;
    }
}
