//! Whether something else changes the files of a download while it is under way.
//!
//! The peer looks at a file around each of its own reads and writes. If a look does not show what the look
//! before it left, something else has written to the file or put another one in its place. Such a file is
//! read once more before the commit.
//!
//! Stamps are compared with each other only, never with a clock, and never stored: a file system in user
//! space may give a file another number at the next mount. A change while a write of the peer's own is under
//! way does not show, nor does one within the same tick of the file system's clock.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanspread_disk::platform;

/// What the peer knows of the files of one download, by their numbers in the manifest.
#[derive(Debug, Default)]
pub(super) struct Touches(Mutex<HashMap<usize, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What the peer's last use of the file left.
    look: Option<FileStamp>,
    /// How many uses are under way.
    uses: u32,
    /// Whether something else changed it.
    is_touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    id: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for FileStamp {
    fn from(found: Metadata) -> Self {
        Self {
            id: platform::file_id(&found),
            size: found.len(),
            modified: platform::modified(&found),
            changed: platform::changed(&found),
        }
    }
}

impl Touches {
    /// Runs `use_it`, which reads or writes the file with this number.
    ///
    /// # Errors
    /// Those of `use_it`, and of looking at the file.
    pub(super) fn during<T>(
        &self,
        number: usize,
        file: &File,
        use_it: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.begin(number, file)?;
        let used = use_it();
        let mut all = self.lock();
        let known = all.entry(number).or_default();
        known.uses = known.uses.saturating_sub(1);
        if known.uses == 0 {
            known.look = Some(file.metadata()?.into());
        }
        used
    }

    fn begin(&self, number: usize, file: &File) -> io::Result<()> {
        let mut all = self.lock();
        let known = all.entry(number).or_default();
        if known.uses == 0
            && let Some(look) = known.look
        {
            known.is_touched |= look != file.metadata()?.into();
        }
        known.uses += 1;
        Ok(())
    }

    /// Whether something else changed the file with this number, which is open as `file`. One that the peer
    /// never used is not known.
    ///
    /// # Errors
    /// Whatever looking at it reports.
    pub(super) fn is_touched(&self, number: usize, file: &File) -> io::Result<bool> {
        match self.lock().get(&number) {
            None => Ok(false),
            Some(known) if known.is_touched => Ok(true),
            Some(known) => Ok(known.look != Some(file.metadata()?.into())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Known>> {
        // Every change is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn own_writes_are_no_touch_and_those_of_others_are() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let file = open(&path);
        let touches = Touches::default();
        assert!(!touches.is_touched(0, &file).unwrap());
        touches.during(0, &file, || file.write_all_at(b"1234", 0)).unwrap();
        assert!(!touches.is_touched(0, &file).unwrap());
        touches
            .during(0, &file, || touches.during(0, &file, || file.write_all_at(b"5", 4)))
            .unwrap();
        assert!(!touches.is_touched(0, &open(&path)).unwrap());

        // The same size and an old time, as a tool that keeps times leaves them.
        fs::write(&other, b"54321").unwrap();
        let times = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        open(&other).set_modified(times).unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(touches.is_touched(0, &open(&path)).unwrap());
        assert!(!touches.is_touched(1, &open(&path)).unwrap());
    }

    #[test]
    fn a_touch_between_two_writes_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir.path().join("a"));
        let touches = Touches::default();
        touches.during(0, &file, || file.write_all_at(b"1234", 0)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        touches.during(0, &file, || file.write_all_at(b"5", 4)).unwrap();
        assert!(touches.is_touched(0, &file).unwrap());
    }
}
