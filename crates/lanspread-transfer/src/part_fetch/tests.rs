use bytes::Bytes;
use lanspread_proto::layout::encode_layout;
use lanspread_proto::message::{GameHead, Refusal};
use lanspread_proto::{Manifest, ManifestFile};

use super::*;
use crate::parts::Sizes;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

/// A game whose layout takes three pages.
struct Game {
    head: GameHead,
    pages: Vec<Bytes>,
}

impl Game {
    fn new(size: u64) -> Self {
        let file = |n: u32| ManifestFile {
            path: format!("{n:05}-{}", "x".repeat(240)).parse().unwrap(),
            size: if n == 0 { size } else { 3 },
            hashes: None,
        };
        let manifest = Manifest::new("1".parse().unwrap(), (0..2_600).map(file).collect()).unwrap();
        let pages = encode_layout(manifest.files().iter().map(|file| (&file.path, file.size)));
        assert_eq!(pages.len(), 3);
        Self { head: GameHead::of(&manifest, Vec::new(), [0; 32].into()), pages }
    }

    fn job(&self) -> PartJob {
        PartJob::layout(self.head.manifest_hash, Sizes::of(&self.head))
    }
}

/// Fetches `game` from two sources.
struct World {
    game: Game,
    fetch: PartFetch,
    sources: Vec<PeerId>,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let game = Game::new(3);
        let fetch = PartFetch::new(game.job().page_count());
        Self { game, fetch, sources: vec![peer(1), peer(2)], now: Duration::ZERO }
    }

    fn choose(&mut self) -> Option<AskPart> {
        let game = &self.game;
        let sources = self.sources.iter().map(|peer| (*peer, None));
        self.fetch.choose(sources, |_| Some(game.job()), self.now)
    }

    /// Asks whoever is chosen, who gives as many pages of `theirs` as wanted and then ends like this.
    fn ask(
        &mut self,
        theirs: &Game,
        pages: usize,
        end: Result<(), PartError>,
    ) -> (PeerId, PartEnd) {
        let ask = self.choose().expect("nobody to ask");
        assert!(self.choose().is_none(), "two at a time");
        for page in ask.job.missing().take(pages) {
            if let Err(reason) = ask.job.take(&theirs.pages[page as usize]) {
                let end = self.fetch.ended(ask.peer, Err(PartError::Broken(reason)));
                return (ask.peer, end);
            }
        }
        (ask.peer, self.fetch.ended(ask.peer, end))
    }
}

fn gone() -> Result<(), PartError> {
    Err(SourceError::Gone("reset".to_owned()).into())
}

fn refused(code: RefusalCode) -> Result<(), PartError> {
    Err(SourceError::Refused(Refusal { code, message: "no".to_owned() }).into())
}

#[test]
fn another_source_takes_the_place_of_one_that_fails() {
    let (mut world, honest) = (World::new(), Game::new(3));
    let (first, end) = world.ask(&honest, 2, gone());
    assert!(matches!(end, PartEnd::Again));
    let ask = world.choose().unwrap();
    assert_ne!(ask.peer, first);
    assert_eq!((ask.job.missing(), ask.pause), (0..3, Duration::ZERO));
    honest.pages.iter().for_each(|page| ask.job.take(page).unwrap());
    assert!(matches!(world.fetch.ended(ask.peer, Ok(())), PartEnd::Whole(Whole::Layout(_))));
}

#[test]
fn a_source_that_gives_pages_steadily_is_asked_alone() {
    let (mut world, honest) = (World::new(), Game::new(3));
    let ask = world.choose().unwrap();
    for page in &honest.pages {
        let wake_at = world.fetch.wake_at(world.now).unwrap();
        world.now = wake_at - Duration::from_millis(1);
        assert!(world.choose().is_none());
        ask.job.take(page).unwrap();
        assert!(world.choose().is_none());
    }
    assert!(matches!(world.fetch.ended(ask.peer, Ok(())), PartEnd::Whole(_)));
    assert_eq!(world.fetch.take_dismissed(), []);
}

