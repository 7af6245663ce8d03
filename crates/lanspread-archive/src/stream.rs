//! Archives as a stream of entries, for somebody else to write.
//!
//! A [`StreamInstallProvider`] first lists what will come, headers only, so that the receiver knows
//! whether there is room and what is refused is refused before anything is sent. Then it reads every
//! archive once from front to back, whether solid or not, and hands each entry to a [`StreamSink`].
//! The sink sets the pace: nothing is read ahead of it, and it can end the stream at every item.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lanspread_proto::RelPath;

use crate::auto::{ArchiveFormat, AutoUnpacker};
use crate::control::UnpackControl;
use crate::error::UnpackError;
use crate::external::ArchiveListing;
use crate::names::NameTree;
use crate::pass::{CopyEntry, EntryPass, EntryVisitor, FileEntry, NoVisitor};
use crate::{fixture, rar};

/// How much a stream brings, or has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Archives.
    pub archives: u64,
    /// Files and directories that the archives list.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// Bytes of their contents, those of copies included.
    pub bytes: u64,
}

impl StreamTotals {
    /// Adds one archive that has been passed over.
    pub(crate) fn add(&mut self, pass: &EntryPass<'_>) {
        let summary = pass.summary();
        self.archives += 1;
        self.entries += pass.entries();
        self.files += summary.files;
        self.bytes = self.bytes.saturating_add(summary.bytes);
    }
}

