mod silent;
mod stragglers;
mod swarm;

use lanspread_proto::PieceSet;
use proptest::prelude::*;

use super::promises::IN_FLIGHT_PATIENCE_MIN;
use super::source::{BACKOFF_BUSY, FAILURES_MAX};
use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ask_all(scheduler: &mut Scheduler, now: Duration) -> Vec<Ask> {
    std::iter::from_fn(|| scheduler.ask(now)).collect()
}

/// Lets a piece arrive and be written.
fn deliver(scheduler: &mut Scheduler, ask: Ask, now: Duration) -> Arrival {
    let arrival = scheduler.on_arrival(ask.peer, ask.piece, now);
    scheduler.on_written(ask.piece);
    arrival
}

#[test]
fn sources_get_different_pieces_in_file_order() {
    let mut scheduler = Scheduler::new(10, Order::File);
    scheduler.join(peer(1), ms(0));
    scheduler.join(peer(2), ms(0));
    let asks = ask_all(&mut scheduler, ms(0));
    let pieces: Vec<_> = asks.iter().map(|ask| ask.piece.0).collect();
    assert_eq!(pieces, [0, 1, 2, 3]);
    for n in [1, 2] {
        assert_eq!(asks.iter().filter(|ask| ask.peer == peer(n)).count(), pace::WINDOW_START);
    }
    assert_eq!(scheduler.active_sources(), 2);
}

#[test]
fn a_held_piece_is_asked_of_nobody_until_it_is_known_to_be_missing() {
    let mut scheduler = Scheduler::new(3, Order::File);
    assert!(scheduler.hold(PieceIndex(0)) && scheduler.hold(PieceIndex(1)));
    assert!(!scheduler.hold(PieceIndex(1)) && !scheduler.hold(PieceIndex(3)));
    scheduler.join(peer(1), ms(0));
    let asks = ask_all(&mut scheduler, ms(0));
    assert_eq!(asks, [Ask { peer: peer(1), piece: PieceIndex(2) }]);
    assert!(!scheduler.hold(PieceIndex(2)), "it is asked for");
    deliver(&mut scheduler, asks[0], ms(1));
    scheduler.on_written(PieceIndex(0));
    assert!(scheduler.is_writing() && !scheduler.is_complete());
    scheduler.reject(PieceIndex(1));
    let asks = ask_all(&mut scheduler, ms(2));
    assert_eq!(asks, [Ask { peer: peer(1), piece: PieceIndex(1) }]);
    deliver(&mut scheduler, asks[0], ms(3));
    assert!(scheduler.is_complete());
}

#[test]
fn a_fast_source_gets_most_and_a_slow_one_does_not_set_the_pace() {
    let mut scheduler = Scheduler::new(300, Order::File);
    let (fast, slow) = (peer(1), peer(2));
    scheduler.join(fast, ms(0));
    scheduler.join(slow, ms(0));
    let mut due: BTreeSet<(Duration, PeerId, PieceIndex)> = BTreeSet::new();
    let mut line_free = BTreeMap::from([(fast, ms(0)), (slow, ms(0))]);
    let mut served = BTreeMap::from([(fast, 0), (slow, 0)]);
    let mut now = ms(0);
    while !scheduler.is_complete() {
        for ask in ask_all(&mut scheduler, now) {
            let per_piece = if ask.peer == fast { ms(10) } else { ms(1000) };
            let begins = line_free[&ask.peer].max(now);
            line_free.insert(ask.peer, begins + per_piece);
            due.insert((begins + per_piece, ask.peer, ask.piece));
        }
        let (at, from, piece) = due.pop_first().unwrap();
        now = at;
        if deliver(&mut scheduler, Ask { peer: from, piece }, now) != Arrival::Unwanted {
            *served.get_mut(&from).unwrap() += 1;
        }
    }
    assert!(served[&slow] >= 1, "every source of a big file gives a part");
    assert!(now < ms(3_300), "took {now:?}");
}

