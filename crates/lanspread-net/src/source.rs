//! What a download needs of a peer, so that tests can stand in for the network.

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

    /// Asks what a game is.
    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>>;

    /// Asks for a page of a part of it.
    fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>>;

    /// Asks for chunks, which must have exactly `lens` bytes.
    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>>;

    /// Tells it that a chunk came wrong, so that it looks whether it still has the right one.
    fn report_wrong_chunk(&self, _wrong: WrongChunk) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
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

    /// Asks for the stream.
    fn open(&self, request: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>>;
}
