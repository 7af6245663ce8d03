//! Commands that wait for something to happen, and the past events they may look at.
//!
//! Pure: told of events and of the time, it says which waits end.

mod history;

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_peer::EventClass;
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::history::History;
use crate::errors::{ErrorBody, ErrorCode};
use crate::protocol::data::RawData;
use crate::protocol::results::CommandResult;
use crate::ticket::Ticket;

/// The name of the event that counts those that are missing.
const EVENTS_DROPPED: &str = "events-dropped";

/// Which events `wait-for` takes.
#[derive(Debug, Clone)]
pub(crate) struct EventPattern {
    /// The name; `None` for any.
    pub(crate) event: Option<String>,
    /// Fields of the data that must be there with an equal value.
    pub(crate) fields: Map<String, Value>,
}

impl EventPattern {
    fn matches(&self, event: &PastEvent) -> bool {
        self.matches_with(event, || event.fields())
    }

    /// Compares with `data`, which is asked for only where the name fits.
    fn matches_with<D: Borrow<Map<String, Value>>>(
        &self,
        event: &PastEvent,
        data: impl FnOnce() -> D,
    ) -> bool {
        if self.event.as_ref().is_some_and(|name| *name != event.event) {
            return false;
        }
        if self.fields.is_empty() {
            return true;
        }
        let data = data();
        self.fields.iter().all(|(name, value)| data.borrow().get(name) == Some(value))
    }

    fn words(&self) -> String {
        let name = self.event.as_ref().map_or("event".to_owned(), |name| format!("event {name}"));
        if self.fields.is_empty() {
            return name;
        }
        let fields = Value::Object(self.fields.clone());
        format!("{name} with {fields}")
    }
}

/// An event that was printed.
#[derive(Debug)]
pub(crate) struct PastEvent {
    seq: u64,
    t_us: u64,
    class: EventClass,
    event: String,
    data: RawData,
}

impl PastEvent {
    pub(crate) fn new(
        seq: u64,
        t_us: u64,
        class: EventClass,
        event: String,
        data: RawData,
    ) -> Self {
        Self { seq, t_us, class, event, data }
    }

    fn bytes(&self) -> usize {
        self.data.text().len()
    }

    fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(self.data.text()).unwrap_or_default()
    }

    fn awaited(&self) -> CommandResult {
        CommandResult::WaitFor {
            event: self.event.clone(),
            seq: self.seq,
            t_us: self.t_us,
            data: self.data.clone(),
        }
    }
}

/// How a wait ended.
pub(crate) type Outcome = Result<CommandResult, ErrorBody>;

#[derive(Debug)]
enum Condition {
    PeerCount(usize),
    Event { pattern: EventPattern, since_seq: Option<u64> },
}

#[derive(Debug)]
struct Wait {
    condition: Condition,
    timeout: Duration,
    /// `None` when it lies beyond what the clock can tell.
    deadline: Option<Instant>,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub(crate) struct PendingWaits {
    waiting: BTreeMap<Ticket, Wait>,
    peer_count: usize,
    history: History,
    /// The newest record that says that events are missing; 0 while there is none.
    dropped_seq: u64,
}

impl PendingWaits {
    /// Waits until `count` peers are known. An outcome comes at once if they are.
    pub(crate) fn for_peers(
        &mut self,
        ticket: Ticket,
        count: usize,
        timeout: Duration,
        now: Instant,
    ) -> Option<Outcome> {
        if self.peer_count >= count {
            return Some(Ok(CommandResult::WaitPeers { peer_count: self.peer_count }));
        }
        self.add(ticket, Condition::PeerCount(count), timeout, now);
        None
    }

