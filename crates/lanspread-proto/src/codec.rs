//! Frames: a header length of four bytes, big-endian, then the header as JSON.

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest header.
pub const CONTROL_HEADER_MAX_BYTES: usize = 64 * 1024;

const PREFIX_BYTES: usize = 4;
/// Most memory set aside for a header on the word of its length alone.
const UNPROVEN_RESERVE_BYTES: usize = 64 * 1024;

/// Why bytes are not a header, or a value does not fit into one.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The header is longer than its bound.
    #[error("header of {len} bytes is longer than {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The bound in bytes.
        max: usize,
    },
    /// The header is not the JSON of the expected message.
    #[error("header is not a valid message: {0}")]
    Json(#[from] serde_json::Error),
}

/// Encodes `message` as a frame whose header has at most `max` bytes.
///
/// # Errors
/// [`CodecError::TooLong`] when the header would be longer than `max`.
pub fn encode_header<T: Serialize>(message: &T, max: usize) -> Result<Bytes, CodecError> {
    let mut frame = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - PREFIX_BYTES;
    let prefix = u32::try_from(len).ok().filter(|_| len <= max);
    let prefix = prefix.ok_or(CodecError::TooLong { len, max })?.to_be_bytes();
    for (slot, byte) in frame.iter_mut().zip(prefix) {
        *slot = byte;
    }
    Ok(frame.into())
}

/// Decodes the JSON of a header.
///
/// # Errors
/// [`CodecError::Json`] says where the JSON breaks, or which rule its value breaks.
pub fn decode_header<T: DeserializeOwned>(header: &[u8]) -> Result<T, CodecError> {
    Ok(serde_json::from_slice(header)?)
}

/// Collects the header from the pieces in which a stream delivers it.
#[derive(Debug)]
pub struct HeaderReader {
    buffer: BytesMut,
    max: usize,
    beginning: Option<Beginning>,
}

/// Of which longer headers the beginning is of interest.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    max: usize,
    len: usize,
}

/// A complete header, and the bytes behind it that came in the same piece.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    /// The JSON.
    pub header: Bytes,
    /// The first of the raw bytes.
    pub rest: Bytes,
    /// How many bytes of the header are not in it: more than 0 only for [`HeaderReader::or_beginning`]. The
    /// first of them are in `rest`.
    pub missing: usize,
}

impl HeaderReader {
    /// A reader for one header of at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max, beginning: None }
    }

    /// Accepts a longer header of at most `max` bytes as well, and keeps its first `len` bytes.
    #[must_use]
    pub fn or_beginning(self, len: usize, max: usize) -> Self {
        Self { beginning: Some(Beginning { max, len }), ..self }
    }

    /// Whether nothing has arrived yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes in the next piece; returns the header once it is complete.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] as soon as the length is known, before memory is set aside for it.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<HeaderBytes>, CodecError> {
        self.buffer.extend_from_slice(piece);
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        let beginning = self.beginning.filter(|beginning| len <= beginning.max);
        let taken = match beginning {
            _ if len <= self.max => len,
            Some(beginning) => beginning.len.min(len),
            None => return Err(CodecError::TooLong { len, max: self.max }),
        };
        let end = PREFIX_BYTES + taken;
        if self.buffer.len() < end {
            let missing = end - self.buffer.len();
            self.buffer.reserve(missing.min(UNPROVEN_RESERVE_BYTES));
            return Ok(None);
        }
        let mut header = self.buffer.split_to(end);
        let header = header.split_off(PREFIX_BYTES).freeze();
        let rest = self.buffer.split().freeze();
        Ok(Some(HeaderBytes { header, rest, missing: len - taken }))
    }
}
