//! The chain of blocks of RAR 1.5 to 4.
//!
//! The library checks a file header with a comment twice. The second check ignores the comment and fails, so
//! that the library reports a sound archive as broken. So the headers are checked here as well. The library
//! also takes an archive that was cut between two entries for a shorter one.

use std::io::{self, BufReader, Read, Seek};

use super::format::{ChainError, read_up_to};

const KIND_MAIN: u8 = 0x73;
const KIND_FILE: u8 = 0x74;
const KIND_COMMENT: u8 = 0x75;
// Signature blocks: the library does not check them.
const KIND_AUTHOR: u8 = 0x76;
const KIND_SIGN: u8 = 0x79;
const KIND_OLD_SERVICE: u8 = 0x77;
const KIND_PROTECT: u8 = 0x78;
const KIND_SERVICE: u8 = 0x7a;
const KIND_END: u8 = 0x7b;

/// Unknown blocks with this flag have data, and so a size of them.
const HAS_DATA: u16 = 0x8000;
const MAIN_HAS_COMMENT: u16 = 0x0002;
const MAIN_ENCRYPTED_HEADERS: u16 = 0x0080;
const FILE_CONTINUED: u16 = 0x0001;
const FILE_HAS_COMMENT: u16 = 0x0008;
const FILE_IS_LARGE: u16 = 0x0100;
const FILE_HAS_SALT: u16 = 0x0400;
const FILE_HAS_TIMES: u16 = 0x1000;
const END_HAS_ROOM: u16 = 0x0004;

const SHORT_HEADER_BYTES: usize = 7;
/// How much of a main header or of a comment the checksum is of, where a comment follows.
const BEFORE_COMMENT_BYTES: usize = 13;
const FILE_HEADER_BYTES: usize = 32;
const SALT_BYTES: usize = 8;
/// The owner block: its checksum covers the names, its size field does not.
const SERVICE_OWNER: u16 = 0x0101;
/// The first version that ends every archive with a block for that.
const VERSION_WITH_END: u8 = 29;

/// What is known of a volume whose chain is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OldChain {
    /// Headers of files and directories, without those that continue one of the volume before.
    pub(super) entries: u64,
    /// Whether it has sound headers of which a program may say that they are broken: of files with a
    /// comment of the old kind, and of owners.
    pub(super) is_odd: bool,
    /// Whether its maker would have written an end block.
    wants_end: bool,
}

