//! One download from several sources of different speed, some of which fail on the way. Virtual
//! time, with the links of [`super::swarm`].

use super::swarm::{PIECE_TIME, Party, id};
use super::*;

const PIECES: u32 = 512;
/// Mbit/s of the sources.
const RATES: [f64; 4] = [400.0, 300.0, 200.0, 100.0];

/// What happens to a source.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing of it arrives any more, and nobody is told.
    Blackholed,
    /// It goes on at a hundredth of its speed.
    Crawling,
    /// It leaves, and that is known at once.
    Left,
}

/// A download from sources of these rates; the receiver's own link is no bound.
fn download(rates: &[f64]) -> Party {
    let mut party = Party::new(PIECES, rates.len(), 1);
    for (source, rate) in rates.iter().enumerate() {
        party.nodes[source].up = rate / 100.0 / PIECE_TIME.as_secs_f64();
    }
    party.nodes[rates.len()].down = 1e6;
    party
}

fn run_until(party: &mut Party, fraction: f64) {
    let receiver = party.nodes.len() - 1;
    while (party.nodes[receiver].written.len() as f64) < fraction * f64::from(PIECES) {
        party.step();
    }
}

fn strike(party: &mut Party, source: usize, fault: Fault) {
    let receiver = party.nodes.len() - 1;
    match fault {
        Fault::Blackholed => party.nodes[source].up = 0.0,
        Fault::Crawling => party.nodes[source].up /= 100.0,
        Fault::Left => {
            party.nodes[receiver].scheduler.leave(id(source));
            party.nodes[receiver].is_dirty = true;
            party.flows.retain(|flow| flow.from != source);
        }
    }
}

/// How long a download takes in which that happens to a source after this fraction, and which part
/// of what arrived was not needed.
fn with_fault(source: usize, fraction: f64, fault: Fault) -> (Duration, f64) {
    let mut party = download(&RATES);
    run_until(&mut party, fraction);
    strike(&mut party, source, fault);
    let took = party.run();
    let sent: f64 = party.sent.iter().sum();
    (took, sent / f64::from(PIECES) - 1.0)
}

#[test]
fn sources_of_different_speed_are_all_busy() {
    let mut party = download(&RATES);
    let took = party.run();
    let ideal = PIECE_TIME.as_secs_f64() * f64::from(PIECES) * 100.0 / RATES.iter().sum::<f64>();
    let used = ideal / took.as_secs_f64();
    assert!(used >= 0.90, "{used:.3} of the sum of the links");
    let sent: f64 = party.sent.iter().sum();
    assert!(sent <= f64::from(PIECES) * 1.02, "{sent} pieces sent for {PIECES}");
}

#[test]
fn a_source_that_fails_without_a_word_costs_two_seconds_at_most() {
    for source in [0, 3] {
        for fraction in [0.5, 0.95, 0.99] {
            let (without, _) = with_fault(source, fraction, Fault::Left);
            for fault in [Fault::Blackholed, Fault::Crawling] {
                let (took, wasted) = with_fault(source, fraction, fault);
                println!(
                    "{source} {fault:?} at {fraction}: {took:?}, else {without:?}; {wasted:.4}"
                );
                let allowed = without + Duration::from_secs(2).max(without.mul_f64(0.05));
                assert!(
                    took <= allowed,
                    "{source} {fault:?} at {fraction}: {took:?} > {allowed:?}"
                );
                assert!(wasted <= 0.02, "{source} {fault:?} at {fraction}: {wasted:.3} wasted");
            }
        }
    }
}

#[test]
fn a_source_that_joins_on_the_way_is_soon_busy() {
    let mut party = download(&RATES[1..]);
    let receiver = party.nodes.len() - 1;
    party.nodes[receiver].scheduler.leave(id(0));
    run_until(&mut party, 0.5);
    let now = party.now;
    party.nodes[receiver].scheduler.join(id(0), now);
    party.nodes[receiver].is_dirty = true;
    while party.sent[0] < 1.0 {
        party.step();
        assert!(party.now < now + Duration::from_secs(1), "it has nothing to do");
    }
    let (before, joined_at) = (party.sent[0], party.now);
    let took = party.run() - joined_at;
    let busy = (party.sent[0] - before) / (party.nodes[0].up * took.as_secs_f64());
    assert!(busy >= 0.85, "busy for {busy:.2} of the time");
}
