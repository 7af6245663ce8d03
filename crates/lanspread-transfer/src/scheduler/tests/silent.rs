//! A download beside sources that give nothing of use, in virtual time. It hangs on the honest ones.

use std::collections::BTreeMap;

use super::*;
use crate::scheduler::probes::{PARTIAL_BYTES_MAX, PROBES_MAX};

/// What the honest source takes for a piece: 160 MB/s.
const HONEST_TIME: Duration = Duration::from_micros(12_500);
/// How long it takes until the first byte of an answer comes.
const ROUND_TRIP: Duration = Duration::from_millis(1);
/// How long the honest source may be looked for, and the last pieces be waited for.
const FOUND_WITHIN: Duration = Duration::from_secs(1);
/// How often the engine looks for bytes that have come while nothing else happens.
const TICK: Duration = Duration::from_millis(100);
const PIECE_BYTES: u64 = lanspread_proto::CHUNK_SIZE_BYTES;

/// What a hostile source does with a request for a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hostile {
    Silent,
    /// Gives some pieces, and then nothing.
    SilentAfter(u32),
    /// Gives wrong bytes. It is not asked again.
    Wrong,
    /// Sends 1 KiB/s.
    Trickling,
    /// Sends most of a piece at once, and the rest never.
    Stalling,
    /// Is too busy, again and again, and takes this long to say so.
    Busy(Duration),
    /// Loses its connection.
    Lost,
    /// Promises to have everything soon as one that fetches the game too.
    Promising,
    /// Says so of everything that it has it.
    Having,
}

const KINDS: [Hostile; 11] = [
    Hostile::Silent,
    Hostile::SilentAfter(1),
    Hostile::SilentAfter(3),
    Hostile::Wrong,
    Hostile::Trickling,
    Hostile::Stalling,
    Hostile::Busy(Duration::from_millis(2)),
    Hostile::Busy(Duration::from_secs(19)),
    Hostile::Lost,
    Hostile::Promising,
    Hostile::Having,
];

/// What happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives,
    Fails(bool),
}

/// One download with an honest source.
struct Crowd {
    scheduler: Scheduler,
    now: Duration,
    pieces: u32,
    hostile: BTreeMap<PeerId, Hostile>,
    /// How many pieces each has given.
    given: BTreeMap<PeerId, u32>,
    /// When the line of a source is free.
    line: BTreeMap<PeerId, Duration>,
    /// Until when a source sends the bytes of a piece, and since when.
    sending: BTreeMap<(PeerId, PieceIndex), (Duration, Duration)>,
    due: BTreeSet<(Duration, PeerId, PieceIndex, Happening)>,
    /// Most bytes of pieces that are not whole at a time.
    partial_bytes: u64,
    wasted_bytes: u64,
    asks: usize,
}

impl Crowd {
    /// `addresses` tells at how many the hostile sources are, and `home` at which the honest one is.
    fn new(pieces: u32, kinds: &[Hostile], addresses: u64, home: u64) -> Self {
        let mut scheduler = Scheduler::new(pieces, Order::File);
        let all: Vec<_> = (0..pieces).map(PieceIndex).collect();
        let hostile: BTreeMap<_, _> = (0_u64..)
            .zip(kinds)
            .map(|(n, kind)| (PeerId::from_public_key(&n.to_le_bytes()), *kind))
            .collect();
        for (n, (peer, kind)) in (0_u64..).zip(&hostile) {
            match kind {
                Hostile::Promising => {
                    scheduler.offer(*peer, &PieceSet::default(), &all, ms(0));
                }
                Hostile::Having => scheduler.offer(*peer, &(0..pieces).collect(), &[], ms(0)),
                _ => scheduler.join(*peer, ms(0)),
            }
            scheduler.locate(*peer, Some(SourceGroup(n % addresses)));
        }
        // The last one in the order of ids.
        let last = hostile.keys().next_back().copied();
        let mut honest = (1_000_000_u64..).map(|n| PeerId::from_public_key(&n.to_le_bytes()));
        let honest = honest.find(|peer| last.is_none_or(|last| *peer > last)).unwrap();
        scheduler.join(honest, ms(0));
        scheduler.locate(honest, Some(SourceGroup(home)));
        Self {
            scheduler,
            now: ms(0),
            pieces,
            hostile,
            given: BTreeMap::new(),
            line: BTreeMap::new(),
            sending: BTreeMap::new(),
            due: BTreeSet::new(),
            partial_bytes: 0,
            wasted_bytes: 0,
            asks: 0,
        }
    }

