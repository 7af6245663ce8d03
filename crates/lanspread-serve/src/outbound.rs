//! Transfers of games to other peers: counted, so that nothing touches files that are being read.
//!
//! A request looks whether its game may be served and registers in one step. An operation that
//! wants the files first takes the game out of the view, then calls [`OutboundTransfers::drain`]:
//! every request that slipped in is registered by then and is told to stop.
//!
//! Single chunk requests last milliseconds. What is counted for people is which peers fetch a
//! game: a peer counts from its first request until 1 s after its last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanspread_proto::{GameId, PeerId};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long after its last request a peer still counts as fetching a game: longer than the gap
/// between two chunk requests, short enough to be news.
const LINGER: Duration = Duration::from_secs(1);

/// Tells that the number of peers that fetch a game changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundCount {
    /// Which game.
    pub game_id: GameId,
    /// How many peers fetch it.
    pub count: usize,
}

/// The shared table of outbound transfers.
#[derive(Clone)]
pub struct OutboundTransfers {
    shared: Arc<Shared>,
}

struct Shared {
    games: Mutex<BTreeMap<GameId, GameTransfers>>,
    is_idle: Notify,
    counts: mpsc::UnboundedSender<OutboundCount>,
}

#[derive(Default)]
struct GameTransfers {
    stop: CancellationToken,
    peers: BTreeMap<PeerId, PeerTransfers>,
}

struct PeerTransfers {
    requests: usize,
    last_ended: Instant,
    is_lingering: bool,
}

impl OutboundTransfers {
    /// Makes an empty table that reports to `counts`. At most one report per peer, served game and
    /// second each way is ever queued there: who asks for a game that is not served is refused
    /// before it comes here.
    pub fn new(counts: mpsc::UnboundedSender<OutboundCount>) -> Self {
        let games = Mutex::new(BTreeMap::new());
        Self { shared: Arc::new(Shared { games, is_idle: Notify::new(), counts }) }
    }

    /// Registers a request for a game that `look` finds, and returns what it finds. The request ends when the guard
    /// is dropped.
    ///
    /// Nothing comes between the look and the registration. So a request either sees that an operation has taken the
    /// game, or is stopped and waited for by the [`Self::drain`] of that operation. `look` must not wait, nor call this
    /// table.
    ///
    /// # Errors
    /// What `look` fails with; nothing is registered then.
    pub fn begin_if<T, E>(
        &self,
        game_id: &GameId,
        peer_id: PeerId,
        look: impl FnOnce() -> Result<T, E>,
    ) -> Result<(TransferGuard, T), E> {
        let mut games = self.lock();
        let found = look()?;
        let stop = self.register(&mut games, game_id, peer_id);
        drop(games);
        let guard = TransferGuard { table: self.clone(), game_id: game_id.clone(), peer_id, stop };
        Ok((guard, found))
    }

    /// Counts a request, and returns what stops it.
    fn register(
        &self,
        games: &mut BTreeMap<GameId, GameTransfers>,
        game_id: &GameId,
        peer_id: PeerId,
    ) -> CancellationToken {
        let game = games.entry(game_id.clone()).or_default();
        let is_new = !game.peers.contains_key(&peer_id);
        let peer = game.peers.entry(peer_id).or_insert_with(|| PeerTransfers {
            requests: 0,
            last_ended: Instant::now(),
            is_lingering: false,
        });
        peer.requests += 1;
        if is_new {
            self.report(game_id, game.peers.len());
        }
        game.stop.clone()
    }

    /// Returns how many peers fetch a game.
    pub fn count(&self, game_id: &GameId) -> usize {
        self.lock().get(game_id).map_or(0, |game| game.peers.len())
    }

    /// Returns how many peers fetch each game, in game id order.
    pub fn counts(&self) -> Vec<(GameId, usize)> {
        let games = self.lock();
        games.iter().map(|(id, game)| (id.clone(), game.peers.len())).collect()
    }

    /// Stops every request for a game and waits until none is left. Cancel safe: the requests stay stopped.
    ///
    /// Requests that begin afterwards are not stopped: the view must not offer the game by then.
    pub async fn drain(&self, game_id: &GameId) {
        if let Some(game) = self.lock().get_mut(game_id) {
            std::mem::take(&mut game.stop).cancel();
        }
        loop {
            let mut idle = std::pin::pin!(self.shared.is_idle.notified());
            idle.as_mut().enable();
            let is_busy = self
                .lock()
                .get(game_id)
                .is_some_and(|game| game.peers.values().any(|peer| peer.requests > 0));
            if !is_busy {
                return;
            }
            idle.await;
        }
    }

