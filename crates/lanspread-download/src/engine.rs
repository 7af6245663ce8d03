//! The shell of a download: asks sources, works on the disk, and tells how far it is.
//!
//! One loop over one kind of event. What follows from an event is decided by [`Gathering`],
//! [`Description`] and [`Transfer`]; requests run in tasks of their own and disk work on blocking threads.

mod answers;

mod clock;
mod closing;
mod disk;
mod effects;
mod pacing;
mod requests;
mod resume_state;
mod sources;
mod swarm;
#[cfg(test)]
mod tests;
mod votes;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use lanspread_net::progress::ProgressMeter;
use lanspread_net::source::ReceivedChunks;
use lanspread_proto::message::{GameHead, Part};
use lanspread_proto::{Manifest, PeerId, SourceError};
use lanspread_serve::swarm::PartialSourceNews;
use lanspread_transfer::attributes::{Agreed, AttributesPart};
use lanspread_transfer::consensus::Authority;
use lanspread_transfer::description::{Description, Dropped, Step};
use lanspread_transfer::gathering::{Gathered, Gathering};
use lanspread_transfer::layout::ChunkIndex;
use lanspread_transfer::parts::PartError;
use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
use lanspread_transfer::scheduler::Ask;
use lanspread_transfer::transfer::{Transfer, TransferStatus};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::clock::Clock;
use self::disk::{Disk, Preparation, WriteOutcome};
use self::pacing::Pacer;
use self::requests::{Sources, Subject};
use self::resume_state::{Prepared, ResumeProbe, ResumeState};
use self::swarm::Sharer;
pub use self::votes::voter_of;
use crate::error::DownloadFailure;
use crate::job::{
    CommittedBits, DownloadEnd, DownloadJob, DownloadNotice, DownloadOutcome, SourceChange,
    SwarmContext,
};
use crate::storage::{Committed, StorageError};

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
    /// A peer that fetches the same content has something to tell.
    Swarm(PartialSourceNews),
    /// A source told what it has, as far as it knows.
    Head { peer: PeerId, answer: Result<GameHead, SourceError> },
    /// A source told what it has, and has hashed it.
    Hashes { peer: PeerId, answer: Result<GameHead, SourceError> },
    /// A source gave all pages of a part that were missing, or did not.
    Part { peer: PeerId, part: Part, result: Result<(), PartError> },
    /// A source told what it has beside the content, or did not.
    Attributes { part: AttributesPart, answer: Result<Bytes, SourceError> },
    /// A source answered with the chunks of a piece.
    Piece { ask: Ask, chunks: Vec<ChunkIndex>, answer: Result<ReceivedChunks, SourceError> },
    /// The files are made.
    Prepared(Result<Box<Prepared>, DownloadFailure>),
    /// A chunk was looked for on disk.
    Probed { probe: ResumeProbe, is_there: bool },
    /// What the journal was told is durable.
    Saved(Result<(), StorageError>),
    /// The chunks of a piece were verified and written.
    Written { ask: Ask, outcomes: Vec<(ChunkIndex, WriteOutcome)> },
    /// The game is committed.
    Committed(Result<Committed, StorageError>),
    /// It is time to look again.
    Tick,
}

/// How far a download has come.
enum Stage {
    /// Asking what the game is.
    Gathering(Box<Gathering>),
    /// Fetching what it is.
    Describing(Box<Description>),
    /// Fetching it, once the disk is prepared.
    Transferring(Box<Transfer>),
    /// All of it is there and right.
    Committing(Complete),
}

/// What is known of a download that is being committed.
struct Complete {
    manifest: Arc<Manifest>,
    sources: Vec<SourceBytes>,
    agreed: Arc<Agreed>,
}

type Ended = Result<DownloadOutcome, DownloadEnd>;

struct Engine {
    job: DownloadJob,
    notices: mpsc::Sender<DownloadNotice>,
    clock: Clock,
    sources: Sources,
    sharer: Sharer,
    pacer: Pacer,
    disk: Disk,
    /// There once the disk is prepared.
    resume: Option<ResumeState>,
    /// Whether it was told how the vote on the content ended.
    is_vote_told: bool,
    progress: ProgressMeter,
    stage: Stage,
}

