//! An operation on a path that the system refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reserve;

/// Says what was tried, on which path, and why it failed. Cloneable, since an event and an answer may carry
/// the same one.
///
/// Two are equal if they say the same.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct IoFailure {
    /// What was tried, as a verb that takes the path.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: Arc<io::Error>,
}

impl IoFailure {
    /// Says that `action` failed on `path`.
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { action, path: path.into(), source: Arc::new(source) }
    }

    /// Says that `action` is refused on `path` for a reason that no system gave.
    pub fn refused(
        action: &'static str,
        path: impl Into<PathBuf>,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(action, path, io::Error::other(reason.into()))
    }

    /// Returns what makes a failure of an error, for [`Result::map_err`].
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::new(action, path, source)
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        reserve::is_full(&self.source)
    }
}

impl PartialEq for IoFailure {
    fn eq(&self, other: &Self) -> bool {
        let said = |failure: &Self| (failure.kind(), failure.source.to_string());
        (self.action, &self.path) == (other.action, &other.path) && said(self) == said(other)
    }
}

impl Eq for IoFailure {}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn it_says_what_failed_on_what_and_why() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let failure = IoFailure::at("write", Path::new("/games/a"))(full);
        assert_eq!(failure.to_string(), "cannot write /games/a: no storage space");
        assert!(failure.is_full() && failure.source().is_some());
        assert_eq!(failure, failure.clone());
        let other = IoFailure::refused("write", "/games/a", "no storage space");
        assert_eq!(other.to_string(), failure.to_string());
        assert!(!other.is_full() && other != failure);
    }
}
