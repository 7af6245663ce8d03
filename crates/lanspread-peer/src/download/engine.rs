//! The shell of a download: asks sources, works on the disk, and tells how far it is.
//!
//! One loop over one kind of event. What follows from an event is decided by [`Gathering`] and
//! [`Transfer`]; requests run in tasks of their own and disk work on blocking threads.

mod answers;
mod books;
mod disk;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::message::{GetChunk, GetGame, KnownManifest};
use lanspread_proto::{Manifest, PeerId};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::books::{Books, Look, Prepared};
use self::disk::{Disk, Kept};
use self::requests::{Requests, Subject};
use super::gathering::{Gathered, Gathering};
use super::journal;
use super::progress::ProgressMeter;
use super::scheduler::Ask;
use super::source::{GameAnswer, ReceivedChunk, Source, SourceError};
use super::storage::{StorageError, discard, failed};
use super::transfer::{Effect, Fate, Transfer};
use super::{DownloadEnd, DownloadJob, DownloadNotice, DownloadOutcome, SourceChange};
use crate::error::DownloadFailure;
use crate::event::DownloadProgress;
use crate::state_file;

/// Everything that can happen to a download.
enum Event {
    /// The peer stops.
    Stopped,
    /// The caller wants it to end.
    Cancelled,
    /// A source joins or leaves.
    Change(SourceChange),
    /// The caller will tell of no more sources.
    ChangesEnded,
    /// A source answered with the manifest that it has at hand.
    Manifest { peer: PeerId, known: Option<KnownManifest>, answer: Result<GameAnswer, SourceError> },
    /// A source answered with its hashes.
    Hashes { peer: PeerId, known: Option<KnownManifest>, answer: Result<GameAnswer, SourceError> },
    /// A source answered with a chunk.
    Chunk { ask: Ask, answer: Result<ReceivedChunk, SourceError> },
    /// The files are made.
    Prepared(Result<Box<Prepared>, StorageError>),
    /// A chunk was looked for on disk.
    Looked { look: Look, is_there: bool },
    /// What the journal was told is durable.
    Saved(Result<(), StorageError>),
    /// A chunk was verified and written.
    Kept { ask: Ask, kept: Kept },
    /// The game is committed.
    Committed(Result<(), StorageError>),
    /// It is time to look again.
    Tick,
}

/// How far a download has come.
enum Stage {
    /// Asking what the game is.
    Gathering(Box<Gathering>),
    /// Fetching it, once the disk is prepared.
    Transferring(Box<Transfer>),
    /// All of it is there and right.
    Committing(DownloadOutcome),
}

type Ended = Result<DownloadOutcome, DownloadEnd>;

struct Engine {
    job: DownloadJob,
    notices: mpsc::Sender<DownloadNotice>,
    began: Instant,
    sources: BTreeMap<PeerId, Arc<dyn Source>>,
    requests: Requests,
    disk: Disk,
    /// There once the disk is prepared.
    books: Option<Books>,
    sentinel: Option<Vec<u8>>,
    progress: ProgressMeter,
    stage: Stage,
}

/// Fetches a game; see the documentation of the module above.
pub(crate) async fn run(
    job: DownloadJob,
    mut changes: mpsc::UnboundedReceiver<SourceChange>,
    notices: mpsc::Sender<DownloadNotice>,
    cancel: CancellationToken,
) -> Ended {
    let stop = job.stop.clone();
    let mut engine = Engine::new(job, notices);
    let mut changes_ended = false;
    let ended = loop {
        if let Some(ended) = engine.proceed().await {
            break ended;
        }
        let wake_at = engine.wake_at();
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => Event::Stopped,
            () = cancel.cancelled() => Event::Cancelled,
            change = changes.recv(), if !changes_ended => {
                change.map_or(Event::ChangesEnded, Event::Change)
            }
            Some(event) = engine.disk.next() => event,
            Some(event) = engine.requests.next() => event,
            () = tokio::time::sleep_until(wake_at) => Event::Tick,
        };
        changes_ended |= matches!(event, Event::ChangesEnded);
        if let Some(ended) = engine.handle(event).await {
            break ended;
        }
    };
    engine.close(ended).await
}

