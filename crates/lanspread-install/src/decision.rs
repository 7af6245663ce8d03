//! What to do with what an ended or interrupted transaction left: the recovery table.

use crate::intent::Intent;

/// What a game root holds of installations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) local: Local,
    pub(super) installing: Installing,
    pub(super) backup: Backup,
}

/// What `local` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    Absent,
    /// A link, a file, or anything but a directory.
    Foreign,
    /// A directory, whole, as the user knows it.
    Plain,
    /// A directory, whole, that still carries a mark: about to be put aside, or just put in place.
    Marked,
}

/// What `.local.installing` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installing {
    Absent,
    /// Not marked, so not known to be ours.
    Foreign,
    /// Ours, whole or not.
    Owned,
}

/// What `.local.backup` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backup {
    Absent,
    /// Not marked, so not known to be ours.
    Foreign,
    /// An old `local/` that an installation put aside. Whole, if there is no new one.
    Replaced,
    /// Ours and of no further use.
    Expendable,
}

/// One step of a recovery. Each is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Renames the backup to `local/`.
    RestoreBackup,
    /// Takes the mark out of `local/`.
    UnmarkLocal,
    /// Deletes `.local.installing/`.
    RemoveInstalling,
    /// Deletes `.local.backup/`.
    RemoveBackup,
    /// Deletes `.local.installing/` if it is empty: a crash came before its mark, or after.
    RemoveEmptyInstalling,
    /// Deletes `.local.backup/` if it is empty: a crash came between the last two deletions.
    RemoveEmptyBackup,
    /// Deletes the intent. Always the last step.
    ClearIntent,
}

