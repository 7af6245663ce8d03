//! The chunks in which a file is hashed and travels.

/// Bytes of a chunk; the last one of a file may be shorter.
///
/// A power of two, so that a chunk is a whole BLAKE3 subtree. Large enough that one request costs
/// little beside its bytes, small enough that several sources can share one archive. The hashes of a
/// terabyte take 16 MiB.
pub const CHUNK_SIZE_BYTES: u64 = 2 * 1024 * 1024;

/// How many chunks a file of `size` bytes has; an empty file has none.
#[must_use]
pub const fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_SIZE_BYTES)
}

/// Length in bytes of chunk `index` of a file of `size` bytes; 0 beyond its end.
#[must_use]
pub const fn chunk_len(size: u64, index: u32) -> u64 {
    let start = index as u64 * CHUNK_SIZE_BYTES;
    let left = size.saturating_sub(start);
    if left < CHUNK_SIZE_BYTES { left } else { CHUNK_SIZE_BYTES }
}
