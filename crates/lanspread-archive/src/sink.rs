//! Writes the entries of an archive as files below a target folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lanspread_disk::{Dir, Listing};
use lanspread_proto::RelPath;

use crate::control::UnpackControl;
use crate::copies::{Copies, each_block};
use crate::error::UnpackError;
use crate::names::NameTree;
use crate::pass::{CopyEntry, EntryPass, EntryVisitor, FileEntry, OffsetControl, UnpackSummary};
use crate::platform;

/// After so much of a file the system is told to begin writing it to the disk. Whoever syncs at the
/// end, as installations do, would otherwise wait there for all of it, while the disk was idle before.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// Runs `read` over `archive` and writes what it finds below `target`.
pub(crate) fn unpack_below(
    archive: &Path,
    target: &Dir,
    control: &mut dyn UnpackControl,
    read: impl FnOnce(&mut EntryPass<'_>) -> Result<(), UnpackError>,
) -> Result<UnpackSummary, UnpackError> {
    let mut sink = FileSink::new(target);
    let mut names = NameTree::default();
    let mut pass = EntryPass::new(archive, &mut names, &mut sink, control);
    read(&mut pass)?;
    let (summary, before_bytes) = (pass.summary(), pass.written_bytes());
    sink.make_copies(&mut OffsetControl { control, before_bytes })?;
    Ok(summary)
}

struct OpenFile {
    file: File,
    path: PathBuf,
    modified: Option<SystemTime>,
    executable: bool,
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
            platform::begin_write_back(&self.file, self.sent_back_bytes, waiting);
            self.sent_back_bytes = self.written_bytes;
        }
        Ok(())
    }
}

/// Creates files and directories below a folder, and never goes through a link on the way.
///
/// An existing file is never touched: its name in the archive is an error of kind
/// [`io::ErrorKind::AlreadyExists`], or [`UnpackError::NamesClash`] where the disk takes two names for
/// one.
pub(crate) struct FileSink<'a> {
    target: &'a Dir,
    /// The directory of the file before, which mostly is that of the next one as well.
    known_directory: Option<(PathBuf, Dir)>,
    open: Option<OpenFile>,
    copies: Copies,
}

impl<'a> FileSink<'a> {
    pub(crate) fn new(target: &'a Dir) -> Self {
        Self { target, known_directory: None, open: None, copies: Copies::default() }
    }

    /// Makes the copies that are noted, in their order, and returns their bytes. `control` hears of the
    /// progress from 0 on.
    pub(crate) fn make_copies(
        &mut self,
        control: &mut dyn UnpackControl,
    ) -> Result<u64, UnpackError> {
        let mut made_bytes = 0;
        for CopyEntry { file, from } in self.copies.take() {
            if control.is_cancelled() {
                return Err(UnpackError::Cancelled);
            }
            self.begin_file(&file)?;
            self.copy_content(&from, file.size_bytes, made_bytes, control)?;
            self.end_file()?;
            made_bytes += file.size_bytes;
            control.on_progress(made_bytes);
        }
        Ok(made_bytes)
    }

    /// Fills the open file with the content of the one at `from`.
    fn copy_content(
        &mut self,
        from: &RelPath,
        size_bytes: u64,
        before_bytes: u64,
        control: &mut dyn UnpackControl,
    ) -> Result<(), UnpackError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let place = self.target.at(from.as_str());
        let read_failed = || UnpackError::io("read", &place);
        let original = self.target.read(from.as_str()).map_err(read_failed())?;
        if !platform::share_blocks(&original, &open.file) {
            each_block(&original, before_bytes, control, read_failed(), &mut |block| {
                open.write(block).map_err(|error| UnpackError::io("write", &open.path)(error))
            })?;
        }
        let copied = open.file.metadata().map_err(UnpackError::io("look at", &open.path))?;
        if copied.len() == size_bytes {
            return Ok(());
        }
        Err(read_failed()(io::Error::other("it was changed while it was copied")))
    }

    /// Creates the directory at `path` and its parents below the target where they are missing.
    fn make_directory(&mut self, path: &Path) -> Result<&Dir, UnpackError> {
        if path.as_os_str().is_empty() {
            return Ok(self.target);
        }
        if self.known_directory.as_ref().is_none_or(|(known, _)| known != path) {
            let mut reached: Option<Dir> = None;
            for name in path {
                let next = make_and_open(reached.as_ref().unwrap_or(self.target), name)
                    .map_err(|error| self.creation_error("create directory", path, error))?;
                reached = Some(next);
            }
            self.known_directory = reached.map(|directory| (path.to_path_buf(), directory));
        }
        Ok(self.known_directory.as_ref().map_or(self.target, |(_, directory)| directory))
    }

    /// Why something cannot be made at `path`.
    fn creation_error(
        &self,
        operation: &'static str,
        path: &Path,
        error: io::Error,
    ) -> UnpackError {
        use io::ErrorKind::{AlreadyExists, NotADirectory};
        if matches!(error.kind(), AlreadyExists | NotADirectory)
            && let Ok(Some(first)) = other_spelling(self.target, path)
        {
            let (target, path) = (self.target.path().to_path_buf(), path.to_path_buf());
            return UnpackError::NamesClash { target, first, second: path };
        }
        UnpackError::io(operation, &self.target.at(path))(error)
    }
}

fn make_and_open(parent: &Dir, name: &OsStr) -> io::Result<Dir> {
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    parent.dir(name).map_err(|error| match error.kind() {
        // A link to a directory is none: what stands behind it is outside the target.
        io::ErrorKind::NotADirectory => {
            io::Error::new(error.kind(), "it is there, but is no directory")
        }
        _ => error,
    })
}

/// How the disk spells the path under which it finds `path`, if that is another spelling.
fn other_spelling(target: &Dir, path: &Path) -> io::Result<Option<PathBuf>> {
    let mut directory = target.dir("")?;
    let mut spelled = PathBuf::new();
    for name in path {
        let listing = Listing::of(&directory)?;
        let finds = || Ok(directory.look(name)?.is_some());
        let Some(found) = name.to_str().map(|name| listing.spelling(name, finds)).transpose()?
        else {
            return Ok(None);
        };
        let Some(found) = found else { return Ok(None) };
        spelled.push(found);
        if directory.look(name)?.is_some_and(|found| found.is_dir()) {
            directory = directory.dir(name)?;
        }
    }
    Ok((spelled != path).then_some(spelled))
}

impl EntryVisitor for FileSink<'_> {
    fn directory(&mut self, path: &RelPath) -> Result<(), UnpackError> {
        self.make_directory(Path::new(path.as_str())).map(|_| ())
    }

    fn begin_file(&mut self, entry: &FileEntry) -> Result<(), UnpackError> {
        let path = Path::new(entry.path.as_str());
        let (parent, name) =
            (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        let created = self.make_directory(parent)?.create_new(name);
        let file = created.map_err(|error| self.creation_error("create", path, error))?;
        self.open = Some(OpenFile {
            file,
            path: self.target.at(path),
            modified: entry.modified,
            executable: entry.executable,
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
        if open.executable {
            // Not every file system keeps the bit, and then the game is no worse off than before.
            let _ = platform::make_executable(&open.file);
        }
        if let Some(modified) = open.modified {
            // Not every file system keeps every time, and a game does not need it.
            let _ = open.file.set_modified(modified);
        }
        Ok(())
    }

    fn copy(
        &mut self,
        copy: CopyEntry,
        control: &mut dyn UnpackControl,
    ) -> Result<u64, UnpackError> {
        self.copies.note(copy);
        if self.copies.is_full() { self.make_copies(control) } else { Ok(0) }
    }
}
