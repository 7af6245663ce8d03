//! The parts of a game, as they come in pages.
//!
//! A [`Book`] takes pages in order, checks each as it comes and keeps nothing of it but what it says.
//! [`crate::part_fetch`] decides which source is asked for the pages.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lanspread_proto::layout::LayoutPage;
use lanspread_proto::limits::{
    HASH_PAGES_MAX, HASHES_PER_PAGE, LAYOUT_PAGES_MAX, MANIFEST_MAX_CHUNKS, MANIFEST_MAX_FILES,
    MANIFEST_MAX_PATH_BYTES,
};
use lanspread_proto::manifest::{chunk_count, is_content};
use lanspread_proto::message::{GameHead, Part};
use lanspread_proto::reserved::is_reserved_root_name;
use lanspread_proto::{ContentHash, GameVersion, Manifest, ManifestFile, RelPath, SourceError};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// How large a game is, as a source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    version: GameVersion,
    files: u32,
    chunks: u32,
    path_bytes: u64,
    layout_pages: u32,
}

impl Sizes {
    /// Returns the sizes that a head tells.
    pub fn of(head: &GameHead) -> Self {
        Self {
            version: head.version.clone(),
            files: head.files,
            chunks: head.chunks,
            path_bytes: head.path_bytes,
            layout_pages: head.layout_pages,
        }
    }
}

/// What a head must keep to.
///
/// # Errors
/// Why the game cannot be used, in words.
pub fn check_head(head: &GameHead, version: &GameVersion) -> Result<(), String> {
    let too_much = |what: &str, number: u64, most: u64| {
        Err(format!("its manifest has {number} {what}, more than {most}"))
    };
    if head.version != *version {
        return Err(format!("it has version {} and not {version}", head.version));
    }
    if head.files as usize > MANIFEST_MAX_FILES {
        return too_much("files", head.files.into(), MANIFEST_MAX_FILES as u64);
    }
    if head.path_bytes > MANIFEST_MAX_PATH_BYTES {
        return too_much("bytes of paths", head.path_bytes, MANIFEST_MAX_PATH_BYTES);
    }
    if head.chunks > MANIFEST_MAX_CHUNKS {
        return too_much("chunks", head.chunks.into(), MANIFEST_MAX_CHUNKS.into());
    }
    if head.layout_pages > LAYOUT_PAGES_MAX {
        return too_much("pages", head.layout_pages.into(), LAYOUT_PAGES_MAX.into());
    }
    if (head.files == 0) != (head.layout_pages == 0) {
        return Err("its manifest has files and no pages, or pages and no files".to_owned());
    }
    Ok(())
}

/// A part that is to be fetched, and what has come of it.
#[derive(Debug, Clone)]
pub struct PartJob {
    /// Which part.
    pub part: Part,
    /// The hash of what it describes.
    pub of: ContentHash,
    pages: u32,
    book: Arc<Mutex<Book>>,
}

/// A part that is whole and what it claims to be.
#[derive(Debug)]
pub enum Whole {
    /// The files, without their hashes.
    Layout(Manifest),
    /// The files with their hashes.
    Hashes(Manifest),
}

/// Why a source did not give a part.
#[derive(Debug)]
pub enum PartError {
    /// It did not give a page.
    Source(SourceError),
    /// A page says what cannot be.
    Broken(String),
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

impl From<SourceError> for PartError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl PartJob {
    /// The layout `of` a game that is as large as this.
    pub fn layout(of: ContentHash, sizes: Sizes) -> Self {
        let pages = sizes.layout_pages;
        Self::new(Part::Layout, of, pages, Said::Layout(LayoutBook::new(sizes)))
    }

    /// The hashes `of` a game with the layout of `manifest`.
    pub fn hashes(of: ContentHash, manifest: Arc<Manifest>) -> Self {
        let pages = manifest.chunk_count().div_ceil(HASHES_PER_PAGE).min(HASH_PAGES_MAX);
        let said = Said::Hashes { manifest, hashes: Vec::new() };
        Self::new(Part::Hashes, of, pages, said)
    }

    fn new(part: Part, of: ContentHash, pages: u32, said: Said) -> Self {
        let book = Book { said: Some(said), next: 0 };
        Self { part, of, pages, book: Arc::new(Mutex::new(book)) }
    }

    /// How many pages it has.
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// Which pages are still to come.
    pub fn missing(&self) -> Range<u32> {
        self.book().next..self.pages
    }

