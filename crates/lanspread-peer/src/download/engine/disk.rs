//! The blocking jobs of a download: hashing and writing, off the threads that serve the network.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_catalog::parse_version_ini;
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::{ContentHash, GameVersion, Manifest};
use tokio::task::JoinSet;

use super::super::layout::ChunkPlace;
use super::super::scheduler::Ask;
use super::super::source::ReceivedChunk;
use super::super::storage::{Storage, StorageError};
use super::Event;
use super::requests::finished;

/// Most chunks hashed and written at once: one thread does both faster than a fast link delivers,
/// and a second one bridges the moments in which the system makes the first one wait.
const WRITERS_MAX: usize = 2;

/// A chunk that has arrived, and what has to be known to verify and keep it.
pub(super) struct Arrived {
    pub(super) ask: Ask,
    pub(super) place: ChunkPlace,
    pub(super) file_size: u64,
    pub(super) chunk: ReceivedChunk,
    /// The hash that it must have beside its own, if one is known.
    pub(super) expected: Option<ContentHash>,
    /// Whether nothing was ever written to its place.
    pub(super) is_hole: bool,
    /// The version that it must tell, if it is the sentinel.
    pub(super) sentinel_of: Option<GameVersion>,
}

/// What became of a chunk that arrived.
pub(super) enum Kept {
    /// It has this hash and is on disk, or here if it is the sentinel.
    Stored { hash: ContentHash, len: u32, sentinel: Option<Vec<u8>> },
    /// It is not what it should be.
    Wrong,
    /// It could not be written.
    Failed(StorageError),
}

/// The disk work of one download, and the chunks that wait for it. Their number is bounded by the
/// scheduler, which asks for no more while they wait.
#[derive(Default)]
pub(super) struct Disk {
    jobs: JoinSet<Event>,
    waiting: VecDeque<Arrived>,
}

impl Disk {
    /// Makes the files of `manifest` in `root`.
    pub(super) fn prepare(&mut self, root: PathBuf, manifest: Arc<Manifest>) {
        self.jobs.spawn_blocking(move || Event::Prepared(Storage::prepare(&root, manifest)));
    }

    /// Lets a chunk wait for its turn.
    pub(super) fn push(&mut self, arrived: Arrived) {
        self.waiting.push_back(arrived);
    }

    /// Begins to verify and write what waits, as far as there is room.
    pub(super) fn work(&mut self, storage: &Arc<Storage>) {
        while self.jobs.len() < WRITERS_MAX {
            let Some(arrived) = self.waiting.pop_front() else { return };
            let storage = Arc::clone(storage);
            self.jobs.spawn_blocking(move || {
                let ask = arrived.ask;
                Event::Kept { ask, kept: keep(&storage, arrived) }
            });
        }
    }

    /// Commits the game.
    pub(super) fn commit(&mut self, storage: Arc<Storage>, sentinel: Vec<u8>) {
        self.jobs.spawn_blocking(move || Event::Committed(storage.commit(&sentinel)));
    }

    /// The next result; `None` when nothing is being done.
    pub(super) async fn next(&mut self) -> Option<Event> {
        finished(self.jobs.join_next().await?)
    }

    /// Forgets what waits and lets what has begun come to its end.
    pub(super) async fn idle(&mut self) {
        self.waiting.clear();
        while self.jobs.join_next().await.is_some() {}
    }
}

fn keep(storage: &Storage, arrived: Arrived) -> Kept {
    let Arrived { place, file_size, chunk, expected, is_hole, sentinel_of, .. } = arrived;
    let hash = chunk_hash(file_size, place.index, &chunk.bytes);
    if hash != chunk.hash || expected.is_some_and(|expected| expected != hash) {
        return Kept::Wrong;
    }
    let sentinel = match sentinel_of {
        None => match storage.write(place, &chunk.bytes, is_hole) {
            Ok(()) => None,
            Err(error) => return Kept::Failed(error),
        },
        Some(version) if parse_version_ini(&chunk.bytes).is_ok_and(|told| told == version) => {
            Some(chunk.bytes)
        }
        Some(_) => return Kept::Wrong,
    };
    Kept::Stored { hash, len: place.len, sentinel }
}
