//! What tests of file systems need: threads without privileges, and disks of their own.

#![expect(clippy::unwrap_used, reason = "only tests reach this")]

use std::fs;
use std::path::Path;

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