/// Fetches a game; see the documentation of the module above. Nothing is written any more when it
/// ends, also with a panic. A `cancel` that comes when the commit has begun comes too late.
pub async fn run(
    job: DownloadJob,
    seat: SwarmContext,
    changes: mpsc::UnboundedReceiver<SourceChange>,
    notices: mpsc::Sender<DownloadNotice>,
    cancel: CancellationToken,
) -> Ended {
    let disk_jobs = TaskTracker::new();
    let engine = Engine::new(job, seat, notices, disk_jobs.clone());
    let ended = AssertUnwindSafe(engine.run(changes, cancel)).catch_unwind().await;
    disk_jobs.close();
    disk_jobs.wait().await;
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Engine {
    async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<SourceChange>,
        cancel: CancellationToken,
    ) -> Ended {
        let stop = self.job.stop.clone();
        let mut changes_ended = false;
        let ended = loop {
            if let Some(ended) = self.proceed().await {
                break ended;
            }
            let wake_at = self.wake_at();
            // A commit is brought to its end: what is whole by then cannot be discarded without its
            // journal, and a crash meanwhile would leave a half game with a sentinel.
            let is_committing = matches!(self.stage, Stage::Committing(_));
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stopped,
                () = cancel.cancelled(), if !is_committing => Event::Cancelled,
                change = changes.recv(), if !changes_ended => {
                    change.map_or(Event::ChangesEnded, Event::Change)
                }
                Some(event) = self.disk.next() => event,
                Some(event) = self.sources.next() => event,
                // Last, so that others who tell a lot do not keep what was asked for waiting.
                event = self.sharer.next() => event,
                () = tokio::time::sleep_until(wake_at) => Event::Tick,
            };
            self.clock.woke(wake_at, Instant::now());
            changes_ended |= matches!(event, Event::ChangesEnded);
            if let Some(ended) = self.handle(event).await {
                break ended;
            }
        };
        self.close(ended).await
    }

    fn new(
        mut job: DownloadJob,
        seat: SwarmContext,
        notices: mpsc::Sender<DownloadNotice>,
        disk_jobs: TaskTracker,
    ) -> Self {
        let initial = std::mem::take(&mut job.initial);
        let pacer = Pacer::new(job.limiter.clone());
        let gathering = Gathering::new(job.version.clone(), job.stated, job.order);
        let mut engine = Self {
            job,
            notices,
            clock: Clock::start(Instant::now()),
            sources: Sources::default(),
            sharer: Sharer::new(seat),
            pacer,
            disk: Disk::new(disk_jobs),
            resume: None,
            is_vote_told: false,
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
            Event::Swarm(news) => self.on_partial_source_news(news),
            Event::Head { peer, answer } => {
                if self.sources.finish(peer, Subject::Head) {
                    self.on_head(peer, answer).await;
                }
            }
            Event::Hashes { peer, answer } => {
                if self.sources.finish(peer, Subject::Hashes) {
                    self.on_hashes(peer, answer);
                }
            }
            Event::Part { peer, part, result } => {
                if self.sources.finish(peer, Subject::Part(part)) {
                    self.on_part(peer, result);
                }
            }
            Event::Attributes { part, answer } => {
                if self.sources.finish(part.peer, Subject::Attributes)
                    && let Some(transfer) = self.stage.transfer()
                {
                    transfer.on_attributes(part, answer);
                }
            }
            Event::Piece { ask, chunks, answer } => {
                if self.sources.finish(ask.peer, Subject::Piece(ask.piece)) {
                    self.on_piece(ask, chunks, answer);
                }
            }
            Event::Prepared(Ok(prepared)) => self.on_prepared(*prepared).await,
            Event::Probed { probe, is_there } => self.on_probed(probe, is_there),
            Event::Saved(Ok(())) => {
                let now = self.now();
                self.resume.iter_mut().for_each(|resume| resume.saved(now));
            }
            Event::Written { ask, outcomes } => return self.on_written(ask, outcomes),
            Event::Committed(Ok(committed)) => return self.on_committed(committed),
            Event::Prepared(Err(failure)) => return Some(Err(DownloadEnd::Failed(failure))),
            Event::Saved(Err(error)) | Event::Committed(Err(error)) => {
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
                Gathered::Chosen(description) => self.stage = Stage::Describing(description),
                Gathered::Disputed(candidates) => return Some(self.disputed(candidates)),
                Gathered::AllGone => return Some(Err(DownloadEnd::AllPeersGone)),
                Gathered::NoManifest(reason) => {
                    let game_id = self.job.game_id.clone();
                    let failure = DownloadFailure::NoManifest { game_id, reason };
                    return Some(Err(DownloadEnd::Failed(failure)));
                }
            }
        }
        if let Some(ended) = self.describe(now).await {
            return Some(ended);
        }
        self.invite_again(now);
        if let Some(transfer) = self.stage.transfer() {
            for (ask, bytes, of) in self.sources.progress() {
                transfer.on_progress(ask, bytes, of, now);
            }
            let status = transfer.status(now).unwrap_or(TransferStatus::Mismatch(Authority::Votes));
            // What led to this status is told before it.
            self.carry_out_effects().await;
            self.tell_vote().await;
            if let Some(ended) = self.handle_status(status).await {
                return Some(ended);
            }
        }
        if let (Stage::Transferring(transfer), Some(resume)) = (&mut self.stage, &mut self.resume) {
            self.disk.probe(resume.probes(transfer));
            self.pacer.spend(transfer.take_wasted_bytes());
            while self.pacer.may_ask(now)
                && let Some(bytes) = transfer.ask(now)
            {
                self.pacer.spend(bytes.into());
            }
            // What is paid for, and owed by sources that give nothing, does not wait for the next payment.
            while !self.pacer.may_ask(now) && transfer.ask_again(now) {}
            self.sharer.follow(&self.job, transfer, now);
            self.disk.work(resume.storage());
        }
        self.carry_out_effects().await;
        if let Some(checkpoint) = self.resume.as_mut().and_then(|resume| resume.checkpoint(now)) {
            self.disk.save(checkpoint);
        }
        self.send_progress(now);
        None
    }

    /// Goes on with fetching what the game is, until it is known.
    async fn describe(&mut self, now: Duration) -> Option<Ended> {
        let Stage::Describing(description) = &mut self.stage else { return None };
        let mut asks = Vec::new();
        let step = loop {
            match description.step(now) {
                Step::Ask(ask) => asks.push(ask),
                step => break step,
            }
        };
        for peer in description.take_dismissed() {
            for part in [Part::Layout, Part::Hashes] {
                self.sources.end(peer, Subject::Part(part));
            }
        }
        let dropped = description.take_dropped();
        for Dropped { peer_id, reason, is_for_good } in dropped {
            self.drop_source(peer_id, is_for_good);
            self.send(DownloadNotice::SourceDropped { peer_id, reason }).await;
        }
        for ask in asks {
            self.ask_part(ask);
        }
        match step {
            Step::Ask(_) | Step::Wait => {}
            Step::Described(transfer) => self.on_described(transfer).await,
            Step::Disputed(candidates) => return Some(self.disputed(candidates)),
            Step::AllGone => return Some(Err(DownloadEnd::AllPeersGone)),
            Step::AllBad(reason) => {
                return self.handle_status(TransferStatus::AllBad(reason)).await;
            }
        }
        None
    }

    async fn handle_status(&mut self, status: TransferStatus) -> Option<Ended> {
        let game_id = self.job.game_id.clone();
        let failure = match status {
            TransferStatus::Ongoing => return None,
            TransferStatus::Complete(manifest) => {
                self.commit(manifest).await;
                return None;
            }
            TransferStatus::AllGone => return Some(Err(DownloadEnd::AllPeersGone)),
            TransferStatus::AllBad(reason) => DownloadFailure::BadSources { game_id, reason },
            TransferStatus::Disputed(candidates) => return Some(self.disputed(candidates)),
            TransferStatus::Mismatch(authority) => {
                let authority = match authority {
                    Authority::Catalog => "the catalog",
                    Authority::Choice => "`content_root`",
                    Authority::Votes => "the majority of its sources",
                };
                DownloadFailure::ContentMismatch { game_id, authority }
            }
        };
        Some(Err(DownloadEnd::Failed(failure)))
    }

    async fn on_described(&mut self, transfer: Box<Transfer>) {
        let manifest = Arc::clone(transfer.layout().manifest());
        self.send(DownloadNotice::GotManifest {
            files: manifest.files().len(),
            bytes: manifest.total_size(),
            sources: transfer.full_sources().collect(),
        })
        .await;
        let DownloadJob { root, journal, free_space, stop, .. } = &self.job;
        self.disk.prepare(Preparation {
            root: root.clone(),
            journal: journal.clone(),
            hashes: transfer.decided_hashes(),
            free_space: free_space.clone(),
            stop: stop.clone(),
            manifest,
        });
        self.stage = Stage::Transferring(transfer);
    }

    async fn on_prepared(&mut self, prepared: Prepared) {
        let now = self.now();
        self.progress = ProgressMeter::new(now);
        self.resume = Some(ResumeState::new(prepared, now));
        let Stage::Transferring(transfer) = &mut self.stage else { return };
        let manifest = transfer.layout().manifest();
        let (files, bytes) = (manifest.files().len(), manifest.total_size());
        let sources = transfer.full_sources().collect();
        self.send(DownloadNotice::Began { files, bytes, sources }).await;
    }

    async fn commit(&mut self, manifest: Arc<Manifest>) {
        self.sources.end_all().await;
        let now = self.now();
        let (Stage::Transferring(transfer), Some(resume)) = (&self.stage, &self.resume) else {
            return;
        };
        let agreed = Arc::new(transfer.agree(&manifest));
        let sources = transfer.ledger().given();
        let progress = report(&mut self.progress, &self.job, transfer, now);
        let (storage, journal) = (Arc::clone(resume.storage()), Arc::clone(resume.journal()));
        self.disk.commit(storage, journal, Arc::clone(&agreed), Arc::clone(&manifest));
        self.stage = Stage::Committing(Complete { manifest, sources, agreed });
        self.send(DownloadNotice::Progress(progress)).await;
    }

    fn on_committed(&mut self, Committed { keeps_bits, seen }: Committed) -> Option<Ended> {
        let Stage::Committing(Complete { manifest, sources, agreed }) = &self.stage else {
            return None;
        };
        let bits = match &agreed.executable {
            None => CommittedBits::Untold,
            Some(_) if keeps_bits => CommittedBits::Kept,
            Some(bits) => CommittedBits::Lost(bits.clone()),
        };
        let (manifest, sources) = (Arc::clone(manifest), sources.clone());
        Some(Ok(DownloadOutcome { manifest, sources, bits, seen }))
    }

    fn send_progress(&mut self, now: Duration) {
        let (Stage::Transferring(transfer), Some(_)) = (&self.stage, &self.resume) else { return };
        if self.progress.due_at(transfer.ledger().bytes_done()) <= now {
            let progress = report(&mut self.progress, &self.job, transfer, now);
            // Nobody misses one of many: a full channel must not slow the download down.
            let _ = self.notices.try_send(DownloadNotice::Progress(progress));
        }
    }

    /// A caller that no longer listens still gets its game.
    async fn send(&self, notice: DownloadNotice) {
        let _ = self.notices.send(notice).await;
    }

    fn now(&self) -> Duration {
        self.clock.read(Instant::now())
    }

    fn wake_at(&self) -> Instant {
        /// Only so that there is always a time; nothing depends on it.
        const FAR: Duration = Duration::from_secs(3600);
        let now = self.now();
        let wake_at = match &self.stage {
            Stage::Gathering(gathering) => gathering.wake_at(now),
            Stage::Transferring(transfer) => {
                let bytes_done = transfer.ledger().bytes_done();
                let resume = self.resume.as_ref();
                let progress_at = resume.map(|_| self.progress.due_at(bytes_done));
                let checkpoint_at = resume.and_then(ResumeState::due_at);
                let own = [self.pacer.wake_at(), self.sources.wake_at()];
                let others = [transfer.wake_at(now), progress_at, checkpoint_at];
                own.into_iter().chain(others).flatten().min()
            }
            Stage::Describing(description) => description.wake_at(now),
            Stage::Committing(_) => None,
        };
        self.clock.moment(wake_at.unwrap_or(now + FAR))
    }
}

impl Stage {
    fn transfer(&mut self) -> Option<&mut Transfer> {
        match self {
            Self::Transferring(transfer) => Some(transfer),
            Self::Gathering(_) | Self::Describing(_) | Self::Committing(_) => None,
        }
    }
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
