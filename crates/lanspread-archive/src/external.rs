//! RAR archives, unpacked by an `unrar` program that the user names.
//!
//! The program runs twice for an archive, whatever the number of its files: once to list it, so that
//! what must be refused is refused before anything is unpacked, and once to print the contents of all
//! files one after another. The files are written here, so the program has no say in where they go.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod listing;
mod process;
mod version;

use std::ffi::OsStr;
use std::path::{self, Path, PathBuf};

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::dictionary::MaxDictionary;
use crate::error::{Damage, UnpackError};
use crate::pass::{EntryPass, UnpackSummary};
use crate::rar::{
    self, VolumeChains, missing_volume, refuse_special_volumes, require_first_volume,
};
use crate::sink::unpack_below;
use crate::unpacker::Unpacker;
use listing::{Listed, ListedEntry, Listing, ListingError};
use process::{Ended, Process};
pub use version::UnrarVersion;

/// Exit codes of `unrar`, as its manual numbers them.
const EXIT_WARNING: i32 = 1;
const EXIT_BAD_CRC: i32 = 3;
const EXIT_NO_MEMORY: i32 = 8;
const EXIT_BAD_PASSWORD: i32 = 11;

/// Above this the program unpacks nothing without leave.
const ASKED_ABOVE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Switches for both runs: no configuration file, no comments, no question about a password, every
/// version of a file, and no switches behind them.
const SWITCHES: [&str; 5] = ["-cfg-", "-c-", "-p-", "-ver", "--"];

/// What the program prints for each unit of UTF-16 that it cannot spell. No name may hold it.
const UNSPELLED: char = '?';

/// Unpacks RAR archives with the freeware `unrar` program, version 5 or later, or one that takes its
/// commands `lt` and `p` and answers like it.
///
/// Free programs of similar names (`unrar-free`, `unar`) have other commands and do not fit. Times of
/// files are not kept, as the program tells them without a time zone.
#[derive(Debug, Clone)]
pub struct ExternalUnrar {
    program: PathBuf,
    max_dictionary: MaxDictionary,
}

