//! A few open files, so that neither every chunk opens its file nor every file stays open.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::open_no_follow;

/// Most files open at once: enough for the files in flight, far below the usual limit
/// of 1,024 for everything a process has open.
const OPEN_FILES_MAX: usize = 16;

/// Open files by their number in the manifest, the one used last at the end.
#[derive(Debug)]
pub(super) struct Handles(Mutex<Vec<(usize, Arc<File>)>>);

impl Handles {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The file with this number, which is at `path`. Never follows a link there.
    pub(super) fn open(&self, number: usize, path: &Path) -> io::Result<Arc<File>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(known, _)| *known == number);
        let entry = match known {
            Some(at) => open.remove(at),
            None => {
                if open.len() >= OPEN_FILES_MAX {
                    open.remove(0);
                }
                let file = open_no_follow(path)?;
                (number, Arc::new(file))
            }
        };
        let file = Arc::clone(&entry.1);
        open.push(entry);
        Ok(file)
    }

    /// Closes all files that nobody is writing to.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
