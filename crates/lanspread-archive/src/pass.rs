//! One pass over an archive: what every reader delivers and every visitor may rely on.
//!
//! A reader (RAR in process, an external program, the fixture format) drives an [`EntryPass`] with
//! whatever the archive says. The pass holds the rules that are the same for all of them: safe paths,
//! no links, no name twice, no more bytes than announced, cancellation and progress. Only what passes
//! reaches the [`EntryVisitor`], in archive order, each byte once.

use std::path::Path;
use std::time::SystemTime;

use lanspread_proto::RelPath;

use crate::control::UnpackControl;
use crate::error::{Damage, UnpackError, UnsafeReason};
use crate::names::{NAMES_MAX, NameConflict, NameTree};

/// Largest block that passes between two looks at the cancel switch.
pub const BLOCK_BYTES: usize = 1024 * 1024;

/// What one unpacking brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnpackSummary {
    /// Files written; directories are not counted.
    pub files: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// A file about to be delivered.
pub(crate) struct FileEntry {
    pub(crate) path: RelPath,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// What an archive says an entry is, before anything is checked.
pub(crate) enum RawKind {
    Directory,
    File { size_bytes: u64, modified: Option<SystemTime> },
    Refused(UnsafeReason),
}

/// Takes the entries of an archive in their order.
///
/// After a file has begun, its blocks follow and then its end, with nothing between.
pub(crate) trait EntryVisitor {
    fn directory(&mut self, path: &RelPath) -> Result<(), UnpackError>;
    fn begin_file(&mut self, file: &FileEntry) -> Result<(), UnpackError>;
    fn data(&mut self, block: &[u8]) -> Result<(), UnpackError>;
    /// The file is whole: exactly the announced bytes, with the right checksum.
    fn end_file(&mut self) -> Result<(), UnpackError>;
}

/// Takes nothing, for a pass that only lists.
pub(crate) struct NoVisitor;

impl EntryVisitor for NoVisitor {
    fn directory(&mut self, _: &RelPath) -> Result<(), UnpackError> {
        Ok(())
    }

    fn begin_file(&mut self, _: &FileEntry) -> Result<(), UnpackError> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> Result<(), UnpackError> {
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), UnpackError> {
        Ok(())
    }
}

/// An entry that the rules let pass.
enum Admitted {
    Directory(RelPath),
    File(FileEntry),
}

struct CurrentFile {
    name: String,
    announced_bytes: u64,
    found_bytes: u64,
}

/// Checks what a reader finds and hands it on.
pub(crate) struct EntryPass<'a> {
    archive: &'a Path,
    visitor: &'a mut dyn EntryVisitor,
    control: &'a mut dyn UnpackControl,
    names: &'a mut NameTree,
    current: Option<CurrentFile>,
    entries: u64,
    summary: UnpackSummary,
}

impl<'a> EntryPass<'a> {
    /// `names` are taken already, by archives before this one, and takes in those of this one.
    pub(crate) fn new(
        archive: &'a Path,
        names: &'a mut NameTree,
        visitor: &'a mut dyn EntryVisitor,
        control: &'a mut dyn UnpackControl,
    ) -> Self {
        Self {
            archive,
            visitor,
            control,
            names,
            current: None,
            entries: 0,
            summary: UnpackSummary::default(),
        }
    }

