//! What a download needs of a peer, so that tests can stand in for the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, StreamInstall, WrongChunk};
use lanspread_proto::{ContentHash, PeerId, SourceError};

use crate::exchange::FrameReader;

/// A peer that serves a game.
///
/// Dropping a returned future cancels the request.
pub trait Source: Send + Sync {
    /// Returns who it is.
    fn peer_id(&self) -> PeerId;

    /// Returns where it listens, at the address that its connection has proved; `None` where there never
    /// was one.
    fn addr(&self) -> Option<SocketAddr>;

    /// Asks what a game is.
    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>>;

    /// Asks for a page of a part of it.
    fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>>;

    /// Asks for chunks, which must have exactly `lens` bytes. `arrived` tells meanwhile how many have come.
    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
        arrived: ArrivedBytes,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>>;

    /// Tells it that a chunk came wrong, so that it looks whether it still has the right one.
    fn report_wrong_chunk(&self, _wrong: WrongChunk) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How many bytes of an answer have come so far. Clones are the same number.
#[derive(Debug, Clone, Default)]
pub struct ArrivedBytes(Arc<AtomicU64>);

impl ArrivedBytes {
    /// Sets how many have come.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Returns how many have come.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The answer to [`Source::get_chunks`]; nothing in it is verified yet.
#[derive(Debug)]
pub struct ReceivedChunks {
    /// The hashes that the source gave, one for each chunk.
    pub hashes: Vec<ContentHash>,
    /// The bytes of all chunks; as many as asked for.
    pub bytes: Bytes,
}

/// A peer that can stream a game.
pub trait StreamOrigin: Send + Sync {
    /// Returns who it is.
    fn peer_id(&self) -> PeerId;

    /// Returns where it listens, as [`Source::addr`] does.
    fn addr(&self) -> Option<SocketAddr>;

    /// Asks for the stream.
    fn open(&self, request: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>>;
}
