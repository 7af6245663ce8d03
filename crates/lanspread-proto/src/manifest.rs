//! Manifests: every transferable file of a game root, with its size and hashes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hash::{ContentHash, file_hash};
use crate::ids::GameVersion;
use crate::path::RelPath;

/// Bytes of a chunk; the last one of a file may be shorter.
///
/// A power of two, so that a chunk is a whole BLAKE3 subtree. Large enough that one request costs
/// little beside its bytes, small enough that several sources can share one archive and that a
/// manifest of 500 GiB (64 hexadecimal digits a chunk) fits its 16 MiB answer.
pub const CHUNK_SIZE_BYTES: u64 = 2 * 1024 * 1024;
/// Most files of one manifest: what fits the bounded answer with room for long paths.
pub const MANIFEST_MAX_FILES: usize = 100_000;
/// The sentinel: its presence in the root says that the game is downloaded whole.
pub const VERSION_FILE: &str = "version.ini";

/// What makes a list of files not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MANIFEST_MAX_FILES`].
    #[error("manifest lists {0} files, more than 100000")]
    TooManyFiles(usize),
    /// The same path twice, or a file used as a directory.
    #[error("manifest lists {0} twice, or both as a file and as a directory")]
    Conflict(RelPath),
    /// A file with more chunks than a chunk index can count.
    #[error("{path} has {size} bytes, more than a manifest can hold")]
    FileTooLarge {
        /// Which file.
        path: RelPath,
        /// Its size in bytes.
        size: u64,
    },
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
    /// The file hash does not follow from the chunk hashes.
    #[error("the file hash of {0} does not follow from its chunk hashes")]
    FileHash(RelPath),
    /// The sizes add up to more than 64 bits.
    #[error("the sizes in the manifest overflow")]
    TotalSize,
}

/// How many chunks a file of `size` bytes has; an empty file has none.
#[must_use]
pub const fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_SIZE_BYTES)
}

/// Length in bytes of chunk `index` of a file of `size` bytes; 0 beyond its end.
#[must_use]
pub const fn chunk_len(size: u64, index: u32) -> u64 {
    let start = index as u64 * CHUNK_SIZE_BYTES;
    let left = size.saturating_sub(start);
    if left < CHUNK_SIZE_BYTES { left } else { CHUNK_SIZE_BYTES }
}

/// The hashes of one file. The file hash is what `b3sum` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHashes {
    file: ContentHash,
    chunks: Vec<ContentHash>,
}

impl FileHashes {
    /// The hashes of a file whose chunks have `chunks`, in order.
    #[must_use]
    pub fn from_chunks(chunks: Vec<ContentHash>) -> Self {
        Self { file: file_hash(&chunks), chunks }
    }

    /// The BLAKE3 hash of the whole file.
    #[must_use]
    pub fn file(&self) -> ContentHash {
        self.file
    }

    /// The hash of each chunk, in order.
    #[must_use]
    pub fn chunks(&self) -> &[ContentHash] {
        &self.chunks
    }
}

/// One transferable file.
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

/// Every transferable file of one version of a game, in path order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawManifest", into = "RawManifest")]
pub struct Manifest {
    version: GameVersion,
    files: Vec<ManifestFile>,
    total_size: u64,
    // Asked for with every change of a library, for every game in it.
    manifest_hash: ContentHash,
    content_root: Option<ContentHash>,
}

