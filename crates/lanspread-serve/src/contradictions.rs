//! Noticing that a served game is no longer what its manifest says.
//!
//! What is read to be sent is not hashed once more: its stamp tells that it is what was hashed. Where
//! it does not, nothing is sent, and the command loop hears of it. A change that left no stamp is found
//! by whoever receives it; told of that, the chunk is read once more and held against the manifest.

use lanspread_proto::{GameId, RelPath};
use tokio::sync::mpsc;

/// What was read of a served game is not what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Which game.
    pub game_id: GameId,
    /// The file whose content is another one, though it looks as it did; `None` where the looks of
    /// something tell that it changed.
    pub path: Option<RelPath>,
}

/// Reports contradictions to the command loop. Clones share everything.
#[derive(Clone)]
pub(crate) struct ContradictionReporter(mpsc::Sender<Contradiction>);

impl ContradictionReporter {
    /// Makes a reporter to `found`.
    pub(crate) fn new(found: mpsc::Sender<Contradiction>) -> Self {
        Self(found)
    }

    /// Reports a contradiction. Where too many wait it is lost, and the next read finds it again.
    pub(crate) fn report(&self, game_id: &GameId, path: Option<RelPath>) {
        let _ = self.0.try_send(Contradiction { game_id: game_id.clone(), path });
    }
}
