//! The outside of RAR archives: signatures, volumes and the chain of RAR 5 blocks.
//!
//! What the library does not tell is found out here: whether an archive continues another one, and
//! whether it is complete. The library takes a RAR 5 archive that was cut between two entries for a
//! shorter one, and forgets a broken header when it goes on to the next volume.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::regular;

/// How every RAR archive since version 1.5 begins.
pub(crate) const SIGNATURE: &[u8] = b"Rar!\x1a\x07";
pub(super) const RAR5_SIGNATURE: &[u8; 8] = b"Rar!\x1a\x07\x01\x00";
const RAR4_SIGNATURE: &[u8; 7] = b"Rar!\x1a\x07\x00";

/// What follows [`SIGNATURE`] in formats to come, as the library expects it.
const NEWER_FORMATS: std::ops::Range<u8> = 2..5;

/// Largest RAR 5 header, by the format: its size has at most three bytes of seven bits.
const HEADER_MAX_BYTES: u64 = 2 * 1024 * 1024;

pub(super) const BLOCK_MAIN: u64 = 1;
pub(super) const BLOCK_FILE: u64 = 2;
const BLOCK_ENCRYPTION: u64 = 4;
pub(super) const BLOCK_END: u64 = 5;
const BLOCK_HAS_EXTRA: u64 = 0x0001;
pub(super) const BLOCK_HAS_DATA: u64 = 0x0002;
const MAIN_IS_VOLUME: u64 = 0x0001;
const MAIN_HAS_NUMBER: u64 = 0x0002;

const RAR4_MAIN_HEADER_BYTES: usize = 13;
const RAR4_BLOCK_MAIN: u8 = 0x73;
const RAR4_IS_VOLUME: u16 = 0x0001;
const RAR4_NEW_NUMBERING: u16 = 0x0010;
const RAR4_ENCRYPTED_HEADERS: u16 = 0x0080;
const RAR4_FIRST_VOLUME: u16 = 0x0100;

/// What the start of an archive tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RarStart {
    /// Complete in itself, or the first of its volumes. `is_rar5` tells the generation.
    First { is_rar5: bool },
    /// A later volume of a set.
    Continuation,
    /// Its headers cannot be read without a password.
    EncryptedHeaders,
    /// A signature that is reserved for formats to come.
    Newer,
    /// A RAR signature, and no header that can be read behind it.
    Broken,
    /// No RAR archive at all.
    NotRar,
}

/// Reads the start of the archive at `path`.
pub(crate) fn inspect(path: &Path) -> io::Result<RarStart> {
    let mut reader = BufReader::new(regular::open(path)?);
    let mut signature = [0; RAR5_SIGNATURE.len()];
    let length = read_up_to(&mut reader, &mut signature)?;
    let start = signature.get(..length).unwrap_or_default();
    if start == RAR5_SIGNATURE {
        return inspect_rar5(&mut reader);
    }
    if start.starts_with(RAR4_SIGNATURE) {
        reader.seek(SeekFrom::Start(RAR4_SIGNATURE.len() as u64))?;
        return inspect_rar4(&mut reader);
    }
    Ok(match start.strip_prefix(SIGNATURE) {
        Some([newer, ..]) if NEWER_FORMATS.contains(newer) => RarStart::Newer,
        Some(_) => RarStart::Broken,
        None => RarStart::NotRar,
    })
}

fn inspect_rar5(reader: &mut (impl Read + Seek)) -> io::Result<RarStart> {
    let Ok(block) = Block::read(reader)? else { return Ok(RarStart::Broken) };
    if block.kind == BLOCK_ENCRYPTION {
        return Ok(RarStart::EncryptedHeaders);
    }
    if block.kind != BLOCK_MAIN {
        return Ok(RarStart::Broken);
    }
    let flags = block.fields.as_slice().vint().unwrap_or_default();
    let is_continuation = flags & MAIN_IS_VOLUME != 0 && flags & MAIN_HAS_NUMBER != 0;
    Ok(if is_continuation { RarStart::Continuation } else { RarStart::First { is_rar5: true } })
}

fn inspect_rar4(reader: &mut impl Read) -> io::Result<RarStart> {
    let mut header = [0; RAR4_MAIN_HEADER_BYTES];
    if read_up_to(reader, &mut header)? < header.len() {
        return Ok(RarStart::Broken);
    }
    let [_, _, kind, low, high, ..] = header;
    if kind != RAR4_BLOCK_MAIN {
        return Ok(RarStart::Broken);
    }
    let flags = u16::from_le_bytes([low, high]);
    if flags & RAR4_ENCRYPTED_HEADERS != 0 {
        return Ok(RarStart::EncryptedHeaders);
    }
    // Versions before 3.0 mark no first volume. They only know the old names, with another extension
    // for each volume, so none of their later volumes is found by the extension of the first.
    let is_later = flags & RAR4_FIRST_VOLUME == 0 && flags & RAR4_NEW_NUMBERING != 0;
    let is_continuation = flags & RAR4_IS_VOLUME != 0 && is_later;
    Ok(if is_continuation { RarStart::Continuation } else { RarStart::First { is_rar5: false } })
}

