//! The record of what an unfinished download has on disk, so that the next one fetches the rest.
//!
//! A journal is one file in the state directory, begun before the game root is touched and removed
//! once the game is committed or discarded. It names the game root, the version and the manifest;
//! then follow records that are only ever appended. Each has its own check, and whatever follows
//! the first one that does not hold (a torn tail) is as if never written.
//!
//! A chunk is entered after its bytes are durable. That is for thrift, not for safety: a claim only
//! says where to look, and counts once the bytes that are there now have its hash.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lanspread_disk::durable;
use lanspread_disk::state_file::{self, game_state_dir};
use lanspread_proto::limits::MANIFEST_MAX_CHUNKS;
use lanspread_proto::{ContentHash, GameId, GameVersion, Manifest};
use lanspread_transfer::layout::ChunkIndex;
use lanspread_transfer::record::Record;
use serde::{Deserialize, Serialize};

use crate::points;

const JOURNAL_FILE: &str = "download.journal";
/// Longest header: a version and two hashes are a tenth of it.
const HEADER_MAX_BYTES: usize = 4096;
/// Bytes of the length before the header.
const LENGTH_BYTES: usize = 4;
/// Bytes of the hash after the header.
const HASH_BYTES: usize = 32;
/// Bytes of what a record says: its kind, a chunk, a hash.
const BODY_BYTES: usize = 1 + 4 + HASH_BYTES;
/// Bytes of a record's check, which has to tell torn from whole and not friend from foe.
const CHECK_BYTES: usize = 4;
const RECORD_BYTES: usize = BODY_BYTES + CHECK_BYTES;
/// Most records: every chunk twice, which leaves room for what had to be fetched again. A download
/// that needs more goes on without its journal.
const RECORDS_MAX: usize = 2 * MANIFEST_MAX_CHUNKS as usize;

/// Which download a journal is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    version: GameVersion,
    manifest_hash: ContentHash,
    /// The hash of the path of the game root, which need not be text.
    root: ContentHash,
}

impl Header {
    /// For a download of `manifest` into `root`.
    pub(crate) fn new(root: &Path, manifest: &Manifest) -> Self {
        Self {
            version: manifest.version().clone(),
            manifest_hash: manifest.manifest_hash(),
            root: hash_of_path(root),
        }
    }

    /// Whether it is about a download into `root`.
    pub(crate) fn is_about(&self, root: &Path) -> bool {
        self.root == hash_of_path(root)
    }
}

/// What a journal says in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub header: Header,
    /// The hash of each chunk that is on disk.
    pub claims: BTreeMap<ChunkIndex, ContentHash>,
    /// Whether nothing else on disk is of use.
    pub is_surveyed: bool,
    /// Whether the download was cancelled.
    pub is_discarding: bool,
}

/// A journal that can be written to.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// The open file and the number of records in it; `None` once it cannot be written any more.
    file: Mutex<Option<(File, usize)>>,
}

/// Where the journal of a game is kept.
pub fn journal_path(state_dir: &Path, game_id: &GameId) -> PathBuf {
    game_state_dir(state_dir, game_id).join(JOURNAL_FILE)
}

