//! Opening a file of a game root without leaving it.

use std::fs::File;
use std::io;
use std::path::Path;

use lanspread_proto::RelPath;

use crate::Dir;

/// Opens the regular file `path` below `root` for reading.
///
/// No symbolic link is followed, neither on the way nor at the end nor at `root` itself, so that
/// what is read lies in the root whatever changes meanwhile. A link on the way is an error.
pub fn open_game_file(root: &Path, path: &RelPath) -> io::Result<File> {
    Dir::open(root)?.read(path.as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;
    use crate::testing::{make_link, make_pipe};

    #[test]
    fn only_regular_files_reached_without_a_link_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"content").unwrap();
        make_link("a", root.join("link"));
        make_link("b/file", root.join("a/file link"));
        make_pipe(&root.join("pipe"));
        make_link("root", dir.path().join("root link"));

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
