//! How many bytes a download is still going to take on the disk.
//!
//! Each file of the manifest takes its size, in whole blocks, without what is allocated for it already:
//! a resumed download and an update need room for the rest alone. Chunks of zeros take nothing where
//! the file system has holes, because they are not written there; which chunks those are follows from
//! their hashes, so it is known only of content that its source has hashed. Not counted: directories,
//! and whatever else the file system keeps about files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_disk::free_space::{BytesLeft, FreeSpace, NotEnoughSpace, Reservation};
use lanspread_disk::platform;
use lanspread_proto::hash::ChunkHasher;
use lanspread_proto::manifest::VERSION_FILE_MAX_BYTES;
use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash, Manifest};
use lanspread_transfer::layout::{ChunkIndex, ChunkLocation, Layout};
use lanspread_transfer::ledger::ChunkHashes;

/// What a file takes at least a multiple of. Many file systems have larger blocks, and some tell of far
/// larger ones than they have, so that more would refuse what fits.
const BLOCK_BYTES: u64 = 4096;
/// Most chunks of which the hash is compared with that of zeros: 16 GiB, some seconds. Those beyond
/// count as if they were written.
const ZERO_CHUNKS_MAX: usize = 8192;

/// Holds room for what is missing in `root` of `manifest`, of which `hashes` are the chunks where they
/// are known. Blocks.
///
/// # Errors
/// [`NotEnoughSpace`]; then nothing is held.
pub(super) fn reserve(
    free_space: &FreeSpace,
    root: &Path,
    manifest: &Arc<Manifest>,
    hashes: Option<&ChunkHashes>,
) -> Result<Reservation, NotEnoughSpace> {
    let mut demand = Demand::new(root, manifest);
    let refused = match free_space.reserve(root, demand.clone().into_bytes_left()) {
        Ok(reservation) => return Ok(reservation),
        Err(refused) => refused,
    };
    // Only now, because to know what is zeros takes a while.
    let Some(hashes) = hashes else { return Err(refused) };
    let layout = Layout::new(Arc::clone(manifest));
    if !has_holes(&refused.path) || !demand.leave_out_zeros(&layout, hashes) {
        return Err(refused);
    }
    free_space.reserve(root, demand.into_bytes_left())
}

/// What the files of a download take when they are whole.
#[derive(Debug, Clone)]
struct Demand {
    root: PathBuf,
    files: Vec<FileDemand>,
}

#[derive(Debug, Clone)]
struct FileDemand {
    path: PathBuf,
    bytes: u64,
    /// Bytes of it that are zeros and not written.
    zeros: u64,
}

impl Demand {
    fn new(root: &Path, manifest: &Manifest) -> Self {
        let files = manifest.files().iter().map(|file| FileDemand {
            path: file.path.under(root),
            bytes: file.size,
            zeros: 0,
        });
        Self { root: root.to_path_buf(), files: files.collect() }
    }

    /// Returns whether there are any.
    fn leave_out_zeros(&mut self, layout: &Layout, hashes: &ChunkHashes) -> bool {
        let mut has_any = false;
        let chunks = (0..layout.chunk_count()).map(ChunkIndex).take(ZERO_CHUNKS_MAX);
        for chunk in chunks {
            let Some((place, file)) = layout.location(chunk) else { continue };
            if hashes.get(chunk) == Some(hash_of_zeros(file.size, place)) {
                if let Some(file) = self.files.get_mut(place.file) {
                    file.zeros += u64::from(place.len);
                }
                has_any = true;
            }
        }
        has_any
    }

    /// What is still to be written. A file that is to become shorter gives room back.
    fn bytes_left(&self) -> u64 {
        // The sentinel is written anew, beside the one that is there.
        let (mut needed, mut freed) = (in_blocks(VERSION_FILE_MAX_BYTES), 0_u64);
        // Saves a look at each file.
        let is_root_missing = !self.root.is_dir();
        for file in &self.files {
            let allocated = if is_root_missing { 0 } else { allocated_bytes(&file.path) };
            let whole = in_blocks(file.bytes);
            let written = in_blocks(file.bytes.saturating_sub(file.zeros));
            needed = needed.saturating_add(written.saturating_sub(allocated));
            freed = freed.saturating_add(allocated.saturating_sub(whole));
        }
        needed.saturating_sub(freed)
    }

    fn into_bytes_left(self) -> Arc<BytesLeft> {
        Arc::new(move || self.bytes_left())
    }
}

fn in_blocks(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX)
}

/// What a file that stays in its place has on the disk. One with other names gives way, and a copy of
/// it takes its place.
fn allocated_bytes(path: &Path) -> u64 {
    let found = fs::symlink_metadata(path).ok();
    let found = found.filter(|found| found.is_file() && !platform::has_other_names(found));
    found.map_or(0, |found| platform::allocated_bytes(&found))
}

fn hash_of_zeros(file_size: u64, place: ChunkLocation) -> ContentHash {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut hasher = ChunkHasher::new(file_size, place.index);
    let mut left = usize::try_from(place.len).unwrap_or(usize::MAX);
    while left > 0 {
        let (block, _) = ZEROS.split_at(left.min(ZEROS.len()));
        hasher.update(block);
        left -= block.len();
    }
    hasher.finish()
}

