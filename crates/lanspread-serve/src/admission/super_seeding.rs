//! Super-seeding (BEP 16): what nobody else has been given yet goes to few peers at a time.
//!
//! When three or more fetch a game at once, each asks for other pieces of it, to pass them on to the others.
//! Given to all of them side by side, all these pieces would arrive at the same late moment, and until then
//! nobody has anything to pass on. One after another they are passed on while the next ones come. And a
//! piece that is on its way to one is not given to another one beside it, who will soon hear whence it is to
//! be had, and asks for something else meanwhile. Once it has arrived, further copies wait for nobody.
//!
//! A receiver that is much slower than others does not keep them waiting: it goes on beside them. Only a peer that takes what
//! it is sent is given first copies in turn and keeps pieces from others; one of which that is not known yet, or that has
//! stalled, is sent its chunks beside the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanspread_proto::message::{ChunkName, GetChunks};
use lanspread_proto::{GameId, GameVersion, PeerId};
use tokio::time::{Instant, timeout};

use crate::admission::fair_semaphore::{Asker, FairPermit, FairSemaphore, Order};
use crate::admission::standing::Standing;

/// First copies that are sent at once: enough that the end of one costs the network no time, also where two
/// receivers are slower than this peer.
pub(crate) const AT_ONCE: usize = 3;
/// From so many peers on copies are counted: two soon have something for each other anyway.
pub(crate) const SEVERAL: usize = 3;
/// How long a piece that is on its way to one peer is kept from others.
pub(crate) const ON_ITS_WAY_MAX: Duration = Duration::from_secs(10);
/// How many times as long as the others a copy may take before it makes room.
const SLOW_FACTOR: u32 = 2;
/// The same, as time: before anything is known, and what is too short to matter.
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(3);
const PATIENCE_MIN: Duration = Duration::from_millis(50);
/// So many of the last copies tell how long one takes. Of few slow receivers among them the median knows
/// nothing.
const REMEMBERED: usize = 9;

/// The first copies that one peer gives.
#[derive(Clone)]
pub(crate) struct SuperSeeding {
    turns: FairSemaphore,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    games: BTreeMap<GameId, Given>,
    /// How long the last copies took.
    took: VecDeque<Duration>,
}

/// The pieces of a game that several fetch, by the first chunk of each.
struct Given {
    version: GameVersion,
    arrived: BTreeSet<ChunkName>,
    on_their_way: BTreeMap<ChunkName, OnItsWay>,
}

/// To whom a piece is on its way, and since when.
struct OnItsWay {
    to: PeerId,
    since: Instant,
    standing: Standing,
}

/// A copy that is about to be given.
pub(crate) struct Delivery(Option<FirstCopy>);

/// A first one.
struct FirstCopy {
    super_seeding: SuperSeeding,
    wanted: GetChunks,
    to: PeerId,
    turn: Option<FairPermit>,
    began: Instant,
    /// Whether the piece is kept from others.
    is_kept: bool,
}

impl SuperSeeding {
    pub(crate) fn new() -> Self {
        let order = Order::TurnsWhileOthersWait(AT_ONCE.div_ceil(2));
        Self { turns: FairSemaphore::new(AT_ONCE, order), state: Arc::default() }
    }

