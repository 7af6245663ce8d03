//! Removing a directory with all that is in it, or all but what is to stay. What is mounted in it is neither
//! entered nor removed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::found::{Entry, Kind};

impl Dir {
    /// Removes whatever is below under a name, a directory with all that is in it. What is mounted there
    /// is neither entered nor removed.
    ///
    /// # Errors
    /// Names the first thing that could not be removed; the rest is still there. A mount point is one
    /// ([`io::ErrorKind::ResourceBusy`]).
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.remove_tree_but(path, &|_| false).map(drop)
    }

    /// Removes like [`Dir::remove_tree`], except entries for which `is_kept` returns true. A kept directory
    /// keeps everything below it, and the directories above a kept entry stay. Returns true if nothing was
    /// kept.
    ///
    /// # Errors
    /// As [`Dir::remove_tree`].
    pub fn remove_tree_but(
        &self,
        path: impl AsRef<Path>,
        is_kept: &dyn Fn(&Entry) -> bool,
    ) -> io::Result<bool> {
        let (parent, name) = self.parent(path.as_ref())?;
        remove(&parent, name, is_kept)
    }

    /// Removes all that is in the directory, which stays.
    ///
    /// # Errors
    /// As [`Dir::remove_tree`].
    pub fn clear(&self) -> io::Result<()> {
        clear(self, &|_| false).map(drop)
    }

    /// Removes all that is in the directory except what `is_kept` says of, as [`Dir::remove_tree_but`] does, and
    /// returns whether it is empty then.
    ///
    /// # Errors
    /// As [`Dir::remove_tree`].
    pub fn clear_but(&self, is_kept: &dyn Fn(&Entry) -> bool) -> io::Result<bool> {
        clear(self, is_kept)
    }
}

/// What could not be removed, and why.
struct Stuck {
    path: PathBuf,
    source: io::Error,
}

/// Removes what `name` leads to in `parent`, and returns whether nothing of it stays. Below a directory,
/// what `stays` says of stays. A link is removed itself, also one that takes the place of a directory
/// meanwhile.
fn remove(parent: &Dir, name: &OsStr, stays: &dyn Fn(&Entry) -> bool) -> io::Result<bool> {
    let is_dir = parent.look(name)?.is_some_and(|found| found.is_dir());
    if !is_dir {
        return parent.remove_file(name).map(|()| true);
    }
    let directory = match parent.dir_to_empty(name) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return parent.remove_file(name).map(|()| true);
        }
        opened => opened?,
    };
    let is_empty = clear(&directory, stays)?;
    if is_empty {
        remove_emptied(parent, name)?;
    }
    Ok(is_empty)
}

/// Removes what is in a directory but what `stays` says of, and returns whether it is empty then.
fn clear(directory: &Dir, stays: &dyn Fn(&Entry) -> bool) -> io::Result<bool> {
    // The caller knows the directory at the top, and somebody has to be told where it failed.
    remove_content(directory, stays).map_err(|Stuck { path, source }| {
        io::Error::new(source.kind(), format!("{} cannot be removed: {source}", path.display()))
    })
}

fn remove_content(directory: &Dir, stays: &dyn Fn(&Entry) -> bool) -> Result<bool, Stuck> {
    let stuck = |path: PathBuf| move |source| Stuck { path, source };
    let entries = directory.entries().map_err(stuck(directory.path().to_path_buf()))?;
    let mut is_empty = true;
    for entry in entries {
        if stays(&entry) {
            is_empty = false;
            continue;
        }
        let at = || stuck(directory.at(&entry.name));
        let removed = if entry.kind == Kind::Directory {
            match directory.dir_to_empty(&entry.name) {
                Ok(below) => match remove_content(&below, stays)? {
                    true => remove_emptied(directory, &entry.name),
                    false => {
                        is_empty = false;
                        Ok(())
                    }
                },
                // Something else has taken its place.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    directory.remove_file(&entry.name)
                }
                Err(error) => Err(error),
            }
        } else {
            directory.remove_file(&entry.name)
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(at())?,
        }
    }
    Ok(is_empty)
}

