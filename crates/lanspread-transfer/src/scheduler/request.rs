//! One request for a piece, and when its answer is to be expected.

use std::time::Duration;

/// How long bytes have to come in before they tell a speed. At most twice as long is looked back.
const SPEED_SPAN: Duration = Duration::from_millis(50);
/// How long an answer may stand still whose bytes have begun to come. A transport mends a loss sooner.
const STALL_PATIENCE: Duration = Duration::from_millis(200);

/// A request under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) asked_at: Duration,
    received: Option<Received>,
}

/// How much of an answer has come.
#[derive(Debug, Clone, Copy)]
struct Received {
    bytes: u64,
    of: u64,
    /// How many had come when, a while ago and lately: the speed is measured from the earlier one on.
    earlier: (Duration, u64),
    lately: (Duration, u64),
    last_at: Duration,
}

/// When an answer is to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing tells yet.
    Unknown,
    /// In this time.
    In(Duration),
    /// Nothing came for so long that nothing is likely to come.
    Overdue,
}

impl Request {
    pub(super) fn new(now: Duration) -> Self {
        Self { asked_at: now, received: None }
    }

    /// Takes in how much has come; returns whether that is more than before.
    pub(super) fn progressed(&mut self, bytes: u64, of: u64, now: Duration) -> bool {
        if bytes <= self.received_bytes() {
            return false;
        }
        let seen = (now, bytes);
        let (earlier, lately) = match self.received {
            None => (seen, seen),
            Some(Received { earlier, lately, .. }) => {
                let is_over = now.saturating_sub(lately.0) >= SPEED_SPAN;
                if is_over { (lately, seen) } else { (earlier, lately) }
            }
        };
        self.received = Some(Received { bytes, of, earlier, lately, last_at: now });
        true
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received.map_or(0, |received| received.bytes)
    }

    /// When the last byte came, or else the request was made.
    pub(super) fn last_at(&self) -> Duration {
        self.received.map_or(self.asked_at, |received| received.last_at)
    }

    /// When the answer is to be expected, by the bytes of it that have come; `None` while none have.
    pub(super) fn expected(&self, now: Duration) -> Option<Expected> {
        let Received { bytes, of, earlier: (since, before), last_at, .. } = self.received?;
        if now.saturating_sub(last_at) >= STALL_PATIENCE {
            return Some(Expected::Overdue);
        }
        let (mut span, mut came) = (now.saturating_sub(since), bytes.saturating_sub(before));
        if span < SPEED_SPAN || came == 0 {
            // Too little to tell a speed, but it tells that little came for long.
            (span, came) = (now.saturating_sub(self.asked_at), bytes);
            if span < SPEED_SPAN * 2 {
                return Some(Expected::Unknown);
            }
        }
        let left = span.as_secs_f64() * of.saturating_sub(bytes) as f64 / came as f64;
        Some(Expected::In(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)))
    }

    /// When to look at it again whose bytes have begun to come: its speed is known anew, or it has stood still
    /// for too long.
    pub(super) fn wakes(&self) -> Option<[Duration; 2]> {
        self.received
            .map(|received| [SPEED_SPAN * 2, STALL_PATIENCE].map(|wait| received.last_at + wait))
    }
}

impl Expected {
    /// Whether the answer is to be expected later than in `time`. What nothing tells of is not.
    pub(super) fn is_later_than(self, time: Duration) -> bool {
        match self {
            Self::Unknown => false,
            Self::In(left) => left > time,
            Self::Overdue => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_bytes_that_come_tell_when_the_rest_will() {
        let mut request = Request::new(ms(1_950));
        assert_eq!(request.expected(ms(2_000)), None);
        assert!(request.progressed(100, 1_000, ms(2_000)));
        assert_eq!(request.expected(ms(2_010)), Some(Expected::Unknown));
        assert!(request.progressed(200, 1_000, ms(2_100)));
        assert_eq!(request.expected(ms(2_100)), Some(Expected::In(ms(800))));
        assert!(!request.progressed(200, 1_000, ms(2_150)));
        assert_eq!(request.wakes(), Some([ms(2_200), ms(2_300)]));
        assert_eq!(request.expected(ms(2_300)), Some(Expected::Overdue));
        assert!(request.progressed(999, 1_000, ms(2_301)));
        assert!(!request.expected(ms(2_301)).unwrap().is_later_than(ms(10)));
    }

    #[test]
    fn a_source_that_becomes_slow_on_the_way_is_noticed() {
        let mut request = Request::new(ms(0));
        for at in 0..100 {
            request.progressed(10 * (at + 1), 2_000, ms(10 * at));
        }
        assert!(!request.expected(ms(1_000)).unwrap().is_later_than(ms(1_500)));
        for at in 0..5 {
            request.progressed(1_001 + at, 2_000, ms(1_100 + 100 * at));
        }
        assert!(request.expected(ms(1_500)).unwrap().is_later_than(ms(50_000)));
    }
}