#[test]
fn silent_sources_are_left_behind_quickly_and_their_requests_end() {
    for (silent, groups) in [(70, 1), (350, 1), (350, 400)] {
        let honest = Game::new(3);
        let mut fetch = PartFetch::new(honest.job().page_count());
        let peer = |n: u64| PeerId::from_public_key(&n.to_le_bytes());
        let group = |n: u64| Some(SourceGroup(n % groups));
        let mut sources: Vec<_> = (0..=silent).map(|n| (peer(n), group(n))).collect();
        sources.sort();
        // The one that is asked last.
        let (last, _) = *sources.last().unwrap();
        let mut now = Duration::ZERO;
        let mut asked = Vec::new();
        let job = loop {
            let choose = || fetch.choose(sources.iter().copied(), |_| Some(honest.job()), now);
            let asks: Vec<_> = std::iter::from_fn(choose).collect();
            asked.extend(asks.iter().map(|ask| ask.peer));
            if let Some(ask) = asks.into_iter().find(|ask| ask.peer == last) {
                break ask.job;
            }
            now = fetch.wake_at(now).unwrap();
        };
        assert!(now <= Duration::from_millis(500), "{silent}: {now:?}");
        honest.pages.iter().for_each(|page| job.take(page).unwrap());
        assert!(matches!(fetch.ended(last, Ok(())), PartEnd::Whole(_)));
        asked.retain(|peer| *peer != last);
        asked.sort();
        assert_eq!(fetch.take_dismissed(), asked);
        assert!(!fetch.is_under_way());
    }
}

#[test]
fn one_that_has_an_address_of_its_own_is_asked_among_the_first() {
    let honest = Game::new(3);
    let mut fetch = PartFetch::new(honest.job().page_count());
    let mut sources: Vec<_> = (0..100).map(|n| (peer(n), Some(SourceGroup(0)))).collect();
    sources.sort();
    sources.last_mut().unwrap().1 = Some(SourceGroup(1));
    let mut choose = |now| fetch.choose(sources.iter().copied(), |_| Some(honest.job()), now);
    assert!(choose(Duration::ZERO).is_some());
    let second = choose(Duration::from_secs(1)).unwrap();
    assert_eq!(second.peer, sources.last().unwrap().0);
}

#[test]
fn pages_of_many_sources_take_little_more_room_than_those_of_two() {
    let honest = Game::new(3);
    let mut fetch = PartFetch::new(3);
    let sources: Vec<_> = (0..40).map(|n| (peer(n), None)).collect();
    let mut jobs = Vec::new();
    for second in 0..10 {
        let now = Duration::from_secs(second);
        let choose = || fetch.choose(sources.iter().copied(), |_| Some(honest.job()), now);
        for ask in std::iter::from_fn(choose) {
            ask.job.take(&honest.pages[0]).unwrap();
            jobs.push(ask);
        }
    }
    assert!(jobs.len() >= sources.len());
    assert_eq!(fetch.take_dismissed()[0], jobs[0].peer, "of which none has come for longest");
    fetch.look(Duration::from_secs(10));
    let pages: u32 = fetch.asked.values().map(|asked| asked.pages).sum();
    assert!((PAGES_BESIDE..=2 * 3 + PAGES_BESIDE).contains(&pages), "{pages}");
}

#[test]
fn whoever_gives_something_wrong_alone_is_to_blame() {
    let (mut world, honest, other) = (World::new(), Game::new(3), Game::new(4));
    let (liar, end) = world.ask(&other, 3, Ok(()));
    assert!(matches!(end, PartEnd::Bad(_)), "{end:?}");
    world.sources.retain(|source| *source != liar);
    let (_, end) = world.ask(&honest, 3, Ok(()));
    assert!(matches!(end, PartEnd::Whole(_)), "{end:?}");

    // A page that cannot be at all.
    let mut world = World::new();
    let ask = world.choose().unwrap();
    let broken = ask.job.take(&Bytes::from_static(b"\x01\x00")).unwrap_err();
    let end = world.fetch.ended(ask.peer, Err(PartError::Broken(broken)));
    assert!(matches!(end, PartEnd::Bad(reason) if reason.contains("layout page 0")));
}

