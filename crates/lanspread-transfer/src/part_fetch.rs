//! Which sources a part is fetched from.
//!
//! Pure. One source is asked for all pages of it. Where no page comes for a while, others with the same claim are asked
//! as well, more and more of them, and the first one that has given all of it ends the requests to the others. Each
//! gives its pages into a book of its own, so whoever gives something wrong is to blame for it. Whoever fails too often
//! is given up, so this ends. How often a source failed is kept as long as the fetch lasts, also where
//! the source leaves and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_proto::message::RefusalCode;
use lanspread_proto::{PeerId, SourceError};

use crate::backoff::Backoff;
use crate::parts::{PartError, PartJob, Whole};
use crate::scheduler::SourceGroup;

/// How often a source may fail before it is given up.
const FAILURES_MAX: u32 = 3;
/// The pause before a source is asked again that has failed once. It doubles with each failure.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause, which the last of [`FAILURES_MAX`] failures leads to.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a source may take for the next page before others are asked as well: on a LAN it takes milliseconds, and
/// longer where many ask or where a large layout has to be written down first.
const PATIENCE: Duration = Duration::from_millis(50);
/// What is added to that for each page of the part.
const PATIENCE_PER_PAGE: Duration = Duration::from_millis(10);
/// How many more are asked at a time for each one that is late: 350 silent sources are behind after five rounds.
const GROWTH: usize = 3;
/// How many pages are kept in addition to twice those of the part: with more, the source of which none has come
/// for longest is asked no more. 4 MiB.
const PAGES_BESIDE: u32 = 16;

/// A part that is being fetched.
#[derive(Debug)]
pub struct PartFetch {
    /// How many pages the part has, as one source says.
    pages: u32,
    asked: BTreeMap<PeerId, Asked>,
    failures: BTreeMap<PeerId, Backoff>,
    /// The sources whose requests are to end.
    dismissed: Vec<PeerId>,
}

/// A source that is being asked.
#[derive(Debug)]
struct Asked {
    job: PartJob,
    pages: u32,
    /// When the last page came, or else the source was asked.
    page_at: Duration,
}

/// What follows when a source has given a part, or has not.
#[derive(Debug)]
pub enum PartEnd {
    /// It is whole.
    Whole(Whole),
    /// It is to go on, with another source or this one.
    Again,
    /// The source has another game by now, and is to be asked what it has.
    Changed,
    /// The source gave what is wrong.
    Bad(String),
    /// The source fails too often.
    Failing(String),
    /// The source is not to be reached.
    Gone,
}

/// A source to ask, and what for.
#[derive(Debug, Clone)]
pub struct AskPart {
    /// Which source is asked.
    pub peer: PeerId,
    /// What it is asked for.
    pub job: PartJob,
    /// How long to wait before.
    pub pause: Duration,
}

impl PartFetch {
    /// Begins to fetch a part, of which nothing has been asked for yet and which has so many pages.
    pub fn new(pages: u32) -> Self {
        Self { pages, asked: BTreeMap::new(), failures: BTreeMap::new(), dismissed: Vec::new() }
    }

    /// Whom to ask now, of those that claim the part; to be called until it returns `None`. Sources that share an address
    /// take turns; `anew` makes an empty job, for a game that is as large as that source says.
    pub fn choose(
        &mut self,
        claimants: impl Iterator<Item = (PeerId, Option<SourceGroup>)>,
        anew: impl Fn(PeerId) -> Option<PartJob>,
        now: Duration,
    ) -> Option<AskPart> {
        self.look(now);
        let late = self.asked.values().filter(|asked| self.late_at(asked) <= now).count();
        let waited_for = self.asked.len() - late;
        if waited_for >= late.saturating_mul(GROWTH).max(1) {
            return None;
        }
        let claimants: BTreeMap<_, _> = claimants.collect();
        let mut in_group: BTreeMap<Option<SourceGroup>, usize> = BTreeMap::new();
        for group in self.asked.keys().filter_map(|peer| claimants.get(peer)) {
            *in_group.entry(*group).or_default() += 1;
        }
        let others = claimants.iter().filter(|(peer, _)| !self.asked.contains_key(peer));
        let (peer, _) = others.min_by_key(|(peer, group)| {
            (self.failures_of(**peer), in_group.get(group).copied().unwrap_or_default(), **peer)
        })?;
        if waited_for > 0 && self.failures_of(*peer) > 0 {
            // Those that failed come once at a time.
            return None;
        }
        let (peer, job) = (*peer, anew(*peer)?);
        let pause = self.failures.get(&peer).map_or(Duration::ZERO, Backoff::pause);
        self.asked.insert(peer, Asked { job: job.clone(), pages: 0, page_at: now + pause });
        Some(AskPart { peer, job, pause })
    }

