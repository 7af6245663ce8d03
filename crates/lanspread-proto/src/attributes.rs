//! What travels beside the content of a game and is in none of its hashes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::limits::{DIRECTORIES_MAX, DIRECTORIES_MAX_BYTES, PAGE_MAX_BYTES};
use crate::manifest::VERSION_FILE_MAX_BYTES;
use crate::path::{PathError, RelPath};
use crate::records::{join_shared, split_shared};

/// Executable bits, empty directories and the bytes of `version.ini`.
///
/// They never change a claim: two sources with other attributes have the same game.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Which files are executable, where the source can tell.
    pub executable: Option<FileBits>,
    /// The innermost directories without content, in path order.
    pub directories: Vec<RelPath>,
    /// The bytes of `version.ini`, where they are of the length that travels.
    pub version_ini: Option<Bytes>,
}

/// One bit for each content file, in path order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBits {
    bytes: Vec<u8>,
    files: usize,
}

/// What makes bytes not the attributes of a game.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// They are too long, end in the middle, or hold what is none.
    #[error("they cannot be read")]
    Unreadable,
    /// They are not written as every source writes them.
    #[error("they are not in the one form they can have")]
    NotCanonical,
    /// There is not one bit for each file.
    #[error("they have bits for another number of files")]
    Bits,
    /// More than [`DIRECTORIES_MAX`], or more than [`DIRECTORIES_MAX_BYTES`].
    #[error(
        "they list more than {DIRECTORIES_MAX} empty directories, or more than {DIRECTORIES_MAX_BYTES} bytes of them"
    )]
    TooManyDirectories,
    /// A directory breaks a rule.
    #[error("an empty directory: {0}")]
    Directory(#[from] PathError),
    /// The directories are not in path order, or one lies in another.
    #[error("empty directory {0} is not in order, or lies in another one that is listed")]
    Order(RelPath),
    /// `version.ini` is empty or longer than [`VERSION_FILE_MAX_BYTES`].
    #[error("they hold a version.ini of {0} bytes")]
    VersionIni(usize),
}

#[derive(Serialize)]
struct Record<'a> {
    executable: Option<&'a [u8]>,
    directories: Vec<Directory<'a>>,
    version_ini: Option<&'a [u8]>,
}

#[derive(Serialize, Deserialize)]
struct Directory<'a> {
    shared: u16,
    suffix: &'a str,
}

impl Attributes {
    /// Encodes them into one page.
    ///
    /// # Errors
    /// [`AttributesError`] names the bound or the rule that they break.
    pub fn encode(&self) -> Result<Bytes, AttributesError> {
        self.check()?;
        let mut before = "";
        let directories = self.directories.iter().map(|path| {
            let (shared, suffix) = split_shared(before, path.as_str());
            before = path.as_str();
            Directory { shared, suffix }
        });
        let directories: Vec<_> = directories.collect();
        let encoded = postcard::to_allocvec(&directories);
        if encoded.is_ok_and(|encoded| encoded.len() > DIRECTORIES_MAX_BYTES) {
            return Err(AttributesError::TooManyDirectories);
        }
        let record = Record {
            executable: self.executable.as_ref().map(|bits| bits.bytes.as_slice()),
            directories,
            version_ini: self.version_ini.as_deref(),
        };
        let page = postcard::to_allocvec(&record).map_err(|_| AttributesError::Unreadable)?;
        Ok(page.into())
    }

    /// Reads the attributes of a game of `files` content files.
    ///
    /// # Errors
    /// [`AttributesError`] says what is wrong.
    pub fn decode(page: &[u8], files: usize) -> Result<Self, AttributesError> {
        if page.len() > PAGE_MAX_BYTES {
            return Err(AttributesError::Unreadable);
        }
        let mut reader = Reader(page);
        let executable: Option<&[u8]> = reader.take()?;
        let directories = reader.directories()?;
        let version_ini: Option<&[u8]> = reader.take()?;
        if !reader.0.is_empty() {
            return Err(AttributesError::Unreadable);
        }
        let executable = executable.map(|bytes| FileBits::from_bytes(bytes, files));
        let attributes = Self {
            executable: executable.transpose()?,
            directories,
            version_ini: version_ini.map(Bytes::copy_from_slice),
        };
        match attributes.encode()? == page {
            true => Ok(attributes),
            false => Err(AttributesError::NotCanonical),
        }
    }

    /// The identity of encoded attributes.
    #[must_use]
    pub fn identity(page: &[u8]) -> ContentHash {
        let mut hasher = blake3::Hasher::new_derive_key("lanspread 2026 attributes");
        hasher.update(page);
        hasher.finalize().into()
    }