#[test]
fn a_failed_piece_goes_to_another_source_and_its_source_pauses() {
    let mut scheduler = Scheduler::new(3, Order::File);
    scheduler.join(peer(1), ms(0));
    let first = ask_all(&mut scheduler, ms(0));
    assert_eq!(first.len(), 2);
    let trust = scheduler.on_failure(peer(1), first[0].piece, RequestFailure::Refused, ms(1));
    assert_eq!(trust, Trust::Kept);
    assert_eq!(ask_all(&mut scheduler, ms(1)), []);
    scheduler.join(peer(2), ms(1));
    let second = ask_all(&mut scheduler, ms(1));
    assert_eq!(second[0], Ask { peer: peer(2), piece: first[0].piece });
}

#[test]
fn a_pausing_source_is_asked_again_when_the_pause_is_over() {
    let mut scheduler = Scheduler::new(1, Order::File);
    scheduler.join(peer(1), ms(0));
    let ask = scheduler.ask(ms(0)).unwrap();
    scheduler.on_failure(peer(1), ask.piece, RequestFailure::Refused, ms(5));
    let wake_at = scheduler.wake_at(ms(5)).unwrap();
    assert_eq!(wake_at, ms(105));
    assert_eq!(scheduler.ask(wake_at), Some(ask));
    scheduler.on_failure(peer(1), ask.piece, RequestFailure::Refused, ms(105));
    assert_eq!(scheduler.wake_at(ms(105)), Some(ms(305)), "the pause doubles");
}

#[test]
fn requests_that_fail_together_count_once_and_a_source_is_given_up_in_the_end() {
    let mut scheduler = Scheduler::new(2, Order::File);
    scheduler.join(peer(1), ms(0));
    let mut now = ms(0);
    let mut rounds = 0;
    'rounds: loop {
        rounds += 1;
        let asks = ask_all(&mut scheduler, now);
        assert!(!asks.is_empty());
        for ask in asks {
            if scheduler.on_failure(ask.peer, ask.piece, RequestFailure::Lost, now + ms(1))
                == Trust::Spent
            {
                break 'rounds;
            }
        }
        now = scheduler.wake_at(now + ms(1)).unwrap();
    }
    assert_eq!(rounds, FAILURES_MAX);
}

#[test]
fn pieces_of_a_dead_source_are_asked_of_one_other_at_the_end() {
    let mut scheduler = Scheduler::new(8, Order::File);
    let (dead, alive) = (peer(1), peer(2));
    scheduler.join(dead, ms(0));
    scheduler.join(alive, ms(0));
    let mut now = ms(0);
    let mut abandoned = 0;
    while !scheduler.is_complete() {
        let asks = ask_all(&mut scheduler, now);
        let answered = asks.into_iter().filter(|ask| ask.peer == alive).collect::<Vec<_>>();
        if answered.is_empty() {
            now = scheduler.wake_at(now).unwrap();
        }
        for ask in answered {
            now += ms(10);
            if (Arrival::Wanted { abandon: vec![dead] }) == deliver(&mut scheduler, ask, now) {
                abandoned += 1;
            }
        }
    }
    assert_eq!(abandoned, pace::WINDOW_START);
    assert!(now < ms(4_000), "took {now:?}");
}

#[test]
fn sources_that_have_delivered_nothing_cannot_lock_out_one_that_has() {
    let mut scheduler = Scheduler::new(200, Order::File);
    for n in 0..40 {
        scheduler.join(peer(n), ms(0));
    }
    let held = ask_all(&mut scheduler, ms(0));
    assert_eq!(held.len(), PIECES_IN_MEMORY_MAX);
    let peers: BTreeSet<_> = held.iter().map(|ask| ask.peer).collect();
    assert_eq!(peers.len(), held.len(), "each is asked once before one is asked twice");
    let first = held[0];
    deliver(&mut scheduler, first, ms(20));
    let asks = ask_all(&mut scheduler, ms(20));
    assert_eq!(asks.iter().map(|ask| ask.peer).collect::<Vec<_>>(), [first.peer]);
    // Those that are overdue are in nobody's way.
    let asks = ask_all(&mut scheduler, ms(100));
    assert_eq!(asks.iter().filter(|ask| ask.peer == first.peer).count(), 1);
}

#[test]
fn nothing_is_asked_while_the_disk_does_not_keep_up() {
    let mut scheduler = Scheduler::new(200, Order::File);
    scheduler.join(peer(1), ms(0));
    let mut waiting = 0;
    while let Some(ask) = scheduler.ask(ms(1)) {
        assert_eq!(
            scheduler.on_arrival(peer(1), ask.piece, ms(1)),
            Arrival::Wanted { abandon: Vec::new() }
        );
        waiting += 1;
    }
    assert_eq!(waiting, PIECES_IN_MEMORY_MAX);
}

