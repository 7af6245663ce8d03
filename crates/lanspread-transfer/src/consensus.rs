//! What a game is, where its sources do not say the same.
//!
//! Pure. Sources claim a layout (paths and sizes) and, once they have hashed the game, its content.
//! The layout is chosen first, since nothing can be fetched without one; the content may be decided
//! while chunks are already coming in, or only at the end:
//!
//! - A content root in the catalog decides alone. It may be in the form of wire version 3; then the
//!   sources tell which content it stands for, as a hint, and what was fetched shows whether it does.
//! - Else the content that more than half of the sources claim, or the most frequent one when all
//!   of them have claimed (among equals the one with the lowest hash).
//! - When everything is fetched and that is still open, sources that are hashing are waited for.
//!   After a while what those that did answer say is enough; and if nobody answered, nobody
//!   contradicts what was verified chunk by chunk. A source that left no longer counts.
//!
//! What is decided stays decided: sources that join later have to fit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::ContentHash;
use lanspread_proto::message::GameHead;

/// How long a complete download waits for a majority, once a source has told its content.
const MAJORITY_WAIT: Duration = Duration::from_secs(10);
/// How long a complete download waits for a first source to tell its content.
const CONTENT_WAIT: Duration = Duration::from_secs(60);

/// What one source says a game is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// [`GameHead::manifest_hash`].
    pub layout: ContentHash,
    /// [`GameHead::content_root`], once it is known.
    pub content: Option<ContentHash>,
}

impl Claim {
    /// What a source says.
    pub fn of(head: &GameHead) -> Self {
        Self { layout: head.manifest_hash, content: head.content_root }
    }
}

/// Whether what was fetched is the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Agreed,
    /// More claims are needed; ask again on the next one, or when this much time has passed since
    /// everything was fetched.
    Open(Duration),
    /// The content has just been decided: compare, fetch what differs, and ask again.
    Decided,
    /// It is not, and no source has the right content.
    Differs,
}

/// What follows from the claims of the sources in use, which its caller keeps.
#[derive(Debug)]
pub struct Consensus {
    catalog: Option<ContentHash>,
    /// Contents that have the root of the catalog in the old form, as sources say.
    recognised: BTreeSet<ContentHash>,
    layout: Option<ContentHash>,
    content: Option<ContentHash>,
}

impl Consensus {
    /// Nothing is claimed yet; `catalog` is the content root in the catalog, where it has one.
    pub fn new(catalog: Option<ContentHash>) -> Self {
        Self { catalog, recognised: BTreeSet::new(), layout: None, content: None }
    }

    /// Takes in the old forms of a content root that a head tells. Comes before its claim counts.
    pub fn recognise(&mut self, head: &GameHead) {
        if let Some(content) = head.content_root
            && self.catalog.is_some_and(|catalog| head.old_content_roots.contains(&catalog))
        {
            self.recognised.insert(content);
        }
    }

    /// Whether the catalog states a content, and not in a form in which `content` is known to have it.
    pub fn is_unrecognised(&self, content: ContentHash) -> bool {
        self.catalog.is_some_and(|catalog| catalog != content)
            && !self.recognised.contains(&content)
    }

    /// The decided content.
    pub fn content(&self) -> Option<ContentHash> {
        self.content
    }

    /// What the catalog says that the content is, in one form or the other.
    pub fn catalog_content(&self) -> Option<ContentHash> {
        self.catalog
    }

    /// Decides the layout by `claims`, in peer id order, while `awaited` more sources may still make
    /// one, or returns `None` when one of them could change it.
    pub fn decide_layout(&mut self, claims: &[Claim], awaited: usize) -> Option<ContentHash> {
        let fitting = || claims.iter().filter(|claim| self.contradiction(claim).is_none());
        let of_catalog = fitting().find(|claim| self.catalog.is_some() && claim.content.is_some());
        let layout = match of_catalog {
            Some(claim) => claim.layout,
            None => {
                let (layout, count) = most_frequent(fitting().map(|claim| claim.layout))?;
                if awaited > 0 && count * 2 <= claims.len() + awaited {
                    return None;
                }
                layout
            }
        };
        self.layout = Some(layout);
        Some(layout)
    }

    /// Takes back which layout was decided: nobody gives it.
    pub fn reopen_layout(&mut self) {
        self.layout = None;
    }