    /// Waits for an event like `pattern`. An outcome comes at once if a past one after `since_seq`
    /// is like that.
    pub(crate) fn for_event(
        &mut self,
        ticket: Ticket,
        pattern: EventPattern,
        since_seq: Option<u64>,
        timeout: Duration,
        now: Instant,
    ) -> Option<Outcome> {
        if let Some(event) = since_seq.and_then(|since| self.history.find(&pattern, since)) {
            return Some(Ok(event.awaited()));
        }
        self.add(ticket, Condition::Event { pattern, since_seq }, timeout, now);
        None
    }

    fn add(&mut self, ticket: Ticket, condition: Condition, timeout: Duration, now: Instant) {
        let deadline = now.checked_add(timeout);
        self.waiting.insert(ticket, Wait { condition, timeout, deadline });
    }

    /// Takes note of how many peers are known, and returns the waits that this ends.
    pub(crate) fn on_peer_count(&mut self, peer_count: usize) -> Vec<(Ticket, Outcome)> {
        self.peer_count = peer_count;
        self.end(|_, wait| match wait.condition {
            Condition::PeerCount(count) if count <= peer_count => {
                Some(Ok(CommandResult::WaitPeers { peer_count }))
            }
            _ => None,
        })
    }

    /// Takes note of a printed event, and returns the waits that it ends.
    pub(crate) fn on_event(&mut self, event: PastEvent) -> Vec<(Ticket, Outcome)> {
        // Read once, however many wait.
        let fields = OnceCell::new();
        let fields = || fields.get_or_init(|| event.fields());
        let ended = self.end(|_, wait| match &wait.condition {
            Condition::Event { pattern, .. } if pattern.matches_with(&event, fields) => {
                Some(Ok(event.awaited()))
            }
            _ => None,
        });
        if event.event == EVENTS_DROPPED {
            self.dropped_seq = event.seq;
        }
        self.history.push(event);
        ended
    }

    /// Returns the waits whose time is over at `now`.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<(Ticket, Outcome)> {
        let is_over = |wait: &Wait| wait.deadline.is_some_and(|deadline| deadline <= now);
        self.end(|waits, wait| is_over(wait).then(|| Err(waits.timed_out(wait))))
    }

