//! Files that a disk cannot hold side by side, found before any of them is made.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use lanspread_proto::fold::fold;
use lanspread_proto::reserved::PROBE_DIR;

use crate::dir::Dir;

/// Most pairs about which a disk is asked. Names of one game that differ by case alone are few; a
/// disk that folds any of them folds the first ones.
const PAIRS_MAX: usize = 64;

/// Most names of each kind that are tried by themselves: a disk that spells names in its own way does
/// so with all of a kind.
const SINGLE_MAX: usize = 2;

/// What a disk is to be asked about the names of a game.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Two paths that some disk may take for one.
    pairs: Vec<(String, String)>,
    /// Paths that some disk may spell in another way.
    single: Vec<String>,
}

/// Why a disk cannot hold a game as its paths have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clash {
    /// It takes two paths for one.
    Same {
        /// The path that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// It spells a path in its own way.
    Respelled {
        /// The path.
        path: String,
        /// What the disk makes of it.
        spelled: String,
    },
}

impl Doubts {
    /// What is in doubt about `paths`, parents included. Asks no disk.
    pub fn about<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut known: HashMap<String, &str> = HashMap::new();
        let mut doubts = Self::default();
        let (mut with_capitals, mut beyond_ascii) = (0, 0);
        let mut last_parent = "";
        for path in paths {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let is_new_parent = parent != last_parent;
            last_parent = parent;
            let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            for prefix in parents.filter(|_| is_new_parent).chain([path]) {
                let folded = fold(prefix).into_owned();
                let is_as_folded = folded == prefix;
                let is_new = !known.contains_key(&folded);
                let first = *known.entry(folded).or_insert(prefix);
                // Of two with one last name, their parents are the pair.
                if name_of(first) != name_of(prefix) && doubts.pairs.len() < PAIRS_MAX {
                    doubts.pairs.push((first.to_owned(), prefix.to_owned()));
                }
                let tried = if prefix.is_ascii() { &mut with_capitals } else { &mut beyond_ascii };
                let may_change = !prefix.is_ascii() || !is_as_folded;
                if is_new && may_change && *tried < SINGLE_MAX {
                    *tried += 1;
                    doubts.single.push(prefix.to_owned());
                }
            }
        }
        doubts.pairs.dedup();
        doubts
    }

    /// Returns whether no disk needs to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.single.is_empty()
    }

    /// Asks the disk of `directory`, and returns the first thing that it cannot hold. Leaves nothing
    /// behind.
    ///
    /// # Errors
    /// Whatever making or removing names reports.
    pub fn ask(&self, directory: &Dir) -> io::Result<Option<Clash>> {
        if self.is_empty() {
            return Ok(None);
        }
        remove_probe(directory)?;
        directory.create_dir(PROBE_DIR)?;
        let probe = directory.dir(PROBE_DIR)?;
        let clash = self.ask_in(&probe);
        drop(probe);
        remove_probe(directory)?;
        clash
    }

    fn ask_in(&self, probe: &Dir) -> io::Result<Option<Clash>> {
        for (first, second) in &self.pairs {
            probe.create_new(name_of(first))?;
            let is_same = probe.look(name_of(second))?.is_some();
            probe.remove_file(name_of(first))?;
            if is_same {
                return Ok(Some(Clash::Same { first: first.clone(), second: second.clone() }));
            }
        }
        for path in &self.single {
            probe.create_new(name_of(path))?;
            let spelled = probe.entries()?.into_iter().next().map(|entry| entry.name);
            probe.remove_file(name_of(path))?;
            if let Some(other) = spelled.filter(|spelled| *spelled != *name_of(path)) {
                let spelled = Path::new(path).with_file_name(other).display().to_string();
                return Ok(Some(Clash::Respelled { path: path.clone(), spelled }));
            }
        }
        Ok(None)
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn remove_probe(directory: &Dir) -> io::Result<()> {
    match directory.remove_tree(PROBE_DIR) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pairs(paths: &[&str]) -> Vec<(String, String)> {
        Doubts::about(paths.iter().copied()).pairs
    }

    fn pair(first: &str, second: &str) -> (String, String) {
        (first.to_owned(), second.to_owned())
    }

    #[test]
    fn files_and_directories_that_differ_by_case_are_in_doubt() {
        assert!(Doubts::about(["a.txt", "b.txt", "d/a.txt", "d/e/a.txt"].into_iter()).is_empty());
        assert_eq!(pairs(&["A.txt", "a.txt"]), [pair("A.txt", "a.txt")]);
        assert_eq!(pairs(&["Data/a", "Data/b", "data/c"]), [pair("Data", "data")]);
        assert_eq!(pairs(&["DATA", "data/c"]), [pair("DATA", "data")]);
        assert_eq!(pairs(&["Data/a", "data/a"]), [pair("Data", "data")]);
        assert_eq!(pairs(&["d/A/x", "d/a/X"]), [pair("d/A", "d/a"), pair("d/A/x", "d/a/X")]);
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        assert_eq!(pairs(&[composed, decomposed]), [pair(composed, decomposed)]);
    }

    #[test]
    fn some_names_of_each_kind_are_tried_by_themselves() {
        let paths = ["A", "B", "C", "d", "\u{e4}", "\u{e5}", "\u{e6}"];
        let doubts = Doubts::about(paths.into_iter());
        assert_eq!(doubts.single, ["A", "B", "\u{e4}", "\u{e5}"]);
    }

    #[test]
    fn a_disk_that_tells_names_apart_has_no_clash_and_keeps_no_probe() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(PROBE_DIR).join("left")).unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let names = ["A.txt", "a.txt", "d/caf\u{e9}", "d/cafe\u{301}", "E/x", "e/x"];
        let doubts = Doubts::about(names.into_iter());
        assert_eq!((doubts.pairs.len(), doubts.single.len()), (3, 3));
        assert_eq!(doubts.ask(&dir).unwrap(), None);
        assert!(dir.entries().unwrap().is_empty());
    }
}
