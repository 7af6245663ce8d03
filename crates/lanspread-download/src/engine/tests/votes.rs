//! Downloads of which nothing states the content: the addresses of the sources vote.

use lanspread_net::dispute::ContentDispute;

use super::*;

fn disputed(run: &lab::Finished) -> &ContentDispute {
    match &run.ended {
        Err(DownloadEnd::Failed(DownloadFailure::ContentDisputed(dispute))) => dispute,
        other => panic!("{other:?}"),
    }
}

fn choice(game: &Game) -> Option<Stated> {
    game.manifest().content_root().map(Stated::Choice)
}

#[tokio::test(start_paused = true)]
async fn three_keys_at_one_address_lose_against_two_honest_addresses() {
    let game = game_of_chunks(4);
    for other in [game.with_flipped_bit("a.eti", 5), game.with_file("more.eti", b"more")] {
        let liars = (1..=3).map(|n| FakeSource::new(n, &other).at("10.0.0.9"));
        let honest = (4..=5).map(|n| FakeSource::new(n, &game).delayed(ms(10)));
        let run = Lab::start(liars.chain(honest)).finish().await;
        run.assert_complete(&game);
        let mut dropped = run.dropped();
        dropped.sort();
        let mut liars = [1, 2, 3].map(peer);
        liars.sort();
        assert_eq!(dropped, liars);
        let root = game.manifest().content_root();
        assert_eq!(run.votes(), [(root, vec![4, 5], vec![9])]);
    }
}

#[tokio::test(start_paused = true)]
async fn sources_that_disagree_are_told_before_anything_is_touched_and_a_choice_decides() {
    let game = game_of_chunks(2);
    let other = game.with_flipped_bit("a.eti", 5);
    let sources = [FakeSource::new(1, &game), FakeSource::new(2, &other)];
    let mut lab = Lab::prepare();
    lab.write("version.ini", b"20230101\n");
    lab.run(sources.clone(), None);
    let run = lab.finish().await;
    assert_eq!(fs::read(run.path("version.ini")).unwrap(), b"20230101\n");
    assert_eq!((run.names(), run.votes()), (vec!["version.ini".to_owned()], vec![]));
    let dispute = disputed(&run);
    for (n, game) in [(1, &game), (2, &other)] {
        let root = game.manifest().content_root();
        let candidate = dispute.candidates.iter().find(|it| it.content_root == root).unwrap();
        let [source] = *candidate.sources else { panic!("{candidate:?}") };
        assert_eq!((source.peer_id, source.addr), (peer(n), Some(([10, 0, 0, n], 7).into())));
    }
    for wanted in [&other, &game] {
        let mut lab = Lab::prepare();
        lab.run(sources.clone(), choice(wanted));
        let run = lab.finish().await;
        run.assert_complete(wanted);
        assert_eq!(run.votes(), []);
    }
    let mut lab = Lab::prepare();
    lab.run(sources, choice(&game_of_chunks(3)));
    lab.finish()
        .await
        .assert_failed(|failure| matches!(failure, DownloadFailure::NoManifest { reason, .. } if reason.contains("chosen")));
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_before_a_dispute_is_of_use_after_the_choice() {
    let game = game_of_chunks(20);
    let other = game.with_flipped_bit("a.eti", chunks(20));
    let source = |n, game| FakeSource::new(n, game).delayed(ms(20)).hashing_for(ms(60_000));
    let run = Lab::start([source(1, &game), source(2, &other)]).finish().await;
    assert_eq!(disputed(&run).candidates.len(), 2);
    assert!(run.has_journal());
    let mut lab = run.again();
    lab.run([FakeSource::new(1, &game), FakeSource::new(2, &other)], choice(&game));
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert!(run.fetched() <= CHUNK_SIZE_BYTES, "{}", run.fetched());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_quick_does_not_decide_for_those_that_are_slow() {
    let game = game_of_chunks(4);
    let liar = FakeSource::new(1, &game.with_flipped_bit("a.eti", 5));
    let slow = |n| FakeSource::new(n, &game).telling_after(ms(4_000)).delayed(ms(10));
    let run = Lab::start([liar, slow(2), slow(3)]).finish().await;
    run.assert_complete(&game);
    // Hashed at once, while the honest ones hash for long.
    let liar = FakeSource::new(1, &game.with_flipped_bit("a.eti", 5));
    let slow = |n| FakeSource::new(n, &game).hashing_for(ms(30_000)).delayed(ms(10));
    let run = Lab::start([liar, slow(2), slow(3)]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.votes(), [(game.manifest().content_root(), vec![2, 3], vec![1])]);
}

#[tokio::test(start_paused = true)]
async fn hashes_that_never_come_leave_a_dispute_where_bytes_contradict() {
    let game = game_of_chunks(12);
    let never = Duration::from_secs(3_600);
    // In every chunk, so that whatever the honest ones send contradicts it.
    let bad: Vec<u8> = game.file("a.eti").iter().map(|byte| byte ^ 1).collect();
    let liar = FakeSource::new(1, &game.with_file("a.eti", &bad)).delayed(ms(10));
    let slow = |n| FakeSource::new(n, &game).hashing_for(never).delayed(ms(10));
    let run = Lab::start([liar, slow(2), slow(3)]).finish().await;
    assert!(!disputed(&run).candidates.is_empty());
    assert!(run.took < Duration::from_secs(70), "{:?}", run.took);
    // Where no bytes contradict what one has hashed, that is enough.
    let right = FakeSource::new(1, &game).delayed(ms(50));
    let run = Lab::start([right, slow(2), slow(3)]).finish().await;
    run.assert_complete(&game);
    assert!(run.took < Duration::from_secs(70), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn addresses_of_ipv6_have_no_vote_unless_there_are_no_others() {
    let game = game_of_chunks(2);
    let other = game.with_flipped_bit("a.eti", 5);
    let v6 = |n: u8, game| FakeSource::new(n, game).at(&format!("fe80::{n}"));
    let honest = FakeSource::new(9, &game).at("::ffff:10.0.0.9");
    let run = Lab::start([v6(1, &other), v6(2, &other), honest]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.votes(), [(game.manifest().content_root(), vec![9], vec![])]);

    let run = Lab::start([v6(1, &game), v6(2, &game)]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.votes(), [(game.manifest().content_root(), vec![], vec![])]);
    let run = Lab::start([v6(1, &game), v6(2, &other)]).finish().await;
    assert_eq!(disputed(&run).candidates.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_game_that_nobody_has_hashed_is_fetched_and_told_to_be_on_trust() {
    let game = game_of_chunks(2);
    let source = FakeSource::new(1, &game).hashing_for(Duration::from_secs(3_600));
    let run = Lab::start([source]).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.votes(), [(game.manifest().content_root(), vec![], vec![1])]);
    let run = Lab::start_with_catalog([FakeSource::new(1, &game)], &game).finish().await;
    run.assert_complete(&game);
    assert_eq!(run.votes(), []);
}