    /// Runs to the end; returns how long that took.
    fn run(&mut self) -> Duration {
        self.ask();
        while !self.scheduler.is_complete() {
            assert!(self.now < Duration::from_secs(600), "does not end: {}", self.asks);
            let at = self.due.first().map(|(at, ..)| *at);
            let at = at.into_iter().chain(self.scheduler.wake_at(self.now)).min();
            self.now = at.unwrap_or(self.now + TICK).min(self.now + TICK);
            self.progress();
            while let Some(next) = self.due.pop_first() {
                if next.0 > self.now {
                    self.due.insert(next);
                    break;
                }
                self.happen(next.1, next.2, next.3);
            }
            for peer in self.scheduler.silent(self.now) {
                self.leave(peer);
            }
            while let Some(ask) = self.scheduler.shed(self.now) {
                self.end(ask.peer, ask.piece);
            }
            self.ask();
        }
        self.wasted_bytes += self.scheduler.take_wasted_bytes();
        self.now
    }

    fn ask(&mut self) {
        for Ask { peer, piece } in ask_all(&mut self.scheduler, self.now) {
            self.asks += 1;
            let now = self.now;
            let given = self.given.get(&peer).copied().unwrap_or_default();
            let (mut send, mut due) = (None, None);
            match self.hostile.get(&peer) {
                None => {
                    let begins = self.line.get(&peer).copied().unwrap_or_default();
                    let begins = begins.max(now + ROUND_TRIP);
                    self.line.insert(peer, begins + HONEST_TIME);
                    send = Some((begins, begins + HONEST_TIME));
                    due = Some((begins + HONEST_TIME, Happening::Arrives));
                }
                Some(Hostile::SilentAfter(most)) if given < *most => {
                    due = Some((now + ROUND_TRIP, Happening::Arrives));
                }
                Some(Hostile::Wrong) => due = Some((now + HONEST_TIME, Happening::Arrives)),
                Some(Hostile::Trickling) => {
                    let ends = now + Duration::from_secs(PIECE_BYTES / 1024);
                    send = Some((now, ends));
                    due = Some((ends, Happening::Arrives));
                }
                // Nine tenths come in the time of a piece.
                Some(Hostile::Stalling) => send = Some((now, now + HONEST_TIME)),
                Some(Hostile::Busy(after)) => due = Some((now + *after, Happening::Fails(true))),
                Some(Hostile::Lost) => due = Some((now + ROUND_TRIP, Happening::Fails(false))),
                Some(
                    Hostile::Silent
                    | Hostile::SilentAfter(_)
                    | Hostile::Promising
                    | Hostile::Having,
                ) => {}
            }
            self.sending.extend(send.map(|send| ((peer, piece), send)));
            self.due.extend(due.map(|(at, what)| (at, peer, piece, what)));
        }
    }

    fn progress(&mut self) {
        let mut partial = 0;
        for ((peer, piece), (begins, ends)) in &self.sending {
            let whole = ends.saturating_sub(*begins).as_secs_f64();
            let part = self.now.saturating_sub(*begins).as_secs_f64() / whole;
            let most = if self.hostile.contains_key(peer) { 0.9 } else { 0.999 };
            let bytes = (part.min(most) * PIECE_BYTES as f64) as u64;
            let ask = Ask { peer: *peer, piece: *piece };
            self.scheduler.on_progress(ask, bytes, PIECE_BYTES, self.now);
            partial += bytes;
        }
        self.partial_bytes = self.partial_bytes.max(partial);
    }

