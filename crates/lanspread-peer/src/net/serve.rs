//! Answers the requests of one peer.

mod queue;
mod stream;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, LIBRARY_HEADER_MAX_BYTES};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::manifest::chunk_len;
use lanspread_proto::message::{
    ChunkHeader, GetChunk, GetGame, KnownManifest, Refusal, RefusalCode, Request, Response,
};
use lanspread_proto::{CHUNK_SIZE_BYTES, ContentHash, GameId, Manifest, RelPath};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::exchange::{ExchangeError, Incoming, send_bytes, send_header};
use super::link::PeerLink;
use super::transport::{Stream, StreamSender};
use super::view::{ServedGame, View};
use crate::library::open_game_file;
use crate::operations::outbound::OutboundTransfers;

pub(crate) use stream::StreamService;

/// Longest time one answer may take to be taken over by the asker. Beyond it the asker is gone or
/// does not read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the hashes of a game: what half a terabyte takes on a hard disk of 300 MiB/s. A
/// game that cannot be hashed must not hold the asker's stream for ever.
const HASHES_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Most chunks that are in memory to be sent, to all peers together: 128 MiB.
const CHUNKS_MAX: usize = 64;
/// Most of them for one peer: the largest window of a download, so that only a peer that does not
/// keep to it waits.
pub(super) const CHUNKS_PER_PEER_MAX: usize = 8;

/// What it takes to answer.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) outbound: OutboundTransfers,
    chunks: Arc<Semaphore>,
    streams: StreamService,
}

/// Reads the request on a stream that a peer has opened, and returns where the answer goes.
///
/// # Errors
/// [`ExchangeError`] when there is no valid request.
pub(crate) async fn read_request(
    link: &PeerLink,
    stream: Stream,
) -> Result<(Request, Box<dyn StreamSender>), ExchangeError> {
    let Stream { sender, receiver } = stream;
    let request = Incoming::new(receiver).header(CONTROL_HEADER_MAX_BYTES).await?;
    link.heard();
    Ok((request, sender))
}

/// Confirms what a peer told.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub(crate) async fn confirm(mut sender: Box<dyn StreamSender>) -> Result<(), ExchangeError> {
    reply(&mut *sender, &Response::Done {}, CONTROL_HEADER_MAX_BYTES).await
}

impl Server {
    pub(crate) fn new(
        view: watch::Receiver<Arc<View>>,
        outbound: OutboundTransfers,
        streams: StreamService,
    ) -> Self {
        Self { view, outbound, chunks: Arc::new(Semaphore::new(CHUNKS_MAX)), streams }
    }

    /// Answers a question. What a peer tells unasked is not for this server: it is refused.
    ///
    /// # Errors
    /// [`ExchangeError`] when the answer cannot be sent.
    pub(crate) async fn answer(
        &self,
        link: &PeerLink,
        request: Request,
        mut sender: Box<dyn StreamSender>,
    ) -> Result<(), ExchangeError> {
        let sender = &mut *sender;
        match request {
            Request::GetChunk(wanted) => self.send_chunk(link, wanted, sender).await,
            Request::StreamInstall(wanted) => self.stream_install(link, wanted, sender).await,
            Request::GetGame(wanted) => {
                let response = self.game(wanted).await;
                reply(sender, &response, LIBRARY_HEADER_MAX_BYTES).await
            }
            Request::GetLibrary {} => {
                let snapshot = self.view.borrow().snapshot().as_ref().clone();
                reply(sender, &Response::Library(snapshot), LIBRARY_HEADER_MAX_BYTES).await
            }
            Request::Ping {} => reply(sender, &Response::Done {}, CONTROL_HEADER_MAX_BYTES).await,
            Request::Hello(_) | Request::LibraryDelta(_) | Request::Goodbye {} => {
                let refusal = refused(RefusalCode::OutOfOrder, "this is not the time for that");
                reply(sender, &Response::Refused(refusal), CONTROL_HEADER_MAX_BYTES).await
            }
        }
    }

    async fn game(&self, wanted: GetGame) -> Response {
        let mut view = self.view.clone();
        let is_settled = |view: &Arc<View>| match view.game(&wanted.game_id) {
            Some(game) => !wanted.await_hashes || game.manifest.content_root().is_some(),
            None => true,
        };
        // Whether settled or not: after that time the asker gets what there is.
        let _ = timeout(HASHES_TIMEOUT, view.wait_for(is_settled)).await;
        let manifest =
            self.view.borrow().game(&wanted.game_id).map(|game| Arc::clone(&game.manifest));
        let Some(manifest) = manifest else {
            return Response::Refused(not_served(&wanted.game_id));
        };
        let known = KnownManifest {
            manifest_hash: manifest.manifest_hash(),
            content_root: manifest.content_root(),
        };
        if wanted.known_manifest == Some(known) {
            return Response::Unchanged {};
        }
        Response::Game { manifest: manifest.as_ref().clone() }
    }

