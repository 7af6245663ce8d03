//! Reads the content of a game once, to know its hashes.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lanspread_proto::hash::ChunkHasher;
use lanspread_proto::manifest::{ManifestError, chunk_len};
use lanspread_proto::{FileHashes, Manifest, ManifestFile, RelPath};
use rustix::fs::{Advice, fadvise};

use crate::library::game_file::open_game_file;

/// How much is read at once: large enough for the disk, small enough for the processor's cache.
const READ_BYTES: usize = 256 * 1024;

/// Why a game was not hashed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// The caller said so.
    #[error("hashing was cancelled")]
    Cancelled,
    /// The file is gone or is no longer the one the manifest lists. The game has to be scanned
    /// again, after [`Index::forget`](super::Index::forget): its fingerprint may be the old one.
    #[error("{path} changed while it was hashed")]
    Changed {
        /// Which file of the game.
        path: RelPath,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hashes do not fit the manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Reads every file of the game in `root` that has no hashes yet, and returns `manifest` with all.
///
/// `cancel` is asked before every chunk and every file. Memory stays the same whatever the sizes.
///
/// # Errors
/// [`HashError`]; nothing of what was hashed until then is returned.
pub(crate) fn hash_manifest(
    root: &Path,
    manifest: &Manifest,
    cancel: &dyn Fn() -> bool,
) -> Result<Manifest, HashError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut files = Vec::with_capacity(manifest.files().len());
    for file in manifest.files() {
        let hashes = match &file.hashes {
            Some(known) => known.clone(),
            None => hash_file(root, file, &mut buffer, cancel)?,
        };
        files.push(ManifestFile { hashes: Some(hashes), ..file.clone() });
    }
    Ok(Manifest::new(manifest.version().clone(), files)?)
}

fn hash_file(
    root: &Path,
    listed: &ManifestFile,
    buffer: &mut [u8],
    cancel: &dyn Fn() -> bool,
) -> Result<FileHashes, HashError> {
    if cancel() {
        return Err(HashError::Cancelled);
    }
    let changed = || HashError::Changed { path: listed.path.clone() };
    let failed = |source: io::Error| HashError::Io { path: listed.path.under(root), source };
    let mut file = match open_game_file(root, &listed.path) {
        Ok(file) => file,
        Err(source) if is_other_file(&source) => return Err(changed()),
        Err(source) => return Err(failed(source)),
    };
    let before = file.metadata().map_err(failed)?;
    if before.len() != listed.size {
        return Err(changed());
    }
    // Advice: without it everything works as well.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let mut chunks = Vec::new();
    for index in 0..listed.chunk_count() {
        if cancel() {
            return Err(HashError::Cancelled);
        }
        let mut hasher = ChunkHasher::new(listed.size, index);
        match read_chunk(&mut file, chunk_len(listed.size, index), buffer, &mut hasher) {
            Ok(()) => chunks.push(hasher.finish()),
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => return Err(changed()),
            Err(source) => return Err(failed(source)),
        }
    }
    let after = file.metadata().map_err(failed)?;
    if !same_content(&before, &after) {
        return Err(changed());
    }
    Ok(FileHashes::from_chunks(chunks))
}

/// Whether a file did not open because it is gone, or because something else is in its place.
fn is_other_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidInput)
}

fn read_chunk(
    file: &mut File,
    len: u64,
    buffer: &mut [u8],
    hasher: &mut ChunkHasher,
) -> io::Result<()> {
    let mut chunk = file.take(len);
    while chunk.limit() > 0 {
        let read = match chunk.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(())
}

fn same_content(before: &Metadata, after: &Metadata) -> bool {
    let key = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    key(before) == key(after)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::symlink;

    use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash};

    use super::*;

    fn manifest(files: &[(&str, u64)]) -> Manifest {
        let files = files.iter().map(|(path, size)| ManifestFile {
            path: path.parse().unwrap(),
            size: *size,
            hashes: None,
        });
        Manifest::new("1".parse().unwrap(), files.collect()).unwrap()
    }

    #[test]
    fn every_file_gets_the_hash_of_its_bytes() {
        let root = tempfile::tempdir().unwrap();
        let len = usize::try_from(CHUNK_SIZE_BYTES).unwrap() + 5;
        let big: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/big"), &big).unwrap();
        fs::write(root.path().join("empty"), b"").unwrap();
        let plain = manifest(&[("d/big", len as u64), ("empty", 0)]);

        let hashed = hash_manifest(root.path(), &plain, &|| false).unwrap();
        let hash_of = |path: &str| {
            let hashes = hashed.file(&path.parse().unwrap()).unwrap().hashes.clone().unwrap();
            (hashes.file(), hashes.chunks().len())
        };
        assert_eq!(hash_of("d/big"), (ContentHash::of(&big), 2));
        assert_eq!(hash_of("empty"), (ContentHash::of_empty(), 0));
        assert_eq!(hashed.manifest_hash(), plain.manifest_hash());
        assert!(hashed.content_root().is_some());

        // What is hashed is not read again: it may even be gone.
        fs::remove_file(root.path().join("d/big")).unwrap();
        assert_eq!(hash_manifest(root.path(), &hashed, &|| false).unwrap(), hashed);
    }

    #[test]
    fn another_file_than_the_listed_one_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("short"), b"ab").unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        symlink("short", root.path().join("link")).unwrap();
        for (name, size) in [("short", 3), ("short", 1), ("directory", 2), ("link", 2), ("gone", 0)]
        {
            let result = hash_manifest(root.path(), &manifest(&[(name, size)]), &|| false);
            assert!(matches!(result, Err(HashError::Changed { .. })), "{name}: {result:?}");
        }
    }

    #[test]
    fn a_write_during_hashing_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        fs::write(&path, b"before").unwrap();
        let old = fs::metadata(&path).unwrap().modified().unwrap();
        let asked = Cell::new(0);
        let rewrite = || {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                fs::write(&path, b"behind").unwrap();
                let file = File::options().write(true).open(&path).unwrap();
                file.set_modified(old + std::time::Duration::from_nanos(1)).unwrap();
            }
            false
        };
        let result = hash_manifest(root.path(), &manifest(&[("f", 6)]), &rewrite);
        assert!(matches!(result, Err(HashError::Changed { .. })), "{result:?}");
    }

    #[test]
    fn cancelling_ends_it_between_chunks() {
        let root = tempfile::tempdir().unwrap();
        let size = 5 * CHUNK_SIZE_BYTES;
        File::create(root.path().join("f")).unwrap().set_len(size).unwrap();
        let asked = Cell::new(0);
        let cancel = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        let result = hash_manifest(root.path(), &manifest(&[("f", size)]), &cancel);
        assert!(matches!(result, Err(HashError::Cancelled)), "{result:?}");
        assert_eq!(asked.get(), 4);
    }
}
