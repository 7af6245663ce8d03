//! What a disk would still have after a power cut.
//!
//! The model is the strict reading of POSIX: the content of a file is durable as of its last sync,
//! and so are the entries of a directory; creating, renaming and removing take part in nothing but
//! the sync of their directories. What is on disk when the shadow begins counts as durable. A file
//! is known by its inode, which an open descriptor keeps from being used again.
//!
//! Of what was not synced a real disk keeps some. So [`Keep::Some`] draws: for the content of each
//! file the old, the new, or a mix block by block; for the entries of directories each independent
//! change on its own. A rename is one change, and so is all that concerns the same file or name. Only
//! what differs from the last sync counts, so that of several renames of one name more may be lost
//! than a real disk would lose.
//!
//! Not modelled: links with several names, modes, holes, and what a disk does that lies about a sync.

#![expect(clippy::indexing_slicing, reason = "only the crash tests reach this")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::platform::file_id;
use crate::platform::testing::make_link;

/// What content is mixed by: no disk writes less at once.
const BLOCK_BYTES: usize = 4096;

/// What a power cut keeps of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Whatever the seed draws.
    Some,
}

type Inode = (u64, u64);
type Entries = BTreeMap<OsString, Node>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File(Inode),
    Directory(Inode),
    Link(PathBuf),
}

#[derive(Debug, Clone)]
pub(super) struct Content {
    bytes: Vec<u8>,
    modified: SystemTime,
}

/// What a sync makes durable.
#[derive(Debug)]
pub(super) enum Seen {
    File(Inode, Content, File),
    Directory(Inode, Entries, Vec<(Inode, File)>),
}

/// What is durable of a directory and all below it.
#[derive(Debug)]
pub struct Shadow {
    top: PathBuf,
    top_inode: Inode,
    files: BTreeMap<Inode, Content>,
    directories: BTreeMap<Inode, Entries>,
    /// Keeps every known inode from being used for another file.
    pins: BTreeMap<Inode, File>,
}

/// What is on the disk now.
#[derive(Debug, Default)]
struct Current {
    files: BTreeMap<Inode, Content>,
    directories: BTreeMap<Inode, Entries>,
}

/// One name that is not what it was at the last sync of its directory.
struct Change {
    directory: Inode,
    name: OsString,
    before: Option<Node>,
    after: Option<Node>,
}

impl Seen {
    /// Reads what is at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_dir() {
            let content = Content { bytes: fs::read(path)?, modified: metadata.modified()? };
            return Ok(Self::File(file_id(&metadata), content, file));
        }
        let (mut entries, mut pins) = (Entries::new(), vec![(file_id(&metadata), file)]);
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // What goes while it is looked at was not there for the sync either.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            let node = if metadata.is_symlink() {
                Node::Link(fs::read_link(entry.path())?)
            } else {
                let Ok(pin) = File::open(entry.path()) else { continue };
                let inode = file_id(&pin.metadata()?);
                pins.push((inode, pin));
                if metadata.is_dir() { Node::Directory(inode) } else { Node::File(inode) }
            };
            entries.insert(entry.file_name(), node);
        }
        Ok(Self::Directory(file_id(&metadata), entries, pins))
    }
}

impl Shadow {
    /// Takes all that is in `top` for durable.
    pub(super) fn of(top: &Path) -> io::Result<Self> {
        let top_inode = file_id(&fs::metadata(top)?);
        let (files, directories) = (BTreeMap::new(), BTreeMap::new());
        let mut shadow =
            Self { top: top.to_path_buf(), top_inode, files, directories, pins: BTreeMap::new() };
        walk(top, &mut |seen| shadow.made_durable(seen))?;
        Ok(shadow)
    }

    pub(super) fn made_durable(&mut self, seen: Seen) {
        match seen {
            Seen::File(inode, content, pin) => {
                self.files.insert(inode, content);
                self.pins.entry(inode).or_insert(pin);
            }
            Seen::Directory(inode, entries, pins) => {
                self.directories.insert(inode, entries);
                for (inode, pin) in pins {
                    self.pins.entry(inode).or_insert(pin);
                }
            }
        }
    }

