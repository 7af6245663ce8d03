//! Reads the content of a game once, to know its hashes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use lanspread_disk::game_file::open_game_file;
use lanspread_disk::platform::advise_sequential;
use lanspread_proto::hash::ChunkHasher;
use lanspread_proto::manifest::{ManifestError, chunk_len};
use lanspread_proto::{ContentHash, FileHashes, Manifest, ManifestFile, RelPath};

use crate::stamp::{Fingerprint, Stamp};

/// How much is read at once: large enough for the disk, small enough for the processor's cache.
const READ_BYTES: usize = 256 * 1024;

/// Why a game was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The caller said so.
    #[error("hashing was cancelled")]
    Cancelled,
    /// The file is gone or is no longer the one that was listed. The game has to be scanned again.
    #[error("{path} changed while it was hashed")]
    Changed {
        /// Which file of the game.
        path: RelPath,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file of the game.
        path: RelPath,
        /// What the system said.
        source: io::Error,
    },
    /// The hashes do not fit the manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The thread that hashed is gone.
    #[error("hashing was abandoned: {0}")]
    Abandoned(String),
}

/// A game that was hashed.
#[derive(Debug)]
pub struct Hashed {
    /// With all hashes.
    pub manifest: Manifest,
    /// [`Manifest::old_content_roots`].
    pub old_content_roots: Vec<ContentHash>,
    /// Files whose time is so close to their reading that a change right after it may not show.
    pub doubtful: BTreeSet<RelPath>,
}

/// What a reader of many files keeps to.
pub struct Reading<'a> {
    /// Asked before every chunk and every file.
    pub cancel: &'a dyn Fn() -> bool,
    /// The clock of the system, which file times are compared with.
    pub now: &'a dyn Fn() -> SystemTime,
}

/// Reads every file of the game in `root` that has no hashes yet, and returns `manifest` with all.
/// The files must look like `fingerprint`, before and afterwards. `version_ini` are the bytes of the
/// sentinel, for the old forms of the content root.
///
/// Memory stays the same whatever the sizes.
///
/// # Errors
/// [`HashError`]; nothing of what was hashed until then is returned.
pub fn hash_manifest(
    root: &Path,
    manifest: &Manifest,
    version_ini: Option<&[u8]>,
    fingerprint: &Fingerprint,
    reading: &Reading<'_>,
) -> Result<Hashed, HashError> {
    let mut reader = FileReader::new(root, reading);
    let mut files = Vec::with_capacity(manifest.files().len());
    let mut doubtful = BTreeSet::new();
    for file in manifest.files() {
        let hashes = match &file.hashes {
            Some(known) => known.clone(),
            None => {
                let changed = || HashError::Changed { path: file.path.clone() };
                let stamp = fingerprint.stamp(&file.path).ok_or_else(changed)?;
                let read = reader.read(&file.path, stamp, &mut |_| {})?;
                if read.is_doubtful {
                    doubtful.insert(file.path.clone());
                }
                read.hashes
            }
        };
        files.push(ManifestFile { hashes: Some(hashes), ..file.clone() });
    }
    let manifest = Manifest::new(manifest.version().clone(), files)?;
    let old_content_roots = manifest.old_content_roots(version_ini);
    Ok(Hashed { manifest, old_content_roots, doubtful })
}

/// What a file holds.
pub(crate) struct ReadFile {
    pub hashes: FileHashes,
    /// Whether a change right after the reading may not show in its time.
    pub is_doubtful: bool,
}

/// Reads files of one root, one after the other, in memory that it takes once.
pub(crate) struct FileReader<'a> {
    root: &'a Path,
    reading: &'a Reading<'a>,
    buffer: Vec<u8>,
}

impl<'a> FileReader<'a> {
    pub(crate) fn new(root: &'a Path, reading: &'a Reading<'a>) -> Self {
        Self { root, reading, buffer: vec![0; READ_BYTES] }
    }

    /// Hashes the file at `path`, which must look like `stamp` before and afterwards. `passed` hears
    /// of the bytes of each chunk that is read.
    ///
    /// # Errors
    /// [`HashError`].
    pub(crate) fn read(
        &mut self,
        path: &RelPath,
        stamp: Stamp,
        passed: &mut dyn FnMut(u64),
    ) -> Result<ReadFile, HashError> {
        self.go_on()?;
        let changed = || HashError::Changed { path: path.clone() };
        let failed = |source: io::Error| HashError::Io { path: path.clone(), source };
        let mut file = match open_game_file(self.root, path) {
            Ok(file) => file,
            Err(source) if is_other_file(&source) => return Err(changed()),
            Err(source) => return Err(failed(source)),
        };
        if Stamp::of(&file.metadata().map_err(failed)?) != stamp {
            return Err(changed());
        }
        advise_sequential(&file);
        let is_early = |now: SystemTime| stamp.mtime.is_doubtful(now);
        let mut chunks = Vec::new();
        let mut early = 0;
        for index in (0..u32::MAX).take_while(|index| chunk_len(stamp.size, *index) > 0) {
            // Only what is read this early could be written again without a trace.
            if is_early((self.reading.now)()) {
                early = chunks.len() + 1;
            }
            chunks.push(self.hash_chunk(&mut file, path, stamp.size, index)?);
            passed(chunk_len(stamp.size, index));
        }
        let is_doubtful = if early == 0 {
            false
        } else if is_early((self.reading.now)()) {
            true
        } else {
            // By now a change would show, so that this is read for the last time.
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            for (index, hash) in (0..u32::MAX).zip(chunks.iter().take(early)) {
                if self.hash_chunk(&mut file, path, stamp.size, index)? != *hash {
                    return Err(changed());
                }
            }
            false
        };
        if Stamp::of(&file.metadata().map_err(failed)?) != stamp {
            return Err(changed());
        }
        Ok(ReadFile { hashes: FileHashes::from_chunks(chunks), is_doubtful })
    }

