//! The disk side of a download. Everything here blocks.
//!
//! A download begins by parking the sentinel, so that a root which is being written to never looks
//! downloaded, and by bringing every file of the manifest to its size: a file that is there already
//! may hold chunks of the game, anything else of that name is unlinked, so that neither symbolic
//! links nor other names of the same file are written through. Chunks are written at their place as
//! they are verified, and made durable as the download goes on. The commit makes all of it durable,
//! removes what the new version no longer has, and only then writes the sentinel.
//!
//! What belongs to the user or to other operations (see
//! [`lanspread_library::is_reserved_root_name`]) is never touched.

mod beside;
mod direct;
mod discard;
mod files;
mod handles;
mod names;
#[cfg(test)]
mod tests;
mod touches;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_disk::{Clash, Dir, IoFailure, Parents, Point, platform};
use lanspread_proto::foreign::is_foreign_file;
use lanspread_proto::hash::ChunkHasher;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{ContentHash, Manifest, ManifestFile, RelPath};
use tokio_util::sync::CancellationToken;

use self::direct::Direct;
use self::discard::Listed;
pub(crate) use self::discard::{discard, is_discarded};
use self::handles::Handles;
use self::names::PresenceCheck;
pub(super) use self::names::refuse_clashes;
use lanspread_disk::durable::{self, below};
use lanspread_library::Fingerprint;
use lanspread_proto::reserved::{SENTINEL_DISCARDED, SENTINEL_TMP};
use lanspread_transfer::attributes::Agreed;
use lanspread_transfer::layout::ChunkLocation;

use self::touches::Touches;
use crate::error::{DownloadFailure, RemoveFailure};
use crate::points;

/// Threads that make files durable at the commit. A file system writes its own journal once for
/// those that wait together, so that thousands of small files do not take seconds.
const SYNC_THREADS: usize = 4;

/// What is read at once of what is on disk: enough for the disk to be fast, and fits a cache.
const READ_BLOCK_BYTES: usize = 256 * 1024;

/// Why the disk side failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The disk cannot hold the files as the manifest names them.
    #[error("the disk of {path} cannot hold the names of the game: {clash:?}")]
    Clash { path: PathBuf, clash: Clash },
}

impl From<StorageError> for DownloadFailure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Clash { path, clash: Clash::Same { first, second } } => {
                Self::NamesClash { path, first, second }
            }
            StorageError::Clash { path, clash: Clash::Respelled { path: name, spelled } } => {
                Self::NameNotKept { path, name, spelled }
            }
            StorageError::Io(failure) => failure.into(),
        }
    }
}

impl From<StorageError> for RemoveFailure {
    fn from(error: StorageError) -> Self {
        let reason = error.to_string();
        match error {
            StorageError::Io(failure) => Self::Io(failure),
            StorageError::Clash { path, .. } => Self::Io(IoFailure::refused("tidy", path, reason)),
        }
    }
}

/// What a commit has left on the disk.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Whether the root keeps the executable bits.
    pub keeps_bits: bool,
    /// What the files look like that hold what was verified.
    pub seen: Fingerprint,
}

/// A game root that a download writes to.
#[derive(Debug)]
pub(crate) struct Storage {
    root: Dir,
    manifest: Arc<Manifest>,
    handles: Handles,
    direct: Direct,
    touches: Touches,
    /// The numbers of the files that may hold bytes from before.
    kept: BTreeSet<usize>,
    /// Once cancelled, no commit goes on.
    stop: CancellationToken,
}

