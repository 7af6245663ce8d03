//! Removing a directory with all that is in it.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use crate::dir::{Dir, Kind};

/// What could not be removed, and why.
struct Stuck {
    path: PathBuf,
    source: io::Error,
}

/// Removes whatever has this name in `parent`. A link is removed itself, also one that takes the
/// place of a directory meanwhile.
pub(crate) fn remove(parent: &Dir, name: &OsStr) -> io::Result<()> {
    let is_dir = parent.look(name)?.is_some_and(|found| found.is_dir());
    if !is_dir {
        return parent.remove_file(name);
    }
    clear(&parent.dir(name)?)?;
    parent.remove_dir(name)
}

/// Removes what is in a directory.
pub(crate) fn clear(directory: &Dir) -> io::Result<()> {
    // The caller knows the directory at the top, and somebody has to be told where it failed.
    remove_content(directory).map_err(|Stuck { path, source }| {
        io::Error::new(source.kind(), format!("{} cannot be removed: {source}", path.display()))
    })
}

fn remove_content(directory: &Dir) -> Result<(), Stuck> {
    let stuck = |path: PathBuf| move |source| Stuck { path, source };
    let entries = directory.entries().map_err(stuck(directory.path().to_path_buf()))?;
    for entry in entries {
        let at = || stuck(directory.at(&entry.name));
        let removed = if entry.kind == Kind::Directory {
            match directory.dir(&entry.name) {
                Ok(below) => {
                    remove_content(&below)?;
                    directory.remove_dir(&entry.name)
                }
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir_all(place.path().join("top/tree/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "theirs").unwrap();
        symlink(&outside, place.path().join("top/tree/link")).unwrap();
        symlink(outside.join("kept"), place.path().join("top/tree/deep/link")).unwrap();
        symlink(&outside, place.path().join("top/link")).unwrap();
        let top = Dir::open(&place.path().join("top")).unwrap();
        top.remove_tree("tree").unwrap();
        top.remove_tree("link").unwrap();
        assert!(top.entries().unwrap().is_empty());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "theirs");
        assert_eq!(top.remove_tree("tree").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// What a directory is that was copied from a mounted disc, and worse.
    fn locked(path: &Path, mode: u32) {
        fs::create_dir_all(path.join("below")).unwrap();
        fs::write(path.join("below/file"), "").unwrap();
        fs::write(path.join("file"), "").unwrap();
        fs::set_permissions(path.join("below"), Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Takes from this thread what lets root pass by the rights of files.
    fn without_privileges() {
        let mut sets = capabilities(None).unwrap();
        let privileges = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        sets.effective.remove(privileges);
        set_capabilities(None, sets).unwrap();
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
        symlink(&outside, place.path().join("tree/link")).unwrap();
        Dir::open_owned(place.path()).unwrap().remove_tree("tree").unwrap();
        let mode = fs::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        assert!(outside.join("below/file").exists());
        // So that the temporary directory can go.
        Dir::open_owned(place.path()).unwrap().remove_tree("outside").unwrap();
    }
}
