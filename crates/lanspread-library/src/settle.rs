//! Makes the times of files that were just written stand for their content.
//!
//! A time that is as young as the write tells nothing of a change right after it (see
//! [`SETTLE_TIME`]). Files that a download wrote would therefore have to be read once more; they are
//! given a time that lies back a little instead, which every later change moves on.

use std::fs::{File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use crate::stamp::{Mtime, SETTLE_TIME, Stamp};

/// Sets the time of a file back if it is too young at `now`, and returns what the file looks like then.
///
/// # Errors
/// What the system says; then only reading the file tells what it holds.
pub fn settle(file: &File, now: SystemTime) -> io::Result<Stamp> {
    let mut stamp = Stamp::of(&file.metadata()?);
    if stamp.mtime.is_doubtful(now) {
        let settled = settled_time(now);
        let time = SystemTime::UNIX_EPOCH + Duration::new(settled.0.unsigned_abs(), settled.1);
        file.set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
        stamp.mtime = settled;
    }
    Ok(stamp)
}

/// An even number of seconds, which every file system can keep, and more than [`SETTLE_TIME`] ago.
fn settled_time(now: SystemTime) -> Mtime {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.saturating_sub(2 * SETTLE_TIME).as_secs() & !1;
    Mtime(i64::try_from(seconds).unwrap_or(0), 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_young_file_is_set_back_and_a_change_shows_from_then_on() {
        let root = tempfile::tempdir().unwrap();
        let (young, old) = (root.path().join("young"), root.path().join("old"));
        fs::write(&young, b"1").unwrap();
        fs::write(&old, b"2").unwrap();
        let open = |path| fs::File::options().write(true).open(path).unwrap();
        open(&old).set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7)).unwrap();

        let now = SystemTime::now();
        assert_eq!(settle(&open(&old), now).unwrap(), Stamp { size: 1, mtime: Mtime(7, 0) });
        let settled = settle(&open(&young), now).unwrap();
        assert!(!settled.mtime.is_doubtful(now));
        let look = || Stamp::of(&fs::metadata(&young).unwrap());
        assert_eq!(look(), settled);
        fs::write(&young, b"3").unwrap();
        assert_ne!(look(), settled);
    }
}
