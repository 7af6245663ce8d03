//! What a download does where the disk is short of room.

use lanspread_disk::free_space::FreeSpace;

use super::*;

/// A disk on which so many bytes stay free, whatever is written.
fn disk_of(bytes: u64) -> FreeSpace {
    FreeSpace::of(move |_| Some(bytes))
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_before_anything_is_touched() {
    let game = game_of_chunks(12);
    let source = FakeSource::new(1, &game);
    let before: [(&str, &[u8]); 3] =
        [("a.eti", b"old"), ("only in old", b"x"), ("version.ini", b"20000101\n")];
    let mut lab = Lab::prepare();
    before.iter().for_each(|(path, bytes)| lab.write(path, bytes));
    lab.free_space = disk_of(11 * CHUNK_SIZE_BYTES);
    lab.run([source.clone()], None);
    let run = lab.finish().await;
    match &run.ended {
        Err(DownloadEnd::Failed(DownloadFailure::NotEnoughSpace(refused))) => {
            assert_eq!((refused.available, refused.held), (11 * CHUNK_SIZE_BYTES, 0));
            let least = 12 * CHUNK_SIZE_BYTES;
            assert!((least..least + 16_384).contains(&refused.needed), "{refused}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(source.served(), 0);
    assert!(!run.has_journal());
    assert_eq!(run.names(), before.map(|(path, _)| path));
    for (path, bytes) in before {
        assert_eq!(fs::read(run.path(path)).unwrap(), bytes, "{path}");
    }
    let began = |notice: &_| matches!(notice, DownloadNotice::Began { .. });
    assert!(!run.notices.iter().any(began), "{:?}", run.notices);
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_cancelled_while_it_is_refused_touches_nothing() {
    let game = game_of_chunks(12);
    let mut lab = Lab::prepare();
    lab.write("version.ini", b"20000101\n");
    // It is cancelled while the room is asked for, as late as that can be.
    let cancel = lab.cancellation();
    lab.free_space = FreeSpace::of(move |_| {
        cancel.cancel();
        Some(0)
    });
    lab.run([FakeSource::new(1, &game)], None);
    let run = lab.finish().await;
    assert!(run.ended.is_err());
    assert_eq!(fs::read(run.path("version.ini")).unwrap(), b"20000101\n");
}

#[tokio::test(start_paused = true)]
async fn a_download_that_goes_on_needs_room_for_the_rest_alone() {
    let game = game_of_chunks(12);
    let mut lab = Lab::start([FakeSource::new(1, &game).delayed(ms(50))]);
    lab.wait_for_bytes(4 * CHUNK_SIZE_BYTES).await;
    lab.leave(1);
    let before = lab.finish().await;
    let mut lab = before.again();
    lab.free_space = disk_of(9 * CHUNK_SIZE_BYTES);
    lab.run([FakeSource::new(2, &game)], None);
    lab.finish().await.assert_complete(&game);
}

#[tokio::test(start_paused = true)]
async fn what_a_running_download_still_needs_is_not_promised_twice() {
    let game = game_of_chunks(12);
    let mut first = Lab::prepare();
    first.free_space = disk_of(20 * CHUNK_SIZE_BYTES);
    first.run([FakeSource::new(1, &game).silent_after(2)], None);
    first.wait_until_begun().await;
    let mut second = Lab::prepare();
    let shared = first.free_space.clone();
    second.free_space = shared.clone();
    second.run([FakeSource::new(2, &game)], None);
    let refused = second.finish().await;
    refused.assert_failed(|failure| match failure {
        DownloadFailure::NotEnoughSpace(refused) => refused.held > 8 * CHUNK_SIZE_BYTES,
        _ => false,
    });
    first.cancel();
    first.finish().await;
    let mut third = refused.again();
    third.free_space = shared;
    third.run([FakeSource::new(3, &game)], None);
    third.finish().await.assert_complete(&game);
}
