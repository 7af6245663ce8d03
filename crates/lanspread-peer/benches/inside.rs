//! What a peer decides and looks at: the scheduler of a large download, and a large library.

use std::error::Error;
use std::fs;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_peer::bench::{Library, schedule};
use lanspread_proto::{GameId, GameVersion};

const GAMES: u32 = 1_000;
/// A game of 200 GB.
const PIECES: u32 = 100_000;
const SOURCES: u8 = 8;
/// Fewer than usual, since one takes long.
const SAMPLES: usize = 20;
const VERSION: &str = "20240131";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(SAMPLES);
    measure_scheduler(&mut criterion);
    measure_library(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn measure_scheduler(criterion: &mut Criterion) {
    assert_eq!(schedule(PIECES, SOURCES), PIECES, "every piece is asked for once");
    let mut group = criterion.benchmark_group("scheduler");
    group.throughput(Throughput::Elements(PIECES.into()));
    group.bench_function("100,000 pieces over 8 sources", |bencher| {
        bencher.iter(|| schedule(black_box(PIECES), black_box(SOURCES)));
    });
    group.finish();
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
    group.bench_function("survey", |bencher| bencher.iter(|| library.survey()));
    group.finish();
    Ok(())
}
