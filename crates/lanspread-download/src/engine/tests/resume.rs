//! What a download takes from the disk instead of from its sources.

use std::os::unix::fs::{FileExt, MetadataExt, symlink};

use lanspread_transfer::layout::ChunkIndex;
use lanspread_transfer::record::Record;
use proptest::prelude::*;

use super::*;
use crate::journal::{Header, Journal};

/// A download of twelve chunks and a bit that loses its only source on the way.
async fn interrupted(game: &Game) -> lab::Finished {
    let mut lab = Lab::start([FakeSource::new(1, game).delayed(ms(50))]);
    lab.wait_for_bytes(4 * CHUNK_SIZE_BYTES).await;
    lab.leave(1);
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::AllPeersGone);
    assert!(run.has_journal());
    run
}

/// Downloads `game` to where `before` ended, from one source.
async fn downloaded_after(before: lab::Finished, source: FakeSource) -> lab::Finished {
    let mut lab = before.again();
    lab.run([source], None);
    lab.finish().await
}

/// A download of `game` to a root with these files.
async fn downloaded_over(files: &[(&str, &[u8])], game: &Game) -> lab::Finished {
    let mut lab = Lab::prepare();
    files.iter().for_each(|(path, bytes)| lab.write(path, bytes));
    lab.run([FakeSource::new(1, game)], None);
    lab.finish().await
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_download_has_is_not_fetched_again() {
    let game = game_of_chunks(12);
    let before = interrupted(&game).await;
    let run = downloaded_after(before, FakeSource::new(2, &game)).await;
    run.assert_complete(&game);
    let most = game.manifest().total_size() - 4 * CHUNK_SIZE_BYTES;
    assert!((1..=most).contains(&run.fetched()), "{}", run.fetched());
    let Some(DownloadNotice::Progress(last)) = run.notices.last() else { panic!("no progress") };
    assert_eq!(last.bytes_done, last.bytes_total);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_leaves_what_it_has_and_goes_on_from_there() {
    let game = game_of_chunks(12);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(50))]);
    lab.wait_for_bytes(4 * CHUNK_SIZE_BYTES).await;
    lab.stop.cancel();
    let before = lab.finish().await;
    assert_eq!(before.ended.as_ref().unwrap_err(), &DownloadEnd::Interrupted);
    assert!(before.has_journal() && !before.path("version.ini").exists());
    let run = downloaded_after(before, FakeSource::new(2, &game)).await;
    run.assert_complete(&game);
    // What came since the last checkpoint is known as well.
    let most = game.manifest().total_size() - 4 * CHUNK_SIZE_BYTES;
    assert!(run.fetched() <= most, "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn a_journal_of_what_is_not_on_disk_is_not_believed() {
    let game = game_of_chunks(12);
    for unhashed in [false, true] {
        let before = interrupted(&game).await;
        let mut bytes = fs::read(before.path("a.eti")).unwrap();
        bytes[5] ^= 1;
        bytes[chunks(1) + 5] ^= 1;
        fs::write(before.path("a.eti"), bytes).unwrap();
        let source = FakeSource::new(2, &game);
        let source = if unhashed { source.hashing_for(ms(60_000)) } else { source };
        let run = downloaded_after(before, source).await;
        run.assert_complete(&game);
        let total = game.manifest().total_size();
        let most = total - 2 * CHUNK_SIZE_BYTES;
        assert!((total / 3..=most).contains(&run.fetched()), "{}", run.fetched());
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_were_lost_or_replaced_meanwhile_are_fetched() {
    let game = game_of_chunks(12);
    let before = interrupted(&game).await;
    let other = before.path("../other");
    fs::rename(before.path("a.eti"), &other).unwrap();
    symlink(&other, before.path("a.eti")).unwrap();
    let kept = fs::read(&other).unwrap();
    let run = downloaded_after(before, FakeSource::new(2, &game)).await;
    run.assert_complete(&game);
    assert_eq!(run.fetched(), game.manifest().total_size());
    assert!(fs::read(&other).unwrap() == kept);
}

#[tokio::test(start_paused = true)]
async fn another_content_takes_what_is_the_same() {
    let game = game_of_chunks(12);
    let before = interrupted(&game).await;
    let other = game.with_flipped_bit("a.eti", 5);
    let run = downloaded_after(before, FakeSource::new(2, &other)).await;
    run.assert_complete(&other);
    let most = game.manifest().total_size() - 3 * CHUNK_SIZE_BYTES;
    assert!((1..=most).contains(&run.fetched()), "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn without_its_journal_the_disk_is_looked_at_as_a_whole() {
    let game = game_of_chunks(12);
    let before = interrupted(&game).await;
    fs::remove_file(before.path("../state/download.journal")).unwrap();
    let run = downloaded_after(before, FakeSource::new(2, &game)).await;
    run.assert_complete(&game);
    assert!(run.fetched() <= game.manifest().total_size() - 4 * CHUNK_SIZE_BYTES);
}

#[tokio::test(start_paused = true)]
async fn an_update_fetches_what_is_new() {
    let old = Game::new(&[("a.eti", chunks(6) + 5), ("b.eti", chunks(3)), ("same.txt", 40)]);
    let mut grown = old.file("a.eti").to_vec();
    grown.extend([7; 100]);
    let new = old
        .with_flipped_bit("a.eti", chunks(2))
        .with_file("a.eti", &grown)
        .with_file("b.eti", &old.file("b.eti")[..chunks(2)]);
    let files = ["a.eti", "b.eti", "same.txt"].map(|path| (path, old.file(path)));
    let run =
        downloaded_over(&[&files[..], &[("version.ini", b"20000101\n")]].concat(), &new).await;
    run.assert_complete(&new);
    // The last chunk of what has grown; a shorter file ends where its chunk does.
    assert_eq!(run.fetched(), 105);
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_from_the_disk_even_if_its_source_tells_its_hashes_late() {
    let game = game_of_chunks(40);
    let mut lab = Lab::prepare();
    lab.write("a.eti", game.file("a.eti"));
    lab.run([FakeSource::new(1, &game).hashing_for(ms(300)).delayed(ms(100))], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert!(run.fetched() < game.manifest().total_size() / 2, "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn a_file_with_another_name_is_copied_before_it_is_written_to() {
    let game = game_of_chunks(4);
    let old = game.with_flipped_bit("a.eti", 5);
    let mut lab = Lab::prepare();
    lab.write("a.eti", old.file("a.eti"));
    let other = lab.root().join("../other");
    fs::hard_link(lab.root().join("a.eti"), &other).unwrap();
    lab.run([FakeSource::new(1, &game)], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert_eq!(run.fetched(), CHUNK_SIZE_BYTES);
    assert!(fs::read(&other).unwrap() == old.file("a.eti"));
}

#[tokio::test(start_paused = true)]
async fn zeros_over_a_hole_from_before_take_no_room() {
    let game = Game::new(&[]).with_file("a.eti", &vec![0; chunks(8)]);
    let mut lab = Lab::prepare();
    lab.write("a.eti", b"other");
    lab.run([FakeSource::new(1, &game)], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    let blocks = fs::metadata(run.path("a.eti")).unwrap().blocks();
    assert!(blocks * 512 <= CHUNK_SIZE_BYTES, "{blocks} blocks");
}

#[tokio::test(start_paused = true)]
async fn cancelling_sweeps_the_journal_and_what_came_before() {
    let game = game_of_chunks(12);
    let mut lab = interrupted(&game).await.again();
    lab.run([FakeSource::new(1, &game).delayed(ms(50))], None);
    lab.wait_until_begun().await;
    lab.cancel();
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::Cancelled);
    assert!(!run.has_journal() && !run.path("").exists());
}

#[tokio::test(start_paused = true)]
async fn cancelling_removes_nothing_of_a_directory_that_took_the_place_of_the_root() {
    let game = game_of_chunks(12);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(100))]);
    lab.wait_for_bytes(2 * CHUNK_SIZE_BYTES).await;
    fs::rename(lab.root(), lab.root().with_file_name("moved")).unwrap();
    lab.write("mine/file", b"mine");
    lab.cancel();
    let run = lab.finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::Io { .. }));
    assert_eq!(fs::read(run.path("mine/file")).unwrap(), b"mine");
    assert!(!run.has_journal());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_something_else_changes_meanwhile_is_no_success_and_is_mended_by_the_next() {
    let game = game_of_chunks(12);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(100))]);
    lab.wait_for_bytes(4 * CHUNK_SIZE_BYTES).await;
    let path = lab.root().join("a.eti");
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    // Also a write that leaves what was there needs another look, and passes it.
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    file.write_all_at(&[!byte[0]], 0).unwrap();
    file.write_all_at(&[!byte[0]], 7).unwrap();
    let run = lab.finish().await;
    run.assert_failed(|failure| {
        matches!(failure, DownloadFailure::Io(failure) if failure.source.to_string().contains("something else"))
    });
    assert!(!run.path("version.ini").exists());
    let mut lab = run.again();
    lab.run([FakeSource::new(2, &game)], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert!(run.fetched() <= 2 * CHUNK_SIZE_BYTES, "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_dropped_is_gone_on_with() {
    let game = game_of_chunks(40);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(100))]);
    lab.wait_for_bytes(25 * CHUNK_SIZE_BYTES).await;
    let mut lab = lab.abandon().await;
    lab.run([FakeSource::new(2, &game)], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    // All but what came since the last checkpoint.
    assert!(run.fetched() <= 26 * CHUNK_SIZE_BYTES, "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_step_keeps_what_was_there() {
    let game = Game::new(&[("a.eti", chunks(4)), ("b.eti", chunks(1))]);
    let total = game.manifest().total_size();
    // What is in the way of a step, and what is fetched once it is gone.
    let steps = [("../state/download.journal", total), (".version.ini.tmp", 0)];
    for (obstacle, rest) in steps {
        let mut lab = Lab::prepare();
        lab.write(&format!("{obstacle}/in the way"), b"");
        lab.run([FakeSource::new(1, &game)], None);
        let run = lab.finish().await;
        run.assert_failed(|failure| matches!(failure, DownloadFailure::Io { .. }));
        fs::remove_dir_all(run.path(obstacle)).unwrap();
        let run = downloaded_after(run, FakeSource::new(2, &game)).await;
        run.assert_complete(&game);
        assert_eq!(run.fetched(), rest, "{obstacle}");
    }
}

/// What is on disk where a chunk belongs, and whether the journal claims it.
#[derive(Debug, Clone, Copy)]
struct Before {
    is_right: bool,
    is_claimed: bool,
}

fn before() -> impl Strategy<Value = Before> {
    (any::<bool>(), any::<bool>())
        .prop_map(|(is_right, is_claimed)| Before { is_right, is_claimed })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the disk holds and whatever the journal says about it, the game is right in the
    /// end, and what could be known to be right is not fetched.
    #[test]
    fn the_disk_decides_and_not_the_journal(
        chunks_before in proptest::collection::vec(before(), 3),
        cut in 0..=2_u64,
        is_surveyed in any::<bool>(),
        is_hashed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let game = Game::new(&[("a.eti", chunks(3))]);
            let manifest = game.manifest();
            let mut lab = Lab::prepare();
            let mut bytes = game.file("a.eti").to_vec();
            for (number, chunk) in chunks_before.iter().enumerate() {
                bytes[chunks(1) * number] ^= u8::from(!chunk.is_right);
            }
            bytes.truncate(bytes.len() - chunks(cut));
            lab.write("a.eti", &bytes);
            let header = Header::new(&lab.root(), &manifest);
            let (journal, _) = Journal::begin(&lab.journal(), header).unwrap();
            let hashes = manifest.files()[0].hashes.as_ref().unwrap().chunks();
            let claims = (0..).zip(hashes).zip(&chunks_before).filter(|(_, chunk)| chunk.is_claimed);
            let mut records: Vec<_> = claims
                .map(|((number, hash), _)| Record::Written(ChunkIndex(number), hash))
                .collect();
            records.extend(is_surveyed.then_some(Record::Surveyed));
            journal.append(&records).unwrap();

            let source = FakeSource::new(1, &game);
            lab.run([if is_hashed { source } else { source.hashing_for(ms(1)) }], None);
            let run = lab.finish().await;
            run.assert_complete(&game);
            let left = chunks_before.iter().take(3 - usize::try_from(cut).unwrap());
            let known = left.filter(|chunk| {
                chunk.is_right && (chunk.is_claimed || is_hashed && !is_surveyed)
            });
            let most = manifest.total_size() - known.count() as u64 * CHUNK_SIZE_BYTES;
            assert!(run.fetched() <= most, "{} of {most}", run.fetched());
        });
    }
}
