//! What a name on the disk leads to.

use std::ffi::OsString;

/// What kind of thing a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
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
    /// Whether anybody may execute it.
    pub is_executable: bool,
    /// Device and inode. Only to be compared with others of the same moment: some file systems
    /// draw new inodes at each mount.
    pub id: (u64, u64),
    /// When its content changed last: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
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
    /// Returns whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Returns whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }
}
