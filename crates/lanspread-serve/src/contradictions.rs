//! Noticing that a served game is no longer what its manifest says.
//!
//! What is read to be sent is not hashed once more: its stamp tells that it is what was hashed. Where
//! it does not, nothing is sent, and the command loop hears of it. A change that left no stamp is found
//! by whoever receives it; told of that, the chunk is read once more and held against the manifest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanspread_proto::{GameId, RelPath};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Most looks at whole games at a time: each asks the disk for every file, and anybody may ask for one.
const LOOKS_MAX: usize = 2;
/// Most complaints of one address that are looked into in [`COMPLAINTS_TIME`]: each costs a chunk that is
/// read and hashed. A peer that was sent something wrong complains once and asks another source.
const COMPLAINTS_MAX: usize = 16;
/// See [`COMPLAINTS_MAX`].
const COMPLAINTS_TIME: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; beyond that nobody's complaints are looked into for a while.
const COMPLAINERS_MAX: usize = 1_024;

/// What was read of a served game is not what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Which game.
    pub game_id: GameId,
    /// The file whose content is another one, though it looks as it did; `None` where the looks of
    /// something tell that it changed.
    pub path: Option<RelPath>,
}

/// What a server has to do with contradictions. Clones share everything.
#[derive(Clone)]
pub(super) struct Doubts {
    found: mpsc::Sender<Contradiction>,
    pub(super) looks: Arc<Semaphore>,
    complaints: Arc<Mutex<Complaints>>,
}

/// Since when, and how many.
type Complaints = BTreeMap<IpAddr, (Instant, usize)>;

impl Doubts {
    /// Contradictions go to `found`.
    pub(super) fn new(found: mpsc::Sender<Contradiction>) -> Self {
        Self { found, looks: Arc::new(Semaphore::new(LOOKS_MAX)), complaints: Arc::default() }
    }

    /// Tells of a contradiction. Where too many wait it is lost, and the next read finds it again.
    pub(super) fn tell(&self, game_id: &GameId, path: Option<RelPath>) {
        let _ = self.found.try_send(Contradiction { game_id: game_id.clone(), path });
    }

    /// Whether a complaint from this address is to be looked into.
    pub(super) fn is_complaint_due(&self, from: IpAddr) -> bool {
        let now = Instant::now();
        // Every change is a whole one.
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn complaints_are_bounded_by_address() {
        let doubts = Doubts::new(mpsc::channel(1).0);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let due = (0..COMPLAINTS_MAX + 5).filter(|_| doubts.is_complaint_due(one)).count();
        assert_eq!(due, COMPLAINTS_MAX);
        assert!(doubts.is_complaint_due(other));
        tokio::time::sleep(COMPLAINTS_TIME).await;
        assert!(doubts.is_complaint_due(one));
    }
}
