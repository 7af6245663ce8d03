//! What can go wrong while an archive is unpacked.

use std::io;
use std::path::{Path, PathBuf};

use lanspread_proto::path::PathError;

/// Why an entry is refused although it can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeReason {
    /// Its name would leave the target folder or cannot exist on every platform.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its name does not fit the reader's buffer, so that what would be checked is not what is stored.
    #[error("its name is too long")]
    NameTooLong,
    /// Its name holds half of a character: two such names could become one.
    #[error("its name is not text")]
    NotText,
    /// The archive, or the stream, holds two entries of this name, at least one of them a file.
    #[error("another entry has this name")]
    Duplicate,
    /// A file of the archive or the stream stands where this entry needs a directory.
    #[error("a file stands where it needs a directory")]
    BelowFile,
    /// It is a symbolic link or another pointer to something else; the text names its kind.
    #[error("it is a {0}")]
    Redirection(&'static str),
    /// It stands for another file, which the archive does not hold before it.
    #[error("it refers to {to:?}, which is not before it in the archive")]
    RefersToNothing {
        /// The name to which it refers, as the archive gives it.
        to: String,
    },
    /// It has a name by which a peer marks directories as its own.
    #[error("its name is one that a peer keeps for itself")]
    Reserved,
    /// It is neither a file nor a directory.
    #[error("it is neither a file nor a directory")]
    SpecialFile,
}

/// Why an archive, or an entry of it, does not hold what it announces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The content does not have the stored checksum.
    #[error("the checksum is wrong")]
    BadCrc,
    /// The content is longer than the entry announces.
    #[error("it holds more than the announced {announced} bytes")]
    TooLong {
        /// The announced size in bytes.
        announced: u64,
    },
    /// The content is shorter than the entry announces.
    #[error("it holds {found} of {announced} bytes")]
    TooShort {
        /// The announced size in bytes.
        announced: u64,
        /// The size found, in bytes.
        found: u64,
    },
    /// The archive ends before its end marker.
    #[error("it ends too early")]
    Truncated,
    /// A header is broken, or the compressed data make no sense.
    #[error("{0}")]
    Malformed(&'static str),
    /// The external program found the damage; this is what it said.
    #[error("the unpacking program reported: {0}")]
    Reported(String),
}

/// Why an archive was not, or not wholly, unpacked.
///
/// What was written before the failure stays in the target folder: the caller owns it.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// [`UnpackControl::is_cancelled`](crate::UnpackControl::is_cancelled) said so.
    #[error("unpacking was cancelled")]
    Cancelled,
    /// Headers or content are encrypted. There is no way to give a password.
    #[error("archive {} is protected by a password", archive.display())]
    PasswordProtected {
        /// The archive.
        archive: PathBuf,
    },
    /// An entry is refused before anything of it is written.
    #[error("entry {entry:?} is refused: {reason}")]
    UnsafeEntry {
        /// The name as the archive gives it.
        entry: String,
        /// What is wrong with it.
        reason: UnsafeReason,
    },
    /// The disk takes a name of the archive, or the stream, for one that is there already.
    #[error("the disk of {} does not tell {} from {}", target.display(), second.display(), first.display())]
    NamesClash {
        /// Where it is unpacked.
        target: PathBuf,
        /// What is there, relative to that.
        first: PathBuf,
        /// What would take its place.
        second: PathBuf,
    },
    /// The archive names more files and directories than [`NAMES_MAX`](crate::NAMES_MAX).
    #[error("archive {} holds more than {limit} files and directories", archive.display())]
    TooManyEntries {
        /// The archive.
        archive: PathBuf,
        /// The bound.
        limit: usize,
    },
    /// The archive does not hold what it announces.
    #[error("archive {} is damaged{}: {damage}", archive.display(), at_entry(entry.as_deref()))]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// The entry, where the damage belongs to one.
        entry: Option<String>,
        /// What is wrong.
        damage: Damage,
    },
    /// A following volume is not beside the first one.
    #[error("volume {} of archive {} is missing", volume.display(), archive.display())]
    MissingVolume {
        /// The first volume.
        archive: PathBuf,
        /// Where the missing volume was looked for.
        volume: PathBuf,
    },
    /// The archive continues another one: only the first volume of a set can be unpacked.
    #[error("archive {} is not the first volume of its set", archive.display())]
    NotFirstVolume {
        /// The archive.
        archive: PathBuf,
    },
    /// The file is no archive of a known format.
    #[error("{} is no archive of a known format", archive.display())]
    UnknownFormat {
        /// The file.
        archive: PathBuf,
    },
    /// The archive may be sound, but needs something that is missing here.
    #[error("archive {} {reason}", archive.display())]
    Unsupported {
        /// The archive.
        archive: PathBuf,
        /// What is missing, as the end of a sentence about the archive.
        reason: String,
    },
    /// The operating system refused something.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb that takes the path.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed; [`UnpackError::io_kind`] looks in here.
        source: io::Error,
    },
    /// The external program failed in a way that has no name here.
    #[error("{} failed with {status}: {stderr}", program.display())]
    External {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
}

fn at_entry(entry: Option<&str>) -> String {
    entry.map(|entry| format!(" at entry {entry:?}")).unwrap_or_default()
}

impl UnpackError {
    /// The kind of an [`UnpackError::Io`], by which a caller recognises a full disk.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn unsupported(archive: &Path, reason: &str) -> Self {
        Self::Unsupported { archive: archive.to_path_buf(), reason: reason.to_owned() }
    }

    pub(crate) fn damaged(archive: &Path, damage: Damage) -> Self {
        Self::Damaged { archive: archive.to_path_buf(), entry: None, damage }
    }
}