    /// Waits until a copy may be sent of what a peer wants, which so many peers fetch from here; `None` if it
    /// is on its way to another one. Only first copies wait, and only where others could pass them on.
    pub(crate) async fn wait(
        &self,
        wanted: &GetChunks,
        asker: Asker,
        standing: &Standing,
        fetching: usize,
    ) -> Option<Delivery> {
        let peer = asker.peer;
        match self.lock().begin(wanted, peer, standing, fetching) {
            Begun::First => {}
            Begun::Further => return Some(Delivery(None)),
            Begun::OnItsWay => return None,
        }
        // Made before anything is waited for, so that it is taken back when the wait is given up.
        let (super_seeding, wanted) = (self.clone(), wanted.clone());
        let (turn, began, is_kept) = (None, Instant::now(), true);
        let mut first = FirstCopy { super_seeding, wanted, to: peer, turn, began, is_kept };
        first.turn = Some(self.turns.acquire(asker).await);
        first.began = Instant::now();
        if !standing.is_taking() {
            first.give_way();
        }
        Some(Delivery(Some(first)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Begun {
    First,
    Further,
    OnItsWay,
}

impl State {
    fn begin(
        &mut self,
        wanted: &GetChunks,
        peer: PeerId,
        standing: &Standing,
        fetching: usize,
    ) -> Begun {
        let Some(piece) = wanted.chunks.first() else { return Begun::Further };
        if fetching < SEVERAL {
            self.games.remove(&wanted.game_id);
            return Begun::Further;
        }
        let given = self.games.entry(wanted.game_id.clone()).or_insert_with(|| Given::of(wanted));
        if given.version != wanted.version {
            *given = Given::of(wanted);
        }
        if given.arrived.contains(piece) {
            return Begun::Further;
        }
        match given.on_their_way.get(piece) {
            Some(other) if other.to != peer && other.keeps() => Begun::OnItsWay,
            _ if !standing.is_taking() => Begun::Further,
            _ => {
                let (to, since, standing) = (peer, Instant::now(), standing.clone());
                given.on_their_way.insert(piece.clone(), OnItsWay { to, since, standing });
                Begun::First
            }
        }
    }

    fn of(&mut self, wanted: &GetChunks) -> Option<(&mut Given, ChunkName)> {
        let given = self.games.get_mut(&wanted.game_id)?;
        let piece = wanted.chunks.first().cloned()?;
        (given.version == wanted.version).then_some((given, piece))
    }

    fn patience(&self) -> Duration {
        let mut took: Vec<_> = self.took.iter().copied().collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2);
        median.map_or(PATIENCE_UNKNOWN, |median| (*median * SLOW_FACTOR).max(PATIENCE_MIN))
    }
}

impl OnItsWay {
    /// Returns whether the piece is kept from others.
    fn keeps(&self) -> bool {
        self.since.elapsed() < ON_ITS_WAY_MAX && self.standing.is_taking()
    }
}

impl Given {
    fn of(wanted: &GetChunks) -> Self {
        let (arrived, on_their_way) = Default::default();
        Self { version: wanted.version.clone(), arrived, on_their_way }
    }
}

impl Delivery {
    /// Waits for what sends it. If that takes long, others go on meanwhile.
    pub(crate) async fn while_sent<T>(&mut self, sending: impl Future<Output = T>) -> T {
        let Some(first) = &mut self.0 else { return sending.await };
        let patience = first.super_seeding.lock().patience();
        let mut sending = pin!(sending);
        if let Ok(sent) = timeout(patience, sending.as_mut()).await {
            return sent;
        }
        first.give_way();
        sending.await
    }

    /// Notes that it has arrived.
    pub(crate) fn delivered(self) {
        let Some(first) = self.0 else { return };
        let mut state = first.super_seeding.lock();
        state.took.push_back(first.began.elapsed());
        if state.took.len() > REMEMBERED {
            state.took.pop_front();
        }
        if let Some((given, piece)) = state.of(&first.wanted) {
            given.arrived.insert(piece);
        }
    }
}

impl FirstCopy {
    /// Lets others go first, and have the same piece.
    fn give_way(&mut self) {
        self.turn = None;
        self.keep_no_more();
    }

    fn keep_no_more(&mut self) {
        if !std::mem::take(&mut self.is_kept) {
            return;
        }
        // After a while it may be on its way to another one instead.
        if let Some((given, piece)) = self.super_seeding.lock().of(&self.wanted)
            && given.on_their_way.get(&piece).is_some_and(|other| other.to == self.to)
        {
            given.on_their_way.remove(&piece);
        }
    }
}

impl Drop for FirstCopy {
    fn drop(&mut self) {
        self.keep_no_more();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::poll;
    use tokio::time::{advance, sleep};

    use super::*;

    fn peer(n: usize) -> Asker {
        let [host, ..] = n.to_le_bytes();
        Asker {
            addr: IpAddr::from([10, 0, 0, host]).into(),
            peer: PeerId::from_public_key(&n.to_le_bytes()),
        }
    }

    fn piece(index: usize) -> GetChunks {
        let index = u32::try_from(index).unwrap();
        GetChunks {
            game_id: GameId::new("quake").unwrap(),
            version: "1".parse().unwrap(),
            chunks: vec![ChunkName { path: "quake.eti".parse().unwrap(), index }],
        }
    }

    async fn wait(
        seeding: &SuperSeeding,
        wanted: &GetChunks,
        to: usize,
        fetching: usize,
    ) -> Option<Delivery> {
        seeding.wait(wanted, peer(to), &Standing::taking(), fetching).await
    }

    async fn first(seeding: &SuperSeeding, index: usize, to: usize) -> Delivery {
        let delivery = wait(seeding, &piece(index), to, SEVERAL).await.unwrap();
        assert!(has_turn(&delivery));
        delivery
    }

    fn has_turn(delivery: &Delivery) -> bool {
        delivery.0.as_ref().is_some_and(|first| first.turn.is_some())
    }

    #[tokio::test]
    async fn first_copies_wait_for_each_other_and_others_for_nobody() {
        let seeding = SuperSeeding::new();
        first(&seeding, 0, 0).await.delivered();
        let mut sent = Vec::new();
        for n in 1..=AT_ONCE {
            sent.push(first(&seeding, n, n).await);
        }
        let wanted = piece(7);
        let mut next = pin!(wait(&seeding, &wanted, 7, SEVERAL));
        assert!(poll!(&mut next).is_pending());
        // A second copy, and a piece of a game that few fetch.
        wait(&seeding, &piece(0), 8, SEVERAL).await.unwrap();
        let few = GetChunks { game_id: GameId::new("doom").unwrap(), ..piece(9) };
        wait(&seeding, &few, 9, SEVERAL - 1).await.unwrap();
        assert!(poll!(&mut next).is_pending());
        sent.remove(0).delivered();
        assert!(poll!(&mut next).is_ready());
    }

    #[tokio::test]
    async fn a_copy_is_the_first_until_one_has_arrived() {
        let seeding = SuperSeeding::new();
        drop(first(&seeding, 0, 0).await);
        first(&seeding, 0, 1).await.delivered();
        assert!(!has_turn(&wait(&seeding, &piece(0), 2, SEVERAL).await.unwrap()));
        // One of another version is another piece.
        let newer = GetChunks { version: "2".parse().unwrap(), ..piece(0) };
        assert!(has_turn(&wait(&seeding, &newer, 2, SEVERAL).await.unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_to_one_is_not_given_to_another_for_a_while() {
        let seeding = SuperSeeding::new();
        let on_its_way = first(&seeding, 0, 0).await;
        assert!(wait(&seeding, &piece(0), 1, SEVERAL).await.is_none());
        // Who has lost what was on its way asks anew.
        let again = first(&seeding, 0, 0).await;
        drop(on_its_way);
        advance(ON_ITS_WAY_MAX).await;
        let other = first(&seeding, 0, 1).await;
        drop(again);
        assert!(wait(&seeding, &piece(0), 2, SEVERAL).await.is_none());
        drop(other);
        // Who gives up waiting for its turn leaves nothing behind.
        let full =
            [first(&seeding, 1, 1).await, first(&seeding, 2, 2).await, first(&seeding, 3, 3).await];
        let wanted = piece(4);
        let mut given_up = Box::pin(wait(&seeding, &wanted, 4, SEVERAL));
        assert!(poll!(&mut given_up).is_pending());
        assert!(wait(&seeding, &piece(4), 5, SEVERAL).await.is_none());
        drop((given_up, full));
        first(&seeding, 4, 5).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_receiver_makes_room_and_a_usual_one_does_not() {
        let seeding = SuperSeeding::new();
        let usual = Duration::from_millis(300);
        for n in 0..REMEMBERED {
            let mut delivery = first(&seeding, n, 0).await;
            delivery.while_sent(sleep(usual)).await;
            assert!(has_turn(&delivery));
            delivery.delivered();
        }
        let mut slow = first(&seeding, 100, 0).await;
        slow.while_sent(sleep(usual * (SLOW_FACTOR + 1))).await;
        assert!(!has_turn(&slow));
        slow.delivered();
        assert_eq!(seeding.lock().patience(), usual * SLOW_FACTOR);
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_take_nothing_keep_no_piece_from_others() {
        let seeding = SuperSeeding::new();
        // Nothing is known of it yet.
        let unknown = Standing::unknown();
        let beside = seeding.wait(&piece(0), peer(0), &unknown, SEVERAL).await.unwrap();
        assert!(!has_turn(&beside));
        let taking = Standing::taking();
        let stalling = seeding.wait(&piece(1), peer(1), &taking, SEVERAL).await.unwrap();
        assert!(has_turn(&stalling));
        assert!(wait(&seeding, &piece(1), 2, SEVERAL).await.is_none());
        taking.set(false);
        assert!(has_turn(&wait(&seeding, &piece(1), 2, SEVERAL).await.unwrap()));
        // One that is only slower than others lets them have the piece as well.
        let mut slow = first(&seeding, 3, 3).await;
        slow.while_sent(sleep(PATIENCE_UNKNOWN * 2)).await;
        assert!(has_turn(&wait(&seeding, &piece(3), 4, SEVERAL).await.unwrap()));
    }
}
