//! Taking things out of a game root.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, FileType};
use std::io;
use std::path::Path;

use lanspread_proto::RelPath;
use lanspread_proto::manifest::VERSION_FILE;

use super::{StorageError, failed, sync_directory};
use crate::disk::{self, Point};
use crate::library::{SENTINEL_DISCARDED, SENTINEL_TMP, is_reserved_root_name};
use crate::trash::Disposal;

/// Removes all that a download brought or a root can hold, the sentinel first and durably, but not what
/// is reserved for the user or other operations; then the root itself, if that leaves it empty.
///
/// For a cancelled download. Links are removed, never followed. A root that is missing, or that is
/// no directory and so never held a download, is fine.
///
/// # Errors
/// [`StorageError`] names the first thing that could not be removed; the rest is still there.
pub(crate) fn discard(root: &Path, disposal: &mut Disposal<'_>) -> Result<(), StorageError> {
    match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("discard", root)(error)),
        Ok(found) if !found.is_dir() => return Ok(()),
        Ok(_) => {}
    }
    for name in [VERSION_FILE, SENTINEL_DISCARDED, SENTINEL_TMP] {
        remove_any(Point::DiscardSentinel, &root.join(name))?;
    }
    // Durably, before anything else goes: a power cut must not leave a half game with a sentinel.
    sync_directory(Point::DiscardSentinelSync, root)?;
    let entries = entries(root)?;
    // As a whole, where nothing in it is to stay.
    if entries.iter().all(|(entry, _)| is_discarded(entry)) && disposal.try_aside(root) {
        return disk::sync_name(Point::DiscardSync, root).map_err(failed("sync", root));
    }
    for (entry, _) in entries {
        if is_discarded(&entry) && !disposal.try_aside(&entry.path()) {
            remove_any(Point::DiscardEntry, &entry.path())?;
        }
    }
    match disk::remove_dir(Point::DiscardRoot, root) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            sync_directory(Point::DiscardSync, root)
        }
        Err(error) => Err(failed("remove", root)(error)),
        Ok(()) => disk::sync_name(Point::DiscardSync, root).map_err(failed("sync", root)),
    }
}

/// Removes the regular files below `root` that a manifest could list and `listed` does not: they
/// are of another version, and would make this root differ from its sources. Directories that this
/// leaves empty go as well; everything else stays.
pub(super) fn remove_unlisted(root: &Path, listed: &BTreeSet<&str>) -> Result<(), StorageError> {
    for (entry, kind) in entries(root)? {
        if !is_reserved(&entry) {
            remove_unlisted_entry(root, &entry, kind, listed)?;
        }
    }
    Ok(())
}

fn remove_unlisted_entry(
    root: &Path,
    entry: &DirEntry,
    kind: FileType,
    listed: &BTreeSet<&str>,
) -> Result<(), StorageError> {
    let path = entry.path();
    // What cannot be a path of a manifest is neither listed nor looked into; this also bounds how
    // deep the walk goes.
    let Some(relative) = path.strip_prefix(root).ok().and_then(|p| RelPath::from_native(p).ok())
    else {
        return Ok(());
    };
    if kind.is_file() && !listed.contains(relative.as_str()) {
        return remove_any(Point::CommitUnlist, &path);
    }
    if !kind.is_dir() {
        return Ok(());
    }
    let below = entries(&path)?;
    if below.is_empty() {
        return Ok(());
    }
    for (entry, kind) in below {
        remove_unlisted_entry(root, &entry, kind, listed)?;
    }
    match disk::remove_dir(Point::CommitUnlistDir, &path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result.map_err(failed("remove", &path)),
    }
}

/// Whether [`discard`] removes an entry of a root.
pub(crate) fn is_discarded(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let is_sentinel = [VERSION_FILE, SENTINEL_DISCARDED, SENTINEL_TMP].iter().any(|s| name == *s);
    is_sentinel || !is_reserved(entry) && !is_install_transient(entry)
}

/// Whether an installation, of this version of the program or another, left it behind: only a
/// recovery that knows its owner may remove it.
fn is_install_transient(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".local.")
}

fn is_reserved(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(is_reserved_root_name)
}

fn entries(directory: &Path) -> Result<Vec<(DirEntry, FileType)>, StorageError> {
    let list = || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            entries.push((entry, kind));
        }
        Ok(entries)
    };
    list().map_err(failed("list", directory))
}

/// Removes whatever has this name; that there is nothing is fine.
pub(super) fn remove_any(point: Point, path: &Path) -> Result<(), StorageError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => disk::remove_dir_all(point, path),
        Ok(_) => disk::remove_file(point, path),
    }
    .map_err(failed("remove", path))
}