    fn happen(&mut self, peer: PeerId, piece: PieceIndex, what: Happening) {
        self.sending.remove(&(peer, piece));
        match what {
            Happening::Fails(is_busy) => {
                let failure = if is_busy { RequestFailure::Busy } else { RequestFailure::Lost };
                if self.scheduler.on_failure(peer, piece, failure, self.now) == Trust::Spent {
                    self.leave(peer);
                }
            }
            Happening::Arrives => {
                *self.given.entry(peer).or_default() += 1;
                match self.scheduler.on_arrival(peer, piece, self.now) {
                    Arrival::Unwanted => {}
                    Arrival::Wanted { abandon } => {
                        for other in abandon {
                            self.end(other, piece);
                        }
                        if self.hostile.get(&peer) == Some(&Hostile::Wrong) {
                            self.wasted_bytes += PIECE_BYTES;
                            self.leave(peer);
                            self.scheduler.reject(piece);
                        } else {
                            self.scheduler.on_written(piece);
                        }
                    }
                }
            }
        }
    }

    fn end(&mut self, peer: PeerId, piece: PieceIndex) {
        self.sending.remove(&(peer, piece));
        self.due.retain(|(_, other, of, _)| (*other, *of) != (peer, piece));
    }

    fn leave(&mut self, peer: PeerId) {
        self.scheduler.leave(peer);
        self.sending.retain(|(other, _), _| *other != peer);
        self.due.retain(|(_, other, ..)| *other != peer);
    }

    fn alone(&self) -> Duration {
        ROUND_TRIP + HONEST_TIME * self.pieces
    }
}

/// How many times as long a download takes beside these as alone.
fn factor(pieces: u32, kinds: &[Hostile], addresses: u64, home: u64) -> f64 {
    let mut crowd = Crowd::new(pieces, kinds, addresses, home);
    let took = crowd.run();
    let factor = took.as_secs_f64() / crowd.alone().as_secs_f64();
    let wasted = crowd.wasted_bytes / (1024 * 1024);
    println!(
        "{:?} x{} at {addresses}/{home}, {pieces} pieces: {factor:.2}, {} asks, {wasted} MiB wasted, {} MiB partial",
        kinds.first(),
        kinds.len(),
        crowd.asks,
        crowd.partial_bytes / (1024 * 1024),
    );
    let most = PROBES_MAX as u64 * PIECE_BYTES + PARTIAL_BYTES_MAX;
    assert!(crowd.partial_bytes <= most, "{}", crowd.partial_bytes);
    factor
}

#[test]
fn a_download_beside_sources_that_give_nothing_takes_twice_as_long_at_most() {
    let mut worst = Vec::new();
    for kind in KINDS {
        for count in [70, 350] {
            for (addresses, home) in [(1, 0), (1_000, 0), (4, 9)] {
                for pieces in if home == 9 && count == 70 { vec![40, 200] } else { vec![40] } {
                    let factor = factor(pieces, &vec![kind; count], addresses, home);
                    // Those that send most of a piece each take a part of the line for it.
                    let sends = matches!(kind, Hostile::Stalling) && home == 0;
                    if factor > if sends { 7.0 } else { 2.0 } {
                        worst.push((kind, count, addresses, home, pieces, factor));
                    }
                }
            }
        }
    }
    assert!(worst.is_empty(), "{worst:#?}");
}

fn hostile() -> impl Strategy<Value = Hostile> {
    prop::sample::select(KINDS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What takes time beside the pieces is to find the honest source, and that does not grow with them.
    #[test]
    fn a_download_with_an_honest_source_ends_whatever_the_others_do(
        kinds in prop::collection::vec(hostile(), 0..60),
        pieces in 1_u32..80,
        addresses in 1_u64..5,
        is_at_home in any::<bool>(),
    ) {
        let home = if is_at_home { 0 } else { 9 };
        let mut crowd = Crowd::new(pieces, &kinds, addresses, home);
        let (took, alone) = (crowd.run(), crowd.alone());
        prop_assert!(took <= alone * 2 + FOUND_WITHIN, "{took:?}, alone {alone:?}");
    }
}
