//! Content on its way into an archive.

use std::io::{self, Read, Write};

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The content of a file does not have the size that was announced for it.
    #[error("content is {} than the announced {announced_bytes} bytes", if *is_longer { "longer" } else { "shorter" })]
    Size {
        /// The announced size.
        announced_bytes: u64,
        /// Whether there is more, rather than less.
        is_longer: bool,
    },
    /// Reading the content or writing the archive failed.
    #[error("cannot write the archive")]
    Io(#[from] io::Error),
}

/// Copies exactly `size_bytes` bytes and gives their CRC32.
pub(crate) fn copy_content(
    mut content: impl Read,
    output: &mut impl Write,
    size_bytes: u64,
) -> Result<u32, WriteError> {
    let mut output = HashingWriter { output, hasher: crc32fast::Hasher::new() };
    let copied = io::copy(&mut content.by_ref().take(size_bytes), &mut output)?;
    if copied < size_bytes {
        return Err(WriteError::Size { announced_bytes: size_bytes, is_longer: false });
    }
    if content.read(&mut [0])? != 0 {
        return Err(WriteError::Size { announced_bytes: size_bytes, is_longer: true });
    }
    Ok(output.hasher.finalize())
}

struct HashingWriter<'a, W> {
    output: &'a mut W,
    hasher: crc32fast::Hasher,
}

impl<W: Write> Write for HashingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or(bytes));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