/// Removes a directory that was emptied, or what has taken its place meanwhile and is none.
fn remove_emptied(parent: &Dir, name: &OsStr) -> io::Result<()> {
    match parent.remove_dir(name) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => parent.remove_file(name),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{make_link, mode, set_mode, without_privileges};

    #[test]
    fn links_are_removed_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir_all(place.path().join("top/tree/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "theirs").unwrap();
        make_link(&outside, place.path().join("top/tree/link"));
        make_link(outside.join("kept"), place.path().join("top/tree/deep/link"));
        make_link(&outside, place.path().join("top/link"));
        let top = Dir::open(&place.path().join("top")).unwrap();
        top.remove_tree("tree").unwrap();
        top.remove_tree("link").unwrap();
        assert!(top.entries().unwrap().is_empty());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "theirs");
        assert_eq!(top.remove_tree("tree").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_to_stay_stays_and_so_do_the_directories_above_it() {
        let place = tempfile::tempdir().unwrap();
        for path in ["a/b/kept", "a/b/gone", "a/c/gone", "kept/gone"] {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let top = Dir::open(place.path()).unwrap();
        let stays = |entry: &Entry| entry.name == "kept";
        assert!(!top.remove_tree_but("a", &stays).unwrap());
        let left: Vec<_> = fs::read_dir(place.path().join("a")).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(place.path().join("a/b/kept").exists() && !place.path().join("a/b/gone").exists());
        assert!(!top.clear_but(&stays).unwrap());
        assert!(place.path().join("kept/gone").exists());
        fs::remove_file(place.path().join("a/b/kept")).unwrap();
        assert!(top.remove_tree_but("a", &stays).unwrap());
    }

    #[test]
    fn a_link_that_takes_the_place_of_a_directory_while_it_is_emptied_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "theirs").unwrap();
        let top = Dir::open(place.path()).unwrap();
        for (tree, swapped) in [("tree", "tree/swapped"), ("top", "top")] {
            let swapped = place.path().join(swapped);
            fs::create_dir_all(&swapped).unwrap();
            fs::write(swapped.join("inside"), "").unwrap();
            let swaps = |entry: &Entry| {
                if entry.name == "inside" {
                    fs::rename(&swapped, place.path().join(format!("{tree}-aside"))).unwrap();
                    make_link(&outside, &swapped);
                }
                false
            };
            assert!(top.remove_tree_but(tree, &swaps).unwrap());
            assert!(fs::symlink_metadata(place.path().join(tree)).is_err());
            assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "theirs");
        }
    }

    /// What a directory is that was copied from a mounted disc, and worse.
    fn locked(path: &Path, mode: u32) {
        fs::create_dir_all(path.join("below")).unwrap();
        fs::write(path.join("below/file"), "").unwrap();
        fs::write(path.join("file"), "").unwrap();
        set_mode(path.join("below"), mode);
        set_mode(path, mode);
    }

    #[test]
    fn missing_rights_of_our_own_directories_are_no_obstacle() {
        without_privileges();
        let place = tempfile::tempdir().unwrap();
        for mode in [0o555, 0o444, 0o300, 0o000] {
            locked(&place.path().join("tree"), mode);
            let as_it_is = Dir::open(place.path()).unwrap().remove_tree("tree").unwrap_err();
            assert_eq!(as_it_is.kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
            let top = Dir::open_owned(place.path()).unwrap();
            top.remove_tree("tree").unwrap();
            assert!(!place.path().join("tree").exists(), "{mode:o}");
        }
    }

    #[test]
    fn rights_outside_stay_as_they_are() {
        without_privileges();
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        locked(&outside, 0o555);
        fs::create_dir(place.path().join("tree")).unwrap();
        make_link(&outside, place.path().join("tree/link"));
        Dir::open_owned(place.path()).unwrap().remove_tree("tree").unwrap();
        assert_eq!(mode(&outside), 0o555);
        assert!(outside.join("below/file").exists());
        // So that the temporary directory can go.
        Dir::open_owned(place.path()).unwrap().remove_tree("outside").unwrap();
    }
}
