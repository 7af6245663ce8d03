//! `version.ini`, the sentinel of a downloaded game: its first line, trimmed, is the version.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use lanspread_proto::GameVersion;
use lanspread_proto::manifest::{VERSION_FILE, VERSION_FILE_MAX_BYTES};
use lanspread_proto::version_ini::parse_version_ini;

use crate::error::VersionError;

/// The name of the sentinel, directly in the game root.
pub const VERSION_INI_NAME: &str = VERSION_FILE;
/// How many bytes of a `version.ini` are looked at.
pub const VERSION_INI_MAX_BYTES: u64 = VERSION_FILE_MAX_BYTES;

/// The `version.ini` of a game that is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionIni {
    /// What its first line tells.
    pub version: GameVersion,
    /// All of its bytes; `None` where it has more than [`VERSION_INI_MAX_BYTES`].
    pub bytes: Option<Vec<u8>>,
}

/// Reads the version of the game in `root`; `None` where the game is not downloaded.
///
/// Only a regular file directly in `root` counts: a link, a directory or a pipe of that name is as
/// good as nothing.
///
/// # Errors
/// [`VersionError`], when the file cannot be read or its first line is no version.
pub fn read_version(root: &Path) -> Result<Option<GameVersion>, VersionError> {
    Ok(read_version_ini(root)?.map(|found| found.version))
}

/// Reads the `version.ini` of the game in `root`, as [`read_version`] does.
///
/// # Errors
/// As [`read_version`].
pub fn read_version_ini(root: &Path) -> Result<Option<VersionIni>, VersionError> {
    let path = root.join(VERSION_INI_NAME);
    let bytes = match read_head(&path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(VersionError::Read { path, source }),
    };
    let Some(mut bytes) = bytes else { return Ok(None) };
    let is_whole = bytes.len() as u64 <= VERSION_INI_MAX_BYTES;
    bytes.truncate(usize::try_from(VERSION_INI_MAX_BYTES).unwrap_or(usize::MAX));
    match parse_version_ini(&bytes) {
        Ok(version) => Ok(Some(VersionIni { version, bytes: is_whole.then_some(bytes) })),
        Err(source) => Err(VersionError::Bad { path, source }),
    }
}

/// The first bytes of the regular file at `path`, one more than [`VERSION_INI_MAX_BYTES`] at most; `None`
/// for anything else.
fn read_head(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Asked before opening, because opening a pipe that nobody writes to waits for ever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(VERSION_INI_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
