//! RAR archives, unpacked in this process.

mod chains;
mod format;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod layout;
#[expect(unsafe_code, reason = "the UnRAR library is C++; this module is the only way to it")]
mod library;
mod lock;
mod old_chain;
mod start;
mod text;
mod volumes;

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::dictionary::MaxDictionary;
use crate::error::{Damage, UnpackError, UnsafeReason};
use crate::names::NAMES_MAX;
use crate::pass::{EntryPass, RawKind, UnpackSummary};
use crate::sink::unpack_below;
use crate::unpacker::Unpacker;
use layout::ERAR_LARGE_DICT;
use library::{Failure, Header, OpenArchive, Purpose};
use lock::{LibraryGuard, LockError};

pub(crate) use chains::VolumeChains;
pub(crate) use start::{RarStart, find_signature, inspect};
pub(crate) use volumes::refuse_special_volumes;

/// What the library gives as the size where the archive announces none.
const SIZE_UNKNOWN: u64 = 0x7fff_ffff_7fff_ffff;

/// How the library numbers the two kinds of entry that stand for another file of the archive.
const HARD_LINK: u32 = 4;
const FILE_REFERENCE: u32 = 5;

const UNIX_TYPE_MASK: u32 = 0o170_000;
const UNIX_DIRECTORY: u32 = 0o040_000;
const UNIX_FILE: u32 = 0o100_000;
const UNIX_EXECUTE: u32 = 0o111;

/// Unpacks RAR 1.5 to 7 archives with the `UnRAR` library, in this process.
///
/// Solid archives and sets of volumes are read in one pass; of a set the first volume is given, and
/// the others stand beside it. Passwords are not supported. The library itself never writes a file.
///
/// Several archives may be unpacked at a time, but the decompression of one waits for that of another.
/// Nothing but regular files is opened. An operation ends between two blocks when it is cancelled, also
/// while it waits for another one.
#[derive(Debug, Clone, Copy, Default)]
pub struct RarUnpacker {
    max_dictionary: MaxDictionary,
}

impl RarUnpacker {
    /// Refuses archives that need a larger dictionary.
    #[must_use]
    pub const fn new(max_dictionary: MaxDictionary) -> Self {
        Self { max_dictionary }
    }
}

impl Unpacker for RarUnpacker {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        unpack_below(archive, target, control, |pass| read(pass, self.max_dictionary))
    }
}

/// Refuses what can be refused from the start of the archive; tells whether it is RAR 5.
pub(crate) fn require_first_volume(archive: &Path) -> Result<bool, UnpackError> {
    let archive_path = archive.to_path_buf();
    match inspect(archive).map_err(UnpackError::io("open", archive))? {
        RarStart::First { is_rar5 } => Ok(is_rar5),
        RarStart::Continuation => Err(UnpackError::NotFirstVolume { archive: archive_path }),
        RarStart::EncryptedHeaders => Err(UnpackError::PasswordProtected { archive: archive_path }),
        RarStart::NotRar => Err(UnpackError::UnknownFormat { archive: archive_path }),
        RarStart::Newer => {
            let reason = "is of a RAR format that is newer than this program";
            Err(UnpackError::unsupported(archive, reason))
        }
        RarStart::Broken => {
            let damage = Damage::Malformed("its first header is broken");
            Err(UnpackError::damaged(archive, damage))
        }
    }
}

/// Delivers every entry of a RAR archive to `pass`.
pub(crate) fn read(
    pass: &mut EntryPass<'_>,
    max_dictionary: MaxDictionary,
) -> Result<(), UnpackError> {
    each_entry(pass, Purpose::Unpack, max_dictionary, &mut unpack_entry)
}

/// Lists every entry of a RAR archive to `pass`. Contents are skipped, also in solid archives.
pub(crate) fn list(
    pass: &mut EntryPass<'_>,
    max_dictionary: MaxDictionary,
) -> Result<(), UnpackError> {
    each_entry(pass, Purpose::List, max_dictionary, &mut |pass, open, header, kind| {
        pass.list(&header.name, kind)?;
        let guard = lock_library(pass)?;
        open.skip(guard).map_err(|failure| to_unpack_error(pass, failure))
    })
}

