//! Manifests: every content file of a game root, with its size and hashes.
//!
//! A content file is a transferable file that is neither [`VERSION_FILE`] in the root nor foreign (see
//! [`crate::foreign`]). The bytes of [`VERSION_FILE`] are in no hash; its first line is the version.

use bytes::{Bytes, BytesMut};

use crate::foreign::is_foreign;
use crate::hash::{ContentHash, HASH_BYTES};
use crate::ids::GameVersion;
use crate::layout::layout_pages;
use crate::limits::{
    HASHES_PER_PAGE, MANIFEST_MAX_CHUNKS, MANIFEST_MAX_FILES, MANIFEST_MAX_PATH_BYTES,
};
use crate::path::RelPath;

pub use crate::chunk::{CHUNK_SIZE_BYTES, chunk_count, chunk_len};
pub use crate::file_hashes::FileHashes;

/// The sentinel: its presence in the root says that the game is downloaded whole.
pub const VERSION_FILE: &str = "version.ini";
/// Most bytes of a [`VERSION_FILE`] that are looked at and that travel. A version is far shorter.
pub const VERSION_FILE_MAX_BYTES: u64 = 4096;

/// What makes a list of files not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MANIFEST_MAX_FILES`].
    #[error("manifest lists {0} files, more than {MANIFEST_MAX_FILES}")]
    TooManyFiles(usize),
    /// The same path twice, or a file used as a directory.
    #[error("manifest lists {0} twice, or both as a file and as a directory")]
    Conflict(RelPath),
    /// More than [`MANIFEST_MAX_PATH_BYTES`] of paths.
    #[error("manifest has {0} bytes of paths, more than {MANIFEST_MAX_PATH_BYTES}")]
    PathsTooLong(u64),
    /// More than [`MANIFEST_MAX_CHUNKS`].
    #[error("manifest has {0} chunks of 2 MiB, more than 524288")]
    TooManyChunks(u64),
    /// The number of chunk hashes does not follow from the size.
    #[error("{path} has {size} bytes and {chunks} chunk hashes")]
    ChunkCount {
        /// Which file.
        path: RelPath,
        /// Its size in bytes.
        size: u64,
        /// How many chunk hashes came with it.
        chunks: usize,
    },
    /// Not all hashes, or too many.
    #[error("the manifest has {chunks} chunks and {bytes} bytes of hashes")]
    Hashes {
        /// How many chunks its files have.
        chunks: u32,
        /// How many bytes of hashes came with it.
        bytes: usize,
    },
}

/// Whether the file at `path` may be content: it is neither [`VERSION_FILE`] in the root nor foreign.
#[must_use]
pub fn is_content(path: &RelPath) -> bool {
    path.as_str() != VERSION_FILE && !is_foreign(path)
}

/// One content file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Where it lies in the game root.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// Its hashes, once it has been read.
    pub hashes: Option<FileHashes>,
}

impl ManifestFile {
    /// How many chunks the file has.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        // `Manifest::new` refuses files with more chunks than this.
        u32::try_from(chunk_count(self.size)).unwrap_or(u32::MAX)
    }
}

/// Every content file of one version of a game, in path order, within the limits of
/// [`crate::limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    version: GameVersion,
    files: Vec<ManifestFile>,
    total_size: u64,
    path_bytes: u64,
    chunk_count: u32,
    layout_pages: u32,
    // Asked for with every change of a library, for every game in it.
    manifest_hash: ContentHash,
    content_root: Option<ContentHash>,
    /// All of them, of which those of the files are parts.
    hashes: Option<Bytes>,
}

