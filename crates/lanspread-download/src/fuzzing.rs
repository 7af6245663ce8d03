//! Readers that `fuzz/` runs.

pub use crate::journal::fuzzing::journal;
