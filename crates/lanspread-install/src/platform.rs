//! What this crate wants of the operating system beyond the standard library: how a script is run.
//!
//! No other module names a system.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(crate) use other::{SETUP_SCRIPT, setup_command};
#[cfg(unix)]
pub(crate) use unix::{SETUP_SCRIPT, setup_command};
