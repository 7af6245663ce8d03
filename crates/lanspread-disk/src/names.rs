//! Which names a disk may take for one.
//!
//! exFAT, FAT, NTFS as Windows mounts it, APFS and directories of ext4 with `casefold` do not tell
//! `DATA.PAK` from `data.pak`; some of them do not tell composed from decomposed letters either.
//! They differ in details, and ext4 differs from directory to directory. So [`fold`] errs on the
//! side of taking two names for one, and the disk has the last word on each pair in doubt: whether
//! it finds something under a name that it does not list.
//!
//! Inodes are of no use for that: exFAT over FUSE gives one file a different inode under each
//! spelling.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use lanspread_proto::fold::{fold, is_same_fold};

use crate::dir::Dir;

/// Returns whether `name`, which `directory` lists, is what its disk finds under `wanted`.
///
/// Costs nothing for names that are equal or unlike. An error of the disk counts as no.
#[must_use]
pub fn is_spelling_of(directory: &Path, name: &str, wanted: &str) -> bool {
    if name == wanted {
        return true;
    }
    if !is_same_fold(name, wanted) || fs::symlink_metadata(directory.join(wanted)).is_err() {
        return false;
    }
    // Something is there. If it is listed as it is wanted, `name` is something else.
    let lists_wanted = || {
        for entry in fs::read_dir(directory)? {
            if entry?.file_name() == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let answer: io::Result<bool> = lists_wanted();
    answer.is_ok_and(|is_listed| !is_listed)
}

/// The names in one directory at one moment, to be compared with names that are wanted there.
#[derive(Debug, Default)]
pub struct Listing {
    exact: HashSet<OsString>,
    folded: HashMap<String, OsString>,
}

impl Listing {
    /// Lists a directory.
    ///
    /// # Errors
    /// Whatever listing it reports.
    pub fn of(directory: &Dir) -> io::Result<Self> {
        Ok(Self::from_names(directory.entries()?.into_iter().map(|entry| entry.name)))
    }

    fn from_names(names: impl Iterator<Item = OsString>) -> Self {
        let mut listing = Self::default();
        for name in names {
            if let Some(text) = name.to_str() {
                listing.folded.insert(fold(text).into_owned(), name.clone());
            }
            listing.exact.insert(name);
        }
        listing
    }

    /// Returns whether a name is listed in exactly this spelling.
    #[must_use]
    pub fn contains(&self, name: &OsStr) -> bool {
        self.exact.contains(name)
    }

    /// Returns how the disk spells the name under which it finds `wanted`; `None` where it finds
    /// nothing. `finds` asks the disk for `wanted`, and is asked only when another spelling is in
    /// doubt.
    ///
    /// # Errors
    /// What `finds` reports.
    pub fn spelling(
        &self,
        wanted: &str,
        finds: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<Option<&OsStr>> {
        if let Some(exact) = self.exact.get(OsStr::new(wanted)) {
            return Ok(Some(exact));
        }
        match self.folded.get(&*fold(wanted)) {
            Some(other) if finds()? => Ok(Some(other)),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    /// A directory of a disk that folds names by a rule, or by none.
    struct Fake {
        names: Vec<&'static str>,
        rule: fn(&str) -> String,
    }

    impl Fake {
        fn finds(&self, wanted: &str) -> bool {
            self.names.iter().any(|name| (self.rule)(name) == (self.rule)(wanted))
        }

        fn spelling(&self, wanted: &str) -> Option<String> {
            let listing = Listing::from_names(self.names.iter().map(OsString::from));
            let spelling = listing.spelling(wanted, || Ok(self.finds(wanted))).unwrap();
            spelling.map(|name| name.to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn the_disk_has_the_last_word_about_a_spelling() {
        let names = vec!["DATA.PAK", "readme.txt", "caf\u{e9}"];
        let telling = Fake { names: names.clone(), rule: str::to_owned };
        let folding = Fake { names: names.clone(), rule: str::to_lowercase };
        let normalising = Fake { names, rule: |name| name.nfc().collect() };
        let found = |disk: &Fake| {
            ["data.pak", "readme.txt", "cafe\u{301}", "other"].map(|wanted| disk.spelling(wanted))
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(found(&telling), [None, some("readme.txt"), None, None]);
        assert_eq!(found(&folding), [some("DATA.PAK"), some("readme.txt"), None, None]);
        assert_eq!(found(&normalising), [None, some("readme.txt"), some("caf\u{e9}"), None]);
    }

    #[test]
    fn on_a_disk_that_tells_spellings_apart_only_the_wanted_name_counts() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("LOCAL"), "").unwrap();
        assert!(is_spelling_of(place.path(), "LOCAL", "LOCAL"));
        assert!(!is_spelling_of(place.path(), "LOCAL", "local"));
        fs::write(place.path().join("local"), "").unwrap();
        assert!(!is_spelling_of(place.path(), "LOCAL", "local"));
    }
}