    /// Writes to `target`, which must not exist, what a power cut now would leave.
    pub(super) fn write_to(&mut self, target: &Path, keep: Keep, seed: u64) -> io::Result<()> {
        let mut dice = Dice::new(seed);
        let mut directories = self.directories.clone();
        let mut files = self.files.clone();
        if keep == Keep::Some {
            let mut current = Current::default();
            walk(&self.top, &mut |seen| current.add(seen))?;
            for group in groups(self.changes(&current)) {
                if dice.flip() {
                    for Change { directory, name, after, .. } in group {
                        let entries = directories.entry(directory).or_default();
                        match after {
                            Some(node) => drop(entries.insert(name, node)),
                            None => drop(entries.remove(&name)),
                        }
                    }
                }
            }
            for (inode, content) in current.files {
                let durable = files.remove(&inode);
                files.insert(inode, dice.mix(durable, content));
            }
        }
        write_directory(target, self.top_inode, &directories, &files)
    }

    fn changes(&self, current: &Current) -> Vec<Change> {
        let nothing = Entries::new();
        let known: BTreeSet<_> =
            self.directories.keys().chain(current.directories.keys()).collect();
        let mut changes = Vec::new();
        for directory in known {
            let before = self.directories.get(directory).unwrap_or(&nothing);
            let after = current.directories.get(directory).unwrap_or(&nothing);
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            changes.extend(
                names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(
                    |name| Change {
                        directory: *directory,
                        name: name.clone(),
                        before: before.get(name).cloned(),
                        after: after.get(name).cloned(),
                    },
                ),
            );
        }
        changes
    }
}

impl Current {
    fn add(&mut self, seen: Seen) {
        match seen {
            Seen::File(inode, content, _) => drop(self.files.insert(inode, content)),
            Seen::Directory(inode, entries, _) => drop(self.directories.insert(inode, entries)),
        }
    }
}

/// Puts together what concerns the same file, such as the two names of a rename.
fn groups(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut groups: Vec<(BTreeSet<Inode>, Vec<Change>)> = Vec::new();
    for change in changes {
        let mut inodes: BTreeSet<_> =
            [&change.before, &change.after].into_iter().flatten().filter_map(Node::inode).collect();
        let mut members = vec![change];
        let (same, others): (Vec<_>, _) =
            groups.into_iter().partition(|(known, _)| !known.is_disjoint(&inodes));
        for (known, changes) in same {
            inodes.extend(known);
            members.extend(changes);
        }
        groups = others;
        groups.push((inodes, members));
    }
    groups.into_iter().map(|(_, changes)| changes).collect()
}

impl Node {
    fn inode(&self) -> Option<Inode> {
        match self {
            Self::File(inode) | Self::Directory(inode) => Some(*inode),
            Self::Link(_) => None,
        }
    }
}