    fn hash_chunk(
        &mut self,
        file: &mut File,
        path: &RelPath,
        size: u64,
        index: u32,
    ) -> Result<ContentHash, HashError> {
        self.go_on()?;
        let mut hasher = ChunkHasher::new(size, index);
        match read_chunk(file, chunk_len(size, index), &mut self.buffer, &mut hasher) {
            Ok(()) => Ok(hasher.finish()),
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Err(HashError::Changed { path: path.clone() })
            }
            Err(source) => Err(HashError::Io { path: path.clone(), source }),
        }
    }

    fn go_on(&self) -> Result<(), HashError> {
        if (self.reading.cancel)() { Err(HashError::Cancelled) } else { Ok(()) }
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::time::Duration;

    use lanspread_disk::platform::write_all_at;
    use lanspread_disk::testing::make_link;
    use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash};

    use super::*;

    /// Long after any file here was written, so that every time is settled.
    fn much_later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(3_600)
    }

    fn hash(
        root: &Path,
        manifest: &Manifest,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Hashed, HashError> {
        let reading = Reading { cancel, now: &much_later };
        hash_manifest(root, manifest, None, &Fingerprint::seen(root, manifest), &reading)
    }

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

        let hashed = hash(root.path(), &plain, &|| false).unwrap().manifest;
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
        assert_eq!(hash(root.path(), &hashed, &|| false).unwrap().manifest, hashed);
    }

    #[test]
    fn another_file_than_the_listed_one_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("short"), b"ab").unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        make_link("short", root.path().join("link"));
        for (name, size) in [("short", 3), ("short", 1), ("directory", 2), ("link", 2), ("gone", 0)]
        {
            let result = hash(root.path(), &manifest(&[(name, size)]), &|| false);
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
                file.set_modified(old + Duration::from_nanos(1)).unwrap();
            }
            false
        };
        let result = hash(root.path(), &manifest(&[("f", 6)]), &rewrite);
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
        let result = hash(root.path(), &manifest(&[("f", size)]), &cancel);
        assert!(matches!(result, Err(HashError::Cancelled)), "{result:?}");
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn a_file_that_was_written_just_before_is_in_doubt_and_read_again_once_its_time_tells() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("f"), b"young").unwrap();
        let plain = manifest(&[("f", 5)]);
        let seen = Fingerprint::seen(root.path(), &plain);
        let reading = Reading { cancel: &|| false, now: &SystemTime::now };
        let hashed = hash_manifest(root.path(), &plain, None, &seen, &reading).unwrap();
        assert_eq!(hashed.doubtful, BTreeSet::from(["f".parse().unwrap()]));
        let hashed = hash(root.path(), &plain, &|| false).unwrap();
        assert_eq!(hashed.doubtful, BTreeSet::new());
    }

    #[test]
    fn of_a_long_file_only_what_was_read_too_early_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        let size = 5 * CHUNK_SIZE_BYTES;
        File::create(&path).unwrap().set_len(size).unwrap();
        let plain = manifest(&[("f", size)]);
        let seen = Fingerprint::seen(root.path(), &plain);
        for change in [None, Some(0), Some(CHUNK_SIZE_BYTES), Some(2 * CHUNK_SIZE_BYTES)] {
            let (asked, read) = (Cell::new(0), Cell::new(0));
            // Two chunks are read at once, the others after a long time.
            let now = || {
                asked.set(asked.get() + 1);
                if asked.get() <= 2 { SystemTime::now() } else { much_later() }
            };
            let cancel = || {
                read.set(read.get() + 1);
                // Once for the file, once for each chunk of the first pass.
                if let (6, Some(place)) = (read.get(), change) {
                    let file = File::options().write(true).open(&path).unwrap();
                    let before = file.metadata().unwrap().modified().unwrap();
                    write_all_at(&file, b"x", place).unwrap();
                    file.set_modified(before).unwrap();
                }
                false
            };
            let reading = Reading { cancel: &cancel, now: &now };
            let result = hash_manifest(root.path(), &plain, None, &seen, &reading);
            match change {
                Some(place) if place < 2 * CHUNK_SIZE_BYTES => {
                    assert!(matches!(result, Err(HashError::Changed { .. })), "{result:?}");
                }
                _ => {
                    assert_eq!(result.unwrap().doubtful, BTreeSet::new());
                    assert_eq!(read.get(), 1 + 5 + 2);
                }
            }
            File::create(&path).unwrap().set_len(size).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            let stamp = seen.stamp(&"f".parse().unwrap()).unwrap();
            let since = Duration::new(stamp.mtime.0.try_into().unwrap(), stamp.mtime.1);
            file.set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
        }
    }
}
