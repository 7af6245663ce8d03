//! Crash tests: no crash at any moment leaves a half game, a lost installation or a lie in the
//! library.
//!
//! A real peer in a process of its own (`victim`) goes through a script and is killed at a point of
//! [`crate::disk`]: as when the process dies, or as when the power goes and what was not synced is
//! lost. Then a peer is started on what is left, the disk and its library are judged, and it has to
//! bring to an end what was begun. The same points can fail instead, as on a full disk.
//!
//! `LANSPREAD_CRASH_POINTS=1000` tries that many crashes instead of a sample, `LANSPREAD_CRASH_SEED`
//! draws others, `LANSPREAD_CRASH_CASE` tries one as a failure names it.

mod case;
mod lab;
mod odd_disks;
mod peer;
mod plan;
mod script;
mod verdict;
mod victim;
mod world;

use std::env;
use std::sync::Arc;
use std::time::Instant;

use self::case::Case;
use self::lab::Lab;
use self::plan::{assert_every_site_is_reached, plan};

/// Where the seeds begin that nobody chose.
const SEED: u64 = 20_240_131;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_and_no_full_disk_leaves_a_half_game_or_a_lie() {
    let lab = Arc::new(Lab::new().await);
    let seed = env::var("LANSPREAD_CRASH_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let amount = env::var("LANSPREAD_CRASH_POINTS").ok().map(|amount| amount.parse().unwrap());
    let cases: Vec<Case> = match env::var("LANSPREAD_CRASH_CASE") {
        Ok(case) => vec![case.parse().unwrap()],
        Err(_) => {
            let hits = lab.count_hits().await;
            assert_every_site_is_reached(&hits);
            plan(&hits, amount, seed)
        }
    };
    println!("seed {seed}, {} cases", cases.len());
    let began = Instant::now();
    let tally = lab.try_all(cases).await;
    println!("{tally:?} in {:?}", began.elapsed());
    if tally.violations > 0 {
        let lab = Arc::into_inner(lab).expect("nobody else has it");
        panic!("{} violations; what they left is in {}", tally.violations, lab.keep().display());
    }
}
