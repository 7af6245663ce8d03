use lanspread_proto::{CHUNK_SIZE_BYTES, FileHashes, GameVersion, Manifest, ManifestFile, RelPath};

use super::*;

const CHUNKS: u32 = 5;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

fn game() -> GameId {
    GameId::new("quake").unwrap()
}

fn manifest(content: u8) -> Manifest {
    let file = |path: &str, size, chunks: u32| ManifestFile {
        path: RelPath::new(path).unwrap(),
        size,
        hashes: Some(FileHashes::from_chunks(
            (0..chunks).map(|n| [content + u8::try_from(n).unwrap(); 32].into()),
        )),
    };
    let archive = u64::from(CHUNKS - 1) * CHUNK_SIZE_BYTES;
    let files = vec![file("a.eti", archive, CHUNKS - 1), file("b.eti", 2, 1)];
    Manifest::new(GameVersion::new("1").unwrap(), files).unwrap()
}

/// A peer with its fetches, and one connection to the other.
struct Side {
    swarm: Swarm,
    id: PeerId,
    link: LinkId,
    told: AnnouncedFetches,
    open: Option<(Share, mpsc::Receiver<PartialSourceNews>)>,
}

impl Side {
    fn new(n: u8) -> Self {
        let outbound = OutboundTransfers::new(mpsc::unbounded_channel().0);
        let (swarm, link) = (Swarm::new(outbound), LinkId::next());
        Self { swarm, id: peer(n), link, told: AnnouncedFetches::default(), open: None }
    }

    fn fetch(&mut self, content: u8, have: &[u32]) {
        let manifest = manifest(content);
        let sharing = Sharing {
            game_id: game(),
            root: PathBuf::from("/games/quake"),
            content_root: manifest.content_root().unwrap(),
            hashes: Arc::new(ChunkHashes::of(&manifest).unwrap()),
            layout: Arc::new(Layout::new(Arc::new(manifest))),
            have: have.iter().copied().collect(),
        };
        self.open = self.swarm.open(sharing);
    }

    fn share(&self) -> &Share {
        &self.open.as_ref().unwrap().0
    }

    fn news(&mut self) -> String {
        self.open.as_mut().unwrap().1.try_recv().map_or_else(|_| String::new(), |n| brief(&n))
    }

    /// Tells `other` all there is to be told; returns how many things that were.
    async fn tell(&mut self, other: &Self) -> usize {
        let due = self.swarm.due(other.id, self.link, &self.told);
        let count = due.len();
        for game_id in due {
            let announcement =
                self.swarm.announcement(&game_id, other.id, self.link, &mut self.told).unwrap();
            match announcement {
                Announcement::Opening(opening) => {
                    let heard = other.swarm.on_opening(self.id, other.link, &opening).await;
                    if let Some(theirs) = heard {
                        self.swarm.on_answer(other.id, self.link, opening, theirs).await;
                    }
                }
                Announcement::More(have) => assert!(other.swarm.on_have(self.id, have).await),
                Announcement::Ended(ended) => other.swarm.on_fetch_ended(self.id, &ended).await,
            }
        }
        count
    }
}

fn brief(news: &PartialSourceNews) -> String {
    let numbers = |pieces: &[PieceIndex]| pieces.iter().map(|piece| piece.0).collect::<Vec<_>>();
    match news {
        PartialSourceNews::Has { has, asking, .. } => {
            format!("offers {:?} asking {:?}", has.iter().collect::<Vec<_>>(), numbers(asking))
        }
        PartialSourceNews::HasMore { more, asking, .. } => {
            format!("more {:?} asking {:?}", numbers(more), numbers(asking))
        }
        PartialSourceNews::Ended { .. } => "ended".to_owned(),
        PartialSourceNews::Left { .. } => "left".to_owned(),
    }
}

fn wanted(path: &str, index: u32, version: &str) -> GetChunks {
    let chunks = vec![ChunkName { path: path.parse().unwrap(), index }];
    GetChunks { game_id: game(), version: version.parse().unwrap(), chunks }
}

