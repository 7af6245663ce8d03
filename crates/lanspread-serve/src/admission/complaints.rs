//! Bounds how many complaints of wrong chunks are looked into.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanspread_net::address::CountedAddress;
use tokio::time::Instant;

/// Most complaints of one address that are looked into in [`COMPLAINTS_TIME`]: each costs a chunk that is
/// read and hashed. A peer that was sent something wrong complains once and asks another source.
pub(crate) const COMPLAINTS_MAX: usize = 16;
/// See [`COMPLAINTS_MAX`].
pub(crate) const COMPLAINTS_TIME: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; beyond that nobody's complaints are looked into for a while.
pub(crate) const COMPLAINERS_MAX: usize = 1_024;

/// Counts complaints by address. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct ComplaintBudget(Arc<Mutex<Complaints>>);

/// Since when, and how many.
type Complaints = BTreeMap<CountedAddress, (Instant, usize)>;

impl ComplaintBudget {
    /// Counts a complaint of this address, and returns whether it is to be looked into.
    pub(crate) fn is_due(&self, from: CountedAddress) -> bool {
        let now = Instant::now();
        // Every change is a whole one.
        let mut complaints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.retain(|_, (since, _)| *since + COMPLAINTS_TIME > now);
        if complaints.len() >= COMPLAINERS_MAX && !complaints.contains_key(&from) {
            return false;
        }
        let (_, count) = complaints.entry(from).or_insert((now, 0));
        *count += 1;
        *count <= COMPLAINTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn complaints_are_bounded_by_address() {
        let budget = ComplaintBudget::default();
        let [one, other] = [1, 2].map(|host| IpAddr::from([10, 0, 0, host]).into());
        let due = (0..COMPLAINTS_MAX + 5).filter(|_| budget.is_due(one)).count();
        assert_eq!(due, COMPLAINTS_MAX);
        assert!(budget.is_due(other));
        tokio::time::sleep(COMPLAINTS_TIME).await;
        assert!(budget.is_due(one));
    }
}
