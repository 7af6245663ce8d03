//! A few open files, so that neither every chunk opens its file nor every file stays open.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use lanspread_disk::Dir;
use lanspread_proto::RelPath;

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

    /// The file with this number, which is at `path` below `root`. Follows no link.
    pub(super) fn open(&self, number: usize, root: &Dir, path: &RelPath) -> io::Result<Arc<File>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(known, _)| *known == number);
        let entry = match known {
            Some(at) => open.remove(at),
            None => {
                if open.len() >= OPEN_FILES_MAX {
                    open.remove(0);
                }
                (number, Arc::new(root.read_write(path.as_str())?))
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