/// Decides what leads from what is found to `local/` old or new and nothing beside it.
///
/// A new `local/` comes to its place whole, by one rename, after the old one went aside by another.
/// So a `local/` that is there is whole, and an old one that was put aside is the only one exactly
/// when `local/` is not there. The intent only adds the right to clear away unmarked directories,
/// and those only if they are empty.
pub(super) fn plan(intent: Option<Intent>, found: Found) -> Vec<Action> {
    let mut actions = Vec::new();
    match (found.backup, found.local) {
        (Backup::Replaced, Local::Absent) => {
            actions.extend([Action::RestoreBackup, Action::UnmarkLocal]);
        }
        (_, Local::Marked) => actions.push(Action::UnmarkLocal),
        _ => {}
    }
    match (found.backup, found.local) {
        (Backup::Replaced, Local::Plain | Local::Marked) | (Backup::Expendable, _) => {
            actions.push(Action::RemoveBackup);
        }
        // Something of the user's stands where the old installation belongs: both stay.
        (Backup::Replaced, Local::Foreign) | (Backup::Replaced, Local::Absent) => {}
        (Backup::Foreign, _) if intent.is_some() => actions.push(Action::RemoveEmptyBackup),
        (Backup::Foreign | Backup::Absent, _) => {}
    }
    match found.installing {
        Installing::Owned => actions.push(Action::RemoveInstalling),
        Installing::Foreign if intent.is_some() => actions.push(Action::RemoveEmptyInstalling),
        Installing::Foreign | Installing::Absent => {}
    }
    actions.extend(intent.map(|_| Action::ClearIntent));
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENTS: [Option<Intent>; 3] = [None, Some(Intent::Install), Some(Intent::Uninstall)];
    const LOCALS: [Local; 4] = [Local::Absent, Local::Foreign, Local::Plain, Local::Marked];
    const INSTALLINGS: [Installing; 3] =
        [Installing::Absent, Installing::Foreign, Installing::Owned];
    const BACKUPS: [Backup; 4] =
        [Backup::Absent, Backup::Foreign, Backup::Replaced, Backup::Expendable];

    type Cell = (Option<Intent>, Found);

    fn cells() -> Vec<Cell> {
        let mut cells = Vec::new();
        for intent in INTENTS {
            for local in LOCALS {
                for installing in INSTALLINGS {
                    let found = |backup| (intent, Found { local, installing, backup });
                    cells.extend(BACKUPS.map(found));
                }
            }
        }
        cells
    }

    /// What an action makes of a cell. Foreign directories are taken to hold something.
    fn act((intent, found): Cell, action: Action) -> Cell {
        let after = match action {
            Action::RestoreBackup => {
                assert_eq!((found.local, found.backup), (Local::Absent, Backup::Replaced));
                Found { local: Local::Marked, backup: Backup::Absent, ..found }
            }
            Action::UnmarkLocal => {
                assert_eq!(found.local, Local::Marked);
                Found { local: Local::Plain, ..found }
            }
            Action::RemoveInstalling => {
                assert_eq!(found.installing, Installing::Owned);
                Found { installing: Installing::Absent, ..found }
            }
            Action::RemoveBackup => {
                assert!(matches!(found.backup, Backup::Replaced | Backup::Expendable));
                Found { backup: Backup::Absent, ..found }
            }
            Action::RemoveEmptyInstalling => {
                assert_eq!(found.installing, Installing::Foreign);
                found
            }
            Action::RemoveEmptyBackup => {
                assert_eq!(found.backup, Backup::Foreign);
                found
            }
            Action::ClearIntent => return (None, found),
        };
        (intent, after)
    }

    fn settle(cell: Cell) -> Cell {
        plan(cell.0, cell.1).into_iter().fold(cell, act)
    }

    #[test]
    fn every_cell_ends_old_or_new_with_nothing_of_ours_beside_it() {
        for cell in cells() {
            let (intent, before) = cell;
            let (left_intent, after) = settle(cell);
            let expected = match (before.local, before.backup) {
                (Local::Absent, Backup::Replaced) | (Local::Marked, _) => Local::Plain,
                (local, _) => local,
            };
            assert_eq!(after.local, expected, "{cell:?}");
            assert_ne!(after.installing, Installing::Owned, "{cell:?}");
            assert_ne!(after.backup, Backup::Expendable, "{cell:?}");
            let kept = after.backup == Backup::Replaced;
            let blocked = (before.local, before.backup) == (Local::Foreign, Backup::Replaced);
            assert_eq!(kept, blocked, "{cell:?}");
            assert_eq!(left_intent, None, "{cell:?}");
            if intent.is_some() {
                assert_eq!(plan(intent, before).last(), Some(&Action::ClearIntent), "{cell:?}");
            }
        }
    }

    #[test]
    fn nothing_of_the_users_is_touched_in_any_cell() {
        for cell in cells() {
            let (_, before) = cell;
            let (_, after) = settle(cell);
            if before.local == Local::Foreign {
                assert_eq!(after.local, Local::Foreign, "{cell:?}");
            }
            if before.installing == Installing::Foreign {
                assert_eq!(after.installing, Installing::Foreign, "{cell:?}");
            }
            if before.backup == Backup::Foreign {
                assert_eq!(after.backup, Backup::Foreign, "{cell:?}");
            }
            if cell.0.is_none() {
                let actions = plan(None, before);
                assert!(!actions.contains(&Action::RemoveEmptyBackup), "{cell:?}");
                assert!(!actions.contains(&Action::RemoveEmptyInstalling), "{cell:?}");
            }
        }
    }

    #[test]
    fn a_recovery_that_is_cut_short_anywhere_ends_the_same() {
        for cell in cells() {
            let end = settle(cell);
            let actions = plan(cell.0, cell.1);
            for done in 0..=actions.len() {
                let cut = actions.iter().take(done).copied().fold(cell, act);
                assert_eq!(settle(cut), end, "{cell:?} after {done} steps");
            }
            assert_eq!(plan(end.0, end.1), [], "{cell:?}");
        }
    }

    #[test]
    fn the_states_a_crash_can_leave_end_as_promised() {
        let found = |local, installing, backup| Found { local, installing, backup };
        let install = Some(Intent::Install);
        let uninstall = Some(Intent::Uninstall);
        use Action::*;
        let rows = [
            // While unpacking beside an old installation.
            (
                install,
                found(Local::Plain, Installing::Owned, Backup::Absent),
                vec![RemoveInstalling, ClearIntent],
            ),
            // Between the two renames: the old one comes back.
            (
                install,
                found(Local::Absent, Installing::Owned, Backup::Replaced),
                vec![RestoreBackup, UnmarkLocal, RemoveInstalling, ClearIntent],
            ),
            // After the second: the new one stays.
            (
                install,
                found(Local::Marked, Installing::Absent, Backup::Replaced),
                vec![UnmarkLocal, RemoveBackup, ClearIntent],
            ),
            // Before an uninstallation put anything aside, and after.
            (
                uninstall,
                found(Local::Marked, Installing::Absent, Backup::Absent),
                vec![UnmarkLocal, ClearIntent],
            ),
            (
                uninstall,
                found(Local::Absent, Installing::Absent, Backup::Expendable),
                vec![RemoveBackup, ClearIntent],
            ),
            // The intent is lost: the mark alone tells an installation put aside from rubbish.
            (
                None,
                found(Local::Absent, Installing::Absent, Backup::Replaced),
                vec![RestoreBackup, UnmarkLocal],
            ),
            (None, found(Local::Absent, Installing::Foreign, Backup::Foreign), vec![]),
        ];
        for (intent, found, expected) in rows {
            assert_eq!(plan(intent, found), expected, "{intent:?} {found:?}");
        }
    }
}