impl Manifest {
    /// Sorts and checks `files`.
    ///
    /// # Errors
    /// [`ManifestError`] names the file that breaks a rule, or the limit that all of them exceed.
    pub fn new(version: GameVersion, mut files: Vec<ManifestFile>) -> Result<Self, ManifestError> {
        if files.len() > MANIFEST_MAX_FILES {
            return Err(ManifestError::TooManyFiles(files.len()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        check_paths(&files)?;
        let (mut total_size, mut chunks, mut path_bytes) = (0_u64, 0_u64, 0_u64);
        for file in &files {
            check_file(file)?;
            // Neither overflows before it is far beyond its limit.
            total_size = total_size.saturating_add(file.size);
            chunks = chunks.saturating_add(chunk_count(file.size));
            path_bytes += file.path.as_str().len() as u64;
        }
        if path_bytes > MANIFEST_MAX_PATH_BYTES {
            return Err(ManifestError::PathsTooLong(path_bytes));
        }
        let chunk_count = u32::try_from(chunks).ok().filter(|it| *it <= MANIFEST_MAX_CHUNKS);
        let chunk_count = chunk_count.ok_or(ManifestError::TooManyChunks(chunks))?;
        let manifest_hash = hash_layout(&version, &files);
        let content_root = hash_content(&files);
        let layout_pages = layout_pages(files.iter().map(|file| (&file.path, file.size)));
        let hashes = content_root.map(|_| gather_hashes(&mut files, chunk_count));
        Ok(Self {
            version,
            files,
            total_size,
            path_bytes,
            chunk_count,
            layout_pages,
            manifest_hash,
            content_root,
            hashes,
        })
    }

    /// The same files with all their hashes: those of their chunks, one behind the other.
    ///
    /// # Errors
    /// [`ManifestError::Hashes`] when they are not as many as the files have chunks.
    pub fn with_hashes(&self, hashes: Bytes) -> Result<Self, ManifestError> {
        let (chunks, bytes) = (self.chunk_count, hashes.len());
        if bytes != chunks as usize * HASH_BYTES {
            return Err(ManifestError::Hashes { chunks, bytes });
        }
        let mut manifest = self.clone();
        share_hashes(&mut manifest.files, &hashes);
        manifest.content_root = hash_content(&manifest.files);
        manifest.hashes = Some(hashes);
        Ok(manifest)
    }

    /// The version of the game.
    #[must_use]
    pub fn version(&self) -> &GameVersion {
        &self.version
    }

    /// The files in path order.
    #[must_use]
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// The file at `path`.
    #[must_use]
    pub fn file(&self, path: &RelPath) -> Option<&ManifestFile> {
        let at = self.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        self.files.get(at)
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.total_size
    }

    /// Bytes of all paths together.
    #[must_use]
    pub fn path_bytes(&self) -> u64 {
        self.path_bytes
    }

    /// How many chunks all files have.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// How many pages its layout has ([`crate::layout`]).
    #[must_use]
    pub fn layout_pages(&self) -> u32 {
        self.layout_pages
    }

    /// The hashes of all chunks, 32 bytes each in the order of the files, once every file is hashed.
    #[must_use]
    pub fn hashes(&self) -> Option<&Bytes> {
        self.hashes.as_ref()
    }

    /// A page of [`Self::hashes`], without a copy; `None` beyond the last one.
    #[must_use]
    pub fn hash_page(&self, page: u32) -> Option<Bytes> {
        const PAGE_BYTES: usize = HASHES_PER_PAGE as usize * HASH_BYTES;
        let hashes = self.hashes.as_ref()?;
        let begin = usize::try_from(page).ok()?.checked_mul(PAGE_BYTES)?;
        let end = hashes.len().min(begin.checked_add(PAGE_BYTES)?);
        (begin < end).then(|| hashes.slice(begin..end))
    }

    /// The hash of version, paths and sizes: known before any content is read.
    #[must_use]
    pub fn manifest_hash(&self) -> ContentHash {
        self.manifest_hash
    }

    /// The hash of paths, sizes and content hashes, once every file is hashed.
    #[must_use]
    pub fn content_root(&self) -> Option<ContentHash> {
        self.content_root
    }

    /// The content roots in the form of wire version 3, which has [`VERSION_FILE`] as one of the files.
    /// Empty until every file is hashed.
    ///
    /// One for each way in which the version may be spelled: as the bytes in `own`, where it has at most
    /// [`VERSION_FILE_MAX_BYTES`], and as the version with a line feed, with a carriage return and a line
    /// feed, and with nothing behind it. None comes twice.
    #[must_use]
    pub fn old_content_roots(&self, own: Option<&[u8]>) -> Vec<ContentHash> {
        let own = own.filter(|own| own.len() as u64 <= VERSION_FILE_MAX_BYTES);
        let common = ["\n", "\r\n", ""].map(|line_end| format!("{}{line_end}", self.version));
        let mut roots = Vec::new();
        for sentinel in own.into_iter().chain(common.iter().map(String::as_bytes)) {
            let root = old_content_root(&self.files, sentinel);
            roots.extend(root.filter(|root| !roots.contains(root)));
        }
        roots
    }
}

fn hash_layout(version: &GameVersion, files: &[ManifestFile]) -> ContentHash {
    let mut hasher = blake3::Hasher::new_derive_key("lanspread 2026 manifest paths and sizes");
    absorb_text(&mut hasher, version.as_str());
    for file in files {
        absorb_text(&mut hasher, file.path.as_str());
        hasher.update(&file.size.to_le_bytes());
    }
    hasher.finalize().into()
}

fn hash_content(files: &[ManifestFile]) -> Option<ContentHash> {
    let mut hasher = blake3::Hasher::new_derive_key("lanspread 2026 content root");
    absorb_files(&mut hasher, files)?;
    Some(hasher.finalize().into())
}

fn old_content_root(files: &[ManifestFile], sentinel: &[u8]) -> Option<ContentHash> {
    let mut hasher = blake3::Hasher::new_derive_key("lanspread 2024 manifest content root");
    let at = files.partition_point(|file| file.path.as_str() < VERSION_FILE);
    let (before, after) = files.split_at_checked(at)?;
    absorb_files(&mut hasher, before)?;
    absorb_file(&mut hasher, VERSION_FILE, sentinel.len() as u64, ContentHash::of(sentinel));
    absorb_files(&mut hasher, after)?;
    Some(hasher.finalize().into())
}

/// `None` if a file is not hashed.
fn absorb_files(hasher: &mut blake3::Hasher, files: &[ManifestFile]) -> Option<()> {
    for file in files {
        absorb_file(hasher, file.path.as_str(), file.size, file.hashes.as_ref()?.file());
    }
    Some(())
}

fn absorb_file(hasher: &mut blake3::Hasher, path: &str, size: u64, content: ContentHash) {
    absorb_text(hasher, path);
    hasher.update(&size.to_le_bytes());
    hasher.update(content.as_bytes());
}

fn absorb_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// No path comes twice, and none is a directory of another one.
fn check_paths(files: &[ManifestFile]) -> Result<(), ManifestError> {
    let conflict = |file: &ManifestFile| ManifestError::Conflict(file.path.clone());
    let mut before: Option<&RelPath> = None;
    for file in files {
        if before == Some(&file.path) {
            return Err(conflict(file));
        }
        // Of most files the directories are those of the file before, and were looked for with it.
        let is_known = |above: &str| {
            let below = before.and_then(|before| before.as_str().strip_prefix(above));
            below.is_some_and(|below| below.starts_with('/'))
        };
        let is_file =
            |above: &str| files.binary_search_by(|it| it.path.as_str().cmp(above)).is_ok();
        if file.path.ancestors().any(|above| !is_known(above) && is_file(above)) {
            return Err(conflict(file));
        }
        before = Some(&file.path);
    }
    Ok(())
}

fn check_file(file: &ManifestFile) -> Result<(), ManifestError> {
    let Some(hashes) = &file.hashes else { return Ok(()) };
    let chunks = hashes.chunks().len();
    if chunks as u64 != chunk_count(file.size) {
        return Err(ManifestError::ChunkCount { path: file.path.clone(), size: file.size, chunks });
    }
    Ok(())
}

/// Puts the hashes of all files into one piece of memory.
fn gather_hashes(files: &mut [ManifestFile], chunk_count: u32) -> Bytes {
    let mut all = BytesMut::with_capacity(chunk_count as usize * HASH_BYTES);
    for hashes in files.iter().filter_map(|file| file.hashes.as_ref()) {
        all.extend_from_slice(hashes.as_bytes());
    }
    let all = all.freeze();
    share_hashes(files, &all);
    all
}

/// Gives each file its part of `hashes`, which are as many as all have chunks.
fn share_hashes(files: &mut [ManifestFile], hashes: &Bytes) {
    let mut begin = 0;
    for file in files {
        let end = (begin + file.chunk_count() as usize * HASH_BYTES).min(hashes.len());
        file.hashes = FileHashes::from_bytes(hashes.slice(begin..end));
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> GameVersion {
        GameVersion::new("20240131").unwrap()
    }

    fn file(path: &str, size: u64) -> ManifestFile {
        ManifestFile { path: RelPath::new(path).unwrap(), size, hashes: None }
    }

    fn hashed(path: &str, bytes: &[u8]) -> ManifestFile {
        let size = bytes.len() as u64;
        let hash = crate::hash::chunk_hash(size, 0, bytes);
        let hashes = Some(FileHashes::from_chunks(vec![hash]));
        ManifestFile { path: RelPath::new(path).unwrap(), size, hashes }
    }

    #[test]
    fn files_are_in_path_order_and_found_by_path() {
        let manifest = Manifest::new(version(), vec![file("b", 1), file("a/c", 2)]).unwrap();
        assert_eq!(manifest.files()[0].path.as_str(), "a/c");
        assert_eq!(manifest.total_size(), 3);
        assert_eq!(manifest.file(&RelPath::new("b").unwrap()).unwrap().size, 1);
        assert!(manifest.file(&RelPath::new("c").unwrap()).is_none());
    }

    #[test]
    fn conflicting_paths_are_refused() {
        for paths in [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]] {
            let files = paths.iter().map(|p| file(p, 1)).collect();
            assert!(matches!(Manifest::new(version(), files), Err(ManifestError::Conflict(_))));
        }
        let files = vec![file("a", 1), file("a.b", 1), file("a-/b", 1)];
        assert!(Manifest::new(version(), files).is_ok());
    }

    #[test]
    fn hashes_lie_in_one_piece_whatever_they_come_from() {
        let manifest = example();
        let hashes = manifest.hashes().unwrap().clone();
        assert_eq!((hashes.len(), manifest.chunk_count()), (4 * HASH_BYTES, 4));
        let files = manifest.files().iter().map(|it| ManifestFile { hashes: None, ..it.clone() });
        let plain = Manifest::new(version(), files.collect()).unwrap();
        assert_eq!((plain.path_bytes(), plain.layout_pages()), (31, 1));
        assert_eq!(plain.with_hashes(hashes.clone()).unwrap(), manifest);
        assert!(plain.with_hashes(hashes.slice(32..)).is_err());
        assert_eq!(manifest.hash_page(0), Some(hashes));
        assert_eq!((manifest.hash_page(1), plain.hash_page(0)), (None, None));
        assert_eq!(FileHashes::from_bytes(Bytes::from_static(b"short")), None);
    }

    #[test]
    fn hashes_tell_content_from_layout() {
        let one = Manifest::new(version(), vec![hashed("a", b"1")]).unwrap();
        let two = Manifest::new(version(), vec![hashed("a", b"2")]).unwrap();
        assert_eq!(one.manifest_hash(), two.manifest_hash());
        assert_ne!(one.content_root(), two.content_root());
        let unhashed = Manifest::new(version(), vec![file("a", 1)]).unwrap();
        assert_eq!(unhashed.content_root(), None);
    }

    /// The game of docs/design/formats.md.
    fn example() -> Manifest {
        let zeros = vec![0; 3_000_000];
        let chunk = usize::try_from(CHUNK_SIZE_BYTES).unwrap();
        let size = zeros.len() as u64;
        let chunks = (0..).zip(zeros.chunks(chunk));
        let chunks = chunks.map(|(n, bytes)| crate::hash::chunk_hash(size, n, bytes));
        let hashes = Some(FileHashes::from_chunks(chunks));
        let path = RelPath::new("bin/tools.dat").unwrap();
        let files = vec![
            hashed("bin/tool", b"#!/bin/sh\necho tool ran\n"),
            ManifestFile { path, size, hashes },
            hashed("readme.txt", b"hello"),
        ];
        Manifest::new(version(), files).unwrap()
    }

    #[test]
    fn golden_hashes_of_both_forms() {
        let manifest = example();
        assert_eq!(
            manifest.manifest_hash().to_string(),
            "06dec78ca319e437a2e22465c0b57cea2b8f8cf3fd79dee7aad6e86cdeb828a0"
        );
        let root = manifest.content_root().unwrap().to_string();
        assert!(root.starts_with("d0f56803"), "{root}");
        let old = manifest.old_content_roots(None);
        assert_eq!(old.len(), 3);
        assert!(old[0].to_string().starts_with("fe3ac8f2"), "{}", old[0]);
    }

    #[test]
    fn an_old_root_counts_the_bytes_of_the_sentinel_in_their_place() {
        let manifest = example();
        let spellings: [&[u8]; 3] = [b"20240131\n", b"20240131\r\n", b"20240131"];
        for own in spellings {
            assert_eq!(manifest.old_content_roots(Some(own)).len(), 3);
        }
        let own = manifest.old_content_roots(Some(b"20240131 final\n"));
        assert_eq!(own.len(), 4);
        assert_eq!(own[1..], manifest.old_content_roots(None));
        // Too long to travel, and so in no form.
        assert_eq!(manifest.old_content_roots(Some(&[b'1'; 4097])).len(), 3);
        let unhashed = Manifest::new(version(), vec![file("a", 1)]).unwrap();
        assert_eq!(unhashed.old_content_roots(None), []);
    }

    #[test]
    fn neither_the_sentinel_nor_what_systems_leave_is_content() {
        let of = |path: &str| is_content(&RelPath::new(path).unwrap());
        assert!(of("a.eti") && of("nested/version.ini") && of("VERSION.INI"));
        assert!(!of("version.ini") && !of("nested/Thumbs.db"));
    }

    #[test]
    fn chunk_arithmetic_at_the_borders() {
        assert_eq!(chunk_count(0), 0);
        assert_eq!(chunk_count(CHUNK_SIZE_BYTES), 1);
        assert_eq!(chunk_count(CHUNK_SIZE_BYTES + 1), 2);
        assert_eq!(chunk_len(CHUNK_SIZE_BYTES + 1, 0), CHUNK_SIZE_BYTES);
        assert_eq!(chunk_len(CHUNK_SIZE_BYTES + 1, 1), 1);
        assert_eq!(chunk_len(CHUNK_SIZE_BYTES + 1, 2), 0);
    }
}
