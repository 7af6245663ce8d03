//! The first step of a download: asking all sources what the game is.
//!
//! Pure. Decides as soon as no answer that is still awaited could change the choice, or some time after
//! the first answer; a source that answers later joins the transfer if it fits.

use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{ContentHash, GameVersion, PeerId};

use crate::consensus::{Call, Candidate, Consensus, LayoutChoice, Stated};
use crate::description::Description;
use crate::heads::Heads;
use crate::parts::check_head;
use crate::scheduler::{Order, SourceGroup};
use crate::votes::Voter;

/// How long the other sources have once a first one has answered, where what they say is held against a
/// stated content.
const OTHERS_WAIT: Duration = Duration::from_secs(1);
/// How long they have where the sources decide: as long as a request waits for its connection. A quick
/// machine must not decide because honest ones were busy for a moment.
const VOTERS_WAIT: Duration = Duration::from_secs(5);
/// How long they have where those that have answered disagree: as long as a source that is not to be
/// reached still counts as one.
const MAJORITY_WAIT: Duration = Duration::from_secs(30);

/// What sources have told so far.
#[derive(Debug)]
pub struct Gathering {
    version: GameVersion,
    order: Order,
    consensus: Consensus,
    heads: Heads,
    first_offer_at: Option<Duration>,
    /// Why the last source that spoke could not be used.
    refusal: Option<String>,
}

/// How the first step ends.
#[derive(Debug)]
pub enum Gathered {
    /// It is chosen what to fetch.
    Chosen(Box<Description>),
    /// Every source that spoke gave a reason against it; this is the last one.
    NoManifest(String),
    /// The sources disagree; there is this to choose from.
    Disputed(Vec<Candidate>),
    /// Every source is gone.
    AllGone,
}

impl Gathering {
    /// Gathers what sources say of `version`; `stated` is the content root that decides, where there is
    /// one, and `order` the one in which chunks are to be fetched.
    pub fn new(version: GameVersion, stated: Option<Stated>, order: Order) -> Self {
        Self {
            version,
            order,
            consensus: Consensus::new(stated),
            heads: Heads::default(),
            first_offer_at: None,
            refusal: None,
        }
    }

    /// A source has been asked, at the address `voter` if that has a vote.
    pub fn await_head(&mut self, peer: PeerId, voter: Option<Voter>) {
        self.heads.await_answer(peer, voter);
    }

