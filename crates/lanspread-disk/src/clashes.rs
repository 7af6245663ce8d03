//! Files that a disk cannot hold side by side, found before any of them is made.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use crate::dir::Dir;
use crate::names::fold;

/// The directory in which a disk is asked what it takes for one name. It is there for a moment only;
/// one that a crash left is removed before the next is made.
pub const PROBE_DIR: &str = ".lanspread.probe";

/// Most pairs about which a disk is asked. Names of one game that differ by case alone are few; a
/// disk that folds any of them folds the first ones.
const ASKED_MAX: usize = 64;

/// Two paths of which a disk cannot keep both as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The path that comes first.
    pub first: String,
    /// The path that the disk does not tell from it, or by which it calls it.
    pub second: String,
}

/// The pairs among `paths`, parents included, that some disk may take for one, and the names that
/// some disk may spell in another way. Pure: no disk is asked.
pub fn names_alike<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Clash> {
    let mut known: HashMap<String, &str> = HashMap::new();
    let mut alike = Vec::new();
    let mut last_parent = "";
    for path in paths {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let is_new_parent = parent != last_parent;
        last_parent = parent;
        let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        for prefix in parents.filter(|_| is_new_parent).chain([path]) {
            let first = *known.entry(fold(prefix).into_owned()).or_insert(prefix);
            if first != prefix {
                alike.push(Clash { first: first.to_owned(), second: prefix.to_owned() });
            } else if !prefix.is_ascii() && !prefix.nfc().eq(prefix.nfd()) {
                // Whether a name stays as it is spelled is asked as well.
                alike.push(Clash { first: prefix.to_owned(), second: prefix.to_owned() });
            }
        }
    }
    alike.dedup();
    alike
}

/// Asks the disk of `directory` about pairs that [`names_alike`] found, and returns the first of
/// which it cannot keep both. Leaves nothing behind.
///
/// # Errors
/// Whatever making or removing names reports.
pub fn find_clash(directory: &Dir, alike: &[Clash]) -> io::Result<Option<Clash>> {
    if alike.is_empty() {
        return Ok(None);
    }
    remove_probe(directory)?;
    directory.create_dir(PROBE_DIR)?;
    let probe = directory.dir(PROBE_DIR)?;
    // Pairs come before single names: they are what a game can lose a file by.
    let (pairs, single): (Vec<_>, Vec<_>) = alike.iter().partition(|c| c.first != c.second);
    let asked = pairs.into_iter().chain(single).take(ASKED_MAX);
    let mut clash = Ok(None);
    for pair in asked {
        clash = ask(&probe, pair);
        if !matches!(clash, Ok(None)) {
            break;
        }
    }
    drop(probe);
    remove_probe(directory)?;
    clash
}

fn ask(probe: &Dir, pair: &Clash) -> io::Result<Option<Clash>> {
    let name_of = |path: &str| path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned();
    let (first, second) = (name_of(&pair.first), name_of(&pair.second));
    probe.create_new(&first)?;
    let is_one = first != second && probe.look(&second)?.is_some();
    let spelled = probe.entries()?.into_iter().next().map(|entry| entry.name);
    probe.remove_file(&first)?;
    let spelled = spelled.map(|name| name.to_string_lossy().into_owned());
    Ok(match spelled {
        _ if is_one => Some(pair.clone()),
        Some(spelled) if spelled != first => {
            let second = Path::new(&pair.first).with_file_name(spelled);
            Some(Clash { first: pair.first.clone(), second: second.to_string_lossy().into_owned() })
        }
        _ => None,
    })
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
        names_alike(paths.iter().copied()).into_iter().map(|c| (c.first, c.second)).collect()
    }

    fn pair(first: &str, second: &str) -> (String, String) {
        (first.to_owned(), second.to_owned())
    }

    #[test]
    fn files_and_directories_that_differ_by_case_are_alike() {
        assert_eq!(pairs(&["a.txt", "b.txt", "d/a.txt", "d/e/a.txt"]), []);
        assert_eq!(pairs(&["A.txt", "a.txt"]), [pair("A.txt", "a.txt")]);
        assert_eq!(pairs(&["Data/a", "Data/b", "data/c"]), [pair("Data", "data")]);
        assert_eq!(pairs(&["DATA", "data/c"]), [pair("DATA", "data")]);
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        let found = pairs(&[composed, decomposed]);
        assert_eq!(found, [pair(composed, composed), pair(composed, decomposed)]);
    }

    #[test]
    fn a_disk_that_tells_names_apart_has_no_clash_and_keeps_no_probe() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(PROBE_DIR).join("left")).unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let alike = names_alike(["A.txt", "a.txt", "d/caf\u{e9}", "d/cafe\u{301}"].into_iter());
        assert_eq!(find_clash(&dir, &alike).unwrap(), None);
        assert!(dir.entries().unwrap().is_empty());
    }
}
