//! Events that wait for whoever takes them. Pure, and bounded whatever happens.

use std::collections::BTreeMap;

use super::class::{Rule, Subject, absorb, held_bytes, rule};
use crate::event::PeerEvent;

/// Up to so many waiting events, each is there: a consumer that keeps up has a few, and a burst of a party that
/// starts is below it.
pub(super) const WHOLE_MAX: usize = 256;
/// The same in bytes: one list of games can be as large as the catalog.
pub(super) const WHOLE_MAX_BYTES: usize = 1024 * 1024;
/// Most waiting events that may be missing. A party of 256 peers that appear, change and leave has fewer.
pub(super) const DROPPABLE_MAX: usize = 1024;
/// The same in bytes: a peer puts words into some of them.
pub(super) const DROPPABLE_MAX_BYTES: usize = 1024 * 1024;
/// Unread beginnings and ends of operations from which on no command is taken: hundreds of operations. A command
/// that was taken adds seven at most: a repair verifies, downloads and installs.
pub(super) const KEPT_MAX: usize = 1024;

/// See the module. An event has its position among all that were sent, and a newer one that takes the place of an
/// older one has its own.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: BTreeMap<u64, Waiting>,
    /// The newest waiting event about each subject.
    newest: BTreeMap<Subject, u64>,
    /// Where events are missing, while that is not taken.
    gap: Option<u64>,
    emitted: u64,
    bytes: usize,
    kept: usize,
    droppable: usize,
    droppable_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    event: PeerEvent,
    rule: Rule,
    bytes: usize,
}

impl EventQueue {
    /// Takes in an event.
    pub(super) fn push(&mut self, mut event: PeerEvent) {
        self.emitted += 1;
        let rule = rule(&event);
        let may_drop = matches!(rule, Rule::Drop(_));
        // From the first one that is missing until that is told, so that it is told once.
        if may_drop && self.gap.is_some() {
            return self.drop_one();
        }
        if let Rule::Latest(subject) | Rule::Drop(Some(subject)) = &rule
            && self.is_behind()
            && let Some(older) = self.newest.get(subject).copied().and_then(|at| self.remove(at))
        {
            absorb(&mut event, older);
        }
        let bytes = held_bytes(&event);
        if may_drop
            && (self.droppable >= DROPPABLE_MAX
                || self.droppable_bytes + bytes > DROPPABLE_MAX_BYTES)
        {
            return self.drop_one();
        }
        self.insert(Waiting { event, rule, bytes });
    }

    /// Returns the next event and its position.
    pub(super) fn pop(&mut self) -> Option<(u64, PeerEvent)> {
        let at = self.next_position()?;
        Some((at, self.remove(at)?))
    }

    /// Returns the position of the next event.
    pub(super) fn next_position(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// Returns how many events were taken in.
    pub(super) fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Whether so few beginnings and ends wait that more operations may begin.
    pub(super) fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        *self = Self { emitted: self.emitted, ..Self::default() };
    }

    fn is_behind(&self) -> bool {
        self.waiting.len() >= WHOLE_MAX || self.bytes >= WHOLE_MAX_BYTES
    }

    fn drop_one(&mut self) {
        let gap = self.gap.and_then(|at| self.waiting.get_mut(&at));
        if let Some(Waiting { event: PeerEvent::EventsDropped { count }, .. }) = gap {
            *count += 1;
            return;
        }
        self.gap = Some(self.emitted);
        let event = PeerEvent::EventsDropped { count: 1 };
        let (rule, bytes) = (rule(&event), held_bytes(&event));
        self.insert(Waiting { event, rule, bytes });
    }

    fn insert(&mut self, waiting: Waiting) {
        let at = self.emitted;
        self.bytes += waiting.bytes;
        match &waiting.rule {
            Rule::Keep => self.kept += 1,
            Rule::Latest(_) => {}
            Rule::Drop(_) => {
                self.droppable += 1;
                self.droppable_bytes += waiting.bytes;
            }
        }
        if let Rule::Latest(subject) | Rule::Drop(Some(subject)) = &waiting.rule {
            self.newest.insert(subject.clone(), at);
        }
        self.waiting.insert(at, waiting);
    }

    fn remove(&mut self, at: u64) -> Option<PeerEvent> {
        let Waiting { event, rule, bytes } = self.waiting.remove(&at)?;
        self.bytes -= bytes;
        match &rule {
            Rule::Keep => self.kept -= 1,
            Rule::Latest(_) => {}
            Rule::Drop(_) => {
                self.droppable -= 1;
                self.droppable_bytes -= bytes;
            }
        }
        if let Rule::Latest(subject) | Rule::Drop(Some(subject)) = &rule
            && self.newest.get(subject) == Some(&at)
        {
            self.newest.remove(subject);
        }
        if self.gap == Some(at) {
            self.gap = None;
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests;
