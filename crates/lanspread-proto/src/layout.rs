//! The paths and sizes of a manifest, in pages.
//!
//! A page is a postcard list of records `{ shared: u16, suffix: text, size: u64 }`, one for each file
//! in path order. `shared` is how many bytes of the path before it the path begins with; the first
//! record of a page has 0, so that each page is read alone. There is one encoding only: the longest
//! `shared` that ends at a character, the shortest numbers, and pages as full as
//! [`PAGE_MAX_BYTES`] allow. So whoever has the same layout has the same pages.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::PAGE_MAX_BYTES;
use crate::path::{PathError, RelPath};

/// What makes bytes not a page of a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutPageError {
    /// More than [`PAGE_MAX_BYTES`].
    #[error("it has {0} bytes, more than {PAGE_MAX_BYTES}")]
    TooLong(usize),
    /// It ends in the middle, or holds a number or a text that is none.
    #[error("record {0} cannot be read")]
    Unreadable(u32),
    /// The record is not written as every source writes it.
    #[error("record {0} is not in the one form it can have")]
    NotCanonical(u32),
    /// The path of a record breaks a rule.
    #[error("record {record}: {reason}")]
    Path {
        /// Which record, from 0.
        record: u32,
        /// Which rule.
        reason: PathError,
    },
    /// The path of a record does not come after the one before it.
    #[error("record {0} is not in path order")]
    Order(u32),
    /// No record, or bytes behind the last one.
    #[error("it does not end with its last record")]
    End,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    shared: u16,
    suffix: &'a str,
    size: u64,
}

/// Encodes files in path order; no file, no page.
///
/// Takes one pass and as much memory as the pages.
pub fn encode_layout<'a>(files: impl IntoIterator<Item = (&'a RelPath, u64)>) -> Vec<Bytes> {
    let mut pages = Vec::new();
    let (mut filling, mut records) = (Filling::default(), Vec::new());
    for (path, size) in files {
        let (is_full, record) = filling.add(path.as_str(), size);
        if is_full {
            pages.push(page_of(filling.count_before, std::mem::take(&mut records)));
        }
        // A record of numbers and a text can always be encoded into memory.
        records = postcard::to_extend(&record, records).unwrap_or_default();
    }
    if filling.count > 0 {
        pages.push(page_of(filling.count, records));
    }
    pages
}

/// How many pages [`encode_layout`] makes of these files.
pub fn layout_pages<'a>(files: impl IntoIterator<Item = (&'a RelPath, u64)>) -> u32 {
    let mut filling = Filling::default();
    let files = files.into_iter();
    let full = files.filter(|(path, size)| filling.add(path.as_str(), *size).0).count();
    let last = usize::from(filling.count > 0);
    u32::try_from(full + last).unwrap_or(u32::MAX)
}

/// How far a page is filled.
#[derive(Default)]
struct Filling<'a> {
    count: u32,
    bytes: usize,
    before: &'a str,
    /// How many records the page before it has.
    count_before: u32,
}

impl<'a> Filling<'a> {
    /// Adds a file; returns whether it begins another page, and its record.
    fn add(&mut self, path: &'a str, size: u64) -> (bool, Record<'a>) {
        let (shared, suffix) = split_shared(self.before, path);
        let len = record_len(shared, suffix, size);
        let is_full = varint_len(u64::from(self.count) + 1) + self.bytes + len > PAGE_MAX_BYTES;
        self.before = path;
        if is_full {
            self.count_before = self.count;
            (self.count, self.bytes) = (1, record_len(0, path, size));
            return (true, Record { shared: 0, suffix: path, size });
        }
        self.count += 1;
        self.bytes += len;
        (false, Record { shared, suffix, size })
    }
}

fn page_of(count: u32, records: Vec<u8>) -> Bytes {
    let mut page = postcard::to_allocvec(&count).unwrap_or_default();
    page.extend_from_slice(&records);
    page.into()
}

/// Reads the files of one page, one at a time, so that a page takes no memory beside what its reader
/// keeps. Ends after the first error.
#[derive(Debug)]
pub struct LayoutPage<'a> {
    rest: &'a [u8],
    record: u32,
    count: u32,
    before: Option<RelPath>,
    has_ended: bool,
}

