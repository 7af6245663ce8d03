//! Taking things out of a game root.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use lanspread_disk::durable::{self, below};
use lanspread_disk::foreign::{holds_foreign, is_foreign_entry};
use lanspread_disk::trash::Disposal;
use lanspread_disk::{Dir, Entry, Kind, Point, mount_in_the_way};
use lanspread_proto::RelPath;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::reserved::{
    SENTINEL_DISCARDED, SENTINEL_TMP, is_install_transient, is_reserved_root_name,
};

use super::{StorageError, failed, sync_directory};
use crate::points;

/// Removes all that a download brought or a root can hold, the sentinel first and durably, but not what
/// is reserved for the user or other operations, and nothing foreign; then the root itself, if that leaves
/// it empty and it is no mount point.
///
/// For a cancelled download. Links are removed, never followed. A root that is missing, or that is
/// no directory and so never held a download, is fine.
///
/// # Errors
/// [`StorageError`] names the first thing that could not be removed; the rest is still there. Where
/// something is mounted in what would go, nothing is touched.
pub(crate) fn discard(path: &Path, disposal: &mut Disposal<'_>) -> Result<(), StorageError> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound, ResourceBusy};
    let root = match Dir::open_owned(path) {
        Ok(root) => root,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(()),
        Err(error) => return Err(failed("discard", path)(error)),
    };
    for entry in entries(&root)? {
        if is_discarded(&entry.name) && !is_foreign_entry(&entry) {
            root.refuse_mounts(&entry.name, &is_foreign_entry).map_err(failed("remove", path))?;
        }
    }
    for name in [VERSION_FILE, SENTINEL_DISCARDED, SENTINEL_TMP] {
        remove_any(points::DISCARD_SENTINEL, &root, name)?;
    }
    // Durably, before anything else goes: a power cut must not leave a half game with a sentinel.
    sync_directory(points::DISCARD_SENTINEL_SYNC, &root)?;
    let entries = entries(&root)?;
    // As a whole, where nothing in it is to stay.
    if entries.iter().all(|entry| is_discarded(&entry.name) && may_go_whole(&root, entry))
        && disposal.try_aside(path)
    {
        return durable::sync_name(points::DISCARD_SYNC, path).map_err(failed("sync", path));
    }
    for entry in entries {
        if !is_discarded(&entry.name) || is_foreign_entry(&entry) {
            continue;
        }
        let at = root.at(&entry.name);
        if !(may_go_whole(&root, &entry) && disposal.try_aside(&at)) {
            below::remove_own(points::DISCARD_ENTRY, &root, &entry.name)
                .map_err(failed("remove", &at))?;
        }
    }
    match durable::remove_dir(points::DISCARD_ROOT, path) {
        // A mount point is busy, and stays.
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | ResourceBusy) => {
            sync_directory(points::DISCARD_SYNC, &root)
        }
        Err(error) => Err(failed("remove", path)(error)),
        Ok(()) => durable::sync_name(points::DISCARD_SYNC, path).map_err(failed("sync", path)),
    }
}

/// Whether nothing foreign is in an entry of `root`.
fn may_go_whole(root: &Dir, entry: &Entry) -> bool {
    let holds_foreign = || match entry.kind {
        // What cannot be looked at is removed one by one, which tells why.
        Kind::Directory => root.dir(&entry.name).and_then(|it| holds_foreign(&it)).unwrap_or(true),
        _ => false,
    };
    !is_foreign_entry(entry) && !holds_foreign()
}

/// What a version consists of.
pub(super) struct Listed<'a> {
    pub(super) files: BTreeSet<&'a str>,
    /// The empty directories; `None` where nobody tells.
    pub(super) directories: Option<BTreeSet<&'a str>>,
}

/// Removes the regular files below `root` that a manifest could list and `listed` does not: they
/// are of another version, and would make this root differ from its sources. Directories that this
/// leaves empty go as well, and so do those that were empty and are not listed, if any source tells which
/// are; everything else stays. So does a mount point with all that is mounted there.
pub(super) fn remove_unlisted(root: &Dir, listed: &Listed<'_>) -> Result<(), StorageError> {
    for entry in entries(root)? {
        if !is_reserved(&entry.name) {
            remove_unlisted_entry(root, Path::new(&entry.name), &entry, listed)?;
        }
    }
    Ok(())
}

