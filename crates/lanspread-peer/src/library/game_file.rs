//! Opening a file of a game root without leaving it.

use std::fs::File;
use std::io;
use std::path::Path;

use lanspread_proto::RelPath;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens the regular file `path` below `root` for reading.
///
/// No symbolic link is followed, neither on the way nor at the end nor at `root` itself, so that
/// what is read lies in the root whatever changes meanwhile. A link on the way is an error.
pub(crate) fn open_game_file(root: &Path, path: &RelPath) -> io::Result<File> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Opening a pipe that nobody writes to would wait for ever without NONBLOCK.
    let file = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parent = openat(CWD, root, directory, Mode::empty())?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        if components.peek().is_some() {
            parent = openat(&parent, component, directory, Mode::empty())?;
            continue;
        }
        let file = File::from(openat(&parent, component, file, Mode::empty())?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_reached_without_a_link_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"content").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("b/file", root.join("a/file link")).unwrap();
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::RUSR).unwrap();
        symlink("root", dir.path().join("root link")).unwrap();

        let open = |path: &str| open_game_file(&root, &path.parse().unwrap());
        let mut text = String::new();
        open("a/b/file").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        for refused in ["link/b/file", "a/file link", "a/b", "pipe", "missing"] {
            assert!(open(refused).is_err(), "{refused}");
        }
        let path = "a/b/file".parse().unwrap();
        assert!(open_game_file(&dir.path().join("root link"), &path).is_err());
    }
}