impl ExternalUnrar {
    /// `program` is a path, or a name that is looked up in `PATH`.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, max_dictionary: MaxDictionary::default() }
    }

    /// Refuses archives that need a larger dictionary than this, rather than the default.
    #[must_use]
    pub fn with_max_dictionary(self, max_dictionary: MaxDictionary) -> Self {
        Self { max_dictionary, ..self }
    }

    /// Asks the program which version of `unrar` it is; `None` where it does not say so. Blocks for five seconds at most.
    ///
    /// # Errors
    /// [`UnpackError`], when the program cannot be started or says nothing in that time.
    pub fn version(&self) -> Result<Option<UnrarVersion>, UnpackError> {
        version::ask(&self.program)
    }

    /// Lists an archive, in one run of the program.
    pub(crate) fn list_archive(
        &self,
        pass: &mut EntryPass<'_>,
    ) -> Result<ArchiveListing, UnpackError> {
        let archive = pass.archive();
        let is_rar5 = require_first_volume(archive)?;
        let mut chains = VolumeChains::default();
        chains.check(pass, archive)?;
        refuse_special_volumes(archive)?;
        // A relative path could begin with a character that has a meaning for the program.
        let absolute = path::absolute(archive).map_err(UnpackError::io("find", archive))?;
        let Listed { mut entries, dictionary_bytes, is_newer } =
            self.list(pass, &absolute, &chains)?;
        if is_newer {
            let reason = "uses a compression that is newer than the unpacking program";
            return Err(UnpackError::unsupported(archive, reason));
        }
        self.max_dictionary.require(archive, dictionary_bytes)?;
        if !is_rar5 && entries.iter().any(|entry| entry.name.contains(UNSPELLED)) {
            correct_names(pass, &mut entries)?;
        }
        Ok(ArchiveListing { absolute, entries, dictionary_bytes, chains })
    }

    /// Delivers an archive that was listed, in one run of the program for all its files.
    pub(crate) fn read(
        &self,
        pass: &mut EntryPass<'_>,
        listing: ArchiveListing,
    ) -> Result<(), UnpackError> {
        refuse_special_volumes(pass.archive())?;
        self.print(pass, listing)
    }

    fn start(&self, commands: &[&str], archive: &Path) -> Result<Process, UnpackError> {
        let arguments = commands.iter().chain(&SWITCHES).map(OsStr::new);
        Process::start(&self.program, arguments.chain([archive.as_os_str()]))
            .map_err(UnpackError::io("run", &self.program))
    }

    fn list(
        &self,
        pass: &mut EntryPass<'_>,
        archive: &Path,
        chains: &VolumeChains,
    ) -> Result<Listed, UnpackError> {
        let mut process = self.start(&["lt", "-v"], archive)?;
        let mut listing = Listing::default();
        let refused = |error| self.listing_refused(archive, error);
        while let Some(block) = process.next_block(|| pass.check_cancelled())? {
            listing.feed(&block).map_err(refused)?;
        }
        let ended = process.end(|| pass.check_cancelled())?;
        let listed = listing.finish();
        // No content is read for a listing, so what is complained of are headers.
        let is_false_alarm =
            listed.as_ref().is_ok_and(|listed| chains.is_false_alarm(listed.entries.len() as u64));
        self.require_success(archive, &ended, is_false_alarm)?;
        listed.map_err(refused)
    }

    fn print(&self, pass: &mut EntryPass<'_>, listing: ArchiveListing) -> Result<(), UnpackError> {
        let ArchiveListing { absolute: archive, entries, dictionary_bytes, chains } = &listing;
        // Programs before version 7 know neither such dictionaries nor the switch.
        let leave = (*dictionary_bytes > ASKED_ABOVE_BYTES)
            .then(|| format!("-mdx{}k", self.max_dictionary.bytes() / 1024));
        let commands: Vec<&str> = ["p", "-inul"].into_iter().chain(leave.as_deref()).collect();
        let process = self.start(&commands, archive)?;
        let mut printed = Printed { process, unread: Vec::new() };
        for entry in entries {
            pass.begin(&entry.name, entry.kind())?;
            let Some(size_bytes) = entry.printed_bytes() else { continue };
            let mut hasher = crc32fast::Hasher::new();
            let mut left = size_bytes;
            while left > 0 {
                let Some(block) = printed.take(pass, left)? else {
                    // What the program says tells more than that bytes are missing.
                    let ended = printed.process.end(|| pass.check_cancelled())?;
                    self.require_success(archive, &ended, false)?;
                    return pass.end_file();
                };
                hasher.update(&block);
                pass.data(&block)?;
                left -= block.len() as u64;
            }
            if entry.crc32.is_some_and(|crc32| crc32 != hasher.finalize()) {
                return Err(pass.damaged_entry(Damage::BadCrc));
            }
            pass.end_file()?;
        }
        if printed.take(pass, 1)?.is_some() {
            let damage = Damage::Malformed("it holds more than it lists");
            return Err(UnpackError::damaged(archive, damage));
        }
        let ended = printed.process.end(|| pass.check_cancelled())?;
        // Where every content was compared here, what is complained of are headers.
        let are_compared =
            entries.iter().all(|entry| entry.printed_bytes().is_none() || entry.crc32.is_some());
        let is_false_alarm = are_compared && chains.is_false_alarm(entries.len() as u64);
        self.require_success(archive, &ended, is_false_alarm)
    }

    /// With `is_false_alarm` a complaint about the archive counts as success.
    fn require_success(
        &self,
        archive: &Path,
        ended: &Ended,
        is_false_alarm: bool,
    ) -> Result<(), UnpackError> {
        // A listing that ends at a missing volume counts as a success for the program.
        if let Some(volume) = volume_not_found(&ended.stderr) {
            return Err(missing_volume(archive.to_path_buf(), volume));
        }
        let complains = matches!(ended.status.code(), Some(EXIT_WARNING | EXIT_BAD_CRC));
        if ended.status.success() || (is_false_alarm && complains) {
            return Ok(());
        }
        Err(self.failed(archive, ended))
    }

    fn failed(&self, archive: &Path, ended: &Ended) -> UnpackError {
        let archive = archive.to_path_buf();
        match ended.status.code() {
            Some(EXIT_BAD_PASSWORD) => UnpackError::PasswordProtected { archive },
            Some(EXIT_NO_MEMORY) => {
                UnpackError::unsupported(&archive, "needs more memory than there is")
            }
            Some(EXIT_WARNING | EXIT_BAD_CRC) => {
                UnpackError::damaged(&archive, reported_damage(&ended.stderr))
            }
            _ => self.external(ended.status.to_string(), ended.stderr.clone()),
        }
    }

    fn listing_refused(&self, archive: &Path, error: ListingError) -> UnpackError {
        let archive = archive.to_path_buf();
        match error {
            ListingError::Encrypted => UnpackError::PasswordProtected { archive },
            ListingError::NotFirstVolume => UnpackError::NotFirstVolume { archive },
            ListingError::Unsafe { entry, reason } => UnpackError::UnsafeEntry { entry, reason },
            ListingError::TooMany { limit } => UnpackError::TooManyEntries { archive, limit },
            ListingError::UnknownSize => {
                UnpackError::unsupported(&archive, "does not tell the sizes of its files")
            }
            ListingError::NotUnderstood(line) => self.external(
                "a listing that is not understood".to_owned(),
                format!("unexpected line {line:?}"),
            ),
        }
    }

    fn external(&self, status: String, stderr: String) -> UnpackError {
        UnpackError::External { program: self.program.clone(), status, stderr }
    }
}