    /// When the next wait is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|wait| wait.deadline).min()
    }

    fn end(&mut self, outcome: impl Fn(&Self, &Wait) -> Option<Outcome>) -> Vec<(Ticket, Outcome)> {
        let waiting = self.waiting.iter();
        let ended: Vec<_> = waiting
            .filter_map(|(ticket, wait)| outcome(self, wait).map(|outcome| (*ticket, outcome)))
            .collect();
        for (ticket, _) in &ended {
            self.waiting.remove(ticket);
        }
        ended
    }

    fn timed_out(&self, wait: &Wait) -> ErrorBody {
        let ms = wait.timeout.as_millis();
        match &wait.condition {
            Condition::PeerCount(count) => ErrorBody::new(
                ErrorCode::Timeout,
                format!("{} of {count} peers known after {ms} ms", self.peer_count),
            ),
            Condition::Event { pattern, since_seq } => {
                let message = format!("no {} within {ms} ms", pattern.words());
                let error = ErrorBody::new(ErrorCode::Timeout, message);
                let forgotten_seq = self.history.forgotten(pattern);
                match since_seq {
                    None => error.with_hint("`since_seq` also looks at past events"),
                    Some(since) if *since < forgotten_seq => error.with_hint(&format!(
                        "events up to seq {forgotten_seq} are no longer kept and were not looked at"
                    )),
                    Some(since) if *since < self.dropped_seq => error.with_hint(&format!(
                        "events of peers and sources are missing at seq {}",
                        self.dropped_seq
                    )),
                    Some(_) => error,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn event(seq: u64, name: &'static str, data: Value) -> PastEvent {
        let data = serde_json::value::to_raw_value(&data).unwrap();
        PastEvent::new(seq, seq, EventClass::Kept, name.to_owned(), data.into())
    }

    fn pattern(event: Option<&'static str>, fields: Value) -> EventPattern {
        EventPattern {
            event: event.map(str::to_owned),
            fields: fields.as_object().unwrap().clone(),
        }
    }

    fn seq_of(outcome: Outcome) -> u64 {
        match outcome.unwrap() {
            CommandResult::WaitFor { seq, .. } => seq,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_ends_the_waits_it_matches_and_no_other() {
        let (mut waits, now) = (PendingWaits::default(), Instant::now());
        let wanted = [
            pattern(Some("install-finished"), json!({"game_id": "a"})),
            pattern(None, json!({"game_id": "a"})),
            pattern(None, json!({})),
            pattern(Some("install-finished"), json!({"game_id": "b"})),
            pattern(Some("install-begin"), json!({})),
        ];
        for (n, pattern) in wanted.into_iter().enumerate() {
            assert!(waits.for_event(Ticket(n as u64), pattern, None, SECOND, now).is_none());
        }
        let ended = waits.on_event(event(5, "install-finished", json!({"game_id": "a", "x": 1})));
        assert_eq!(ended.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(ended.into_iter().all(|(_, outcome)| seq_of(outcome) == 5));
        let late = waits.on_time(now + SECOND);
        assert_eq!(late.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>(), [3, 4]);
        assert!(waits.next_deadline().is_none());
    }

    #[test]
    fn since_seq_finds_the_first_later_event() {
        let (mut waits, now) = (PendingWaits::default(), Instant::now());
        for seq in 1..=3 {
            waits.on_event(event(seq, "stopped", json!({})));
        }
        let mut look = |since| {
            waits.for_event(Ticket(since), pattern(None, json!({})), Some(since), SECOND, now)
        };
        assert_eq!(seq_of(look(0).unwrap()), 1);
        assert_eq!(seq_of(look(2).unwrap()), 3);
        assert!(look(3).is_none());
    }

    #[test]
    fn a_timeout_says_when_the_history_did_not_reach_back() {
        let (mut waits, now) = (PendingWaits::default(), Instant::now());
        for seq in 1..=history::HISTORY_MAX_EVENTS as u64 + 2 {
            waits.on_event(event(seq, "stopped", json!({})));
        }
        let absent = || pattern(Some("stopped"), json!({"game_id": "doom"}));
        waits.for_event(Ticket(1), absent(), Some(1), SECOND, now);
        waits.for_event(Ticket(2), absent(), Some(2), SECOND, now);
        let hints: Vec<_> = waits
            .on_time(now + SECOND)
            .into_iter()
            .map(|(_, outcome)| format!("{:?}", outcome.unwrap_err()).contains("up to seq 2"))
            .collect();
        assert_eq!(hints, [true, false]);
    }

    #[test]
    fn a_timeout_says_when_events_were_missing() {
        let (mut waits, now) = (PendingWaits::default(), Instant::now());
        waits.on_event(event(5, EVENTS_DROPPED, json!({"count": 3})));
        for (ticket, since) in [(1, 4), (2, 5)] {
            waits.for_event(
                Ticket(ticket),
                pattern(Some("peer-lost"), json!({})),
                Some(since),
                SECOND,
                now,
            );
        }
        let hints: Vec<_> = waits
            .on_time(now + SECOND)
            .into_iter()
            .map(|(_, outcome)| format!("{:?}", outcome.unwrap_err()).contains("missing at seq 5"))
            .collect();
        assert_eq!(hints, [true, false]);
    }

    #[test]
    fn enough_peers_end_the_wait_at_once_or_later() {
        let (mut waits, now) = (PendingWaits::default(), Instant::now());
        assert!(waits.for_peers(Ticket(1), 0, SECOND, now).is_some());
        assert!(waits.for_peers(Ticket(2), 2, SECOND, now).is_none());
        assert!(waits.on_peer_count(1).is_empty());
        assert_eq!(waits.on_peer_count(2).len(), 1);
        assert!(waits.for_peers(Ticket(3), 2, SECOND, now).is_some());
    }
}
