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
use crate::records::{PageError, RecordReader, encode_list, split_shared, text_len, varint_len};

/// What makes bytes not a page of a layout.
pub type LayoutPageError = PageError<PathError>;

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
            let full = std::mem::take(&mut records);
            pages.push(encode_list(filling.count_before, &full).into());
        }
        // A record of numbers and a text can always be encoded into memory.
        records = postcard::to_extend(&record, records).unwrap_or_default();
    }
    if filling.count > 0 {
        pages.push(encode_list(filling.count, &records).into());
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

/// Reads the files of one page, one at a time, so that a page takes no memory beside what its reader
/// keeps. Ends after the first error.
#[derive(Debug)]
pub struct LayoutPage<'a> {
    reader: RecordReader<'a>,
    /// How many records are left.
    left: u32,
    before: Option<RelPath>,
    has_ended: bool,
}

impl<'a> LayoutPage<'a> {
    /// Begins to read a page.
    ///
    /// # Errors
    /// [`LayoutPageError`] when it is too long, or does not begin with the number of its records.
    pub fn new(page: &'a [u8]) -> Result<Self, LayoutPageError> {
        let mut reader = RecordReader::new(page)?;
        match reader.count()? {
            // No file, no page.
            0 => Err(PageError::End),
            left => Ok(Self { reader, left, before: None, has_ended: false }),
        }
    }

    fn read(&mut self) -> Result<(RelPath, u64), LayoutPageError> {
        let len = |record: &Record<'_>| record_len(record.shared, record.suffix, record.size);
        let Record { shared, suffix, size } = self.reader.take(len)?;
        let before = self.before.as_ref().map(RelPath::as_str);
        let path = self.reader.name(before, shared, suffix, RelPath::new)?;
        self.reader.advance();
        (self.left, self.before) = (self.left - 1, Some(path.clone()));
        Ok((path, size))
    }
}

impl Iterator for LayoutPage<'_> {
    type Item = Result<(RelPath, u64), LayoutPageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let item = match self.left {
            0 => match self.reader.end() {
                Ok(()) => {
                    self.has_ended = true;
                    return None;
                }
                Err(error) => Err(error),
            },
            _ => self.read(),
        };
        self.has_ended = item.is_err();
        Some(item)
    }
}

/// How many bytes a record takes.
fn record_len(shared: u16, suffix: &str, size: u64) -> usize {
    varint_len(u64::from(shared)) + text_len(suffix) + varint_len(size)
}