/// The names of all entries of a RAR archive, in their order. At most [`NAMES_MAX`].
pub(crate) fn names(pass: &mut EntryPass<'_>) -> Result<Vec<String>, UnpackError> {
    let mut names = Vec::new();
    each_entry(pass, Purpose::List, MaxDictionary::LARGEST, &mut |pass, open, header, kind| {
        if let RawKind::Refused(reason) = kind {
            return Err(UnpackError::UnsafeEntry { entry: header.name.clone(), reason });
        }
        if names.len() >= NAMES_MAX {
            let archive = pass.archive().to_path_buf();
            return Err(UnpackError::TooManyEntries { archive, limit: NAMES_MAX });
        }
        names.push(header.name.clone());
        let guard = lock_library(pass)?;
        open.skip(guard).map_err(|failure| to_unpack_error(pass, failure))
    })?;
    Ok(names)
}

type OnEntry<'a> = dyn FnMut(&mut EntryPass<'_>, &mut OpenArchive, &Header, RawKind) -> Result<(), UnpackError>
    + 'a;

fn each_entry(
    pass: &mut EntryPass<'_>,
    purpose: Purpose,
    max_dictionary: MaxDictionary,
    on_entry: &mut OnEntry<'_>,
) -> Result<(), UnpackError> {
    let archive = pass.archive();
    require_first_volume(archive)?;
    let mut chains = VolumeChains::default();
    chains.check(pass, archive)?;
    refuse_special_volumes(archive)?;
    let opened = OpenArchive::open(lock_library(pass)?, archive, purpose);
    let mut open = opened.map_err(|failure| to_unpack_error(pass, failure))?;
    let mut delivered = 0;
    loop {
        pass.check_cancelled()?;
        let read = open.next_header(lock_library(pass)?);
        for volume in open.take_entered_volumes() {
            chains.check(pass, &volume)?;
        }
        let header = match read {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(()),
            Err(Failure::Code(unrar_sys::ERAR_BAD_DATA)) if chains.is_false_alarm(delivered) => {
                return Ok(());
            }
            Err(Failure::Code(unrar_sys::ERAR_BAD_DATA)) => {
                let damage = Damage::Malformed("a header is broken");
                return Err(UnpackError::damaged(archive, damage));
            }
            Err(failure) => return Err(to_unpack_error(pass, failure)),
        };
        let kind = supported_kind(pass, &header, max_dictionary)?;
        on_entry(pass, &mut open, &header, kind)?;
        delivered += 1;
    }
}

/// Waits for the lock of the library, unless the operation is cancelled.
fn lock_library(pass: &mut EntryPass<'_>) -> Result<LibraryGuard, UnpackError> {
    let archive = pass.archive();
    LibraryGuard::lock(&mut || pass.check_cancelled().is_err()).map_err(|error| match error {
        LockError::Cancelled => UnpackError::Cancelled,
        LockError::Stuck => {
            let reason =
                "the reading of another archive does not come forward; its disk may be gone";
            UnpackError::io("read", archive)(io::Error::new(io::ErrorKind::TimedOut, reason))
        }
    })
}

/// What an entry is, unless it needs something that is not supported.
fn supported_kind(
    pass: &EntryPass<'_>,
    header: &Header,
    max_dictionary: MaxDictionary,
) -> Result<RawKind, UnpackError> {
    let archive = pass.archive().to_path_buf();
    if header.is_encrypted {
        return Err(UnpackError::PasswordProtected { archive });
    }
    if header.is_continued {
        return Err(UnpackError::NotFirstVolume { archive });
    }
    max_dictionary.require(&archive, header.dictionary_bytes)?;
    let kind = raw_kind(header);
    if kind.size_bytes() == Some(SIZE_UNKNOWN) {
        return Err(UnpackError::unsupported(&archive, "does not tell the sizes of its files"));
    }
    Ok(kind)
}

fn unpack_entry(
    pass: &mut EntryPass<'_>,
    open: &mut OpenArchive,
    header: &Header,
    kind: RawKind,
) -> Result<(), UnpackError> {
    let has_content = matches!(kind, RawKind::File { .. });
    pass.begin(&header.name, kind)?;
    let guard = lock_library(pass)?;
    let mut refused = None;
    let mut on_block = |block: &[u8]| match pass.data(block) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            refused = Some(error);
            ControlFlow::Break(())
        }
    };
    let unpacked = open.unpack(guard, &mut on_block);
    if let Some(error) = refused {
        return Err(error);
    }
    unpacked.map_err(|failure| to_unpack_error(pass, failure))?;
    if has_content { pass.end_file() } else { Ok(()) }
}