#[tokio::test]
async fn whoever_fetches_the_same_hears_everything_once() {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    a.fetch(1, &[0]);
    assert_eq!(a.tell(&b).await, 1);
    assert_eq!(a.news(), "", "the other fetches nothing yet");
    a.share().announce_verified(PieceIndex(1));
    assert_eq!(a.tell(&b).await, 0, "who fetches nothing is told no more");

    b.fetch(1, &[3]);
    b.share().announce_asking(&[PieceIndex(2)]);
    assert_eq!(b.tell(&a).await, 1);
    assert_eq!(b.news(), "offers [0, 1] asking []");
    assert_eq!(a.news(), "offers [3] asking [2]");

    b.share().announce_verified(PieceIndex(2));
    b.share().announce_asking(&[]);
    assert_eq!((b.tell(&a).await, b.tell(&a).await), (1, 0));
    assert_eq!(a.news(), "more [2] asking []");
    assert_eq!(a.tell(&b).await, 0, "all that there is was in the answer");

    drop(b.open.take());
    assert_eq!((b.tell(&a).await, b.tell(&a).await), (1, 0));
    assert_eq!(a.news(), "ended");
    a.share().announce_verified(PieceIndex(2));
    assert_eq!(a.tell(&b).await, 0);
}

#[tokio::test]
async fn who_fetches_another_content_is_no_company() {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    a.fetch(1, &[0]);
    b.fetch(100, &[0]);
    a.tell(&b).await;
    b.tell(&a).await;
    assert_eq!((a.news(), b.news()), (String::new(), String::new()));
}

#[tokio::test]
async fn who_claims_chunks_that_do_not_exist_is_no_company() {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    a.fetch(1, &[0]);
    b.fetch(1, &[CHUNKS]);
    b.tell(&a).await;
    assert_eq!(a.news(), "");
    let numbers = vec![1, CHUNKS, u32::MAX];
    b.fetch(1, &[]);
    b.tell(&a).await;
    assert_eq!(a.news(), "offers [] asking []");
    let content_root = manifest(1).content_root().unwrap();
    let have = Have { game_id: game(), content_root, more: numbers.clone(), asking: numbers };
    assert!(a.swarm.on_have(b.id, have).await);
    assert_eq!(a.news(), "more [1] asking [1]");
}

#[tokio::test]
async fn what_could_not_be_told_is_told_anew_unless_it_was_refused() {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    a.fetch(1, &[0]);
    b.fetch(1, &[]);
    a.tell(&b).await;
    a.share().announce_verified(PieceIndex(1));
    assert!(a.swarm.announcement(&game(), b.id, a.link, &mut a.told).is_some());
    assert_eq!(a.swarm.due(b.id, a.link, &a.told), []);
    a.swarm.on_not_sent(b.id, &game(), false);
    b.news();
    assert_eq!(a.tell(&b).await, 1);
    assert_eq!(b.news(), "more [0, 1] asking []");
    a.swarm.on_not_sent(b.id, &game(), true);
    a.share().announce_verified(PieceIndex(2));
    assert_eq!(a.tell(&b).await, 0);
}

#[tokio::test]
async fn only_the_connection_in_use_takes_its_peer_with_it() {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    a.fetch(1, &[]);
    b.fetch(1, &[]);
    b.tell(&a).await;
    a.news();
    a.swarm.on_disconnect(b.id, LinkId::next()).await;
    assert_eq!(a.news(), "");
    a.swarm.on_disconnect(b.id, a.link).await;
    assert_eq!(a.news(), "left");
}

#[test]
fn only_what_is_verified_is_given() {
    let mut a = Side::new(1);
    assert!(a.swarm.chunks(&wanted("a.eti", 0, "1")).is_none());
    a.fetch(1, &[1]);
    let given = |path, index, version| a.swarm.chunks(&wanted(path, index, version)).unwrap();
    match given("a.eti", 1, "1") {
        Some(SharedChunks { hashes, .. }) => assert_eq!(hashes, [[2; 32].into()]),
        other => panic!("{other:?}"),
    }
    for (path, index, version) in [
        ("a.eti", 0, "1"),
        ("a.eti", 1, "2"),
        ("a.eti", 9, "1"),
        ("b", 0, "1"),
        ("b.eti", 0, "1"),
        ("version.ini", 0, "1"),
    ] {
        assert!(given(path, index, version).is_none(), "{path} {index} {version}");
    }
    a.share().announce_verified(PieceIndex(CHUNKS - 1));
    assert!(given("b.eti", 0, "1").is_some() && given("version.ini", 0, "1").is_none());
}

#[tokio::test]
async fn a_share_ends_with_its_download_unless_it_is_handed_over() {
    let mut a = Side::new(1);
    a.fetch(1, &[]);
    let (old, _) = a.open.take().unwrap();
    a.fetch(1, &[]);
    old.end().await;
    assert!(a.swarm.is_shared(&game()), "another fetch of the game goes on");
    a.open.take().unwrap().0.hand_over();
    assert!(a.swarm.is_shared(&game()));
    a.swarm.close(&game());
    assert!(!a.swarm.is_shared(&game()));
}
