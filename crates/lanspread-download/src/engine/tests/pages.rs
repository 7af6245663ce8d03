//! Layouts and hashes in pages: from one source, from several, and from one that lies.

use lanspread_proto::message::Part;

use super::lab::{FakeSource, Game, Lab, peer};
use super::*;

/// A game whose layout takes three pages.
fn game_of_pages() -> Game {
    let names: Vec<_> = (0..2_600).map(|n| format!("{n:05}-{}", "x".repeat(240))).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 3)).collect();
    Game::new(&files)
}

#[tokio::test(start_paused = true)]
async fn the_layout_and_the_hashes_are_fetched_once_however_many_sources_there_are() {
    let game = game_of_pages();
    assert_eq!(game.manifest().layout_pages(), 3);
    let sources: Vec<_> = (1..=3).map(|n| FakeSource::new(n, &game)).collect();
    let run = Lab::start(sources.clone()).finish().await;
    run.assert_complete(&game);
    let asked: Vec<_> = sources.iter().map(FakeSource::asked_pages).collect();
    assert_eq!(asked.iter().sum::<usize>(), 3 + 1, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_a_wrong_page_is_dropped_and_another_one_takes_its_place() {
    let game = game_of_pages();
    for (part, page) in [(Part::Layout, 0), (Part::Layout, 2), (Part::Hashes, 0)] {
        let liar = FakeSource::new(1, &game).flipping(part, page);
        let run = Lab::start([liar, FakeSource::new(2, &game)]).finish().await;
        run.assert_complete(&game);
        assert_eq!(run.dropped(), [peer(1)], "{part} {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_from_a_source_of_wrong_pages_alone_fails_with_bad_sources() {
    let game = game_of_pages();
    let run = Lab::start([FakeSource::new(1, &game).flipping(Part::Layout, 1)]).finish().await;
    run.assert_failed(|failure| matches!(failure, DownloadFailure::BadSources { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_hashes_of_a_source_that_leaves_come_from_another_one() {
    let game = game_of_pages();
    let first = FakeSource::new(1, &game);
    first.lose_connection();
    let run = Lab::start([first, FakeSource::new(2, &game)]).finish().await;
    run.assert_complete(&game);
}