impl Storage {
    /// Parks the sentinel and sets every file of `manifest` to its size. A new file has no content; one that
    /// is there keeps its bytes.
    ///
    /// # Errors
    /// [`StorageError`] names the first thing that could not be brought into place.
    pub(crate) fn prepare(path: &Path, manifest: Arc<Manifest>) -> Result<Self, StorageError> {
        let (root, is_new) = make_root(path)?;
        if !is_new {
            names::refuse_foreign(&root, &manifest)?;
            discard::refuse_mounts(&root, &manifest.files().iter().map(file_path).collect())?;
        }
        park_sentinel(&root)?;
        names::respell(&root, &manifest)?;
        let mut parents = Parents::of(&root);
        let mut made = BTreeSet::from_iter(is_new.then_some(Path::new("")));
        for directory in directories(&manifest) {
            if make_directory(&root, &mut parents, directory)? {
                made.insert(directory);
            }
        }
        let kept = files::make_files(&root, &manifest, &made)?;
        // A chunk is entered into the journal once its bytes are durable, which is of no use while the
        // name of its file is not.
        sync_directories(points::GAME_DIR_SYNC, &root, &manifest)?;
        let (handles, direct, stop) = (Handles::new(), Direct::new(), CancellationToken::new());
        let touches = Touches::default();
        Ok(Self { root, manifest, handles, direct, touches, kept, stop })
    }

