//! Paths inside a game root that are safe on every platform.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{COMPONENT_MAX_BYTES, PATH_MAX_BYTES, PATH_MAX_DEPTH};
use crate::text::is_forbidden_in_names;

/// Device names that Windows reserves in every directory, with any extension.
/// Source: Microsoft, "Naming Files, Paths, and Namespaces".
const WINDOWS_DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Why a string cannot name one file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Nothing between two separators.
    #[error("it is empty")]
    Empty,
    /// `.` or `..`.
    #[error("it is a relative step")]
    RelativeStep,
    /// More than [`COMPONENT_MAX_BYTES`].
    #[error("it is longer than 255 bytes")]
    TooLong,
    /// A separator, a drive colon, a wildcard, a control character, or one that separates lines or overrides the
    /// writing direction.
    #[error("it holds the character {0:?}")]
    BadCharacter(char),
    /// A name such as `NUL` or `COM1.txt`.
    #[error("it is a device name on Windows")]
    DeviceName,
    /// Windows drops these, so that two names would become one.
    #[error("it ends in a dot or a space")]
    TrailingDotOrSpace,
}

/// Why a string is not a [`RelPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More than [`PATH_MAX_BYTES`].
    #[error("path has {0} bytes, more than 1024")]
    TooLong(usize),
    /// More than [`PATH_MAX_DEPTH`] components.
    #[error("path {0:?} is deeper than 32 components")]
    TooDeep(String),
    /// One component is not allowed.
    #[error("path {path:?} is refused at {component:?}: {reason}")]
    Component {
        /// The whole path.
        path: String,
        /// The offending component.
        component: String,
        /// What is wrong with it.
        reason: ComponentError,
    },
    /// The path is not UTF-8.
    #[error("path {0:?} is not UTF-8")]
    NotUtf8(PathBuf),
}

/// Checks that `name` can name one file or directory on every platform.
///
/// # Errors
/// [`ComponentError`] says what is wrong.
pub fn check_component(name: &str) -> Result<(), ComponentError> {
    if name.is_empty() {
        return Err(ComponentError::Empty);
    }
    if name == "." || name == ".." {
        return Err(ComponentError::RelativeStep);
    }
    if name.len() > COMPONENT_MAX_BYTES {
        return Err(ComponentError::TooLong);
    }
    let forbidden = |c: char| is_forbidden_in_names(c) || r#"/\:*?"<>|"#.contains(c);
    // Looked for only where there may be one: a manifest may have 32 MiB of names.
    if !name.bytes().all(is_ordinary)
        && let Some(c) = name.chars().find(|c| forbidden(*c))
    {
        return Err(ComponentError::BadCharacter(c));
    }
    if name.ends_with(['.', ' ']) {
        return Err(ComponentError::TrailingDotOrSpace);
    }
    if is_windows_device(name) {
        return Err(ComponentError::DeviceName);
    }
    Ok(())
}

/// Whether a byte is a character that every platform takes, and no part of another one.
const fn is_ordinary(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
        && !matches!(byte, b'/' | b'\\' | b':' | b'*' | b'?' | b'"' | b'<' | b'>' | b'|')
}

fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    if WINDOWS_DEVICES.contains(&stem.as_str()) {
        return true;
    }
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut digits = numbered.unwrap_or_default().chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// A path below a game root: `/` between components, each safe on every platform.
///
/// Never absolute, without `.` and `..`, at most [`PATH_MAX_DEPTH`] components and
/// [`PATH_MAX_BYTES`] bytes. Ordered by its bytes. A clone shares the text: a game of 100,000 files has
/// its paths in a manifest, in the looks of its files and in requests.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(Arc<str>);

impl RelPath {
    /// Checks `path` against every rule.
    ///
    /// # Errors
    /// [`PathError`] says which rule it breaks and where.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        if path.len() > PATH_MAX_BYTES {
            return Err(PathError::TooLong(path.len()));
        }
        let mut depth = 0;
        for component in path.split('/') {
            depth += 1;
            if depth > PATH_MAX_DEPTH {
                return Err(PathError::TooDeep(path));
            }
            if let Err(reason) = check_component(component) {
                let component = component.to_owned();
                return Err(PathError::Component { path, component, reason });
            }
        }
        Ok(Self(path.into()))
    }

    /// Reads a path of this platform, relative to the game root.
    ///
    /// # Errors
    /// [`PathError`] when it is not UTF-8 or breaks a rule of [`RelPath::new`].
    pub fn from_native(path: &Path) -> Result<Self, PathError> {
        let mut text = String::new();
        for component in path.components() {
            let part = component
                .as_os_str()
                .to_str()
                .ok_or_else(|| PathError::NotUtf8(path.to_path_buf()))?;
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(part);
        }
        Self::new(text)
    }

    /// The path as text, with `/` between components.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components from the root down; at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component: a file of the root, or the directory below it.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The directories that the path lies in, from the root down, without the root itself.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }

    /// Whether the path names something directly in the root.
    #[must_use]
    pub fn is_root_level(&self) -> bool {
        !self.0.contains('/')
    }

    /// The place of this path below `root`.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.components());
        path
    }
}

impl TryFrom<String> for RelPath {
    type Error = PathError;

    fn try_from(value: String) -> Result<Self, PathError> {
        Self::new(value)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

impl FromStr for RelPath {
    type Err = PathError;

    fn from_str(s: &str) -> Result<Self, PathError> {
        Self::new(s)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_pass() {
        for good in [
            "a.eti",
            "deep/er/file with spaces.txt",
            "ünïcode/日本.bin",
            "..a",
            ".hidden",
            "console",
            "שלום\u{200f}.txt",
            "\u{202a}copied from a dialogue.txt\u{202c}",
            "\u{2068}shared\u{2069}.bin",
            "می\u{200c}خواهم",
            "com10",
            "COMMON",
            "nulls.txt",
        ] {
            assert_eq!(RelPath::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn escaping_and_unportable_names_are_refused() {
        let deep = vec!["d"; PATH_MAX_DEPTH + 1].join("/");
        let long = "x".repeat(COMPONENT_MAX_BYTES + 1);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:/x",
            "c:",
            "a\0b",
            "a\nb",
            "a\u{85}b",
            "a\u{2028}b",
            "photo\u{202e}gnp.exe",
            "photo\u{202d}gnp.exe",
            "nul",
            "NUL.txt",
            "con .txt",
            "com1",
            "LPT9.x",
            "COM¹",
            "conin$",
            "a.",
            "a /b",
            "b?",
            "x*",
            "<",
            "a|b",
            "\"",
            &deep,
            &long,
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn native_paths_become_slash_paths() {
        let native = Path::new("a").join("b.txt");
        assert_eq!(RelPath::from_native(&native).unwrap().as_str(), "a/b.txt");
        assert!(RelPath::from_native(Path::new("/a")).is_err());
        assert!(RelPath::from_native(Path::new("../a")).is_err());
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_below_the_root(text in "[a-zA-Z0-9./\\\\: ~$é\\x00-\\x1f]{0,40}") {
            if let Ok(path) = RelPath::new(text) {
                let root = Path::new("/root");
                let below = path.under(root);
                prop_assert!(below.starts_with(root));
                prop_assert!(below.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert_eq!(below.components().count(), 2 + path.components().count());
            }
        }
    }
}
