//! The files of the index: a snapshot, the log of what changed since, and the revisions.
//!
//! A save appends to the log what changed, and nothing else. When the log has grown as long as the
//! snapshot, a new snapshot takes the place of both, so that each change is written twice at most
//! over time, and what is read at the start stays within twice the library.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lanspread_disk::{durable, platform, state_file};

use super::content::{Content, LibraryChange};
use super::legacy::{self, Broken, Legacy};
use super::record::{self, Replay};
use super::revisions::Revisions;
use super::{IndexError, IndexWarning};
use crate::points;

pub(super) const INDEX_FILE: &str = "library_index.bin";
pub(super) const LOG_FILE: &str = "library_index.blog";
/// Largest snapshot or log read: that of some 60 TiB of games. A larger one is set aside, as a damaged one is.
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
    /// Whether files of an older format lie there, which go when all they say is in a snapshot.
    has_legacy: bool,
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
        let revisions = Revisions::load(state_dir).map_err(failed("read", state_dir))?;
        let (path, old_path) = (state_dir.join(INDEX_FILE), state_dir.join(legacy::SNAPSHOT_FILE));
        let found = match read_bounded(&path)? {
            Some(bytes) => Found::read(state_dir, &bytes)?,
            None => match read_bounded(&old_path)? {
                Some(bytes) => Found::read_legacy(state_dir, &bytes)?,
                None => Found::default(),
            },
        };
        let store = Self {
            state_dir: state_dir.to_path_buf(),
            generation: found.generation,
            snapshot_bytes: found.snapshot_bytes,
            log_bytes: found.log_bytes,
            is_snapshot_due: found.snapshot_bytes == 0 || found.warning.is_some(),
            has_legacy: [legacy::SNAPSHOT_FILE, legacy::LOG_FILE]
                .iter()
                .any(|name| state_dir.join(name).is_file()),
            revisions,
        };
        // What the snapshot says is far ahead, and stands in for a file that is lost.
        let library_rev = match store.revisions.reserved() {
            0 => found.library_rev,
            reserved => reserved,
        };
        let Found { content, warning, .. } = found;
        Ok(Loaded { store, content, library_rev, warning })
    }

    /// Returns whether there is something to write even if nothing changed.
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
        if !self.is_snapshot_due {
            let frame = record::encode_save(self.generation, &changes);
            let log_max = LOG_MIN_BYTES.max(self.snapshot_bytes);
            if self.log_bytes + frame.len() as u64 <= log_max {
                if self.append(&frame)? {
                    self.remove_legacy();
                    return Ok(());
                }
                tracing::warn!(log = %self.log_path().display(), "the log was removed or cut short");
            }
        }
        self.is_snapshot_due = true;
        self.write_snapshot(content())?;
        self.is_snapshot_due = false;
        Ok(())
    }

    /// Returns `false` if the log is not the one that was written.
    fn append(&mut self, frame: &[u8]) -> io::Result<bool> {
        let path = self.log_path();
        durable::reach(points::INDEX_APPEND, &path)?;
        let file = state_file::private_options().create(true).truncate(false).open(&path)?;
        let found = file.metadata()?.len();
        if found < self.log_bytes {
            return Ok(false);
        }
        if found > self.log_bytes {
            file.set_len(self.log_bytes)?;
        }
        platform::write_all_at(&file, frame, self.log_bytes)?;
        durable::sync_data(points::INDEX_APPEND_SYNC, &path, &file)?;
        if self.log_bytes == 0 {
            durable::sync_dir(points::INDEX_LOG_SYNC, &self.state_dir)?;
        }
        self.log_bytes += frame.len() as u64;
        Ok(true)
    }

    fn write_snapshot(&mut self, content: Content) -> io::Result<()> {
        let generation = self.generation + 1;
        let library_rev = self.revisions.reserved();
        let bytes = record::encode_snapshot(library_rev, generation, &content);
        state_file::write_atomic(&self.state_dir.join(INDEX_FILE), &bytes)?;
        self.generation = generation;
        self.snapshot_bytes = bytes.len() as u64;
        self.log_bytes = 0;
        // It is of an older generation now. One that a crash brings back says nothing.
        match durable::remove_file(points::INDEX_LOG_REMOVE, &self.log_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.remove_legacy();
        Ok(())
    }

    /// Removes the files of an older format, which say nothing beside a snapshot. What stays is removed
    /// after a later save.
    fn remove_legacy(&mut self) {
        if !self.has_legacy {
            return;
        }
        let removed = [legacy::LOG_FILE, legacy::SNAPSHOT_FILE].map(|name| {
            let path = self.state_dir.join(name);
            durable::remove_file(points::INDEX_LEGACY_REMOVE, &path)
        });
        self.has_legacy = removed.iter().any(|removed| {
            removed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
        });
    }

    fn log_path(&self) -> PathBuf {
        self.state_dir.join(LOG_FILE)
    }
}

/// What the files say.
#[derive(Default)]
struct Found {
    content: Content,
    library_rev: u64,
    generation: u64,
    /// 0 where there is no snapshot of this format that holds.
    snapshot_bytes: u64,
    log_bytes: u64,
    warning: Option<IndexWarning>,
}

impl Found {
    /// Reads the log beside the snapshot `bytes`.
    fn read(state_dir: &Path, bytes: &[u8]) -> Result<Self, IndexError> {
        let (path, log_path) = (state_dir.join(INDEX_FILE), state_dir.join(LOG_FILE));
        let head = match record::read_head(bytes) {
            None => Err("its head is damaged".to_owned()),
            Some(_) if bytes.len() as u64 > INDEX_MAX_BYTES => {
                Err(format!("it has more than {INDEX_MAX_BYTES} bytes"))
            }
            Some(head) => Ok(head),
        };
        let library_rev = head.as_ref().map_or(0, |head| head.library_rev);
        let parsed =
            head.and_then(|head| Ok((record::read_snapshot(bytes, head)?, head.generation)));
        let (mut content, generation) = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => {
                // First the log, which says nothing without its snapshot: alone it could be taken
                // for that of a later one.
                let _ = durable::remove_file(points::INDEX_LOG_REMOVE, &log_path);
                let warning = Some(move_aside(&path, reason)?);
                return Ok(Self { library_rev, warning, ..Self::default() });
            }
        };
        let log = read_bounded(&log_path)?.unwrap_or_default();
        let Replay { saves, valid_bytes, is_broken } = record::replay(&log, generation);
        saves.into_iter().for_each(|changes| content.apply(changes));
        let mut warning = None;
        if is_broken {
            let reason = format!("byte {valid_bytes} begins a record that is damaged");
            warning = Some(move_aside(&log_path, reason)?);
        }
        let (snapshot_bytes, log_bytes) = (bytes.len() as u64, valid_bytes as u64);
        Ok(Self { content, library_rev, generation, snapshot_bytes, log_bytes, warning })
    }

    /// Reads the log beside the snapshot `bytes` of an older format.
    fn read_legacy(state_dir: &Path, bytes: &[u8]) -> Result<Self, IndexError> {
        let log = read_bounded(&state_dir.join(legacy::LOG_FILE))?.unwrap_or_default();
        let Legacy { content, library_rev, broken } = legacy::read(bytes, &log);
        let mut warning = None;
        if let Some(Broken { file, reason }) = broken {
            warning = Some(move_aside(&state_dir.join(file), reason)?);
        }
        Ok(Self { content, library_rev, warning, ..Self::default() })
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
