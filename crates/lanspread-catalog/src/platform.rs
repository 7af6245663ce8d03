//! What this crate wants of the operating system beyond the standard library. Another system gets a
//! module beside `unix` with the same functions.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{copy_rights, sync_directory};
