//! A door for `benches/`: what is measured of the inside of this crate, under the feature `bench`.
//!
//! The scheduler and the library are nobody's interface, and benchmarks are crates of their own,
//! which see interfaces only. Two narrow things here are better than making the inside public, or
//! than compiling it a second time into the benchmark.

use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use lanspread_catalog::Catalog;
use lanspread_library::{Index, LocalGame, scan_games_dir, survey};
use lanspread_proto::PeerId;
use lanspread_transfer::scheduler::{Order, Scheduler};

/// How long one of eight sources takes for a piece that it begins at once: 200 MB/s each.
const ANSWER_EVERY: Duration = Duration::from_micros(1_250);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A games directory and what is known of it.
pub struct Library {
    games_dir: PathBuf,
    catalog: Catalog,
    index: Index,
}

impl Library {
    /// Nothing is known yet of the games in `games_dir`; `state_dir` must exist.
    ///
    /// # Errors
    /// What is wrong with the index in `state_dir`.
    pub fn new(games_dir: PathBuf, state_dir: PathBuf, catalog: Catalog) -> Result<Self> {
        let (index, _) = Index::load(&state_dir)?;
        Ok(Self { games_dir, catalog, index })
    }

    /// Looks at every game, as a start does; returns how many are downloaded.
    ///
    /// # Errors
    /// The games directory cannot be read.
    pub fn scan(&self) -> Result<usize> {
        let scan = scan_games_dir(&self.games_dir, &self.catalog, &self.index)?;
        let is_whole = |game: &&LocalGame| game.manifest.is_some();
        Ok(scan.games.values().filter(is_whole).count())
    }

    /// Takes what a scan finds into the index, so that the next one walks nothing.
    ///
    /// # Errors
    /// The games directory cannot be read.
    pub fn remember(&mut self) -> Result<()> {
        for (game_id, game) in scan_games_dir(&self.games_dir, &self.catalog, &self.index)?.games {
            if let Some(known) = game.known_content() {
                self.index.record(&self.games_dir, game_id, known);
            }
        }
        Ok(())
    }

    /// Lists every root, as happens every 300 s; returns how many there are.
    ///
    /// # Errors
    /// The games directory cannot be read.
    pub fn survey(&self) -> Result<usize> {
        Ok(survey(&self.games_dir, &self.catalog)?.len())
    }
}

/// Lets a scheduler bring a download of `pieces` to its end over `sources` that have everything and
/// answer one after another, asking it all that the engine asks; returns how many requests it made.
#[must_use]
pub fn schedule(pieces: u32, sources: u8) -> u32 {
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
        scheduler.arrived(ask.peer, ask.piece, now);
        scheduler.stored(ask.piece);
    }
}
