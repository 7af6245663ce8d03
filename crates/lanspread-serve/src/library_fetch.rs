//! Reads the library of another peer, page by page.

use std::time::Duration;

use lanspread_catalog::Catalog;
use lanspread_library::{Gathering, LibraryError, RemoteLibrary};
use lanspread_net::link::PeerLink;
use lanspread_proto::SourceError;
use lanspread_proto::message::{GetLibrary, RefusalCode};
use tokio::time::{sleep, timeout};

use crate::admission::fair_semaphore::{Asker, FairSemaphore, Order};

/// Longest wait for a whole library: the largest one, 22 MiB, takes 2 s of a 100 Mbit/s link.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a peer is asked again that was too busy to tell its library.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Most games of a library that is read without a turn. From all 256 peers at once, they take 23 MB.
const SMALL_MAX: usize = 1_024;
/// Most larger libraries that are read at a time. The largest takes 9 MB until it is put with the others.
const LARGE_MAX: usize = 4;
/// Most of them from one address while another one waits. A source that is slow holds its turn for [`LIBRARY_TIMEOUT`].
const LARGE_PER_ADDRESS_MAX: usize = 2;

/// Reads libraries, large ones in turns. Clones share the turns.
#[derive(Clone)]
pub struct LibraryFetches(FairSemaphore);

impl Default for LibraryFetches {
    fn default() -> Self {
        Self(FairSemaphore::new(LARGE_MAX, Order::TurnsWhileOthersWait(LARGE_PER_ADDRESS_MAX)))
    }
}

impl LibraryFetches {
    /// Asks for the library, page by page, and returns what the catalog knows of it. One that changes too
    /// often meanwhile is begun anew, and a peer that is busy is asked again.
    ///
    /// The turn for a large library is waited for without an end. Whoever has no use for it any more drops the wait.
    ///
    /// # Errors
    /// [`SourceError::Gone`] when it is not there within 15 s, apart from the wait for a turn.
    pub async fn fetch(
        &self,
        link: &PeerLink,
        catalog: &Catalog,
    ) -> Result<RemoteLibrary, SourceError> {
        if let Some(library) = gather_in_time(link, catalog, SMALL_MAX).await? {
            return Ok(library);
        }
        let asker = Asker { addr: link.addr.ip().into(), peer: link.peer_id() };
        let _turn = self.0.acquire(asker).await;
        let library = gather_in_time(link, catalog, usize::MAX).await?;
        library.ok_or_else(|| SourceError::Protocol("the library has no end".to_owned()))
    }
}

/// Reads a library; `None` if the catalog may know more than `games_max` games of it.
async fn gather_in_time(
    link: &PeerLink,
    catalog: &Catalog,
    games_max: usize,
) -> Result<Option<RemoteLibrary>, SourceError> {
    let gather = async {
        loop {
            match gather(link, catalog, games_max).await {
                Err(SourceError::Refused(refusal)) => match refusal.code {
                    RefusalCode::Changed => {}
                    RefusalCode::Busy => sleep(BUSY_PAUSE).await,
                    _ => return Err(SourceError::Refused(refusal)),
                },
                other => return other,
            }
        }
    };
    let late = |_| SourceError::Gone("its library did not come in time".to_owned());
    timeout(LIBRARY_TIMEOUT, gather).await.map_err(late)?
}

async fn gather(
    link: &PeerLink,
    catalog: &Catalog,
    games_max: usize,
) -> Result<Option<RemoteLibrary>, SourceError> {
    let (header, bytes) = link.get_library_page(GetLibrary { rev: None, page: 0 }).await?;
    let mut gathering = Gathering::new(&header, catalog).map_err(unreadable)?;
    let games = usize::try_from(header.games).unwrap_or(usize::MAX);
    if games.min(catalog.len()) > games_max {
        return Ok(None);
    }
    gathering.take(&header, &bytes).map_err(unreadable)?;
    while let Some(page) = gathering.next_page() {
        let rev = Some(gathering.rev());
        let (header, bytes) = link.get_library_page(GetLibrary { rev, page }).await?;
        gathering.take(&header, &bytes).map_err(unreadable)?;
    }
    gathering.finish().map(Some).map_err(unreadable)
}

fn unreadable(error: LibraryError) -> SourceError {
    SourceError::Protocol(error.to_string())
}
