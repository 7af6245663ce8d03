//! Peers that fetch the same game and are, or become, sources that have all of it.

use lanspread_net::link::LinkId;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_whose_share_ends_while_it_joins_is_joined_all_the_same() {
    let game = game_of_chunks(20);
    let seed = FakeSource::new(1, &game).delayed(ms(200));
    let guest = FakeSource::new(2, &game).telling_after(ms(500)).delayed(ms(10));
    let mut lab = Lab::start([seed]);
    lab.wait_for_bytes(CHUNK_SIZE_BYTES).await;
    let link = LinkId::next();
    lab.offer(&guest, link, &[]).await;
    lab.join(guest.clone());
    lab.unlink(&guest, link).await;
    lab.finish().await.assert_complete(&game);
    assert!(guest.served() > 8, "{}", guest.served());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fetches_the_game_itself_gives_what_it_has_when_it_is_no_source_any_more() {
    let game = game_of_chunks(20);
    let pieces: Vec<u32> = (0..21).collect();
    let guest = FakeSource::new(1, &game).delayed(ms(100));
    let mut lab = Lab::start([guest.clone()]);
    lab.wait_for_bytes(CHUNK_SIZE_BYTES).await;
    lab.offer(&guest, LinkId::next(), &pieces).await;
    // It is a source meanwhile: the offer has come, and waits.
    lab.wait_for_bytes(4 * CHUNK_SIZE_BYTES).await;
    lab.leave(1);
    let run = lab.finish().await;
    run.assert_complete(&game);
    assert_eq!(run.dropped(), []);
}