    fn check(&self) -> Result<(), AttributesError> {
        if self.directories.len() > DIRECTORIES_MAX {
            return Err(AttributesError::TooManyDirectories);
        }
        // What lies in a directory does not always follow it at once: `a`, `a-b`, `a/b`.
        for (at, path) in self.directories.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| self.directories.get(at));
            let is_in_order = before.is_none_or(|before| before < path);
            let mut above = path.ancestors();
            let is_innermost = !above.any(|above| {
                self.directories.binary_search_by(|other| other.as_str().cmp(above)).is_ok()
            });
            if !is_in_order || !is_innermost {
                return Err(AttributesError::Order(path.clone()));
            }
        }
        match self.version_ini.as_ref().map(Bytes::len) {
            Some(len) if !(1..=VERSION_FILE_MAX_BYTES).contains(&(len as u64)) => {
                Err(AttributesError::VersionIni(len))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a record field by field, so that its list takes no more memory than is allowed.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, AttributesError> {
        let taken = postcard::take_from_bytes(self.0).map_err(|_| AttributesError::Unreadable);
        let (value, rest) = taken?;
        self.0 = rest;
        Ok(value)
    }

    fn directories(&mut self) -> Result<Vec<RelPath>, AttributesError> {
        let count = self.take::<u32>()? as usize;
        if count > DIRECTORIES_MAX {
            return Err(AttributesError::TooManyDirectories);
        }
        let mut directories: Vec<RelPath> = Vec::new();
        for _ in 0..count {
            let Directory { shared, suffix } = self.take()?;
            let before = directories.last().map_or("", RelPath::as_str);
            let path = join_shared(before, shared, suffix).ok_or(AttributesError::NotCanonical)?;
            directories.push(RelPath::new(path)?);
        }
        Ok(directories)
    }
}

/// How many of `directories`, which are in path order, fit [`DIRECTORIES_MAX`] and
/// [`DIRECTORIES_MAX_BYTES`]: the first ones.
#[must_use]
pub fn fitting_directories(directories: &[RelPath]) -> usize {
    // What their number takes at most.
    const COUNT_BYTES: usize = 2;
    let (mut bytes, mut before) = (COUNT_BYTES, "");
    for (count, path) in directories.iter().take(DIRECTORIES_MAX).enumerate() {
        let (shared, suffix) = split_shared(before, path.as_str());
        let encoded = postcard::to_allocvec(&Directory { shared, suffix });
        bytes += encoded.map_or(DIRECTORIES_MAX_BYTES, |encoded| encoded.len());
        if bytes > DIRECTORIES_MAX_BYTES {
            return count;
        }
        before = path.as_str();
    }
    directories.len().min(DIRECTORIES_MAX)
}

impl FileBits {
    /// No bit set, for `files` files.
    #[must_use]
    pub fn new(files: usize) -> Self {
        Self { bytes: vec![0; files.div_ceil(8)], files }
    }

    /// Reads the bits of `files` files, as they travel.
    ///
    /// # Errors
    /// [`AttributesError::Bits`] when they are of another number of files, or one beyond the last file
    /// is set.
    pub fn from_bytes(bytes: &[u8], files: usize) -> Result<Self, AttributesError> {
        let unused = files.div_ceil(8) * 8 - files;
        let is_clean = bytes.last().is_none_or(|last| u16::from(*last) >> (8 - unused) == 0);
        if bytes.len() != files.div_ceil(8) || !is_clean {
            return Err(AttributesError::Bits);
        }
        Ok(Self { bytes: bytes.to_vec(), files })
    }

    /// Sets the bit of a file; one beyond the last file has none.
    pub fn set(&mut self, file: usize) {
        if file < self.files
            && let Some(byte) = self.bytes.get_mut(file / 8)
        {
            *byte |= 1 << (file % 8);
        }
    }

    /// Whether the bit of a file is set.
    #[must_use]
    pub fn get(&self, file: usize) -> bool {
        self.bytes.get(file / 8).is_some_and(|byte| byte >> (file % 8) & 1 == 1)
    }

    /// The bits as they travel: the lowest one of the first byte is file 0.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(count: usize, name_len: usize) -> Vec<RelPath> {
        // The number comes first, so that paths have little in common.
        let name = "x".repeat(name_len - 4);
        (0..count).map(|n| format!("{n:04}{name}").parse().unwrap()).collect()
    }

    fn encodes(directories: &[RelPath]) -> bool {
        Attributes { directories: directories.to_vec(), ..Attributes::default() }.encode().is_ok()
    }

    #[test]
    fn as_many_directories_fit_as_can_be_told() {
        assert_eq!(fitting_directories(&[]), 0);
        assert_eq!(fitting_directories(&paths(4096, 4)), 4096);
        assert_eq!(fitting_directories(&paths(4097, 4)), 4096);
        let long = paths(4000, 200);
        let fits = fitting_directories(&long);
        assert!((600..4000).contains(&fits), "{fits}");
        assert!(encodes(&long[..fits]) && !encodes(&long[..=fits]));
    }
}
