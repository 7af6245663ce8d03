//! Writing whole chunks past the page cache.
//!
//! The copy into the page cache costs a receiver more than anything else that it does with a chunk, and
//! the sync has to wait until all of it is written back. A chunk that is written directly is at the
//! disk when the call returns. Where the file system cannot do that, or a chunk is too short for it,
//! the caller writes the usual way; both may be mixed in one file.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use lanspread_disk::chunk_buffer::ALIGNMENT;
use lanspread_disk::{Dir, durable, platform};
use lanspread_proto::RelPath;

/// Shortest write for which it is worth to wait for the disk. Shorter ones are faster gathered in the
/// page cache.
const DIRECT_MIN_BYTES: usize = 1024 * 1024;

/// What it takes to write directly.
#[derive(Debug)]
pub(super) struct Direct {
    is_supported: AtomicBool,
}

impl Direct {
    pub(super) fn new() -> Self {
        Self { is_supported: AtomicBool::new(true) }
    }

    /// Writes `bytes` to the file at `path` below `root`, which is there; returns `false` if they have
    /// to be written the usual way. Follows no link.
    ///
    /// # Errors
    /// What the system says, unless it is that it cannot write directly.
    pub(super) fn write(
        &self,
        root: &Dir,
        path: &RelPath,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<bool> {
        let is_aligned = bytes.as_ptr().align_offset(ALIGNMENT) == 0
            && bytes.len().is_multiple_of(ALIGNMENT)
            && offset.is_multiple_of(ALIGNMENT as u64);
        let is_worth_it = is_aligned && bytes.len() >= DIRECT_MIN_BYTES;
        if !is_worth_it || !self.is_supported.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let opened = root.write_direct(path.as_str());
        match opened.and_then(|file| platform::write_all_at(&file, bytes, offset)) {
            Err(error) if durable::is_not_supported(&error) => {
                tracing::debug!(%error, "the file system does not write directly");
                self.is_supported.store(false, Ordering::Relaxed);
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use lanspread_disk::chunk_buffer::ChunkBuffer;

    use super::*;

    const CHUNK: usize = 2 * 1024 * 1024;

    fn chunk_of(byte: u8) -> ChunkBuffer {
        let mut chunk = ChunkBuffer::of_len(CHUNK).unwrap();
        chunk.fill(byte);
        chunk
    }

    /// Writes to `file` in `directory`.
    fn write(direct: &Direct, directory: &Path, bytes: &[u8], offset: u64) -> io::Result<bool> {
        let file = "file".parse().unwrap();
        direct.write(&Dir::open(directory).unwrap(), &file, bytes, offset)
    }

    #[test]
    fn what_is_short_or_lies_crooked_is_left_to_the_caller() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"before").unwrap();
        let direct = Direct::new();
        let chunk = chunk_of(7);
        let (short, crooked) = (&chunk[..ALIGNMENT], &chunk[1..CHUNK - ALIGNMENT + 1]);
        for (bytes, offset) in [(short, 0), (&chunk[..CHUNK - 1], 0), (&*chunk, 1), (crooked, 0)] {
            let written = write(&direct, directory.path(), bytes, offset).unwrap();
            assert!(!written, "{} at {offset}", bytes.len());
        }
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn chunks_lie_at_their_place_beside_what_is_written_the_usual_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let before = vec![1; CHUNK + 5];
        fs::write(&path, &before).unwrap();
        // So that a stale page would be seen.
        assert_eq!(fs::read(&path).unwrap(), before);
        let direct = Direct::new();
        for round in 2..5 {
            // Where it is not supported, nothing may have been touched.
            let written = write(&direct, directory.path(), &chunk_of(round), 0).unwrap();
            let expected = if written { round } else { 1 };
            let found = fs::read(&path).unwrap();
            assert!(found[..CHUNK].iter().all(|byte| *byte == expected));
            assert_eq!(found[CHUNK..], [1; 5]);
        }
    }

    #[test]
    fn links_are_not_followed_and_a_missing_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("file"));
        fs::write(&target, b"mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let direct = Direct::new();
        let chunk = chunk_of(7);
        write(&direct, directory.path(), &chunk, 0).unwrap_err();
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        fs::remove_file(link).unwrap();
        write(&direct, directory.path(), &chunk, 0).unwrap_err();
    }
}
