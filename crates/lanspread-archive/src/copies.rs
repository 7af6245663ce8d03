//! Copies of files that an archive brought already.
//!
//! They are made once the archive is read: copying a large file in the middle would hold up whoever
//! reads, and a source that sends.

use std::fs::File;
use std::io::{self, Read};

use crate::control::UnpackControl;
use crate::error::UnpackError;
use crate::pass::{BLOCK_BYTES, CopyEntry};

/// How many bytes the names of noted copies may take. Archives with more than a hundred thousand copies
/// of long names reach it, and then the copies noted so far are made at once.
const NOTED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Copies that are still to be made, in their order.
#[derive(Default)]
pub(crate) struct Copies {
    noted: Vec<CopyEntry>,
    names_bytes: usize,
}

impl Copies {
    pub(crate) fn note(&mut self, copy: CopyEntry) {
        let CopyEntry { file, from } = &copy;
        self.names_bytes += size_of::<CopyEntry>() + file.path.as_str().len() + from.as_str().len();
        self.noted.push(copy);
    }

    /// Whether no more of them should be noted.
    pub(crate) fn is_full(&self) -> bool {
        self.names_bytes >= NOTED_MAX_BYTES
    }

    /// Gives those that are noted, and is empty after that.
    pub(crate) fn take(&mut self) -> Vec<CopyEntry> {
        std::mem::take(self).noted
    }
}

/// Reads all of `original` in blocks and hands each to `write`. `control` hears of every block as
/// progress from `before_bytes` on.
pub(crate) fn each_block(
    mut original: &File,
    before_bytes: u64,
    control: &mut dyn UnpackControl,
    read_failed: impl FnOnce(io::Error) -> UnpackError,
    write: &mut dyn FnMut(&[u8]) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut done_bytes = before_bytes;
    loop {
        if control.is_cancelled() {
            return Err(UnpackError::Cancelled);
        }
        let count = match original.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_failed(error)),
        };
        write(block.get(..count).unwrap_or_default())?;
        done_bytes += count as u64;
        control.on_progress(done_bytes);
    }
}
