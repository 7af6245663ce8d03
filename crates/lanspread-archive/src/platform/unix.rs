//! Unix.

use std::ffi::{CString, OsString, c_char};
use std::fs::{File, Permissions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::ptr;

use rustix::fs::{Advice, Mode, OFlags, fadvise};
use unrar_sys::WCHAR;

const ALL_PERMISSIONS: u32 = 0o777;
const ALL_MAY_READ: u32 = 0o444;
const READ_TO_EXECUTE: u32 = 2;

/// Opens a file for reading. Neither a pipe nor a device is waited for.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Lets those run the file who may read it. Of its mode nothing but permissions stays.
pub(crate) fn make_executable(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & ALL_PERMISSIONS;
    file.set_permissions(Permissions::from_mode(mode | (mode & ALL_MAY_READ) >> READ_TO_EXECUTE))
}

/// Lets the system begin to write a part of a file to the disk. A system that does not listen writes it
/// later.
pub(crate) fn begin_write_back(file: &File, start_bytes: u64, length_bytes: u64) {
    // Pages that are dirty stay where they are; it is their writing that this begins.
    let _ = fadvise(file, start_bytes, NonZeroU64::new(length_bytes), Advice::DontNeed);
}

/// Lets `copy` share the blocks of `original`, where the disk can do that. Otherwise nothing happens.
pub(crate) fn share_blocks(original: &File, copy: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(copy, original).is_ok();
    #[cfg(not(target_os = "linux"))]
    return false;
}

/// Returns the name of a file that consists of these bytes.
pub(crate) fn name_from_bytes(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// A path in the form that the `UnRAR` library opens without changing it: bytes here, where Windows takes
/// UTF-16.
pub(crate) struct ArchiveName {
    name: CString,
}

impl ArchiveName {
    /// Returns `None` for a path that no file can have.
    pub(crate) fn new(path: &Path) -> Option<Self> {
        let bytes = path.as_os_str().as_encoded_bytes();
        CString::new(bytes).ok().map(|name| Self { name })
    }

    pub(crate) fn narrow(&self) -> *const c_char {
        self.name.as_ptr()
    }

    pub(crate) fn wide(&self) -> *const WCHAR {
        ptr::null()
    }
}

/// What tests put on the disk.
#[cfg(test)]
pub(crate) mod testing {
    use std::io;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use rustix::fs::{CWD, Mode, mkfifoat};

    pub(crate) use std::os::unix::fs::symlink as make_link;

    pub(crate) fn make_pipe(path: &Path) -> io::Result<()> {
        Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
    }

    pub(crate) fn make_socket(path: &Path) -> io::Result<()> {
        UnixListener::bind(path).map(drop)
    }
}
