//! Opening a path below a directory without following a link.
//!
//! Linux does it in one call (`openat2`). Where the kernel or a sandbox lacks that call, the path is
//! walked component by component, which gives the same result with more calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::answers::refusal;
use super::rights::Rights;

/// Opens a directory as a place to go on from. `O_PATH` needs no right to read it.
pub(super) const DIRECTORY: OFlags = DIRECTORY_ACCESS.union(OFlags::DIRECTORY).union(NO_LINK);

#[cfg(target_os = "linux")]
const DIRECTORY_ACCESS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const DIRECTORY_ACCESS: OFlags = OFlags::RDONLY;

/// Of every open: no link at the end, and nothing for child processes.
const NO_LINK: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// Mode of a new file, before the umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

/// Opens `path` below `top`. It is relative and has names alone.
pub(super) fn open_below(
    top: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    rights: Rights,
) -> io::Result<OwnedFd> {
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no path below a directory"));
    }
    let flags = flags | NO_LINK;
    match at_once::open(top, path, flags) {
        Some(Ok(opened)) => Ok(opened),
        // Rights are given directory by directory.
        Some(Err(Errno::ACCESS | Errno::PERM)) if rights.may_be_given() => {
            step_by_step(top, path, flags, rights)
        }
        Some(Err(error)) => Err(refusal(error)),
        None => step_by_step(top, path, flags, rights),
    }
}

fn step_by_step(
    top: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    rights: Rights,
) -> io::Result<OwnedFd> {
    let mut reached: Option<OwnedFd> = None;
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        let here = reached.as_ref().map_or(top, OwnedFd::as_fd);
        let is_last = names.peek().is_none();
        let flags = if is_last { flags } else { DIRECTORY };
        let next = rights.retried(here, || openat(here, name, flags, mode_of(flags)))?;
        if is_last {
            return Ok(next);
        }
        reached = Some(next);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is an empty path"))
}

fn mode_of(flags: OFlags) -> Mode {
    if flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() }
}

#[cfg(target_os = "linux")]
mod at_once {
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;

    use super::mode_of;

    /// Whether the kernel has the call. Asking again and again would cost a call for each open.
    static IS_THERE: AtomicBool = AtomicBool::new(true);

    const BELOW: ResolveFlags =
        ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

    /// `None` where another way has to be taken.
    pub(super) fn open(
        top: BorrowedFd<'_>,
        path: &Path,
        flags: OFlags,
    ) -> Option<Result<OwnedFd, Errno>> {
        if !IS_THERE.load(Ordering::Relaxed) {
            return None;
        }
        match openat2(top, path, flags, mode_of(flags), BELOW) {
            Err(Errno::NOSYS) => {
                IS_THERE.store(false, Ordering::Relaxed);
                None
            }
            // Sandboxes that do not know the call refuse it with the first; kernels answer with the
            // others to what only this call refuses. The other way tells what is really wrong.
            Err(Errno::PERM | Errno::AGAIN | Errno::INVAL | Errno::TOOBIG) => None,
            opened => Some(opened),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod at_once {
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::path::Path;

    use rustix::fs::OFlags;
    use rustix::io::Errno;

    pub(super) fn open(_: BorrowedFd<'_>, _: &Path, _: OFlags) -> Option<Result<OwnedFd, Errno>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn place() -> TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("top/a/b")).unwrap();
        fs::create_dir(place.path().join("outside")).unwrap();
        fs::write(place.path().join("top/a/b/file"), "inside").unwrap();
        fs::write(place.path().join("outside/file"), "outside").unwrap();
        symlink("../outside", place.path().join("top/out")).unwrap();
        symlink("a", place.path().join("top/in")).unwrap();
        symlink("file", place.path().join("top/a/b/link")).unwrap();
        place
    }

    type Way = fn(BorrowedFd<'_>, &Path, OFlags) -> io::Result<OwnedFd>;

    /// Both ways must agree; the first one is what the kernel of this machine offers.
    const WAYS: [(&str, Way); 2] = [
        ("at once", |top, path, flags| open_below(top, path, flags, Rights::AS_THEY_ARE)),
        ("step by step", |top, path, flags| {
            step_by_step(top, path, flags | NO_LINK, Rights::AS_THEY_ARE)
        }),
    ];

    #[test]
    fn only_what_no_link_leads_to_opens() {
        let place = place();
        let top = openat(rustix::fs::CWD, place.path().join("top"), DIRECTORY, Mode::empty());
        let top = top.unwrap();
        for (name, way) in WAYS {
            let open = |path: &str| way(top.as_fd(), Path::new(path), OFlags::RDONLY);
            let mut text = String::new();
            fs::File::from(open("a/b/file").unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside", "{name}");
            for refused in ["out/file", "in/b/file", "a/b/link", "out", "a/missing"] {
                assert!(open(refused).is_err(), "{name}: {refused}");
            }
            let made = way(
                top.as_fd(),
                Path::new("out/new"),
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            );
            assert!(made.is_err() && !place.path().join("outside/new").exists(), "{name}");
        }
    }

    #[test]
    fn a_path_has_names_alone() {
        let place = place();
        let top = openat(rustix::fs::CWD, place.path().join("top"), DIRECTORY, Mode::empty());
        let top = top.unwrap();
        for refused in ["../outside/file", "a/../../outside/file", "/etc/hostname", ""] {
            let opened =
                open_below(top.as_fd(), Path::new(refused), OFlags::RDONLY, Rights::AS_THEY_ARE);
            assert!(opened.is_err(), "{refused:?}");
        }
    }
}
