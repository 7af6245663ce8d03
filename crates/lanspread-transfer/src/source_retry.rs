//! When to try a source again that was given up and is still announced.
//!
//! Pure. What a source sent wrong is never forgiven, and does not come here; but one that was silent,
//! busy or unreachable for a while may be the only one that is fast.

use std::time::Duration;

use crate::backoff::Backoff;

/// Pause after the first time: longer than what gives a source up, so that it is not tried while the
/// cause is likely to last.
const PAUSE_MIN: Duration = Duration::from_secs(30);
/// Longest pause. It doubles each time, so that a source which only costs requests costs few.
const PAUSE_MAX: Duration = Duration::from_secs(480);

/// When one source is to be tried again. Lives as long as the source is announced.
#[derive(Debug)]
pub struct SourceRetry {
    backoff: Backoff,
    due_at: Option<Duration>,
}

impl Default for SourceRetry {
    /// Returns the state of a source that is being asked.
    fn default() -> Self {
        Self { backoff: Backoff::doubling(PAUSE_MIN, PAUSE_MAX), due_at: None }
    }
}

impl SourceRetry {
    /// Notes that the source was given up, and not for what it sent.
    pub fn given_up(&mut self, now: Duration) {
        self.due_at = Some(now + self.backoff.fail());
    }

    /// Returns whether the source is to be tried now. It is, once for each time that it was given up.
    pub fn take_due(&mut self, now: Duration) -> bool {
        self.due_at.take_if(|at| *at <= now).is_some()
    }

    /// Returns when the source is to be tried again, if it is.
    pub fn due_at(&self) -> Option<Duration> {
        self.due_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_given_up_again_and_again_is_tried_less_and_less() {
        let (mut retry, mut now) = (SourceRetry::default(), Duration::ZERO);
        assert_eq!(retry.due_at(), None);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            retry.given_up(now);
            let at = retry.due_at().unwrap();
            assert!(!retry.take_due(at - Duration::from_millis(1)));
            assert!(retry.take_due(at));
            assert_eq!((retry.take_due(at), retry.due_at()), (false, None));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses[..6], [30, 60, 120, 240, 480, 480]);
        assert_eq!(pauses[39], 480);
    }
}
