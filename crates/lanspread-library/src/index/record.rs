//! How the index is written: frames, each with its length before it and a check behind it.
//!
//! A snapshot has a frame for its head and one for each game; the log has a frame for each save, with a
//! record for each game that changed. A frame is durable before the next is appended, so that a crash can
//! only tear the last one: it is as if it were never written. One that does not hold and has others
//! behind it was damaged later. A damaged length that leads beyond the end cannot be told from a torn frame:
//! what comes behind it is lost, and read from the games once more.

use std::sync::Arc;

use bytes::Bytes;
use lanspread_proto::layout::{LayoutPage, encode_layout};
use lanspread_proto::{FileBits, FileHashes, GameId, Manifest, ManifestFile};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::{Content, FORMAT, LibraryChange};
use crate::stamp::{KnownContent, Mtime};

/// Bytes of the length before a frame.
const LENGTH_BYTES: usize = 4;
/// Bytes of the check behind it: enough to tell torn from whole; there is no foe in the state directory.
const CHECK_BYTES: usize = 8;

/// What a snapshot begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    /// No revision up to this one may be announced again.
    pub(super) library_rev: u64,
    /// Which log goes on from here: the one whose records name the same number.
    pub(super) generation: u64,
    /// How many frames follow.
    pub(super) frames: u64,
}

/// What changed of one game, or that a directory became the most recently used one.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    generation: u64,
    games_dir: &'a str,
    /// Nothing was known of the directory, so that what an older snapshot says of it is void.
    anew: bool,
    #[serde(borrow)]
    game: Option<Game<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Game<'a> {
    id: &'a str,
    /// `None` if it is forgotten.
    #[serde(borrow)]
    known: Option<Known<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Known<'a> {
    version: &'a str,
    /// Paths and sizes, in pages as they travel.
    #[serde(borrow)]
    layout: Vec<Raw<'a>>,
    /// The time of each file, in path order; none where it has to be read again.
    times: Vec<Option<Mtime>>,
    /// Which files are hashed, one bit each.
    #[serde(borrow)]
    hashed: Raw<'a>,
    /// The hashes of their chunks.
    #[serde(borrow)]
    hashes: Raw<'a>,
    /// Which files are executable, one bit each, where the file system does not keep that.
    #[serde(borrow)]
    remembered: Option<Raw<'a>>,
}

/// Bytes that are written and read as a whole.
#[derive(Clone, Copy)]
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// What a file of records says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    /// What each save wrote, in order.
    pub(super) saves: Vec<Vec<LibraryChange>>,
    /// Bytes of the saves that hold. What comes after them is to be cut off.
    pub(super) valid_bytes: usize,
    /// Whether more follows than a torn save.
    pub(super) is_broken: bool,
}

/// Returns the frame of one save.
pub(super) fn encode_save(generation: u64, changes: &[LibraryChange]) -> Vec<u8> {
    let mut records = Vec::new();
    each_record(generation, changes, |record| records = with(std::mem::take(&mut records), record));
    let mut bytes = Vec::new();
    push_frame(&mut bytes, &records);
    bytes
}

/// Returns a whole index: its head, and all that it says.
pub(super) fn encode_snapshot(library_rev: u64, generation: u64, content: &Content) -> Vec<u8> {
    let (mut frames, mut games) = (0, Vec::new());
    each_record(generation, &content.as_changes(), |record| {
        frames += 1;
        push_frame(&mut games, &with(Vec::new(), record));
    });
    let head = Head { format: FORMAT, library_rev, generation, frames };
    let mut bytes = Vec::new();
    push_frame(&mut bytes, &with(Vec::new(), &head));
    bytes.extend(games);
    bytes
}

/// Reads the head of a snapshot; `None` if it does not hold.
pub(super) fn read_head(bytes: &[u8]) -> Option<Head> {
    let Frame::Whole { body, .. } = next_frame(bytes) else { return None };
    let (head, behind) = postcard::take_from_bytes(body).ok()?;
    behind.is_empty().then_some(head)
}

/// Reads a snapshot whose head is `head`.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read_snapshot(bytes: &[u8], head: Head) -> Result<Content, String> {
    if head.format != FORMAT {
        return Err(format!("it has format {}, not {FORMAT}", head.format));
    }
    let Frame::Whole { rest, .. } = next_frame(bytes) else { return Err("it is cut".to_owned()) };
    let replay = replay(rest, head.generation);
    let is_whole = replay.valid_bytes == rest.len() && replay.saves.len() as u64 == head.frames;
    if !is_whole {
        let at = bytes.len() - rest.len() + replay.valid_bytes;
        return Err(format!("byte {at} begins a record that is damaged"));
    }
    let mut content = Content::default();
    content.apply(replay.saves.into_iter().flatten().collect());
    Ok(content)
}

/// Reads the saves that go on from the snapshot of `generation`.
///
/// Those of another generation say nothing: what was in them is in the snapshot.
pub(super) fn replay(bytes: &[u8], generation: u64) -> Replay {
    let mut replay = Replay::default();
    let mut rest = bytes;
    loop {
        let (body, behind) = match next_frame(rest) {
            Frame::Torn => return replay,
            Frame::Broken => {
                replay.is_broken = true;
                return replay;
            }
            Frame::Whole { body, rest } => (body, rest),
        };
        let Some(save) = parse_save(body) else {
            replay.is_broken = true;
            return replay;
        };
        if save.iter().any(|(found, _)| *found != generation) {
            return replay;
        }
        replay.saves.push(save.into_iter().map(|(_, change)| change).collect());
        rest = behind;
        replay.valid_bytes = bytes.len() - rest.len();
    }
}

