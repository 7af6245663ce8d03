//! The names of a manifest on a disk that may take several of them for one.
//!
//! A disk that ignores letter case finds `data.pak` under `DATA.PAK`, but lists it as it was made. So
//! what was there before gets the spelling of the manifest, and from then on listed names can be
//! compared with those of the manifest on every disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;

use lanspread_disk::foreign::{find_foreign, is_foreign_entry};
use lanspread_disk::{Dir, Doubts, Kind, Listing};
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{Manifest, ManifestFile, RelPath};

use super::discard::foreign_in_the_way;
use super::{StorageError, directories, failed, native};

/// The name by way of which something gets another spelling on disks that do not see that as a change.
/// What a crash leaves under it is of no version, and goes at the next commit.
const RESPELLED: &str = "lanspread-respelled.tmp";

/// Refuses a manifest with files that the disk of `root` does not tell from each other, or that it
/// would call by another name. Touches nothing.
pub(crate) fn refuse_clashes(root: &Path, manifest: &Manifest) -> Result<(), StorageError> {
    // The sentinel is written beside them, and nothing else may be found under its name before.
    let names = manifest.files().iter().map(|file| file.path.as_str());
    let doubts = Doubts::about(names.chain([VERSION_FILE]));
    if doubts.is_empty() {
        return Ok(());
    }
    // A directory that is new takes after the one above it.
    let parent = root.parent().unwrap_or(root);
    let asked = Dir::open_owned(root)
        .or_else(|_| Dir::open(parent))
        .and_then(|place| doubts.ask(&place))
        .map_err(failed("try names in", root))?;
    match asked {
        Some(clash) => Err(StorageError::Clash { path: root.to_path_buf(), clash }),
        None => Ok(()),
    }
}

/// Refuses a manifest in whose way something foreign is, which is not ours to remove. Touches nothing.
pub(super) fn refuse_foreign(root: &Dir, manifest: &Manifest) -> Result<(), StorageError> {
    let directories = directories(manifest);
    let is_file = |path: &Path| {
        let path = RelPath::from_native(path);
        path.is_ok_and(|path| manifest.file(&path).is_some())
    };
    for path in [Path::new("")].into_iter().chain(directories.iter().copied()) {
        let Some(directory) = open_if_there(root, path)? else { continue };
        for entry in directory.entries().map_err(failed("list", directory.path()))? {
            let (at, path) = (directory.at(&entry.name), path.join(&entry.name));
            let in_the_way = match entry.kind {
                Kind::File if directories.contains(path.as_path()) => {
                    is_foreign_entry(&entry).then_some(at)
                }
                Kind::Directory if is_file(&path) => match is_foreign_entry(&entry) {
                    true => Some(at),
                    false => directory
                        .dir(&entry.name)
                        .and_then(|it| find_foreign(&it))
                        .map_err(failed("list", &at))?,
                },
                _ => None,
            };
            if let Some(at) = in_the_way {
                return Err(failed("replace", &at)(foreign_in_the_way()));
            }
        }
    }
    Ok(())
}

/// Gives the spelling of the manifest to what the disk finds under its names.
///
/// No point of the crash tests lies here: the disks that they run on tell spellings apart, so that
/// nothing is renamed.
pub(super) fn respell(root: &Dir, manifest: &Manifest) -> Result<(), StorageError> {
    for (path, names) in wanted_names(manifest) {
        let Some(directory) = open_if_there(root, path)? else { continue };
        respell_in(&directory, &names).map_err(failed("respell names in", directory.path()))?;
    }
    Ok(())
}

fn respell_in(directory: &Dir, names: &BTreeSet<&str>) -> io::Result<()> {
    let listing = Listing::of(directory)?;
    let mut renamed = Vec::new();
    for name in names {
        let found = listing.spelling(name, || Ok(directory.look(name)?.is_some()))?;
        if let Some(found) = found.filter(|found| *found != *name) {
            directory.rename(found, name)?;
            renamed.push((OsString::from(found), name));
        }
    }
    if renamed.is_empty() {
        return Ok(());
    }
    let listing = Listing::of(directory)?;
    for (_, name) in renamed.iter().filter(|(_, name)| !listing.contains(name.as_ref())) {
        directory.rename(name, RESPELLED)?;
        directory.rename(RESPELLED, name)?;
    }
    Ok(())
}

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PresenceCheck {
    /// They are listed under their names.
    Names,
    /// They are also found by them: regular files of their sizes, and none a second name of another.
    Files,
}

/// Checks that every file of the manifest is there.
pub(super) fn require_all(
    root: &Dir,
    manifest: &Manifest,
    look: PresenceCheck,
) -> Result<(), StorageError> {
    let mut files: BTreeMap<&Path, Vec<&ManifestFile>> = BTreeMap::new();
    for file in manifest.files() {
        files.entry(parent_of(native(file))).or_default().push(file);
    }
    let mut seen = BTreeMap::new();
    for (path, files) in files {
        let directory = root.dir(path).map_err(failed("open", &root.at(path)))?;
        let listing = Listing::of(&directory).map_err(failed("list", directory.path()))?;
        for file in files {
            let mut require = || {
                let name = native(file).file_name().unwrap_or_default();
                let gone =
                    || wrong("it is not there any more: something else removed or renamed it");
                // Both are asked: a name that is found may be listed in another spelling, and a file
                // system in user space may remember for a while what is gone.
                if !listing.contains(name) {
                    return Err(gone());
                }
                if look == PresenceCheck::Names {
                    return Ok(());
                }
                let found = directory.look(name)?.ok_or_else(gone)?;
                if !found.is_file() || found.size != file.size {
                    return Err(wrong("something else replaced it or changed its size"));
                }
                match seen.insert(found.id, file.path.as_str()) {
                    Some(other) => Err(wrong(&format!("it is the same file as {other:?}"))),
                    None => Ok(()),
                }
            };
            require().map_err(failed("find", &root.at(native(file))))?;
        }
    }
    Ok(())
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

/// The directories of a manifest, the root first, and what must be called how in each.
fn wanted_names(manifest: &Manifest) -> BTreeMap<&Path, BTreeSet<&str>> {
    let files = manifest.files().iter().map(native);
    let mut wanted: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for path in directories(manifest).into_iter().chain(files) {
        let name = path.file_name().and_then(|name| name.to_str());
        wanted.entry(parent_of(path)).or_default().extend(name);
    }
    wanted
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Opens a directory of the manifest; `None` where it is not there yet, or something else is that will
/// give way.
fn open_if_there(root: &Dir, path: &Path) -> Result<Option<Dir>, StorageError> {
    // A link on the way is the last: what the manifest has there takes its place.
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    match root.dir(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if matches!(error.kind(), InvalidInput | NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(failed("open", &root.at(path))(error)),
    }
}