    /// Takes in the next page.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub fn take(&self, page: &Bytes) -> Result<(), String> {
        self.book().take(page)
    }

    /// Puts together what has come.
    ///
    /// # Errors
    /// Why it is not what it should be, in words.
    pub fn finish(&self) -> Result<Whole, String> {
        let mut book = self.book();
        let not_as_claimed = || "its manifest is not what it claims".to_owned();
        match book.said.take().ok_or_else(not_as_claimed)? {
            Said::Layout(layout) => {
                let manifest = layout.finish()?;
                let is_it = manifest.manifest_hash() == self.of;
                is_it.then_some(Whole::Layout(manifest)).ok_or_else(not_as_claimed)
            }
            Said::Hashes { manifest, hashes } => {
                let manifest = manifest.with_hashes(hashes.into());
                let manifest = manifest.map_err(|error| error.to_string())?;
                let is_it = manifest.content_root() == Some(self.of);
                is_it.then_some(Whole::Hashes(manifest)).ok_or_else(not_as_claimed)
            }
        }
    }

    // Whoever panicked while it held the lock was aborted with its download.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pages have said so far.
#[derive(Debug)]
struct Book {
    /// Nothing once it is put together.
    said: Option<Said>,
    next: u32,
}

#[derive(Debug)]
enum Said {
    Layout(LayoutBook),
    Hashes { manifest: Arc<Manifest>, hashes: Vec<u8> },
}

impl Book {
    /// Takes in the next page.
    fn take(&mut self, page: &Bytes) -> Result<(), String> {
        let number = self.next;
        match &mut self.said {
            None => return Err(format!("page {number} comes after the last one")),
            Some(Said::Layout(layout)) => layout.take(number, page)?,
            Some(Said::Hashes { manifest, hashes }) => {
                let all = manifest.chunk_count() as usize * HASH_BYTES;
                let left = all.saturating_sub(hashes.len());
                if page.len() != left.min(HASHES_PER_PAGE as usize * HASH_BYTES) {
                    return Err(format!("page {number} of the hashes has {} bytes", page.len()));
                }
                // All of them are 16 MiB at most.
                hashes.reserve_exact(left);
                hashes.extend_from_slice(page);
            }
        }
        self.next += 1;
        Ok(())
    }
}

/// The files of a layout, as far as they have come.
#[derive(Debug)]
struct LayoutBook {
    sizes: Sizes,
    files: Vec<ManifestFile>,
    path_bytes: u64,
    chunks: u64,
}

impl LayoutBook {
    fn new(sizes: Sizes) -> Self {
        Self { sizes, files: Vec::new(), path_bytes: 0, chunks: 0 }
    }

    fn take(&mut self, number: u32, page: &[u8]) -> Result<(), String> {
        let broken =
            |reason: &dyn fmt::Display| format!("layout page {number} is broken: {reason}");
        let records = LayoutPage::new(page).map_err(|error| broken(&error))?;
        for record in records {
            let (path, size) = record.map_err(|error| broken(&error))?;
            self.add(path, size)?;
        }
        Ok(())
    }

    fn add(&mut self, path: RelPath, size: u64) -> Result<(), String> {
        if self.files.last().is_some_and(|before| before.path >= path) {
            return Err(format!("its manifest lists {path} not in path order"));
        }
        if is_reserved_root_name(path.first()) {
            return Err(format!("its manifest lists {path}, which is reserved"));
        }
        if !is_content(&path) {
            return Err(format!("its manifest lists {path}, which is no content"));
        }
        self.path_bytes += path.as_str().len() as u64;
        self.chunks = self.chunks.saturating_add(chunk_count(size));
        let is_larger = self.files.len() >= self.sizes.files as usize
            || self.path_bytes > self.sizes.path_bytes
            || self.chunks > u64::from(self.sizes.chunks);
        if is_larger {
            return Err("its manifest is larger than it says".to_owned());
        }
        self.files.push(ManifestFile { path, size, hashes: None });
        Ok(())
    }

    fn finish(self) -> Result<Manifest, String> {
        let is_all = self.files.len() == self.sizes.files as usize
            && self.path_bytes == self.sizes.path_bytes
            && self.chunks == u64::from(self.sizes.chunks);
        if !is_all {
            return Err("its manifest is smaller than it says".to_owned());
        }
        Manifest::new(self.sizes.version, self.files).map_err(|error| format!("its {error}"))
    }
}