    async fn send_chunk(
        &self,
        link: &PeerLink,
        wanted: GetChunk,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        // Nobody closes these semaphores, so both always give a permit in the end.
        let _of_peer = link.chunks.acquire().await.ok();
        let _of_all = self.chunks.acquire().await.ok();
        if self.view.borrow().game(&wanted.game_id).is_none() {
            let refusal = Response::Refused(not_served(&wanted.game_id));
            return reply(sender, &refusal, CONTROL_HEADER_MAX_BYTES).await;
        }
        // Registered before the view is asked for good: whoever takes the game out of it from here
        // on knows of this transfer.
        let transfer = self.outbound.begin(&wanted.game_id, link.peer_id());
        let served = self.view.borrow().game(&wanted.game_id).cloned();
        let chunk = match served {
            Some(game) => read_chunk(game, &wanted).await,
            None => Err(not_served(&wanted.game_id)),
        };
        let (header, bytes) = match chunk {
            Ok(chunk) => chunk,
            Err(refusal) => {
                let response = Response::Refused(refusal);
                return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
            }
        };
        let send = async {
            send_header(sender, &Response::Chunk(header), CONTROL_HEADER_MAX_BYTES).await?;
            send_bytes(sender, bytes).await?;
            Ok::<_, ExchangeError>(())
        };
        let outcome = tokio::select! {
            sent = timeout(ANSWER_TIMEOUT, send) => sent.unwrap_or(Err(ExchangeError::Silent)),
            () = transfer.stopped() => Err(ExchangeError::EndedEarly),
        };
        match outcome {
            Ok(()) => Ok(sender.finish()?),
            Err(error) => {
                sender.reset();
                Err(error)
            }
        }
    }
}

async fn reply(
    sender: &mut dyn StreamSender,
    response: &Response,
    max: usize,
) -> Result<(), ExchangeError> {
    let send = send_header(sender, response, max);
    timeout(ANSWER_TIMEOUT, send).await.unwrap_or(Err(ExchangeError::Silent))?;
    Ok(sender.finish()?)
}

fn refused(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

fn not_served(game_id: &GameId) -> Refusal {
    refused(RefusalCode::NotServed, &format!("game {game_id} is not served here"))
}

/// Reads a chunk, and hashes it where the manifest does not know its hash yet.
async fn read_chunk(game: ServedGame, wanted: &GetChunk) -> Result<(ChunkHeader, Bytes), Refusal> {
    if *game.manifest.version() != wanted.version {
        return Err(not_served(&wanted.game_id));
    }
    let (path, index) = (wanted.path.clone(), wanted.index);
    let read = move || read_chunk_blocking(&game.root, &game.manifest, &path, index);
    match tokio::task::spawn_blocking(read).await {
        Ok(chunk) => chunk,
        Err(_) => Err(refused(RefusalCode::ReadFailed, "the read was abandoned")),
    }
}

fn read_chunk_blocking(
    root: &Path,
    manifest: &Manifest,
    path: &RelPath,
    index: u32,
) -> Result<(ChunkHeader, Bytes), Refusal> {
    let no_such_chunk = || {
        refused(RefusalCode::NoSuchChunk, &format!("{path} has no chunk {index} in the manifest"))
    };
    let file = manifest.file(path).ok_or_else(no_such_chunk)?;
    let len = u32::try_from(chunk_len(file.size, index)).unwrap_or(0);
    if len == 0 {
        return Err(no_such_chunk());
    }
    let failed =
        |e: std::io::Error| refused(RefusalCode::ReadFailed, &format!("cannot read {path}: {e}"));
    let handle = open_game_file(root, path).map_err(failed)?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let offset = u64::from(index) * CHUNK_SIZE_BYTES;
    handle.read_exact_at(&mut bytes, offset).map_err(failed)?;
    let hash = known_hash(file, index).unwrap_or_else(|| chunk_hash(file.size, index, &bytes));
    Ok((ChunkHeader { len, hash }, bytes.into()))
}

fn known_hash(file: &lanspread_proto::ManifestFile, index: u32) -> Option<ContentHash> {
    let index = usize::try_from(index).ok()?;
    file.hashes.as_ref()?.chunks().get(index).copied()
}

#[cfg(test)]
mod tests;
