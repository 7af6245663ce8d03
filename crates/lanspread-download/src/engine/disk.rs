//! The blocking jobs of a download: hashing and writing, off the threads that serve the network.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use lanspread_disk::free_space::FreeSpace;
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::{ContentHash, Manifest};
use lanspread_transfer::attributes::Agreed;
use lanspread_transfer::layout::{ChunkIndex, ChunkLocation};
use lanspread_transfer::ledger::ChunkHashes;
use lanspread_transfer::scheduler::Ask;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Event;
use super::requests::finished;
use super::resume_state::{Checkpoint, Prepared, ResumeProbe};
use crate::demand;
use crate::error::DownloadFailure;
use crate::journal::{Header, Journal};
use crate::storage::{Storage, StorageError, failed, refuse_clashes};

/// Most chunks hashed and written at once: one thread does both faster than a fast link delivers,
/// and a second one bridges the moments in which the system makes the first one wait.
const WRITERS_MAX: usize = 2;

/// What has to be known to begin on the disk.
pub(super) struct Preparation {
    pub(super) root: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) manifest: Arc<Manifest>,
    /// The hashes of its chunks, if they are decided.
    pub(super) hashes: Option<Arc<ChunkHashes>>,
    pub(super) free_space: FreeSpace,
    pub(super) stop: CancellationToken,
}

/// A received chunk, and what has to be known to verify and keep it.
pub(super) struct ReceivedChunk {
    pub(super) chunk: ChunkIndex,
    pub(super) place: ChunkLocation,
    pub(super) file_size: u64,
    pub(super) bytes: Bytes,
    /// The hash that came with it.
    pub(super) hash: ContentHash,
    /// The hash that it must have beside its own, if one is known.
    pub(super) expected: Option<ContentHash>,
    /// Whether nothing was ever written to its place.
    pub(super) is_hole: bool,
}

/// What became of a received chunk.
pub(super) enum WriteOutcome {
    /// It has this hash and is on disk.
    Written { hash: ContentHash, len: u32 },
    /// It is not what it should be.
    Wrong,
    /// It could not be written.
    Failed(StorageError),
}

/// The disk work of one download, and the chunks that wait for it. Their number is bounded by the
/// scheduler, which asks for no more while they wait.
pub(super) struct Disk {
    jobs: JoinSet<Event>,
    /// Counts the jobs, which outlive this when the engine panics: nothing can end them.
    running: TaskTracker,
    /// How many of the jobs verify chunks.
    verifying: usize,
    waiting: VecDeque<(Ask, Vec<ReceivedChunk>)>,
    probes: VecDeque<ResumeProbe>,
    /// Whether there may be something on the disk that this download brought.
    has_begun: Arc<AtomicBool>,
}

impl Disk {
    /// Nothing to do yet. Its jobs will be counted in `running`.
    pub(super) fn new(running: TaskTracker) -> Self {
        Self {
            jobs: JoinSet::new(),
            running,
            verifying: 0,
            waiting: VecDeque::new(),
            probes: VecDeque::new(),
            has_begun: Arc::default(),
        }
    }

    /// Asks for room, begins the journal and makes the files.
    pub(super) fn prepare(&mut self, preparation: Preparation) {
        let has_begun = Arc::clone(&self.has_begun);
        self.start(move || Event::Prepared(prepare(preparation, &has_begun).map(Box::new)));
    }

    /// Whether there may be something on the disk that this download brought. Holds still once it is
    /// [`Self::idle`].
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Lets the chunks of a piece wait for their turn.
    pub(super) fn push(&mut self, ask: Ask, received: Vec<ReceivedChunk>) {
        self.waiting.push_back((ask, received));
    }

    /// Lets chunks be looked for when nothing else is to be done: what was received takes memory,
    /// what is on disk does not.
    pub(super) fn probe(&mut self, probes: Vec<ResumeProbe>) {
        self.probes.extend(probes);
    }