#[test]
fn a_source_that_owes_an_answer_for_too_long_is_reported() {
    let mut scheduler = Scheduler::new(1, Order::File);
    scheduler.join(peer(1), ms(0));
    scheduler.ask(ms(10)).unwrap();
    assert_eq!(scheduler.silent(ms(59_000)), []);
    assert_eq!(scheduler.silent(ms(60_010)), [peer(1)]);
    scheduler.leave(peer(1));
    assert_eq!(scheduler.silent(ms(60_010)), []);
    assert!(!scheduler.is_complete());
}

/// What can happen to a download. Numbers choose among what is there at that moment.
#[derive(Debug, Clone)]
enum Happening {
    Deliver(usize),
    Fail(usize, bool),
    Store(usize),
    Refuse(usize),
    Reopen(usize),
    Join(u8),
    Leave(u8),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => any::<usize>().prop_map(Happening::Deliver),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, lost)| Happening::Fail(n, lost)),
        6 => any::<usize>().prop_map(Happening::Store),
        1 => any::<usize>().prop_map(Happening::Refuse),
        1 => any::<usize>().prop_map(Happening::Reopen),
        2 => (0_u8..6).prop_map(Happening::Join),
        1 => (0_u8..6).prop_map(Happening::Leave),
        3 => (0_u64..5_000).prop_map(Happening::Wait),
    ]
}

/// The outside of the scheduler: the network and the disk.
struct World {
    scheduler: Scheduler,
    now: Duration,
    asked: Vec<Ask>,
    writing: Vec<PieceIndex>,
    written: BTreeSet<PieceIndex>,
}

impl World {
    fn new(pieces: u32) -> Self {
        let scheduler = Scheduler::new(pieces, Order::File);
        Self { scheduler, now: ms(0), asked: vec![], writing: vec![], written: BTreeSet::new() }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver(n) => {
                if let Some(ask) = take(&mut self.asked, n) {
                    self.deliver(ask);
                }
            }
            Happening::Fail(n, lost) => {
                if let Some(ask) = take(&mut self.asked, n) {
                    let failure = if lost { RequestFailure::Lost } else { RequestFailure::Refused };
                    let trust = self.scheduler.on_failure(ask.peer, ask.piece, failure, self.now);
                    if trust == Trust::Spent {
                        self.leave(ask.peer);
                    }
                }
            }
            Happening::Store(n) => {
                if let Some(piece) = take(&mut self.writing, n) {
                    self.scheduler.on_written(piece);
                    assert!(self.written.insert(piece), "{piece:?} is written twice");
                }
            }
            Happening::Refuse(n) => {
                if let Some(piece) = take(&mut self.writing, n) {
                    self.scheduler.reject(piece);
                }
            }
            Happening::Reopen(n) => {
                let mut written: Vec<_> = self.written.iter().copied().collect();
                if let Some(piece) = take(&mut written, n) {
                    self.written.remove(&piece);
                    self.scheduler.reject(piece);
                }
            }
            Happening::Join(n) => self.scheduler.join(peer(n), self.now),
            Happening::Leave(n) => self.leave(peer(n)),
            Happening::Wait(millis) => self.now += ms(millis),
        }
        self.ask();
        self.check();
    }

    fn deliver(&mut self, ask: Ask) {
        match self.scheduler.on_arrival(ask.peer, ask.piece, self.now) {
            Arrival::Wanted { abandon } => {
                let before = self.asked.len();
                let is_abandoned =
                    |other: &Ask| other.piece == ask.piece && abandon.contains(&other.peer);
                self.asked.retain(|other| !is_abandoned(other));
                assert_eq!(before - self.asked.len(), abandon.len());
                self.writing.push(ask.piece);
            }
            Arrival::Unwanted => panic!("{ask:?} was asked for"),
        }
    }

    fn leave(&mut self, peer: PeerId) {
        self.scheduler.leave(peer);
        self.asked.retain(|ask| ask.peer != peer);
    }

    fn ask(&mut self) {
        while let Some(ask) = self.scheduler.ask(self.now) {
            assert!(!self.asked.contains(&ask), "{ask:?} twice");
            assert!(!self.written.contains(&ask.piece), "{ask:?} is written");
            assert!(!self.writing.contains(&ask.piece), "{ask:?} has arrived");
            self.asked.push(ask);
        }
    }

    fn check(&self) {
        let scheduler = &self.scheduler;
        let census = scheduler.census(self.now);
        let may_probe = census.may_probe(scheduler.tried, scheduler.verified);
        for (peer, source) in &scheduler.sources {
            let asked = self.asked.iter().filter(|ask| ask.peer == *peer).count();
            assert_eq!(asked, source.requests.len());
            assert!(asked <= pace::WINDOW_MAX);
            let starved = asked == 0
                && source.is_free(self.now, census.has_reliable)
                && (source.is_proven() || may_probe)
                && !scheduler.pending.is_empty()
                && self.writing.len() < PIECES_IN_MEMORY_MAX;
            assert!(!starved, "{peer} has nothing to do");
        }
        assert!(self.writing.len() <= 2 * PIECES_IN_MEMORY_MAX);
        let asked: BTreeSet<_> = self.asked.iter().map(|ask| ask.piece).collect();
        let known = scheduler.pending.len() + asked.len() + self.writing.len() + self.written.len();
        assert_eq!(known, self.total(), "a piece is lost or counted twice");
        assert_eq!(scheduler.is_complete(), self.written.len() == self.total());
    }

    fn total(&self) -> usize {
        let scheduler = &self.scheduler;
        scheduler.pending.len()
            + scheduler.asked.len()
            + scheduler.writing.len()
            + self.written.len()
    }
}

