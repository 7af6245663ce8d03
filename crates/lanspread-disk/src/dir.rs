//! An open directory and what is done below it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::found::{Entry, Found, Kind};
use crate::platform::unix::resolve::{DIRECTORY, open_below, refusal};
use crate::platform::unix::rights::Rights;

/// Mode of a new directory, before the umask.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// An open directory. Paths given to its methods are relative to it and have names alone.
///
/// It stays the same directory when its name changes, and when another takes its name.
#[derive(Debug)]
pub struct Dir {
    pub(crate) fd: OwnedFd,
    path: PathBuf,
    pub(crate) rights: Rights,
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
        let fd = openat(CWD, path, DIRECTORY, Mode::empty()).map_err(refusal)?;
        Ok(Self { fd, path: path.to_path_buf(), rights: Rights::AS_THEY_ARE })
    }

    /// Opens a directory that belongs to the peer: where its owner lacks rights in it, or in a
    /// directory below, to change something, the owner gets them.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn open_owned(path: &Path) -> io::Result<Self> {
        Ok(Self { rights: Rights::OF_OWNER, ..Self::open(path)? })
    }

    /// The path by which it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something below, for messages.
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
        let fd = match path.as_os_str().is_empty() {
            true => openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(refusal)?,
            false => open_below(self.fd.as_fd(), path, DIRECTORY, self.rights)?,
        };
        Ok(Self { fd, path: self.at(path), rights: self.rights })
    }

    /// Opens a regular file below for reading.
    ///
    /// # Errors
    /// Whatever opening it reports, a link on the way, and [`io::ErrorKind::InvalidInput`] for what
    /// is no regular file.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<File> {
        // Opening a pipe that nobody writes to would wait for ever without NONBLOCK.
        self.open_file(path.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// Opens a regular file below for reading and writing.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn read_write(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_file(path.as_ref(), OFlags::RDWR | OFlags::NONBLOCK)
    }

    /// Opens a regular file below for writing past the page cache.
    ///
    /// # Errors
    /// As [`Dir::read`]; an error of the system where the file system cannot do it.
    pub fn write_direct(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_file(path.as_ref(), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::DIRECT)
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let file = File::from(open_below(self.fd.as_fd(), path, flags, Rights::AS_THEY_ARE)?);
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
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        open_below(self.fd.as_fd(), path.as_ref(), flags, self.rights).map(File::from)
    }

    /// Looks at what a name below leads to, without following a link; `None` if there is nothing. An
    /// empty path is the directory itself.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn look(&self, path: impl AsRef<Path>) -> io::Result<Option<Found>> {
        if path.as_ref().as_os_str().is_empty() {
            return Ok(Some(Found::of(&fstat(&self.fd)?)));
        }
        let found = self.parent(path.as_ref()).and_then(|(parent, name)| {
            let rights = parent.rights;
            let look = || statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW);
            rights.retried(parent.fd.as_fd(), look)
        });
        match found {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the directory itself, in no order.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::new(self.readable_fd()?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.look(name)? {
                    Some(found) => found.kind,
                    None => continue,
                },
                known => Kind::of(known),
            };
            entries.push(Entry { name: name.to_owned(), kind });
        }
        Ok(entries)
    }

    /// Makes a directory below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        self.rights.retried(parent.fd.as_fd(), || mkdirat(&parent.fd, name, DIRECTORY_MODE))
    }

    /// Removes a file or a link itself below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        self.rights.retried(parent.fd.as_fd(), || unlinkat(&parent.fd, name, AtFlags::empty()))
    }

    /// Removes an empty directory below.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        self.rights.retried(parent.fd.as_fd(), || unlinkat(&parent.fd, name, AtFlags::REMOVEDIR))
    }

    /// Renames something below. What has the new name gives way, as `rename(2)` has it.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (old, old_name) = self.parent(from.as_ref())?;
        let (new, new_name) = self.parent(to.as_ref())?;
        let rename = || renameat(&old.fd, old_name, &new.fd, new_name);
        self.rights.retried_in([old.fd.as_fd(), new.fd.as_fd()], rename)
    }

    /// Opens the directory itself in a way that can be synced.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn readable(&self) -> io::Result<File> {
        self.readable_fd().map(File::from)
    }

    fn readable_fd(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.rights.retried(self.fd.as_fd(), || openat(&self.fd, ".", flags, Mode::empty()))
    }

    /// The directory in which `path` lies, and the name there.
    pub(crate) fn parent<'p>(&self, path: &'p Path) -> io::Result<(Reached<'_>, &'p OsStr)> {
        let Some(name) = path.file_name() else {
            return Err(Errno::INVAL.into());
        };
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                Ok((Reached::Below(self.dir(parent)?), name))
            }
            _ => Ok((Reached::Here(self), name)),
        }
    }
}