/// One step of a stream. After a file its content follows and then its end, with nothing between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamItem<'a> {
    /// A directory, complete with that. Directories that hold something need not be named.
    Directory(&'a RelPath),
    /// A file begins.
    File {
        /// Where it belongs.
        path: &'a RelPath,
        /// Exactly how many bytes of content follow.
        size_bytes: u64,
        /// When it was changed last, where the archive tells.
        modified: Option<SystemTime>,
        /// Whether it may be run.
        executable: bool,
    },
    /// Content of the file that has begun: at most [`BLOCK_BYTES`](crate::BLOCK_BYTES).
    Data(&'a [u8]),
    /// The file is whole. Whatever checksum its archive has for it was right.
    EndFile {
        /// CRC32 of its content, computed here: not every archive stores one.
        crc32: u32,
    },
    /// A file with the content of another one, complete with that.
    Copy {
        /// Where it belongs.
        path: &'a RelPath,
        /// The other one: a file or a copy of the same archive that came before.
        from: &'a RelPath,
        /// When it was changed last, where the archive tells.
        modified: Option<SystemTime>,
        /// Whether it may be run.
        executable: bool,
    },
    /// An archive is whole.
    EndArchive,
}

/// Takes a stream.
pub trait StreamSink {
    /// Takes the next item, and waits with it until there is room. `false` ends the stream with
    /// [`UnpackError::Cancelled`].
    fn take(&mut self, item: StreamItem<'_>) -> bool;
}

/// Streams the archives of a game. It blocks the thread.
pub trait StreamInstallProvider: Send + Sync {
    /// Lists `archives`, which are to be streamed in this order.
    ///
    /// # Errors
    /// [`UnpackError`] as an unpacking would have it, as far as headers tell.
    fn open(
        &self,
        archives: &[PathBuf],
        control: &mut dyn UnpackControl,
    ) -> Result<Box<dyn ArchiveStream>, UnpackError>;
}

/// Archives that are listed and not read yet.
pub trait ArchiveStream: Send {
    /// What will come.
    fn totals(&self) -> StreamTotals;

    /// Reads every archive once and hands its entries to `sink`. `control` hears of the progress
    /// within each archive.
    ///
    /// # Errors
    /// [`UnpackError`] as an unpacking would have it. What the sink took until then is of no use.
    fn run(
        self: Box<Self>,
        sink: &mut dyn StreamSink,
        control: &mut dyn UnpackControl,
    ) -> Result<StreamTotals, UnpackError>;
}

impl StreamInstallProvider for AutoUnpacker {
    fn open(
        &self,
        archives: &[PathBuf],
        control: &mut dyn UnpackControl,
    ) -> Result<Box<dyn ArchiveStream>, UnpackError> {
        let mut listed = ListedArchives {
            unpacker: self.clone(),
            archives: Vec::new(),
            totals: StreamTotals::default(),
        };
        let mut names = NameTree::default();
        for archive in archives {
            let mut visitor = NoVisitor;
            let mut pass = EntryPass::new(archive, &mut names, &mut visitor, control);
            let contents = self.list(&mut pass)?;
            listed.totals.add(&pass);
            listed.archives.push((archive.clone(), contents));
        }
        Ok(Box::new(listed))
    }
}

/// How the contents of a listed archive are read.
enum Contents {
    Rar,
    Fixture,
    External(ArchiveListing),
}

impl AutoUnpacker {
    fn list(&self, pass: &mut EntryPass<'_>) -> Result<Contents, UnpackError> {
        let archive = pass.archive();
        let format = ArchiveFormat::detect(archive).map_err(UnpackError::io("open", archive))?;
        match (format, &self.external) {
            (Some(ArchiveFormat::Rar), Some(external)) => {
                let listing = external.list_archive(pass)?;
                listing.list(pass)?;
                Ok(Contents::External(listing))
            }
            (Some(ArchiveFormat::Rar), None) => {
                rar::list(pass, self.max_dictionary).map(|()| Contents::Rar)
            }
            (Some(ArchiveFormat::Fixture), _) => fixture::list(pass).map(|()| Contents::Fixture),
            (None, _) => Err(UnpackError::UnknownFormat { archive: archive.to_path_buf() }),
        }
    }
}

struct ListedArchives {
    unpacker: AutoUnpacker,
    archives: Vec<(PathBuf, Contents)>,
    totals: StreamTotals,
}

impl ArchiveStream for ListedArchives {
    fn totals(&self) -> StreamTotals {
        self.totals
    }

    fn run(
        self: Box<Self>,
        sink: &mut dyn StreamSink,
        control: &mut dyn UnpackControl,
    ) -> Result<StreamTotals, UnpackError> {
        let Self { unpacker, archives, .. } = *self;
        let mut totals = StreamTotals::default();
        let mut names = NameTree::default();
        let mut streamer = Streamer { sink, hasher: crc32fast::Hasher::new() };
        for (archive, contents) in archives {
            let mut pass = EntryPass::new(&archive, &mut names, &mut streamer, control);
            read(&unpacker, &mut pass, &archive, contents)?;
            totals.add(&pass);
            streamer.send(StreamItem::EndArchive)?;
        }
        Ok(totals)
    }
}

fn read(
    unpacker: &AutoUnpacker,
    pass: &mut EntryPass<'_>,
    archive: &Path,
    contents: Contents,
) -> Result<(), UnpackError> {
    match (contents, &unpacker.external) {
        (Contents::Rar, _) => rar::read(pass, unpacker.max_dictionary),
        (Contents::Fixture, _) => fixture::read(pass),
        (Contents::External(listing), Some(external)) => external.read(pass, listing),
        // Only an external program makes such a listing.
        (Contents::External(_), None) => {
            Err(UnpackError::UnknownFormat { archive: archive.to_path_buf() })
        }
    }
}

/// Hands what passes to a sink, with a checksum of each file.
struct Streamer<'a> {
    sink: &'a mut dyn StreamSink,
    hasher: crc32fast::Hasher,
}

impl Streamer<'_> {
    fn send(&mut self, item: StreamItem<'_>) -> Result<(), UnpackError> {
        if self.sink.take(item) { Ok(()) } else { Err(UnpackError::Cancelled) }
    }
}

impl EntryVisitor for Streamer<'_> {
    fn directory(&mut self, path: &RelPath) -> Result<(), UnpackError> {
        self.send(StreamItem::Directory(path))
    }

    fn begin_file(&mut self, file: &FileEntry) -> Result<(), UnpackError> {
        let FileEntry { path, size_bytes, modified, executable } = file;
        let (size_bytes, modified, executable) = (*size_bytes, *modified, *executable);
        self.send(StreamItem::File { path, size_bytes, modified, executable })
    }

    fn data(&mut self, block: &[u8]) -> Result<(), UnpackError> {
        self.hasher.update(block);
        self.send(StreamItem::Data(block))
    }

    fn end_file(&mut self) -> Result<(), UnpackError> {
        let crc32 = std::mem::take(&mut self.hasher).finalize();
        self.send(StreamItem::EndFile { crc32 })
    }

    fn copy(&mut self, copy: CopyEntry, _: &mut dyn UnpackControl) -> Result<u64, UnpackError> {
        let CopyEntry { file: FileEntry { path, modified, executable, .. }, from } = &copy;
        let (modified, executable) = (*modified, *executable);
        self.send(StreamItem::Copy { path, from, modified, executable })?;
        Ok(0)
    }
}