impl Engine {
    fn new(mut job: DownloadJob, notices: mpsc::Sender<DownloadNotice>) -> Self {
        let initial = std::mem::take(&mut job.initial);
        let gathering = Gathering::new(job.version.clone(), job.catalog_content_root);
        let mut engine = Self {
            job,
            notices,
            began: Instant::now(),
            sources: BTreeMap::new(),
            requests: Requests::default(),
            disk: Disk::default(),
            books: None,
            sentinel: None,
            progress: ProgressMeter::new(Duration::ZERO),
            stage: Stage::Gathering(Box::new(gathering)),
        };
        for source in initial {
            engine.join(source);
        }
        engine
    }

    async fn handle(&mut self, event: Event) -> Option<Ended> {
        match event {
            Event::Stopped => return Some(Err(DownloadEnd::Interrupted)),
            Event::Cancelled => return Some(Err(DownloadEnd::Cancelled)),
            Event::Change(SourceChange::Joined(source)) => self.join(source),
            Event::Change(SourceChange::Left(peer)) => self.leave(peer),
            Event::ChangesEnded | Event::Tick => {}
            Event::Manifest { peer, known, answer } => {
                if self.requests.finish(peer, Subject::Manifest) {
                    self.manifest_came(peer, known, answer).await;
                }
            }
            Event::Hashes { peer, known, answer } => {
                if self.requests.finish(peer, Subject::Hashes) {
                    self.hashes_came(peer, known, answer);
                }
            }
            Event::Chunk { ask, answer } => {
                if self.requests.finish(ask.peer, Subject::Chunk(ask.chunk)) {
                    self.chunk_came(ask, answer);
                }
            }
            Event::Prepared(Ok(prepared)) => self.prepared(*prepared).await,
            Event::Looked { look, is_there } => self.looked(look, is_there),
            Event::Saved(Ok(())) => {
                let now = self.now();
                self.books.iter_mut().for_each(|books| books.saved(now));
            }
            Event::Kept { ask, kept } => return self.kept(ask, kept),
            Event::Committed(Ok(())) => return self.committed(),
            Event::Prepared(Err(error))
            | Event::Saved(Err(error))
            | Event::Committed(Err(error)) => {
                return Some(Err(DownloadEnd::Failed(error.into())));
            }
        }
        None
    }

    /// Does what follows from all that has happened so far.
    async fn proceed(&mut self) -> Option<Ended> {
        let now = self.now();
        if let Stage::Gathering(gathering) = &mut self.stage {
            match gathering.conclude(now)? {
                Gathered::Chosen(transfer) => self.chosen(transfer).await,
                Gathered::AllGone => return Some(Err(DownloadEnd::AllPeersGone)),
                Gathered::NoManifest(reason) => {
                    let game_id = self.job.game_id.clone();
                    let failure = DownloadFailure::NoManifest { game_id, reason };
                    return Some(Err(DownloadEnd::Failed(failure)));
                }
            }
        }
        if let Some(transfer) = self.stage.transfer() {
            let fate = transfer.fate(now).unwrap_or(Fate::Mismatch { by_catalog: false });
            // What led to this fate is told before it.
            self.carry_out_effects().await;
            if let Some(ended) = self.meet(fate).await {
                return Some(ended);
            }
        }
        if let (Stage::Transferring(transfer), Some(books)) = (&mut self.stage, &mut self.books) {
            self.disk.look_for(books.looks(transfer));
            transfer.ask(now);
            self.disk.work(books.storage());
        }
        self.carry_out_effects().await;
        if let Some(checkpoint) = self.books.as_mut().and_then(|books| books.checkpoint(now)) {
            self.disk.save(checkpoint);
        }
        self.tell_progress(now);
        None
    }

    async fn meet(&mut self, fate: Fate) -> Option<Ended> {
        let game_id = self.job.game_id.clone();
        let failure = match fate {
            Fate::Ongoing => return None,
            Fate::Complete(manifest) => {
                self.complete(manifest).await;
                return None;
            }
            Fate::AllGone => return Some(Err(DownloadEnd::AllPeersGone)),
            Fate::AllBad(reason) => DownloadFailure::BadSources { game_id, reason },
            Fate::Mismatch { by_catalog } => {
                let authority =
                    if by_catalog { "the catalog" } else { "the majority of its sources" };
                DownloadFailure::ContentMismatch { game_id, authority }
            }
        };
        Some(Err(DownloadEnd::Failed(failure)))
    }

