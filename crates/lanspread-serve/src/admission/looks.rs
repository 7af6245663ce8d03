//! Looks at games before anybody is told what they are.
//!
//! A look asks the disk for every file of a game. One look answers everybody who asked before it began. After it, the game
//! rests for as long as the look took, so that no number of requests keeps the disk busy for more than half of the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lanspread_library::{Fingerprint, looks_like};
use lanspread_proto::GameId;
use tokio::time::{Instant, sleep_until};

use super::fair_semaphore::{Asker, FairSemaphore, Order};
use crate::published_library::ServedGame;

/// Most looks at whole games at a time: each asks the disk for every file, and anybody may ask for one.
pub(crate) const LOOKS_MAX: usize = 2;

/// The looks of one peer. Clones share everything.
#[derive(Clone)]
pub(crate) struct Looks {
    games: Arc<Mutex<BTreeMap<GameId, LastLook>>>,
    turns: FairSemaphore,
}

/// The last look at a game. Whoever holds the lock looks.
type LastLook = Arc<tokio::sync::Mutex<Option<Look>>>;

struct Look {
    began: Instant,
    ended: Instant,
    /// What the files should have looked like, if they did not.
    contradicted: Option<Fingerprint>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        let order = Order::TurnsWhileOthersWait(LOOKS_MAX.div_ceil(2));
        Self { games: Arc::default(), turns: FairSemaphore::new(LOOKS_MAX, order) }
    }

    /// Looks at a game, or waits for a look that begins from here on. Returns what the game should look like where it looks
    /// otherwise. `served` is asked for the game when the look begins. Cancel safe.
    pub(crate) async fn look(
        &self,
        asker: Asker,
        game_id: &GameId,
        served: impl Fn() -> Option<ServedGame>,
    ) -> Option<Fingerprint> {
        let asked_at = Instant::now();
        let of_game = self.of_game(game_id);
        let mut last = of_game.lock().await;
        if let Some(Look { began, ended, contradicted }) = &*last {
            if *began >= asked_at {
                return contradicted.clone();
            }
            sleep_until(*ended + (*ended - *began)).await;
        }
        let turn = self.turns.acquire(asker).await;
        let ServedGame { root, fingerprint, .. } = served()?;
        let (began, seen) = (Instant::now(), fingerprint.clone());
        // The turn ends with the work, also where the asker does not wait for that.
        let look = move || {
            let _turn = turn;
            looks_like(&root, &seen)
        };
        let is_as_known = tokio::task::spawn_blocking(look).await.unwrap_or(true);
        let contradicted = (!is_as_known).then_some(fingerprint);
        *last = Some(Look { began, ended: Instant::now(), contradicted: contradicted.clone() });
        contradicted
    }

    fn of_game(&self, game_id: &GameId) -> LastLook {
        // Every change is a whole one, so a panic elsewhere does not spoil it.
        let mut games = self.games.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as this peer has ever served.
        Arc::clone(games.entry(game_id.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures_util::future::join_all;
    use lanspread_proto::{Manifest, PeerId};

    use super::*;

    #[tokio::test]
    async fn one_look_answers_all_who_asked_before_it_began() {
        let (looks, begun) = (Looks::new(), AtomicUsize::new(0));
        let root = tempfile::tempdir().unwrap();
        let manifest = Arc::new(Manifest::new("1".parse().unwrap(), Vec::new()).unwrap());
        let game = ServedGame {
            root: root.path().to_owned(),
            fingerprint: Fingerprint::seen(root.path(), &manifest),
            manifest,
            old_content_roots: Arc::default(),
            attributes: Bytes::new(),
        };
        let served = || {
            begun.fetch_add(1, Ordering::Relaxed);
            Some(game.clone())
        };
        let quake = GameId::new("quake").unwrap();
        let at = |n: u8| Asker {
            addr: IpAddr::from([10, 0, 0, n]).into(),
            peer: PeerId::from_public_key(&[n]),
        };
        join_all((0..100).map(|n| looks.look(at(n), &quake, served))).await;
        assert_eq!(begun.load(Ordering::Relaxed), 2, "one that had begun, and one for the rest");
    }
}
