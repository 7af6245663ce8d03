//! Writes RAR 5 archives whose entries are stored as they are.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::SystemTime;

use lanspread_proto::RelPath;

use crate::content::{WriteError, copy_content};

const RAR5_SIGNATURE: &[u8; 8] = b"Rar!\x1a\x07\x01\x00";
const BLOCK_MAIN: u64 = 1;
const BLOCK_FILE: u64 = 2;
const BLOCK_END: u64 = 5;
const BLOCK_HAS_DATA: u64 = 0x0002;
const FILE_IS_DIRECTORY: u64 = 0x0001;
const FILE_HAS_TIME: u64 = 0x0002;
const FILE_HAS_CRC: u64 = 0x0004;
const HOST_UNIX: u64 = 1;
const UNIX_FILE_MODE: u64 = 0o100_644;
const UNIX_PROGRAM_MODE: u64 = 0o100_755;
const UNIX_DIRECTORY_MODE: u64 = 0o040_755;
/// Version 0, method 0 (stored), smallest dictionary.
const STORED: u64 = 0;

/// Makes a real RAR 5 archive: one volume, not solid, not compressed.
///
/// It takes what it is given: two entries of one name are two entries. The content is copied once and
/// never held in memory.
#[derive(Debug)]
pub struct RarWriter<W> {
    output: W,
}

impl<W: Write + Seek> RarWriter<W> {
    /// Begins an archive at the current position of `output`.
    ///
    /// # Errors
    /// Whatever `output` reports.
    pub fn new(mut output: W) -> Result<Self, WriteError> {
        output.write_all(RAR5_SIGNATURE)?;
        let mut body = Vec::new();
        for field in [BLOCK_MAIN, 0, 0] {
            push_vint(&mut body, field);
        }
        output.write_all(&block(&body))?;
        Ok(Self { output })
    }

    /// Adds an empty directory.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn add_directory(&mut self, path: &RelPath) -> Result<(), WriteError> {
        let mut body = Vec::new();
        for field in [BLOCK_FILE, 0, FILE_IS_DIRECTORY, 0, UNIX_DIRECTORY_MODE, STORED, HOST_UNIX] {
            push_vint(&mut body, field);
        }
        push_name(&mut body, path);
        Ok(self.output.write_all(&block(&body))?)
    }

    /// Adds a file of exactly `size_bytes` bytes, read from `content`.
    ///
    /// `modified` is kept in whole seconds, where it lies between 1970 and 2106.
    ///
    /// # Errors
    /// [`WriteError::Size`] when `content` ends early or goes on; whatever it or the output reports.
    /// The archive is of no use afterwards.
    pub fn add_file(
        &mut self,
        path: &RelPath,
        size_bytes: u64,
        modified: Option<SystemTime>,
        executable: bool,
        content: impl Read,
    ) -> Result<(), WriteError> {
        let seconds = modified
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| u32::try_from(since.as_secs()).ok());
        let start = self.output.stream_position()?;
        let header = |crc32| file_header(path, size_bytes, seconds, executable, crc32);
        self.output.write_all(&header(0))?;
        let crc32 = copy_content(content, &mut self.output, size_bytes)?;
        let end = self.output.stream_position()?;
        // The checksum stands before the content it is of. Its field has a fixed length.
        self.output.seek(SeekFrom::Start(start))?;
        self.output.write_all(&header(crc32))?;
        self.output.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    /// Ends the archive and gives the output back, flushed.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn finish(mut self) -> Result<W, WriteError> {
        let mut body = Vec::new();
        for field in [BLOCK_END, 0, 0] {
            push_vint(&mut body, field);
        }
        self.output.write_all(&block(&body))?;
        self.output.flush()?;
        Ok(self.output)
    }
}

fn file_header(
    path: &RelPath,
    size_bytes: u64,
    seconds: Option<u32>,
    executable: bool,
    crc32: u32,
) -> Vec<u8> {
    let time_flag = if seconds.is_some() { FILE_HAS_TIME } else { 0 };
    let mut body = Vec::new();
    push_vint(&mut body, BLOCK_FILE);
    push_vint(&mut body, BLOCK_HAS_DATA);
    push_vint(&mut body, size_bytes);
    push_vint(&mut body, FILE_HAS_CRC | time_flag);
    push_vint(&mut body, size_bytes);
    push_vint(&mut body, if executable { UNIX_PROGRAM_MODE } else { UNIX_FILE_MODE });
    if let Some(seconds) = seconds {
        body.extend(seconds.to_le_bytes());
    }
    body.extend(crc32.to_le_bytes());
    push_vint(&mut body, STORED);
    push_vint(&mut body, HOST_UNIX);
    push_name(&mut body, path);
    block(&body)
}

fn push_name(body: &mut Vec<u8>, path: &RelPath) {
    push_vint(body, path.as_str().len() as u64);
    body.extend(path.as_str().bytes());
}

/// A header: checksum, size, body.
fn block(body: &[u8]) -> Vec<u8> {
    let mut checked = Vec::new();
    push_vint(&mut checked, body.len() as u64);
    checked.extend(body);
    let mut block = crc32fast::hash(&checked).to_le_bytes().to_vec();
    block.append(&mut checked);
    block
}

/// Appends a RAR 5 number.
fn push_vint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}