impl<'a> LayoutPage<'a> {
    /// Begins to read a page.
    ///
    /// # Errors
    /// [`LayoutPageError`] when it is too long, or does not begin with the number of its records.
    pub fn new(page: &'a [u8]) -> Result<Self, LayoutPageError> {
        if page.len() > PAGE_MAX_BYTES {
            return Err(LayoutPageError::TooLong(page.len()));
        }
        let (count, rest) =
            postcard::take_from_bytes::<u32>(page).map_err(|_| LayoutPageError::End)?;
        if count == 0 {
            return Err(LayoutPageError::End);
        }
        if page.len() - rest.len() != varint_len(u64::from(count)) {
            return Err(LayoutPageError::NotCanonical(0));
        }
        Ok(Self { rest, record: 0, count, before: None, has_ended: false })
    }

    fn read(&mut self) -> Result<(RelPath, u64), LayoutPageError> {
        let record = self.record;
        let (Record { shared, suffix, size }, rest) = postcard::take_from_bytes(self.rest)
            .map_err(|_| LayoutPageError::Unreadable(record))?;
        let before = self.before.as_ref().map_or("", RelPath::as_str);
        if self.rest.len() - rest.len() != record_len(shared, suffix, size) {
            return Err(LayoutPageError::NotCanonical(record));
        }
        let path =
            join_shared(before, shared, suffix).ok_or(LayoutPageError::NotCanonical(record))?;
        if self.before.is_some() && path.as_str() <= before {
            return Err(LayoutPageError::Order(record));
        }
        let path = RelPath::new(path).map_err(|reason| LayoutPageError::Path { record, reason })?;
        (self.rest, self.record, self.before) = (rest, record + 1, Some(path.clone()));
        Ok((path, size))
    }
}

impl Iterator for LayoutPage<'_> {
    type Item = Result<(RelPath, u64), LayoutPageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let item = if self.record < self.count {
            self.read()
        } else if self.rest.is_empty() {
            self.has_ended = true;
            return None;
        } else {
            Err(LayoutPageError::End)
        };
        self.has_ended = item.is_err();
        Some(item)
    }
}

/// Splits `path` into the bytes that it has in common with `before`, up to a character, and the rest.
pub(crate) fn split_shared<'a>(before: &str, path: &'a str) -> (u16, &'a str) {
    let mut shared = before.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
    while !path.is_char_boundary(shared) {
        shared -= 1;
    }
    // A path has at most `PATH_MAX_BYTES`.
    let shared = u16::try_from(shared).unwrap_or(0);
    (shared, path.get(usize::from(shared)..).unwrap_or_default())
}

/// Puts a path together; `None` unless `shared` is what [`split_shared`] gives for it.
pub(crate) fn join_shared(before: &str, shared: u16, suffix: &str) -> Option<String> {
    let at = usize::from(shared);
    let (head, tail) = (before.get(..at)?, before.get(at..)?);
    let goes_on = tail.chars().next().is_some_and(|next| suffix.starts_with(next));
    (!goes_on).then(|| [head, suffix].concat())
}

fn record_len(shared: u16, suffix: &str, size: u64) -> usize {
    let suffix_len = suffix.len();
    varint_len(u64::from(shared)) + varint_len(suffix_len as u64) + suffix_len + varint_len(size)
}

/// How many bytes a number takes: 7 bits in each.
pub(crate) fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paths_share_ends_at_a_character() {
        assert_eq!(split_shared("", "a"), (0, "a"));
        assert_eq!(split_shared("bin/tool", "bin/tools.dat"), (8, "s.dat"));
        // The two have three of the four bytes of their second character in common.
        assert_eq!(split_shared("a\u{1F600}", "a\u{1F601}"), (1, "\u{1F601}"));
        assert_eq!(join_shared("a\u{1F600}", 1, "\u{1F601}").as_deref(), Some("a\u{1F601}"));
        assert_eq!(join_shared("a\u{1F600}", 4, "\u{1F601}"), None);
        assert_eq!(join_shared("ab", 1, "bc"), None);
        assert_eq!(join_shared("ab", 3, "c"), None);
    }

    #[test]
    fn numbers_are_as_long_as_postcard_makes_them() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(varint_len(number), postcard::to_allocvec(&number).unwrap().len());
        }
    }
}
