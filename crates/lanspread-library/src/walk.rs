//! Lists the content files of a game root.
//!
//! Through handles of directories, so that a file costs one question whatever the depth, and nothing
//! that a link leads to is ever looked at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use lanspread_disk::foreign::is_foreign_entry;
use lanspread_disk::{DirReader, Entry, Kind};
use lanspread_proto::RelPath;
use lanspread_proto::fold::is_same_fold;
use lanspread_proto::limits::{DIRECTORIES_MAX, MANIFEST_MAX_FILES};
use lanspread_proto::manifest::{ManifestError, VERSION_FILE};
use lanspread_proto::path::PathError;
use lanspread_proto::reserved::{LOCAL_DIR, is_reserved_as_spelled, is_reserved_root_name};

use crate::names::root_name;
use crate::problem::{GameProblem, GameProblems, ProblemReason};
use crate::stamp::{Fingerprint, SentinelLook, Stamp, StampedFile};

/// What is in a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The content files, the sentinel and the empty directories; nothing where there is no sentinel.
    pub(super) fingerprint: Fingerprint,
    /// Whether the sentinel is a regular file.
    pub(super) has_sentinel: bool,
    /// Whether `local/` is a directory, and not a link to one.
    pub(super) installed: bool,
    /// What has the name of `local/` or of the sentinel and is something else.
    pub(super) misplaced: Vec<PathBuf>,
    /// What belongs to the game and cannot travel.
    pub(super) problems: GameProblems,
    /// Whether there are more empty directories than are told.
    pub(super) has_more_directories: bool,
}

/// Why a root was not listed.
#[derive(Debug)]
pub(super) enum RootError {
    /// It is no directory of its own.
    Special,
    /// It cannot be read.
    Unreadable(io::Error),
}

/// Lists `root` and, if it has a sentinel, all that is below it; `None` when it is not there. Opens
/// no file.
pub(super) fn list_root(root: &Path) -> Result<Option<Listing>, RootError> {
    let reader = match DirReader::open(root) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(RootError::Special);
        }
        Err(error) => return Err(RootError::Unreadable(error)),
    };
    let mut walk = Walk {
        root,
        listing: Listing::default(),
        sentinel: None,
        files: Vec::new(),
        directories: BTreeSet::new(),
        directories_seen: 0,
    };
    walk.root_level(reader).map_err(RootError::Unreadable)?;
    let Walk { mut listing, sentinel, files, directories, .. } = walk;
    if files.len() > MANIFEST_MAX_FILES {
        let error = ManifestError::TooManyFiles(files.len());
        listing.problems.add(GameProblem::of_manifest(&error));
    }
    listing.fingerprint = Fingerprint::new(files, sentinel, directories);
    Ok(Some(listing))
}

/// Returns whether a root has a sentinel, and nothing that cannot travel.
pub fn is_whole(root: &Path) -> bool {
    match list_root(root) {
        Ok(Some(listing)) => listing.has_sentinel && listing.problems.is_empty(),
        Ok(None) | Err(_) => false,
    }
}

/// Returns whether the content files of a root still look as they did, and nothing has come or
/// gone.
pub fn looks_like(root: &Path, fingerprint: &Fingerprint) -> bool {
    match list_root(root) {
        Ok(Some(listing)) => listing.fingerprint == *fingerprint && listing.problems.is_empty(),
        Ok(None) | Err(_) => false,
    }
}

struct Walk<'a> {
    root: &'a Path,
    listing: Listing,
    sentinel: Option<SentinelLook>,
    files: Vec<StampedFile>,
    /// The innermost empty directories: the first ones in path order.
    directories: BTreeSet<RelPath>,
    /// How many there are.
    directories_seen: usize,
}

