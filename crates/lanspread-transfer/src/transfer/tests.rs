use std::collections::BTreeSet;

use lanspread_proto::layout::encode_layout;
use lanspread_proto::message::{GameHead, Part};
use lanspread_proto::{CHUNK_SIZE_BYTES, FileHashes, GameVersion, ManifestFile, PieceSet, RelPath};
use proptest::prelude::*;

use super::*;
use crate::consensus::Stated;
use crate::description::Step;
use crate::gathering::{Gathered, Gathering};
use crate::layout::ChunkIndex;
use crate::votes::Voter;

const CHUNKS: u32 = 6;
/// How often a peer tells what it is asking for.
const PROMISE_NEWS: Duration = Duration::from_secs(1);

/// The address of all free ids.
const LIARS: u8 = 200;

fn peer(n: usize) -> PeerId {
    PeerId::from_public_key(&n.to_le_bytes())
}

fn at(address: u8) -> Option<Voter> {
    Some(Voter::new([10, 0, 0, address]))
}

/// How a source differs from one that has the game, and whether it has hashed what it has.
#[derive(Debug, Clone, Copy)]
struct Kind {
    flaw: Flaw,
    is_hashed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// One chunk was wrong before it was hashed.
    Before(u32),
    /// One chunk went wrong after it was hashed.
    After(u32),
    /// It has a file of another size.
    Layout,
}

impl Kind {
    /// The hash of the bytes that it sends.
    fn sends(self, chunk: ChunkIndex) -> ContentHash {
        let is_wrong = matches!(self.flaw, Flaw::Before(at) | Flaw::After(at) if at == chunk.0);
        [u8::try_from(chunk.0).unwrap() + if is_wrong { 100 } else { 0 }; 32].into()
    }

    fn claims(self, chunk: ChunkIndex) -> ContentHash {
        match self.flaw {
            Flaw::After(_) => Self { flaw: Flaw::None, ..self }.sends(chunk),
            Flaw::None | Flaw::Before(_) | Flaw::Layout => self.sends(chunk),
        }
    }

    fn head(self, is_hashed: bool) -> GameHead {
        GameHead::of(&self.manifest(is_hashed), Vec::new(), [0; 32].into())
    }

    /// Gives the pages that are asked for.
    fn give(self, ask: &AskPart) {
        let manifest = self.manifest(true);
        let files = manifest.files().iter().map(|file| (&file.path, file.size));
        let layout = encode_layout(files);
        for page in ask.job.missing() {
            let page = match ask.job.part {
                Part::Layout => layout[page as usize].clone(),
                Part::Hashes | Part::Attributes => manifest.hash_page(page).unwrap(),
            };
            ask.job.take(&page).unwrap();
        }
    }

    fn manifest(self, is_hashed: bool) -> Manifest {
        let hashes = |chunks: std::ops::Range<u32>| {
            let hashes = chunks.map(|chunk| self.claims(ChunkIndex(chunk)));
            is_hashed.then(|| FileHashes::from_chunks(hashes))
        };
        let file = |path: &str, size, hashes| ManifestFile {
            path: RelPath::new(path).unwrap(),
            size,
            hashes,
        };
        let archive = u64::from(CHUNKS - 1) * CHUNK_SIZE_BYTES;
        let files = vec![
            file("a.eti", archive, hashes(0..CHUNKS - 1)),
            file(
                "z.eti",
                if self.flaw == Flaw::Layout { 8 } else { 9 },
                hashes(CHUNKS - 1..CHUNKS),
            ),
        ];
        Manifest::new(version(), files).unwrap()
    }
}

fn version() -> GameVersion {
    GameVersion::new("20240131").unwrap()
}

fn kind() -> impl Strategy<Value = Kind> {
    let flaw = prop_oneof![
        3 => Just(Flaw::None),
        1 => (0..CHUNKS).prop_map(Flaw::Before),
        1 => (0..CHUNKS).prop_map(Flaw::After),
    ];
    (flaw, any::<bool>()).prop_map(|(flaw, is_hashed)| Kind { flaw, is_hashed })
}

/// What somebody may be that has free ids.
fn liar() -> impl Strategy<Value = Kind> {
    let other = any::<bool>().prop_map(|is_hashed| Kind { flaw: Flaw::Layout, is_hashed });
    prop_oneof![3 => kind(), 1 => other]
}

