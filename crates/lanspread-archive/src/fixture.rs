//! The archive format of tests and fixtures: simple to write, and everything in it can be wrong.
//!
//! [`MAGIC`], then entries, then the end. Numbers are little-endian.
//!
//! | entry | bytes |
//! | --- | --- |
//! | directory | 1, length of the path (2), path |
//! | file, executable file | 2 or 3, length of the path (2), path, size (8), content, CRC32 of the content (4) |
//! | end | 0, number of entries before it (8) |

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::error::{Damage, UnpackError};
use crate::pass::{EntryPass, RawKind, UnpackSummary};
use crate::regular;
use crate::sink::unpack_below;
use crate::unpacker::Unpacker;

/// The first bytes of a fixture archive.
pub(crate) const MAGIC: &[u8; 8] = b"LSPFIX1\n";

const TAG_END: u8 = 0;
const TAG_DIRECTORY: u8 = 1;
const TAG_FILE: u8 = 2;
const TAG_EXECUTABLE: u8 = 3;
/// What is read at a time; it bounds the memory, whatever the sizes in the archive are.
const READ_BYTES: u64 = 256 * 1024;

/// Unpacks archives of this format.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixtureUnpacker;

impl Unpacker for FixtureUnpacker {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        unpack_below(archive, target, control, read)
    }
}

/// Delivers every entry of a fixture archive to `pass`.
pub(crate) fn read(pass: &mut EntryPass<'_>) -> Result<(), UnpackError> {
    each_entry(pass, read_file)
}

/// Lists every entry of a fixture archive to `pass`, without reading its contents.
pub(crate) fn list(pass: &mut EntryPass<'_>) -> Result<(), UnpackError> {
    each_entry(pass, list_file)
}

fn each_entry(
    pass: &mut EntryPass<'_>,
    on_file: impl Fn(&mut EntryPass<'_>, &mut Input<'_>, bool) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let archive = pass.archive();
    let file = regular::open(archive).map_err(UnpackError::io("open", archive))?;
    let mut input = Input { reader: BufReader::new(file), archive };
    let magic: [u8; MAGIC.len()] = input.array()?;
    if magic != *MAGIC {
        return Err(UnpackError::UnknownFormat { archive: archive.to_path_buf() });
    }
    let malformed = |what| UnpackError::damaged(archive, Damage::Malformed(what));
    let mut entries = 0_u64;
    loop {
        let [tag] = input.array()?;
        match tag {
            TAG_DIRECTORY => pass.begin(&input.name()?, RawKind::Directory)?,
            TAG_FILE | TAG_EXECUTABLE => on_file(pass, &mut input, tag == TAG_EXECUTABLE)?,
            TAG_END if u64::from_le_bytes(input.array()?) != entries => {
                return Err(malformed("entries are missing"));
            }
            TAG_END if input.is_at_end()? => return Ok(()),
            TAG_END => return Err(malformed("it goes on after its end")),
            _ => return Err(malformed("an entry is of an unknown kind")),
        }
        entries += 1;
    }
}

fn read_file(
    pass: &mut EntryPass<'_>,
    input: &mut Input<'_>,
    executable: bool,
) -> Result<(), UnpackError> {
    let name = input.name()?;
    let size_bytes = u64::from_le_bytes(input.array()?);
    pass.begin(&name, RawKind::File { size_bytes, modified: None, executable })?;
    let mut hasher = crc32fast::Hasher::new();
    let mut left = size_bytes;
    let mut block = Vec::new();
    while left > 0 {
        block.clear();
        let count = input.append(&mut block, left.min(READ_BYTES))?;
        if count == 0 {
            return Err(pass.damaged_entry(Damage::Truncated));
        }
        hasher.update(&block);
        pass.data(&block)?;
        left -= count;
    }
    if hasher.finalize() != u32::from_le_bytes(input.array()?) {
        return Err(pass.damaged_entry(Damage::BadCrc));
    }
    pass.end_file()
}

fn list_file(
    pass: &mut EntryPass<'_>,
    input: &mut Input<'_>,
    executable: bool,
) -> Result<(), UnpackError> {
    let name = input.name()?;
    let size_bytes = u64::from_le_bytes(input.array()?);
    pass.list(&name, RawKind::File { size_bytes, modified: None, executable })?;
    // Past the end of the archive as well: there the next tag is missing.
    let content_and_crc32 = size_bytes.checked_add(4).and_then(|bytes| i64::try_from(bytes).ok());
    let Some(bytes) = content_and_crc32 else {
        return Err(UnpackError::damaged(input.archive, Damage::Truncated));
    };
    input.reader.seek_relative(bytes).map_err(UnpackError::io("read", input.archive))
}

struct Input<'a> {
    reader: BufReader<File>,
    archive: &'a Path,
}

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], UnpackError> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => UnpackError::damaged(self.archive, Damage::Truncated),
            _ => UnpackError::io("read", self.archive)(error),
        })?;
        Ok(bytes)
    }

    fn name(&mut self) -> Result<String, UnpackError> {
        let length = u16::from_le_bytes(self.array()?);
        let mut name = Vec::new();
        if self.append(&mut name, length.into())? < length.into() {
            return Err(UnpackError::damaged(self.archive, Damage::Truncated));
        }
        String::from_utf8(name).map_err(|_| {
            UnpackError::damaged(self.archive, Damage::Malformed("a name is not UTF-8"))
        })
    }

    /// Reads up to `count` bytes: fewer only at the end of the archive.
    fn append(&mut self, bytes: &mut Vec<u8>, count: u64) -> Result<u64, UnpackError> {
        let read = self.reader.by_ref().take(count).read_to_end(bytes);
        read.map(|count| count as u64).map_err(UnpackError::io("read", self.archive))
    }

    fn is_at_end(&mut self) -> Result<bool, UnpackError> {
        Ok(self.append(&mut Vec::new(), 1)? == 0)
    }
}