    /// Decides the content, where `claims`, in peer id order, suffice for that; returns whether they
    /// newly do.
    pub fn decide_content(&mut self, claims: &[Claim]) -> bool {
        if self.content.is_some() {
            return false;
        }
        let claimed = || claims.iter().filter_map(|claim| claim.content);
        self.content = match self.catalog {
            Some(_) => claimed().find(|content| !self.is_unrecognised(*content)),
            None => most_frequent(claimed())
                .filter(|(_, count)| count * 2 > claims.len() || claimed().count() == claims.len())
                .map(|(content, _)| content),
        };
        self.content.is_some()
    }

    /// Why `claim` cannot be true, in words.
    pub fn contradiction(&self, claim: &Claim) -> Option<&'static str> {
        if self.layout.is_some_and(|layout| layout != claim.layout) {
            return Some("its files are not those that most sources have");
        }
        let content = claim.content?;
        if self.is_unrecognised(content) {
            return Some("its content is not what the catalog says");
        }
        self.content
            .is_some_and(|decided| decided != content)
            .then_some("its content is not what most sources have")
    }

    /// Judges `own`, the content that was fetched, `waited` after the last chunk of it came. `is_stated`
    /// says whether it has the root of the catalog in any form.
    pub fn judge(
        &mut self,
        claims: &[Claim],
        own: ContentHash,
        is_stated: bool,
        waited: Duration,
    ) -> Verdict {
        if self.catalog.is_some() && is_stated {
            return Verdict::Agreed;
        }
        if let Some(content) = self.content {
            // A hint that it is the content of the catalog may have been wrong.
            let is_agreed = content == own && self.catalog.is_none();
            return if is_agreed { Verdict::Agreed } else { Verdict::Differs };
        }
        let hashing = claims.iter().filter(|claim| claim.content.is_none()).count();
        let claimed = most_frequent(claims.iter().filter_map(|claim| claim.content));
        if self.catalog.is_some() {
            return match hashing {
                0 => Verdict::Differs,
                _ if waited >= CONTENT_WAIT => Verdict::Differs,
                _ => Verdict::Open(CONTENT_WAIT),
            };
        }
        match claimed {
            None if hashing > 0 && waited < CONTENT_WAIT => Verdict::Open(CONTENT_WAIT),
            None => Verdict::Agreed,
            Some(_) if hashing > 0 && waited < MAJORITY_WAIT => Verdict::Open(MAJORITY_WAIT),
            Some((content, _)) => {
                self.content = Some(content);
                Verdict::Decided
            }
        }
    }
}

