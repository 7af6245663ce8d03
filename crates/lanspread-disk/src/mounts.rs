//! Mount points: directories and files in whose place something else is mounted.
//!
//! A bind mount, a second disk and a network drive have content of their own, which is not removed with
//! the tree in which they are mounted.

use std::io;
use std::path::Path;

use crate::dir::Dir;
use crate::found::{Entry, Found, Kind};

/// Returns the error of a removal in whose way something is mounted at `path`.
#[must_use]
pub fn mount_in_the_way(path: &Path) -> io::Error {
    let path = path.display();
    let message = format!("something is mounted at {path}; unmount it and try again");
    io::Error::new(io::ErrorKind::ResourceBusy, message)
}

impl Dir {
    /// Returns whether something is mounted below at `path`: a disk, a network drive, a bind mount.
    /// `false` where there is nothing. A link is not followed.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn is_mount_point(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        let asked = self
            .parent(path.as_ref())
            .and_then(|(parent, name)| parent.handle.is_mount_point(name));
        match asked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            asked => asked,
        }
    }

    /// Fails if something is mounted below at `path`, or at any depth below that; an empty path is the
    /// directory itself, of which all below is looked at. Entries for which `is_kept` returns true are
    /// passed over. Changes nothing but missing rights, as any look into a directory does.
    ///
    /// Whoever is going to remove a tree asks first, so that nothing is removed in vain.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`], which names the mount point, and whatever the system reports.
    pub fn refuse_mounts(
        &self,
        path: impl AsRef<Path>,
        is_kept: &dyn Fn(&Entry) -> bool,
    ) -> io::Result<()> {
        if path.as_ref().as_os_str().is_empty() {
            return refuse_below(self, is_kept);
        }
        let Some(Found { kind, .. }) = self.look(&path)? else { return Ok(()) };
        let (parent, name) = self.parent(path.as_ref())?;
        refuse_entry(&parent, &Entry { name: name.to_owned(), kind }, is_kept)
    }

    /// Opens a directory below, as [`Dir::dir`] does, to remove what is in it.
    ///
    /// # Errors
    /// As [`Dir::dir`], and [`io::ErrorKind::ResourceBusy`] where something is mounted there.
    pub fn dir_to_empty(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let (parent, name) = self.parent(path.as_ref())?;
        let opened = parent.dir(name)?;
        match opened.handle.is_mounted_in(&parent.handle)? {
            true => Err(mount_in_the_way(opened.path())),
            false => Ok(opened),
        }
    }
}

/// Fails if something is mounted below `directory`, but for entries that `is_kept` returns true for.
pub(crate) fn refuse_below(directory: &Dir, is_kept: &dyn Fn(&Entry) -> bool) -> io::Result<()> {
    for entry in directory.entries()? {
        if is_kept(&entry) {
            continue;
        }
        match refuse_entry(directory, &entry, is_kept) {
            // It is gone, or something else has taken its place.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            refused => refused?,
        }
    }
    Ok(())
}

/// Fails if something is mounted at an entry of `directory` or below it.
pub(crate) fn refuse_entry(
    directory: &Dir,
    entry: &Entry,
    is_kept: &dyn Fn(&Entry) -> bool,
) -> io::Result<()> {
    if directory.is_mount_point(&entry.name)? {
        return Err(mount_in_the_way(&directory.at(&entry.name)));
    }
    match entry.kind {
        Kind::Directory => refuse_below(&directory.dir_to_empty(&entry.name)?, is_kept),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{may_mount, mount_bind, mount_disk};

    /// A directory with a disk and a bind mount of the same file system in it, deep below.
    fn with_mounts() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for path in ["tree/disk", "tree/deep/bind", "tree/plain", "outside"] {
            fs::create_dir_all(place.path().join(path)).unwrap();
        }
        fs::write(place.path().join("outside/theirs"), "x").unwrap();
        let (disk, bind) = (place.path().join("tree/disk"), place.path().join("tree/deep/bind"));
        mount_disk(&disk, None);
        mount_bind(&place.path().join("outside"), &bind);
        fs::write(disk.join("theirs"), "x").unwrap();
        place
    }

    #[test]
    fn a_mount_point_is_told_from_a_directory() {
        if !may_mount() {
            return;
        }
        let place = with_mounts();
        let top = Dir::open(place.path()).unwrap();
        for (path, is_mounted) in [
            ("tree/disk", true),
            ("tree/deep/bind", true),
            ("tree/plain", false),
            ("tree/deep", false),
            ("tree/disk/theirs", false),
            ("missing", false),
        ] {
            assert_eq!(top.is_mount_point(path).unwrap(), is_mounted, "{path}");
        }
        let file = place.path().join("file");
        fs::write(&file, "x").unwrap();
        mount_bind(&place.path().join("outside/theirs"), &file);
        assert!(top.is_mount_point("file").unwrap());
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_never_removed_with_it() {
        if !may_mount() {
            return;
        }
        let place = with_mounts();
        let top = Dir::open_owned(place.path()).unwrap();
        let refused = top.refuse_mounts("tree", &|_| false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(refused.to_string().contains("is mounted at"), "{refused}");
        let bare = top.dir("tree").unwrap().refuse_mounts("", &|_| false);
        assert_eq!(bare.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        top.refuse_mounts("tree/plain", &|_| false).unwrap();
        let kept = |entry: &Entry| entry.name == "bind" || entry.name == "disk";
        top.refuse_mounts("tree", &kept).unwrap();
        for tree in ["tree", "tree/disk", "tree/deep", "tree/deep/bind"] {
            let error = top.remove_tree(tree).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{tree}: {error}");
        }
        assert!(place.path().join("tree/disk/theirs").is_file());
        assert!(place.path().join("outside/theirs").is_file());
    }
}
