//! The past events that `since_seq` can reach.
//!
//! Each class of events has bounds of its own, so that peers that come and go never push out the end of a download.

use std::collections::{BTreeMap, VecDeque};

use lanspread_peer::EventClass;

use super::{EventPattern, PastEvent};

/// Past events of one class: several minutes of a busy peer.
pub(super) const HISTORY_MAX_EVENTS: usize = 4096;
/// Their data in bytes: one event of a library of thousands of games is large. Together with the other classes that is
/// 12 MiB.
pub(super) const HISTORY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    rings: BTreeMap<EventClass, Ring>,
    /// The newest event of each name that no longer is kept. There are as many names as events in the protocol.
    forgotten: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<PastEvent>,
    bytes: usize,
}

impl History {
    /// Takes in an event that was printed.
    pub(super) fn push(&mut self, event: PastEvent) {
        let ring = self.rings.entry(event.class).or_default();
        ring.bytes += event.bytes();
        ring.events.push_back(event);
        while ring.events.len() > HISTORY_MAX_EVENTS || ring.bytes > HISTORY_MAX_BYTES {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= oldest.bytes();
            match self.forgotten.get_mut(&oldest.event) {
                Some(seq) => *seq = oldest.seq,
                None => drop(self.forgotten.insert(oldest.event.clone(), oldest.seq)),
            }
        }
    }

    /// Returns the first event like `pattern` with a `seq` above `since`.
    pub(super) fn find(&self, pattern: &EventPattern, since: u64) -> Option<&PastEvent> {
        let first = |ring: &'_ Ring| {
            let begin = ring.events.partition_point(|event| event.seq <= since);
            ring.events.range(begin..).position(|event| pattern.matches(event)).map(|at| begin + at)
        };
        let found = self.rings.values().filter_map(|ring| ring.events.get(first(ring)?));
        found.min_by_key(|event| event.seq)
    }

    /// Returns the `seq` of the newest event that `pattern` may mean and that no longer is kept; 0 where all are.
    pub(super) fn forgotten(&self, pattern: &EventPattern) -> u64 {
        let seq = match &pattern.event {
            Some(name) => self.forgotten.get(name),
            None => self.forgotten.values().max(),
        };
        seq.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(seq: u64, class: EventClass, name: &str, text: &str) -> PastEvent {
        let data = serde_json::value::to_raw_value(&json!({"text": text})).unwrap();
        PastEvent::new(seq, seq, class, name.to_owned(), data.into())
    }

    fn named(name: &str) -> EventPattern {
        EventPattern { event: Some(name.to_owned()), fields: serde_json::Map::new() }
    }

    #[test]
    fn a_flood_of_joins_and_of_progress_pushes_out_no_end() {
        let mut history = History::default();
        history.push(event(1, EventClass::Kept, "download-finished", ""));
        for seq in 2..100_000 {
            let (class, name) = match seq % 2 {
                0 => (EventClass::Droppable, "peer-discovered"),
                _ => (EventClass::Latest, "peer-count-updated"),
            };
            history.push(event(seq, class, name, ""));
        }
        assert_eq!(history.find(&named("download-finished"), 0).unwrap().seq, 1);
        assert_eq!(history.forgotten(&named("download-finished")), 0);
        let oldest = history.find(&named("peer-discovered"), 0).unwrap().seq;
        assert_eq!(history.forgotten(&named("peer-discovered")), oldest - 2);
        let any = EventPattern { event: None, fields: serde_json::Map::new() };
        assert_eq!(history.find(&any, 1).unwrap().seq, oldest);
        assert_eq!(history.find(&any, 99_998).unwrap().seq, 99_999);
        assert!(history.find(&any, 99_999).is_none());
    }

    #[test]
    fn the_history_is_bounded_in_bytes() {
        let mut history = History::default();
        let large = "x".repeat(HISTORY_MAX_BYTES / 4);
        for seq in 1..=8 {
            history.push(event(seq, EventClass::Latest, "games-list-updated", &large));
        }
        let ring = history.rings.get(&EventClass::Latest).unwrap();
        assert!(ring.bytes <= HISTORY_MAX_BYTES);
        assert_eq!(ring.events.len(), 3);
        assert_eq!(history.forgotten(&named("games-list-updated")), 5);
    }
}