fn take<T>(items: &mut Vec<T>, n: usize) -> Option<T> {
    let at = n.checked_rem(items.len())?;
    Some(items.remove(at))
}

proptest! {
    #[test]
    fn every_piece_is_stored_once_whatever_happens(
        pieces in 0_u32..60,
        happenings in prop::collection::vec(happening(), 0..200),
        dead in 0_u8..6,
    ) {
        let mut world = World::new(pieces);
        for happening in happenings {
            world.happen(happening);
        }
        prop_assert_eq!(world.total(), pieces as usize);

        // From here on one new source answers, one is dead, and the others answer as well.
        world.happen(Happening::Join(dead));
        world.happen(Happening::Join(200));
        let mut steps = 0;
        while !world.scheduler.is_complete() {
            steps += 1;
            prop_assert!(steps < 2_000, "does not end: {:?}", world.scheduler);
            let answering = world.asked.iter().position(|ask| ask.peer != peer(dead));
            if let Some(at) = answering {
                world.now += ms(10);
                world.happen(Happening::Deliver(at));
            } else if world.writing.is_empty() {
                let wake_at = world.scheduler.wake_at(world.now).expect("something to wait for");
                world.now = wake_at;
                for peer in world.scheduler.silent(wake_at) {
                    world.leave(peer);
                }
                world.happen(Happening::Wait(0));
            }
            while !world.writing.is_empty() {
                world.happen(Happening::Store(0));
            }
        }
        prop_assert_eq!(world.written.len(), pieces as usize);
    }

    #[test]
    fn the_same_happenings_give_the_same_requests(
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let run = || {
            let mut world = World::new(40);
            for happening in happenings.clone() {
                world.happen(happening);
            }
            world.asked
        };
        prop_assert_eq!(run(), run());
    }
}

/// A seed that has delivered the only piece that nobody promises.
fn seeded(pieces: u32) -> (Scheduler, PeerId) {
    let (seed, mut scheduler) = (peer(1), Scheduler::new(pieces, Order::File));
    scheduler.join(seed, ms(0));
    let first = scheduler.ask(ms(0)).unwrap();
    scheduler.leave(seed);
    scheduler.join(seed, ms(0));
    let promised: Vec<_> =
        (0..pieces).map(PieceIndex).filter(|piece| *piece != first.piece).collect();
    scheduler.offer(peer(2), &PieceSet::default(), &promised, ms(0));
    let asks = ask_all(&mut scheduler, ms(0));
    assert_eq!(asks, [first], "nothing that is promised");
    deliver(&mut scheduler, first, ms(10));
    (scheduler, seed)
}

