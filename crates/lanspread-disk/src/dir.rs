//! An open directory and what is done below it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::found::{Entry, Found};
use crate::platform::{self, Access, DirHandle};

/// An open directory. Paths given to its methods are relative to it and have names alone.
///
/// It stays the same directory when its name changes, and when another takes its name.
#[derive(Debug)]
pub struct Dir {
    pub(crate) handle: DirHandle,
    path: PathBuf,
}

/// A directory that is borrowed, or was opened to get further.
pub(crate) enum Reached<'a> {
    Here(&'a Dir),
    Below(Dir),
}

impl Deref for Reached<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Here(dir) => dir,
            Self::Below(dir) => dir,
        }
    }
}

impl Dir {
    /// Opens the directory at `path`. Its parents may be links; it must not be one itself.
    ///
    /// # Errors
    /// Whatever opening it reports; [`io::ErrorKind::NotADirectory`] for a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: DirHandle::open(path)?, path: path.to_path_buf() })
    }

    /// Opens a directory that belongs to the peer: where its owner lacks rights in it, or in a
    /// directory below, to change something, the owner gets them.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn open_owned(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: DirHandle::open(path)?.owned(), path: path.to_path_buf() })
    }

    /// Returns the path by which it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of something below, for messages.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// Opens a directory below; an empty path is the directory itself.
    ///
    /// # Errors
    /// Whatever opening it reports, and a link on the way.
    pub fn dir(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let handle = match path.as_os_str().is_empty() {
            true => self.handle.again()?,
            false => self.handle.dir(path)?,
        };
        Ok(Self { handle, path: self.at(path) })
    }

    /// Opens a regular file below for reading.
    ///
    /// # Errors
    /// Whatever opening it reports, a link on the way, and [`io::ErrorKind::InvalidInput`] for what
    /// is no regular file.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_file(path.as_ref(), Access::Read)
    }

    /// Opens a regular file below for reading and writing.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn read_write(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_file(path.as_ref(), Access::ReadWrite)
    }

    /// Opens a regular file below for writing past the page cache.
    ///
    /// # Errors
    /// As [`Dir::read`]; an error of the system where the file system cannot do it.
    pub fn write_direct(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_file(path.as_ref(), Access::WriteDirect)
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<File> {
        let file = self.handle.file(path, access)?;
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }

    /// Makes a file below and opens it for writing.
    ///
    /// # Errors
    /// Whatever the system reports; [`io::ErrorKind::AlreadyExists`] if anything has that name.
    pub fn create_new(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.handle.create_new(path.as_ref())
    }

    /// Looks at what a name below leads to, without following a link; `None` if there is nothing. An
    /// empty path is the directory itself.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn look(&self, path: impl AsRef<Path>) -> io::Result<Option<Found>> {
        if path.as_ref().as_os_str().is_empty() {
            return self.handle.look_at_itself().map(Some);
        }
        let found = self.parent(path.as_ref()).and_then(|(parent, name)| parent.handle.look(name));
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the directory itself, in no order.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        self.handle.entries()
    }

    /// Makes a directory below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        parent.handle.create_dir(name)
    }

    /// Removes a file or a link itself below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        parent.handle.remove_file(name)
    }

    /// Removes an empty directory below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        parent.handle.remove_dir(name)
    }

    /// Renames something below. What has the new name gives way, as `rename(2)` has it.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (old, old_name) = self.parent(from.as_ref())?;
        let (new, new_name) = self.parent(to.as_ref())?;
        old.handle.rename(old_name, &new.handle, new_name)
    }

    /// Opens the directory itself in a way that can be synced.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn readable(&self) -> io::Result<File> {
        self.handle.readable()
    }

    /// Returns the directory in which `path` lies, and the name there.
    pub(crate) fn parent<'p>(&self, path: &'p Path) -> io::Result<(Reached<'_>, &'p OsStr)> {
        let Some(name) = path.file_name() else {
            return Err(platform::invalid_argument());
        };
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                Ok((Reached::Below(self.dir(parent)?), name))
            }
            _ => Ok((Reached::Here(self), name)),
        }
    }
}
