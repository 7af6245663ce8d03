//! The scheduler with whatever happens to a download.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use lanspread_proto::{PeerId, PieceSet};
use lanspread_transfer::layout::PieceIndex;
use lanspread_transfer::scheduler::{
    Arrival, Order, PIECES_IN_MEMORY_MAX, RequestFailure, Scheduler,
};

const PEERS: u8 = 6;
const PIECES_MAX: u32 = 200;

#[derive(Debug, Arbitrary)]
enum Event {
    Join(u8),
    Leave(u8),
    Offer { peer: u8, has: Vec<u8>, fetching: Vec<u8> },
    OfferMore { peer: u8, more: Vec<u8>, fetching: Vec<u8> },
    OfferNothing(u8),
    Ask,
    Arrive(u8),
    Fail { request: u8, how: u8 },
    Write(u8),
    Reject(u8),
    Hold(u8),
    Silence,
    Wait(u16),
}

/// What the scheduler must be found to have done.
struct Model {
    scheduler: Scheduler,
    count: u32,
    now: Duration,
    /// What a source has; `None` stands for everything.
    sources: BTreeMap<PeerId, Option<BTreeSet<u32>>>,
    asked: BTreeSet<(PeerId, u32)>,
    /// Arrived or held, and not written.
    writing: BTreeSet<u32>,
    written: BTreeSet<u32>,
}

/// Any events in any order: a piece is asked of those alone that have it, of two at most, and comes to an end.
pub fn scheduler(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let count = input.int_in_range(0..=PIECES_MAX).unwrap_or(1);
    let order = match input.arbitrary().unwrap_or(0_u8) % 2 {
        0 => Order::File,
        _ => Order::Of(peer(input.arbitrary().unwrap_or(0))),
    };
    let mut model = Model {
        scheduler: Scheduler::new(count, order),
        count,
        now: Duration::ZERO,
        sources: BTreeMap::new(),
        asked: BTreeSet::new(),
        writing: BTreeSet::new(),
        written: BTreeSet::new(),
    };
    while !input.is_empty() {
        let Ok(event) = Event::arbitrary(&mut input) else { break };
        model.happen(event);
        model.check();
    }
    model.come_to_an_end();
}

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n % PEERS])
}

