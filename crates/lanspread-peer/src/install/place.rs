//! The directories of a game root between which an installation moves, and the marks inside them.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lanspread_disk::Dir;

use crate::disk::{self, Point, below};
use crate::install::decision::{Backup, Found, Installing, Local};
use lanspread_proto::reserved::{BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR, OWNER_MARKER};
use crate::reserve::is_full;

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

    /// The root, open. Rights that are missing in it are no obstacle.
    pub(super) fn open(&self) -> io::Result<Dir> {
        Dir::open_owned(&self.root)
    }

    /// What is there. No link is followed.
    pub(super) fn look(&self) -> io::Result<Found> {
        // A look changes nothing, and so gives itself no rights.
        let root = match Dir::open(&self.root) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (local, installing) = (Local::Absent, Installing::Absent);
                return Ok(Found { local, installing, backup: Backup::Absent });
            }
            Err(error) => return Err(error),
        };
        let local = match look_at(&root, LOCAL_DIR)? {
            Entry::Absent => Local::Absent,
            Entry::Other => Local::Foreign,
            Entry::Directory(None) => Local::Plain,
            Entry::Directory(Some(_)) => Local::Marked,
        };
        let installing = match look_at(&root, INSTALLING_DIR)? {
            Entry::Absent => Installing::Absent,
            Entry::Other | Entry::Directory(None) => Installing::Foreign,
            Entry::Directory(Some(_)) => Installing::Owned,
        };
        let backup = match look_at(&root, BACKUP_DIR)? {
            Entry::Absent => Backup::Absent,
            Entry::Other | Entry::Directory(None) => Backup::Foreign,
            Entry::Directory(Some(mark)) if mark == Mark::Replaced.text() => Backup::Replaced,
            Entry::Directory(Some(_)) => Backup::Expendable,
        };
        Ok(Found { local, installing, backup })
    }
}

/// Marks a directory as ours, durably.
pub(crate) fn mark(directory: &Dir, mark: Mark) -> io::Result<()> {
    // It is made anew, because one that is there may be a link to somewhere else.
    below::remove_file_durably(directory, OWNER_MARKER)?;
    let mut file = below::create_file(Point::MarkWrite, directory, OWNER_MARKER)?;
    match file.write_all(mark.text().as_bytes()) {
        // An empty mark says the same, and a full disk must be able to lose an installation.
        Err(error) if mark == Mark::Removed && is_full(&error) => {}
        written => written?,
    }
    disk::sync_all(Point::MarkSync, &directory.at(OWNER_MARKER), &file)?;
    below::sync_dir(Point::MarkDirSync, directory)
}

/// Takes the mark out of a directory, durably.
pub(crate) fn unmark(directory: &Dir) -> io::Result<()> {
    below::remove_file_durably(directory, OWNER_MARKER)
}

/// Whether a directory carries a mark.
pub(crate) fn is_marked(directory: &Dir) -> io::Result<bool> {
    Ok(read_mark(directory)?.is_some())
}

/// Deletes a marked directory of a root, the mark last: what is left by a crash is still known to be
/// ours. What is mounted in it stays, and is an error.
pub(super) fn remove_owned(root: &Dir, name: &str) -> io::Result<()> {
    let directory = root.dir_to_empty(name)?;
    for entry in directory.entries()? {
        if entry.name != OWNER_MARKER {
            below::remove_tree(Point::OwnedRemove, &directory, &entry.name)?;
        }
    }
    below::sync_dir(Point::OwnedSync, &directory)?;
    unmark(&directory)?;
    below::remove_dir(Point::OwnedDirRemove, root, name)
}

/// Deletes a directory of a root if there is nothing in it.
pub(super) fn remove_if_empty(root: &Dir, name: &str) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    match below::remove_dir(Point::EmptyDirRemove, root, name) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
            Ok(())
        }
        result => result,
    }
}

fn look_at(root: &Dir, name: &str) -> io::Result<Entry> {
    match root.look(name)? {
        Some(found) if found.is_dir() => Ok(Entry::Directory(read_mark(&root.dir(name)?)?)),
        Some(_) => Ok(Entry::Other),
        None => Ok(Entry::Absent),
    }
}

/// The text of the mark. Only a regular file is one.
fn read_mark(directory: &Dir) -> io::Result<Option<String>> {
    if directory.look(OWNER_MARKER)?.is_none_or(|found| !found.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    directory.read(OWNER_MARKER)?.take(MARK_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
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
            mark(&Dir::open(dir).unwrap(), Mark::Replaced).unwrap();
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
        remove_if_empty(&place.open().unwrap(), BACKUP_DIR).unwrap();

        fs::remove_file(&place.backup).unwrap();
        fs::create_dir(&place.backup).unwrap();
        symlink(&kept, place.backup.join(OWNER_MARKER)).unwrap();
        symlink(outside.path(), place.backup.join("link")).unwrap();
        let opened = place.open().unwrap();
        mark(&opened.dir(BACKUP_DIR).unwrap(), Mark::Installing).unwrap();
        remove_owned(&opened, BACKUP_DIR).unwrap();
        assert!(!place.backup.exists());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "theirs");
    }
}