/// Whether what is never written of a file takes no room in `directory`. Asked with a file without a
/// name, which leaves nothing behind; file systems that cannot make one mostly have no holes either.
fn has_holes(directory: &Path) -> bool {
    let Ok(file) = platform::unnamed_file(directory) else { return false };
    let is_hole = || {
        file.set_len(CHUNK_SIZE_BYTES)?;
        Ok::<_, std::io::Error>(platform::allocated_bytes(&file.metadata()?) < CHUNK_SIZE_BYTES)
    };
    is_hole().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use lanspread_proto::hash::chunk_hash;
    use lanspread_proto::{FileHashes, GameVersion, ManifestFile, RelPath};
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1024 * 1024;
    /// What the sentinel takes, however short it is.
    const SENTINEL_BYTES: u64 = BLOCK_BYTES;

    fn file(path: &str, size: u64, hashes: Option<FileHashes>) -> ManifestFile {
        ManifestFile { path: RelPath::new(path).unwrap(), size, hashes }
    }

    fn manifest(files: Vec<ManifestFile>) -> Arc<Manifest> {
        Arc::new(Manifest::new(GameVersion::new("1").unwrap(), files).unwrap())
    }

    fn left(root: &TempDir, files: &[(&str, u64)]) -> u64 {
        let files = files.iter().map(|(path, size)| file(path, *size, None)).collect();
        Demand::new(root.path(), &manifest(files)).bytes_left().saturating_sub(SENTINEL_BYTES)
    }

    #[test]
    fn what_is_allocated_already_needs_no_room() {
        let root = tempfile::tempdir().unwrap();
        let files = [("a.eti", 8 * MIB), ("small", 1)];
        let whole = 8 * MIB + BLOCK_BYTES;
        assert_eq!(left(&root, &files), whole);
        // As a download leaves it that was interrupted: of full length, and written in part.
        let begun = File::create(root.path().join("a.eti")).unwrap();
        begun.set_len(8 * MIB).unwrap();
        assert_eq!(left(&root, &files), whole);
        begun.write_all_at(&vec![1; 3 * MIB as usize], 0).unwrap();
        assert_eq!(left(&root, &files), whole - 3 * MIB);
        fs::write(root.path().join("small"), "2").unwrap();
        assert_eq!(left(&root, &files), whole - 3 * MIB - BLOCK_BYTES);
    }

    #[test]
    fn a_file_that_becomes_shorter_gives_room_to_another() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.eti"), vec![1; 8 * MIB as usize]).unwrap();
        assert_eq!(left(&root, &[("a.eti", 8 * MIB)]), 0);
        assert_eq!(left(&root, &[("a.eti", 5 * MIB), ("b.eti", 4 * MIB)]), MIB);
        assert_eq!(left(&root, &[("a.eti", MIB)]), 0);
    }

    #[test]
    fn a_file_with_other_names_is_copied_and_a_link_gives_way() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("other");
        fs::write(&other, vec![1; MIB as usize]).unwrap();
        fs::hard_link(&other, root.path().join("a.eti")).unwrap();
        std::os::unix::fs::symlink(&other, root.path().join("b.eti")).unwrap();
        assert_eq!(left(&root, &[("a.eti", MIB), ("b.eti", MIB)]), 2 * MIB);
    }

    #[test]
    fn chunks_of_zeros_are_known_by_their_hashes_at_any_place() {
        let root = tempfile::tempdir().unwrap();
        let chunk = |bytes: &[u8], index: u32, size: u64| chunk_hash(size, index, bytes);
        let zeros = vec![0; CHUNK_SIZE_BYTES as usize];
        let mut noise = zeros.clone();
        noise[7] = 1;
        let large = 3 * CHUNK_SIZE_BYTES + 5;
        let hashes = FileHashes::from_chunks(vec![
            chunk(&zeros, 0, large),
            chunk(&noise, 1, large),
            chunk(&zeros, 2, large),
            chunk(&[0; 5], 3, large),
        ]);
        let small = FileHashes::from_chunks(vec![chunk(&[0; 9000], 0, 9000)]);
        let manifest = manifest(vec![
            file("large.eti", large, Some(hashes)),
            file("small.bin", 9000, Some(small)),
        ]);
        let mut demand = Demand::new(root.path(), &manifest);
        let all = 3 * CHUNK_SIZE_BYTES + BLOCK_BYTES + 3 * BLOCK_BYTES + SENTINEL_BYTES;
        assert_eq!(demand.bytes_left(), all);
        let layout = Layout::new(Arc::clone(&manifest));
        let hashes = ChunkHashes::of(&manifest).unwrap();
        assert!(demand.leave_out_zeros(&layout, &hashes));
        assert_eq!(demand.bytes_left(), CHUNK_SIZE_BYTES + SENTINEL_BYTES);
    }

    #[test]
    fn a_sparse_game_that_is_larger_than_what_is_free_fits_where_there_are_holes() {
        let root = tempfile::tempdir().unwrap();
        assert!(has_holes(root.path()), "the disk of the tests has no holes");
        assert!(!has_holes(&root.path().join("missing")));
        let zeros = vec![0; CHUNK_SIZE_BYTES as usize];
        let size = 256 * CHUNK_SIZE_BYTES;
        let chunks = (0..256).map(|index| chunk_hash(size, index, &zeros));
        let hashes = FileHashes::from_chunks(chunks);
        let manifest = manifest(vec![file("sparse.eti", size, Some(hashes))]);
        let hashes = ChunkHashes::of(&manifest).unwrap();
        let free_space = FreeSpace::of(move |_| Some(size / 4));
        reserve(&free_space, root.path(), &manifest, None).unwrap_err();
        let noise = FileHashes::from_chunks(vec![[7; 32].into(); 256]);
        let full = self::manifest(vec![file("full.eti", size, Some(noise))]);
        reserve(&free_space, root.path(), &full, ChunkHashes::of(&full).as_ref()).unwrap_err();
        reserve(&free_space, root.path(), &manifest, Some(&hashes)).unwrap();
    }
}
