mod attributes;
mod free_space;
mod lab;
mod pages;
mod resume;
mod silent;
mod swarm;
mod votes;

use std::fs;
use std::time::Duration;

use lanspread_proto::CHUNK_SIZE_BYTES;
use lanspread_proto::message::RefusalCode;
use lanspread_transfer::consensus::Stated;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::io::Errno;

use self::lab::{FakeSource, Game, Lab, peer};
use super::*;

const MIB: usize = 1024 * 1024;

fn chunks(count: u64) -> usize {
    usize::try_from(count * CHUNK_SIZE_BYTES).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An archive of `count` chunks and a bit.
fn game_of_chunks(count: u64) -> Game {
    Game::new(&[("a.eti", chunks(count) + 17)])
}

#[tokio::test(start_paused = true)]
async fn one_source_gives_the_whole_game() {
    let game = Game::new(&[("a.eti", 5 * MIB), ("docs/read me.txt", 10), ("empty", 0)]);
    let lab = Lab::start([FakeSource::new(1, &game)]);
    let run = lab.finish().await;
    let outcome = run.ended.as_ref().unwrap();
    run.assert_complete(&game);
    assert_eq!(outcome.manifest.content_root(), game.manifest().content_root());
    assert_eq!(outcome.sources.len(), 1);
    assert_eq!(outcome.sources[0].bytes, game.manifest().total_size());

    assert!(matches!(run.notices[0], DownloadNotice::GotManifest { files: 3, .. }));
    assert!(matches!(run.notices[1], DownloadNotice::Began { files: 3, .. }));
    let Some(DownloadNotice::Progress(last)) = run.notices.last() else { panic!("no progress") };
    assert_eq!(
        (last.bytes_done, last.bytes_total),
        (last.bytes_total, game.manifest().total_size())
    );
}

#[tokio::test(start_paused = true)]
async fn every_source_of_a_big_file_gives_a_part_and_no_chunk_is_fetched_twice() {
    let game = game_of_chunks(12);
    let sources: Vec<_> = (1..=3).map(|n| FakeSource::new(n, &game).delayed(ms(10))).collect();
    let run = Lab::start(sources.clone()).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.ended.unwrap().sources.len(), 3);
    let served: usize = sources.iter().map(FakeSource::served).sum();
    assert_eq!(served, 13);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_falls_silent_costs_a_few_seconds_at_most() {
    let game = game_of_chunks(12);
    let silent = FakeSource::new(1, &game).delayed(ms(10)).silent_after(3);
    let steady = FakeSource::new(2, &game).delayed(ms(10));
    let run = Lab::start([silent, steady]).finish().await;
    run.assert_complete(&game);
    assert!(run.took < Duration::from_secs(4), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_killed_is_done_without() {
    let game = game_of_chunks(12);
    let killed = FakeSource::new(1, &game).delayed(ms(10));
    let steady = FakeSource::new(2, &game).delayed(ms(10));
    let mut lab = Lab::start([killed.clone(), steady]);
    lab.wait_until_begun().await;
    killed.lose_connection();
    lab.leave(1);
    lab.finish().await.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_joins_midway_is_used() {
    let game = game_of_chunks(16);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(100))]);
    lab.wait_until_begun().await;
    let late = FakeSource::new(2, &game).delayed(ms(10));
    lab.join(late.clone());
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert!(late.served() > 8, "{}", late.served());
}

#[tokio::test(start_paused = true)]
async fn a_late_source_with_another_game_is_not_used() {
    let game = game_of_chunks(8);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(100))]);
    lab.wait_until_begun().await;
    let other = FakeSource::new(2, &game.with_flipped_bit("a.eti", 5));
    lab.join(other.clone());
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), [peer(2)]);
    assert_eq!(other.served(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bit_that_flipped_after_hashing_drops_its_source() {
    let game = game_of_chunks(6);
    let bad = FakeSource::new(1, &game).serving(&game.with_flipped_bit("a.eti", 5));
    let good = FakeSource::new(2, &game).delayed(ms(10));
    let run = Lab::start([bad, good]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), [peer(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_bit_that_flipped_before_hashing_is_outvoted_when_the_hashes_come() {
    let game = game_of_chunks(6);
    let bad = game.with_flipped_bit("a.eti", 5);
    let sources = [
        FakeSource::new(1, &bad).hashing_for(ms(500)),
        FakeSource::new(2, &game).hashing_for(ms(2_000)).delayed(ms(50)),
        FakeSource::new(3, &game).hashing_for(ms(3_000)).delayed(ms(50)),
    ];
    let run = Lab::start(sources).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), [peer(1)]);
}

#[tokio::test(start_paused = true)]
async fn hashes_that_come_while_chunks_do_decide() {
    let game = game_of_chunks(30);
    let bad = game.with_flipped_bit("a.eti", 5);
    let sources = [
        FakeSource::new(1, &bad).hashing_for(ms(100)).delayed(ms(100)),
        FakeSource::new(2, &game).hashing_for(ms(200)).delayed(ms(100)),
        FakeSource::new(3, &game).hashing_for(ms(300)).delayed(ms(100)),
    ];
    let run = Lab::start(sources.clone()).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), [peer(1)]);
    assert!(sources[0].served() < 10, "{}", sources[0].served());
}

#[tokio::test(start_paused = true)]
async fn the_content_of_the_catalog_wins_against_a_majority() {
    let game = game_of_chunks(4);
    let other = game.with_flipped_bit("a.eti", 5);
    let sources = [
        FakeSource::new(1, &other),
        FakeSource::new(2, &other),
        FakeSource::new(3, &game).delayed(ms(10)),
    ];
    let run = Lab::start_with_catalog(sources, &game).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn content_that_is_not_that_of_the_catalog_is_never_committed() {
    let game = game_of_chunks(2);
    let other = game.with_flipped_bit("a.eti", 5);
    let hashed = Lab::start_with_catalog([FakeSource::new(1, &other)], &game).finish().await;
    hashed.assert_failed(|failure| matches!(failure, DownloadFailure::NoManifest { .. }));
    let unhashed = [FakeSource::new(1, &other).hashing_for(ms(500))];
    let run = Lab::start_with_catalog(unhashed, &game).finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::BadSources { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_unhashed_game_is_complete_when_its_only_source_leaves_at_the_end() {
    let game = game_of_chunks(2);
    let source = FakeSource::new(1, &game).hashing_for(Duration::from_secs(3_600));
    let mut lab = Lab::start([source]);
    lab.wait_until_done().await;
    lab.leave(1);
    lab.finish().await.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn an_unhashed_game_does_not_wait_for_ever() {
    let game = game_of_chunks(2);
    let source = FakeSource::new(1, &game).hashing_for(Duration::from_secs(3_600));
    let run = Lab::start([source]).finish().await;
    run.assert_complete(&game);
    assert!(run.took < Duration::from_secs(70), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn only_bad_sources_fail_and_commit_nothing() {
    let game = game_of_chunks(3);
    let served = game.with_flipped_bit("a.eti", 5);
    let bad = |n| FakeSource::new(n, &game).serving(&served).delayed(ms(5));
    let run = Lab::start([bad(1), bad(2)]).finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::BadSources { .. }));
    assert_eq!(run.dropped().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn all_sources_gone_keeps_what_was_verified() {
    let game = game_of_chunks(40);
    let source = FakeSource::new(1, &game).delayed(ms(50));
    let mut lab = Lab::start([source]);
    lab.wait_for_bytes(CHUNK_SIZE_BYTES).await;
    lab.leave(1);
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::AllPeersGone);
    assert!(!run.path("version.ini").exists());
    let first = fs::read(run.path("a.eti")).unwrap();
    assert_eq!(first[..chunks(1)], game.file("a.eti")[..chunks(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_that_does_not_come_back_is_a_source_gone() {
    let game = game_of_chunks(40);
    let source = FakeSource::new(1, &game).delayed(ms(50));
    let mut lab = Lab::start([source.clone()]);
    lab.wait_until_begun().await;
    source.lose_connection();
    let run = lab.finish().await;
    assert_eq!(run.ended.unwrap_err(), DownloadEnd::AllPeersGone);
    assert!(run.took < Duration::from_secs(60), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_serve_at_the_moment_is_asked_again_until_it_is_given_up() {
    let game = game_of_chunks(6);
    let refusing = FakeSource::new(1, &game).refusing_chunks(RefusalCode::NotServed);
    let run = Lab::start([refusing.clone(), FakeSource::new(2, &game)]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), []);
    let run = Lab::start([refusing]).finish().await;
    assert_eq!(run.ended.unwrap_err(), DownloadEnd::AllPeersGone);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_given_up_is_tried_again_as_long_as_it_is_announced() {
    let game = game_of_chunks(30);
    for is_announced in [true, false] {
        let flaky = FakeSource::new(1, &game).delayed(ms(10));
        let slow = FakeSource::new(2, &game).delayed(ms(4_000));
        let mut lab = Lab::prepare();
        lab.run([flaky.clone(), slow], None);
        lab.wait_until_begun().await;
        flaky.lose_connection();
        lab.wait_until_dropped(1).await;
        let before = flaky.served();
        flaky.find_connection();
        if !is_announced {
            lab.leave(1);
        }
        let run = lab.finish().await;
        run.assert_complete(&game);
        assert_eq!(run.dropped(), [peer(1)]);
        assert_eq!(flaky.served() > before + 10, is_announced, "{} {before}", flaky.served());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_sent_what_is_wrong_is_never_tried_again() {
    let game = game_of_chunks(12);
    let bad = FakeSource::new(1, &game).serving(&game.with_flipped_bit("a.eti", 5));
    let slow = FakeSource::new(2, &game).delayed(ms(4_000));
    let mut lab = Lab::prepare();
    lab.run([bad.clone(), slow], None);
    lab.wait_until_dropped(1).await;
    let before = bad.served();
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert_eq!((run.dropped(), bad.served()), (vec![peer(1)], before));
}

#[tokio::test(start_paused = true)]
async fn a_busy_source_is_asked_again_and_given_up_in_the_end() {
    let game = game_of_chunks(2);
    let busy = FakeSource::new(1, &game).refusing_chunks(RefusalCode::Busy);
    let run = Lab::start([busy]).finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::BadSources { .. }));
    assert!(run.took > Duration::from_secs(10), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_busy_for_long_is_not_given_up() {
    let game = game_of_chunks(2);
    let busy = FakeSource::new(1, &game).busy_for(Duration::from_secs(20 * 60));
    let run = Lab::start([busy]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), []);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_another_version_is_not_used() {
    let game = game_of_chunks(1);
    let other = FakeSource::new(1, &game.with_version("19990101"));
    let run = Lab::start([other.clone()]).finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::NoManifest { .. }));
    let run = Lab::start([other, FakeSource::new(2, &game)]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), [peer(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_lists_the_sentinel_or_what_a_system_left_is_not_used() {
    let game = game_of_chunks(1);
    for other in ["version.ini", "data/Thumbs.db"] {
        let listing = FakeSource::new(1, &game.with_file(other, b"20240131\n"));
        let run = Lab::start([listing.clone()]).finish().await;
        run.assert_failed(|failure| matches!(failure, DownloadFailure::BadSources { .. }));
        let honest = [2, 3].map(|n| FakeSource::new(n, &game));
        let run = Lab::start([listing].into_iter().chain(honest)).finish().await;
        run.assert_complete(&game);
        assert_eq!(run.dropped(), [peer(1)], "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_game_without_content_is_its_version_alone() {
    let game = Game::new(&[]);
    let run = Lab::start([FakeSource::new(1, &game)]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.names(), ["version.ini"]);
}

#[tokio::test(start_paused = true)]
async fn a_catalog_with_a_root_of_the_old_form_is_satisfied_in_any_spelling() {
    let game = game_of_chunks(2);
    let manifest = game.manifest();
    let other = game.with_flipped_bit("a.eti", 3);
    for stated in manifest.old_content_roots(None) {
        // One that has hashed its copy, one that has other content, and one that hashes for long.
        let sources = [
            FakeSource::new(1, &game).hashing_for(ms(50)),
            FakeSource::new(2, &other),
            FakeSource::new(3, &game),
        ];
        let mut lab = Lab::prepare();
        lab.run(sources, Some(Stated::Catalog(stated)));
        let run = lab.finish().await;
        run.assert_complete(&game);
        assert_eq!(run.dropped(), [peer(2)]);
    }
    let mut lab = Lab::prepare();
    let unknown = manifest.old_content_roots(Some(b"20240131 final\n"))[0];
    lab.run([FakeSource::new(1, &game)], Some(Stated::Catalog(unknown)));
    lab.finish()
        .await
        .assert_failed(|failure| matches!(failure, DownloadFailure::NoManifest { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_asked_for_again_when_the_connection_is_replaced() {
    let game = game_of_chunks(1);
    let source = FakeSource::new(1, &game).losing_first_manifest();
    Lab::start([source]).finish().await.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_connection_is_waited_for_as_long_as_it_is_one() {
    let game = game_of_chunks(1);
    let source = FakeSource::new(1, &game);
    source.lose_connection();
    let lab = Lab::start([source.clone()]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    source.find_connection();
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert!(run.took < Duration::from_secs(23), "{:?}", run.took);

    source.lose_connection();
    let run = Lab::start([source.clone()]).finish().await;
    assert_eq!(run.ended.unwrap_err(), DownloadEnd::AllPeersGone);
    assert!(run.took < Duration::from_secs(40), "{:?}", run.took);

    let lab = Lab::start([source]);
    lab.leave(1);
    let run = lab.finish().await;
    assert_eq!(run.ended.unwrap_err(), DownloadEnd::AllPeersGone);
    assert_eq!(run.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn hashes_are_awaited_across_a_lost_connection() {
    let game = game_of_chunks(4);
    let source = FakeSource::new(1, &game).hashing_for(ms(500)).losing_first_hashes();
    let source = source.delayed(ms(1_000));
    let run = Lab::start([source.clone()]).finish().await;
    run.assert_complete(&game);
    assert_eq!(source.asked_hashes(), 2);
}

#[tokio::test(start_paused = true)]
async fn cancelling_discards_what_came_and_keeps_what_is_the_users() {
    let game = game_of_chunks(40);
    let source = FakeSource::new(1, &game).delayed(ms(50));
    let mut lab = Lab::prepare();
    lab.write("local/save", b"mine");
    lab.write("version.ini", b"20000101\n");
    lab.run([source], None);
    lab.wait_for_bytes(CHUNK_SIZE_BYTES).await;
    lab.cancel();
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::Cancelled);
    assert_eq!(run.names(), ["local"]);
    assert_eq!(fs::read(run.path("local/save")).unwrap(), b"mine");
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_repair_keeps_what_was_there() {
    let game = game_of_chunks(40);
    let source = FakeSource::new(1, &game).delayed(ms(50));
    let mut lab = Lab::prepare();
    lab.keeps_on_cancel = true;
    lab.write("mine.sav", b"mine");
    lab.write("version.ini", b"20240131\n");
    lab.run([source], None);
    lab.wait_for_bytes(CHUNK_SIZE_BYTES).await;
    lab.cancel();
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::Cancelled);
    assert_eq!(fs::read(run.path("mine.sav")).unwrap(), b"mine");
    assert!(!run.path("version.ini").exists() && run.path("../state/download.journal").exists());
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_fresh_download_leaves_no_root() {
    let game = game_of_chunks(40);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(50))]);
    lab.wait_until_begun().await;
    lab.cancel();
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::Cancelled);
    assert!(!run.path("").exists());
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_commit_comes_too_late() {
    let game = game_of_chunks(2);
    let mut lab = Lab::start([FakeSource::new(1, &game)]);
    lab.wait_until_done().await;
    lab.cancel();
    lab.finish().await.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn cancelling_before_the_manifest_is_there_touches_nothing() {
    let game = game_of_chunks(1);
    let mut lab = Lab::prepare();
    lab.write("version.ini", b"20000101\n");
    lab.run([FakeSource::new(1, &game).delayed(ms(50))], None);
    lab.cancel();
    let run = lab.finish().await;
    assert_eq!(run.ended.as_ref().unwrap_err(), &DownloadEnd::Cancelled);
    assert_eq!(run.names(), ["version.ini"]);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_small_files_arrive() {
    let names: Vec<_> = (0..3_000).map(|n| format!("data/{:02}/{n}.txt", n % 50)).collect();
    let sizes: Vec<_> = names.iter().map(|name| (name.as_str(), name.len())).collect();
    let game = Game::new(&sizes);
    let run = Lab::start([FakeSource::new(1, &game), FakeSource::new(2, &game)]).finish().await;
    run.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn the_sentinel_is_written_last_and_the_old_one_parked() {
    let game = game_of_chunks(6);
    let mut lab = Lab::prepare();
    lab.write("version.ini", b"20000101\n");
    lab.write("stale.eti", b"of another version");
    let root = lab.root();
    let source = FakeSource::new(1, &game).on_chunk(move || {
        assert!(!root.join("version.ini").exists());
        assert!(root.join(".version.ini.discarded").exists());
    });
    lab.run([source], None);
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert_eq!(run.names(), ["a.eti", "version.ini"]);
}

#[tokio::test(start_paused = true)]
async fn a_directory_in_the_way_of_a_file_is_of_another_version_and_gives_way() {
    let game = game_of_chunks(1);
    let mut lab = Lab::prepare();
    lab.write("a.eti/inside", b"x");
    lab.run([FakeSource::new(1, &game)], None);
    lab.finish().await.assert_complete(&game);
}

#[tokio::test]
async fn a_panic_does_not_end_a_download_before_its_disk_jobs() {
    let game = game_of_chunks(1);
    let mut lab = Lab::prepare();
    // Whoever reads the journal blocks until its writer closes it.
    let journal = lab.journal();
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    mkfifoat(CWD, &journal, Mode::RWXU).unwrap();
    lab.run([FakeSource::new(1, &game)], None);
    lab.wait_for_manifest().await;
    let writer = loop {
        match open(&journal, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::NXIO) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    lab.join(FakeSource::new(2, &game).panicking());
    let outlives = lab.outlives_engine().await;
    drop(writer);
    lab.panicked().await;
    assert!(outlives, "it was over while its journal was being read");
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_at_most_ten_times_a_second() {
    let game = game_of_chunks(40);
    let run = Lab::start([FakeSource::new(1, &game).delayed(ms(20))]).finish().await;
    let reports = run.notices.iter().filter(|n| matches!(n, DownloadNotice::Progress(_))).count();
    let tenths = usize::try_from(run.took.as_millis() / 100).unwrap();
    assert!(reports <= tenths + 2, "{reports} reports in {:?}", run.took);
    assert!(reports >= 2);
}
