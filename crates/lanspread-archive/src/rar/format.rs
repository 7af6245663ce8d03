//! The chain of RAR 5 blocks.
//!
//! Whether an archive is complete is found out here, as the library does not tell. It takes a RAR 5 archive that was cut between two entries for a
//! shorter one, and forgets a broken header when it goes on to the next volume.

use std::io::{self, BufReader, Read, Seek};

/// Largest RAR 5 header, by the format: its size has at most three bytes of seven bits.
const HEADER_MAX_BYTES: u64 = 2 * 1024 * 1024;

pub(super) const BLOCK_MAIN: u64 = 1;
pub(super) const BLOCK_ENCRYPTION: u64 = 4;
const BLOCK_END: u64 = 5;
const BLOCK_HAS_EXTRA: u64 = 0x0001;
const BLOCK_HAS_DATA: u64 = 0x0002;
/// Why a chain of blocks is not a complete archive, or is not known to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainError {
    Truncated,
    BrokenHeader,
    Cancelled,
}

/// Follows the blocks from behind the signature to the end block, and checks every header.
/// `length_bytes` is that of the whole volume.
///
/// The contents are skipped, so that this costs a read per entry. `is_cancelled` is asked before each:
/// an archive made for it holds hundreds of millions of blocks.
pub(super) fn check_rar5_chain(
    reader: &mut BufReader<impl Read + Seek>,
    length_bytes: u64,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> io::Result<Result<(), ChainError>> {
    let mut position = reader.stream_position()?;
    loop {
        if is_cancelled() {
            return Ok(Err(ChainError::Cancelled));
        }
        let block = match Block::read(reader)? {
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
pub(super) struct Block {
    pub(super) kind: u64,
    /// The fields of its kind, after those that all kinds have.
    pub(super) fields: Vec<u8>,
    header_bytes: u64,
    data_bytes: u64,
}

impl Block {
    pub(super) fn read(reader: &mut impl Read) -> io::Result<Result<Self, ChainError>> {
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
pub(super) trait ReadVint {
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

/// Fills `buffer` as far as the input reaches.
pub(super) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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
