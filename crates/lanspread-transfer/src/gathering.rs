//! The first step of a download: asking all sources what the game is.
//!
//! Pure. Decides as soon as no answer that is still awaited could change the choice, or a short
//! time after the first answer; a source that answers later joins the transfer if it fits.

use std::time::Duration;

use lanspread_proto::message::GameHead;
use lanspread_proto::{ContentHash, GameVersion, PeerId};

use crate::consensus::Consensus;
use crate::description::Description;
use crate::heads::Heads;
use crate::parts::check_head;
use crate::scheduler::{Order, SourceGroup};

/// How long the other sources have once a first one has answered.
const OTHERS_WAIT: Duration = Duration::from_secs(1);

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
    /// Every source is gone.
    AllGone,
}

impl Gathering {
    /// Gathers what sources say of `version`; `catalog` is the content root of the catalog, if it has one,
    /// and `order` the one in which chunks are to be fetched.
    pub fn new(version: GameVersion, catalog: Option<ContentHash>, order: Order) -> Self {
        Self {
            version,
            order,
            consensus: Consensus::new(catalog),
            heads: Heads::default(),
            first_offer_at: None,
            refusal: None,
        }
    }

    /// A source has been asked.
    pub fn await_head(&mut self, peer: PeerId) {
        self.heads.await_answer(peer);
    }

    /// Which sources share an address with it.
    pub fn locate(&mut self, peer: PeerId, group: Option<SourceGroup>) {
        self.heads.locate(peer, group);
    }

    /// A source told what it has.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn on_head(&mut self, peer: PeerId, head: GameHead, now: Duration) -> Result<(), String> {
        if let Err(reason) = check_head(&head, &self.version) {
            self.heads.refuse(peer);
            self.refusal = Some(reason.clone());
            return Err(reason);
        }
        self.consensus.recognise(&head);
        self.heads.insert(peer, head);
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
        self.first_offer_at.map(|at| at + OTHERS_WAIT).filter(|at| *at > now)
    }

    /// Decides, unless more answers are needed. After a decision nothing is left in here.
    pub fn conclude(&mut self, now: Duration) -> Option<Gathered> {
        let (claims, awaited) = (self.heads.claims(), self.heads.awaited_count());
        if awaited == 0 && claims.is_empty() {
            return Some(self.refusal.take().map_or(Gathered::AllGone, Gathered::NoManifest));
        }
        let patience_ended = self.first_offer_at.is_some_and(|at| at + OTHERS_WAIT <= now);
        let waited_for = if patience_ended { 0 } else { awaited };
        if let Some(layout) = self.consensus.decide_layout(&claims, waited_for) {
            return Some(self.choose(layout));
        }
        if awaited > 0 {
            return None;
        }
        let mut claims = claims.iter().rev();
        let reason = claims.find_map(|claim| self.consensus.contradiction(claim));
        Some(Gathered::NoManifest(reason.unwrap_or_default().to_owned()))
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
        (0..sources).for_each(|n| gathering.await_head(peer(n)));
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
        gathering.on_head(peer(0), head(5), START).unwrap();
        assert_eq!(chosen(gathering, START), 5);
    }

    #[test]
    fn the_choice_waits_for_a_majority_but_not_for_a_slow_source() {
        let mut gathering = gathering(3);
        gathering.on_head(peer(0), head(5), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.on_head(peer(1), head(6), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.on_head(peer(2), head(6), START).unwrap();
        assert_eq!(chosen(gathering, START), 6);
    }

    #[test]
    fn after_a_short_while_what_came_is_enough() {
        let mut gathering = gathering(3);
        gathering.on_head(peer(0), head(5), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        let wake_at = gathering.wake_at(START).unwrap();
        assert_eq!(chosen(gathering, wake_at), 5);
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
        assert_eq!(gathering(1).on_head(peer(0), at.clone(), START), Ok(()));
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
            let reason = gathering.on_head(peer(0), bad, START).unwrap_err();
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