impl Unpacker for ExternalUnrar {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        unpack_below(archive, target, control, |pass| {
            let listing = self.list_archive(pass)?;
            // What must be refused is refused before anything is unpacked.
            pass.dry_run(|pass| listing.list(pass))?;
            self.read(pass, listing)
        })
    }
}

/// Puts the names in the place of those that the program could not spell: it takes the units of RAR 3
/// names for characters. The library reads the headers for that, and nothing else.
fn correct_names(pass: &mut EntryPass<'_>, entries: &mut [ListedEntry]) -> Result<(), UnpackError> {
    let archive = pass.archive();
    let names = rar::names(pass)?;
    if names.len() != entries.len() {
        let damage = Damage::Malformed("its entries cannot be told apart");
        return Err(UnpackError::damaged(archive, damage));
    }
    for (entry, name) in entries.iter_mut().zip(names) {
        entry.name = name;
    }
    Ok(())
}

/// An archive that was listed.
#[derive(Debug)]
pub(crate) struct ArchiveListing {
    absolute: PathBuf,
    entries: Vec<ListedEntry>,
    dictionary_bytes: u64,
    chains: VolumeChains,
}

impl ArchiveListing {
    /// Counts all entries as delivered.
    pub(crate) fn list(&self, pass: &mut EntryPass<'_>) -> Result<(), UnpackError> {
        self.entries.iter().try_for_each(|entry| pass.list(&entry.name, entry.kind()))
    }
}

/// The contents of all files, one after another.
struct Printed {
    process: Process,
    unread: Vec<u8>,
}

impl Printed {
    /// The next bytes, at least one and at most `most_bytes`, or `None` at the end.
    fn take(
        &mut self,
        pass: &mut EntryPass<'_>,
        most_bytes: u64,
    ) -> Result<Option<Vec<u8>>, UnpackError> {
        if self.unread.is_empty() {
            match self.process.next_block(|| pass.check_cancelled())? {
                Some(block) => self.unread = block,
                None => return Ok(None),
            }
        }
        let count = usize::try_from(most_bytes).unwrap_or(usize::MAX).min(self.unread.len());
        let rest = self.unread.split_off(count);
        Ok(Some(std::mem::replace(&mut self.unread, rest)))
    }
}

/// The damage that the program tells of.
fn reported_damage(stderr: &str) -> Damage {
    if stderr.lines().any(|line| line.trim() == "Unexpected end of archive") {
        Damage::Truncated
    } else if stderr.is_empty() {
        Damage::BadCrc
    } else {
        Damage::Reported(stderr.to_owned())
    }
}

/// The volume that the program says it cannot find.
fn volume_not_found(stderr: &str) -> Option<PathBuf> {
    let mut lines = stderr.lines();
    let named = lines.find_map(|line| line.strip_prefix("Cannot find volume "))?;
    Some(PathBuf::from(named.trim_end()))
}
