//! What a name on the disk leads to.

use std::ffi::OsString;

use rustix::fs::{FileType, Stat};

/// What kind of thing a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its kind. A link is not followed.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// Whether other names lead to it as well.
    pub has_other_names: bool,
    /// Device and inode. Only to be compared with others of the same moment: some file systems
    /// draw new inodes at each mount.
    pub id: (u64, u64),
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, as the disk spells it.
    pub name: OsString,
    /// The kind of what it leads to.
    pub kind: Kind,
}

impl Found {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            has_other_names: stat.st_nlink > 1,
            id: (stat.st_dev, stat.st_ino),
        }
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }
}

impl Kind {
    pub(crate) fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}
