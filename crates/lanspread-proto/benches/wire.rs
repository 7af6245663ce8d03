//! What the codec and the hashes cost: the largest headers that are usual, and one chunk.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use lanspread_proto::hash::{ChunkHasher, chunk_hash, file_hash};
use lanspread_proto::layout::{LayoutPage, encode_layout};
use lanspread_proto::library::{GameSummary, LibraryPage, encode_library};
use lanspread_proto::limits::MANIFEST_MAX_FILES;
use lanspread_proto::{
    CHUNK_SIZE_BYTES, ContentHash, GameId, GameVersion, Manifest, ManifestFile, RelPath,
};

const GAMES: u32 = 2_000;
const CHUNKS: u32 = 10_000;
/// How a game on disk is read while it is hashed.
const READ_BYTES: usize = 256 * 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    measure_library(&mut criterion)?;
    measure_layout(&mut criterion)?;
    measure_hashes(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn measure_library(criterion: &mut Criterion) -> Result<()> {
    let games = library()?;
    let pages = encode_library(&games);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(pages.iter().map(|page| page.len() as u64).sum()));
    group.bench_function("encode a library of 2,000 games", |bencher| {
        bencher.iter(|| encode_library(black_box(&games)));
    });
    group.bench_function("decode a library of 2,000 games", |bencher| {
        let decode =
            |page| LibraryPage::new(page).map(|games| games.filter(|it| it.is_ok()).count());
        bencher.iter(|| {
            black_box(&pages)
                .iter()
                .map(|page| decode(page))
                .filter_map(std::result::Result::ok)
                .sum::<usize>()
        });
    });
    group.finish();
    Ok(())
}

fn measure_layout(criterion: &mut Criterion) -> Result<()> {
    let manifest = manifest()?;
    let encode = |manifest: &Manifest| {
        encode_layout(manifest.files().iter().map(|file| (&file.path, file.size)))
    };
    let pages = encode(&manifest);
    let mut group = criterion.benchmark_group("layout");
    group.throughput(Throughput::Elements(manifest.files().len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&manifest))));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let pages = black_box(&pages).iter().filter_map(|page| LayoutPage::new(page).ok());
            pages.flatten().filter(std::result::Result::is_ok).count()
        });
    });
    group.finish();
    Ok(())
}

fn measure_hashes(criterion: &mut Criterion) -> Result<()> {
    let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(usize::try_from(CHUNK_SIZE_BYTES)?).collect();
    let file_size = 8 * CHUNK_SIZE_BYTES;

    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(CHUNK_SIZE_BYTES));
    group.bench_function("a chunk at once", |bencher| {
        bencher.iter(|| chunk_hash(file_size, 3, black_box(&chunk)));
    });
    group.bench_function("a chunk as it is read", |bencher| {
        bencher.iter(|| {
            let mut hasher = ChunkHasher::new(file_size, 3);
            for piece in black_box(&chunk).chunks(READ_BYTES) {
                hasher.update(piece);
            }
            hasher.finish()
        });
    });
    let chunks: Vec<_> = (0..CHUNKS).map(|number| *hash_of(number).as_bytes()).collect();
    group.throughput(Throughput::Elements(CHUNKS.into()));
    group.bench_function("a file from 10,000 chunks", |bencher| {
        bencher.iter(|| file_hash(black_box(&chunks)));
    });
    group.finish();
    Ok(())
}

fn library() -> Result<Vec<GameSummary>> {
    let game = |number: u32| -> Result<GameSummary> {
        Ok(GameSummary {
            id: GameId::new(format!("game-{number:04}"))?,
            version: GameVersion::new("20240131")?,
            size: u64::from(number) * 1_000_000_007,
            manifest_hash: hash_of(number),
            content_root: Some(hash_of(number + GAMES)),
        })
    };
    (0..GAMES).map(game).collect()
}

/// As many files as there may be.
fn manifest() -> Result<Manifest> {
    let file = |number: usize| -> Result<ManifestFile> {
        let path = format!("data/maps/area{:02}/textures/stone_{number:06}.dds", number / 1_500);
        Ok(ManifestFile { path: RelPath::new(path)?, size: 200 + number as u64, hashes: None })
    };
    let files = (0..MANIFEST_MAX_FILES).map(file).collect::<Result<_>>()?;
    Ok(Manifest::new(GameVersion::new("20240131")?, files)?)
}

fn hash_of(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}
