//! What tests of file systems need: threads without privileges, and disks of their own.

#![expect(clippy::unwrap_used, reason = "only tests reach this")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

pub use rustix::io::Errno;

/// Makes a symbolic link at `path` that leads to `target`.
pub fn make_link(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    symlink(target, path).unwrap();
}

/// Makes a named pipe.
pub fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, Mode, mkfifoat};
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// Returns the permissions of what is at `path`, without setuid, setgid and sticky.
pub fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Sets the permissions of what is at `path`.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Ends this process as when somebody pulls the plug: no destructor runs, nothing is flushed.
pub fn die() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::KILL).unwrap();
    unreachable!("a killed process does not go on");
}

/// Takes from this thread what lets root pass by the rights of files.
pub fn without_privileges() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    let passing_by = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective.remove(passing_by | CapabilitySet::FOWNER);
    set_capabilities(None, sets).unwrap();
}

/// Gives this thread mounts of its own; `false`, with a word about it, where that is not permitted.
#[expect(unsafe_code, reason = "the call itself has no safe form")]
pub fn may_mount() -> bool {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: no table of open files is unshared, so that no descriptor goes out of sight.
    let own = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let is_permitted = own.and_then(|()| mount_change("/", private)).is_ok();
    if !is_permitted {
        tracing::warn!("skipped: mounting is not permitted here");
    }
    is_permitted
}

/// Mounts an empty disk at the directory `path`, which is made if it is missing. [`may_mount`] comes first.
pub fn mount_disk(path: &Path, options: Option<&std::ffi::CStr>) {
    use rustix::mount::{MountFlags, mount};
    fs::create_dir_all(path).unwrap();
    mount("none", path, "tmpfs", MountFlags::empty(), options).unwrap();
}

/// Mounts what is at `original` once more, at `path`. [`may_mount`] comes first.
pub fn mount_bind(original: &Path, path: &Path) {
    rustix::mount::mount_bind(original, path).unwrap();
}

/// Takes a mount away.
pub fn unmount(path: &Path) {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::empty()).unwrap();
}
