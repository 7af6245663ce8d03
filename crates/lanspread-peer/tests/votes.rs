//! Games of which nothing states the content, between real peers at loopback addresses of their own.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use lanspread_fixture::RarWriter;
use lanspread_peer::{
    CommandError, ContentDispute, DownloadFailure, PeerCommand, PeerEvent, StreamFailure,
};
use lanspread_proto::{ContentHash, RelPath};
use support::{Setup, TestPeer, game_id};

const HONEST: &[u8] = b"what the publisher made";
const BAD: &[u8] = b"what somebody else made";

/// A real archive with one small file.
fn archive(content: &[u8]) -> Vec<u8> {
    let mut writer = RarWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    let entry = RelPath::new("bin/quake.exe").unwrap();
    writer.add_file(&entry, content.len() as u64, None, false, content).unwrap();
    writer.finish().unwrap().into_inner()
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

fn at(setup: Setup, last: u8) -> Setup {
    setup.with(|config| config.listen = SocketAddr::from((address(last), 0)))
}

async fn source(name: &'static str, last: u8, content: &[u8]) -> TestPeer {
    let setup = Setup::new(name, &["quake"]).with_game("quake", &archive(content));
    at(setup, last).start().await
}

/// Three keys at one address, two honest machines, and who fetches.
async fn party() -> (TestPeer, Vec<TestPeer>) {
    let mut sources = Vec::new();
    for name in ["liar-1", "liar-2", "liar-3"] {
        sources.push(source(name, 9, BAD).await);
    }
    sources.push(source("honest-1", 2, HONEST).await);
    sources.push(source("honest-2", 3, HONEST).await);
    let bravo = at(Setup::new("bravo", &["quake"]), 1).start().await;
    for source in &sources {
        bravo.connect(source).await.unwrap();
    }
    (bravo, sources)
}

async fn download(peer: &TestPeer, root: Option<ContentHash>) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::Download {
        game_id: game_id("quake"),
        content_root: root,
        install: Some(true),
        wait: true,
        reply,
    };
    peer.ask(command).await.map(drop)
}

async fn update(peer: &TestPeer, root: Option<ContentHash>) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::Update {
        game_id: game_id("quake"),
        content_root: root,
        install: Some(true),
        wait: true,
        reply,
    };
    peer.ask(command).await.map(drop)
}

async fn stream(peer: &TestPeer, root: Option<ContentHash>) -> Result<(), CommandError> {
    let command = |reply| PeerCommand::StreamInstall {
        game_id: game_id("quake"),
        content_root: root,
        wait: true,
        reply,
    };
    peer.ask(command).await.map(drop)
}

/// The content that a source has, once it has hashed it.
async fn root_of(source: &mut TestPeer) -> ContentHash {
    loop {
        let ask = |reply| PeerCommand::GetGame { game_id: game_id("quake"), reply };
        let details = source.ask(ask).await.unwrap().value;
        if let Some(root) = details.manifest.unwrap().content_root() {
            return root;
        }
        source
            .event(|event| matches!(event, PeerEvent::LocalGamesUpdated { .. }).then_some(()))
            .await;
    }
}

fn installed(peer: &TestPeer) -> Vec<u8> {
    fs::read(peer.games_dir.join("quake/local/bin/quake.exe")).unwrap()
}

/// Stops the peer; returns the votes that it has told.
async fn votes(peer: TestPeer) -> Vec<(Option<ContentHash>, Vec<Ipv4Addr>, Vec<Ipv4Addr>)> {
    let told = peer.stop().await.into_iter().filter_map(|event| match event {
        PeerEvent::ContentVoted { content_root, voters, others, .. } => {
            Some((content_root, voters, others))
        }
        _ => None,
    });
    told.collect()
}

fn assert_tells_both(dispute: &ContentDispute, sources: &[&TestPeer], roots: &[ContentHash]) {
    for (source, root) in sources.iter().zip(roots) {
        let mut candidates = dispute.candidates.iter();
        let candidate = candidates.find(|it| it.content_root == Some(*root)).unwrap();
        let [found] = *candidate.sources else { panic!("{candidate:?}") };
        assert_eq!((found.peer_id, found.addr), (source.id(), Some(source.addr())));
        let size = fs::metadata(source.games_dir.join("quake/quake.eti")).unwrap().len();
        assert_eq!(candidate.bytes, Some(size));
    }
    assert_eq!(dispute.candidates.len(), roots.len());
}