/// Follows the blocks from behind the signature to the end, and checks every header. `length_bytes` is
/// that of the whole volume.
///
/// An archive of a version before 3 has no end block: it ends where the volume ends. One that RAR 3 or 4
/// made without it (`-en`) cannot be told from one that was cut, and counts as that.
pub(super) fn check(
    reader: &mut BufReader<impl Read + Seek>,
    length_bytes: u64,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> io::Result<Result<OldChain, ChainError>> {
    let mut chain = OldChain::default();
    let mut position = reader.stream_position()?;
    loop {
        if is_cancelled() {
            return Ok(Err(ChainError::Cancelled));
        }
        if position == length_bytes {
            let end = if chain.wants_end { Err(ChainError::Truncated) } else { Ok(chain) };
            return Ok(end);
        }
        let header = match Header::read(reader)? {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let Some(data_bytes) = header.data_bytes() else {
            return Ok(Err(ChainError::BrokenHeader));
        };
        chain.take(&header);
        if header.kind == KIND_END
            || (header.kind == KIND_MAIN && header.flags & MAIN_ENCRYPTED_HEADERS != 0)
        {
            return Ok(Ok(chain));
        }
        let next = position
            .checked_add(header.bytes.len() as u64)
            .and_then(|at| at.checked_add(data_bytes))
            .filter(|next| *next <= length_bytes);
        let Some(next) = next else { return Ok(Err(ChainError::Truncated)) };
        reader.seek_relative(i64::try_from(data_bytes).map_err(io::Error::other)?)?;
        position = next;
    }
}

impl OldChain {
    fn take(&mut self, header: &Header) {
        let is_file = header.kind == KIND_FILE;
        self.entries += u64::from(is_file && header.flags & FILE_CONTINUED == 0);
        self.is_odd |= is_file && header.flags & FILE_HAS_COMMENT != 0;
        self.is_odd |= header.is_owner();
        self.wants_end |= header.kind == KIND_SERVICE
            || (is_file && header.flags & (FILE_HAS_SALT | FILE_HAS_TIMES) != 0)
            || (is_file && header.byte(24).is_some_and(|version| version >= VERSION_WITH_END));
    }
}

/// One header, its checksum already compared.
struct Header {
    kind: u8,
    flags: u16,
    bytes: Vec<u8>,
}

impl Header {
    fn read(reader: &mut impl Read) -> io::Result<Result<Self, ChainError>> {
        let mut short = [0; SHORT_HEADER_BYTES];
        if read_up_to(reader, &mut short)? < short.len() {
            return Ok(Err(ChainError::Truncated));
        }
        let [crc_low, crc_high, kind, flags_low, flags_high, size_low, size_high] = short;
        let flags = u16::from_le_bytes([flags_low, flags_high]);
        let size = usize::from(u16::from_le_bytes([size_low, size_high]));
        let Some(more) = size.checked_sub(SHORT_HEADER_BYTES) else {
            return Ok(Err(ChainError::BrokenHeader));
        };
        let mut header = Self { kind, flags, bytes: short.to_vec() };
        if reader.take(more as u64).read_to_end(&mut header.bytes)? < more {
            return Ok(Err(ChainError::Truncated));
        }
        let is_right = match header.checked_bytes() {
            None => true,
            Some(end) => header.bytes.get(2..end).is_some_and(|checked| {
                crc32fast::hash(checked).to_le_bytes().starts_with(&[crc_low, crc_high])
            }),
        };
        Ok(if is_right { Ok(header) } else { Err(ChainError::BrokenHeader) })
    }

    /// Where what the checksum is of ends; `None` where it is of something else.
    fn checked_bytes(&self) -> Option<usize> {
        let has = |flag| self.flags & flag != 0;
        match self.kind {
            KIND_AUTHOR | KIND_SIGN => None,
            KIND_END if has(END_HAS_ROOM) => None,
            _ if self.is_owner() => None,
            KIND_COMMENT => Some(BEFORE_COMMENT_BYTES),
            KIND_MAIN if has(MAIN_HAS_COMMENT) => Some(BEFORE_COMMENT_BYTES),
            KIND_FILE if has(FILE_HAS_COMMENT) => {
                let name_bytes = usize::from(self.number_16(26).unwrap_or_default());
                let sizes = if has(FILE_IS_LARGE) { 8 } else { 0 };
                let salt = if has(FILE_HAS_SALT) { SALT_BYTES } else { 0 };
                Some(FILE_HEADER_BYTES + sizes + name_bytes + salt)
            }
            _ => Some(self.bytes.len()),
        }
    }

    /// How much follows the header; `None` where the header is too short to tell.
    fn data_bytes(&self) -> Option<u64> {
        match self.kind {
            KIND_FILE | KIND_SERVICE => {
                let high = match self.flags & FILE_IS_LARGE != 0 {
                    true => self.number_32(FILE_HEADER_BYTES)?,
                    false => 0,
                };
                Some(u64::from(high) << 32 | u64::from(self.number_32(SHORT_HEADER_BYTES)?))
            }
            KIND_OLD_SERVICE | KIND_PROTECT => self.number_32(SHORT_HEADER_BYTES).map(u64::from),
            KIND_MAIN | KIND_COMMENT | KIND_END => Some(0),
            _ if self.flags & HAS_DATA != 0 => self.number_32(SHORT_HEADER_BYTES).map(u64::from),
            _ => Some(0),
        }
    }

    fn is_owner(&self) -> bool {
        self.kind == KIND_OLD_SERVICE && self.number_16(11) == Some(SERVICE_OWNER)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn number_16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn number_32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_followed_without_panic(bytes: Vec<u8>) {
            let _ = check(&mut BufReader::new(Cursor::new(&bytes)), bytes.len() as u64, &mut || false);
        }
    }
}