/// The hash that comes most often and how often it comes; among equals the lowest.
fn most_frequent(hashes: impl Iterator<Item = ContentHash>) -> Option<(ContentHash, usize)> {
    let mut counts: BTreeMap<ContentHash, usize> = BTreeMap::new();
    for hash in hashes {
        *counts.entry(hash).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> ContentHash {
        [n; 32].into()
    }

    fn claim(layout: u8, content: Option<u8>) -> Claim {
        Claim { layout: hash(layout), content: content.map(hash) }
    }

    fn consensus(catalog: Option<u8>) -> Consensus {
        Consensus::new(catalog.map(hash))
    }

    /// The numbers of the claims that cannot be true.
    fn outvoted(consensus: &Consensus, claims: &[Claim]) -> Vec<usize> {
        let numbered = claims.iter().enumerate();
        let contradicted = numbered.filter(|(_, claim)| consensus.contradiction(claim).is_some());
        contradicted.map(|(n, _)| n).collect()
    }

    fn head(content: u8, old_content_roots: &[u8]) -> GameHead {
        GameHead {
            version: "1".parse().unwrap(),
            files: 0,
            chunks: 0,
            path_bytes: 0,
            manifest_hash: hash(1),
            layout_pages: 0,
            content_root: Some(hash(content)),
            old_content_roots: old_content_roots.iter().copied().map(hash).collect(),
            attributes: hash(0),
        }
    }

    #[test]
    fn the_layout_waits_for_a_majority_unless_nobody_else_is_asked() {
        let one = [claim(1, None)];
        let mut one_of_three = consensus(None);
        assert_eq!(one_of_three.decide_layout(&one, 2), None);
        assert_eq!(one_of_three.decide_layout(&one, 0), Some(hash(1)));
        let two = [claim(1, None), claim(1, Some(5))];
        assert_eq!(consensus(None).decide_layout(&two, 1), Some(hash(1)));
        assert_eq!(consensus(None).decide_layout(&[], 0), None);
    }

    #[test]
    fn the_majority_wins_and_among_equals_the_lowest_hash() {
        let claims = [claim(2, None), claim(1, None), claim(2, None)];
        let mut majority = consensus(None);
        assert_eq!(majority.decide_layout(&claims, 0), Some(hash(2)));
        assert_eq!(outvoted(&majority, &claims), [1]);
        let tie = [claim(2, None), claim(1, None)];
        assert_eq!(consensus(None).decide_layout(&tie, 0), Some(hash(1)));
    }

    #[test]
    fn the_catalog_decides_against_a_majority() {
        let claims = [claim(1, Some(7)), claim(1, Some(7)), claim(1, Some(9))];
        let mut consensus = consensus(Some(9));
        assert_eq!(consensus.decide_layout(&claims, 5), Some(hash(1)));
        assert!(consensus.decide_content(&claims));
        assert_eq!(consensus.content(), Some(hash(9)));
        assert_eq!(outvoted(&consensus, &claims), [0, 1]);
    }

    #[test]
    fn content_that_the_catalog_excludes_gives_no_layout() {
        let claims = [claim(1, Some(7))];
        let mut consensus = consensus(Some(9));
        assert_eq!(consensus.decide_layout(&claims, 0), None);
        assert_eq!(outvoted(&consensus, &claims), [0]);
    }

    #[test]
    fn one_hashed_source_of_three_does_not_decide_the_content() {
        let mut claims = [claim(1, Some(7)), claim(1, None), claim(1, None)];
        let mut consensus = consensus(None);
        consensus.decide_layout(&claims, 0).unwrap();
        assert!(!consensus.decide_content(&claims));
        claims[1] = claim(1, Some(8));
        assert!(!consensus.decide_content(&claims));
        claims[2] = claim(1, Some(8));
        assert!(consensus.decide_content(&claims));
        assert_eq!(consensus.content(), Some(hash(8)));
        assert_eq!(outvoted(&consensus, &claims), [0]);
    }

    #[test]
    fn what_is_fetched_is_judged_by_the_first_answers_after_a_wait() {
        let second = Duration::from_secs(1);
        let nobody = [claim(1, None), claim(1, None)];
        let judge = |waited| consensus(None).judge(&nobody, hash(7), false, waited);
        assert_eq!(judge(second), Verdict::Open(CONTENT_WAIT));
        assert_eq!(judge(CONTENT_WAIT), Verdict::Agreed);

        let claims = [claim(1, Some(8)), claim(1, None), claim(1, None)];
        let mut one = consensus(None);
        let mut judge = |own, waited| one.judge(&claims, hash(own), false, waited);
        assert_eq!(judge(7, second), Verdict::Open(MAJORITY_WAIT));
        assert_eq!(judge(7, MAJORITY_WAIT), Verdict::Decided);
        assert_eq!(judge(7, MAJORITY_WAIT), Verdict::Differs);
        assert_eq!(judge(8, MAJORITY_WAIT), Verdict::Agreed);
    }

    #[test]
    fn sources_that_left_do_not_contradict() {
        let verdict = consensus(None).judge(&[], hash(7), false, Duration::ZERO);
        assert_eq!(verdict, Verdict::Agreed);
    }

    #[test]
    fn a_content_that_the_catalog_states_in_the_old_form_counts_once_a_source_tells_so() {
        let mut consensus = consensus(Some(9));
        assert!(consensus.contradiction(&claim(1, Some(7))).is_some());
        consensus.recognise(&head(7, &[8, 9]));
        consensus.recognise(&head(6, &[8]));
        assert!(consensus.contradiction(&claim(1, Some(7))).is_none());
        assert!(consensus.contradiction(&claim(1, Some(6))).is_some());
        let claims = [claim(1, Some(7))];
        assert_eq!(consensus.decide_layout(&claims, 3), Some(hash(1)));
        assert!(consensus.decide_content(&claims));
        let mut judge = |is_stated| consensus.judge(&claims, hash(7), is_stated, Duration::ZERO);
        assert_eq!(judge(true), Verdict::Agreed);
        // This source sent a false head.
        assert_eq!(judge(false), Verdict::Differs);
    }

    #[test]
    fn the_content_of_the_catalog_needs_no_source_to_confirm_it() {
        let mut consensus = consensus(Some(9));
        let claims = [claim(1, None)];
        let mut judge =
            |claims: &[Claim], own, waited| consensus.judge(claims, hash(own), own == 9, waited);
        assert_eq!(judge(&claims, 9, Duration::ZERO), Verdict::Agreed);
        assert_eq!(judge(&claims, 7, Duration::ZERO), Verdict::Open(CONTENT_WAIT));
        assert_eq!(judge(&claims, 7, CONTENT_WAIT), Verdict::Differs);
        assert_eq!(judge(&[], 7, Duration::ZERO), Verdict::Differs);
    }
}
