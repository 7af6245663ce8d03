//! Where a RAR archive begins, and what its first header tells.
//!
//! An archive that unpacks itself has a program in front of it. That is read over, and never run.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::format::{BLOCK_ENCRYPTION, BLOCK_MAIN, Block, ReadVint, read_up_to};
use crate::regular;

/// How every RAR archive since version 1.5 begins, but for a last byte.
const SIGNATURE: &[u8] = b"Rar!\x1a\x07";
const RAR5_SIGNATURE: &[u8; 8] = b"Rar!\x1a\x07\x01\x00";
const RAR4_FORMAT: u8 = 0;
const RAR5_FORMAT: u8 = 1;
/// Formats to come, as the library expects them.
const NEWER_FORMATS: Range<u8> = 2..5;

/// How the programs of self-extracting archives begin: for Windows, and for Unix.
const PROGRAMS: [&[u8]; 2] = [b"MZ", b"\x7fELF"];
/// How much of a file the library searches for a signature.
const PROGRAM_MAX_BYTES: u64 = 2 * 1024 * 1024 - 9;

const MAIN_IS_VOLUME: u64 = 0x0001;
const MAIN_HAS_NUMBER: u64 = 0x0002;

const RAR4_MAIN_HEADER_BYTES: usize = 13;
const RAR4_BLOCK_MAIN: u8 = 0x73;
const RAR4_IS_VOLUME: u16 = 0x0001;
const RAR4_NEW_NUMBERING: u16 = 0x0010;
const RAR4_ENCRYPTED_HEADERS: u16 = 0x0080;
const RAR4_FIRST_VOLUME: u16 = 0x0100;

/// Which generation of RAR wrote an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// RAR 1.5 to 4.
    Old,
    /// RAR 5 to 7.
    Rar5,
    /// A format to come.
    Newer,
    /// A signature that is cut, or of nothing known.
    Unknown,
}

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
    match find_signature(&mut reader)? {
        Some(Generation::Rar5) => inspect_rar5(&mut reader),
        Some(Generation::Old) => inspect_rar4(&mut reader),
        Some(Generation::Newer) => Ok(RarStart::Newer),
        Some(Generation::Unknown) => Ok(RarStart::Broken),
        None => Ok(RarStart::NotRar),
    }
}

/// Finds the first signature of RAR, at the start or behind a program, and leaves `reader` behind it.
pub(crate) fn find_signature(reader: &mut BufReader<File>) -> io::Result<Option<Generation>> {
    let mut start = vec![0; RAR5_SIGNATURE.len()];
    let length = read_up_to(reader, &mut start)?;
    start.truncate(length);
    if start.starts_with(SIGNATURE) {
        let found = Found { at: 0, generation: generation(&start).unwrap_or(Generation::Unknown) };
        return found.seek_behind(reader).map(Some);
    }
    if !PROGRAMS.iter().any(|program| start.starts_with(program)) {
        return Ok(None);
    }
    reader.take(PROGRAM_MAX_BYTES - length as u64).read_to_end(&mut start)?;
    let mut places = start.windows(SIGNATURE.len() + 1).enumerate();
    let found =
        places.find_map(|(at, place)| generation(place).map(|generation| Found { at, generation }));
    found.map(|found| found.seek_behind(reader)).transpose()
}

/// A signature, and where it begins.
struct Found {
    at: usize,
    generation: Generation,
}

impl Found {
    fn seek_behind(self, reader: &mut BufReader<File>) -> io::Result<Generation> {
        reader.seek(SeekFrom::Start((self.at + SIGNATURE.len() + 1) as u64))?;
        if self.generation != Generation::Rar5 {
            return Ok(self.generation);
        }
        // The signature of RAR 5 is longer by a byte.
        let mut last = [u8::MAX];
        read_up_to(reader, &mut last)?;
        Ok(if last == [0] { Generation::Rar5 } else { Generation::Unknown })
    }
}

/// The generation whose signature stands at the start of `bytes`.
fn generation(bytes: &[u8]) -> Option<Generation> {
    match *bytes.strip_prefix(SIGNATURE)?.first()? {
        RAR4_FORMAT => Some(Generation::Old),
        RAR5_FORMAT => Some(Generation::Rar5),
        format if NEWER_FORMATS.contains(&format) => Some(Generation::Newer),
        _ => None,
    }
}

fn inspect_rar5(reader: &mut impl Read) -> io::Result<RarStart> {
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