enum Frame<'a> {
    Whole {
        body: &'a [u8],
        rest: &'a [u8],
    },
    /// Nothing follows, or what a crash has torn.
    Torn,
    Broken,
}

fn next_frame(bytes: &[u8]) -> Frame<'_> {
    let Some((length, behind)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Frame::Torn;
    };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((body, behind)) = behind.split_at_checked(length) else { return Frame::Torn };
    let Some((found, rest)) = behind.split_first_chunk::<CHECK_BYTES>() else {
        return Frame::Torn;
    };
    if *found == check(body) {
        return Frame::Whole { body, rest };
    }
    // A length that a crash has left as zeros has only zeros behind it.
    let is_torn = rest.is_empty() || bytes.iter().all(|byte| *byte == 0);
    if is_torn { Frame::Torn } else { Frame::Broken }
}

fn each_record(generation: u64, changes: &[LibraryChange], mut tell: impl FnMut(&Record<'_>)) {
    for LibraryChange { games_dir, anew, games } in changes {
        let mut anew = *anew;
        if games.is_empty() {
            tell(&Record { generation, games_dir, anew, game: None });
        }
        for (id, known) in games {
            let parts = known.as_ref().map(Parts::of);
            let known = parts.as_ref().zip(known.as_ref()).map(|(parts, known)| parts.known(known));
            let game = Some(Game { id: id.as_str(), known });
            tell(&Record { generation, games_dir, anew, game });
            anew = false;
        }
    }
}

/// `bytes` and behind them `record`. Numbers, texts and bytes can always be encoded into memory.
fn with(bytes: Vec<u8>, record: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(record, bytes).unwrap_or_default()
}

fn push_frame(bytes: &mut Vec<u8>, body: &[u8]) {
    // The whole index is far smaller than what a length can say.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.extend(check(body));
}

/// A frame with this body.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_frame(&mut bytes, body);
    bytes
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.iter_mut().zip(blake3::hash(body).as_bytes()).for_each(|(to, from)| *to = *from);
    check
}

/// What one frame says: of each change the generation that it belongs to.
fn parse_save(mut body: &[u8]) -> Option<Vec<(u64, LibraryChange)>> {
    let mut save: Vec<(u64, LibraryChange)> = Vec::new();
    while !body.is_empty() {
        let (record, rest) = postcard::take_from_bytes::<Record<'_>>(body).ok()?;
        body = rest;
        let game = match record.game {
            Some(Game { id, known }) => {
                let known = match known {
                    Some(known) => Some(known.decode()?),
                    None => None,
                };
                Some((GameId::new(id).ok()?, known))
            }
            None => None,
        };
        match save.last_mut() {
            Some((_, last)) if last.games_dir == record.games_dir => last.games.extend(game),
            _ => {
                let mut change = LibraryChange::new(record.games_dir.to_owned(), record.anew);
                change.games.extend(game);
                save.push((record.generation, change));
            }
        }
    }
    Some(save)
}

/// What of a game has to be made before it can be written.
struct Parts {
    layout: Vec<Bytes>,
    hashed: FileBits,
    hashes: Vec<u8>,
}

impl Parts {
    fn of(known: &KnownContent) -> Self {
        let files = known.manifest.files();
        let layout = encode_layout(files.iter().map(|file| (&file.path, file.size)));
        let (mut hashed, mut hashes) = (FileBits::new(files.len()), Vec::new());
        for (number, file) in files.iter().enumerate() {
            if let Some(known) = &file.hashes {
                hashed.set(number);
                hashes.extend_from_slice(known.as_bytes());
            }
        }
        Self { layout, hashed, hashes }
    }

    fn known<'a>(&'a self, known: &'a KnownContent) -> Known<'a> {
        Known {
            version: known.manifest.version().as_str(),
            layout: self.layout.iter().map(|page| Raw(page)).collect(),
            times: known.times.to_vec(),
            hashed: Raw(self.hashed.as_bytes()),
            hashes: Raw(&self.hashes),
            remembered: known.remembered.as_ref().map(|bits| Raw(bits.as_bytes())),
        }
    }
}

impl Known<'_> {
    /// `None` if it breaks a rule.
    fn decode(&self) -> Option<KnownContent> {
        let mut files = Vec::new();
        for page in &self.layout {
            for file in LayoutPage::new(page.0).ok()? {
                let (path, size) = file.ok()?;
                files.push(ManifestFile { path, size, hashes: None });
            }
        }
        let hashed = FileBits::from_bytes(self.hashed.0, files.len()).ok()?;
        let remembered = match self.remembered {
            Some(bits) => Some(FileBits::from_bytes(bits.0, files.len()).ok()?),
            None => None,
        };
        let mut hashes = Bytes::copy_from_slice(self.hashes.0);
        let of_hashed = files.iter_mut().enumerate().filter(|(number, _)| hashed.get(*number));
        for (_, file) in of_hashed {
            let len = file.chunk_count() as usize * size_of::<[u8; 32]>();
            let own = (len <= hashes.len()).then(|| hashes.split_to(len))?;
            file.hashes = Some(FileHashes::from_bytes(own)?);
        }
        let is_whole = hashes.is_empty() && self.times.len() == files.len();
        let manifest = Manifest::new(self.version.parse().ok()?, files).ok()?;
        let times = self.times.clone().into();
        is_whole.then(|| KnownContent { manifest: Arc::new(manifest), times, remembered })
    }
}
