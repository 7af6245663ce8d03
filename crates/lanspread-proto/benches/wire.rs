//! What the codec and the hashes cost: the largest headers that are usual, and one chunk.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use lanspread_proto::codec::{LIBRARY_HEADER_MAX_BYTES, decode_header, encode_header};
use lanspread_proto::hash::{ChunkHasher, chunk_hash, file_hash};
use lanspread_proto::message::{GameSummary, LibrarySnapshot, Response};
use lanspread_proto::{
    CHUNK_SIZE_BYTES, ContentHash, FileHashes, GameId, GameVersion, Manifest, ManifestFile, RelPath,
};

const GAMES: u32 = 2_000;
const CHUNKS: u32 = 10_000;
/// How much of a frame comes before its header.
const PREFIX_BYTES: usize = 4;
/// How a game on disk is read while it is hashed.
const READ_BYTES: usize = 256 * 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    measure_codec(&mut criterion, "library of 2,000 games", &Response::Library(library()?))?;
    let manifest = manifest()?;
    measure_codec(&mut criterion, "manifest of 10,000 chunks", &Response::Game { manifest })?;
    measure_hashes(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn measure_codec(criterion: &mut Criterion, name: &str, message: &Response) -> Result<()> {
    let frame = encode_header(message, LIBRARY_HEADER_MAX_BYTES)?;
    let header = frame.slice(PREFIX_BYTES..);
    assert_eq!(&decode_header::<Response>(&header)?, message);

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(header.len() as u64));
    group.bench_function(format!("encode a {name}"), |bencher| {
        bencher.iter(|| encode_header(black_box(message), LIBRARY_HEADER_MAX_BYTES));
    });
    group.bench_function(format!("decode a {name}"), |bencher| {
        bencher.iter(|| decode_header::<Response>(black_box(&header)));
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
    let chunks: Vec<_> = (0..CHUNKS).map(hash_of).collect();
    group.throughput(Throughput::Elements(CHUNKS.into()));
    group.bench_function("a file from 10,000 chunks", |bencher| {
        bencher.iter(|| file_hash(black_box(&chunks)));
    });
    group.finish();
    Ok(())
}

fn library() -> Result<LibrarySnapshot> {
    let game = |number: u32| -> Result<GameSummary> {
        Ok(GameSummary {
            id: GameId::new(format!("game-{number:04}"))?,
            version: GameVersion::new("20240131")?,
            size: u64::from(number) * 1_000_000_007,
            manifest_hash: hash_of(number),
            content_root: Some(hash_of(number + GAMES)),
        })
    };
    Ok(LibrarySnapshot { rev: 7, games: (0..GAMES).map(game).collect::<Result<_>>()? })
}

/// A large archive, as most games are, beside many small files.
fn manifest() -> Result<Manifest> {
    let file = |path: String, chunks: u32| -> Result<ManifestFile> {
        Ok(ManifestFile {
            path: RelPath::new(path)?,
            size: u64::from(chunks) * CHUNK_SIZE_BYTES,
            hashes: Some(FileHashes::from_chunks((0..chunks).map(hash_of).collect())),
        })
    };
    let small = CHUNKS / 4;
    let mut files = vec![file("game.eti".to_owned(), CHUNKS - small)?];
    for number in 0..small {
        files.push(file(format!("extras/maps/{number:05}.bsp"), 1)?);
    }
    Ok(Manifest::new(GameVersion::new("20240131")?, files)?)
}

fn hash_of(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}
