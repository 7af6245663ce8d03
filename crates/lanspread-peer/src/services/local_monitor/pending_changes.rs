//! What watches have reported since it was last asked for.

use std::collections::BTreeSet;
use std::path::Path;

use lanspread_catalog::Catalog;
use lanspread_library::may_be_root_of;
use lanspread_proto::GameId;
use lanspread_proto::fold::is_same_fold;
use lanspread_proto::reserved::{LOCAL_DIR, is_reserved_root_name};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};

/// Grows with the games that changed, not with the changes: the catalog is its bound.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PendingChanges {
    /// Games of which something directly in the root changed, or the root itself.
    pub(super) games: BTreeSet<GameId>,
    /// Games whose root may be another directory than before, or none.
    pub(super) roots: BTreeSet<GameId>,
    /// Whether the games directory may be another one than before, or none.
    pub(super) is_games_dir_other: bool,
    /// Whether changes were not told one by one.
    pub(super) is_anything: bool,
}

impl PendingChanges {
    /// Takes in what a watch reported about `games_dir`, and says whether it matters.
    pub(super) fn note(
        &mut self,
        games_dir: &Path,
        catalog: &Catalog,
        report: Result<Event, notify::Error>,
    ) -> bool {
        let event = match report {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "a watch on the games directory reported an error");
                self.is_anything = true;
                return true;
            }
        };
        if event.need_rescan() {
            self.is_anything = true;
            return true;
        }
        if !is_change(event.kind) {
            return false;
        }
        let is_other_entry =
            !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Data(_)));
        let mut matters = false;
        for path in &event.paths {
            matters |= self.note_path(games_dir, catalog, path, is_other_entry);
        }
        matters
    }

    fn note_path(
        &mut self,
        games_dir: &Path,
        catalog: &Catalog,
        path: &Path,
        is_other_entry: bool,
    ) -> bool {
        let Ok(below) = path.strip_prefix(games_dir) else { return false };
        let mut names = below.iter().map(|name| name.to_str());
        let (root, entry) = match (names.next(), names.next()) {
            (None, _) => {
                self.is_games_dir_other |= is_other_entry;
                self.is_anything = true;
                return true;
            }
            (Some(Some(root)), entry) => (root, entry),
            (Some(None), _) => return false,
        };
        let Some(game_id) = may_be_root_of(catalog, root) else { return false };
        match entry {
            None if is_other_entry => {
                self.roots.insert(game_id.clone());
            }
            None => {}
            Some(Some(name)) if is_same_fold(name, LOCAL_DIR) => {}
            // Neither listed nor shared, nor part of what a root looks like.
            Some(None) => return false,
            Some(Some(name)) if is_reserved_root_name(name) => return false,
            Some(Some(_)) => {}
        }
        self.games.insert(game_id);
        true
    }
}

/// Whether something is different afterwards. Whoever reads a game, to serve it or to hash it,
/// opens and closes files as well.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lanspread_catalog::CatalogGame;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    const CREATE: EventKind = EventKind::Create(CreateKind::File);
    const DATA: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const METADATA: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    const REMOVE: EventKind = EventKind::Remove(RemoveKind::Folder);
    const RENAME: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));

    fn noted(kind: EventKind, path: &str) -> PendingChanges {
        let game = CatalogGame::new("quake".parse().unwrap(), "quake", "1".parse().unwrap());
        let catalog = Catalog::from_games([game]).unwrap();
        let event = Event::new(kind).add_path(PathBuf::from(path));
        let mut pending = PendingChanges::default();
        let matters = pending.note(Path::new("/games"), &catalog, Ok(event));
        assert_eq!(matters, pending != PendingChanges::default(), "{kind:?} of {path}");
        pending
    }

    fn quake() -> BTreeSet<GameId> {
        BTreeSet::from(["quake".parse().unwrap()])
    }

    #[test]
    fn what_may_change_a_game_touches_that_game() {
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for kind in [CREATE, DATA, METADATA, REMOVE, RENAME, close] {
            for name in ["version.ini", "quake.eti", "local"] {
                let expected = PendingChanges { games: quake(), ..PendingChanges::default() };
                assert_eq!(noted(kind, &format!("/games/quake/{name}")), expected, "{kind:?}");
            }
        }
        for kind in [CREATE, REMOVE, RENAME] {
            let expected =
                PendingChanges { games: quake(), roots: quake(), ..PendingChanges::default() };
            assert_eq!(noted(kind, "/games/quake"), expected, "{kind:?}");
        }
    }

    #[test]
    fn reading_and_what_is_not_shared_touches_nothing() {
        for access in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read)] {
            assert_eq!(
                noted(EventKind::Access(access), "/games/quake/quake.eti"),
                PendingChanges::default()
            );
        }
        for path in
            ["/games/doom", "/games/quake/.version.ini.tmp", "/games/quake/.local.backup", "/other"]
        {
            assert_eq!(noted(CREATE, path), PendingChanges::default(), "{path}");
        }
    }

    #[test]
    fn the_games_directory_itself_and_lost_reports_touch_anything() {
        for (kind, is_games_dir_other) in [(METADATA, false), (REMOVE, true), (RENAME, true)] {
            let pending = noted(kind, "/games");
            assert_eq!(
                (pending.is_anything, pending.is_games_dir_other),
                (true, is_games_dir_other)
            );
        }
        let catalog = Catalog::from_games([]);
        let mut pending = PendingChanges::default();
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        if let Ok(catalog) = catalog {
            assert!(pending.note(Path::new("/games"), &catalog, Ok(overflow)));
            assert!(pending.is_anything);
        }
    }
}
