//! What the engine keeps about the disk: which chunks to look for there, and what to tell the
//! journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lanspread_disk::free_space::Reservation;
use lanspread_proto::ContentHash;
use lanspread_transfer::layout::{ChunkIndex, ChunkLocation};
use lanspread_transfer::record::Record;
use lanspread_transfer::transfer::Transfer;

use crate::journal::{Contents, Journal};
use crate::storage::{Storage, StorageError};

/// The pause between two checkpoints: what a crash costs at most, in download time. Syncing this
/// often also keeps the disk busy while the network is, so that little is left for the commit.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// The disk of a download that is prepared.
pub(super) struct Prepared {
    pub(super) storage: Storage,
    pub(super) journal: Journal,
    pub(super) contents: Contents,
    pub(super) reservation: Reservation,
}

/// A chunk to look for on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResumeProbe {
    pub(super) chunk: ChunkIndex,
    pub(super) place: ChunkLocation,
    pub(super) expected: ContentHash,
}

/// Records on their way to the journal.
pub(super) struct Checkpoint {
    storage: Arc<Storage>,
    journal: Arc<Journal>,
    /// The numbers of the files that were written to.
    files: BTreeSet<usize>,
    records: Vec<Record>,
}

/// What a download knows of its journal, and of what was on disk before it.
pub(super) struct ResumeState {
    storage: Arc<Storage>,
    journal: Arc<Journal>,
    /// Holds the room for what is still to be written.
    _reservation: Reservation,
    /// What the journal says is on disk, until it has been looked for.
    claims: BTreeMap<ChunkIndex, ContentHash>,
    kept_files: KeptFilesSearch,
    /// How many chunks are being looked for.
    probing: usize,
    files: BTreeSet<usize>,
    records: Vec<Record>,
    checkpoint_at: Duration,
    is_saving: bool,
}

/// How far the search for what was on disk before, other than what the journal claims, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptFilesSearch {
    /// It waits until it is decided what the content is.
    Due,
    Running,
    Done,
}

impl ResumeState {
    pub(super) fn new(prepared: Prepared, now: Duration) -> Self {
        let Prepared { storage, journal, contents, reservation } = prepared;
        let kept_files = match contents.is_surveyed {
            true => KeptFilesSearch::Done,
            false if storage.has_kept() => KeptFilesSearch::Due,
            false => KeptFilesSearch::Running,
        };
        Self {
            storage: Arc::new(storage),
            journal: Arc::new(journal),
            _reservation: reservation,
            claims: contents.claims,
            kept_files,
            probing: 0,
            files: BTreeSet::new(),
            records: Vec::new(),
            checkpoint_at: now + CHECKPOINT_INTERVAL,
            is_saving: false,
        }
    }

    pub(super) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The chunks to look for now, which nobody is asked for meanwhile. First those that the journal
    /// claims; the others once it is decided what the content is.
    pub(super) fn probes(&mut self, transfer: &mut Transfer) -> Vec<ResumeProbe> {
        let mut probes = Vec::new();
        for (chunk, claimed) in std::mem::take(&mut self.claims) {
            // What is known to be other bytes need not be read.
            if transfer.decided_hash(chunk).is_none_or(|decided| decided == claimed) {
                probes.extend(self.probe(transfer, chunk, claimed));
            }
        }
        if self.kept_files == KeptFilesSearch::Due && transfer.is_decided() {
            self.kept_files = KeptFilesSearch::Running;
            for chunk in (0..transfer.layout().chunk_count()).map(ChunkIndex) {
                let decided = transfer.decided_hash(chunk);
                probes.extend(decided.and_then(|hash| self.probe(transfer, chunk, hash)));
            }
        }
        self.probing += probes.len();
        // Here and not when the last chunk was looked for, so that what came of it is noted before.
        if self.kept_files == KeptFilesSearch::Running && self.probing == 0 {
            self.kept_files = KeptFilesSearch::Done;
            self.records.push(Record::Surveyed);
        }
        probes
    }

    /// A chunk has been looked for.
    pub(super) fn on_probed(&mut self) {
        self.probing = self.probing.saturating_sub(1);
    }

    /// Notes what the journal is to be told.
    pub(super) fn enter(&mut self, transfer: &Transfer, record: Record) {
        if let Record::Written(chunk, _) = record {
            self.files.extend(transfer.layout().location(chunk).map(|(place, _)| place.file));
        }
        self.records.push(record);
    }

    /// When a checkpoint is due, unless one is under way or there is nothing to save.
    pub(super) fn due_at(&self) -> Option<Duration> {
        (!self.is_saving && !self.records.is_empty()).then_some(self.checkpoint_at)
    }

    /// What is to be saved, if it is time for that; [`Self::saved`] must follow.
    pub(super) fn checkpoint(&mut self, now: Duration) -> Option<Checkpoint> {
        self.due_at().filter(|at| *at <= now)?;
        self.is_saving = true;
        Some(self.last_checkpoint())
    }

    /// What has not been saved yet.
    pub(super) fn last_checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            storage: Arc::clone(&self.storage),
            journal: Arc::clone(&self.journal),
            files: std::mem::take(&mut self.files),
            records: std::mem::take(&mut self.records),
        }
    }

    /// A checkpoint has come to its end. The next one keeps its distance, however long it took.
    pub(super) fn saved(&mut self, now: Duration) {
        self.is_saving = false;
        self.checkpoint_at = now + CHECKPOINT_INTERVAL;
    }

    fn probe(
        &self,
        transfer: &mut Transfer,
        chunk: ChunkIndex,
        expected: ContentHash,
    ) -> Option<ResumeProbe> {
        let (place, _) = transfer.layout().location(chunk)?;
        (self.storage.is_kept(place) && transfer.hold(chunk)).then_some(ResumeProbe {
            chunk,
            place,
            expected,
        })
    }
}

impl Checkpoint {
    /// Makes the bytes durable, and then what the journal says about them. Blocks.
    ///
    /// # Errors
    /// When the bytes could not be made durable. A journal that cannot be written is done without.
    pub(super) fn save(self) -> Result<(), StorageError> {
        self.storage.sync(&self.files)?;
        self.note();
        Ok(())
    }

    /// Tells the journal what is on disk, durable or not: it says where to look. Blocks.
    pub(super) fn note(&self) {
        if let Err(error) = self.journal.append(&self.records) {
            tracing::warn!(%error, "a download goes on without its journal");
        }
    }
}
