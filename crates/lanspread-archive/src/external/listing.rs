//! Reads the technical listing (`unrar lt -v`).
//!
//! An entry is a block of `Key: value` lines that begins with its name and ends with an empty line; a
//! file that goes on in the next volume is listed again there. Names are printed as they are, so a
//! name with a line break could look like other lines: whatever is not exactly as expected is refused.

use crate::error::UnsafeReason;
use crate::names::NAMES_MAX;
use crate::pass::RawKind;

/// Longest line that can matter: the longest path, and its key.
const LINE_MAX_BYTES: usize = 1024 + 64;

/// What the program prints for a version of the compression that it does not know.
const UNKNOWN_VERSION: &str = "(v0)";
/// The method that every program knows.
const STORED: &str = " -m0 ";

/// Keys of an entry whose values do not matter here.
const OTHER_KEYS: [&str; 15] = [
    "Packed size",
    "mtime",
    "ctime",
    "atime",
    "Modified",
    "Created",
    "Accessed",
    "Pack-CRC32",
    "BLAKE2",
    "Pack-BLAKE2",
    "CRC32 MAC",
    "BLAKE2 MAC",
    "Host OS",
    "File version",
    "Unix owner",
];

/// One file or directory of an archive. Its name is not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListedEntry {
    pub(super) name: String,
    /// `None` for a directory.
    pub(super) size_bytes: Option<u64>,
    pub(super) crc32: Option<u32>,
    /// The file of the archive whose content it has, where it has none of its own.
    pub(super) copy_of: Option<String>,
    pub(super) executable: bool,
}

impl ListedEntry {
    /// What it is. Times are not kept, as the program tells them without a time zone.
    pub(super) fn kind(&self) -> RawKind {
        let (modified, executable) = (None, self.executable);
        match (self.size_bytes, &self.copy_of) {
            (Some(size_bytes), None) => RawKind::File { size_bytes, modified, executable },
            (Some(size_bytes), Some(from)) => {
                RawKind::Copy { from: from.clone(), size_bytes, modified, executable }
            }
            (None, _) => RawKind::Directory,
        }
    }

    /// How many bytes the program prints for it.
    pub(super) fn printed_bytes(&self) -> Option<u64> {
        self.size_bytes.filter(|_| self.copy_of.is_none())
    }
}

/// An archive that is listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// In archive order.
    pub(super) entries: Vec<ListedEntry>,
    /// The largest dictionary of an entry, in bytes. Programs that cannot tell one cannot take it.
    pub(super) dictionary_bytes: u64,
    /// Whether an entry has a compression that the program does not know.
    pub(super) is_newer: bool,
}

/// Why a listing is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListingError {
    Encrypted,
    NotFirstVolume,
    Unsafe { entry: String, reason: UnsafeReason },
    TooMany { limit: usize },
    UnknownSize,
    NotUnderstood(String),
}

/// An entry while its lines arrive.
#[derive(Debug)]
struct Block {
    name: String,
    kind: Option<String>,
    size_bytes: Option<u64>,
    crc32: Option<u32>,
    target: Option<String>,
    executable: bool,
    is_continued: bool,
    dictionary_bytes: u64,
    is_newer: bool,
}

/// A listing while it arrives.
#[derive(Debug, Default)]
pub(super) struct Listing {
    listed: Listed,
    block: Option<Block>,
    line: Vec<u8>,
}

impl Listing {
    /// Takes the next piece of the program's output.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), ListingError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(piece);
            if self.line.len() > LINE_MAX_BYTES {
                return Err(not_understood(&self.line));
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line)?;
            }
        }
        Ok(())
    }

    /// What is listed, once all output has been fed.
    pub(super) fn finish(mut self) -> Result<Listed, ListingError> {
        let line = std::mem::take(&mut self.line);
        self.take_line(&line)?;
        self.end_block()?;
        Ok(self.listed)
    }

    fn take_line(&mut self, bytes: &[u8]) -> Result<(), ListingError> {
        let line = str::from_utf8(bytes).map_err(|_| not_understood(bytes))?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
            return self.end_block();
        }
        let understood = match (line.trim_start().split_once(": "), &mut self.block) {
            (Some(("Name", name)), None) => {
                self.block = Some(Block {
                    name: name.to_owned(),
                    kind: None,
                    size_bytes: None,
                    crc32: None,
                    target: None,
                    executable: false,
                    is_continued: false,
                    dictionary_bytes: 0,
                    is_newer: false,
                });
                true
            }
            (Some((key, value)), Some(block)) => block.take(key, value)?,
            (Some(("Details", value)), None) if value.contains("encrypted headers") => {
                return Err(ListingError::Encrypted);
            }
            // Before the first entry the program tells its own name and that of each volume.
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if understood { Ok(()) } else { Err(not_understood(bytes)) }
    }

    fn end_block(&mut self) -> Result<(), ListingError> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let listed = &mut self.listed;
        listed.dictionary_bytes = listed.dictionary_bytes.max(block.dictionary_bytes);
        listed.is_newer |= block.is_newer;
        if block.is_continued {
            // The last part of a file is the one that knows the checksum of the whole.
            return match listed.entries.last_mut() {
                Some(entry) if entry.name == block.name => {
                    entry.crc32 = block.crc32;
                    Ok(())
                }
                Some(_) => Err(not_understood(block.name.as_bytes())),
                None => Err(ListingError::NotFirstVolume),
            };
        }
        if listed.entries.len() >= NAMES_MAX {
            return Err(ListingError::TooMany { limit: NAMES_MAX });
        }
        listed.entries.push(block.into_entry()?);
        Ok(())
    }
}