    /// The archive that is read.
    pub(crate) fn archive(&self) -> &'a Path {
        self.archive
    }

    /// How many files and directories have begun so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// What has been delivered so far.
    pub(crate) fn summary(&self) -> UnpackSummary {
        self.summary
    }

    pub(crate) fn check_cancelled(&mut self) -> Result<(), UnpackError> {
        if self.control.is_cancelled() { Err(UnpackError::Cancelled) } else { Ok(()) }
    }

    /// Begins an entry under the name that the archive gives, with `/` or `\` between components.
    ///
    /// A directory is complete with that; a file goes on with [`Self::data`] and [`Self::end_file`].
    pub(crate) fn begin(&mut self, name: &str, kind: RawKind) -> Result<(), UnpackError> {
        let file = match self.admit(name, kind)? {
            Admitted::Directory(path) => return self.visitor.directory(&path),
            Admitted::File(file) => file,
        };
        self.visitor.begin_file(&file)?;
        self.current = Some(CurrentFile {
            name: name.to_owned(),
            announced_bytes: file.size_bytes,
            found_bytes: 0,
        });
        Ok(())
    }

    /// Counts an entry as delivered whose content is not read. The visitor does not hear of it.
    pub(crate) fn list(&mut self, name: &str, kind: RawKind) -> Result<(), UnpackError> {
        if let Admitted::File(file) = self.admit(name, kind)? {
            self.summary.files += 1;
            self.summary.bytes = self.summary.bytes.saturating_add(file.size_bytes);
        }
        Ok(())
    }

    fn admit(&mut self, name: &str, kind: RawKind) -> Result<Admitted, UnpackError> {
        self.check_cancelled()?;
        let refused = |reason| UnpackError::UnsafeEntry { entry: name.to_owned(), reason };
        let file = match kind {
            RawKind::Refused(reason) => return Err(refused(reason)),
            RawKind::Directory => None,
            RawKind::File { size_bytes, modified } => Some((size_bytes, modified)),
        };
        let path = safe_path(name, file.is_some()).map_err(refused)?;
        self.names.add(&path, file.is_some()).map_err(|conflict| match conflict {
            NameConflict::Refused(reason) => refused(reason),
            NameConflict::Full => UnpackError::TooManyEntries {
                archive: self.archive.to_path_buf(),
                limit: NAMES_MAX,
            },
        })?;
        self.entries += 1;
        Ok(match file {
            None => Admitted::Directory(path),
            Some((size_bytes, modified)) => {
                Admitted::File(FileEntry { path, size_bytes, modified })
            }
        })
    }

    /// Delivers content of the file that has begun.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        for block in bytes.chunks(BLOCK_BYTES) {
            self.check_cancelled()?;
            let Some(current) = &mut self.current else {
                let damage = Damage::Malformed("it holds content that belongs to no file");
                return Err(UnpackError::damaged(self.archive, damage));
            };
            current.found_bytes = current.found_bytes.saturating_add(block.len() as u64);
            if current.found_bytes > current.announced_bytes {
                let announced = current.announced_bytes;
                return Err(self.damaged_entry(Damage::TooLong { announced }));
            }
            self.visitor.data(block)?;
            self.summary.bytes += block.len() as u64;
            self.control.on_progress(self.summary.bytes);
        }
        Ok(())
    }

    /// Ends the file that has begun. The reader has compared its checksum before.
    pub(crate) fn end_file(&mut self) -> Result<(), UnpackError> {
        if let Some(current) = &self.current
            && current.found_bytes < current.announced_bytes
        {
            let (announced, found) = (current.announced_bytes, current.found_bytes);
            return Err(self.damaged_entry(Damage::TooShort { announced, found }));
        }
        self.current = None;
        self.visitor.end_file()?;
        self.summary.files += 1;
        Ok(())
    }

    /// An error about the file that has begun, or about the archive between two entries.
    pub(crate) fn damaged_entry(&self, damage: Damage) -> UnpackError {
        UnpackError::Damaged {
            archive: self.archive.to_path_buf(),
            entry: self.current.as_ref().map(|current| current.name.clone()),
            damage,
        }
    }
}

/// Old RAR archives separate with `\` and mark directories with a separator at the end.
pub(crate) fn safe_path(name: &str, is_file: bool) -> Result<RelPath, UnsafeReason> {
    let slashed = name.replace('\\', "/");
    let trimmed = if is_file { &slashed } else { slashed.strip_suffix('/').unwrap_or(&slashed) };
    Ok(RelPath::new(trimmed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_of_windows_become_slashes() {
        assert_eq!(safe_path("a\\b\\c.txt", true).unwrap().as_str(), "a/b/c.txt");
        assert_eq!(safe_path("a\\b\\", false).unwrap().as_str(), "a/b");
    }

    #[test]
    fn names_that_leave_the_target_are_refused() {
        for bad in ["..\\a", "a/../../b", "C:\\x", "\\\\server\\share", "/etc", "a/", "aux.txt", ""]
        {
            assert!(safe_path(bad, true).is_err(), "{bad:?}");
        }
    }
}