    fn end(&self, game_id: &GameId, peer_id: PeerId) {
        let mut games = self.lock();
        let peer = games.get_mut(game_id).and_then(|game| game.peers.get_mut(&peer_id));
        let Some(peer) = peer else { return };
        peer.requests = peer.requests.saturating_sub(1);
        peer.last_ended = Instant::now();
        if peer.requests > 0 {
            return;
        }
        if !peer.is_lingering {
            peer.is_lingering = true;
            // The last requests may end while the runtime is being torn down.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(self.clone().linger(game_id.clone(), peer_id));
            }
        }
        drop(games);
        self.shared.is_idle.notify_waiters();
    }

    /// Waits until a peer has asked for nothing for [`LINGER`], and forgets it.
    async fn linger(self, game_id: GameId, peer_id: PeerId) {
        loop {
            let until = {
                let mut games = self.lock();
                let Some(game) = games.get_mut(&game_id) else { return };
                let Some(peer) = game.peers.get_mut(&peer_id) else { return };
                if peer.requests > 0 {
                    peer.is_lingering = false;
                    return;
                }
                let until = peer.last_ended + LINGER;
                if Instant::now() >= until {
                    game.peers.remove(&peer_id);
                    let count = game.peers.len();
                    if count == 0 {
                        games.remove(&game_id);
                    }
                    self.report(&game_id, count);
                    return;
                }
                until
            };
            sleep_until(until).await;
        }
    }

    fn report(&self, game_id: &GameId, count: usize) {
        // Nobody listens once the command loop has ended, and then nobody needs to know.
        let _ = self.shared.counts.send(OutboundCount { game_id: game_id.clone(), count });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GameId, GameTransfers>> {
        // The table is consistent after every statement, so a panic elsewhere does not spoil it.
        self.shared.games.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
pub struct TransferGuard {
    table: OutboundTransfers,
    game_id: GameId,
    peer_id: PeerId,
    stop: CancellationToken,
}

impl TransferGuard {
    /// Resolves when the request must end because its game is wanted.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for TransferGuard {
    fn drop(&mut self) {
        self.table.end(&self.game_id, self.peer_id);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn table() -> (OutboundTransfers, mpsc::UnboundedReceiver<OutboundCount>) {
        let (counts, receiver) = mpsc::unbounded_channel();
        (OutboundTransfers::new(counts), receiver)
    }

    fn quake() -> GameId {
        GameId::new("quake").unwrap()
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn begin(table: &OutboundTransfers, game_id: &GameId, peer_id: PeerId) -> TransferGuard {
        let look = || Ok::<_, Infallible>(());
        table.begin_if(game_id, peer_id, look).unwrap().0
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_counts_once_however_many_chunks_it_asks_for() {
        let (table, mut counts) = table();
        for _ in 0..10 {
            drop((begin(&table, &quake(), peer(1)), begin(&table, &quake(), peer(1))));
        }
        assert_eq!(table.counts(), [(quake(), 1)]);
        let other = begin(&table, &quake(), peer(2));
        assert_eq!(counts.recv().await.unwrap().count, 1);
        assert_eq!(counts.recv().await.unwrap().count, 2);
        assert_eq!(counts.recv().await.unwrap().count, 1);
        drop(other);
        assert_eq!(counts.recv().await.unwrap().count, 0);
        assert!(table.counts().is_empty());
        assert!(counts.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_stops_requests_and_waits_for_them() {
        let (table, _counts) = table();
        let guard = begin(&table, &quake(), peer(1));
        let request = tokio::spawn(async move {
            guard.stopped().await;
        });
        table.drain(&quake()).await;
        request.await.unwrap();
        let later = begin(&table, &quake(), peer(1));
        let game_id = quake();
        let drain = table.drain(&game_id);
        tokio::pin!(drain);
        assert!(futures_util::poll!(&mut drain).is_pending());
        drop(later);
        drain.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_for_what_is_not_found_is_not_counted() {
        let (table, mut counts) = table();
        let refused = table.begin_if(&quake(), peer(1), || Err::<(), _>("not served"));
        assert_eq!(refused.map(drop), Err("not served"));
        assert!(table.counts().is_empty() && counts.try_recv().is_err());
        table.drain(&quake()).await;
    }
}
