//! Installing a game that another peer unpacks: no archive is ever stored here.
//!
//! One source at a time is asked for a stream (`attempt`), which goes through a short channel to a
//! thread that writes it under an ordinary install transaction (`receive`). Whatever goes wrong, that
//! transaction has rolled back before the next source is asked (`source_selection`) or the end is told.

mod attempt;
mod receive;
mod source_pace;
mod source_selection;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use lanspread_disk::free_space::FreeSpace;
use lanspread_net::limit::Limiter;
use lanspread_net::source::StreamOrigin;
use lanspread_proto::{GameId, GameVersion, PeerId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::source_selection::{Attempts, Next, in_asking_order};
use crate::error::{InstallFailure, StreamFailure};

/// What to install, and from whom.
pub struct StreamJob {
    /// Which game.
    pub game_id: GameId,
    /// The version of the catalog.
    pub version: GameVersion,
    /// The game root; its parent must exist.
    pub root: PathBuf,
    /// Where the intent is kept.
    pub state_dir: PathBuf,
    /// What may be fetched a second, together with all downloads.
    pub limiter: Limiter,
    /// Where the room on the disk is asked for.
    pub free_space: FreeSpace,
    /// Who asks: peers spread over the sources by their ids.
    pub me: PeerId,
    /// Who can be asked, at least one.
    pub sources: Vec<Arc<dyn StreamOrigin>>,
}

/// What a streamed installation tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamNotice {
    /// A source has others to serve first.
    Waiting {
        /// Which source.
        peer_id: PeerId,
        /// How many come first; 0 when it is the turn of this peer.
        position: u32,
    },
    /// A source has said what it will send, and there is room for it. Once for each source.
    Began {
        /// Which source.
        peer_id: PeerId,
        /// How many files it will send.
        files: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// How far it is: at most ten a second, and a last one when all is written.
    Progress {
        /// Which source.
        peer_id: PeerId,
        /// Bytes written.
        bytes_done: u64,
        /// Bytes of all files.
        bytes_total: u64,
        /// Speed over the last second.
        bytes_per_second: u64,
    },
    /// A source failed; what it sent is gone again.
    SourceDropped {
        /// Which source.
        peer_id: PeerId,
        /// Why, in words.
        reason: String,
    },
}

/// A game that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamedGame {
    /// Whose archives it was unpacked from.
    pub peer_id: PeerId,
    /// Files written.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// Installs the game from one source after another, in three attempts at most. Ends soon after `cancel`.
pub async fn run(
    job: StreamJob,
    notices: mpsc::Sender<StreamNotice>,
    cancel: CancellationToken,
) -> Result<StreamedGame, StreamFailure> {
    let mut sources = VecDeque::from(in_asking_order(job.me, &job.game_id, &job.sources));
    let mut attempts = Attempts::default();
    let mut last = None;
    while let Some(source) = sources.pop_front() {
        let outcome = attempt::install_from(&job, &*source, &notices, &cancel).await;
        let failure = match outcome {
            Ok(game) => return Ok(game),
            Err(failure) => failure,
        };
        if cancel.is_cancelled() {
            return Err(StreamFailure::Cancelled);
        }
        if failure.is_of_source() {
            let (peer_id, reason) = (source.peer_id(), failure.to_string());
            // The command loop is gone only when the whole runtime is.
            let _ = notices.send(StreamNotice::SourceDropped { peer_id, reason }).await;
        }
        let next = attempts.after(&failure);
        last = Some(failure);
        match next {
            Next::AskAnother => {}
            Next::AskAgainLater => sources.push_back(source),
            Next::GiveUp => break,
        }
    }
    Err(last.unwrap_or(StreamFailure::Install(InstallFailure::Interrupted)))
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