    /// Whether somebody is being asked.
    pub fn is_under_way(&self) -> bool {
        !self.asked.is_empty()
    }

    /// When to call [`Self::choose`] again, should nothing happen before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.asked.values().map(|asked| self.late_at(asked)).filter(|at| *at > now).min()
    }

    /// The sources whose requests are to end since the last call.
    pub fn take_dismissed(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.dismissed)
    }

    /// A source is gone or no longer used; the request to it has ended.
    pub fn left(&mut self, peer: PeerId) {
        self.asked.remove(&peer);
    }

    /// The request to a source has ended.
    pub fn ended(&mut self, peer: PeerId, result: Result<(), PartError>) -> PartEnd {
        let Some(asked) = self.asked.remove(&peer) else { return PartEnd::Again };
        if result.is_ok() && !asked.job.missing().is_empty() {
            // The end of an earlier request.
            return PartEnd::Again;
        }
        match result.map(|()| asked.job.finish()) {
            Ok(Ok(whole)) => {
                self.dismissed.extend(std::mem::take(&mut self.asked).into_keys());
                PartEnd::Whole(whole)
            }
            Ok(Err(reason)) | Err(PartError::Broken(reason)) => PartEnd::Bad(reason),
            Err(PartError::Source(error)) => self.failed(peer, &error),
        }
    }

    /// Looks which pages have come, and keeps them from becoming too many.
    fn look(&mut self, now: Duration) {
        for asked in self.asked.values_mut() {
            let pages = asked.job.missing().start;
            if pages > asked.pages {
                (asked.pages, asked.page_at) = (pages, now);
            }
        }
        let most = self.pages.saturating_mul(2).saturating_add(PAGES_BESIDE);
        while self.asked.values().map(|asked| asked.pages).sum::<u32>() > most {
            let with_pages = self.asked.iter().filter(|(_, asked)| asked.pages > 0);
            let longest = with_pages.min_by_key(|(_, asked)| (asked.page_at, asked.pages));
            let Some(peer) = longest.map(|(peer, _)| *peer) else { return };
            self.asked.remove(&peer);
            self.note_failure(peer);
            self.dismissed.push(peer);
        }
    }

    fn late_at(&self, asked: &Asked) -> Duration {
        asked.page_at + PATIENCE + PATIENCE_PER_PAGE * self.pages
    }

    fn failures_of(&self, peer: PeerId) -> u32 {
        self.failures.get(&peer).map_or(0, Backoff::failures)
    }

    fn note_failure(&mut self, peer: PeerId) -> u32 {
        let backoff = self.failures.entry(peer);
        let backoff = backoff.or_insert(Backoff::doubling(PAUSE_MIN, PAUSE_MAX));
        backoff.fail();
        backoff.failures()
    }

    fn failed(&mut self, peer: PeerId, error: &SourceError) -> PartEnd {
        let is_spent = self.note_failure(peer) >= FAILURES_MAX;
        match error {
            SourceError::Gone(_) if is_spent => PartEnd::Gone,
            SourceError::Protocol(_) => PartEnd::Bad(error.to_string()),
            SourceError::Refused(refusal) => match refusal.code {
                RefusalCode::NoSuchPage => PartEnd::Bad(error.to_string()),
                RefusalCode::Changed if !is_spent => PartEnd::Changed,
                _ if is_spent => PartEnd::Failing(error.to_string()),
                _ => PartEnd::Again,
            },
            SourceError::Gone(_) => PartEnd::Again,
        }
    }
}

#[cfg(test)]
mod tests;
