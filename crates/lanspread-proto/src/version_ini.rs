//! `version.ini`, the sentinel of a downloaded game: its first line, trimmed, is the version.

use crate::ids::{GameVersion, IdError};
use crate::text::without_byte_order_mark;

/// Why bytes are not the content of a `version.ini`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadVersion {
    /// The first line is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The first line breaks the rules for versions.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// The version that `bytes`, the content of a `version.ini`, tell.
///
/// # Errors
/// [`BadVersion`] says what is wrong with the first line.
pub fn parse_version_ini(bytes: &[u8]) -> Result<GameVersion, BadVersion> {
    let bytes = without_byte_order_mark(bytes);
    let first_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    let text = std::str::from_utf8(first_line).map_err(|_| BadVersion::NotUtf8)?;
    Ok(GameVersion::new(text.trim())?)
}

/// The content of a `version.ini` that tells `version`.
#[must_use]
pub fn format_version_ini(version: &GameVersion) -> Vec<u8> {
    format!("{version}\n").into_bytes()
}
