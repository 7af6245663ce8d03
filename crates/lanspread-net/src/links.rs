//! The one connection to each peer, shared with those who ask peers for something.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, StreamInstall, WrongChunk};
use lanspread_proto::{PeerId, SourceError};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::exchange::FrameReader;
use super::link::PeerLink;
use crate::source::{ArrivedBytes, ReceivedChunks, Source, StreamOrigin};

/// How long a request waits for the connection that it needs: what a handshake may take.
const LINK_WAIT: Duration = Duration::from_secs(5);
/// Most calls for a connection that wait for the command loop. A call that is one too many is lost;
/// whoever needs the connection asks again.
const CALLS_MAX: usize = 64;

/// The table of links. The command loop alone writes it.
#[derive(Clone)]
pub struct LinkTable {
    links: watch::Sender<BTreeMap<PeerId, Arc<PeerLink>>>,
    calls: mpsc::Sender<PeerId>,
}

impl LinkTable {
    /// Makes an empty table; returns it and the peers to which somebody needs a link that is not there.
    pub fn new() -> (Self, mpsc::Receiver<PeerId>) {
        let (calls, called) = mpsc::channel(CALLS_MAX);
        (Self { links: watch::channel(BTreeMap::new()).0, calls }, called)
    }

    /// Returns the link to a peer.
    pub fn get(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        self.links.borrow().get(&peer_id).cloned()
    }

    /// Returns all links, in peer id order.
    pub fn all(&self) -> Vec<Arc<PeerLink>> {
        self.links.borrow().values().cloned().collect()
    }

    /// Sets the link to a peer; returns the one that was there.
    pub fn insert(&self, link: Arc<PeerLink>) -> Option<Arc<PeerLink>> {
        let mut before = None;
        self.links.send_modify(|links| before = links.insert(link.peer_id(), link));
        before
    }

    /// Forgets the link to a peer; returns it.
    pub fn remove(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        let mut before = None;
        self.links.send_modify(|links| before = links.remove(&peer_id));
        before
    }

    /// Waits until there is no link to a peer.
    #[cfg(any(test, feature = "testing"))]
    pub async fn lost(&self, peer_id: PeerId) {
        let mut links = self.links.subscribe();
        // The table, which is borrowed here, holds the sender.
        let _ = links.wait_for(|links| !links.contains_key(&peer_id)).await;
    }

    /// Returns the link to a peer. Where there is none, one is called for, for the next request.
    fn demand(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        let link = self.get(peer_id);
        if link.is_none() {
            let _ = self.calls.try_send(peer_id);
        }
        link
    }

    /// Returns the link to a peer. Where there is none, one is called for, and awaited for [`LINK_WAIT`].
    async fn await_link(&self, peer_id: PeerId) -> Option<Arc<PeerLink>> {
        let mut links = self.links.subscribe();
        if let Some(link) = self.demand(peer_id) {
            return Some(link);
        }
        let is_there = |links: &BTreeMap<_, _>| links.contains_key(&peer_id);
        let links = timeout(LINK_WAIT, links.wait_for(is_there)).await.ok()?.ok()?;
        links.get(&peer_id).cloned()
    }
}

/// A peer as a source of games, over whichever link it has at the moment.
pub struct LinkedSource {
    peer_id: PeerId,
    /// Where it listened when this was made.
    known_addr: Option<SocketAddr>,
    links: LinkTable,
}

impl LinkedSource {
    /// Makes a source that asks `peer_id` over the links of the table. `known_addr` is where its last
    /// link led, for as long as it has none.
    pub fn new(peer_id: PeerId, known_addr: Option<SocketAddr>, links: LinkTable) -> Self {
        Self { peer_id, known_addr, links }
    }

    fn addr(&self) -> Option<SocketAddr> {
        self.links.get(self.peer_id).map(|link| link.addr).or(self.known_addr)
    }

    async fn link(&self) -> Result<Arc<PeerLink>, SourceError> {
        self.links.await_link(self.peer_id).await.ok_or_else(unlinked)
    }
}

fn unlinked() -> SourceError {
    SourceError::Gone("there is no connection".to_owned())
}

impl Source for LinkedSource {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn addr(&self) -> Option<SocketAddr> {
        self.addr()
    }

    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>> {
        async move { self.link().await?.get_game(request).await }.boxed()
    }

    fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>> {
        async move { self.link().await?.get_page(request).await }.boxed()
    }

    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
        arrived: ArrivedBytes,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
        async move {
            // Not awaited: meanwhile others may be asked for them.
            let link = self.links.demand(self.peer_id).ok_or_else(unlinked)?;
            link.get_chunks_counted(request, &lens, &arrived).await
        }
        .boxed()
    }

    fn report_wrong_chunk(&self, wrong: WrongChunk) -> BoxFuture<'_, ()> {
        async move {
            let Some(link) = self.links.get(self.peer_id) else { return };
            if let Err(error) = link.report_wrong_chunk(wrong).await {
                tracing::debug!(peer_id = %self.peer_id, %error, "a complaint was not heard");
            }
        }
        .boxed()
    }
}

impl StreamOrigin for LinkedSource {
    fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    fn addr(&self) -> Option<SocketAddr> {
        self.addr()
    }

    fn open(&self, request: StreamInstall) -> BoxFuture<'_, Result<FrameReader, SourceError>> {
        async move { self.link().await?.stream_install(request).await }.boxed()
    }
}
