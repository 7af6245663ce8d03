//! Readers that `fuzz/` runs.

pub use crate::external::fuzzing::listing;
pub use crate::rar::fuzzing::names;
