//! The names that an archive, or all archives of a stream, have used so far.

use std::collections::HashMap;

use lanspread_proto::RelPath;
use lanspread_proto::stream::STREAM_ENTRIES_MAX;

use crate::error::UnsafeReason;

/// Most files and directories, implied ones included, that one archive may name, or all archives of
/// one stream together.
///
/// Small enough that a hostile archive of the longest names takes less than 100 MiB here.
pub const NAMES_MAX: usize = STREAM_ENTRIES_MAX as usize;

/// Why a name cannot be added.
pub(crate) enum NameConflict {
    Refused(UnsafeReason),
    Full,
}

#[derive(Clone, Copy)]
struct Node {
    id: u32,
    is_file: bool,
}

/// A tree of names, kept by component so that deep paths do not repeat their parents.
#[derive(Default)]
pub(crate) struct NameTree {
    nodes: HashMap<(u32, Box<str>), Node>,
    /// Sizes in bytes by id, which ascend from 1 on; 0 for directories.
    sizes: Vec<u64>,
    /// How many names were there before the archive that is read.
    before_archive: usize,
}

impl NameTree {
    const ROOT_ID: u32 = 0;

    /// Begins another archive: the files of those before it are none of its own.
    pub(crate) fn begin_archive(&mut self) {
        self.before_archive = self.sizes.len();
    }

    /// The size of a file that the archive which is read has brought so far.
    pub(crate) fn file_size(&self, path: &RelPath) -> Option<u64> {
        let mut node = Node { id: Self::ROOT_ID, is_file: false };
        for component in path.components() {
            node = *self.nodes.get(&(node.id, Box::from(component)))?;
        }
        let index = usize::try_from(node.id).ok()?.checked_sub(1)?;
        let is_of_archive = node.is_file && index >= self.before_archive;
        self.sizes.get(index).copied().filter(|_| is_of_archive)
    }

    /// Adds a file of a size, which must be new, or a directory, which may be known already as one.
    pub(crate) fn add(&mut self, path: &RelPath, size: Option<u64>) -> Result<(), NameConflict> {
        let is_file = size.is_some();
        let mut parent = Self::ROOT_ID;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let is_last = components.peek().is_none();
            let key = (parent, Box::from(component));
            let Some(known) = self.nodes.get(&key) else {
                parent = self.insert(key, size.filter(|_| is_last))?;
                continue;
            };
            if known.is_file && !is_last {
                return Err(NameConflict::Refused(UnsafeReason::BelowFile));
            }
            if is_last && (known.is_file || is_file) {
                return Err(NameConflict::Refused(UnsafeReason::Duplicate));
            }
            parent = known.id;
        }
        Ok(())
    }

    fn insert(&mut self, key: (u32, Box<str>), size: Option<u64>) -> Result<u32, NameConflict> {
        if self.nodes.len() >= NAMES_MAX {
            return Err(NameConflict::Full);
        }
        let id = u32::try_from(self.nodes.len() + 1).map_err(|_| NameConflict::Full)?;
        self.nodes.insert(key, Node { id, is_file: size.is_some() });
        self.sizes.push(size.unwrap_or_default());
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tree: &mut NameTree, path: &str, is_file: bool) -> Result<(), Option<UnsafeReason>> {
        let size = is_file.then_some(path.len() as u64);
        tree.add(&RelPath::new(path).unwrap(), size).map_err(|conflict| match conflict {
            NameConflict::Refused(reason) => Some(reason),
            NameConflict::Full => None,
        })
    }

    #[test]
    fn directories_may_repeat_and_files_may_not() {
        let mut tree = NameTree::default();
        assert_eq!(add(&mut tree, "a/b/c.txt", true), Ok(()));
        assert_eq!(add(&mut tree, "a/b", false), Ok(()));
        assert_eq!(add(&mut tree, "a/b", false), Ok(()));
        assert_eq!(add(&mut tree, "c.txt", true), Ok(()));
        assert_eq!(add(&mut tree, "a/b/c.txt", true), Err(Some(UnsafeReason::Duplicate)));
        assert_eq!(add(&mut tree, "a/b/c.txt", false), Err(Some(UnsafeReason::Duplicate)));
        assert_eq!(add(&mut tree, "a/b", true), Err(Some(UnsafeReason::Duplicate)));
        assert_eq!(add(&mut tree, "a/b/c.txt/d", true), Err(Some(UnsafeReason::BelowFile)));
    }

    #[test]
    fn the_size_of_a_file_is_known_while_its_archive_is_read() {
        let mut tree = NameTree::default();
        let size = |tree: &NameTree, path: &str| tree.file_size(&RelPath::new(path).unwrap());
        tree.begin_archive();
        assert_eq!(add(&mut tree, "a/file", true), Ok(()));
        assert_eq!(size(&tree, "a/file"), Some(6));
        for other in ["a", "file", "a/file/b", "a/other"] {
            assert_eq!(size(&tree, other), None, "{other}");
        }
        tree.begin_archive();
        assert_eq!(size(&tree, "a/file"), None);
        assert_eq!(add(&mut tree, "a/second", true), Ok(()));
        assert_eq!(size(&tree, "a/second"), Some(8));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut tree = NameTree::default();
        for index in 0..NAMES_MAX {
            assert_eq!(add(&mut tree, &format!("f{index}"), true), Ok(()));
        }
        assert_eq!(add(&mut tree, "one-more", true), Err(None));
    }
}
