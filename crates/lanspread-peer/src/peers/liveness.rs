//! When a silent peer is asked for a sign of life, and when it is lost.

use std::time::Duration;

use tokio::time::Instant;

/// After how much silence what is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Ask.
    pub(crate) ping_after: Duration,
    /// Give up.
    pub(crate) lost_after: Duration,
}

/// What to do about one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was heard lately.
    Fine,
    /// Ask it for a sign of life.
    Ask,
    /// It is gone.
    Lost,
}

impl Limits {
    /// Judges a peer that was last heard at `last_heard`.
    pub(crate) fn judge(&self, last_heard: Instant, now: Instant) -> Verdict {
        let silence = now.saturating_duration_since(last_heard);
        if silence >= self.lost_after {
            Verdict::Lost
        } else if silence >= self.ping_after {
            Verdict::Ask
        } else {
            Verdict::Fine
        }
    }

    /// How often to judge, so that no limit is overrun by more than an eighth.
    pub(crate) fn interval(&self) -> Duration {
        let shortest = self.ping_after.min(self.lost_after.saturating_sub(self.ping_after));
        (shortest / 8).max(Duration::from_millis(20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_leads_from_fine_over_asking_to_lost() {
        let limits =
            Limits { ping_after: Duration::from_secs(10), lost_after: Duration::from_secs(30) };
        let heard = Instant::now();
        let after = |seconds| limits.judge(heard, heard + Duration::from_secs(seconds));
        assert_eq!(after(0), Verdict::Fine);
        assert_eq!(after(9), Verdict::Fine);
        assert_eq!(after(10), Verdict::Ask);
        assert_eq!(after(29), Verdict::Ask);
        assert_eq!(after(30), Verdict::Lost);
        assert_eq!(limits.judge(heard + Duration::from_secs(1), heard), Verdict::Fine);
    }
}
