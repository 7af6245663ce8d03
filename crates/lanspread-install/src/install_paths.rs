//! The directories of a game root between which an installation moves, and the marks inside them.

use std::io;
use std::path::{Path, PathBuf};

use lanspread_disk::Dir;
use lanspread_disk::durable::below;
use lanspread_disk::mark::{OwnerMarker, read_mark, unmark};
use lanspread_proto::reserved::{BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR, OWNER_MARKER};

use crate::decision::{Backup, Found, Installing, Local};
use crate::points;

/// One game root.
pub(super) struct InstallPaths {
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

impl InstallPaths {
    pub(super) fn of(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            local: root.join(LOCAL_DIR),
            installing: root.join(INSTALLING_DIR),
            backup: root.join(BACKUP_DIR),
        }
    }

    /// Returns the root, open. Rights that are missing in it are no obstacle.
    pub(super) fn open(&self) -> io::Result<Dir> {
        Dir::open_owned(&self.root)
    }

    /// Returns what is there. No link is followed.
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
            Entry::Directory(Some(mark)) if mark == OwnerMarker::Replaced.text() => {
                Backup::Replaced
            }
            Entry::Directory(Some(_)) => Backup::Expendable,
        };
        Ok(Found { local, installing, backup })
    }
}

/// Deletes a marked directory of a root, the mark last: what is left by a crash is still known to be
/// ours. What is mounted in it stays, and is an error.
pub(super) fn remove_owned(root: &Dir, name: &str) -> io::Result<()> {
    let directory = root.dir_to_empty(name)?;
    for entry in directory.entries()? {
        if entry.name != OWNER_MARKER {
            below::remove_tree(points::OWNED_REMOVE, &directory, &entry.name)?;
        }
    }
    below::sync_dir(points::OWNED_SYNC, &directory)?;
    unmark(&directory)?;
    below::remove_dir(points::OWNED_DIR_REMOVE, root, name)
}

/// Deletes a directory of a root if there is nothing in it.
pub(super) fn remove_if_empty(root: &Dir, name: &str) -> io::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    match below::remove_dir(lanspread_disk::points::EMPTY_DIR_REMOVE, root, name) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_disk::mark::mark;
    use lanspread_disk::testing::make_link;

    use super::*;

    #[test]
    fn a_mark_inside_makes_a_directory_ours() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstallPaths::of(root.path());
        let found = |local, installing, backup| Found { local, installing, backup };
        let absent = found(Local::Absent, Installing::Absent, Backup::Absent);
        assert_eq!(paths.look().unwrap(), absent);
        for dir in [&paths.local, &paths.installing, &paths.backup] {
            fs::create_dir(dir).unwrap();
        }
        let foreign = found(Local::Plain, Installing::Foreign, Backup::Foreign);
        assert_eq!(paths.look().unwrap(), foreign);
        for dir in [&paths.local, &paths.installing, &paths.backup] {
            mark(&Dir::open(dir).unwrap(), OwnerMarker::Replaced).unwrap();
        }
        let owned = found(Local::Marked, Installing::Owned, Backup::Replaced);
        assert_eq!(paths.look().unwrap(), owned);
        // A mark that says nothing is still a mark.
        fs::write(paths.backup.join(OWNER_MARKER), "").unwrap();
        assert_eq!(paths.look().unwrap().backup, Backup::Expendable);
        fs::remove_file(paths.backup.join(OWNER_MARKER)).unwrap();
        fs::create_dir(paths.backup.join(OWNER_MARKER)).unwrap();
        assert_eq!(paths.look().unwrap().backup, Backup::Foreign);
    }

    #[test]
    fn links_are_foreign_and_never_written_through() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs::write(&kept, "theirs").unwrap();
        fs::write(outside.path().join(OWNER_MARKER), "replaced").unwrap();
        let paths = InstallPaths::of(root.path());
        for dir in [&paths.local, &paths.installing, &paths.backup] {
            make_link(outside.path(), dir);
        }
        let found = paths.look().unwrap();
        assert_eq!(found.local, Local::Foreign);
        assert_eq!(found.installing, Installing::Foreign);
        assert_eq!(found.backup, Backup::Foreign);
        remove_if_empty(&paths.open().unwrap(), BACKUP_DIR).unwrap();

        fs::remove_file(&paths.backup).unwrap();
        fs::create_dir(&paths.backup).unwrap();
        make_link(&kept, paths.backup.join(OWNER_MARKER));
        make_link(outside.path(), paths.backup.join("link"));
        let opened = paths.open().unwrap();
        mark(&opened.dir(BACKUP_DIR).unwrap(), OwnerMarker::Installing).unwrap();
        remove_owned(&opened, BACKUP_DIR).unwrap();
        assert!(!paths.backup.exists());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "theirs");
    }
}
