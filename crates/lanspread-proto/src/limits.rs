//! The limits of what travels, in one table, so that none contradicts another.
//!
//! Each is checked where a game lies and again by whoever receives it. One test builds a game at all of
//! them (`tests/limits.rs`), others exceed one each.

/// Most content files of a game: what is promised, and what fits the memory of both ends.
pub const MANIFEST_MAX_FILES: usize = 100_000;
/// Most bytes of all paths of a game together: 335 bytes a file at [`MANIFEST_MAX_FILES`]. They are
/// most of the memory that a manifest takes.
pub const MANIFEST_MAX_PATH_BYTES: u64 = 32 * 1024 * 1024;
/// Most chunks of a game, which is 1 TiB: what the journal of a receiver and its memory for a transfer hold.
pub const MANIFEST_MAX_CHUNKS: u32 = 1 << 19;

/// Longest path in bytes. Windows without long paths ends at 260 characters, POSIX at 4,096 bytes.
pub const PATH_MAX_BYTES: usize = 1024;
/// Deepest path in components, so that no peer can make another recurse without end.
pub const PATH_MAX_DEPTH: usize = 32;
/// Longest component in bytes (`NAME_MAX` of the file systems in use).
pub const COMPONENT_MAX_BYTES: usize = 255;

/// Longest page of a manifest: 1 s at the lowest upload limit. A smaller one costs round trips, a
/// larger one memory.
pub const PAGE_MAX_BYTES: usize = 256 * 1024;
/// Most pages of a layout. All paths and sizes take 33 MiB at most; a page of the largest records
/// leaves up to one record of its room unused.
pub const LAYOUT_PAGES_MAX: u32 = 134;
/// Hashes of one page.
pub const HASHES_PER_PAGE: u32 = 8192;
/// Most pages of hashes, which follow from [`MANIFEST_MAX_CHUNKS`].
pub const HASH_PAGES_MAX: u32 = MANIFEST_MAX_CHUNKS / HASHES_PER_PAGE;

/// Most empty directories that are told. A game has tens; each costs a receiver an inode without any
/// byte sent.
pub const DIRECTORIES_MAX: usize = 4096;
/// Most bytes of the encoded empty directories, so that the attributes of a game fit one page.
pub const DIRECTORIES_MAX_BYTES: usize = 128 * 1024;

/// Most chunks of one request; their bytes together are at most [`crate::CHUNK_SIZE_BYTES`].
pub const GET_CHUNKS_MAX: usize = 256;
/// Most bytes of the paths of one request for chunks, so that it stays within a header of 64 KiB.
pub const GET_CHUNKS_MAX_PATH_BYTES: usize = 32 * 1024;

/// Most games of a library and of a catalog: some fifty times the largest known one.
pub const LIBRARY_MAX_GAMES: u32 = 100_000;
/// Most pages of a library: those of games whose ids and versions are as long as can be. Usual ones take 36.
pub const LIBRARY_PAGES_MAX: u32 = 93;
