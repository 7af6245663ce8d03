//! What sources tell beside the content: bits, directories and `version.ini`.

use std::os::unix::fs::PermissionsExt;

use lanspread_proto::message::Part;
use lanspread_proto::{Attributes, FileBits};

use super::lab::{FakeSource, Finished, Game, Lab, peer};
use super::*;
use crate::CommittedBits;

const SENTINEL: &[u8] = b"20240131\r\nsecond edition\r\n";

fn game() -> Game {
    Game::new(&[("a.eti", MIB), ("bin/tool", 10)])
}

/// With the second file executable.
fn odd() -> Attributes {
    let mut bits = FileBits::new(2);
    bits.set(1);
    Attributes {
        executable: Some(bits),
        directories: vec!["saves/slot1".parse().unwrap()],
        version_ini: Some(Bytes::from_static(SENTINEL)),
    }
}

fn assert_odd(run: &Finished) {
    let mode = |path: &str| std::fs::metadata(run.path(path)).unwrap().permissions().mode();
    assert_eq!((mode("a.eti") & 0o111, mode("bin/tool") & 0o111), (0, 0o111));
    assert!(run.path("saves/slot1").is_dir());
    assert_eq!(std::fs::read(run.path("version.ini")).unwrap(), SENTINEL);
    assert_eq!(run.ended.as_ref().unwrap().bits, CommittedBits::Kept);
}

#[tokio::test(start_paused = true)]
async fn they_arrive_with_the_content() {
    let sources = [
        FakeSource::new(1, &game()),
        FakeSource::new(2, &game()).with_attributes(odd()).telling_attributes_after(ms(250)),
    ];
    let run = Lab::start(sources).finish().await;
    assert_odd(&run);
    assert_eq!(run.dropped(), []);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_busy_is_asked_for_them_again() {
    let busy = FakeSource::new(1, &game()).with_attributes(odd()).refusing_attributes(2);
    let run = Lab::start([busy]).finish().await;
    assert_odd(&run);
    assert_eq!(run.dropped(), []);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_lies_about_them_is_dropped() {
    let flipping = FakeSource::new(1, &game()).with_attributes(odd());
    let lies = Attributes { directories: vec!["bin".parse().unwrap()], ..odd() };
    let sources = [
        flipping.flipping(Part::Attributes, 0),
        FakeSource::new(2, &game()).with_attributes(lies).delayed(ms(50)),
        FakeSource::new(3, &game()).with_attributes(odd()).delayed(ms(50)),
    ];
    let run = Lab::start(sources).finish().await;
    assert_odd(&run);
    assert_eq!(run.dropped(), [peer(1), peer(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_complete_download_waits_for_them_for_a_few_seconds_and_does_without() {
    let late =
        |delay| FakeSource::new(1, &game()).with_attributes(odd()).telling_attributes_after(delay);
    assert_odd(&Lab::start([late(ms(4_900))]).finish().await);
    let run = Lab::start([late(ms(9_000))]).finish().await;
    run.assert_complete(&game());
    assert!(run.took < ms(6_000), "{:?}", run.took);
    assert_eq!(run.ended.unwrap().bits, CommittedBits::Untold);
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_holds_with_certain_bytes_alone_gets_them() {
    let stated = game().manifest().old_content_roots(Some(SENTINEL))[0];
    let odd_one = FakeSource::new(1, &game())
        .with_attributes(odd())
        .telling_old_roots_with(SENTINEL)
        .telling_attributes_after(ms(9_000));
    let others = [2, 3].map(|n| {
        let version_ini = Some(Bytes::from_static(b"20240131\r\n"));
        let attributes = Attributes { version_ini, ..Attributes::default() };
        // Until they have hashed the game, nobody can tell whether it is that of the catalog.
        FakeSource::new(n, &game()).with_attributes(attributes).hashing_for(ms(60_000))
    });
    let mut lab = Lab::prepare();
    lab.run(others.into_iter().chain([odd_one]), Some(Stated::Catalog(stated)));
    assert_odd(&lab.finish().await);
}
