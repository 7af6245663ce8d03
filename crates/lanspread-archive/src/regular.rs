//! Opening regular files and nothing else.
//!
//! To open a pipe waits for somebody who writes to it, and a device can do anything. So whatever is
//! about to be read is looked at first. What was opened is looked at once more, without waiting, in case
//! it was replaced in between.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::platform;

/// Opens a regular file, or a link to one, for reading. Never waits for another process.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    require_regular(&fs::metadata(path)?)?;
    let file = platform::open_without_waiting(path)?;
    require_regular(&file.metadata()?)?;
    Ok(file)
}

/// Refuses what is at `path` if to open it could wait for another process. What is not there, and what
/// fails at once, is fine.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`].
pub(crate) fn refuse_special(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(false),
        Ok(found) => require_regular(&found).map(|()| true),
        Err(_) => Ok(false),
    }
}

fn require_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::{make_link, make_pipe, make_socket};

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::write(place("file"), "x").unwrap();
        make_link(place("file"), place("link")).unwrap();
        make_pipe(&place("pipe")).unwrap();
        make_link(place("pipe"), place("link to pipe")).unwrap();
        make_socket(&place("socket")).unwrap();
        for name in ["file", "link"] {
            open(&place(name)).unwrap();
            assert!(refuse_special(&place(name)).unwrap());
        }
        for name in ["pipe", "link to pipe", "socket", "/dev/null"] {
            let error = open(&place(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            refuse_special(&place(name)).unwrap_err();
        }
        open(dir.path()).unwrap_err();
        assert!(!refuse_special(dir.path()).unwrap() && !refuse_special(&place("none")).unwrap());
    }
}
