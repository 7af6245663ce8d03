//! What keeps a game root from being made.

use std::io;
use std::path::{Path, PathBuf};

use lanspread_catalog::CatalogError;
use lanspread_proto::RelPath;
use lanspread_proto::path::PathError;

/// Why a game root is not made.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The name of a file is not allowed.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Two files, or a file and a directory, have one path.
    #[error("two files would be {path}")]
    Duplicate {
        /// The path.
        path: RelPath,
    },
    /// What is to be executable is not among the files.
    #[error("no file and no entry would be {path}")]
    NoSuchFile {
        /// The path.
        path: RelPath,
    },
    /// A file would take the place of the sentinel.
    #[error("version.ini is the sentinel; its content is the version")]
    Sentinel,
    /// More files than a game may have.
    #[error("a game has less than {limit} files")]
    TooManyFiles {
        /// The bound.
        limit: usize,
    },
    /// The game root is there already.
    #[error("{} is there already", root.display())]
    RootExists {
        /// The game root.
        root: PathBuf,
    },
    /// Something else than a directory is where the game root belongs.
    #[error("{} is there and is no directory", root.display())]
    NotADirectory {
        /// The game root.
        root: PathBuf,
    },
    /// The catalog is to be made in a directory that is not there.
    #[error("catalog {} cannot be made: there is no directory {}", catalog.display(), dir.display())]
    NoCatalogDirectory {
        /// The catalog.
        catalog: PathBuf,
        /// Its directory.
        dir: PathBuf,
    },
    /// The game cannot be added to the catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb that takes the path.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl FixtureError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
