//! The one connection to each peer, shared with those who ask peers for something.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::PeerId;
use lanspread_proto::message::{GetChunks, GetGame, StreamInstall};

use super::exchange::FrameReader;
use super::link::PeerLink;
use crate::download::{GameAnswer, ReceivedChunks, Source, SourceError};
use crate::install::StreamOrigin;

/// The table of links. The command loop alone writes it.
#[derive(Clone, Default)]
pub(crate) struct LinkTable {
    links: Arc<RwLock<BTreeMap<PeerId, Arc<PeerLink>>>>,
}

impl LinkTable {
    /// The link to a peer.
    pub(crate) fn get(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        self.read().get(&peer_id).cloned()
    }

    /// All links, in peer id order.
    pub(crate) fn all(&self) -> Vec<Arc<PeerLink>> {
        self.read().values().cloned().collect()
    }

    /// Sets the link to a peer; returns the one that was there.
    pub(crate) fn insert(&self, link: Arc<PeerLink>) -> Option<Arc<PeerLink>> {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.insert(link.peer_id(), link)
    }

    /// Forgets the link to a peer; returns it.
    pub(crate) fn remove(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.remove(&peer_id)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<PeerId, Arc<PeerLink>>> {
        // One insert or remove is all that ever happens under the lock.
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer as a source of games, over whichever link it has at the moment.
pub(crate) struct LinkedSource {
    peer_id: PeerId,
    links: LinkTable,
}

impl LinkedSource {
    pub(crate) fn new(peer_id: PeerId, links: LinkTable) -> Self {
        Self { peer_id, links }
    }

    fn link(&self) -> Result<Arc<PeerLink>, SourceError> {
        let gone = || SourceError::Gone("there is no connection".to_owned());
        self.links.get(self.peer_id).ok_or_else(gone)
    }
}

impl Source for LinkedSource {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameAnswer, SourceError>> {
        async move { self.link()?.get_game(request).await }.boxed()
    }

    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
        async move { self.link()?.get_chunks(request, &lens).await }.boxed()
    }
}

impl StreamOrigin for LinkedSource {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn open(&self, request: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>> {
        async move { self.link()?.stream_install(request).await }.boxed()
    }
}