/// Shows everything from `path` down. What goes meanwhile is passed over.
fn walk(path: &Path, show: &mut impl FnMut(Seen)) -> io::Result<()> {
    let seen = Seen::at(path)?;
    let below = match &seen {
        Seen::File(..) => Vec::new(),
        Seen::Directory(_, entries, _) => entries
            .iter()
            .filter(|(_, node)| !matches!(node, Node::Link(_)))
            .map(|(name, _)| path.join(name))
            .collect(),
    };
    show(seen);
    for path in below {
        match walk(&path, show) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn write_directory(
    target: &Path,
    inode: Inode,
    directories: &BTreeMap<Inode, Entries>,
    files: &BTreeMap<Inode, Content>,
) -> io::Result<()> {
    fs::create_dir(target)?;
    for (name, node) in directories.get(&inode).into_iter().flatten() {
        let path = target.join(name);
        match node {
            Node::Directory(inode) => write_directory(&path, *inode, directories, files)?,
            Node::Link(to) => make_link(to, &path),
            Node::File(inode) => {
                let file = File::create_new(&path)?;
                // One that was never synced has its name and nothing in it.
                if let Some(Content { bytes, modified }) = files.get(inode) {
                    io::Write::write_all(&mut &file, bytes)?;
                    file.set_modified(*modified)?;
                }
            }
        }
    }
    Ok(())
}

/// Draws the same from the same seed. SplitMix64: small, and good enough to toss coins.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that draw what `seed` says.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// The durable content, the current one, or blocks of both at the size of either.
    fn mix(&mut self, durable: Option<Content>, current: Content) -> Content {
        let durable =
            durable.unwrap_or_else(|| Content { bytes: Vec::new(), modified: current.modified });
        if durable.bytes == current.bytes {
            return if self.flip() { durable } else { current };
        }
        match self.below(3) {
            0 => durable,
            1 => current,
            _ => {
                let sized = if self.flip() { &durable } else { &current };
                let mut bytes = vec![0; sized.bytes.len()];
                for (number, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
                    let from = if self.flip() { &durable } else { &current };
                    let from = from.bytes.get(number * BLOCK_BYTES..).unwrap_or_default();
                    let len = block.len().min(from.len());
                    block[..len].copy_from_slice(&from[..len]);
                }
                let modified = if self.flip() { durable.modified } else { current.modified };
                Content { bytes, modified }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A disk with `a`, which holds `old`, and what a power cut leaves of it.
    struct Disk {
        dir: TempDir,
        shadow: Shadow,
    }

    impl Disk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("disk")).unwrap();
            fs::write(dir.path().join("disk/a"), "old").unwrap();
            let shadow = Shadow::of(&dir.path().join("disk")).unwrap();
            Self { dir, shadow }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.dir.path().join("disk").join(path)
        }

        fn sync(&mut self, path: &str) {
            self.shadow.made_durable(Seen::at(&self.path(path)).unwrap());
        }

        /// Names and contents after a power cut.
        fn cut(&mut self, keep: Keep, seed: u64) -> Vec<String> {
            let target = self.dir.path().join("cut");
            self.shadow.write_to(&target, keep, seed).unwrap();
            let mut found = Vec::new();
            walk(&target, &mut |seen| {
                if let Seen::Directory(_, entries, _) = seen {
                    found.extend(entries.into_keys().map(|name| name.into_string().unwrap()));
                }
            })
            .unwrap();
            let text = |name: &str| fs::read_to_string(target.join(name)).unwrap_or_default();
            let found = found.iter().map(|name| format!("{name}={}", text(name))).collect();
            fs::remove_dir_all(target).unwrap();
            found
        }
    }

    #[test]
    fn content_counts_as_of_the_sync_of_its_file() {
        let mut disk = Disk::new();
        fs::write(disk.path("a"), "new").unwrap();
        assert_eq!(disk.cut(Keep::Nothing, 0), ["a=old"]);
        disk.sync("a");
        fs::write(disk.path("a"), "newer").unwrap();
        assert_eq!(disk.cut(Keep::Nothing, 0), ["a=new"]);
    }

    #[test]
    fn names_count_as_of_the_sync_of_their_directory() {
        let mut disk = Disk::new();
        fs::write(disk.path("b"), "b").unwrap();
        disk.sync("b");
        fs::rename(disk.path("a"), disk.path("c")).unwrap();
        fs::create_dir(disk.path("d")).unwrap();
        assert_eq!(disk.cut(Keep::Nothing, 0), ["a=old"]);
        fs::write(disk.path("d/e"), "").unwrap();
        disk.sync("");
        assert_eq!(disk.cut(Keep::Nothing, 0), ["b=b", "c=old", "d="]);
        fs::remove_file(disk.path("b")).unwrap();
        // Its inode is not used again for another file, which would pass for it.
        fs::write(disk.path("f"), "f").unwrap();
        disk.sync("f");
        assert_eq!(disk.cut(Keep::Nothing, 0), ["b=b", "c=old", "d="]);
    }

    #[test]
    fn a_file_that_was_never_synced_has_a_name_at_most() {
        let mut disk = Disk::new();
        fs::write(disk.path("b"), "b").unwrap();
        disk.sync("");
        assert_eq!(disk.cut(Keep::Nothing, 0), ["a=old", "b="]);
    }

    #[test]
    fn of_a_rename_that_was_not_synced_both_names_or_none_change() {
        let mut disk = Disk::new();
        fs::rename(disk.path("a"), disk.path("c")).unwrap();
        fs::write(disk.path("d"), "").unwrap();
        let outcomes: BTreeSet<_> = (0..100).map(|seed| disk.cut(Keep::Some, seed)).collect();
        let expected = [vec!["a=old"], vec!["a=old", "d="], vec!["c=old"], vec!["c=old", "d="]];
        let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(outcomes, BTreeSet::from(expected));
    }
}