/// `path` is that of the entry below the root.
fn remove_unlisted_entry(
    parent: &Dir,
    path: &Path,
    entry: &Entry,
    listed: &Listed<'_>,
) -> Result<(), StorageError> {
    // What cannot be a path of a manifest is neither listed nor looked into; this also bounds how
    // deep the walk goes.
    let Ok(relative) = RelPath::from_native(path) else { return Ok(()) };
    if is_foreign_entry(entry) {
        return Ok(());
    }
    if entry.kind == Kind::File && !listed.files.contains(relative.as_str()) {
        return remove_any(points::COMMIT_UNLIST, parent, &entry.name);
    }
    if entry.kind != Kind::Directory {
        return Ok(());
    }
    if parent.is_mount_point(&entry.name).map_err(failed("look at", &parent.at(&entry.name)))? {
        return refuse_mounted(parent, path, entry, &listed.files, None);
    }
    let directory =
        parent.dir_to_empty(&entry.name).map_err(failed("open", &parent.at(&entry.name)))?;
    let below_it = entries(&directory)?;
    let is_listed = |all: &BTreeSet<&str>| all.contains(relative.as_str());
    if below_it.is_empty() && listed.directories.as_ref().is_none_or(is_listed) {
        return Ok(());
    }
    for entry in below_it {
        remove_unlisted_entry(&directory, &path.join(&entry.name), &entry, listed)?;
    }
    match below::remove_dir(points::COMMIT_UNLIST_DIR, parent, &entry.name) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result.map_err(failed("remove", directory.path())),
    }
}

/// Refuses a root in which something that is not among `listed` files would have to go to which a mount
/// belongs: what is mounted is not ours to remove. Touches nothing.
///
/// Files that are listed may lie in a mount.
pub(super) fn refuse_mounts(root: &Dir, listed: &BTreeSet<&str>) -> Result<(), StorageError> {
    for entry in entries(root)? {
        if !is_reserved(&entry.name) {
            refuse_mounted(root, Path::new(&entry.name), &entry, listed, None)?;
        }
    }
    Ok(())
}

/// `path` is that of the entry below the root, `mount` the mount point in which it lies.
fn refuse_mounted(
    parent: &Dir,
    path: &Path,
    entry: &Entry,
    listed: &BTreeSet<&str>,
    mount: Option<&Path>,
) -> Result<(), StorageError> {
    let Ok(relative) = RelPath::from_native(path) else { return Ok(()) };
    let is_listed = listed.contains(relative.as_str());
    let is_passed_over = match entry.kind {
        Kind::File => is_listed,
        Kind::Directory => false,
        Kind::Link | Kind::Pipe | Kind::Socket | Kind::Device => true,
    };
    if is_passed_over || is_foreign_entry(entry) {
        return Ok(());
    }
    let at = parent.at(&entry.name);
    let own_mount = parent.is_mount_point(&entry.name).map_err(failed("look at", &at))?;
    let mount = if own_mount { Some(at.as_path()) } else { mount };
    if entry.kind == Kind::File {
        return mount.map_or(Ok(()), |mount| Err(failed("remove", &at)(mount_in_the_way(mount))));
    }
    if is_listed {
        // A file of the game is to take the place of this directory.
        return match mount {
            Some(mount) => Err(failed("replace", &at)(mount_in_the_way(mount))),
            None => {
                parent.refuse_mounts(&entry.name, &is_foreign_entry).map_err(failed("replace", &at))
            }
        };
    }
    let directory = parent.dir(&entry.name).map_err(failed("open", &at))?;
    for entry in entries(&directory)? {
        refuse_mounted(&directory, &path.join(&entry.name), &entry, listed, mount)?;
    }
    Ok(())
}

/// Whether [`discard`] removes what has this name in a root.
pub(crate) fn is_discarded(name: &OsStr) -> bool {
    let is_sentinel = [VERSION_FILE, SENTINEL_DISCARDED, SENTINEL_TMP].iter().any(|s| name == *s);
    // What an installation, of this version of the program or another, left behind, only a recovery
    // that knows its owner may remove.
    let is_transient = name.to_str().is_some_and(is_install_transient);
    is_sentinel || !is_reserved(name) && !is_transient
}

fn is_reserved(name: &OsStr) -> bool {
    name.to_str().is_some_and(is_reserved_root_name)
}

fn entries(directory: &Dir) -> Result<Vec<Entry>, StorageError> {
    directory.entries().map_err(failed("list", directory.path()))
}

/// Removes whatever has this name; that there is nothing is fine.
pub(super) fn remove_any(
    point: Point,
    parent: &Dir,
    name: impl AsRef<Path>,
) -> Result<(), StorageError> {
    let path = parent.at(&name);
    below::remove_any(point, parent, name).map_err(failed("remove", &path))
}

/// Removes a directory in whose place the manifest has a file.
pub(super) fn make_way(point: Point, parent: &Dir, name: &OsStr) -> Result<(), StorageError> {
    let path = parent.at(name);
    let found = Entry { name: name.to_owned(), kind: Kind::Directory };
    let is_gone = match is_foreign_entry(&found) {
        true => Ok(false),
        false => below::remove_own(point, parent, name),
    };
    match is_gone.map_err(failed("remove", &path))? {
        true => Ok(()),
        false => Err(failed("replace", &path)(foreign_in_the_way())),
    }
}

/// What the system left there is not ours to remove.
pub(super) fn foreign_in_the_way() -> io::Error {
    io::Error::other("a system left it there, and it is in the way of the game; remove it")
}