#[tokio::test]
async fn three_keys_at_one_address_do_not_outvote_two_honest_addresses() {
    let (bravo, mut sources) = party().await;
    download(&bravo, None).await.unwrap();
    assert_eq!(installed(&bravo), HONEST);
    let right = root_of(sources.last_mut().unwrap()).await;
    let expected = (Some(right), vec![address(2), address(3)], vec![address(9)]);
    assert_eq!(votes(bravo).await, [expected]);
}

#[tokio::test]
async fn a_stream_is_taken_from_what_most_addresses_have() {
    let (bravo, mut sources) = party().await;
    for source in &mut sources {
        root_of(source).await;
    }
    stream(&bravo, None).await.unwrap();
    assert_eq!(installed(&bravo), HONEST);
    let right = root_of(sources.last_mut().unwrap()).await;
    let expected = (Some(right), vec![address(2), address(3)], vec![address(9)]);
    assert_eq!(votes(bravo).await, [expected]);
}

#[tokio::test]
async fn where_two_addresses_disagree_somebody_has_to_choose() {
    let mut honest = source("honest", 2, HONEST).await;
    let mut liar = source("liar", 9, BAD).await;
    let roots = [root_of(&mut honest).await, root_of(&mut liar).await];
    let bravo = at(Setup::new("bravo", &["quake"]), 1).start().await;
    for source in [&honest, &liar] {
        bravo.connect(source).await.unwrap();
    }
    match download(&bravo, None).await {
        Err(CommandError::Download(DownloadFailure::ContentDisputed(dispute))) => {
            assert_tells_both(&dispute, &[&honest, &liar], &roots);
        }
        other => panic!("{other:?}"),
    }
    match stream(&bravo, None).await {
        Err(CommandError::Stream(StreamFailure::ContentDisputed(dispute))) => {
            assert_tells_both(&dispute, &[&honest, &liar], &roots);
        }
        other => panic!("{other:?}"),
    }
    stream(&bravo, Some(roots[1])).await.unwrap();
    assert_eq!(installed(&bravo), BAD);
    stream(&bravo, Some(roots[0])).await.unwrap();
    assert_eq!(installed(&bravo), HONEST);

    download(&bravo, Some(roots[0])).await.unwrap();
    let archive = bravo.games_dir.join("quake/quake.eti");
    let fetched = fs::read(&archive).unwrap();
    assert!(fetched == fs::read(honest.games_dir.join("quake/quake.eti")).unwrap());

    // The copy that is there stays where an update ends in a dispute.
    assert!(matches!(
        update(&bravo, None).await,
        Err(CommandError::Download(DownloadFailure::ContentDisputed(_)))
    ));
    assert!(fs::read(&archive).unwrap() == fetched);
    assert!(bravo.games_dir.join("quake/version.ini").exists());
    assert!(matches!(update(&bravo, Some(roots[0])).await, Err(CommandError::UpToDate(_))));
    update(&bravo, Some(roots[1])).await.unwrap();
    assert_eq!(installed(&bravo), BAD);
    assert_eq!(votes(bravo).await, []);
}

#[tokio::test]
async fn a_choice_that_contradicts_the_catalog_is_refused() {
    let mut honest = source("honest", 2, HONEST).await;
    let mut liar = source("liar", 9, BAD).await;
    let roots = [root_of(&mut honest).await, root_of(&mut liar).await];
    let setup = at(Setup::new("bravo", &["quake"]), 1).with(|config| {
        let games = config.catalog.iter().cloned().map(|mut game| {
            game.content_root = Some(roots[0]);
            game
        });
        config.catalog = lanspread_catalog::Catalog::from_games(games).unwrap();
    });
    let bravo = setup.start().await;
    for source in [&honest, &liar] {
        bravo.connect(source).await.unwrap();
    }
    let refused = |error| matches!(error, Err(CommandError::OtherContentRoot { content_root, .. }) if content_root == roots[0]);
    assert!(refused(download(&bravo, Some(roots[1])).await));
    assert!(refused(stream(&bravo, Some(roots[1])).await));
    stream(&bravo, None).await.unwrap();
    assert_eq!(installed(&bravo), HONEST);
    download(&bravo, Some(roots[0])).await.unwrap();
    assert!(refused(update(&bravo, Some(roots[1])).await));
    assert_eq!(votes(bravo).await, []);
}
