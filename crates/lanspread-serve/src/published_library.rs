//! What the network may see of this peer at one moment.
//!
//! The command loop publishes a new view after every change; serving tasks read the newest and
//! never ask the loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_library::Fingerprint;
use lanspread_net::announcer::Announcer;
use lanspread_proto::library::LibrarySnapshot;
use lanspread_proto::{ContentHash, GameId, Manifest};
use tokio::sync::watch;

/// The announced library, and all it takes to serve the games in it.
#[derive(Debug, Clone, Default)]
pub struct PublishedLibrary {
    snapshot: Arc<LibrarySnapshot>,
    games: BTreeMap<GameId, ServedGame>,
    is_scan_running: bool,
}

/// A game that is ready: downloaded at the catalog's version, with nothing being done with it.
#[derive(Debug, Clone)]
pub struct ServedGame {
    /// Its root directory.
    pub root: PathBuf,
    /// Its files, with the hashes known so far.
    pub manifest: Arc<Manifest>,
    /// What its files looked like when they were listed.
    pub fingerprint: Fingerprint,
    /// The content roots that it has in the old form.
    pub old_content_roots: Arc<[ContentHash]>,
    /// Its attributes, as they travel.
    pub attributes: Bytes,
}

/// Announces the library of the newest view.
pub struct AnnouncedLibrary(pub watch::Receiver<Arc<PublishedLibrary>>);

impl Announcer for AnnouncedLibrary {
    /// Waits at a start until the library is known; how long at most, the view says.
    fn library(&self) -> BoxFuture<'_, Arc<LibrarySnapshot>> {
        let mut library = self.0.clone();
        async move {
            // Whoever shows the view is gone only when the peer is.
            let _ = library.wait_for(|library| !library.is_scan_running()).await;
            library.borrow().snapshot()
        }
        .boxed()
    }
}

impl PublishedLibrary {
    /// Makes a view of the announced library and of the games in it that are served.
    pub fn new(snapshot: Arc<LibrarySnapshot>, games: BTreeMap<GameId, ServedGame>) -> Self {
        Self { snapshot, games, is_scan_running: false }
    }

    /// Returns the same view, of which more is to be expected in a moment.
    pub fn with_scan_running(self, is_scan_running: bool) -> Self {
        Self { is_scan_running, ..self }
    }

    /// Returns whether it is soon to be much larger: the games are still being looked at for the first time.
    pub fn is_scan_running(&self) -> bool {
        self.is_scan_running
    }

    /// Returns the library that is announced.
    pub fn snapshot(&self) -> Arc<LibrarySnapshot> {
        Arc::clone(&self.snapshot)
    }

    /// Returns all games that may be served.
    pub fn games(&self) -> &BTreeMap<GameId, ServedGame> {
        &self.games
    }

    /// Returns a game that may be served.
    pub fn game(&self, game_id: &GameId) -> Option<&ServedGame> {
        self.games.get(game_id)
    }
}
