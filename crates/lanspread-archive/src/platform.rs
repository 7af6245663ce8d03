//! What this crate wants of the operating system beyond the standard library.
//!
//! No other module names a system. Another one gets a file beside `unix`, with the same items.

#[cfg(unix)]
mod unix;

#[cfg(all(test, unix))]
pub(crate) use unix::testing;
#[cfg(unix)]
pub(crate) use unix::{
    ArchiveName, begin_write_back, make_executable, name_from_bytes, open_without_waiting,
    share_blocks,
};
