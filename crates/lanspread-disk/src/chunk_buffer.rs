//! Memory for chunks that are received, sent and written.
//!
//! Fresh memory costs about as much as filling it: the system hands it out page by page and zeroes
//! each one. So what a chunk was in is kept for the next one. It is aligned, so that it can be written
//! past the page cache as it is.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lanspread_proto::CHUNK_SIZE_BYTES;

/// What disks want the address of memory to be a multiple of: the largest block of those in use.
pub const ALIGNMENT: usize = 4096;
/// FreeSpace for the largest chunk, wherever in memory it begins.
#[expect(clippy::cast_possible_truncation, reason = "a few MiB fit any usize")]
const CAPACITY: usize = CHUNK_SIZE_BYTES as usize + ALIGNMENT;
/// From this size on memory is kept. What is shorter, the allocator keeps itself.
const KEPT_MIN_BYTES: usize = 128 * 1024;
/// Most that is kept: what is in memory to be sent at most, which is 96 MiB. The allocator would spread it over a dozen arenas,
/// and keep two or three times as much.
const KEPT_MAX: usize = 48;

/// Shared by all peers of a process: what is in it means nothing.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Bytes of one or more chunks, [`CHUNK_SIZE_BYTES`] at most.
pub struct ChunkBuffer {
    memory: Vec<u8>,
    place: Range<usize>,
}

impl ChunkBuffer {
    /// Returns a buffer of `len` bytes, whatever they are. Aligned to [`ALIGNMENT`] unless it is
    /// short; `None` for more than [`CHUNK_SIZE_BYTES`].
    pub fn of_len(len: usize) -> Option<Self> {
        if len as u64 > CHUNK_SIZE_BYTES {
            return None;
        }
        if len < KEPT_MIN_BYTES {
            return Some(Self { memory: vec![0; len], place: 0..len });
        }
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = kept.unwrap_or_else(|| vec![0; CAPACITY]);
        // Below `ALIGNMENT`, since memory of bytes can be aligned to anything.
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        Some(Self { memory, place: begin..begin.checked_add(len)? })
    }

    /// Returns the same bytes, to be shared. The memory is kept when the last one lets go of them.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for ChunkBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.get(self.place.clone()).unwrap_or_default()
    }
}

impl DerefMut for ChunkBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.place.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ChunkBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkBuffer({} bytes)", self.len())
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        if self.memory.len() == CAPACITY {
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT_MAX {
                kept.push(std::mem::take(&mut self.memory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = CAPACITY - ALIGNMENT;

    #[test]
    fn every_length_up_to_a_chunk_fits_and_no_other() {
        for len in [0, 1, KEPT_MIN_BYTES - 1, KEPT_MIN_BYTES, CHUNK - 1, CHUNK] {
            let mut buffer = ChunkBuffer::of_len(len).unwrap();
            assert_eq!(buffer.len(), len);
            buffer.fill(7);
            assert_eq!(&*buffer.freeze(), vec![7; len]);
        }
        for len in [CHUNK + 1, usize::MAX] {
            assert!(ChunkBuffer::of_len(len).is_none(), "{len}");
        }
    }

    #[test]
    fn what_is_long_is_aligned_also_when_its_memory_is_used_again() {
        for len in [KEPT_MIN_BYTES, CHUNK, CHUNK - 1] {
            let buffer = ChunkBuffer::of_len(len).unwrap();
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }

    #[test]
    fn no_more_is_kept_than_the_bound_says() {
        let buffers: Vec<_> = (0..2 * KEPT_MAX).map(|_| ChunkBuffer::of_len(CHUNK)).collect();
        drop(buffers);
        assert!(KEPT.lock().unwrap().len() <= KEPT_MAX);
    }
}
