//! When to try a source again that was given up and is still announced.
//!
//! Pure. What a source sent wrong is never forgiven, and does not come here; but one that was silent,
//! busy or unreachable for a while may be the only one that is fast.

use std::collections::BTreeMap;
use std::time::Duration;

use lanspread_proto::PeerId;

use crate::backoff::Backoff;

/// Pause after the first time: longer than what gives a source up, so that it is not tried while the
/// cause is likely to last.
const PAUSE_MIN: Duration = Duration::from_secs(30);
/// Longest pause. It doubles each time, so that a source which only costs requests costs few.
const PAUSE_MAX: Duration = Duration::from_secs(480);

/// The sources that are announced, and when each is to be tried again.
#[derive(Debug, Default)]
pub struct SourceRetry {
    announced: BTreeMap<PeerId, State>,
}

#[derive(Debug)]
struct State {
    backoff: Backoff,
    at: Option<Duration>,
}

impl SourceRetry {
    /// A source is announced, and is being asked.
    pub fn joined(&mut self, peer: PeerId) {
        self.announced
            .insert(peer, State { backoff: Backoff::doubling(PAUSE_MIN, PAUSE_MAX), at: None });
    }

    /// It is announced no more.
    pub fn left(&mut self, peer: PeerId) {
        self.announced.remove(&peer);
    }

    /// It was given up, and not for what it sent.
    pub fn given_up(&mut self, peer: PeerId, now: Duration) {
        let Some(state) = self.announced.get_mut(&peer) else { return };
        state.at = Some(now + state.backoff.fail());
    }

    /// Those to try now.
    pub fn due(&mut self, now: Duration) -> Vec<PeerId> {
        let waiting = self.announced.iter_mut();
        let due = waiting.filter(|(_, state)| state.at.is_some_and(|at| at <= now));
        due.map(|(peer, state)| {
            state.at = None;
            *peer
        })
        .collect()
    }

    /// When the next one is due.
    pub fn wake_at(&self) -> Option<Duration> {
        self.announced.values().filter_map(|state| state.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_given_up_again_and_again_is_tried_less_and_less() {
        let peer = PeerId::from_public_key(b"source");
        let (mut retry, mut now) = (SourceRetry::default(), Duration::ZERO);
        retry.joined(peer);
        assert_eq!(retry.wake_at(), None);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            retry.given_up(peer, now);
            let at = retry.wake_at().unwrap();
            assert_eq!(retry.due(at - Duration::from_millis(1)), []);
            assert_eq!(retry.due(at), [peer]);
            assert_eq!((retry.due(at), retry.wake_at()), (Vec::new(), None));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses[..6], [30, 60, 120, 240, 480, 480]);
        assert_eq!(pauses[39], 480);
    }

    #[test]
    fn only_what_is_announced_is_tried_again() {
        let peer = PeerId::from_public_key(b"source");
        let mut retry = SourceRetry::default();
        retry.given_up(peer, Duration::ZERO);
        assert_eq!(retry.wake_at(), None);
        retry.joined(peer);
        retry.given_up(peer, Duration::ZERO);
        retry.left(peer);
        assert_eq!(retry.wake_at(), None);
        // One that is announced anew begins anew.
        retry.joined(peer);
        retry.given_up(peer, Duration::ZERO);
        assert_eq!(retry.wake_at(), Some(PAUSE_MIN));
    }
}
