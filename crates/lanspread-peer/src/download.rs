//! Stub.
mod layout;
mod scheduler;
mod source;
use crate::error::DownloadFailure;
use crate::event::*;
use lanspread_proto::*;
pub(crate) use source::{GameAnswer, ReceivedChunk, Source, SourceError};
use std::sync::Arc;
use tokio::sync::mpsc;
pub(crate) struct DownloadJob {
    pub(crate) game_id: GameId,
    pub(crate) version: GameVersion,
    pub(crate) root: std::path::PathBuf,
    pub(crate) catalog_content_root: Option<ContentHash>,
    pub(crate) initial_sources: Vec<Arc<dyn Source>>,
}
pub(crate) enum SourceChange {
    Joined(Arc<dyn Source>),
    Left(PeerId),
}
pub(crate) enum DownloadNotice {
    GotManifest { files: usize, bytes: u64, sources: Vec<PeerId> },
    Began { files: usize, bytes: u64, sources: Vec<PeerId> },
    Progress(DownloadProgress),
    SourceDropped { peer_id: PeerId, reason: String },
}
pub(crate) struct DownloadOutcome {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) sources: Vec<SourceBytes>,
}
pub(crate) enum DownloadEnd {
    Cancelled,
    AllPeersGone,
    Failed(DownloadFailure),
}
pub(crate) async fn run(
    _job: DownloadJob,
    _c: mpsc::UnboundedReceiver<SourceChange>,
    _n: mpsc::Sender<DownloadNotice>,
    _x: tokio_util::sync::CancellationToken,
) -> Result<DownloadOutcome, DownloadEnd> {
    Err(DownloadEnd::Cancelled)
}
