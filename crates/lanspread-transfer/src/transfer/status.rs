//! Where a transfer stands.

use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::ContentHash;
use lanspread_proto::manifest::ManifestError;

use super::{Blame, Effect, Transfer, TransferStatus};
use crate::consensus::Verdict;
use crate::scheduler::Outlook;

/// How long peers that have a part are waited for when none of them has, or is about to have,
/// what is missing: what they have written meanwhile is told within a fraction of that.
const PARTIAL_PATIENCE: Duration = Duration::from_secs(3);
/// How long they are waited for when they are only about to have it: some times what a source with a
/// queue takes for a piece.
const IN_FLIGHT_PATIENCE: Duration = Duration::from_secs(120);
/// How long a source is waited for whose `version.ini` may make the content that of the catalog: some
/// times what a source takes to answer.
const SENTINEL_PATIENCE: Duration = Duration::from_secs(60);

impl Transfer {
    /// Where the download stands.
    ///
    /// # Errors
    /// When what is written cannot be put into a manifest, which the layout excludes.
    pub fn status(&mut self, now: Duration) -> Result<TransferStatus, ManifestError> {
        for peer in self.scheduler.silent(now) {
            self.give_up(peer, Blame::Gone, "it owes an answer for too long".into());
        }
        while let Some(ask) = self.scheduler.shed(now) {
            self.effects.push(Effect::AbandonPiece(ask));
        }
        self.fetch_hashes(now);
        self.ask_attributes(now);
        self.judge_at = None;
        if self.is_disputed {
            return Ok(self.disputed());
        }
        while self.scheduler.is_complete() {
            let (since, manifest) = match &self.complete {
                Some((since, manifest)) => (*since, Arc::clone(manifest)),
                None => (now, Arc::new(self.ledger.manifest(&self.layout)?)),
            };
            self.complete = Some((since, Arc::clone(&manifest)));
            let own = manifest.content_root().unwrap_or_else(ContentHash::of_empty);
            let stated = self.consensus.stated_content();
            let is_stated = stated.is_some_and(|stated| self.attributes.hold(&manifest, stated));
            let waited = now.saturating_sub(since);
            let judged_since = self.first_content_at.map_or(since, |at| since.max(at));
            let judged = now.saturating_sub(judged_since);
            match self.consensus.judge(&self.claims(), own, is_stated, judged) {
                Verdict::Agreed => match self.attributes_awaited_until(since) {
                    Some(until) if until > now => {
                        self.judge_at = Some(until);
                        return Ok(TransferStatus::Ongoing);
                    }
                    _ => return Ok(TransferStatus::Complete(manifest)),
                },
                Verdict::Decided => {
                    self.fetch_hashes(now);
                    self.apply_content();
                }
                Verdict::Open(wait) => {
                    self.judge_at = Some(judged_since + wait);
                    return Ok(TransferStatus::Ongoing);
                }
                // What is wrong in it shows when they are there.
                Verdict::Differs if self.awaits_hashes() => return Ok(TransferStatus::Ongoing),
                // The catalog may state a root that holds with the `version.ini` of a source alone.
                Verdict::Differs
                    if stated.is_some()
                        && self.attributes.is_awaited()
                        && waited < SENTINEL_PATIENCE =>
                {
                    self.judge_at = Some(since + SENTINEL_PATIENCE);
                    return Ok(TransferStatus::Ongoing);
                }
                Verdict::Differs => {
                    return Ok(TransferStatus::Mismatch(self.consensus.authority()));
                }
                Verdict::Disputed => return Ok(self.disputed()),
            }
        }
        self.complete = None;
        Ok(match self.is_hopeless(now) {
            false => TransferStatus::Ongoing,
            true if self.some_left => TransferStatus::AllGone,
            true => TransferStatus::AllBad(self.last_reason.clone()),
        })
    }

    fn disputed(&self) -> TransferStatus {
        TransferStatus::Disputed(self.consensus.candidates(&self.claims()))
    }

    /// Whether nobody is left who can give what is missing. Peers that fetch the same content and
    /// have a part of it count as long as they have something that is missing, or are about to: two
    /// of them that miss the same do not wait for each other, and none is believed for ever.
    fn is_hopeless(&mut self, now: Duration) -> bool {
        let has_no_full_sources =
            !self.sources.has_full_or_awaited() && !self.scheduler.is_writing();
        let has_partial = self.sources.has_partial();
        let outlook = match has_no_full_sources {
            false => Outlook::Giving,
            true if !has_partial => Outlook::Nothing,
            true => self.scheduler.outlook(),
        };
        let ends_at = match outlook {
            Outlook::Giving => {
                (self.stuck_since, self.in_flight_since) = (None, None);
                return false;
            }
            Outlook::InFlight => {
                self.stuck_since = None;
                *self.in_flight_since.get_or_insert(now) + IN_FLIGHT_PATIENCE
            }
            Outlook::Nothing => {
                let patience = if has_partial { PARTIAL_PATIENCE } else { Duration::ZERO };
                *self.stuck_since.get_or_insert(now) + patience
            }
        };
        self.judge_at = Some(ends_at).filter(|at| *at > now);
        self.judge_at.is_none()
    }
}