    /// Lets a commit end between two steps once `stop` is cancelled.
    pub(crate) fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Whether something else has taken the place of the root. A root that is missing has not been replaced.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be looked at.
    pub(crate) fn is_replaced(&self) -> Result<bool, StorageError> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let path = self.root.path();
        let id_of = |root: &Dir| root.look("").map(|found| found.map(|found| found.id));
        match Dir::open(path).and_then(|found| Ok(id_of(&found)? != id_of(&self.root)?)) {
            Err(error) if error.kind() == NotFound => Ok(false),
            Err(error) if error.kind() == NotADirectory => Ok(true),
            compared => compared.map_err(failed("look at", path)),
        }
    }

    /// Closes the files that are open for further chunks.
    pub(crate) fn close_files(&self) {
        self.handles.close();
    }

    /// Whether any file may hold bytes from before.
    pub(crate) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether the place of a chunk may hold bytes from before.
    pub(crate) fn is_kept(&self, place: ChunkLocation) -> bool {
        self.kept.contains(&place.file)
    }

    /// The hash of the bytes at the place of a chunk.
    ///
    /// # Errors
    /// [`StorageError`] when they cannot be read.
    pub(crate) fn hash(&self, place: ChunkLocation) -> Result<Option<ContentHash>, StorageError> {
        let Some(file) = self.manifest.files().get(place.file) else { return Ok(None) };
        let mut hasher = ChunkHasher::new(file.size, place.index);
        let mut read = || {
            let file = self.handles.open(place.file, &self.root, &file.path)?;
            let read = || {
                read_blocks(&file, place, |block| {
                    hasher.update(block);
                    true
                })
            };
            self.touches.during(place.file, &file, read)
        };
        read().map_err(failed("read", &self.root.at(native(file))))?;
        Ok(Some(hasher.finish()))
    }

    /// Makes what was written to these files durable.
    ///
    /// # Errors
    /// [`StorageError`]; then it is not known which chunks the disk has.
    pub(crate) fn sync(&self, files: &BTreeSet<usize>) -> Result<(), StorageError> {
        for number in files {
            let Some(file) = self.manifest.files().get(*number) else { continue };
            let path = self.root.at(native(file));
            let synced = self.handles.open(*number, &self.root, &file.path);
            let synced =
                synced.and_then(|file| durable::sync_data(points::CHUNK_SYNC, &path, &file));
            synced.map_err(failed("sync", &path))?;
        }
        Ok(())
    }

    /// Writes the verified bytes of a chunk to their place.
    ///
    /// A chunk of zeros is skipped where its place reads as zeros already, so that a sparse file
    /// stays sparse. `is_hole` says that this download has not written there before.
    ///
    /// # Errors
    /// [`StorageError`]; parts of the chunk may have been written.
    pub(crate) fn write(
        &self,
        place: ChunkLocation,
        bytes: &[u8],
        is_hole: bool,
    ) -> Result<(), StorageError> {
        let Some(file) = self.manifest.files().get(place.file) else { return Ok(()) };
        let is_zeros = is_all_zeros(bytes);
        if is_zeros && is_hole && !self.is_kept(place) {
            return Ok(());
        }
        let path = self.root.at(native(file));
        let write = || {
            let opened = self.handles.open(place.file, &self.root, &file.path)?;
            if is_zeros && read_blocks(&opened, place, is_all_zeros)? {
                return Ok(());
            }
            durable::reach(points::CHUNK_WRITE, &path)?;
            self.touches.during(place.file, &opened, || {
                match self.direct.write(&self.root, &file.path, bytes, place.offset)? {
                    true => Ok(()),
                    false => platform::write_all_at(&opened, bytes, place.offset),
                }
            })
        };
        write().map_err(failed("write", &path))
    }

    /// Makes all files durable, removes what the manifest does not list, and writes what was agreed on
    /// beside the content, the sentinel last. A file that something else changed meanwhile is held against
    /// `content`, which has the hashes.
    ///
    /// # Errors
    /// [`StorageError`]; then there is no sentinel, unless it was the last sync that failed.
    pub(crate) fn commit(
        &self,
        agreed: &Agreed,
        content: &Manifest,
    ) -> Result<Committed, StorageError> {
        self.handles.close();
        let mut committed = self.finish_files(agreed.executable.as_ref(), content)?;
        // Before anything is removed, so that what the disk calls by another name is not taken for
        // something that the manifest does not list; and after it, because then nothing may be missing.
        names::require_all(&self.root, &self.manifest, PresenceCheck::Files)?;
        let directories = agreed.directories.as_deref();
        let listed = Listed {
            files: self.manifest.files().iter().map(file_path).collect(),
            directories: directories.map(|all| all.iter().map(RelPath::as_str).collect()),
        };
        discard::remove_unlisted(&self.root, &listed)?;
        beside::make_empty(&self.root, directories.unwrap_or_default())?;
        names::require_all(&self.root, &self.manifest, PresenceCheck::Names)?;
        sync_directories(points::COMMIT_DIR_SYNC, &self.root, &self.manifest)?;
        self.go_on(self.root.path())?;
        committed.keeps_bits &= self.write_sentinel(&agreed.sentinel)?;
        Ok(committed)
    }

    fn go_on(&self, path: &Path) -> Result<(), StorageError> {
        match self.stop.is_cancelled() {
            true => Err(failed("commit", path)(io::ErrorKind::Interrupted.into())),
            false => Ok(()),
        }
    }

    /// Returns whether the file system shows the sentinel as what it is, a file that is not executable.
    fn write_sentinel(&self, sentinel: &[u8]) -> Result<bool, StorageError> {
        let root = &self.root;
        let unfinished = root.at(SENTINEL_TMP);
        unlink(root, SENTINEL_TMP)?;
        let write = || {
            let mut file = below::create_file(points::SENTINEL_WRITE, root, SENTINEL_TMP)?;
            file.write_all(sentinel)?;
            durable::sync_all(points::SENTINEL_SYNC, &unfinished, &file)?;
            Ok(!durable::is_executable(&file))
        };
        let is_plain = write().map_err(failed("write", &unfinished))?;
        below::rename(points::SENTINEL_RENAME, root, SENTINEL_TMP, VERSION_FILE)
            .map_err(failed("rename to", &root.at(VERSION_FILE)))?;
        sync_directory(points::SENTINEL_RENAME_SYNC, root)?;
        // The game is committed: a parked sentinel that stays behind is of no consequence.
        if let Err(error) = discard::remove_any(points::PARKED_REMOVE, root, SENTINEL_DISCARDED) {
            tracing::warn!(%error, "a parked sentinel stays behind");
        }
        Ok(is_plain)
    }
}

pub(super) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StorageError + 'a {
    move |source| IoFailure::new(action, path, source).into()
}

fn file_path(file: &ManifestFile) -> &str {
    file.path.as_str()
}