#[test]
fn who_promises_a_piece_again_and_again_delays_it_once() {
    let (mut scheduler, seed) = seeded(2);
    let promising = peer(2);
    for at in [ms(10), ms(150), IN_FLIGHT_PATIENCE_MIN - ms(1)] {
        scheduler.offer(promising, &PieceSet::default(), &[], at);
        scheduler.offer(promising, &PieceSet::default(), &[PieceIndex(1)], at);
        assert_eq!(scheduler.ask(at), None);
    }
    let ask = scheduler.ask(IN_FLIGHT_PATIENCE_MIN);
    assert_eq!(ask, Some(Ask { peer: seed, piece: PieceIndex(1) }));
}

#[test]
fn those_that_promise_and_have_given_nothing_delay_a_game_once() {
    let (mut scheduler, seed) = seeded(5);
    assert_eq!(scheduler.ask(ms(10)), None);
    let mut now = scheduler.wake_at(ms(10)).unwrap();
    assert!(now <= ms(10) + IN_FLIGHT_PATIENCE_MIN, "{now:?}");
    // Each that follows promises what is missing by then as if for the first time.
    for n in 3..10 {
        scheduler.leave(peer(n - 1));
        let missing: Vec<_> = (0..5).map(PieceIndex).collect();
        scheduler.offer(peer(n), &PieceSet::default(), &missing, now);
        for ask in ask_all(&mut scheduler, now) {
            assert_eq!(ask.peer, seed);
            now += ms(10);
            deliver(&mut scheduler, ask, now);
        }
    }
    assert!(scheduler.is_complete() && now < ms(400), "{now:?}");
}

#[test]
fn a_source_is_asked_for_something_once_whatever_others_promise() {
    let (seed, mut scheduler) = (peer(1), Scheduler::new(4, Order::File));
    let all: Vec<_> = (0..4).map(PieceIndex).collect();
    scheduler.offer(peer(2), &PieceSet::default(), &all, ms(0));
    scheduler.join(seed, ms(0));
    assert_eq!(ask_all(&mut scheduler, ms(0)).len(), 1);
}

#[test]
fn a_seed_is_asked_for_no_second_copy_while_a_first_one_is_promised() {
    let (mut scheduler, seed) = seeded(3);
    let other = peer(2);
    scheduler.offer_more(other, &[PieceIndex(1)], &[PieceIndex(2)], ms(10));
    assert_eq!(ask_all(&mut scheduler, ms(10)), [Ask { peer: other, piece: PieceIndex(1) }]);
    scheduler.on_failure(other, PieceIndex(1), RequestFailure::Lost, ms(11));
    assert_eq!(scheduler.ask(ms(11)), None);
    scheduler.offer_more(other, &[PieceIndex(2)], &[], ms(12));
    let asked: BTreeSet<_> =
        ask_all(&mut scheduler, ms(12)).into_iter().map(|ask| ask.peer).collect();
    assert_eq!(asked, BTreeSet::from([seed]));
}

#[test]
fn what_has_arrived_and_is_not_stored_yet_is_still_promised() {
    let mut scheduler = Scheduler::new(1, Order::File);
    scheduler.join(peer(1), ms(0));
    let ask = scheduler.ask(ms(0)).unwrap();
    assert_eq!(scheduler.fetching(ms(1)), [ask.piece]);
    scheduler.on_arrival(ask.peer, ask.piece, ms(1));
    assert_eq!(scheduler.fetching(ms(1)), [ask.piece]);
    scheduler.on_written(ask.piece);
    assert_eq!(scheduler.fetching(ms(1)), []);
}

#[test]
fn a_source_that_was_busy_with_a_piece_is_asked_for_others_first() {
    let seed = peer(1);
    let mut scheduler = Scheduler::new(9, Order::File);
    scheduler.join(seed, ms(0));
    let asks = ask_all(&mut scheduler, ms(0));
    for ask in &asks {
        scheduler.on_failure(seed, ask.piece, RequestFailure::Busy, ms(1));
    }
    let next = scheduler.ask(ms(1) + BACKOFF_BUSY).unwrap();
    assert!(asks.iter().all(|ask| ask.piece != next.piece), "{next:?}");
}
