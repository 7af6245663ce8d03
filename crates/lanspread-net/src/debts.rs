//! What the other side of a connection was asked and has not answered yet.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// How many answers are owed.
#[derive(Debug, Default)]
pub(super) struct Debts {
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    count: usize,
    /// Since when it is more than none.
    since: Option<Instant>,
}

/// One answer that is owed, until it is dropped.
#[derive(Debug)]
pub(super) struct Debt(Arc<Debts>);

impl Debts {
    /// Notes that something is asked at `now`.
    pub(super) fn add(debts: &Arc<Self>, now: Instant) -> Debt {
        debts.change(|owed| {
            owed.count += 1;
            owed.since.get_or_insert(now);
        });
        Debt(Arc::clone(debts))
    }

    /// Returns since when something is owed without a pause.
    pub(super) fn since(&self) -> Option<Instant> {
        self.change(|owed| owed.since)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Owed) -> T) -> T {
        // Nothing in here panics half way.
        change(&mut self.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.0.change(|owed| {
            owed.count -= 1;
            if owed.count == 0 {
                owed.since = None;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn debts_last_from_the_first_question_to_the_last_answer() {
        let (debts, now) = (Arc::new(Debts::default()), Instant::now());
        assert_eq!(debts.since(), None);
        let first = Debts::add(&debts, now);
        let second = Debts::add(&debts, now + Duration::from_secs(1));
        drop(first);
        assert_eq!(debts.since(), Some(now));
        drop(second);
        assert_eq!(debts.since(), None);
        let _third = Debts::add(&debts, now + Duration::from_secs(2));
        assert_eq!(debts.since(), Some(now + Duration::from_secs(2)));
    }
}
