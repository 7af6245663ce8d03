//! Lists whole trees, with one call for each directory and one for each file.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::stat::{entry_of, found_of};
use crate::found::{Entry, Found};

const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory that is read entry by entry. Nothing that a link leads to is looked at.
#[derive(Debug)]
pub struct DirReader {
    dir: Dir,
}

impl DirReader {
    /// Opens the directory at `path`. Its parents may be links; it must not be one itself.
    ///
    /// # Errors
    /// Whatever opening it reports; [`io::ErrorKind::NotADirectory`] for a link and anything else that is no
    /// directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        match openat(CWD, path, FLAGS, Mode::empty()) {
            Err(Errno::LOOP) => Err(Errno::NOTDIR.into()),
            opened => Ok(Self { dir: Dir::new(opened?)? }),
        }
    }

    /// Opens a directory in this one.
    ///
    /// # Errors
    /// Whatever opening it reports, also for a link.
    pub fn open_below(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self { dir: Dir::new(openat(self.dir.fd()?, name, FLAGS, Mode::empty())?)? })
    }

    /// Returns the next entry, in no order; `None` after the last one.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        while let Some(entry) = self.dir.read() {
            if let Some(entry) = entry_of(&entry?, |name| self.look(name))? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Looks at a name in the directory, without following a link.
    ///
    /// # Errors
    /// Whatever the system reports; [`io::ErrorKind::NotFound`] if there is nothing.
    pub fn look(&self, name: &OsStr) -> io::Result<Found> {
        Ok(found_of(&statat(self.dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }
}