/// The path of a file below the root.
fn native(file: &ManifestFile) -> &Path {
    Path::new(file.path.as_str())
}

/// Every directory below the root that a manifest needs, parents first.
fn directories(manifest: &Manifest) -> BTreeSet<&Path> {
    let paths = manifest.files().iter().map(|file| Path::new(file.path.as_str()));
    let ancestors = paths.flat_map(|path| path.ancestors().skip(1));
    ancestors.filter(|path| !path.as_os_str().is_empty()).collect()
}

/// Opens the game root, and returns whether it had to be made. A link in its place is an error: a scan
/// does not follow it, so a game behind it would never be found.
fn make_root(root: &Path) -> Result<(Dir, bool), StorageError> {
    let make = || match fs::symlink_metadata(root) {
        Ok(found) if found.is_dir() => Ok(false),
        Ok(_) => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            durable::create_dir(lanspread_disk::points::ROOT_CREATE, root)?;
            durable::sync_name(lanspread_disk::points::ROOT_SYNC, root).map(|()| true)
        }
        Err(error) => Err(error),
    };
    make()
        .and_then(|is_new| Ok((Dir::open_owned(root)?, is_new)))
        .map_err(failed("create directory", root))
}

/// Makes a directory if it is not there, and returns whether it had to. A file or link of that name is a
/// leftover of another version and gives way.
fn make_directory(
    root: &Dir,
    parents: &mut Parents<'_>,
    path: &Path,
) -> Result<bool, StorageError> {
    let mut make = || {
        let (parent, name) = parents.find(path)?;
        match parent.look(name)? {
            Some(found) if found.is_dir() => return Ok(false),
            Some(found) if found.is_file() && is_foreign_file(name.as_encoded_bytes()) => {
                return Err(discard::foreign_in_the_way());
            }
            Some(_) => parent.remove_file(name)?,
            None => {}
        }
        below::create_dir(points::GAME_DIR_CREATE, parent, name).map(|()| true)
    };
    make().map_err(failed("create directory", &root.at(path)))
}

fn park_sentinel(root: &Dir) -> Result<(), StorageError> {
    match below::rename(points::PARK, root, VERSION_FILE, SENTINEL_DISCARDED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("park", &root.at(VERSION_FILE))(error)),
        Ok(()) => sync_directory(points::PARK_SYNC, root),
    }
}

/// Removes a file or a link itself; that there is none is fine.
fn unlink(parent: &Dir, name: impl AsRef<Path>) -> Result<(), StorageError> {
    let path = parent.at(&name);
    match parent.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("replace", &path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_directory(point: Point, directory: &Dir) -> Result<(), StorageError> {
    below::sync_dir(point, directory).map_err(failed("sync", directory.path()))
}

/// Syncs every directory that `manifest` needs, and the root last.
fn sync_directories(point: Point, root: &Dir, manifest: &Manifest) -> Result<(), StorageError> {
    for path in directories(manifest) {
        let directory = root.dir(path).map_err(failed("open", &root.at(path)))?;
        sync_directory(point, &directory)?;
    }
    sync_directory(point, root)
}

/// Reads the place of a chunk block by block until `go_on` does not want more; returns whether it
/// wanted all.
fn read_blocks(
    file: &File,
    place: ChunkLocation,
    mut go_on: impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut buffer = vec![0; READ_BLOCK_BYTES];
    let (mut at, end) = (place.offset, place.offset + u64::from(place.len));
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(READ_BLOCK_BYTES);
        let (block, _) = buffer.split_at_mut(left.min(READ_BLOCK_BYTES));
        platform::read_exact_at(file, block, at)?;
        if !go_on(block) {
            return Ok(false);
        }
        at += block.len() as u64;
    }
    Ok(true)
}

/// Compared block by block with memory that is known to be zero, which the system's own comparison
/// does faster than the disk takes the bytes, and stops early in a chunk that is not.
fn is_all_zeros(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|block| ZEROS.starts_with(block))
}
