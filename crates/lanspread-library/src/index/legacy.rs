//! Reads the index of formats 1 and 2: a snapshot and a log in JSON, read once and written no more.
//!
//! Files that are content keep their hashes and times. What was a file of a game then and is none now,
//! `version.ini` and what systems leave behind, is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use lanspread_proto::manifest::{ManifestError, is_content};
use lanspread_proto::{
    ContentHash, FileHashes, GameId, GameVersion, Manifest, ManifestFile, RelPath,
};
use serde::Deserialize;

use super::content::{Content, LibraryChange};
use crate::stamp::{KnownContent, Mtime};

pub(super) const SNAPSHOT_FILE: &str = "library_index.json";
pub(super) const LOG_FILE: &str = "library_index.log";
/// The newest of these formats; the one before knew the times of archives and of the sentinel alone.
const FORMAT: u32 = 2;
/// Hexadecimal digits of the check of a line of the log.
const CHECK_DIGITS: usize = 16;

/// What the old files say.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) content: Content,
    pub(super) library_rev: u64,
    /// Why a part of it could not be read.
    pub(super) broken: Option<Broken>,
}

/// A file that is broken.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) file: &'static str,
    pub(super) reason: String,
}

/// Reads the old snapshot, and the log that goes on from it.
pub(super) fn read(snapshot: &[u8], log: &[u8]) -> Legacy {
    let parsed = serde_json::from_slice::<Snapshot>(snapshot).map_err(|error| error.to_string());
    let parsed = parsed.and_then(|snapshot| match snapshot.format {
        1..=FORMAT => Ok(snapshot),
        format => Err(format!("it has format {format}, not {FORMAT}")),
    });
    let snapshot = match parsed {
        Ok(snapshot) => snapshot,
        Err(reason) => {
            let broken = Some(Broken { file: SNAPSHOT_FILE, reason });
            let library_rev = salvage_rev(snapshot);
            return Legacy { content: Content::default(), library_rev, broken };
        }
    };
    let mut content = Content::default();
    // The most recently used one comes first in the file, and last in what is applied.
    let libraries = snapshot.libraries.into_iter().rev();
    content.apply(libraries.map(|library| library.change(true)).collect());
    let mut valid_bytes = 0;
    let mut broken = None;
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let Some(save) = parse_line(line) else {
            if valid_bytes + line.len() < log.len() {
                let reason = format!("byte {valid_bytes} begins a line that is damaged");
                broken = Some(Broken { file: LOG_FILE, reason });
            }
            break;
        };
        if save.generation != snapshot.generation {
            break;
        }
        let changes = save.libraries.into_iter();
        content.apply(changes.map(|library| library.change(false)).collect());
        valid_bytes += line.len();
    }
    Legacy { content, library_rev: snapshot.library_rev, broken }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    format: u32,
    library_rev: u64,
    #[serde(default)]
    generation: u64,
    /// The most recently used first.
    libraries: Vec<Library>,
}

/// One save of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Save {
    generation: u64,
    libraries: Vec<Library>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Library {
    games_dir: String,
    #[serde(default)]
    anew: bool,
    /// `None` for games that are forgotten.
    games: BTreeMap<GameId, Option<Entry>>,
}

impl Library {
    fn change(self, is_anew: bool) -> LibraryChange {
        let mut change = LibraryChange::new(self.games_dir, self.anew || is_anew);
        let games = self.games.into_iter();
        change.games = games.map(|(id, entry)| (id, entry.map(|Entry(known)| known))).collect();
        change
    }
}

/// What is known of one game.
#[derive(Deserialize)]
#[serde(try_from = "RawEntry")]
struct Entry(KnownContent);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    /// The time of each file of the manifest, in its order; none where it has to be read again.
    times: Option<Vec<Option<Mtime>>>,
    /// In place of `times`, what format 1 knew.
    fingerprint: Option<Fingerprint>,
    manifest: RawManifest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    version: GameVersion,
    files: Vec<RawFile>,
}

