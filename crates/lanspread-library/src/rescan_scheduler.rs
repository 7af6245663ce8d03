//! Which roots are looked at when the disk says that they changed, and which findings still count.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_proto::GameId;

/// Keeps looks at the disk from piling up, and from contradicting operations. Pure; owned by the
/// command loop.
///
/// A game is looked at once at a time, however often it changes meanwhile, and once more after that
/// if it did. An operation looks at its game itself when it ends: until then changes are its own
/// doing, and what a look found that began before is out of date.
#[derive(Debug, Default)]
pub struct RescanScheduler {
    looks: BTreeMap<GameId, PendingScan>,
    quick_scan: Option<PendingScan>,
}

/// A look that is under way.
#[derive(Debug, Default)]
struct PendingScan {
    /// Something changed since it began.
    is_pending: bool,
    /// Something else has found out more since it began.
    is_overtaken: bool,
}

/// What follows from a look that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Whether what it found is to be taken over.
    pub counts: bool,
    /// Whether the game has to be looked at once more.
    pub again: bool,
}

impl RescanScheduler {
    /// Of the games that changed, those to look at now. Each of them must be settled later.
    pub fn admit(
        &mut self,
        changed: BTreeSet<GameId>,
        is_active: impl Fn(&GameId) -> bool,
    ) -> BTreeSet<GameId> {
        let mut admitted = BTreeSet::new();
        for game_id in changed {
            if is_active(&game_id) {
                continue;
            }
            if let Some(look) = self.looks.get_mut(&game_id) {
                look.is_pending = true;
            } else {
                self.looks.insert(game_id.clone(), PendingScan::default());
                admitted.insert(game_id);
            }
        }
        admitted
    }

    /// Notes that an operation has ended and told what there is of a game.
    pub fn overtake(&mut self, game_id: &GameId) {
        if let Some(look) = self.looks.get_mut(game_id) {
            look.is_overtaken = true;
        }
    }

    /// Notes that another games directory is in use.
    pub fn overtake_all(&mut self) {
        for look in self.looks.values_mut().chain(&mut self.quick_scan) {
            look.is_overtaken = true;
        }
    }

    /// Notes that a look at a game has ended, and returns what follows.
    pub fn settle(&mut self, game_id: &GameId, is_active: bool) -> Settled {
        let look = self.looks.remove(game_id).unwrap_or_default();
        look.settled(is_active)
    }

    /// Returns whether to look at the whole games directory now. If so, it must be settled later.
    pub fn admit_quick_scan(&mut self) -> bool {
        if let Some(quick_scan) = &mut self.quick_scan {
            quick_scan.is_pending = true;
            return false;
        }
        self.quick_scan = Some(PendingScan::default());
        true
    }

    /// Notes that a look at the whole games directory has ended, and returns what follows.
    pub fn settle_quick_scan(&mut self) -> Settled {
        self.quick_scan.take().unwrap_or_default().settled(false)
    }
}

impl PendingScan {
    fn settled(&self, is_active: bool) -> Settled {
        Settled { counts: !is_active && !self.is_overtaken, again: !is_active && self.is_pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Settled = Settled { counts: true, again: false };

    fn ids(names: &[&str]) -> BTreeSet<GameId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn quake() -> GameId {
        "quake".parse().unwrap()
    }

    #[test]
    fn changes_during_a_look_make_exactly_one_more() {
        let mut scheduler = RescanScheduler::default();
        assert_eq!(scheduler.admit(ids(&["quake"]), |_| false), ids(&["quake"]));
        for _ in 0..3 {
            assert!(!scheduler.admit(ids(&["doom", "quake"]), |_| false).contains(&quake()));
        }
        assert_eq!(scheduler.settle(&quake(), false), Settled { counts: true, again: true });
        assert_eq!(scheduler.admit(ids(&["quake"]), |_| false), ids(&["quake"]));
        assert_eq!(scheduler.settle(&quake(), false), TAKEN);
        assert!(scheduler.settle(&"doom".parse().unwrap(), false).again);
    }

    #[test]
    fn the_changes_of_an_active_game_are_dropped() {
        let mut scheduler = RescanScheduler::default();
        let admitted = scheduler.admit(ids(&["doom", "quake"]), |game_id| *game_id == quake());
        assert_eq!(admitted, ids(&["doom"]));
        assert_eq!(scheduler.admit(ids(&["quake"]), |_| false), ids(&["quake"]));
    }

    #[test]
    fn an_operation_outdates_a_look_that_began_before_it() {
        let mut scheduler = RescanScheduler::default();
        let _ = scheduler.admit(ids(&["quake"]), |_| false);
        let _ = scheduler.admit(ids(&["quake"]), |_| false);
        // It is still under way: at its end it looks by itself.
        assert_eq!(scheduler.settle(&quake(), true), Settled { counts: false, again: false });

        let _ = scheduler.admit(ids(&["quake"]), |_| false);
        scheduler.overtake(&quake());
        assert_eq!(scheduler.settle(&quake(), false), Settled { counts: false, again: false });

        // What changed after its end shows in one more look.
        let _ = scheduler.admit(ids(&["quake"]), |_| false);
        scheduler.overtake(&quake());
        let _ = scheduler.admit(ids(&["quake"]), |_| false);
        assert_eq!(scheduler.settle(&quake(), false), Settled { counts: false, again: true });
    }

    #[test]
    fn another_games_directory_outdates_everything() {
        let mut scheduler = RescanScheduler::default();
        let _ = scheduler.admit(ids(&["doom", "quake"]), |_| false);
        assert!(scheduler.admit_quick_scan());
        scheduler.overtake_all();
        assert!(!scheduler.admit_quick_scan());
        assert!(!scheduler.settle(&quake(), false).counts);
        assert_eq!(scheduler.settle_quick_scan(), Settled { counts: false, again: true });
        assert!(scheduler.admit_quick_scan());
        assert_eq!(scheduler.settle_quick_scan(), TAKEN);
    }
}
