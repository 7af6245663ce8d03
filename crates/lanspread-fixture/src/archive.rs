//! The archive format of tests: simple to write, and everything in it can be wrong.

use std::io::{Read, Write};

use lanspread_proto::RelPath;

use crate::content::{WriteError, copy_content};

/// The first bytes of a fixture archive.
const MAGIC: &[u8; 8] = b"LSPFIX1\n";

const TAG_END: u8 = 0;
const TAG_DIRECTORY: u8 = 1;
const TAG_FILE: u8 = 2;
const TAG_EXECUTABLE: u8 = 3;

/// Writes a fixture archive, front to back.
#[derive(Debug)]
pub struct FixtureWriter<W> {
    output: W,
    entries: u64,
}

impl<W: Write> FixtureWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// Whatever `output` reports.
    pub fn new(mut output: W) -> Result<Self, WriteError> {
        output.write_all(MAGIC)?;
        Ok(Self { output, entries: 0 })
    }

    /// Adds an empty directory.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn add_directory(&mut self, path: &RelPath) -> Result<(), WriteError> {
        self.begin(TAG_DIRECTORY, path)
    }

    /// Adds a file of exactly `size_bytes` bytes, read from `content`.
    ///
    /// # Errors
    /// [`WriteError::Size`] when `content` ends early or goes on; whatever it or the output reports.
    /// The archive is of no use afterwards.
    pub fn add_file(
        &mut self,
        path: &RelPath,
        size_bytes: u64,
        executable: bool,
        content: impl Read,
    ) -> Result<(), WriteError> {
        self.begin(if executable { TAG_EXECUTABLE } else { TAG_FILE }, path)?;
        self.output.write_all(&size_bytes.to_le_bytes())?;
        let crc32 = copy_content(content, &mut self.output, size_bytes)?;
        Ok(self.output.write_all(&crc32.to_le_bytes())?)
    }

    /// Ends the archive and gives the output back, flushed.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.output.write_all(&[TAG_END])?;
        self.output.write_all(&self.entries.to_le_bytes())?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn begin(&mut self, tag: u8, path: &RelPath) -> Result<(), WriteError> {
        // A `RelPath` has at most 1,024 bytes.
        let length = path.as_str().len() as u16;
        self.output.write_all(&[tag])?;
        self.output.write_all(&length.to_le_bytes())?;
        self.output.write_all(path.as_str().as_bytes())?;
        self.entries += 1;
        Ok(())
    }
}