impl Walk<'_> {
    fn root_level(&mut self, mut dir: DirReader) -> io::Result<()> {
        let (mut entries, mut reserved) = (Vec::new(), Vec::new());
        while let Some(mut entry) = dir.next_entry()? {
            // The disk may spell the names that mean something in its own way.
            if let Some(name) = entry.name.to_str()
                && let known = root_name(self.root, name)
                && known != name
            {
                entry.name = known.into();
            }
            match entry.name.to_str() {
                Some(LOCAL_DIR) => {
                    self.listing.installed = entry.kind == Kind::Directory;
                    if !self.listing.installed {
                        self.listing.misplaced.push(self.root.join(LOCAL_DIR));
                    }
                }
                // Here belongs whatever else systems and launchers leave in a root.
                Some(name) if is_reserved_root_name(name) => reserved.push(name.to_owned()),
                Some(VERSION_FILE) if entry.kind != Kind::File => {
                    self.listing.misplaced.push(self.root.join(VERSION_FILE));
                }
                Some(VERSION_FILE) => self.found_sentinel(&dir, &entry.name)?,
                _ => entries.push(entry),
            }
        }
        // Whatever else is in a root, without a sentinel it is no game.
        if self.listing.has_sentinel {
            for entry in entries {
                self.visit(&dir, Path::new(""), &entry)?;
            }
            for name in reserved.iter().filter(|name| !is_reserved_as_spelled(name)) {
                let message =
                    "it cannot be shared: another disk takes it for a name of the peer's own";
                self.problem(Path::new(name), ProblemReason::Name, message.to_owned());
            }
        }
        Ok(())
    }

    fn found_sentinel(&mut self, dir: &DirReader, name: &OsStr) -> io::Result<()> {
        match dir.look(name) {
            Ok(found) => {
                self.listing.has_sentinel = true;
                let (stamp, is_executable) = (Stamp::of_found(&found), found.is_executable);
                self.sentinel = Some(SentinelLook { stamp, is_executable });
                Ok(())
            }
            // What vanishes meanwhile is as good as never seen.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn visit(&mut self, dir: &DirReader, parent: &Path, entry: &Entry) -> io::Result<()> {
        // Before its name is judged: some foreign names could not travel.
        if is_foreign_entry(entry) {
            return Ok(());
        }
        let native = parent.join(&entry.name);
        // One more than may be is enough to know that there are too many.
        if self.files.len() > MANIFEST_MAX_FILES {
            return Ok(());
        }
        if !matches!(entry.kind, Kind::Directory | Kind::File) {
            let kind = match entry.kind {
                Kind::Link => "a link",
                Kind::Pipe => "a FIFO",
                Kind::Socket => "a socket",
                _ => "a device file",
            };
            let message = format!("it cannot be shared: it is {kind}");
            self.problem(&native, ProblemReason::Special, message);
            return Ok(());
        }
        // That paths become no deeper than this bounds the walk.
        let path = match RelPath::from_native(&native) {
            Ok(path) => path,
            Err(error) => {
                let reason = match error {
                    PathError::Component { .. } => ProblemReason::Name,
                    PathError::NotUtf8(_) => ProblemReason::NotUtf8,
                    PathError::TooLong(_) | PathError::TooDeep(_) => ProblemReason::TooDeep,
                };
                self.problem(&native, reason, format!("it cannot be shared: {}", told(&error)));
                return Ok(());
            }
        };
        let visited = if entry.kind == Kind::Directory {
            let before = (self.files.len(), self.directories_seen);
            self.descend(dir, &native, &entry.name).map(|()| {
                if (self.files.len(), self.directories_seen) == before {
                    self.found_empty(path);
                }
            })
        } else {
            dir.look(&entry.name).map(|found| {
                let (stamp, is_executable) = (Stamp::of_found(&found), found.is_executable);
                self.files.push(StampedFile { path, stamp, is_executable });
            })
        };
        match visited {
            // What vanishes meanwhile is as good as never seen.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                self.problem(&native, ProblemReason::Unreadable, message);
            }
        }
        Ok(())
    }

    /// A directory holds no content, and no directory that is listed.
    fn found_empty(&mut self, path: RelPath) {
        self.directories_seen += 1;
        // Where letter case counts, it is not the sentinel; elsewhere it would be in its way.
        if is_same_fold(path.first(), VERSION_FILE) {
            return;
        }
        self.directories.insert(path);
        if self.directories.len() > DIRECTORIES_MAX {
            self.directories.pop_last();
            self.listing.has_more_directories = true;
        }
    }

    fn descend(&mut self, parent: &DirReader, native: &Path, name: &OsStr) -> io::Result<()> {
        let mut dir = parent.open_below(name)?;
        while let Some(entry) = dir.next_entry()? {
            self.visit(&dir, native, &entry)?;
        }
        Ok(())
    }

    fn problem(&mut self, native: &Path, reason: ProblemReason, message: String) {
        self.listing.problems.add(GameProblem { path: shown(native), reason, message });
    }
}

/// The reason without the path, which stands beside it.
fn told(error: &PathError) -> String {
    match error {
        PathError::Component { component, reason, .. } => {
            format!("the name {component:?}: {reason}")
        }
        PathError::NotUtf8(_) => "its name is not UTF-8".to_owned(),
        PathError::TooDeep(_) => "its path is deeper than 32 components".to_owned(),
        PathError::TooLong(_) => error.to_string(),
    }
}

/// A path as text: bytes that are not UTF-8 as `\xE9`, control characters as `\n`.
fn shown(native: &Path) -> String {
    let mut text = String::new();
    for chunk in native.as_os_str().as_encoded_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter.is_control() {
                true => text.extend(letter.escape_default()),
                false => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}
