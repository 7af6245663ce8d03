//! Which source a part is fetched from.
//!
//! Pure. One source gives it; another one with the same claim takes the place of one that fails, and
//! what has come stays. Pages of two sources fit each other if both are honest. If the whole is not
//! what it should be, nobody can tell who was not, and so it begins anew at one source alone: whoever
//! gives something wrong alone is to blame. Whoever fails alone is given up, so this ends. How often a source failed is kept as long as
//! the fetch lasts, also where the source leaves and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanspread_proto::message::RefusalCode;
use lanspread_proto::{PeerId, SourceError};

use crate::backoff::Backoff;
use crate::parts::{PartError, PartJob, Whole};

/// How often a source may fail before it is given up.
const FAILURES_MAX: u32 = 3;
/// The pause before a source is asked again that has failed once. It doubles with each failure.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause, which the last of [`FAILURES_MAX`] failures leads to.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A part that is being fetched.
#[derive(Debug)]
pub struct PartFetch {
    job: PartJob,
    from: Option<PeerId>,
    is_alone: bool,
    failures: BTreeMap<PeerId, Backoff>,
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
    /// Begins to fetch a part, of which nothing has been asked for yet.
    pub fn new(job: PartJob) -> Self {
        Self { job, from: None, is_alone: false, failures: BTreeMap::new() }
    }

    /// Whom to ask now, of those that claim the part; nobody while somebody is being asked.
    ///
    /// `anew` makes an empty job, for a game that is as large as that source says.
    pub fn choose(
        &mut self,
        claimants: impl Iterator<Item = PeerId>,
        anew: impl Fn(PeerId) -> Option<PartJob>,
    ) -> Option<AskPart> {
        if self.from.is_some() {
            return None;
        }
        let failures = |peer: &PeerId| self.failures.get(peer).map_or(0, Backoff::failures);
        let peer = claimants.min_by_key(|peer| (failures(peer), *peer))?;
        if self.is_alone || self.job.givers().is_empty() {
            self.job = anew(peer)?;
        }
        self.from = Some(peer);
        let pause = self.failures.get(&peer).map_or(Duration::ZERO, Backoff::pause);
        Some(AskPart { peer, job: self.job.clone(), pause })
    }

    /// Whether somebody is being asked.
    pub fn is_under_way(&self) -> bool {
        self.from.is_some()
    }

    /// A source is gone or no longer used; the request to it has ended.
    pub fn left(&mut self, peer: PeerId) {
        if self.from == Some(peer) {
            self.from = None;
        }
    }

    /// The request to a source has ended.
    pub fn ended(&mut self, peer: PeerId, result: Result<(), PartError>) -> PartEnd {
        self.left(peer);
        let reason = match result.map(|()| self.job.finish()) {
            Ok(Ok(whole)) => return PartEnd::Whole(whole),
            Ok(Err(reason)) | Err(PartError::Broken(reason)) => reason,
            Err(error) => return self.failed(peer, &error),
        };
        let givers: BTreeSet<_> = self.job.givers().into_iter().chain([peer]).collect();
        let was_alone = givers.len() == 1;
        // What has come is not to be relied on: `choose` begins anew.
        self.is_alone = true;
        if was_alone { PartEnd::Bad(reason) } else { PartEnd::Again }
    }

    fn failed(&mut self, peer: PeerId, error: &PartError) -> PartEnd {
        let backoff = self.failures.entry(peer);
        let backoff = backoff.or_insert(Backoff::doubling(PAUSE_MIN, PAUSE_MAX));
        backoff.fail();
        let is_failing = backoff.failures() >= FAILURES_MAX;
        let is_spent = self.is_alone || is_failing;
        match error {
            PartError::Source(SourceError::Gone(_)) if is_spent => PartEnd::Gone,
            PartError::Source(SourceError::Protocol(_)) => PartEnd::Bad(error.to_string()),
            PartError::Source(SourceError::Refused(refusal)) => match refusal.code {
                RefusalCode::NoSuchPage => PartEnd::Bad(error.to_string()),
                RefusalCode::Changed if !is_failing => PartEnd::Changed,
                _ if is_spent => PartEnd::Failing(error.to_string()),
                _ => PartEnd::Again,
            },
            PartError::Source(SourceError::Gone(_)) | PartError::Broken(_) => PartEnd::Again,
        }
    }
}

#[cfg(test)]
mod tests;
