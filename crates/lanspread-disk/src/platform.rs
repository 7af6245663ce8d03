//! What this crate wants of the operating system beyond the standard library.

#[cfg(unix)]
pub(crate) mod unix;
