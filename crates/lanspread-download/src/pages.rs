//! Fetches the pages of a part of a game from one source.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use lanspread_net::source::Source;
use lanspread_proto::message::{GameHead, GetPage};
use lanspread_proto::{GameId, Manifest};
use lanspread_transfer::parts::{PartError, PartJob, Sizes, Whole, check_head};

/// Most pages that one download asks for at a time: 1 MiB.
const PAGES_AHEAD: usize = 4;

/// Fetches the pages that are missing from one source.
///
/// What has come stays in the book, also where this is dropped.
///
/// # Errors
/// [`PartError`] tells why the source did not give the rest.
pub async fn fetch_pages(
    source: &dyn Source,
    game_id: &GameId,
    job: &PartJob,
) -> Result<(), PartError> {
    let pages = stream::iter(job.missing()).map(|page| {
        let (part, of) = (job.part, job.of);
        source.get_page(GetPage { game_id: game_id.clone(), part, of, page })
    });
    let mut pages = pages.buffered(PAGES_AHEAD);
    while let Some(page) = pages.next().await {
        let page = page?;
        job.take(&page).map_err(PartError::Broken)?;
    }
    Ok(())
}

/// Fetches from one source what its head says: the layout, and the hashes if it has them.
///
/// # Errors
/// [`PartError`] tells what came in between.
pub async fn fetch_manifest(
    source: &dyn Source,
    game_id: &GameId,
    head: &GameHead,
) -> Result<Manifest, PartError> {
    check_head(head, &head.version).map_err(PartError::Broken)?;
    let layout = PartJob::layout(head.manifest_hash, Sizes::of(head));
    let manifest = fetch_whole(source, game_id, &layout).await?;
    match head.content_root {
        Some(of) => {
            let hashes = PartJob::hashes(of, Arc::new(manifest));
            fetch_whole(source, game_id, &hashes).await
        }
        None => Ok(manifest),
    }
}

async fn fetch_whole(
    source: &dyn Source,
    game_id: &GameId,
    job: &PartJob,
) -> Result<Manifest, PartError> {
    fetch_pages(source, game_id, job).await?;
    match job.finish().map_err(PartError::Broken)? {
        Whole::Layout(manifest) | Whole::Hashes(manifest) => Ok(manifest),
    }
}
