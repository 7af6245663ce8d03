//! The games that a peer announces, in pages.
//!
//! A page of a library is a postcard list of records `{ shared: u16, suffix: text, version: text?, size:
//! u64, manifest_hash: 32 bytes, content_root: 32 bytes? }`, one for each game in id order. `shared` is
//! how many bytes of the id before it the id begins with; `version` is absent where it is that of the
//! record before. Each page is read alone: its first record has no `shared` and a version. A delta is one
//! page: such a list of the games that changed, then a list of `{ shared: u16, suffix: text }` of those
//! that are gone. There is one encoding only, so that a library has the same pages at every encoding.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::ids::{GameId, GameVersion, IdError};
use crate::limits::PAGE_MAX_BYTES;
use crate::records::{PageError, RecordReader, encode_list, split_shared, text_len, varint_len};

/// One announced game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameSummary {
    /// Which game.
    pub id: GameId,
    /// The version that the sender holds.
    pub version: GameVersion,
    /// Bytes of all its files.
    pub size: u64,
    /// [`crate::Manifest::manifest_hash`].
    pub manifest_hash: ContentHash,
    /// [`crate::Manifest::content_root`], once the sender has hashed the game.
    pub content_root: Option<ContentHash>,
}

/// All games a peer announces, as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibrarySnapshot {
    /// Grows with every change of the library.
    pub rev: u64,
    /// The games in id order.
    pub games: Vec<GameSummary>,
}

/// What a delta says of one game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryChange {
    /// It is new, or another one than before.
    Changed(GameSummary),
    /// It is gone.
    Removed(GameId),
}

/// What makes bytes not a page of a library, or not a delta.
pub type LibraryPageError = PageError<IdError>;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    shared: u16,
    suffix: &'a str,
    version: Option<&'a str>,
    size: u64,
    manifest_hash: [u8; 32],
    content_root: Option<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
struct Removal<'a> {
    shared: u16,
    suffix: &'a str,
}

/// Encodes games in id order, into one page at least: a library without games has one without records.
///
/// Takes one pass and as much memory as the pages.
#[must_use]
pub fn encode_library(games: &[GameSummary]) -> Vec<Bytes> {
    let mut pages = Vec::new();
    let mut page = OpenList::default();
    for game in games {
        if !page.push(game) {
            pages.push(std::mem::take(&mut page).close().into());
            page.push(game);
        }
    }
    pages.push(page.close().into());
    pages
}

/// Encodes a delta: games that changed and ids of games that are gone, each in id order. `None` if they do
/// not fit one page.
#[must_use]
pub fn encode_delta(changed: &[GameSummary], removed: &[GameId]) -> Option<Bytes> {
    let mut list = OpenList::default();
    if !changed.iter().all(|game| list.push(game)) {
        return None;
    }
    let mut before = "";
    let removals = removed.iter().map(|id| {
        let (shared, suffix) = split_shared(before, id.as_str());
        before = id.as_str();
        Removal { shared, suffix }
    });
    let removals: Vec<_> = removals.collect();
    let page = postcard::to_extend(&removals, list.close()).ok()?;
    (page.len() <= PAGE_MAX_BYTES).then(|| page.into())
}

/// A list of games that is being filled.
#[derive(Default)]
struct OpenList<'a> {
    records: Vec<u8>,
    count: u32,
    before: Option<&'a GameSummary>,
}

impl<'a> OpenList<'a> {
    /// Adds a game; returns whether a page has room for it. An empty one has room for every game.
    fn push(&mut self, game: &'a GameSummary) -> bool {
        let (shared, suffix) = split_shared(self.before.map_or("", id_text), game.id.as_str());
        let is_other = self.before.is_none_or(|before| before.version != game.version);
        let record = Record {
            shared,
            suffix,
            version: is_other.then(|| game.version.as_str()),
            size: game.size,
            manifest_hash: *game.manifest_hash.as_bytes(),
            content_root: game.content_root.map(|root| *root.as_bytes()),
        };
        let used = varint_len(u64::from(self.count) + 1) + self.records.len();
        if used + record.len() > PAGE_MAX_BYTES {
            return false;
        }
        let records = std::mem::take(&mut self.records);
        // A record of numbers and texts can always be encoded into memory.
        self.records = postcard::to_extend(&record, records).unwrap_or_default();
        self.count += 1;
        self.before = Some(game);
        true
    }

    fn close(self) -> Vec<u8> {
        encode_list(self.count, &self.records)
    }
}

fn id_text(game: &GameSummary) -> &str {
    game.id.as_str()
}

impl Record<'_> {
    fn len(&self) -> usize {
        let version = self.version.map_or(0, text_len);
        let content_root = self.content_root.map_or(0, |root| root.len());
        let options = 2;
        varint_len(u64::from(self.shared))
            + text_len(self.suffix)
            + version
            + varint_len(self.size)
            + self.manifest_hash.len()
            + content_root
            + options
    }
}

