//! Looks over a whole games directory for roots that are no longer as they are known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use lanspread_catalog::Catalog;
use lanspread_proto::GameId;

use crate::local_game::LocalGame;
use crate::problem::GameProblems;
use crate::scan::{ScanError, roots};
use crate::stamp::Fingerprint;
use crate::walk::list_root;

/// What a listing of a root shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickScan {
    fingerprint: Fingerprint,
    has_sentinel: bool,
    installed: bool,
    problems: Arc<GameProblems>,
}

/// Lists the root of every game of the catalog in `games_dir`, and opens no file.
///
/// A root that is no directory, or cannot be listed, is left out.
///
/// # Errors
/// [`ScanError`] when `games_dir` itself cannot be read.
pub fn quick_scan(
    games_dir: &Path,
    catalog: &Catalog,
) -> Result<BTreeMap<GameId, QuickScan>, ScanError> {
    let mut seen = BTreeMap::new();
    for game_id in roots(games_dir, catalog)? {
        // Who looks closer tells what is wrong with it.
        if let Ok(Some(listing)) = list_root(&games_dir.join(game_id.as_str())) {
            let glance = QuickScan {
                fingerprint: listing.fingerprint,
                has_sentinel: listing.has_sentinel,
                installed: listing.installed,
                problems: Arc::new(listing.problems),
            };
            seen.insert(game_id, glance);
        }
    }
    Ok(seen)
}

/// Returns the games that have to be looked at closer: new ones, changed ones, vanished ones, and
/// those whose files could not be listed or read the last time.
pub fn suspects(
    known: &BTreeMap<GameId, LocalGame>,
    seen: &BTreeMap<GameId, QuickScan>,
) -> BTreeSet<GameId> {
    let is_as_known = |game_id: &GameId, glance: &QuickScan| match known.get(game_id) {
        Some(game) => {
            game.fingerprint == glance.fingerprint
                && game.installed == glance.installed
                && game.problems == glance.problems
                && game.unread.is_none()
                && game.version.is_some() == game.manifest.is_some()
        }
        None => !glance.installed && !glance.has_sentinel,
    };
    let other = seen.iter().filter(|(game_id, glance)| !is_as_known(game_id, glance));
    let gone = known.keys().filter(|game_id| !seen.contains_key(*game_id));
    other.map(|(game_id, _)| game_id).chain(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_catalog::CatalogGame;

    use super::*;
    use crate::{Index, scan_games_dir};

    #[test]
    fn only_games_that_differ_from_what_is_known_are_suspect() {
        let games = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let ids = ["changed", "gone", "installed", "new", "partial", "same"];
        let game = |id: &str| CatalogGame::new(id.parse().unwrap(), id, "1".parse().unwrap());
        let catalog = Catalog::from_games(ids.map(game)).unwrap();
        let write = |path: &str| {
            let path = games.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"1").unwrap();
        };
        for id in ["changed", "gone", "installed", "same"] {
            write(&format!("{id}/version.ini"));
        }
        let (index, _) = Index::load(state.path()).unwrap();
        let known = scan_games_dir(games.path(), &catalog, &index).unwrap().games;
        let look = || suspects(&known, &quick_scan(games.path(), &catalog).unwrap());
        assert_eq!(look(), BTreeSet::new());

        write("changed/more.eti");
        fs::remove_dir_all(games.path().join("gone")).unwrap();
        write("installed/local/game.exe");
        write("new/version.ini");
        write("partial/partial.eti");
        write("same/deep/readme.txt");
        write("outside/version.ini");
        let expected =
            ["changed", "gone", "installed", "new", "same"].map(|id| id.parse().unwrap());
        assert_eq!(look(), BTreeSet::from(expected));
        fs::remove_dir_all(games.path()).unwrap();
        assert!(quick_scan(games.path(), &catalog).is_err());
    }
}
