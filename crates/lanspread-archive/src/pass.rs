//! One pass over an archive: what every reader delivers and every visitor may rely on.
//!
//! A reader (RAR in process, an external program, the fixture format) drives an [`EntryPass`] with
//! whatever the archive says. The pass holds the rules that are the same for all of them: safe paths,
//! no links, no name twice, no more bytes than announced, cancellation and progress. Only what passes
//! reaches the [`EntryVisitor`], in archive order, each byte once.

use std::path::Path;
use std::time::SystemTime;

use lanspread_proto::RelPath;
use lanspread_proto::fold::is_same_fold;
use lanspread_proto::reserved::OWNER_MARKER;

use crate::control::UnpackControl;
use crate::error::{Damage, UnpackError, UnsafeReason};
use crate::names::{NAMES_MAX, NameConflict, NameTree};

/// Largest block that passes between two looks at the cancel switch.
pub const BLOCK_BYTES: usize = 1024 * 1024;

/// What one unpacking brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnpackSummary {
    /// Files written, copies included; directories are not counted.
    pub files: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// A file about to be delivered.
pub(crate) struct FileEntry {
    pub(crate) path: RelPath,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<SystemTime>,
    /// Whether it may be run. Nothing else of a mode is ever taken from an archive.
    pub(crate) executable: bool,
}

/// A file that has the content of another one of the same archive.
pub(crate) struct CopyEntry {
    pub(crate) file: FileEntry,
    /// The other one, which is complete, or a copy that came before.
    pub(crate) from: RelPath,
}

/// What an archive says an entry is, before anything is checked.
pub(crate) enum RawKind {
    Directory,
    File {
        size_bytes: u64,
        modified: Option<SystemTime>,
        executable: bool,
    },
    /// A file without content of its own, and the name of the one that has it.
    Copy {
        from: String,
        size_bytes: u64,
        modified: Option<SystemTime>,
        executable: bool,
    },
    Refused(UnsafeReason),
}

impl RawKind {
    /// The announced size of a file or copy.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File { size_bytes, .. } | Self::Copy { size_bytes, .. } => Some(*size_bytes),
            Self::Directory | Self::Refused(_) => None,
        }
    }
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
    /// A copy, complete with that. It need not be made yet; what is made is told to `control`, and
    /// returned as bytes.
    fn copy(
        &mut self,
        copy: CopyEntry,
        control: &mut dyn UnpackControl,
    ) -> Result<u64, UnpackError>;
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

    fn copy(&mut self, _: CopyEntry, _: &mut dyn UnpackControl) -> Result<u64, UnpackError> {
        Ok(0)
    }
}

/// An entry that the rules let pass.
enum Admitted {
    Directory(RelPath),
    File(FileEntry),
    Copy(CopyEntry),
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
    /// The bytes of `summary` without those of copies that are still to be made.
    written_bytes: u64,
}