/// Reads the games of one page, one at a time, so that a page takes no memory beside what its reader
/// keeps. Ends after the first error.
#[derive(Debug)]
pub struct LibraryPage<'a>(ChangeReader<'a>);

impl<'a> LibraryPage<'a> {
    /// Begins to read a page.
    ///
    /// # Errors
    /// [`LibraryPageError`] when it is too long, or does not begin with the number of its records.
    pub fn new(page: &'a [u8]) -> Result<Self, LibraryPageError> {
        Ok(Self(ChangeReader::new(page, false)?))
    }

    /// How many games of the page are still to be read, by its own account.
    #[must_use]
    pub fn games_left(&self) -> u32 {
        self.0.left
    }
}

impl Iterator for LibraryPage<'_> {
    type Item = Result<GameSummary, LibraryPageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.next()? {
            Ok(LibraryChange::Changed(game)) => Some(Ok(game)),
            // A page of a library has no list of removals.
            Ok(LibraryChange::Removed(_)) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Reads the changes of a delta, one at a time. Ends after the first error. A game that is named as
/// changed and as removed is for the reader to notice.
#[derive(Debug)]
pub struct DeltaPage<'a>(ChangeReader<'a>);

impl<'a> DeltaPage<'a> {
    /// Begins to read a delta.
    ///
    /// # Errors
    /// [`LibraryPageError`] when it is too long, or does not begin with the number of its records.
    pub fn new(page: &'a [u8]) -> Result<Self, LibraryPageError> {
        Ok(Self(ChangeReader::new(page, true)?))
    }
}

impl Iterator for DeltaPage<'_> {
    type Item = Result<LibraryChange, LibraryPageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Reads a list of games, and a list of removals where one follows.
#[derive(Debug)]
struct ChangeReader<'a> {
    reader: RecordReader<'a>,
    /// How many records of the list are left.
    left: u32,
    before: Option<GameId>,
    version: Option<GameVersion>,
    /// Whether the list of removals is still to come, or is the one that is read.
    removals: Removals,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removals {
    None,
    ToCome,
    Here,
}

impl<'a> ChangeReader<'a> {
    fn new(page: &'a [u8], is_delta: bool) -> Result<Self, LibraryPageError> {
        let mut reader = RecordReader::new(page)?;
        let left = reader.count()?;
        let removals = if is_delta { Removals::ToCome } else { Removals::None };
        Ok(Self { reader, left, before: None, version: None, removals, has_ended: false })
    }

    fn read(&mut self) -> Result<LibraryChange, LibraryPageError> {
        let change = if self.removals == Removals::Here {
            LibraryChange::Removed(self.removal()?)
        } else {
            LibraryChange::Changed(self.game()?)
        };
        self.reader.advance();
        self.left -= 1;
        Ok(change)
    }

    fn game(&mut self) -> Result<GameSummary, LibraryPageError> {
        let record: Record<'a> = self.reader.take(Record::len)?;
        let id = self.id(record.shared, record.suffix)?;
        let known = self.version.as_ref().map(GameVersion::as_str);
        // It is told where it is another one than before, and nowhere else.
        self.reader.check_form(record.version != known)?;
        let version = match (record.version, &self.version) {
            (None, Some(version)) => version.clone(),
            (told, _) => GameVersion::new(told.unwrap_or_default())
                .map_err(|reason| self.reader.bad_name(reason))?,
        };
        self.version = Some(version.clone());
        let (size, manifest_hash) = (record.size, record.manifest_hash.into());
        let content_root = record.content_root.map(ContentHash::from);
        Ok(GameSummary { id, version, size, manifest_hash, content_root })
    }

    fn removal(&mut self) -> Result<GameId, LibraryPageError> {
        let len = |it: &Removal<'_>| varint_len(u64::from(it.shared)) + text_len(it.suffix);
        let Removal { shared, suffix } = self.reader.take(len)?;
        self.id(shared, suffix)
    }

    /// Puts an id together, which comes after the one before it.
    fn id(&mut self, shared: u16, suffix: &str) -> Result<GameId, LibraryPageError> {
        let before = self.before.as_ref().map(GameId::as_str);
        let id = self.reader.name(before, shared, suffix, GameId::new)?;
        self.before = Some(id.clone());
        Ok(id)
    }

    fn end(&mut self) -> Result<(), LibraryPageError> {
        if self.removals == Removals::ToCome {
            self.removals = Removals::Here;
            (self.left, self.before) = (self.reader.count()?, None);
            return Ok(());
        }
        self.reader.end()
    }
}

impl Iterator for ChangeReader<'_> {
    type Item = Result<LibraryChange, LibraryPageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        while self.left == 0 {
            let is_over = self.removals != Removals::ToCome;
            self.has_ended = is_over;
            if let Err(error) = self.end() {
                self.has_ended = true;
                return Some(Err(error));
            }
            if is_over {
                return None;
            }
        }
        let item = self.read();
        self.has_ended = item.is_err();
        Some(item)
    }
}