    fn join(&mut self, source: Arc<dyn Source>) {
        let peer = source.peer_id();
        self.sources.insert(peer, Arc::clone(&source));
        let known = match &mut self.stage {
            Stage::Gathering(gathering) => {
                gathering.asked(peer);
                None
            }
            Stage::Transferring(transfer) => {
                if !transfer.joining(peer) {
                    return;
                }
                Some(transfer.known_manifest())
            }
            Stage::Committing(_) => return,
        };
        let request = self.get_game(known, false);
        self.requests.ask_manifest(source, request);
    }

    fn leave(&mut self, peer: PeerId) {
        self.sources.remove(&peer);
        self.requests.end_all_of(peer);
        match &mut self.stage {
            Stage::Gathering(gathering) => gathering.left(peer),
            Stage::Transferring(transfer) => transfer.left(peer),
            Stage::Committing(_) => {}
        }
    }

    async fn chosen(&mut self, transfer: Box<Transfer>) {
        let manifest = Arc::clone(transfer.layout().manifest());
        self.tell(DownloadNotice::GotManifest {
            files: manifest.files().len(),
            bytes: manifest.total_size(),
            sources: transfer.members().iter().copied().collect(),
        })
        .await;
        let stop = self.job.stop.clone();
        self.disk.prepare(self.job.root.clone(), self.job.journal.clone(), manifest, stop);
        self.stage = Stage::Transferring(transfer);
    }

    async fn prepared(&mut self, prepared: Prepared) {
        let now = self.now();
        self.progress = ProgressMeter::new(now);
        self.books = Some(Books::new(prepared, now));
        let Stage::Transferring(transfer) = &mut self.stage else { return };
        let manifest = transfer.layout().manifest();
        let (files, bytes) = (manifest.files().len(), manifest.total_size());
        let sources = transfer.members().iter().copied().collect();
        self.tell(DownloadNotice::Began { files, bytes, sources }).await;
    }

    async fn complete(&mut self, manifest: Arc<Manifest>) {
        self.requests.end_all().await;
        let now = self.now();
        let (Stage::Transferring(transfer), Some(books)) = (&self.stage, &self.books) else {
            return;
        };
        let outcome = DownloadOutcome { manifest, sources: transfer.ledger().given() };
        let progress = report(&mut self.progress, &self.job, transfer, now);
        let (storage, journal) = (Arc::clone(books.storage()), Arc::clone(books.journal()));
        self.disk.commit(storage, journal, self.sentinel.take().unwrap_or_default());
        self.stage = Stage::Committing(outcome);
        self.tell(DownloadNotice::Progress(progress)).await;
    }

    fn committed(&mut self) -> Option<Ended> {
        match &self.stage {
            Stage::Committing(outcome) => Some(Ok(outcome.clone())),
            Stage::Gathering(_) | Stage::Transferring(..) => None,
        }
    }

