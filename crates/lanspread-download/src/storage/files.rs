//! Making the files of a manifest: anew, or in the place of what was there.
//!
//! Bytes that are on disk already may be those of the game, so a file stays where it is if nothing
//! but this name leads to it. What is a link, a directory of another version, has other names or cannot
//! be opened gives way; of a file with other names the content is copied first.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use lanspread_disk::durable::{self, below};
use lanspread_disk::{Dir, Kind, Parents, platform};
use lanspread_proto::Manifest;

use super::discard::make_way;
use super::{StorageError, failed, native, unlink};
use crate::points;

/// Brings every file of `manifest` to its size, and returns the numbers of those that may hold bytes
/// from before. In the directories that were `made` for them there are none.
pub(super) fn make_files(
    root: &Dir,
    manifest: &Manifest,
    made: &BTreeSet<&Path>,
) -> Result<BTreeSet<usize>, StorageError> {
    let files = || manifest.files().iter().enumerate();
    let mut parents = Parents::of(root);
    let mut kept = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let is_in_made = |path: &Path| path.parent().is_some_and(|parent| made.contains(parent));
    for (number, file) in files().filter(|(_, file)| !is_in_made(native(file))) {
        let path = root.at(native(file));
        let (parent, name) = parents.find(native(file)).map_err(failed("open", &path))?;
        let Some(opened) = keep(parent, name, file.size)? else { continue };
        if !seen.insert(platform::file_id(&opened)) {
            return Err(failed("create", &path)(io::ErrorKind::AlreadyExists.into()));
        }
        kept.insert(number);
    }
    // Made only after all others gave way, so that two names of one file fail here as well.
    for (number, file) in files() {
        if !kept.contains(&number) {
            let path = root.at(native(file));
            let (parent, name) = parents.find(native(file)).map_err(failed("open", &path))?;
            below::create_file(points::GAME_FILE_CREATE, parent, name)
                .and_then(|made| durable::set_len(&made, file.size))
                .map_err(failed("create", &path))?;
        }
    }
    Ok(kept)
}

/// Brings a file to `size` if it can stay; else there is nothing of that name after.
fn keep(parent: &Dir, name: &OsStr, size: u64) -> Result<Option<Metadata>, StorageError> {
    let path = parent.at(name);
    match parent.look(name).map_err(failed("look at", &path))? {
        None => return Ok(None),
        // What is in it is of a version that had a directory here.
        Some(found) if found.is_dir() => {
            return make_way(points::COMMIT_UNLIST, parent, name).map(|()| None);
        }
        Some(found) if found.kind != Kind::File => return unlink(parent, name).map(|()| None),
        Some(_) => {}
    }
    let Ok(file) = parent.read_write(name) else { return unlink(parent, name).map(|()| None) };
    let resized = || {
        let found = file.metadata()?;
        // A file system that does not count names says 0 or 1.
        if platform::has_other_names(&found) {
            return replace_by_copy(&file, parent, name, size).map(Some);
        }
        durable::reach(points::GAME_FILE_RESIZE, &path)?;
        durable::set_len(&file, size)?;
        Ok(Some(found))
    };
    resized().map_err(failed("resize", &path))
}

/// Puts a copy in the place of a file that has other names, which are not ours to change.
fn replace_by_copy(file: &File, parent: &Dir, name: &OsStr, size: u64) -> io::Result<Metadata> {
    parent.remove_file(name)?;
    let mut copy = parent.create_new(Path::new(name))?;
    io::copy(&mut file.take(size), &mut copy)?;
    durable::set_len(&copy, size)?;
    copy.metadata()
}
