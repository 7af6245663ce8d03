//! Readers that `fuzz/` runs.

pub use crate::index::fuzzing::index;