impl Block {
    /// Takes a line of the entry; `false` for one that should not be there.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, ListingError> {
        match key {
            "Type" if self.kind.is_none() => self.kind = Some(value.to_owned()),
            "Target" if self.target.is_none() => self.target = Some(value.to_owned()),
            "Size" if value == "?" => return Err(ListingError::UnknownSize),
            "Size" if self.size_bytes.is_none() => {
                self.size_bytes = value.parse().ok();
                return Ok(self.size_bytes.is_some());
            }
            "CRC32" if self.crc32.is_none() => {
                self.crc32 = u32::from_str_radix(value.trim(), 16).ok();
                return Ok(self.crc32.is_some());
            }
            "Ratio" => self.is_continued = value == "<--" || value == "<->",
            "Flags" if value.split(' ').any(|flag| flag == "encrypted") => {
                return Err(ListingError::Encrypted);
            }
            "Flags" => {}
            "Attributes" => self.executable = may_be_run(value),
            "Compression" => {
                self.is_newer = value.contains(UNKNOWN_VERSION) && !value.contains(STORED);
                self.dictionary_bytes = dictionary_bytes(value).unwrap_or_default();
            }
            key => return Ok(OTHER_KEYS.contains(&key)),
        }
        Ok(true)
    }

    fn into_entry(self) -> Result<ListedEntry, ListingError> {
        let Self { name, kind, size_bytes, crc32, target, executable, .. } = self;
        let entry =
            |name, crc32, copy_of| Ok(ListedEntry { name, size_bytes, crc32, copy_of, executable });
        let link = match (kind.as_deref(), size_bytes) {
            (Some("Directory"), None) => return entry(name, None, None),
            (Some("File"), Some(_)) => return entry(name, crc32, None),
            // The checksum that is told for them is of nothing.
            (Some("Hard link" | "File reference"), Some(_)) if target.is_some() => {
                return entry(name, None, target);
            }
            (Some("Unix symbolic link"), _) => "symbolic link",
            (Some("Windows symbolic link"), _) => "Windows symbolic link",
            (Some("NTFS junction point"), _) => "junction",
            _ => return Err(not_understood(name.as_bytes())),
        };
        Err(ListingError::Unsafe { entry: name, reason: UnsafeReason::Redirection(link) })
    }
}

/// Whether anybody may run a file of `-rwxr-xr-x`. What is not from Unix has no such mode.
fn may_be_run(attributes: &str) -> bool {
    const MODE_LENGTH: usize = 10;
    // Small letters stand for a right beside setuid, setgid and sticky.
    let mode = attributes.as_bytes();
    mode.len() == MODE_LENGTH
        && mode.starts_with(b"-")
        && [3, 6, 9].iter().any(|at| matches!(mode.get(*at), Some(b'x' | b's' | b't')))
}

/// The dictionary in `RAR 5.0(v50) -m3 -md=128k`, which older programs write with large letters.
fn dictionary_bytes(compression: &str) -> Option<u64> {
    let size = compression.split(' ').find_map(|part| part.strip_prefix("-md="))?;
    let (at, unit) = size.char_indices().next_back()?;
    let unit_bytes: u64 = match unit.to_ascii_lowercase() {
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        _ => return None,
    };
    size.get(..at)?.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

fn not_understood(line: &[u8]) -> ListingError {
    let shown = line.get(..LINE_MAX_BYTES).unwrap_or(line);
    ListingError::NotUnderstood(String::from_utf8_lossy(shown).trim_end().to_owned())
}