impl<'a> EntryPass<'a> {
    /// `names` are taken already, by archives before this one, and takes in those of this one.
    pub(crate) fn new(
        archive: &'a Path,
        names: &'a mut NameTree,
        visitor: &'a mut dyn EntryVisitor,
        control: &'a mut dyn UnpackControl,
    ) -> Self {
        names.begin_archive();
        Self {
            archive,
            visitor,
            control,
            names,
            current: None,
            entries: 0,
            summary: UnpackSummary::default(),
            written_bytes: 0,
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

    /// The bytes of what has been delivered, without those of copies that are still to be made.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// The size of a file that has come before.
    pub(crate) fn size_of(&self, path: &RelPath) -> Option<u64> {
        self.names.file_size(path)
    }

    pub(crate) fn check_cancelled(&mut self) -> Result<(), UnpackError> {
        if self.control.is_cancelled() { Err(UnpackError::Cancelled) } else { Ok(()) }
    }

    /// Begins an entry under the name that the archive gives, with `/` or `\` between components.
    ///
    /// A directory or a copy is complete with that; a file goes on with [`Self::data`] and [`Self::end_file`].
    pub(crate) fn begin(&mut self, name: &str, kind: RawKind) -> Result<(), UnpackError> {
        let file = match self.admit(name, kind)? {
            Admitted::Directory(path) => return self.visitor.directory(&path),
            Admitted::Copy(copy) => return self.copy(copy),
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
        if let Admitted::File(file) | Admitted::Copy(CopyEntry { file, .. }) =
            self.admit(name, kind)?
        {
            self.count(&file);
        }
        Ok(())
    }

    /// Lets `list` go through the entries beforehand, so that none of them is refused later.
    pub(crate) fn dry_run(
        &mut self,
        list: impl FnOnce(&mut EntryPass<'_>) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let (mut names, mut visitor) = (NameTree::default(), NoVisitor);
        list(&mut EntryPass::new(self.archive, &mut names, &mut visitor, &mut *self.control))
    }

    fn copy(&mut self, copy: CopyEntry) -> Result<(), UnpackError> {
        self.count(&copy.file);
        let mut offset =
            OffsetControl { control: &mut *self.control, before_bytes: self.written_bytes };
        self.written_bytes += self.visitor.copy(copy, &mut offset)?;
        Ok(())
    }

    fn count(&mut self, file: &FileEntry) {
        self.summary.files += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(file.size_bytes);
    }

    fn admit(&mut self, name: &str, kind: RawKind) -> Result<Admitted, UnpackError> {
        self.check_cancelled()?;
        let refused = |reason| UnpackError::UnsafeEntry { entry: name.to_owned(), reason };
        if let RawKind::Refused(reason) = kind {
            return Err(refused(reason));
        }
        let size_bytes = kind.size_bytes();
        let path = safe_path(name, size_bytes.is_some()).map_err(refused)?;
        let from = match &kind {
            RawKind::Copy { from, size_bytes, .. } => Some(self.origin(name, from, *size_bytes)?),
            _ => None,
        };
        self.names.add(&path, size_bytes).map_err(|conflict| match conflict {
            NameConflict::Refused(reason) => refused(reason),
            NameConflict::Full => UnpackError::TooManyEntries {
                archive: self.archive.to_path_buf(),
                limit: NAMES_MAX,
            },
        })?;
        self.entries += 1;
        Ok(match kind {
            RawKind::File { size_bytes, modified, executable }
            | RawKind::Copy { size_bytes, modified, executable, .. } => {
                let file = FileEntry { path, size_bytes, modified, executable };
                match from {
                    Some(from) => Admitted::Copy(CopyEntry { file, from }),
                    None => Admitted::File(file),
                }
            }
            RawKind::Directory | RawKind::Refused(_) => Admitted::Directory(path),
        })
    }

    /// The file to which a copy refers by the name that the archive gives.
    fn origin(&self, name: &str, from: &str, size_bytes: u64) -> Result<RelPath, UnpackError> {
        let known = safe_path(from, true)
            .ok()
            .and_then(|path| self.names.file_size(&path).map(|size_bytes| (path, size_bytes)));
        match known {
            None => {
                let reason = UnsafeReason::RefersToNothing { to: from.to_owned() };
                Err(UnpackError::UnsafeEntry { entry: name.to_owned(), reason })
            }
            Some((path, known_bytes)) if known_bytes == size_bytes => Ok(path),
            Some(_) => Err(UnpackError::Damaged {
                archive: self.archive.to_path_buf(),
                entry: Some(name.to_owned()),
                damage: Damage::Malformed("it has another size than the file to which it refers"),
            }),
        }
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
            self.summary.bytes = self.summary.bytes.saturating_add(block.len() as u64);
            self.written_bytes += block.len() as u64;
            self.control.on_progress(self.written_bytes);
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

/// Tells progress as that of something that goes on from before.
pub(crate) struct OffsetControl<'a> {
    pub(crate) control: &'a mut dyn UnpackControl,
    pub(crate) before_bytes: u64,
}

impl UnpackControl for OffsetControl<'_> {
    fn is_cancelled(&mut self) -> bool {
        self.control.is_cancelled()
    }

    fn on_progress(&mut self, unpacked_bytes: u64) {
        self.control.on_progress(self.before_bytes.saturating_add(unpacked_bytes));
    }
}

/// Old RAR archives separate with `\` and mark directories with a separator at the end.
fn safe_path(name: &str, is_file: bool) -> Result<RelPath, UnsafeReason> {
    let slashed = name.replace('\\', "/");
    let trimmed = if is_file { &slashed } else { slashed.strip_suffix('/').unwrap_or(&slashed) };
    let path = RelPath::new(trimmed)?;
    // A mark lies directly in the directory that it marks, where the archive is unpacked.
    if is_same_fold(path.first(), OWNER_MARKER) {
        return Err(UnsafeReason::Reserved);
    }
    Ok(path)
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
    fn the_mark_of_a_peer_is_refused_in_every_spelling_at_the_top_alone() {
        for name in [
            ".lanspread_owned",
            ".LANSPREAD_Owned",
            ".lan\u{17f}pread_owned",
            ".lanspread\u{200b}_owned",
            ".lanspread_owned\\x",
        ] {
            assert_eq!(safe_path(name, true), Err(UnsafeReason::Reserved), "{name:?}");
            assert_eq!(safe_path(name, false), Err(UnsafeReason::Reserved), "{name:?}");
        }
        for name in ["game/.lanspread_owned", "lanspread_owned", ".lanspread_owned.txt"] {
            assert!(safe_path(name, true).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn names_that_leave_the_target_are_refused() {
        for bad in ["..\\a", "a/../../b", "C:\\x", "\\\\server\\share", "/etc", "a/", "aux.txt", ""]
        {
            assert!(safe_path(bad, true).is_err(), "{bad:?}");
        }
    }
}
