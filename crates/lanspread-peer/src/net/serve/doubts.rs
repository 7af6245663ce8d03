//! Noticing that a served game is no longer what its manifest says.
//!
//! What is read to be sent is not hashed once more: its stamp tells that it is what was hashed. Where
//! it does not, nothing is sent, and the command loop hears of it. A change that left no stamp is found
//! by whoever receives it; told of that, the chunk is read once more and held against the manifest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanspread_proto::message::{ChunkName, GetChunks};
use lanspread_proto::{GameId, RelPath};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a look at a whole game holds: those that begin to fetch it at the same time share it.
const LOOK_HOLDS: Duration = Duration::from_secs(1);
/// Most complaints of one address that are looked into in [`COMPLAINTS_TIME`]: each costs a chunk that is
/// read and hashed. A peer that was sent something wrong complains once and asks another source.
const COMPLAINTS_MAX: usize = 16;
/// See [`COMPLAINTS_MAX`].
const COMPLAINTS_TIME: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; beyond that nobody's complaints are looked into for a while.
const COMPLAINERS_MAX: usize = 1_024;

/// What was read of a served game is not what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// Which game.
    pub(crate) game_id: GameId,
    /// The file whose content is another one, though it looks as it did; `None` where the looks of
    /// something tell that it changed.
    pub(crate) path: Option<RelPath>,
}

/// What a server has to do with contradictions. Clones share everything.
#[derive(Clone)]
pub(super) struct Doubts {
    found: mpsc::Sender<Contradiction>,
    shared: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    looks: BTreeMap<GameId, Instant>,
    complaints: BTreeMap<IpAddr, (Instant, usize)>,
}

impl Doubts {
    /// Contradictions go to `found`.
    pub(super) fn new(found: mpsc::Sender<Contradiction>) -> Self {
        Self { found, shared: Arc::default() }
    }

    /// Tells of a contradiction. Where too many wait it is lost, and the next read finds it again.
    pub(super) fn tell(&self, game_id: &GameId, path: Option<RelPath>) {
        let _ = self.found.try_send(Contradiction { game_id: game_id.clone(), path });
    }

    /// Whether a whole game is to be looked at now.
    pub(super) fn is_look_due(&self, game_id: &GameId) -> bool {
        let now = Instant::now();
        self.with(|memory| {
            memory.looks.retain(|_, looked_at| *looked_at + LOOK_HOLDS > now);
            let is_due = !memory.looks.contains_key(game_id);
            memory.looks.entry(game_id.clone()).or_insert(now);
            is_due
        })
    }

    /// Whether a complaint from this address is to be looked into.
    pub(super) fn is_complaint_due(&self, from: IpAddr) -> bool {
        let now = Instant::now();
        self.with(|memory| {
            let complaints = &mut memory.complaints;
            complaints.retain(|_, (since, _)| *since + COMPLAINTS_TIME > now);
            if complaints.len() >= COMPLAINERS_MAX && !complaints.contains_key(&from) {
                return false;
            }
            let (_, count) = complaints.entry(from).or_insert((now, 0));
            *count += 1;
            *count <= COMPLAINTS_MAX
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        // Every change is a whole one.
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The chunk of which a request says that it came wrong: it names it twice, and nothing else.
pub(super) fn complaint(wanted: &GetChunks) -> Option<&ChunkName> {
    match wanted.chunks.as_slice() {
        [name, again] if name == again => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn complaints_are_bounded_by_address_and_looks_by_time() {
        let doubts = Doubts::new(mpsc::channel(1).0);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let due = (0..COMPLAINTS_MAX + 5).filter(|_| doubts.is_complaint_due(one)).count();
        assert_eq!(due, COMPLAINTS_MAX);
        assert!(doubts.is_complaint_due(other));
        let game_id = GameId::new("quake").unwrap();
        assert!(doubts.is_look_due(&game_id) && !doubts.is_look_due(&game_id));
        tokio::time::sleep(COMPLAINTS_TIME).await;
        assert!(doubts.is_complaint_due(one) && doubts.is_look_due(&game_id));
    }
}