/// `chunks` is one string, 64 hexadecimal digits a chunk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: RelPath,
    size: u64,
    hash: Option<ContentHash>,
    chunks: Option<String>,
}

/// What a root looked like: the archives directly in it, and its sentinel, which is read in any case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fingerprint {
    archives: Vec<Archive>,
    #[serde(rename = "sentinel")]
    _sentinel: Option<Stamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    name: String,
    stamp: Stamp,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("an entry has {times} times for {files} files")]
    Times { times: usize, files: usize },
    #[error("an entry has neither times nor a fingerprint")]
    Neither,
    #[error("{0} has a file hash without chunk hashes, or hashes that are none")]
    Hashes(RelPath),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl TryFrom<RawEntry> for Entry {
    type Error = EntryError;

    fn try_from(raw: RawEntry) -> Result<Self, EntryError> {
        let RawManifest { version, mut files } = raw.manifest;
        let times = match (raw.times, raw.fingerprint) {
            (Some(times), _) if times.len() == files.len() => times,
            (Some(times), _) => {
                return Err(EntryError::Times { times: times.len(), files: files.len() });
            }
            (None, Some(old)) => old.times(&files),
            (None, None) => return Err(EntryError::Neither),
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut kept = (Vec::new(), Vec::new());
        for (file, time) in files.into_iter().zip(times) {
            if is_content(&file.path) {
                kept.0.push(file.parse()?);
                kept.1.push(time);
            }
        }
        let manifest = Arc::new(Manifest::new(version, kept.0)?);
        Ok(Self(KnownContent { manifest, times: kept.1.into(), remembered: None }))
    }
}

impl RawFile {
    fn parse(self) -> Result<ManifestFile, EntryError> {
        let Self { path, size, hash, chunks } = self;
        let hashes = match (hash, chunks) {
            (None, None) => None,
            (Some(file), Some(chunks)) => {
                let bytes = hex::decode(chunks).ok();
                let hashes = bytes.and_then(|bytes| FileHashes::from_bytes(bytes.into()));
                let hashes = hashes.filter(|hashes| hashes.file() == file);
                Some(hashes.ok_or_else(|| EntryError::Hashes(path.clone()))?)
            }
            _ => return Err(EntryError::Hashes(path)),
        };
        Ok(ManifestFile { path, size, hashes })
    }
}

impl Fingerprint {
    /// The files whose time was known then keep their hashes; the others are read again, once.
    fn times(&self, files: &[RawFile]) -> Vec<Option<Mtime>> {
        let archives = self.archives.iter();
        let known: BTreeMap<&str, Stamp> =
            archives.map(|archive| (archive.name.as_str(), archive.stamp)).collect();
        let time = |path: &str, size: u64| {
            let stamp = known.get(path).filter(|stamp| stamp.size == size)?;
            Some(Mtime::new(stamp.mtime_s, u32::try_from(stamp.mtime_ns).ok()?))
        };
        files.iter().map(|file| time(file.path.as_str(), file.size)).collect()
    }
}

fn parse_line(line: &[u8]) -> Option<Save> {
    let line = line.strip_suffix(b"\n")?;
    let (found, rest) = line.split_at_checked(CHECK_DIGITS)?;
    let body = rest.strip_prefix(b" ")?;
    let mut check = blake3::hash(body).to_hex();
    check.truncate(CHECK_DIGITS);
    if found != check.as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// The revision at the beginning of a broken index, if that part is whole; else 0.
fn salvage_rev(bytes: &[u8]) -> u64 {
    const NAME: &[u8] = b"\"library_rev\":";
    let rest = bytes.windows(NAME.len()).take(100).position(|window| window == NAME);
    let rest = rest.and_then(|at| bytes.get(at + NAME.len()..)).unwrap_or_default();
    // A number that goes to the very end may have lost digits.
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    let digits = end.and_then(|end| rest.get(..end)).unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