impl Model {
    fn pieces(&self, of: &[u8]) -> BTreeSet<u32> {
        of.iter().map(|piece| u32::from(*piece)).filter(|piece| *piece < self.count).collect()
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Join(n) => {
                self.scheduler.join(peer(n), now);
                self.sources.insert(peer(n), None);
            }
            Event::Leave(n) => self.leave(peer(n)),
            Event::Offer { peer: n, has, fetching } => {
                let has = self.pieces(&has);
                let mut set = PieceSet::default();
                for piece in &has {
                    set.insert(*piece);
                }
                let fetching: Vec<_> = self.pieces(&fetching).into_iter().map(PieceIndex).collect();
                self.scheduler.offer(peer(n), &set, &fetching, now);
                self.sources.insert(peer(n), Some(has));
            }
            Event::OfferMore { peer: n, more, fetching } => {
                let more = self.pieces(&more);
                let told: Vec<_> = more.iter().copied().map(PieceIndex).collect();
                let fetching: Vec<_> = self.pieces(&fetching).into_iter().map(PieceIndex).collect();
                self.scheduler.offer_more(peer(n), &told, &fetching, now);
                if let Some(Some(has)) = self.sources.get_mut(&peer(n)) {
                    has.extend(more);
                }
            }
            Event::OfferNothing(n) => {
                self.scheduler.offer_nothing(peer(n));
                if let Some(Some(has)) = self.sources.get_mut(&peer(n)) {
                    has.clear();
                }
            }
            Event::Ask => self.ask(),
            Event::Arrive(which) => {
                if let Some((peer, piece)) = nth(&self.asked, which) {
                    self.arrive(peer, piece);
                }
            }
            Event::Fail { request, how } => {
                if let Some((peer, piece)) = nth(&self.asked, request) {
                    let failure = match how % 3 {
                        0 => RequestFailure::Lost,
                        1 => RequestFailure::Refused,
                        _ => RequestFailure::Busy,
                    };
                    self.asked.remove(&(peer, piece));
                    let _ = self.scheduler.on_failure(peer, PieceIndex(piece), failure, now);
                }
            }
            Event::Write(which) => {
                if let Some(piece) = nth(&self.writing, which) {
                    self.write(piece);
                }
            }
            Event::Reject(which) => {
                let all: BTreeSet<_> = self.writing.union(&self.written).copied().collect();
                if let Some(piece) = nth(&all, which) {
                    self.writing.remove(&piece);
                    self.written.remove(&piece);
                    self.scheduler.reject(PieceIndex(piece));
                }
            }
            Event::Hold(piece) => {
                let piece = u32::from(piece);
                if self.scheduler.hold(PieceIndex(piece)) {
                    assert!(piece < self.count && !self.written.contains(&piece));
                    assert!(self.asked.iter().all(|(_, asked)| *asked != piece));
                    assert!(self.writing.insert(piece));
                }
            }
            Event::Silence => {
                for peer in self.scheduler.silent(now) {
                    assert!(self.asked.iter().any(|(asked, _)| *asked == peer), "it owes nothing");
                    self.leave(peer);
                }
            }
            Event::Wait(ms) => self.now += Duration::from_millis(u64::from(ms)),
        }
    }

    fn ask(&mut self) {
        while let Some(ask) = self.scheduler.ask(self.now) {
            let piece = ask.piece.0;
            assert!(piece < self.count);
            let has = self.sources.get(&ask.peer).expect("a source that is there is asked");
            assert!(
                has.as_ref().is_none_or(|has| has.contains(&piece)),
                "it does not have {piece}"
            );
            assert!(!self.written.contains(&piece) && !self.writing.contains(&piece));
            assert!(self.asked.insert((ask.peer, piece)), "it is asked once");
        }
        // A late piece is asked of several, so it is the pieces that have a bound.
        let most = PIECES_IN_MEMORY_MAX + usize::from(PEERS) + 1;
        let pieces: BTreeSet<_> = self.asked.iter().map(|(_, piece)| *piece).collect();
        assert!(pieces.len() <= most, "{} pieces are asked for", pieces.len());
        while let Some(ask) = self.scheduler.shed(self.now) {
            assert!(self.asked.remove(&(ask.peer, ask.piece.0)), "it was asked");
        }
    }

    fn arrive(&mut self, peer: PeerId, piece: u32) {
        self.asked.remove(&(peer, piece));
        match self.scheduler.on_arrival(peer, PieceIndex(piece), self.now) {
            Arrival::Wanted { abandon } => {
                assert!(self.writing.insert(piece));
                for other in abandon {
                    assert!(self.asked.remove(&(other, piece)), "it was asked");
                }
            }
            Arrival::Unwanted => panic!("piece {piece} was asked for"),
        }
    }

    fn write(&mut self, piece: u32) {
        self.writing.remove(&piece);
        self.written.insert(piece);
        self.scheduler.on_written(PieceIndex(piece));
    }

    fn leave(&mut self, peer: PeerId) {
        self.scheduler.leave(peer);
        self.sources.remove(&peer);
        self.asked.retain(|(asked, _)| *asked != peer);
    }

    fn check(&self) {
        let all_written = self.written.len() == self.count as usize;
        assert_eq!(self.scheduler.is_complete(), all_written && self.asked.is_empty());
        assert_eq!(self.scheduler.is_writing(), !self.writing.is_empty());
        assert!(self.scheduler.wake_at(self.now).is_none_or(|at| at > self.now));
        let asked: BTreeSet<_> = self.asked.iter().map(|(peer, _)| *peer).collect();
        assert_eq!(self.scheduler.active_sources(), asked.len());
        let _ = (self.scheduler.outlook(), self.scheduler.fetching(self.now));
    }

    /// Whatever happened, one good source is enough.
    fn come_to_an_end(&mut self) {
        let gone: Vec<_> = self.sources.keys().copied().collect();
        gone.into_iter().for_each(|peer| self.leave(peer));
        self.writing.clone().into_iter().for_each(|piece| self.write(piece));
        let good = PeerId::from_public_key(b"good");
        self.scheduler.join(good, self.now);
        self.sources.insert(good, None);
        for _ in 0..=self.count {
            self.now += Duration::from_millis(10);
            self.ask();
            while let Some((peer, piece)) = self.asked.first().copied() {
                self.arrive(peer, piece);
                self.write(piece);
            }
            self.check();
        }
        assert!(self.scheduler.is_complete(), "{} of {} written", self.written.len(), self.count);
    }
}

fn nth<T: Copy>(of: &BTreeSet<T>, which: u8) -> Option<T> {
    of.iter().nth(usize::from(which) % of.len().max(1)).copied()
}
