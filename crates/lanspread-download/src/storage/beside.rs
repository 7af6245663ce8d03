//! What a commit writes beside the content: executable bits and empty directories.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{io, thread};

use lanspread_disk::Dir;
use lanspread_disk::durable::{self, below};
use lanspread_library::{Fingerprint, StampedFile, settle};
use lanspread_proto::hash::ChunkHasher;
use lanspread_proto::manifest::chunk_len;
use lanspread_proto::{CHUNK_SIZE_BYTES, FileBits, Manifest, RelPath};
use lanspread_transfer::layout::ChunkLocation;

use super::{
    Committed, SYNC_THREADS, Storage, StorageError, failed, native, read_blocks, sync_directory,
};
use crate::points;

impl Storage {
    /// Gives the files their executable bits, where those are known, and makes all of them durable.
    /// Returns whether the bits stayed, and what the files look like from now on, with times that stand for
    /// what they hold.
    pub(super) fn finish_files(
        &self,
        bits: Option<&FileBits>,
        content: &Manifest,
    ) -> Result<Committed, StorageError> {
        let (now, seen) = (SystemTime::now(), Mutex::new(Vec::new()));
        let files = Mutex::new(self.manifest.files().iter().enumerate());
        let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next();
        let keeps_bits = AtomicBool::new(true);
        let finish_some = || {
            while let Some((number, file)) = next() {
                let path = self.root.at(native(file));
                self.go_on(&path)?;
                let change = |file: &File| {
                    self.require_own(number, file, content)?;
                    let wanted = bits.map(|bits| bits.get(number));
                    let outcome = wanted.map_or(durable::ExecutableBit::Kept, |it| {
                        durable::set_executable(&path, file, it)
                    });
                    keeps_bits
                        .fetch_and(outcome != durable::ExecutableBit::Lost, Ordering::Relaxed);
                    Ok(outcome == durable::ExecutableBit::Changed)
                };
                let finished =
                    below::finish_file(points::COMMIT_FILE_SYNC, &self.root, native(file), change)
                        .map_err(failed("finish", &path))?;
                if let Ok(stamp) = settle(&finished, now) {
                    let path = file.path.clone();
                    let file = StampedFile { path, stamp, is_executable: false };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(file);
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..SYNC_THREADS).map(|_| scope.spawn(finish_some)).collect();
            let finished = threads.into_iter().map(|thread| match thread.join() {
                Ok(finished) => finished,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            finished.collect::<Result<(), StorageError>>()
        })?;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seen = Fingerprint::new(seen, None, BTreeSet::new());
        Ok(Committed { keeps_bits: keeps_bits.into_inner(), seen })
    }
}

impl Storage {
    /// Reads a file once more that something else changed while the download was under way.
    fn require_own(&self, number: usize, file: &File, content: &Manifest) -> io::Result<()> {
        if !self.touches.is_touched(number, file)? {
            return Ok(());
        }
        let other = || io::Error::other("something else changed it during the download");
        let listed = content.files().get(number).ok_or_else(other)?;
        let hashes = listed.hashes.as_ref().ok_or_else(other)?;
        for (index, expected) in (0..u32::MAX).zip(hashes.chunks()) {
            let offset = u64::from(index) * CHUNK_SIZE_BYTES;
            let len = u32::try_from(chunk_len(listed.size, index)).map_err(io::Error::other)?;
            let mut hasher = ChunkHasher::new(listed.size, index);
            read_blocks(file, ChunkLocation { file: number, index, offset, len }, |block| {
                hasher.update(block);
                true
            })?;
            if hasher.finish() != expected {
                return Err(other());
            }
        }
        Ok(())
    }
}

/// Makes empty directories below `root`, durably. What is in the way of one stays, and so the directory
/// is left out: it holds nothing that a game could miss.
pub(super) fn make_empty(root: &Dir, directories: &[RelPath]) -> Result<(), StorageError> {
    let mut changed: BTreeSet<&Path> = BTreeSet::new();
    for directory in directories {
        let mut above: Vec<_> = Path::new(directory.as_str()).ancestors().collect();
        // The empty path is the root itself.
        above.pop();
        for path in above.into_iter().rev() {
            let found = root.look(path).map_err(failed("look at", &root.at(path)))?;
            match found {
                Some(found) if found.is_dir() => continue,
                Some(_) => {
                    tracing::warn!(%directory, "an empty directory is left out: something is in its way");
                    break;
                }
                None => {}
            }
            below::create_dir(points::COMMIT_DIR_CREATE, root, path)
                .map_err(failed("create directory", &root.at(path)))?;
            changed.extend(path.parent());
        }
    }
    for path in changed {
        let directory = root.dir(path).map_err(failed("open", &root.at(path)))?;
        sync_directory(points::COMMIT_DIR_SYNC, &directory)?;
    }
    Ok(())
}