    /// Begins to verify and write what waits, as far as there is room.
    pub(super) fn work(&mut self, storage: &Arc<Storage>) {
        while self.verifying < WRITERS_MAX {
            let storage = Arc::clone(storage);
            if let Some((ask, received)) = self.waiting.pop_front() {
                self.start(move || {
                    let outcome = |it: ReceivedChunk| (it.chunk, write(&storage, it));
                    Event::Written { ask, outcomes: received.into_iter().map(outcome).collect() }
                });
            } else if let Some(probe) = self.probes.pop_front() {
                self.start(move || {
                    let is_there = is_there(&storage, probe);
                    Event::Probed { probe, is_there }
                });
            } else {
                return;
            }
            self.verifying += 1;
        }
    }

    /// Saves a checkpoint, beside whatever else is done.
    pub(super) fn save(&mut self, checkpoint: Checkpoint) {
        self.start(move || Event::Saved(checkpoint.save()));
    }

    /// Commits the game, after which its journal is of no use.
    pub(super) fn commit(
        &mut self,
        storage: Arc<Storage>,
        journal: Arc<Journal>,
        agreed: Arc<Agreed>,
        content: Arc<Manifest>,
    ) {
        self.start(move || {
            Event::Committed(storage.commit(&agreed, &content).inspect(|_| {
                // One that stays behind is swept at the next start.
                if let Err(error) = journal.remove() {
                    tracing::warn!(%error, "the journal of a finished download stays behind");
                }
            }))
        });
    }

    fn start(&mut self, job: impl FnOnce() -> Event + Send + 'static) {
        let token = self.running.token();
        self.jobs.spawn_blocking(move || {
            let _token = token;
            job()
        });
    }

    /// The next result; `None` when nothing is being done.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = finished(self.jobs.join_next().await?);
        if matches!(event, Some(Event::Written { .. } | Event::Probed { .. })) {
            self.verifying = self.verifying.saturating_sub(1);
        }
        event
    }

    /// Forgets what waits and lets what has begun come to its end.
    pub(super) async fn idle(&mut self) {
        self.waiting.clear();
        self.probes.clear();
        while self.jobs.join_next().await.is_some() {}
    }
}

/// Names that the disk cannot hold and room that it lacks come first: then nothing is touched. Then the
/// journal: from then on, what is found in the root is known to be unfinished.
fn prepare(preparation: Preparation, has_begun: &AtomicBool) -> Result<Prepared, DownloadFailure> {
    let Preparation { root, journal, manifest, hashes, free_space, stop } = preparation;
    refuse_clashes(&root, &manifest)?;
    let reservation = demand::reserve(&free_space, &root, &manifest, hashes.as_deref())?;
    has_begun.store(true, Ordering::SeqCst);
    let begun = Journal::begin(&journal, Header::new(&root, &manifest));
    let (journal, contents) = begun.map_err(failed("write", &journal))?;
    let storage = Storage::prepare(&root, manifest)?.until(stop);
    Ok(Prepared { storage, journal, contents, reservation })
}

fn is_there(storage: &Storage, probe: ResumeProbe) -> bool {
    match storage.hash(probe.place) {
        Ok(found) => found == Some(probe.expected),
        Err(error) => {
            tracing::debug!(%error, "a chunk on disk is of no use");
            false
        }
    }
}

fn write(storage: &Storage, received: ReceivedChunk) -> WriteOutcome {
    let ReceivedChunk { place, file_size, bytes, expected, is_hole, .. } = received;
    let hash = chunk_hash(file_size, place.index, &bytes);
    if hash != received.hash || expected.is_some_and(|expected| expected != hash) {
        return WriteOutcome::Wrong;
    }
    match storage.write(place, &bytes, is_hole) {
        Ok(()) => WriteOutcome::Written { hash, len: place.len },
        Err(error) => WriteOutcome::Failed(error),
    }
}
