//! Remembers the directory that was used last.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;

/// The directories of paths below one, for those who go through many paths in order: the next path
/// mostly lies in the directory of the one before.
#[derive(Debug)]
pub struct Parents<'a> {
    top: &'a Dir,
    last: Option<(PathBuf, Dir)>,
}

impl<'a> Parents<'a> {
    /// None is open.
    #[must_use]
    pub fn of(top: &'a Dir) -> Self {
        Self { top, last: None }
    }

    /// Returns the directory in which `path` lies, and the name there.
    ///
    /// # Errors
    /// As [`Dir::dir`]; [`io::ErrorKind::InvalidInput`] for a path without a name.
    pub fn find<'p>(&mut self, path: &'p Path) -> io::Result<(&Dir, &'p OsStr)> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is an empty path"));
        };
        if parent.as_os_str().is_empty() {
            return Ok((self.top, name));
        }
        if self.last.as_ref().is_none_or(|(known, _)| known != parent) {
            self.last = Some((parent.to_path_buf(), self.top.dir(parent)?));
        }
        Ok((self.last.as_ref().map_or(self.top, |(_, dir)| dir), name))
    }
}
