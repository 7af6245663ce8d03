//! Writes the entries of an archive as files below a target folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lanspread_proto::RelPath;
use rustix::fs::{Advice, fadvise};

use crate::control::UnpackControl;
use crate::error::UnpackError;
use crate::names::NameTree;
use crate::pass::{EntryPass, EntryVisitor, FileEntry, UnpackSummary};

/// After so much of a file the system is told to begin writing it to the disk. Whoever syncs at the
/// end, as installations do, would otherwise wait there for all of it, while the disk was idle before.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// Runs `read` over `archive` and writes what it finds below `target`.
pub(crate) fn unpack_below(
    archive: &Path,
    target: &Path,
    control: &mut dyn UnpackControl,
    read: impl FnOnce(&mut EntryPass<'_>) -> Result<(), UnpackError>,
) -> Result<UnpackSummary, UnpackError> {
    let mut sink = FileSink::new(target)?;
    let mut names = NameTree::default();
    let mut pass = EntryPass::new(archive, &mut names, &mut sink, control);
    read(&mut pass)?;
    Ok(pass.summary())
}

struct OpenFile {
    file: File,
    path: PathBuf,
    modified: Option<SystemTime>,
    written_bytes: u64,
    /// How much of it the system was told to write back.
    sent_back_bytes: u64,
}

impl OpenFile {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.file.write_all(block)?;
        self.written_bytes += block.len() as u64;
        let waiting = self.written_bytes - self.sent_back_bytes;
        if waiting >= WRITE_BACK_BYTES {
            // Pages that are dirty stay where they are; it is their writing that this begins. A system
            // that does not listen writes them later.
            let length = NonZeroU64::new(waiting);
            let _ = fadvise(&self.file, self.sent_back_bytes, length, Advice::DontNeed);
            self.sent_back_bytes = self.written_bytes;
        }
        Ok(())
    }
}

/// Creates files and directories below a folder, and never goes through a link on the way.
///
/// An existing file is never touched: its name in the archive is an error of kind
/// [`io::ErrorKind::AlreadyExists`].
pub(crate) struct FileSink {
    target: PathBuf,
    /// The directory of the file before, which mostly is that of the next one as well.
    known_directory: Option<PathBuf>,
    open: Option<OpenFile>,
}

impl FileSink {
    pub(crate) fn new(target: &Path) -> Result<Self, UnpackError> {
        require_directory(target).map_err(UnpackError::io("unpack into", target))?;
        Ok(Self { target: target.to_path_buf(), known_directory: None, open: None })
    }

    /// Creates the directory and its parents below the target where they are missing.
    fn create_directories<'p>(
        &mut self,
        components: impl Iterator<Item = &'p str>,
    ) -> Result<PathBuf, UnpackError> {
        let mut place = self.target.clone();
        let mut missing = Vec::new();
        for component in components {
            place.push(component);
            missing.push(place.clone());
        }
        if self.known_directory.as_ref() != Some(&place) {
            for directory in missing {
                create_directory(&directory)
                    .map_err(UnpackError::io("create directory", &directory))?;
            }
            self.known_directory = Some(place.clone());
        }
        Ok(place)
    }
}

fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => require_directory(path),
        other => other,
    }
}

/// A link to a directory is none: what stands behind it is outside the target.
fn require_directory(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotADirectory, "it is there, but is no directory"))
}

impl EntryVisitor for FileSink {
    fn directory(&mut self, path: &RelPath) -> Result<(), UnpackError> {
        self.create_directories(path.components()).map(|_| ())
    }

    fn begin_file(&mut self, entry: &FileEntry) -> Result<(), UnpackError> {
        let mut parents = entry.path.components();
        let name = parents.next_back().unwrap_or_default();
        let path = self.create_directories(parents)?.join(name);
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(UnpackError::io("create", &path))?;
        self.open = Some(OpenFile {
            file,
            path,
            modified: entry.modified,
            written_bytes: 0,
            sent_back_bytes: 0,
        });
        Ok(())
    }

    fn data(&mut self, block: &[u8]) -> Result<(), UnpackError> {
        match &mut self.open {
            Some(open) => open.write(block).map_err(UnpackError::io("write", &open.path)),
            None => Ok(()),
        }
    }

    fn end_file(&mut self) -> Result<(), UnpackError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if let Some(modified) = open.modified {
            // Not every file system keeps every time, and a game does not need it.
            let _ = open.file.set_modified(modified);
        }
        Ok(())
    }
}
