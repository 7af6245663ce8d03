//! The directories of a game root between which an installation moves, and the marks inside them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{self, Point};
use crate::install::decision::{Backup, Found, Installing, Local};
use crate::library::{BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR, OWNER_MARKER};
use crate::state_file;

/// How much of a mark is read; ours are shorter.
const MARK_MAX_BYTES: u64 = 64;

/// What a marked directory is for. The text is in the marker file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// An installation on its way.
    Installing,
    /// An old installation, to be kept until the new one is in its place.
    Replaced,
    /// An old installation that the user wants gone.
    Removed,
}

impl Mark {
    fn text(self) -> &'static str {
        match self {
            Self::Installing => "installing",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }
}

/// One game root.
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) local: PathBuf,
    pub(super) installing: PathBuf,
    pub(super) backup: PathBuf,
}

enum Entry {
    Absent,
    Other,
    Directory(Option<String>),
}

impl Place {
    pub(super) fn of(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            local: root.join(LOCAL_DIR),
            installing: root.join(INSTALLING_DIR),
            backup: root.join(BACKUP_DIR),
        }
    }

    /// What is there. No link is followed.
    pub(super) fn look(&self) -> io::Result<Found> {
        let local = match look_at(&self.local)? {
            Entry::Absent => Local::Absent,
            Entry::Other => Local::Foreign,
            Entry::Directory(None) => Local::Plain,
            Entry::Directory(Some(_)) => Local::Marked,
        };
        let installing = match look_at(&self.installing)? {
            Entry::Absent => Installing::Absent,
            Entry::Other | Entry::Directory(None) => Installing::Foreign,
            Entry::Directory(Some(_)) => Installing::Owned,
        };
        let backup = match look_at(&self.backup)? {
            Entry::Absent => Backup::Absent,
            Entry::Other | Entry::Directory(None) => Backup::Foreign,
            Entry::Directory(Some(mark)) if mark == Mark::Replaced.text() => Backup::Replaced,
            Entry::Directory(Some(_)) => Backup::Expendable,
        };
        Ok(Found { local, installing, backup })
    }
}

/// Marks a directory as ours, durably.
pub(crate) fn mark(directory: &Path, mark: Mark) -> io::Result<()> {
    let path = directory.join(OWNER_MARKER);
    // It is made anew, because one that is there may be a link to somewhere else.
    state_file::remove_file(&path)?;
    disk::reach(Point::MarkWrite, &path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(mark.text().as_bytes())?;
    disk::sync_all(Point::MarkSync, &path, &file)?;
    disk::sync_dir(Point::MarkDirSync, directory)
}

/// Takes the mark out of a directory, durably.
pub(crate) fn unmark(directory: &Path) -> io::Result<()> {
    state_file::remove_file(&directory.join(OWNER_MARKER))
}

/// Whether a directory carries a mark.
pub(crate) fn is_marked(directory: &Path) -> io::Result<bool> {
    Ok(read_mark(directory)?.is_some())
}

/// Deletes a marked directory, the mark last: what is left by a crash is still known to be ours.
pub(super) fn remove_owned(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == OWNER_MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            disk::remove_dir_all(Point::OwnedRemove, &entry.path())?;
        } else {
            disk::remove_file(Point::OwnedRemove, &entry.path())?;
        }
    }
    disk::sync_dir(Point::OwnedSync, directory)?;
    unmark(directory)?;
    disk::remove_dir(Point::OwnedDirRemove, directory)
}

/// Deletes a directory if there is nothing in it.
pub(super) fn remove_if_empty(directory: &Path) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    match disk::remove_dir(Point::EmptyDirRemove, directory) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
            Ok(())
        }
        result => result,
    }
}

fn look_at(path: &Path) -> io::Result<Entry> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Entry::Directory(read_mark(path)?)),
        Ok(_) => Ok(Entry::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Absent),
        Err(error) => Err(error),
    }
}

/// The text of the mark. Only a regular file is one.
fn read_mark(directory: &Path) -> io::Result<Option<String>> {
    let path = directory.join(OWNER_MARKER);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(MARK_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mark_inside_makes_a_directory_ours() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::of(root.path());
        let found = |local, installing, backup| Found { local, installing, backup };
        let absent = found(Local::Absent, Installing::Absent, Backup::Absent);
        assert_eq!(place.look().unwrap(), absent);
        for dir in [&place.local, &place.installing, &place.backup] {
            fs::create_dir(dir).unwrap();
        }
        let foreign = found(Local::Plain, Installing::Foreign, Backup::Foreign);
        assert_eq!(place.look().unwrap(), foreign);
        for dir in [&place.local, &place.installing, &place.backup] {
            mark(dir, Mark::Replaced).unwrap();
        }
        let owned = found(Local::Marked, Installing::Owned, Backup::Replaced);
        assert_eq!(place.look().unwrap(), owned);
        // A mark that says nothing is still a mark.
        fs::write(place.backup.join(OWNER_MARKER), "").unwrap();
        assert_eq!(place.look().unwrap().backup, Backup::Expendable);
        fs::remove_file(place.backup.join(OWNER_MARKER)).unwrap();
        fs::create_dir(place.backup.join(OWNER_MARKER)).unwrap();
        assert_eq!(place.look().unwrap().backup, Backup::Foreign);
    }

    #[test]
    fn links_are_foreign_and_never_written_through() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs::write(&kept, "theirs").unwrap();
        fs::write(outside.path().join(OWNER_MARKER), "replaced").unwrap();
        let place = Place::of(root.path());
        for dir in [&place.local, &place.installing, &place.backup] {
            symlink(outside.path(), dir).unwrap();
        }
        let found = place.look().unwrap();
        assert_eq!(found.local, Local::Foreign);
        assert_eq!(found.installing, Installing::Foreign);
        assert_eq!(found.backup, Backup::Foreign);
        remove_if_empty(&place.backup).unwrap();

        let owned = tempfile::tempdir().unwrap();
        symlink(&kept, owned.path().join(OWNER_MARKER)).unwrap();
        symlink(outside.path(), owned.path().join("link")).unwrap();
        mark(owned.path(), Mark::Installing).unwrap();
        remove_owned(owned.path()).unwrap();
        assert!(!owned.path().exists());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "theirs");
    }
}
