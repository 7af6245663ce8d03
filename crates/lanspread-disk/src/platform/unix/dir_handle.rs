//! An open directory, and what is done with the names in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat,
};

use super::answers::refusal;
use super::mounts;
use super::resolve::{DIRECTORY, open_below};
use super::rights::Rights;
use super::stat::{entry_of, found_of};
use crate::found::{Entry, Found};

/// Mode of a new directory, before the umask.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// An open directory. It stays the same when its name changes, and when another takes its name.
///
/// A `name` is one in the directory itself; a `path` leads below it and has names alone. No link is followed.
#[derive(Debug)]
pub(crate) struct DirHandle {
    fd: OwnedFd,
    rights: Rights,
}

/// For what a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    /// For writing past the page cache.
    WriteDirect,
}

impl Access {
    /// Opening a pipe that nobody writes to would wait for ever without `NONBLOCK`.
    fn flags(self) -> OFlags {
        OFlags::NONBLOCK
            | match self {
                Self::Read => OFlags::RDONLY,
                Self::ReadWrite => OFlags::RDWR,
                Self::WriteDirect => OFlags::WRONLY | OFlags::DIRECT,
            }
    }
}

impl DirHandle {
    /// Opens the directory at `path`, which may have links on the way and none at the end.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = openat(CWD, path, DIRECTORY, Mode::empty()).map_err(refusal)?;
        Ok(Self { fd, rights: Rights::AS_THEY_ARE })
    }

    /// Lets the owner of this directory, and of those below, get rights that are missing.
    pub(crate) fn owned(self) -> Self {
        Self { rights: Rights::OF_OWNER, ..self }
    }

    /// Opens the directory itself once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let fd = openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(refusal)?;
        Ok(Self { fd, rights: self.rights })
    }

    /// Opens a directory.
    pub(crate) fn dir(&self, path: &Path) -> io::Result<Self> {
        let fd = open_below(self.fd.as_fd(), path, DIRECTORY, self.rights)?;
        Ok(Self { fd, rights: self.rights })
    }

    /// Opens a file, or what is in its place.
    pub(crate) fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        open_below(self.fd.as_fd(), path, access.flags(), Rights::AS_THEY_ARE).map(File::from)
    }

    /// Makes a file and opens it for writing.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        open_below(self.fd.as_fd(), path, flags, self.rights).map(File::from)
    }

    /// Looks at the directory itself.
    pub(crate) fn look_at_itself(&self) -> io::Result<Found> {
        Ok(found_of(&fstat(&self.fd)?))
    }

    /// Looks at what a name leads to.
    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Found> {
        let look = || statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        self.rights.retried(self.fd.as_fd(), look).map(|stat| found_of(&stat))
    }

    /// Lists the directory, in no order.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::new(self.readable_fd()?)? {
            entries.extend(entry_of(&entry?, |name| self.look(name))?);
        }
        Ok(entries)
    }

    /// Makes a directory.
    pub(crate) fn create_dir(&self, name: &OsStr) -> io::Result<()> {
        self.rights.retried(self.fd.as_fd(), || mkdirat(&self.fd, name, DIRECTORY_MODE))
    }

    /// Removes a file or a link itself.
    pub(crate) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.rights.retried(self.fd.as_fd(), || unlinkat(&self.fd, name, AtFlags::empty()))
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        self.rights.retried(self.fd.as_fd(), || unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
    }

    /// Renames `name` to `new_name` in `new`. What has the new name gives way.
    pub(crate) fn rename(&self, name: &OsStr, new: &Self, new_name: &OsStr) -> io::Result<()> {
        let rename = || renameat(&self.fd, name, &new.fd, new_name);
        self.rights.retried_in([self.fd.as_fd(), new.fd.as_fd()], rename)
    }

    /// Returns whether something is mounted at `name`.
    pub(crate) fn is_mount_point(&self, name: &OsStr) -> io::Result<bool> {
        let fd = self.fd.as_fd();
        self.rights.retried(fd, || mounts::is_mounted_at(fd, Path::new(name)))
    }

    /// Returns whether this is the root of a mount in the directory `parent`.
    pub(crate) fn is_mounted_in(&self, parent: &Self) -> io::Result<bool> {
        Ok(mounts::is_mount_root(self.fd.as_fd(), parent.fd.as_fd())?)
    }

    /// Opens the directory itself in a way that can be synced.
    pub(crate) fn readable(&self) -> io::Result<File> {
        self.readable_fd().map(File::from)
    }

    fn readable_fd(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.rights.retried(self.fd.as_fd(), || openat(&self.fd, ".", flags, Mode::empty()))
    }
}