impl Manifest {
    /// Sorts and checks `files`.
    ///
    /// # Errors
    /// [`ManifestError`] names the file that breaks a rule.
    pub fn new(version: GameVersion, mut files: Vec<ManifestFile>) -> Result<Self, ManifestError> {
        if files.len() > MANIFEST_MAX_FILES {
            return Err(ManifestError::TooManyFiles(files.len()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut total_size = 0_u64;
        let mut paths: BTreeSet<&str> = BTreeSet::new();
        for file in &files {
            check_file(file)?;
            total_size = total_size.checked_add(file.size).ok_or(ManifestError::TotalSize)?;
            if !paths.insert(file.path.as_str()) {
                return Err(ManifestError::Conflict(file.path.clone()));
            }
        }
        for file in &files {
            let text = file.path.as_str();
            let mut ancestors = text.match_indices('/').filter_map(|(at, _)| text.get(..at));
            if ancestors.any(|ancestor| paths.contains(ancestor)) {
                return Err(ManifestError::Conflict(file.path.clone()));
            }
        }
        let manifest_hash = hash_layout(&version, &files);
        let content_root = hash_content(&files);
        Ok(Self { version, files, total_size, manifest_hash, content_root })
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
}

fn hash_layout(version: &GameVersion, files: &[ManifestFile]) -> ContentHash {
    let mut hasher = blake3::Hasher::new_derive_key("lanspread 2024 manifest paths and sizes");
    absorb_text(&mut hasher, version.as_str());
    for file in files {
        absorb_text(&mut hasher, file.path.as_str());
        hasher.update(&file.size.to_le_bytes());
    }
    hasher.finalize().into()
}

fn hash_content(files: &[ManifestFile]) -> Option<ContentHash> {
    let mut hasher = blake3::Hasher::new_derive_key("lanspread 2024 manifest content root");
    for file in files {
        absorb_text(&mut hasher, file.path.as_str());
        hasher.update(&file.size.to_le_bytes());
        hasher.update(file.hashes.as_ref()?.file.as_bytes());
    }
    Some(hasher.finalize().into())
}

fn absorb_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn check_file(file: &ManifestFile) -> Result<(), ManifestError> {
    let expected = chunk_count(file.size);
    if u32::try_from(expected).is_err() {
        return Err(ManifestError::FileTooLarge { path: file.path.clone(), size: file.size });
    }
    let Some(hashes) = &file.hashes else { return Ok(()) };
    if hashes.chunks.len() as u64 != expected {
        return Err(ManifestError::ChunkCount {
            path: file.path.clone(),
            size: file.size,
            chunks: hashes.chunks.len(),
        });
    }
    if file_hash(&hashes.chunks) != hashes.file {
        return Err(ManifestError::FileHash(file.path.clone()));
    }
    Ok(())
}

/// The shape on the wire and in the index. `chunks` is one string, 64 hexadecimal digits a chunk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    version: GameVersion,
    files: Vec<RawFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: RelPath,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<String>,
}

/// Why a manifest from the wire or the index was refused.
#[derive(Debug, thiserror::Error)]
enum RawManifestError {
    #[error("{0} has a file hash without chunk hashes, or the reverse")]
    HalfHashed(RelPath),
    #[error("the chunk hashes of {0} are not 64 hexadecimal digits a chunk")]
    ChunkText(RelPath),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl TryFrom<RawManifest> for Manifest {
    type Error = RawManifestError;

    fn try_from(raw: RawManifest) -> Result<Self, RawManifestError> {
        let mut files = Vec::with_capacity(raw.files.len());
        for RawFile { path, size, hash, chunks } in raw.files {
            let hashes = match (hash, chunks) {
                (None, None) => None,
                (Some(file), Some(text)) => Some(FileHashes {
                    file,
                    chunks: parse_chunks(&text)
                        .ok_or_else(|| RawManifestError::ChunkText(path.clone()))?,
                }),
                _ => return Err(RawManifestError::HalfHashed(path)),
            };
            files.push(ManifestFile { path, size, hashes });
        }
        Ok(Self::new(raw.version, files)?)
    }
}

fn parse_chunks(text: &str) -> Option<Vec<ContentHash>> {
    let bytes = hex::decode(text).ok()?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().copied().map(ContentHash::from).collect())
}

impl From<Manifest> for RawManifest {
    fn from(manifest: Manifest) -> Self {
        let files = manifest.files.into_iter().map(|file| RawFile {
            path: file.path,
            size: file.size,
            hash: file.hashes.as_ref().map(FileHashes::file),
            chunks: file.hashes.map(|h| h.chunks.iter().map(ContentHash::to_string).collect()),
        });
        Self { version: manifest.version, files: files.collect() }
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
    fn hashes_tell_content_from_layout() {
        let one = Manifest::new(version(), vec![hashed("a", b"1")]).unwrap();
        let two = Manifest::new(version(), vec![hashed("a", b"2")]).unwrap();
        assert_eq!(one.manifest_hash(), two.manifest_hash());
        assert_ne!(one.content_root(), two.content_root());
        let unhashed = Manifest::new(version(), vec![file("a", 1)]).unwrap();
        assert_eq!(unhashed.content_root(), None);
    }

    #[test]
    fn json_round_trips() {
        let manifest =
            Manifest::new(version(), vec![hashed("a", b"1"), file("b", 9), file("c", 0)]).unwrap();
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn json_with_wrong_hashes_is_refused() {
        let good = serde_json::to_value(Manifest::new(version(), vec![hashed("a", b"1")]).unwrap())
            .unwrap();
        let mut wrong_file_hash = good.clone();
        wrong_file_hash["files"][0]["hash"] = "0".repeat(64).into();
        let mut too_few_chunks = good.clone();
        too_few_chunks["files"][0]["size"] = (CHUNK_SIZE_BYTES + 1).into();
        let mut half = good.clone();
        half["files"][0].as_object_mut().unwrap().remove("chunks");
        let mut huge = good.clone();
        huge["files"][0]["size"] = u64::MAX.into();
        let mut unknown = good;
        unknown["extra"] = 1.into();
        for bad in [wrong_file_hash, too_few_chunks, half, huge, unknown] {
            assert!(serde_json::from_value::<Manifest>(bad.clone()).is_err(), "{bad}");
        }
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
