//! What a download needs of a peer, so that tests can stand in for the network.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lanspread_proto::SourceError;
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, WrongChunk};
use lanspread_proto::{ContentHash, PeerId};

/// A peer that serves a game.
///
/// Dropping a returned future cancels the request.
pub(crate) trait Source: Send + Sync {
    /// Who it is.
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
    fn complain(&self, _wrong: WrongChunk) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The answer to [`Source::get_chunks`]; nothing in it is verified yet.
#[derive(Debug)]
pub(crate) struct ReceivedChunks {
    /// The hashes that the source gave, one for each chunk.
    pub(crate) hashes: Vec<ContentHash>,
    /// The bytes of all chunks; as many as asked for.
    pub(crate) bytes: Bytes,
}
