//! Reads chunks from the disk, and makes sure that they are what they should be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lanspread_disk::chunk_buffer::ChunkBuffer;
use lanspread_disk::game_file::open_game_file;
use lanspread_disk::platform::read_exact_at;
use lanspread_library::{Fingerprint, Stamp};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::limits::GET_CHUNKS_MAX;
use lanspread_proto::manifest::chunk_len;
use lanspread_proto::message::{ChunkHeader, ChunkName, GetChunks, Refusal, RefusalCode};
use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash, Manifest, ManifestFile};

use tokio::sync::Semaphore;

use crate::reply::refused;
use crate::swarm::SharedChunks;

/// Reads chunks of a game that is being fetched, and makes sure that they are still what they were
/// when they were verified.
pub(super) async fn read_shared(
    chunks: SharedChunks,
    wanted: &GetChunks,
    reads: &Arc<Semaphore>,
) -> Result<(Vec<ChunkHeader>, Bytes), Refusal> {
    let SharedChunks { root, layout, hashes } = chunks;
    let manifest = Arc::clone(layout.manifest());
    let read = read_chunks(root, manifest, wanted, Check::Hashes(hashes), reads).await;
    read.map_err(|failure| failure.refusal)
}

/// How it is told that what is read is what it should be.
pub(super) enum Check {
    /// The files look as they did when they were hashed, or are hashed as they are read.
    Looks(Fingerprint),
    /// The chunks have these hashes.
    Hashes(Vec<ContentHash>),
}

/// Why chunks are not given.
pub(super) struct ReadFailure {
    pub(super) refusal: Refusal,
    /// Whether the files are not what they were.
    pub(super) is_contradiction: bool,
}

impl From<Refusal> for ReadFailure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, is_contradiction: false }
    }
}

/// Reads chunks once there is a turn of `reads`.
pub(super) async fn read_chunks(
    root: PathBuf,
    manifest: Arc<Manifest>,
    wanted: &GetChunks,
    check: Check,
    reads: &Arc<Semaphore>,
) -> Result<(Vec<ChunkHeader>, Bytes), ReadFailure> {
    let names = wanted.chunks.clone();
    // It is never closed.
    let turn = Arc::clone(reads).acquire_owned().await;
    // The turn ends with the read, also where the asker does not wait for that.
    let read = move || {
        let _turn = turn;
        read_all_blocking(&root, &manifest, &names, &check)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(chunks) => chunks,
        Err(_) => Err(refused(RefusalCode::ReadFailed, "the read was abandoned").into()),
    }
}

fn read_all_blocking(
    root: &Path,
    manifest: &Manifest,
    names: &[ChunkName],
    check: &Check,
) -> Result<(Vec<ChunkHeader>, Bytes), ReadFailure> {
    if names.is_empty() || names.len() > GET_CHUNKS_MAX {
        return Err(no_such_chunk("that is no number of chunks to ask for").into());
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err(no_such_chunk("a chunk can be asked for once only").into());
    }
    let chunks = names.iter().map(|name| RequestedChunk::find(manifest, name));
    let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    // At most `GET_CHUNKS_MAX` chunks.
    let len = chunks.iter().map(|chunk| chunk.len).sum();
    let too_much = || no_such_chunk("that is too much to ask for at once");
    let mut all = ChunkBuffer::of_len(len).ok_or_else(too_much)?;
    let (mut headers, mut rest) = (Vec::with_capacity(chunks.len()), &mut *all);
    for (at, chunk) in chunks.iter().enumerate() {
        let (bytes, behind) = rest.split_at_mut(chunk.len);
        headers.push(match check {
            Check::Looks(fingerprint) => chunk.read(root, bytes, fingerprint)?,
            Check::Hashes(hashes) => chunk.read_verified(root, bytes, hashes.get(at))?,
        });
        rest = behind;
    }
    Ok((headers, all.freeze()))
}

pub(super) fn no_such_chunk(message: &str) -> Refusal {
    refused(RefusalCode::NoSuchChunk, message)
}

/// Where a chunk is that was asked for.
struct RequestedChunk<'a> {
    file: &'a ManifestFile,
    index: u32,
    len: usize,
}

impl<'a> RequestedChunk<'a> {
    fn find(manifest: &'a Manifest, name: &ChunkName) -> Result<Self, Refusal> {
        let ChunkName { path, index } = name;
        let absent = || no_such_chunk(&format!("{path} has no chunk {index} in the manifest"));
        let file = manifest.file(path).ok_or_else(absent)?;
        let len = usize::try_from(chunk_len(file.size, *index)).unwrap_or(0);
        if len == 0 {
            return Err(absent());
        }
        Ok(Self { file, index: *index, len })
    }

    /// Reads the chunk into `bytes`, which has its length, of a file that has to look as it did when it
    /// was listed. It is hashed where the manifest does not know its hash yet.
    fn read(
        &self,
        root: &Path,
        bytes: &mut [u8],
        fingerprint: &Fingerprint,
    ) -> Result<ChunkHeader, ReadFailure> {
        let stamp = self.read_bytes(root, bytes).map_err(|refusal| ReadFailure {
            refusal,
            // It may be gone, or shorter, or only not readable at the moment: a look tells.
            is_contradiction: true,
        })?;
        if fingerprint.stamp(&self.file.path) != Some(stamp) {
            let message = format!("{} has changed and is looked at anew", self.file.path);
            let refusal = refused(RefusalCode::NotServed, &message);
            return Err(ReadFailure { refusal, is_contradiction: true });
        }
        let known = known_hash(self.file, self.index);
        Ok(self.header(known.unwrap_or_else(|| self.hash(bytes))))
    }

    /// Reads the chunk into `bytes`, which has its length. It has to have the hash.
    fn read_verified(
        &self,
        root: &Path,
        bytes: &mut [u8],
        verified: Option<&ContentHash>,
    ) -> Result<ChunkHeader, Refusal> {
        self.read_bytes(root, bytes)?;
        let hash = self.hash(bytes);
        if verified.is_some_and(|verified| *verified != hash) {
            let message = format!("{} is not what it was any more", self.file.path);
            return Err(refused(RefusalCode::ReadFailed, &message));
        }
        Ok(self.header(hash))
    }

    /// Returns what the file looks like, once the bytes are read.
    fn read_bytes(&self, root: &Path, bytes: &mut [u8]) -> Result<Stamp, Refusal> {
        let path = &self.file.path;
        let offset = u64::from(self.index) * CHUNK_SIZE_BYTES;
        let mut read = || {
            let handle = open_game_file(root, path)?;
            read_exact_at(&handle, bytes, offset)?;
            Ok(Stamp::of(&handle.metadata()?))
        };
        read().map_err(|e: std::io::Error| {
            refused(RefusalCode::ReadFailed, &format!("cannot read {path}: {e}"))
        })
    }

    fn hash(&self, bytes: &[u8]) -> ContentHash {
        chunk_hash(self.file.size, self.index, bytes)
    }

    fn header(&self, hash: ContentHash) -> ChunkHeader {
        ChunkHeader { len: u32::try_from(self.len).unwrap_or(u32::MAX), hash }
    }
}

pub(super) fn known_hash(file: &ManifestFile, index: u32) -> Option<ContentHash> {
    file.hashes.as_ref()?.chunk(index)
}
