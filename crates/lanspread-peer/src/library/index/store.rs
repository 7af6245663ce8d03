//! The files of the index: a snapshot, the log of what changed since, and the revisions.
//!
//! A save appends to the log what changed, and nothing else. When the log has grown as long as the
//! snapshot, a new snapshot takes the place of both, so that each change is written twice at most
//! over time, and what is read at the start stays within twice the library.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::content::{Content, FORMAT, LibraryChange, OLDEST_FORMAT};
use super::log;
use super::revisions::Revisions;
use super::{IndexError, IndexWarning};
use crate::disk::{self, Point};
use crate::state_file;

pub(super) const INDEX_FILE: &str = "library_index.json";
pub(super) const LOG_FILE: &str = "library_index.log";
/// Largest snapshot or log read: that of some 15 TiB of games. Beyond it the file is none of ours.
const INDEX_MAX_BYTES: u64 = 1 << 30;
/// How long a log may become beside the snapshot of a small library: it is read in a millisecond,
/// and a snapshot is a new file, which costs more than an append.
const LOG_MIN_BYTES: u64 = 256 * 1024;

/// Writes what the index says.
#[derive(Debug)]
pub(super) struct Store {
    state_dir: PathBuf,
    generation: u64,
    snapshot_bytes: u64,
    /// Bytes of the log that count; what comes after them is cut off before the next append.
    log_bytes: u64,
    /// The log cannot go on: only a new snapshot says all.
    is_snapshot_due: bool,
    pub(super) revisions: Revisions,
}

/// What a load found.
pub(super) struct Loaded {
    pub(super) store: Store,
    pub(super) content: Content,
    /// No revision up to this one may be announced again.
    pub(super) library_rev: u64,
    pub(super) warning: Option<IndexWarning>,
}

impl Store {
    /// Reads the files of `state_dir`, which must exist. Broken ones are moved aside.
    pub(super) fn load(state_dir: &Path) -> Result<Loaded, IndexError> {
        let (path, log_path) = (state_dir.join(INDEX_FILE), state_dir.join(LOG_FILE));
        let revisions = Revisions::load(state_dir).map_err(failed("read", state_dir))?;
        let snapshot = read_bounded(&path)?;
        let log_file = read_bounded(&log_path)?.unwrap_or_default();
        let bytes = snapshot.as_deref().unwrap_or_default();
        let parsed = snapshot.as_ref().map(|bytes| Content::parse(bytes)).transpose();
        let mut warning = None;
        let (mut content, library_rev) = match parsed {
            Ok(content) => {
                let content = content.unwrap_or_else(Content::empty);
                let library_rev = content.library_rev;
                (content, library_rev)
            }
            Err(reason) => {
                // First the log, which says nothing without its snapshot: alone it could be taken
                // for that of a later one.
                let _ = disk::remove_file(Point::IndexLogRemove, &log_path);
                warning = Some(move_aside(&path, reason)?);
                (Content::empty(), salvage_rev(bytes))
            }
        };
        let replay = match warning {
            None => log::replay(&log_file, content.generation),
            Some(_) => log::Replay::default(),
        };
        let is_old = content.format != FORMAT;
        content.format = FORMAT;
        replay.saves.into_iter().for_each(|changes| content.apply(changes));
        if replay.is_broken {
            let reason = format!("byte {} begins a line that is damaged", replay.valid_bytes);
            warning = Some(move_aside(&log_path, reason)?);
        }
        let store = Self {
            state_dir: state_dir.to_path_buf(),
            generation: content.generation,
            snapshot_bytes: bytes.len() as u64,
            log_bytes: replay.valid_bytes as u64,
            is_snapshot_due: snapshot.is_none() || warning.is_some() || is_old,
            revisions,
        };
        // What the snapshot says is far ahead, and stands in for a file that is lost.
        let library_rev = match store.revisions.reserved() {
            0 => library_rev,
            reserved => reserved,
        };
        Ok(Loaded { store, content, library_rev, warning })
    }

    /// Whether there is something to write even if nothing changed.
    pub(super) fn is_snapshot_due(&self) -> bool {
        self.is_snapshot_due
    }

    #[cfg(test)]
    pub(super) fn save_generation(&self) -> u64 {
        self.generation
    }

    /// The files are gone: all of them have to be written again.
    pub(super) fn begin_anew(&mut self) {
        self.is_snapshot_due = true;
    }

    /// Writes `changes`, durably: to the log, or within a snapshot of `content`.
    ///
    /// # Errors
    /// What the system said. What was written of it counts for nothing, or is written again.
    pub(super) fn save(
        &mut self,
        changes: Vec<LibraryChange>,
        content: impl FnOnce() -> Content,
    ) -> io::Result<()> {
        let line = log::encode(self.generation, changes)?;
        let log_max = LOG_MIN_BYTES.max(self.snapshot_bytes);
        if !self.is_snapshot_due && self.log_bytes + line.len() as u64 <= log_max {
            if self.append(&line)? {
                return Ok(());
            }
            tracing::warn!(log = %self.log_path().display(), "the log was removed or cut short");
        }
        self.is_snapshot_due = true;
        self.write_snapshot(content())?;
        self.is_snapshot_due = false;
        Ok(())
    }

    /// Returns `false` if the log is not the one that was written.
    fn append(&mut self, line: &[u8]) -> io::Result<bool> {
        let path = self.log_path();
        disk::reach(Point::IndexAppend, &path)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        let found = file.metadata()?.len();
        if found < self.log_bytes {
            return Ok(false);
        }
        if found > self.log_bytes {
            file.set_len(self.log_bytes)?;
        }
        file.write_all_at(line, self.log_bytes)?;
        disk::sync_data(Point::IndexAppendSync, &path, &file)?;
        if self.log_bytes == 0 {
            disk::sync_dir(Point::IndexLogSync, &self.state_dir)?;
        }
        self.log_bytes += line.len() as u64;
        Ok(true)
    }

    fn write_snapshot(&mut self, content: Content) -> io::Result<()> {
        let generation = self.generation + 1;
        let library_rev = self.revisions.reserved();
        let bytes = serde_json::to_vec(&Content { generation, library_rev, ..content })?;
        state_file::write_atomic(&self.state_dir.join(INDEX_FILE), &bytes)?;
        self.generation = generation;
        self.snapshot_bytes = bytes.len() as u64;
        self.log_bytes = 0;
        // It is of an older generation now. One that a crash brings back says nothing.
        match disk::remove_file(Point::IndexLogRemove, &self.log_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.state_dir.join(LOG_FILE)
    }
}

impl Content {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > INDEX_MAX_BYTES {
            return Err(format!("it has more than {INDEX_MAX_BYTES} bytes"));
        }
        let content: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !(OLDEST_FORMAT..=FORMAT).contains(&content.format) {
            return Err(format!("it has format {}, not {FORMAT}", content.format));
        }
        Ok(content)
    }
}

fn move_aside(path: &Path, reason: String) -> Result<IndexWarning, IndexError> {
    let moved_to = state_file::move_aside(path).map_err(failed("move aside", path))?;
    Ok(IndexWarning { moved_to, reason })
}

/// The bytes of a file, if it is there. One more than it may have tells that it has too many.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, IndexError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(INDEX_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(Some(bytes))
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> IndexError + 'a {
    move |source| IndexError { action, path: path.to_path_buf(), source }
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