/// Reads a journal; `None` when there is none, or none of which the header holds.
pub(crate) fn read(path: &Path) -> io::Result<Option<Contents>> {
    match File::open(path) {
        Ok(file) => Ok(parse(&read_bounded(&file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads which download a journal is about; `None` as for [`read`].
pub(crate) fn read_header(path: &Path) -> io::Result<Option<Header>> {
    const BOUND: usize = LENGTH_BYTES + HEADER_MAX_BYTES + HASH_BYTES;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BOUND as u64).read_to_end(&mut bytes)?;
    Ok(split(&bytes).map(|(header, _)| header))
}

/// Notes that the download is cancelled, durably. That there is no journal, or none of which the
/// header holds, is fine.
pub(crate) fn mark_discarding(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(whole) = whole_bytes(&read_bounded(&file)?) else { return Ok(()) };
    durable::reach(points::DISCARD_MARK, path)?;
    // An append that failed may have left half a record, which would hide what comes after it.
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    file.write_all(&encode(Record::Discarding))?;
    durable::sync_data(points::DISCARD_MARK_SYNC, path, &file)
}

/// Writes, durably, that what is in `root` is being removed: a journal that claims nothing. Whatever an
/// error or a crash leaves is then known to be ours.
pub fn note_removal(path: &Path, root: &Path, version: GameVersion) -> io::Result<()> {
    let header =
        Header { version, manifest_hash: ContentHash::of_empty(), root: hash_of_path(root) };
    let contents =
        Contents { header, claims: BTreeMap::new(), is_surveyed: false, is_discarding: true };
    let (mut bytes, _) = contents.encode()?;
    bytes.extend(encode(Record::Discarding));
    path.parent().map_or(Ok(()), state_file::ensure_dir)?;
    state_file::write_atomic(path, &bytes)
}

impl Journal {
    /// Goes on with the journal at `path` if it is about the same download, or begins a new one.
    /// Returns what it says; on return it is durable and holds just that.
    pub(crate) fn begin(path: &Path, header: Header) -> io::Result<(Self, Contents)> {
        let known = read(path)?.filter(|known| known.header == header && !known.is_discarding);
        let contents = known.unwrap_or_else(|| Contents {
            header,
            claims: BTreeMap::new(),
            is_surveyed: false,
            is_discarding: false,
        });
        // Written anew each time: a torn tail would hide what is appended after it.
        let (bytes, records) = contents.encode()?;
        path.parent().map_or(Ok(()), state_file::ensure_dir)?;
        state_file::write_atomic(path, &bytes)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let file = Mutex::new(Some((file, records)));
        Ok((Self { path: path.to_path_buf(), file }, contents))
    }

    /// Appends `records`, durably.
    ///
    /// # Errors
    /// After the first error nothing more is written: what follows a torn record would be lost.
    pub(crate) fn append(&self, records: &[Record]) -> io::Result<()> {
        let mut place = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((mut file, count)) = place.take() else { return Ok(()) };
        let count = count + records.len();
        if count > RECORDS_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many records"));
        }
        let bytes: Vec<u8> = records.iter().flat_map(|record| encode(*record)).collect();
        durable::reach(points::JOURNAL_APPEND, &self.path)?;
        file.write_all(&bytes)?;
        durable::sync_data(points::JOURNAL_SYNC, &self.path, &file)?;
        *place = Some((file, count));
        Ok(())
    }

    /// Removes it, durably.
    pub(crate) fn remove(&self) -> io::Result<()> {
        state_file::remove_file(&self.path)
    }
}

impl Contents {
    fn encode(&self) -> io::Result<(Vec<u8>, usize)> {
        let header = serde_json::to_vec(&self.header)?;
        let length = u32::try_from(header.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(ContentHash::of(&header).as_bytes());
        let written = self.claims.iter().map(|(chunk, hash)| Record::Written(*chunk, *hash));
        let records: Vec<_> = written.chain(self.is_surveyed.then_some(Record::Surveyed)).collect();
        bytes.extend(records.iter().flat_map(|record| encode(*record)));
        Ok((bytes, records.len()))
    }
}

/// What is in a journal, up to the longest that there can be.
fn read_bounded(file: &File) -> io::Result<Vec<u8>> {
    const BOUND: usize = LENGTH_BYTES + HEADER_MAX_BYTES + HASH_BYTES + RECORDS_MAX * RECORD_BYTES;
    let mut bytes = Vec::new();
    file.take(BOUND as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<Contents> {
    let (header, records) = split(bytes)?;
    let mut contents =
        Contents { header, claims: BTreeMap::new(), is_surveyed: false, is_discarding: false };
    for record in whole_records(records) {
        match record {
            Record::Written(chunk, hash) => drop(contents.claims.insert(chunk, hash)),
            Record::Struck(chunk) => drop(contents.claims.remove(&chunk)),
            Record::Surveyed => contents.is_surveyed = true,
            Record::Discarding => contents.is_discarding = true,
        }
    }
    Some(contents)
}

/// How many bytes there are up to the end of the last record that counts.
fn whole_bytes(bytes: &[u8]) -> Option<u64> {
    let (_, records) = split(bytes)?;
    let before = bytes.len() - records.len();
    Some((before + whole_records(records).count() * RECORD_BYTES) as u64)
}

/// The header, and the bytes after it.
fn split(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > HEADER_MAX_BYTES {
        return None;
    }
    let (header, rest) = rest.split_at_checked(length)?;
    let (hash, rest) = rest.split_first_chunk::<HASH_BYTES>()?;
    if ContentHash::of(header).as_bytes() != hash {
        return None;
    }
    Some((serde_json::from_slice(header).ok()?, rest))
}

/// The records before the first one that does not hold.
fn whole_records(bytes: &[u8]) -> impl Iterator<Item = Record> + '_ {
    bytes.chunks_exact(RECORD_BYTES).map_while(decode)
}

fn encode(record: Record) -> [u8; RECORD_BYTES] {
    const NO_HASH: [u8; HASH_BYTES] = [0; HASH_BYTES];
    let (kind, chunk, hash) = match record {
        Record::Written(chunk, hash) => (1, chunk.0, *hash.as_bytes()),
        Record::Struck(chunk) => (2, chunk.0, NO_HASH),
        Record::Surveyed => (3, 0, NO_HASH),
        Record::Discarding => (4, 0, NO_HASH),
    };
    let mut bytes = [0; RECORD_BYTES];
    let body = [kind].into_iter().chain(chunk.to_le_bytes()).chain(hash);
    bytes.iter_mut().zip(body).for_each(|(place, byte)| *place = byte);
    let (body, check) = bytes.split_at_mut(BODY_BYTES);
    check.iter_mut().zip(check_of(body)).for_each(|(place, byte)| *place = byte);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (body, check) = bytes.split_at_checked(BODY_BYTES)?;
    if check != check_of(body) {
        return None;
    }
    let (kind, rest) = body.split_first()?;
    let (chunk, hash) = rest.split_first_chunk::<4>()?;
    let chunk = ChunkIndex(u32::from_le_bytes(*chunk));
    match kind {
        1 => Some(Record::Written(chunk, <[u8; HASH_BYTES]>::try_from(hash).ok()?.into())),
        2 => Some(Record::Struck(chunk)),
        3 => Some(Record::Surveyed),
        4 => Some(Record::Discarding),
        _ => None,
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = *ContentHash::of(body).as_bytes();
    [a, b, c, d]
}

fn hash_of_path(path: &Path) -> ContentHash {
    ContentHash::of(path.as_os_str().as_encoded_bytes())
}

/// The games of which the state directory holds a journal, in id order.
pub(crate) fn journalled_games(state_dir: &Path) -> io::Result<Vec<GameId>> {
    let entries = match fs::read_dir(state_dir.join("games")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut games = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let game_id = name.to_str().and_then(|name| GameId::new(name).ok());
        games
            .extend(game_id.filter(|id| fs::symlink_metadata(journal_path(state_dir, id)).is_ok()));
    }
    games.sort();
    Ok(games)
}