/// Stands in for the shell.
struct World {
    kinds: BTreeMap<PeerId, Kind>,
    voters: BTreeMap<PeerId, Option<Voter>>,
    transfer: Transfer,
    now: Duration,
    asked: Vec<Ask>,
    hashing: Vec<PeerId>,
    parts: Vec<AskPart>,
    dropped: Vec<PeerId>,
}

impl World {
    /// With each source at an address of its own.
    fn new(kinds: &[Kind], catalog: Option<ContentHash>) -> Option<Self> {
        Self::at(&(1..).zip(kinds.iter().copied()).collect::<Vec<_>>(), catalog)
    }

    fn at(sources: &[(u8, Kind)], catalog: Option<ContentHash>) -> Option<Self> {
        let numbered = || sources.iter().enumerate();
        let kinds: BTreeMap<_, _> = numbered().map(|(n, (_, kind))| (peer(n), *kind)).collect();
        let voters: BTreeMap<_, _> =
            numbered().map(|(n, (address, _))| (peer(n), at(*address))).collect();
        let stated = catalog.map(Stated::Catalog);
        let mut gathering = Gathering::new(version(), stated, Order::File);
        voters.iter().for_each(|(peer, voter)| gathering.await_head(*peer, *voter));
        for (peer, kind) in &kinds {
            let head = kind.head(kind.is_hashed);
            gathering.on_head(*peer, voters[peer], head, Duration::ZERO).unwrap();
        }
        let Some(Gathered::Chosen(mut description)) = gathering.conclude(Duration::ZERO) else {
            return None;
        };
        let transfer = loop {
            match description.step(Duration::ZERO) {
                Step::Ask(ask) => {
                    kinds[&ask.peer].give(&ask);
                    assert!(!description.on_part_ended(ask.peer, Ok(())));
                }
                Step::Described(transfer) => break *transfer,
                step => panic!("{step:?}"),
            }
        };
        let (asked, hashing, parts, dropped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Some(Self { kinds, voters, transfer, now: Duration::ZERO, asked, hashing, parts, dropped })
    }

    fn carry_out_effects(&mut self) {
        for effect in self.transfer.take_effects() {
            match effect {
                Effect::AskPiece(ask) => self.asked.push(ask),
                Effect::AbandonPiece(ask) => self.asked.retain(|other| *other != ask),
                Effect::AskHashes(peer) => self.hashing.push(peer),
                Effect::AskPart(ask) => self.parts.push(ask),
                Effect::EndPart(peer) => self.parts.retain(|ask| ask.peer != peer),
                // They can be done without.
                Effect::AskAttributes(part) => {
                    let gone = SourceError::Gone("it tells none".into());
                    self.transfer.on_attributes(part, Err(gone));
                }
                Effect::Record(_) | Effect::AnnouncePiece(_) => {}
                Effect::Drop { peer, .. } => {
                    self.asked.retain(|ask| ask.peer != peer);
                    self.hashing.retain(|hashing| *hashing != peer);
                    self.parts.retain(|ask| ask.peer != peer);
                    assert!(!self.dropped.contains(&peer), "{peer} is dropped twice");
                    self.dropped.push(peer);
                }
            }
        }
    }

    fn answer(&mut self, n: usize) {
        let answers = self.asked.len() + self.hashing.len() + self.parts.len();
        let Some(at) = n.checked_rem(answers) else { return };
        if at < self.asked.len() {
            let ask = self.asked.remove(at);
            // None of them fits one piece with another: every piece is one chunk here.
            let chunk = ChunkIndex(ask.piece.0);
            let hash = self.kinds[&ask.peer].sends(chunk);
            if !self.transfer.on_piece_received(ask, self.now) {
                return;
            }
            let claimed = self.kinds[&ask.peer].claims(chunk);
            let is_own_word = self.kinds[&ask.peer].is_hashed && claimed != hash;
            let expected = self.transfer.expected_hash(ask.peer, chunk);
            if is_own_word || expected.is_some_and(|expected| expected != hash) {
                self.transfer.on_chunk_mismatch(ask.peer, chunk);
            } else {
                self.transfer.on_chunk_written(ask.peer, chunk, hash, 1);
            }
            self.transfer.settle(ask.piece);
        } else if at < self.asked.len() + self.hashing.len() {
            let peer = self.hashing.remove(at - self.asked.len());
            let head = self.kinds[&peer].head(true);
            self.transfer.on_claim(peer, self.voters[&peer], &head, self.now);
        } else {
            let ask = self.parts.remove(at - self.asked.len() - self.hashing.len());
            self.kinds[&ask.peer].give(&ask);
            self.transfer.on_part_ended(ask.peer, Ok(()));
        }
    }

    /// Lets everything happen that can, in the order that `order` gives.
    fn run(&mut self, order: &[usize]) -> TransferStatus {
        for n in order.iter().cycle() {
            let status = self.transfer.status(self.now).unwrap();
            self.carry_out_effects();
            if !matches!(status, TransferStatus::Ongoing) {
                return status;
            }
            while self.transfer.ask(self.now).is_some() {}
            self.carry_out_effects();
            if self.asked.is_empty() && self.hashing.is_empty() && self.parts.is_empty() {
                self.now = self.transfer.wake_at(self.now).expect("something to wait for");
            } else {
                self.now += Duration::from_millis(1);
                self.answer(*n);
            }
        }
        unreachable!("the order is not empty");
    }
}

fn right_content() -> ContentHash {
    Kind { flaw: Flaw::None, is_hashed: true }.manifest(true).content_root().unwrap()
}

proptest! {
    #[test]
    fn an_honest_majority_always_wins(
        others in prop::collection::vec(kind(), 0..3),
        honest in prop::collection::vec(any::<bool>(), 3..5),
        order in prop::collection::vec(any::<usize>(), 1..50),
    ) {
        let honest = honest.into_iter().map(|is_hashed| Kind { flaw: Flaw::None, is_hashed });
        let kinds: Vec<_> = others.into_iter().chain(honest).collect();
        let mut world = World::new(&kinds, None).unwrap();
        match world.run(&order) {
            TransferStatus::Complete(manifest) => {
                prop_assert_eq!(manifest.content_root(), Some(right_content()));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        for peer in &world.dropped {
            prop_assert_ne!(world.kinds[peer].flaw, Flaw::None);
        }
    }

    #[test]
    fn free_ids_at_one_address_never_beat_two_honest_addresses(
        liars in prop::collection::vec(liar(), 1..8),
        honest in prop::collection::vec(any::<bool>(), 2..4),
        order in prop::collection::vec(any::<usize>(), 1..50),
    ) {
        let liars = liars.into_iter().map(|kind| (LIARS, kind));
        let honest = honest.into_iter().map(|is_hashed| Kind { flaw: Flaw::None, is_hashed });
        let sources: Vec<_> = liars.chain((1..).zip(honest)).collect();
        let mut world = World::at(&sources, None).unwrap();
        match world.run(&order) {
            TransferStatus::Complete(manifest) => {
                prop_assert_eq!(manifest.content_root(), Some(right_content()));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        for peer in &world.dropped {
            prop_assert_ne!(world.kinds[peer].flaw, Flaw::None);
        }
    }

    #[test]
    fn what_the_catalog_says_is_what_arrives_or_nothing(
        kinds in prop::collection::vec(kind(), 1..6),
        order in prop::collection::vec(any::<usize>(), 1..50),
    ) {
        let Some(mut world) = World::new(&kinds, Some(right_content())) else { return Ok(()) };
        let has_good_source = kinds.iter().any(|kind| kind.flaw == Flaw::None);
        match world.run(&order) {
            TransferStatus::Complete(manifest) => {
                prop_assert_eq!(manifest.content_root(), Some(right_content()));
            }
            TransferStatus::AllBad(_) | TransferStatus::Mismatch(Authority::Catalog) => {
                prop_assert!(!has_good_source);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// One thing that happens to one peer, by number.
type Happening = (usize, usize);

/// Lets something happen that may happen to a peer at any time.
fn happen(world: &mut World, (what, who): Happening) {
    let (who, now) = (peer(who), world.now);
    let kind = Kind { flaw: Flaw::None, is_hashed: true };
    let transfer = &mut world.transfer;
    match what {
        0 => drop(transfer.await_claim(who)),
        1 => transfer.on_claim(who, at(7), &kind.head(true), now),
        2 => transfer.on_claim(who, at(7), &kind.head(false), now),
        3 => transfer.on_abstention(who),
        4 => transfer.on_offer(who, &[1, 2].into_iter().collect(), &[PieceIndex(3)], now),
        5 => transfer.on_more_offered(who, &[PieceIndex(3)], &[PieceIndex(4)], now),
        6 => transfer.on_offers_ended(who),
        7 => drop(transfer.on_partial_source_left(who)),
        8 => drop(transfer.on_left(who, now)),
        9 => while transfer.ask(now).is_some() {},
        _ => transfer.on_claim_refused(who, "it is busy".into()),
    }
}

proptest! {
    #[test]
    fn leaving_leaves_nothing_behind(
        happenings in prop::collection::vec((0..11_usize, 0..4_usize), 0..40),
    ) {
        let honest = Kind { flaw: Flaw::None, is_hashed: true };
        let mut world = World::new(&[honest, honest], None).unwrap();
        for happening in happenings {
            happen(&mut world, happening);
            let full: BTreeSet<_> = world.transfer.full_sources().collect();
            prop_assert!(full.iter().all(|peer| !world.transfer.is_partial_source(*peer)));
        }
        let leaving = peer(1);
        world.transfer.on_offers_ended(leaving);
        world.transfer.on_left(leaving, world.now);
        world.transfer.on_partial_source_left(leaving);
        let transfer = &world.transfer;
        let kept = format!("{:?}", (&transfer.sources, &transfer.scheduler, &transfer.consensus));
        prop_assert!(!kept.contains(&leaving.to_string()), "{}", kept);
    }
}

#[test]
fn sources_that_disagree_once_they_have_hashed_end_the_transfer() {
    let kind = |flaw| Kind { flaw, is_hashed: false };
    let mut world = World::new(&[kind(Flaw::None), kind(Flaw::Before(2))], None).unwrap();
    match world.run(&[1, 0, 2, 5]) {
        TransferStatus::Disputed(candidates) => {
            assert_eq!(candidates.len(), 2);
            assert!(candidates.iter().any(|it| it.content == Some(right_content())));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.dropped, []);
}

#[test]
fn a_source_that_lied_is_kept_as_banned_and_nothing_else() {
    let honest = Kind { flaw: Flaw::None, is_hashed: true };
    let mut world = World::new(&[honest, honest], None).unwrap();
    world.transfer.on_offer(peer(0), &(0..CHUNKS).collect(), &[], world.now);
    world.transfer.on_chunk_mismatch(peer(0), ChunkIndex(0));
    assert!(matches!(world.transfer.sources.get(peer(0)), Some(SourceState::Banned)));
    let kept = format!("{:?}", (&world.transfer.scheduler, &world.transfer.attributes));
    assert!(!kept.contains(&peer(0).to_string()), "{kept}");
    world.transfer.on_offer(peer(0), &(0..CHUNKS).collect(), &[], world.now);
    world.transfer.on_left(peer(0), world.now);
    world.transfer.on_partial_source_left(peer(0));
    assert!(matches!(world.transfer.sources.get(peer(0)), Some(SourceState::Banned)));
    assert!(!world.transfer.await_claim(peer(0)) && !world.transfer.is_partial_source(peer(0)));
}

#[test]
fn a_source_whose_chunk_its_own_hashes_contradict_is_dropped() {
    let changed = Kind { flaw: Flaw::After(0), is_hashed: false };
    let honest = Kind { flaw: Flaw::None, is_hashed: false };
    let mut world = World::new(&[changed, honest, honest, honest], None).unwrap();
    while world.transfer.ask(Duration::ZERO).is_some() {}
    world.carry_out_effects();
    let of_changed = world.asked.iter().position(|ask| ask.peer == peer(0)).unwrap();
    while !world.asked.is_empty() {
        let ask = world.asked.remove(of_changed.min(world.asked.len() - 1));
        assert!(world.transfer.on_piece_received(ask, world.now));
        let chunk = ChunkIndex(ask.piece.0);
        let is_wrong = ask.peer == peer(0);
        let hash = if is_wrong { [77; 32].into() } else { honest.sends(chunk) };
        world.transfer.on_chunk_written(ask.peer, chunk, hash, 1);
        world.transfer.settle(ask.piece);
    }
    // Its hashes are known when they are decided, and it claims them itself.
    for n in 0..3 {
        let head = world.kinds[&peer(n)].head(true);
        world.transfer.on_claim(peer(n), world.voters[&peer(n)], &head, world.now);
    }
    world.transfer.status(world.now).unwrap();
    world.carry_out_effects();
    assert_eq!(world.dropped, []);
    let ask = world.parts.remove(0);
    world.kinds[&ask.peer].give(&ask);
    world.transfer.on_part_ended(ask.peer, Ok(()));
    world.carry_out_effects();
    assert_eq!(world.dropped, [peer(0)]);
}

#[test]
fn what_a_source_offers_counts_when_it_is_no_source_any_more() {
    let honest = Kind { flaw: Flaw::None, is_hashed: true };
    let mut world = World::new(&[honest, honest], None).unwrap();
    let (leaving, now) = (peer(1), world.now);
    let has = [0, 1].into_iter().collect();
    world.transfer.on_offer(leaving, &has, &[], now);
    world.transfer.on_more_offered(leaving, &[PieceIndex(3)], &[], now);
    assert!(!world.transfer.is_partial_source(leaving));
    assert!(world.transfer.on_left(leaving, now));
    assert!(world.transfer.is_partial_source(leaving) && !world.transfer.on_left(leaving, now));
    world.transfer.on_left(peer(0), now);
    let mut given = BTreeSet::new();
    while world.transfer.ask(now).is_some() {
        world.carry_out_effects();
        let ask = world.asked.pop().unwrap();
        assert_eq!(ask.peer, leaving);
        assert!(world.transfer.on_piece_received(ask, now));
        world.transfer.on_chunk_written(
            ask.peer,
            ChunkIndex(ask.piece.0),
            honest.sends(ChunkIndex(ask.piece.0)),
            1,
        );
        world.transfer.settle(ask.piece);
        given.insert(ask.piece.0);
    }
    assert_eq!(given, BTreeSet::from([0, 1, 3]));
    world.transfer.on_offers_ended(leaving);
    world.transfer.on_partial_source_left(leaving);
    assert!(matches!(world.transfer.status(now).unwrap(), TransferStatus::AllGone));
}

#[test]
fn who_fails_at_giving_a_part_may_still_join_with_everything() {
    let honest = Kind { flaw: Flaw::None, is_hashed: true };
    let mut world = World::new(&[honest], None).unwrap();
    let joining = peer(7);
    world.transfer.on_offer(joining, &(0..CHUNKS).collect(), &[], world.now);
    assert!(world.transfer.await_claim(joining));
    let gone = SourceError::Gone("reset".to_owned());
    for _ in 0..100 {
        while world.transfer.ask(world.now).is_some() {}
        world.carry_out_effects();
        for ask in std::mem::take(&mut world.asked).into_iter().filter(|ask| ask.peer == joining) {
            world.transfer.on_request_failed(ask, &gone, world.now);
        }
        world.now += Duration::from_secs(5);
    }
    assert!(!world.transfer.is_partial_source(joining));
    world.transfer.on_claim(joining, at(7), &honest.head(true), world.now);
    assert!(world.transfer.is_full_source(joining));
}

#[test]
fn a_promise_is_not_believed_for_ever() {
    let honest = Kind { flaw: Flaw::None, is_hashed: true };
    let mut world = World::new(&[honest], None).unwrap();
    let promising = peer(7);
    world.transfer.on_offer(promising, &PieceSet::default(), &[PieceIndex(0)], world.now);
    world.transfer.on_left(peer(0), world.now);
    let mut promised = 0;
    while matches!(world.transfer.status(world.now).unwrap(), TransferStatus::Ongoing) {
        world.now = world.transfer.wake_at(world.now).unwrap().min(world.now + PROMISE_NEWS);
        promised = (promised + 1) % CHUNKS;
        world.transfer.on_more_offered(promising, &[], &[PieceIndex(promised)], world.now);
        assert!(world.now < Duration::from_secs(200), "it is believed for ever");
    }
    assert!(world.now > Duration::from_secs(60), "{:?}", world.now);
}

#[test]
fn a_source_may_come_back_after_it_left_but_not_after_it_lied() {
    let honest = Kind { flaw: Flaw::None, is_hashed: true };
    let mut world = World::new(&[honest, honest], None).unwrap();
    world.transfer.on_left(peer(0), world.now);
    assert!(world.transfer.await_claim(peer(0)));
    while world.transfer.ask(Duration::ZERO).is_some() {}
    world.carry_out_effects();
    let ask = world.asked[0];
    assert!(world.transfer.on_piece_received(ask, world.now));
    world.transfer.on_chunk_mismatch(ask.peer, ChunkIndex(ask.piece.0));
    world.transfer.settle(ask.piece);
    assert!(!world.transfer.await_claim(ask.peer));
}
