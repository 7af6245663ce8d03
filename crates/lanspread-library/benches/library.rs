//! What a peer looks at: a large library.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use criterion::{Criterion, Throughput};
use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_library::{Index, LocalGame, quick_scan, scan_games_dir};
use lanspread_proto::{GameId, GameVersion};

const GAMES: u32 = 1_000;
/// Fewer than usual, since one takes long.
const SAMPLES: usize = 20;
const VERSION: &str = "20240131";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(SAMPLES);
    measure_library(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn measure_library(criterion: &mut Criterion) -> Result<()> {
    let (games, state) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut listed = Vec::new();
    for number in 0..GAMES {
        let id = GameId::new(format!("game-{number:04}"))?;
        let root = games.path().join(id.as_str());
        fs::create_dir_all(root.join("extras"))?;
        for file in ["game.eti", "readme.txt", "extras/map.bsp", "extras/sound.wav"] {
            fs::write(root.join(file), id.as_str())?;
        }
        fs::write(root.join("version.ini"), VERSION)?;
        listed.push(CatalogGame::new(id.clone(), id.as_str(), GameVersion::new(VERSION)?));
    }
    let catalog = Catalog::from_games(listed)?;
    let mut library = Library::new(games.path().into(), state.path().into(), catalog)?;
    assert_eq!(library.scan()?, usize::try_from(GAMES)?);

    let mut group = criterion.benchmark_group("library of 1,000 games");
    group.throughput(Throughput::Elements(GAMES.into()));
    group.bench_function("scan, nothing known", |bencher| bencher.iter(|| library.scan()));
    library.remember()?;
    group.bench_function("scan, all known", |bencher| bencher.iter(|| library.scan()));
    group.bench_function("survey", |bencher| bencher.iter(|| library.quick_scan()));
    group.finish();
    Ok(())
}

/// A games directory and what is known of it.
struct Library {
    games_dir: PathBuf,
    catalog: Catalog,
    index: Index,
}

impl Library {
    /// Nothing is known yet of the games in `games_dir`; `state_dir` must exist.
    fn new(games_dir: PathBuf, state_dir: PathBuf, catalog: Catalog) -> Result<Self> {
        let (index, _) = Index::load(&state_dir)?;
        Ok(Self { games_dir, catalog, index })
    }

    /// Looks at every game, as a start does; returns how many are downloaded.
    fn scan(&self) -> Result<usize> {
        let scan = scan_games_dir(&self.games_dir, &self.catalog, &self.index)?;
        let is_whole = |game: &&LocalGame| game.manifest.is_some();
        Ok(scan.games.values().filter(is_whole).count())
    }

    /// Takes what a scan finds into the index, so that the next one walks nothing.
    fn remember(&mut self) -> Result<()> {
        for (game_id, game) in scan_games_dir(&self.games_dir, &self.catalog, &self.index)?.games {
            if let Some(known) = game.known_content() {
                self.index.record(&self.games_dir, game_id, known);
            }
        }
        Ok(())
    }

    /// Lists every root, as happens every 300 s; returns how many there are.
    fn quick_scan(&self) -> Result<usize> {
        Ok(quick_scan(&self.games_dir, &self.catalog)?.len())
    }
}