/// Why a chain of blocks is not a complete archive, or is not known to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainError {
    Truncated,
    BrokenHeader,
    Cancelled,
}

/// Follows the blocks of the RAR 5 archive at `path` to its end block and checks every header.
///
/// The contents are skipped, so that this costs a read per entry. `is_cancelled` is asked before each:
/// an archive made for it holds hundreds of millions of blocks.
pub(super) fn check_rar5_chain(
    path: &Path,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> io::Result<Result<(), ChainError>> {
    let mut reader = BufReader::new(regular::open(path)?);
    let length_bytes = reader.seek(SeekFrom::End(0))?;
    let mut position = reader.seek(SeekFrom::Start(RAR5_SIGNATURE.len() as u64))?;
    loop {
        if is_cancelled() {
            return Ok(Err(ChainError::Cancelled));
        }
        let block = match Block::read(&mut reader)? {
            Ok(block) => block,
            Err(error) => return Ok(Err(error)),
        };
        if block.kind == BLOCK_END || block.kind == BLOCK_ENCRYPTION {
            return Ok(Ok(()));
        }
        let next = position
            .checked_add(block.header_bytes)
            .and_then(|at| at.checked_add(block.data_bytes));
        match next.filter(|next| *next <= length_bytes) {
            None => return Ok(Err(ChainError::Truncated)),
            Some(next) => {
                let skipped = i64::try_from(block.data_bytes).map_err(io::Error::other)?;
                reader.seek_relative(skipped)?;
                position = next;
            }
        }
    }
}

/// One header of a RAR 5 archive, its CRC already compared.
struct Block {
    kind: u64,
    /// The fields of its kind, after those that all kinds have.
    fields: Vec<u8>,
    header_bytes: u64,
    data_bytes: u64,
}

impl Block {
    fn read(reader: &mut impl Read) -> io::Result<Result<Self, ChainError>> {
        let mut crc = [0; 4];
        if read_up_to(reader, &mut crc)? < crc.len() {
            return Ok(Err(ChainError::Truncated));
        }
        let mut checked = Vec::new();
        while checked.len() < 3 && checked.last().is_none_or(|byte| byte & 0x80 != 0) {
            let mut byte = [0];
            if read_up_to(reader, &mut byte)? < byte.len() {
                return Ok(Err(ChainError::Truncated));
            }
            checked.extend(byte);
        }
        let size_field_bytes = checked.len();
        let size_bytes = match checked.as_slice().vint() {
            Some(size @ 1..=HEADER_MAX_BYTES) => size,
            _ => return Ok(Err(ChainError::BrokenHeader)),
        };
        if (reader.take(size_bytes).read_to_end(&mut checked)? as u64) < size_bytes {
            return Ok(Err(ChainError::Truncated));
        }
        if crc32fast::hash(&checked) != u32::from_le_bytes(crc) {
            return Ok(Err(ChainError::BrokenHeader));
        }
        let header_bytes = (crc.len() + checked.len()) as u64;
        let body = checked.get(size_field_bytes..).unwrap_or_default();
        Ok(Self::parse(body, header_bytes).ok_or(ChainError::BrokenHeader))
    }

    fn parse(mut body: &[u8], header_bytes: u64) -> Option<Self> {
        let kind = body.vint()?;
        let flags = body.vint()?;
        if flags & BLOCK_HAS_EXTRA != 0 {
            body.vint()?;
        }
        let data_bytes = if flags & BLOCK_HAS_DATA != 0 { body.vint()? } else { 0 };
        Some(Self { kind, fields: body.to_vec(), header_bytes, data_bytes })
    }
}

/// Reading of RAR 5 numbers: seven bits a byte, the lowest first, the top bit for "more follows".
trait ReadVint {
    fn vint(&mut self) -> Option<u64>;
}

impl ReadVint for &[u8] {
    fn vint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.split_first()?;
            *self = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends a RAR 5 number.
pub(super) fn push_vint(out: &mut Vec<u8>, mut value: u64) {
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

/// Fills `buffer` as far as the input reaches.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest @ [_, ..]) = buffer.get_mut(filled..) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(value: u64) {
            let mut bytes = Vec::new();
            push_vint(&mut bytes, value);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(rest.vint(), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Block::read(&mut bytes.as_slice());
        }
    }
}
