//! Marks inside directories that a peer has made, which say what each is for.

use std::io::{self, Read, Write};

use lanspread_proto::reserved::OWNER_MARKER;

use crate::durable::{self, below};
use crate::reserve::is_full;
use crate::{Dir, points};

/// How much of a mark is read; ours are shorter.
const MARK_MAX_BYTES: u64 = 64;

/// What a marked directory is for. The text is in the marker file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerMarker {
    /// An installation on its way.
    Installing,
    /// An old installation, to be kept until the new one is in its place.
    Replaced,
    /// An old installation that the user wants gone.
    Removed,
}

impl OwnerMarker {
    /// Returns the text in the marker file.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Installing => "installing",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }
}

/// Marks a directory as ours, durably. Blocks.
///
/// # Errors
/// Whatever the system reports.
pub fn mark(directory: &Dir, mark: OwnerMarker) -> io::Result<()> {
    // It is made anew, because one that is there may be a link to somewhere else.
    below::remove_file_durably(directory, OWNER_MARKER)?;
    let mut file = below::create_file(points::MARK_WRITE, directory, OWNER_MARKER)?;
    match file.write_all(mark.text().as_bytes()) {
        // An empty mark says the same, and a full disk must be able to lose an installation.
        Err(error) if mark == OwnerMarker::Removed && is_full(&error) => {}
        written => written?,
    }
    durable::sync_all(points::MARK_SYNC, &directory.at(OWNER_MARKER), &file)?;
    below::sync_dir(points::MARK_DIR_SYNC, directory)
}

/// Takes the mark out of a directory, durably. Not an error if there is none.
///
/// # Errors
/// Whatever the system reports.
pub fn unmark(directory: &Dir) -> io::Result<()> {
    below::remove_file_durably(directory, OWNER_MARKER)
}

/// Returns whether a directory carries a mark.
///
/// # Errors
/// Whatever the system reports.
pub fn is_marked(directory: &Dir) -> io::Result<bool> {
    Ok(read_mark(directory)?.is_some())
}

/// Returns the text of the mark; `None` without one. Only a regular file is one.
///
/// # Errors
/// Whatever the system reports.
pub fn read_mark(directory: &Dir) -> io::Result<Option<String>> {
    if directory.look(OWNER_MARKER)?.is_none_or(|found| !found.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    directory.read(OWNER_MARKER)?.take(MARK_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}