fn raw_kind(header: &Header) -> RawKind {
    let is_copy = matches!(header.redirection_type, HARD_LINK | FILE_REFERENCE);
    let unix_type = header.attributes & UNIX_TYPE_MASK;
    let executable = header.is_from_unix && header.attributes & UNIX_EXECUTE != 0;
    let Header { size_bytes, modified, .. } = *header;
    let is_special = header.is_from_unix && ![0, UNIX_DIRECTORY, UNIX_FILE].contains(&unix_type);
    if header.is_name_cut {
        RawKind::Refused(UnsafeReason::NameTooLong)
    } else if !header.is_text {
        RawKind::Refused(UnsafeReason::NotText)
    } else if let Some(kind) = refused_link(header.redirection_type) {
        RawKind::Refused(UnsafeReason::Redirection(kind))
    } else if is_special {
        RawKind::Refused(UnsafeReason::SpecialFile)
    } else if header.is_directory {
        RawKind::Directory
    } else if is_copy {
        let from = header.redirection_name.clone();
        RawKind::Copy { from, size_bytes, modified, executable }
    } else {
        RawKind::File { size_bytes, modified, executable }
    }
}

/// The kind of a link that is refused.
fn refused_link(number: u32) -> Option<&'static str> {
    match number {
        0 | HARD_LINK | FILE_REFERENCE => None,
        1 => Some("symbolic link"),
        2 => Some("Windows symbolic link"),
        3 => Some("junction"),
        _ => Some("link of an unknown kind"),
    }
}

/// The error for a volume that the library, or the program, looked for in vain.
///
/// Where the name of an archive has no number of a volume, UnRAR counts up any other number in it, or
/// even its first letter, and asks for that file: `ruake.eti` after `quake.eti`. Before it asks it
/// has looked for the old kind of name, which is one that somebody can give a volume.
pub(crate) fn missing_volume(archive: PathBuf, named: PathBuf) -> UnpackError {
    let volume = if has_volume_number(&named) { named } else { second_of_old_names(&archive) };
    UnpackError::MissingVolume { archive, volume }
}

/// Whether a name is `NAME.part2.eti` or `NAME.e01`, whatever the extension.
fn has_volume_number(volume: &Path) -> bool {
    let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().to_ascii_lowercase());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_part = text(volume.file_stem())
        .and_then(|stem| stem.rsplit_once(".part").map(|(_, number)| is_number(number)));
    let is_old = text(volume.extension()).and_then(|extension| {
        extension.get(1..).map(|number| number.len() > 1 && is_number(number))
    });
    has_part == Some(true) || is_old == Some(true)
}

/// `NAME.e00` after `NAME.eti`.
fn second_of_old_names(archive: &Path) -> PathBuf {
    let extension = archive.extension().map(OsStr::to_string_lossy).unwrap_or_default();
    let first = extension.chars().next().filter(|_| extension.len() > 1).unwrap_or('r');
    archive.with_extension(format!("{first}00"))
}

fn to_unpack_error(pass: &EntryPass<'_>, failure: Failure) -> UnpackError {
    let archive = pass.archive().to_path_buf();
    let code = match failure {
        Failure::MissingVolume(volume) => return missing_volume(archive, volume),
        Failure::Refused(error) => return error,
        Failure::PasswordWanted => return UnpackError::PasswordProtected { archive },
        Failure::Stopped => return UnpackError::Cancelled,
        Failure::Code(code) => code,
    };
    let malformed = |what| pass.damaged_entry(Damage::Malformed(what));
    match code {
        unrar_sys::ERAR_MISSING_PASSWORD | unrar_sys::ERAR_BAD_PASSWORD => {
            UnpackError::PasswordProtected { archive }
        }
        unrar_sys::ERAR_BAD_DATA => pass.damaged_entry(Damage::BadCrc),
        unrar_sys::ERAR_BAD_ARCHIVE => malformed("a header is broken"),
        unrar_sys::ERAR_EREAD => malformed("it cannot be read to its end"),
        unrar_sys::ERAR_UNKNOWN_FORMAT => {
            UnpackError::unsupported(&archive, "uses a compression that is newer than this program")
        }
        unrar_sys::ERAR_NO_MEMORY | ERAR_LARGE_DICT => {
            UnpackError::unsupported(&archive, "needs more memory than there is")
        }
        unrar_sys::ERAR_EOPEN => malformed("it or a volume of it cannot be opened"),
        _ => malformed("the data make no sense"),
    }
}