    /// Which sources share an address with it.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        self.heads.locate(peer, group);
    }

    /// A source told what it has.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn on_head(
        &mut self,
        peer: PeerId,
        voter: Option<Voter>,
        head: GameHead,
        now: Duration,
    ) -> Result<(), String> {
        if let Err(reason) = check_head(&head, &self.version) {
            self.heads.refuse(peer);
            self.refusal = Some(reason.clone());
            return Err(reason);
        }
        self.consensus.recognise(&head);
        self.heads.insert(peer, voter, head);
        self.first_offer_at.get_or_insert(now);
        Ok(())
    }

    /// A source answered with something else.
    pub fn on_refusal(&mut self, peer: PeerId, reason: String) {
        self.heads.refuse(peer);
        self.refusal = Some(reason);
    }

    /// A source is gone.
    pub fn on_left(&mut self, peer: PeerId) {
        self.heads.remove(peer);
    }

    /// When to call [`Self::conclude`] again, should no answer come before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        let first_at = self.first_offer_at?;
        let waits = [OTHERS_WAIT, VOTERS_WAIT, MAJORITY_WAIT];
        waits.into_iter().map(|wait| first_at + wait).find(|at| *at > now)
    }

    /// How much longer sources are waited for that have not answered.
    fn call(&self, now: Duration) -> Call {
        let waited = self.first_offer_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        let patience = match self.consensus.stated_content() {
            Some(_) => OTHERS_WAIT,
            None => VOTERS_WAIT,
        };
        match waited {
            _ if waited < patience => Call::Everybody,
            _ if waited < MAJORITY_WAIT => Call::Heard,
            _ => Call::Last,
        }
    }

    /// Decides, unless more answers are needed. After a decision nothing is left in here.
    pub fn conclude(&mut self, now: Duration) -> Option<Gathered> {
        let (claims, awaited) = (self.heads.claims(), self.heads.awaited());
        if claims.is_empty() {
            let ended = || self.refusal.take().map_or(Gathered::AllGone, Gathered::NoManifest);
            return awaited.is_empty().then(ended);
        }
        let choice = self.consensus.decide_layout(&claims, &awaited, self.call(now));
        match choice {
            LayoutChoice::Open => None,
            // Nothing on the disk has been touched by now.
            LayoutChoice::Chosen(_)
                if awaited.is_empty() && self.consensus.is_disputed(&claims) =>
            {
                Some(Gathered::Disputed(self.consensus.candidates(&claims)))
            }
            LayoutChoice::Chosen(layout) => Some(self.choose(layout)),
            LayoutChoice::Disputed => Some(Gathered::Disputed(self.consensus.candidates(&claims))),
            LayoutChoice::NoneFits if !awaited.is_empty() => None,
            LayoutChoice::NoneFits => {
                let mut claims = claims.iter().rev();
                let reason = claims.find_map(|claim| self.consensus.contradiction(claim));
                Some(Gathered::NoManifest(reason.unwrap_or_default().to_owned()))
            }
        }
    }

    fn choose(&mut self, layout: ContentHash) -> Gathered {
        let heads = std::mem::take(&mut self.heads);
        let consensus = std::mem::replace(&mut self.consensus, Consensus::new(None));
        match Description::new(layout, consensus, heads, self.order) {
            Some(description) => Gathered::Chosen(Box::new(description)),
            // A layout is decided only if somebody has claimed it.
            None => Gathered::AllGone,
        }
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::limits::{
        LAYOUT_PAGES_MAX, MANIFEST_MAX_CHUNKS, MANIFEST_MAX_FILES, MANIFEST_MAX_PATH_BYTES,
    };

    use super::*;

    const START: Duration = Duration::ZERO;

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn voter(n: u8) -> Option<Voter> {
        Some(Voter::new([10, 0, 0, n]))
    }

    fn version() -> GameVersion {
        GameVersion::new("20240131").unwrap()
    }

    fn head(n: u8) -> GameHead {
        GameHead {
            version: version(),
            files: 1,
            chunks: 1,
            path_bytes: 5,
            manifest_hash: [n; 32].into(),
            layout_pages: 1,
            content_root: None,
            old_content_roots: Vec::new(),
            attributes: [0; 32].into(),
        }
    }

    fn gathering(sources: u8) -> Gathering {
        let mut gathering = Gathering::new(version(), None, Order::File);
        (0..sources).for_each(|n| gathering.await_head(peer(n), voter(n)));
        gathering
    }

    fn chosen(mut gathering: Gathering, now: Duration) -> u8 {
        match gathering.conclude(now).unwrap() {
            Gathered::Chosen(description) => description.of().as_bytes()[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_source_is_enough_when_it_is_the_only_one() {
        let mut gathering = gathering(1);
        gathering.on_head(peer(0), voter(0), head(5), START).unwrap();
        assert_eq!(chosen(gathering, START), 5);
    }

    #[test]
    fn the_choice_waits_for_a_majority_but_not_for_a_slow_source() {
        let mut gathering = gathering(3);
        gathering.on_head(peer(0), voter(0), head(5), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.on_head(peer(1), voter(1), head(6), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.on_head(peer(2), voter(2), head(6), START).unwrap();
        assert_eq!(chosen(gathering, START), 6);
    }

    /// Concludes at each time at which it wants to be woken, until it has; returns when and what.
    fn concluded(mut gathering: Gathering) -> (Duration, Gathered) {
        let mut now = START;
        loop {
            if let Some(gathered) = gathering.conclude(now) {
                return (now, gathered);
            }
            now = gathering.wake_at(now).expect("something to wait for");
        }
    }

    #[test]
    fn after_a_while_what_came_is_enough_and_sooner_where_a_content_is_stated() {
        for (stated, wait) in [(None, VOTERS_WAIT), (Some([9; 32].into()), OTHERS_WAIT)] {
            let stated = stated.map(Stated::Catalog);
            let mut gathering = Gathering::new(version(), stated, Order::File);
            (0..3).for_each(|n| gathering.await_head(peer(n), voter(n)));
            gathering.on_head(peer(0), voter(0), head(5), START).unwrap();
            let (at, gathered) = concluded(gathering);
            assert_eq!(at, wait);
            assert!(matches!(gathered, Gathered::Chosen(it) if it.of() == [5; 32].into()));
        }
    }

    #[test]
    fn those_that_disagree_wait_for_a_slow_source_within_a_bound() {
        let mut undecided = gathering(3);
        undecided.on_head(peer(0), voter(0), head(5), START).unwrap();
        undecided.on_head(peer(1), voter(1), head(6), START).unwrap();
        let (at, gathered) = concluded(undecided);
        assert_eq!(at, MAJORITY_WAIT);
        match gathered {
            Gathered::Disputed(candidates) => assert_eq!(candidates.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hashed_sources_that_disagree_are_told_before_anything_is_fetched() {
        let mut gathering = gathering(2);
        let hashed = |content: u8| GameHead { content_root: Some([content; 32].into()), ..head(5) };
        gathering.on_head(peer(0), voter(0), hashed(1), START).unwrap();
        gathering.on_head(peer(1), voter(1), hashed(2), START).unwrap();
        match gathering.conclude(START).unwrap() {
            Gathered::Disputed(candidates) => assert_eq!(candidates.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn heads_beyond_a_limit_are_refused_and_those_at_it_are_not() {
        let at = GameHead {
            files: MANIFEST_MAX_FILES as u32,
            chunks: MANIFEST_MAX_CHUNKS,
            path_bytes: MANIFEST_MAX_PATH_BYTES,
            layout_pages: LAYOUT_PAGES_MAX,
            ..head(1)
        };
        assert_eq!(gathering(1).on_head(peer(0), voter(0), at.clone(), START), Ok(()));
        let beyond = [
            GameHead { files: at.files + 1, ..at.clone() },
            GameHead { chunks: at.chunks + 1, ..at.clone() },
            GameHead { path_bytes: at.path_bytes + 1, ..at.clone() },
            GameHead { layout_pages: at.layout_pages + 1, ..at.clone() },
            GameHead { files: 0, ..at.clone() },
            GameHead { layout_pages: 0, ..at.clone() },
            GameHead { version: "1".parse().unwrap(), ..at },
        ];
        for bad in beyond {
            let mut gathering = gathering(1);
            let reason = gathering.on_head(peer(0), voter(0), bad, START).unwrap_err();
            match gathering.conclude(START).unwrap() {
                Gathered::NoManifest(last) => assert_eq!(last, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn sources_that_leave_are_not_waited_for() {
        let mut gathering = gathering(2);
        gathering.on_left(peer(0));
        assert!(gathering.conclude(START).is_none());
        gathering.on_left(peer(1));
        assert!(matches!(gathering.conclude(START), Some(Gathered::AllGone)));
    }
}
