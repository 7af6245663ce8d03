//! What a download decides: the scheduler of a large game.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use lanspread_proto::PeerId;
use lanspread_transfer::scheduler::{Order, Scheduler};

/// A game of 200 GB.
const PIECES: u32 = 100_000;
const SOURCES: u8 = 8;
/// Fewer than usual, since one takes long.
const SAMPLES: usize = 20;
/// How long one of eight sources takes for a piece that it begins at once: 200 MB/s each.
const ANSWER_EVERY: Duration = Duration::from_micros(1_250);

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(SAMPLES);
    assert_eq!(schedule(PIECES, SOURCES), PIECES, "every piece is asked for once");
    let mut group = criterion.benchmark_group("scheduler");
    group.throughput(Throughput::Elements(PIECES.into()));
    group.bench_function("100,000 pieces over 8 sources", |bencher| {
        bencher.iter(|| schedule(black_box(PIECES), black_box(SOURCES)));
    });
    group.finish();
    criterion.final_summary();
}

/// Lets a scheduler bring a download of `pieces` to its end over `sources` that have everything and
/// answer one after another, asking it all that the engine asks; returns how many requests it made.
fn schedule(pieces: u32, sources: u8) -> u32 {
    let mut now = Duration::ZERO;
    let mut scheduler = Scheduler::new(pieces, Order::Of(PeerId::from_public_key(b"receiver")));
    for source in 0..sources {
        scheduler.join(PeerId::from_public_key(&[source]), now);
    }
    let (mut under_way, mut requests) = (VecDeque::new(), 0);
    loop {
        while let Some(ask) = scheduler.ask(now) {
            under_way.push_back(ask);
            requests += 1;
        }
        black_box((scheduler.wake_at(now), scheduler.silent(now)));
        let Some(ask) = under_way.pop_front() else { return requests };
        now += ANSWER_EVERY;
        scheduler.on_arrival(ask.peer, ask.piece, now);
        scheduler.on_written(ask.piece);
    }
}
