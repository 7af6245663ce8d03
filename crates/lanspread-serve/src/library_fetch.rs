//! Reads the library of another peer, page by page.

use std::time::Duration;

use lanspread_catalog::Catalog;
use lanspread_library::{Gathering, LibraryError, RemoteLibrary};
use lanspread_net::link::PeerLink;
use lanspread_proto::SourceError;
use lanspread_proto::message::{GetLibrary, RefusalCode};
use tokio::time::{sleep, timeout};

/// Longest wait for a whole library: the largest one, 22 MiB, takes 2 s of a 100 Mbit/s link.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a peer is asked again that was too busy to tell its library.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// Asks for the library, page by page, and returns what the catalog knows of it. One that changes too
/// often meanwhile is begun anew, and a peer that is busy is asked again.
///
/// # Errors
/// [`SourceError::Gone`] when it is not there within 15 s.
pub async fn fetch_library(
    link: &PeerLink,
    catalog: &Catalog,
) -> Result<RemoteLibrary, SourceError> {
    let fetch = async {
        loop {
            match gather(link, catalog).await {
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
    timeout(LIBRARY_TIMEOUT, fetch).await.map_err(late)?
}

async fn gather(link: &PeerLink, catalog: &Catalog) -> Result<RemoteLibrary, SourceError> {
    let (header, bytes) = link.get_library_page(GetLibrary { rev: None, page: 0 }).await?;
    let mut gathering = Gathering::new(&header, catalog).map_err(unreadable)?;
    gathering.take(&header, &bytes).map_err(unreadable)?;
    while let Some(page) = gathering.next_page() {
        let rev = Some(gathering.rev());
        let (header, bytes) = link.get_library_page(GetLibrary { rev, page }).await?;
        gathering.take(&header, &bytes).map_err(unreadable)?;
    }
    gathering.finish().map_err(unreadable)
}

fn unreadable(error: LibraryError) -> SourceError {
    SourceError::Protocol(error.to_string())
}