#[test]
fn a_source_that_fails_again_and_again_is_given_up_and_asked_less_and_less_often() {
    let (mut world, honest) = (World::new(), Game::new(3));
    world.sources.truncate(1);
    let mut pauses = Vec::new();
    for _ in 0..FAILURES_MAX - 1 {
        assert!(matches!(world.ask(&honest, 0, gone()).1, PartEnd::Again));
        let ask = world.choose().unwrap();
        pauses.push(ask.pause);
        world.fetch.left(ask.peer);
    }
    assert_eq!(pauses, [PAUSE_MIN, 2 * PAUSE_MIN]);
    assert!(matches!(world.ask(&honest, 0, gone()).1, PartEnd::Gone));
}

#[test]
fn the_pause_before_a_source_that_comes_back_again_and_again_is_bounded() {
    let (mut world, honest) = (World::new(), Game::new(3));
    world.sources.truncate(1);
    for _ in 0..40 {
        world.ask(&honest, 0, gone());
    }
    assert_eq!(world.choose().unwrap().pause, 4 * PAUSE_MIN);
}

#[test]
fn what_a_source_refuses_tells_what_becomes_of_it() {
    let honest = Game::new(3);
    let end = |code| World::new().ask(&honest, 1, refused(code)).1;
    assert!(matches!(end(RefusalCode::Changed), PartEnd::Changed));
    assert!(matches!(end(RefusalCode::Busy), PartEnd::Again));
    assert!(matches!(end(RefusalCode::NoSuchPage), PartEnd::Bad(_)));
    let protocol = Err(SourceError::Protocol("nonsense".to_owned()).into());
    assert!(matches!(World::new().ask(&honest, 1, protocol).1, PartEnd::Bad(_)));
}

#[test]
fn a_layout_that_is_larger_or_smaller_than_its_head_says_is_refused() {
    let game = Game::new(3);
    let sizes = |change: &dyn Fn(&mut GameHead)| {
        let mut head = game.head.clone();
        change(&mut head);
        let job = PartJob::layout(head.manifest_hash, Sizes::of(&head));
        let taken = game.pages.iter().try_for_each(|page| job.take(page));
        taken.and_then(|()| job.finish().map(drop))
    };
    assert_eq!(sizes(&|_| {}), Ok(()));
    let larger: [&dyn Fn(&mut GameHead); 3] =
        [&|head| head.files -= 1, &|head| head.chunks -= 1, &|head| head.path_bytes -= 1];
    for change in larger {
        assert!(sizes(change).unwrap_err().contains("larger than it says"));
    }
    let smaller: [&dyn Fn(&mut GameHead); 3] =
        [&|head| head.files += 1, &|head| head.chunks += 1, &|head| head.path_bytes += 1];
    for change in smaller {
        assert!(sizes(change).unwrap_err().contains("smaller than it says"));
    }
}

#[test]
fn a_layout_with_what_is_no_content_is_refused() {
    for path in ["version.ini", "local/save.dat", "a/Thumbs.db", ".version.ini.tmp"] {
        let file = ManifestFile { path: path.parse().unwrap(), size: 1, hashes: None };
        let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
        let head = GameHead::of(&manifest, Vec::new(), [0; 32].into());
        let job = PartJob::layout(head.manifest_hash, Sizes::of(&head));
        let page = encode_layout(manifest.files().iter().map(|file| (&file.path, file.size)));
        let refused = job.take(&page[0]).unwrap_err();
        assert!(refused.contains(path), "{refused}");
    }
}

#[test]
fn hashes_are_of_the_length_that_the_layout_gives() {
    let file = ManifestFile { path: "a".parse().unwrap(), size: 5, hashes: None };
    let manifest = Manifest::new("1".parse().unwrap(), vec![file]).unwrap();
    let manifest = std::sync::Arc::new(manifest);
    let right = manifest.with_hashes(vec![7; 32].into()).unwrap();
    let job = || PartJob::hashes(right.content_root().unwrap(), manifest.clone());
    for len in [0, 31, 33, 64] {
        assert!(job().take(&vec![7; len].into()).is_err(), "{len}");
    }
    for (byte, is_right) in [(7, true), (8, false)] {
        let job = job();
        job.take(&vec![byte; 32].into()).unwrap();
        assert_eq!(job.finish().is_ok(), is_right);
    }
}
