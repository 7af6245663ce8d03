//! What the names on a disk mean that may be spelled in several ways.
//!
//! On a disk that ignores letter case `Quake/` is the root of `quake`, and `VERSION.INI` in it the
//! sentinel: whoever opens them by their names finds them. On a disk that does not, they are something
//! else. The disk itself is asked, each time and only in doubt; see `lanspread_disk::is_spelling_of`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lanspread_catalog::Catalog;
use lanspread_disk::is_spelling_of;
use lanspread_proto::GameId;
use lanspread_proto::fold::{fold, is_same_fold};
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::reserved::LOCAL_DIR;

/// Returns what `name`, which is listed in `root`, is called: `local` and the sentinel by those
/// names if the disk finds it under one of them, and everything else as it is.
pub(crate) fn root_name<'a>(root: &Path, name: &'a str) -> &'a str {
    let meant =
        [LOCAL_DIR, VERSION_FILE].into_iter().find(|known| is_spelling_of(root, name, known));
    meant.unwrap_or(name)
}

/// Returns the games of the catalog whose roots are among `names`, which are listed in `games_dir`.
pub fn root_ids(
    games_dir: &Path,
    catalog: &Catalog,
    names: impl Iterator<Item = String>,
) -> BTreeSet<GameId> {
    let in_catalog = |name: &str| GameId::new(name).ok().filter(|id| catalog.get(id).is_some());
    let (mut ids, mut others) = (BTreeSet::new(), Vec::new());
    for name in names {
        match in_catalog(&name) {
            Some(id) => drop(ids.insert(id)),
            None => others.push(name),
        }
    }
    if others.is_empty() {
        return ids;
    }
    let folded: BTreeMap<_, _> =
        catalog.iter().map(|game| (fold(game.id.as_str()), &game.id)).collect();
    for name in others {
        let meant = folded.get(&fold(&name));
        ids.extend(
            meant.filter(|id| is_spelling_of(games_dir, &name, id.as_str())).copied().cloned(),
        );
    }
    ids
}

/// Returns the game of the catalog whose root may be called `name`. A hint: no disk is asked.
pub fn may_be_root_of(catalog: &Catalog, name: &str) -> Option<GameId> {
    let exact = GameId::new(name).ok().filter(|id| catalog.get(id).is_some());
    exact.or_else(|| {
        let mut ids = catalog.iter().map(|game| &game.id);
        ids.find(|id| is_same_fold(id.as_str(), name)).cloned()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_catalog::CatalogGame;

    use super::*;

    #[test]
    fn on_a_disk_that_tells_spellings_apart_only_exact_names_count() {
        let games = tempfile::tempdir().unwrap();
        let ids = ["doom", "quake"];
        let game = |id: &str| CatalogGame::new(id.parse().unwrap(), id, "1".parse().unwrap());
        let catalog = Catalog::from_games(ids.map(game)).unwrap();
        for name in ["Quake", "doom", "other", "doom/LOCAL", "doom/version.ini"] {
            fs::create_dir(games.path().join(name)).unwrap();
        }
        let names = || ["Quake", "doom", "other"].into_iter();
        let found = root_ids(games.path(), &catalog, names().map(str::to_owned));
        assert_eq!(found, BTreeSet::from(["doom".parse().unwrap()]));
        assert_eq!(may_be_root_of(&catalog, "QUAKE"), Some("quake".parse().unwrap()));
        assert_eq!(may_be_root_of(&catalog, "other"), None);
        let root = games.path().join("doom");
        let meant = ["LOCAL", "version.ini", "VERSION.INI", "x"].map(|name| root_name(&root, name));
        assert_eq!(meant, ["LOCAL", "version.ini", "VERSION.INI", "x"]);
    }
}