    async fn carry_out_effects(&mut self) {
        let effects = self.stage.transfer().map(Transfer::take_effects).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::AskChunk(ask) => self.ask_chunk(ask),
                Effect::AbandonChunk(ask) => {
                    self.requests.end(ask.peer, Subject::Chunk(ask.chunk));
                }
                Effect::AskHashes(peer) => {
                    let known = self.stage.transfer().map(|transfer| transfer.known_manifest());
                    let known = known.filter(|known| known.content_root.is_some());
                    let request = self.get_game(known, true);
                    if let Some(source) = self.sources.get(&peer) {
                        self.requests.ask_hashes(Arc::clone(source), request);
                    }
                }
                Effect::Drop { peer, reason } => {
                    self.requests.end_all_of(peer);
                    self.tell(DownloadNotice::SourceDropped { peer_id: peer, reason }).await;
                }
                Effect::Enter(record) => {
                    if let (Stage::Transferring(transfer), Some(books)) =
                        (&self.stage, &mut self.books)
                    {
                        books.enter(transfer, record);
                    }
                }
            }
        }
    }

    fn ask_chunk(&mut self, ask: Ask) {
        let Some(transfer) = self.stage.transfer() else { return };
        let Some((place, file)) = transfer.layout().place(ask.chunk) else { return };
        let request = GetChunk {
            game_id: self.job.game_id.clone(),
            version: self.job.version.clone(),
            path: file.path.clone(),
            index: place.index,
        };
        if let Some(source) = self.sources.get(&ask.peer) {
            self.requests.ask_chunk(Arc::clone(source), ask, request, place.len);
        }
    }

    fn get_game(&self, known_manifest: Option<KnownManifest>, await_hashes: bool) -> GetGame {
        GetGame { game_id: self.job.game_id.clone(), known_manifest, await_hashes }
    }

    fn tell_progress(&mut self, now: Duration) {
        let (Stage::Transferring(transfer), Some(_)) = (&self.stage, &self.books) else { return };
        if self.progress.due_at(transfer.ledger().bytes_done()) <= now {
            let progress = report(&mut self.progress, &self.job, transfer, now);
            // Nobody misses one of many: a full channel must not slow the download down.
            let _ = self.notices.try_send(DownloadNotice::Progress(progress));
        }
    }

    /// A caller that no longer listens still gets its game.
    async fn tell(&self, notice: DownloadNotice) {
        let _ = self.notices.send(notice).await;
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wake_at(&self) -> Instant {
        /// Only so that there is always a time; nothing depends on it.
        const FAR: Duration = Duration::from_secs(3600);
        let now = self.now();
        let wake_at = match &self.stage {
            Stage::Gathering(gathering) => gathering.wake_at(now),
            Stage::Transferring(transfer) => {
                let bytes_done = transfer.ledger().bytes_done();
                let books = self.books.as_ref();
                let progress_at = books.map(|_| self.progress.due_at(bytes_done));
                let checkpoint_at = books.and_then(Books::due_at);
                [transfer.wake_at(now), progress_at, checkpoint_at].into_iter().flatten().min()
            }
            Stage::Committing(_) => None,
        };
        self.began + wake_at.unwrap_or(now + FAR)
    }

    /// Ends what is under way. After a cancellation, discards what the download brought; after a
    /// failure, saves what the journal has not been told yet; when the peer stops, without waiting
    /// for the bytes to be durable, which the next start does not rely on.
    async fn close(mut self, ended: Ended) -> Ended {
        self.requests.end_all().await;
        self.disk.idle().await;
        let has_touched_disk = !matches!(self.stage, Stage::Gathering(_));
        let (root, journal) = (self.job.root.clone(), self.job.journal.clone());
        let last = self.books.as_mut().map(Books::last_checkpoint);
        let is_cancelled = matches!(ended, Err(DownloadEnd::Cancelled));
        let is_stopped = matches!(ended, Err(DownloadEnd::Interrupted));
        let closing = tokio::task::spawn_blocking(move || match last {
            _ if is_cancelled && has_touched_disk => sweep(&root, &journal),
            Some(last) if is_stopped => {
                last.note();
                Ok(())
            }
            Some(last) if !is_cancelled => {
                if let Err(error) = last.save() {
                    tracing::warn!(%error, "chunks of a failed download may have to be fetched again");
                }
                Ok(())
            }
            _ => Ok(()),
        });
        match closing.await {
            Ok(Ok(())) => ended,
            Ok(Err(error)) => Err(DownloadEnd::Failed(error.into())),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Stage {
    fn transfer(&mut self) -> Option<&mut Transfer> {
        match self {
            Self::Transferring(transfer) => Some(transfer),
            Self::Gathering(_) | Self::Committing(_) => None,
        }
    }
}

/// Removes what a download brought, the journal last: a crash meanwhile leaves one that says so.
fn sweep(root: &Path, journal: &Path) -> Result<(), StorageError> {
    journal::mark_discarding(journal).map_err(failed("write", journal))?;
    discard(root)?;
    state_file::remove_file(journal).map_err(failed("remove", journal))
}

fn report(
    meter: &mut ProgressMeter,
    job: &DownloadJob,
    transfer: &Transfer,
    now: Duration,
) -> DownloadProgress {
    let bytes_done = transfer.ledger().bytes_done();
    DownloadProgress {
        game_id: job.game_id.clone(),
        bytes_done,
        bytes_total: transfer.layout().manifest().total_size(),
        bytes_per_second: meter.report(now, bytes_done),
        active_peers: transfer.active_sources(),
        sources: transfer.ledger().given().into(),
    }
}
