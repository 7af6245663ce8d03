//! The command loop's part about the libraries of other peers.
//!
//! A peer that is let in appears when its library is here. What it tells of changes meanwhile is kept, and
//! applied to the library if it builds on that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanspread_catalog::CatalogPosition;
use lanspread_library::{DeltaOutcome, RemoteDelta, RemoteLibrary};
use lanspread_net::handshake::RejectReason;
use lanspread_net::link::{LinkId, PeerLink};
use lanspread_net::transport::CloseCode;
use lanspread_proto::{GameId, PeerId, SourceError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Membership, SourcesChanged};
use crate::command::Reply;
use crate::error::ConnectError;
use crate::event::PeerEvent;
use crate::messages::InboxMessage;
use crate::peers::db::Upserted;
use crate::peers::refusals::Refused;
use crate::runtime::handles::Handles;

/// Most changes that are kept while a library is awaited: a peer tells some in a second, and a library is
/// here within that.
const KEPT_DELTAS_MAX: usize = 4;
/// Most games of a change that is kept: with that, the changes that are kept of 256 peers take 7 MB. What a larger one says, the
/// library says that is asked for next.
const KEPT_DELTA_GAMES_MAX: usize = 64;
/// How long a change that a peer has told may be missing before its library is asked for: the peer tells it
/// anew within milliseconds, from the revision that was read.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// How long a connection may take to come up here that the other side has already preferred to another one:
/// its handshake takes milliseconds.
const REPLACED_GRACE: Duration = Duration::from_secs(2);

/// A library that was asked for.
pub(in crate::runtime) struct Awaited {
    link: Arc<PeerLink>,
    /// Where the peer was reached, if it appears when the library is here.
    joins_at: Option<SocketAddr>,
    /// Who waits for the peer to appear.
    replies: Vec<Reply<PeerId, ConnectError>>,
    /// What the peer told meanwhile.
    deltas: Vec<RemoteDelta>,
    /// The newest revision that it told meanwhile.
    told_rev: u64,
    /// Ends the fetch when it is dropped.
    fetch: Option<DropGuard>,
}

impl Membership {
    /// Lets a peer appear that was let in: at once where its library is known, else when that is here.
    pub(in crate::runtime) fn join(
        &mut self,
        addr: SocketAddr,
        link: Arc<PeerLink>,
        reply: Option<Reply<PeerId, ConnectError>>,
        handles: &Handles,
    ) -> SourcesChanged {
        let mut replies: Vec<_> = reply.into_iter().collect();
        if let Some(before) = self.awaited.remove(&link.peer_id()) {
            replies.extend(before.replies);
        }
        if self.peers.has_current_library(&link.hello) {
            return self.joined(&link, None, replies, handles);
        }
        self.ask_for_library(link, Some(addr), replies, handles);
        SourcesChanged::default()
    }

    /// Returns the connections of the peers that will appear.
    pub(in crate::runtime) fn joining(&self) -> impl Iterator<Item = &PeerLink> {
        let is_new = |(peer_id, _): &(&PeerId, &Awaited)| self.peers.get(**peer_id).is_none();
        self.awaited.iter().filter(is_new).map(|(_, awaited)| &*awaited.link)
    }

    /// Leaves the answer to whoever lets a peer appear, if it is about to.
    pub(in crate::runtime) fn answer_when_joined(
        &mut self,
        peer_id: PeerId,
        reply: Option<Reply<PeerId, ConnectError>>,
    ) {
        match (self.awaited.get_mut(&peer_id), reply) {
            (Some(awaited), reply) => awaited.replies.extend(reply),
            (None, Some(reply)) => drop(reply.send(Ok(peer_id))),
            (None, None) => {}
        }
    }

    /// Asks for the library of a peer, once at a time.
    fn ask_for_library(
        &mut self,
        link: Arc<PeerLink>,
        joins_at: Option<SocketAddr>,
        replies: Vec<Reply<PeerId, ConnectError>>,
        handles: &Handles,
    ) {
        let (peer_id, link_id) = (link.peer_id(), link.id);
        let stop = CancellationToken::new();
        let awaited = Awaited {
            link: Arc::clone(&link),
            joins_at,
            replies,
            deltas: Vec::new(),
            told_rev: 0,
            fetch: Some(stop.clone().drop_guard()),
        };
        self.awaited.insert(peer_id, awaited);
        let (inbox_sender, catalog) = (handles.inbox_sender.clone(), Arc::clone(&handles.catalog));
        let fetches = self.fetches.clone();
        handles.spawn(async move {
            let outcome = stop.run_until_cancelled(fetches.fetch(&link, &catalog)).await;
            let gone = || Err(SourceError::Gone("the connection is gone".to_owned()));
            let outcome = outcome.unwrap_or_else(gone);
            // Whoever waits is answered by the connection that has taken the place of this one.
            if outcome.is_err() && link.is_replaced() {
                sleep(REPLACED_GRACE).await;
            }
            let _ = inbox_sender.send(InboxMessage::Library { peer_id, link_id, outcome }).await;
        });
    }

    pub(in crate::runtime) fn on_library(
        &mut self,
        peer_id: PeerId,
        link_id: LinkId,
        outcome: Result<RemoteLibrary, SourceError>,
        handles: &Handles,
    ) -> SourcesChanged {
        let is_awaited =
            self.awaited.get(&peer_id).is_some_and(|awaited| awaited.link.id == link_id);
        // A newer connection has asked for it as well.
        if !is_awaited {
            return SourcesChanged::default();
        }
        let Some(awaited) = self.awaited.remove(&peer_id) else {
            return SourcesChanged::default();
        };
        let mut sources_changed = SourcesChanged::default();
        let Awaited { link, joins_at, replies, deltas, told_rev, fetch: _ } = awaited;
        match (outcome, joins_at) {
            (Ok(library), Some(_)) => {
                sources_changed.extend(self.joined(&link, Some(&library), replies, handles));
            }
            (Ok(library), None) => {
                if let Some(changed) = self.peers.replace_library(peer_id, &library) {
                    sources_changed.extend(self.peer_changed(peer_id, changed, handles));
                }
            }
            (Err(error), joins_at) => {
                self.library_missing(&link, joins_at, error, replies, handles);
                return sources_changed;
            }
        }
        for delta in deltas {
            if let Some(DeltaOutcome::Applied { changed }) = self.peers.apply_delta(peer_id, delta)
            {
                sources_changed.extend(self.peer_changed(peer_id, changed, handles));
            }
        }
        if self.is_behind(peer_id, told_rev) {
            let inbox_sender = handles.inbox_sender.clone();
            handles.spawn(async move {
                sleep(BEHIND_MAX).await;
                let _ = inbox_sender.send(InboxMessage::LibraryBehind { peer_id, told_rev }).await;
            });
        }
        sources_changed
    }

    /// Asks for a library anew of which a change is still missing.
    pub(in crate::runtime) fn on_library_behind(
        &mut self,
        peer_id: PeerId,
        told_rev: u64,
        handles: &Handles,
    ) {
        if self.is_behind(peer_id, told_rev) {
            self.refresh_library(peer_id, handles);
        }
    }

    pub(in crate::runtime) fn on_delta(
        &mut self,
        peer_id: PeerId,
        link_id: LinkId,
        delta: RemoteDelta,
        handles: &Handles,
    ) -> SourcesChanged {
        if !self.is_current(peer_id, link_id) {
            return SourcesChanged::default();
        }
        if let Some(awaited) = self.awaited.get_mut(&peer_id) {
            awaited.told_rev = awaited.told_rev.max(delta.to_rev);
            if delta.len() > KEPT_DELTA_GAMES_MAX {
                return SourcesChanged::default();
            }
            if awaited.deltas.len() >= KEPT_DELTAS_MAX {
                awaited.deltas.remove(0);
            }
            awaited.deltas.push(delta);
            return SourcesChanged::default();
        }
        match self.peers.apply_delta(peer_id, delta) {
            None | Some(DeltaOutcome::Ignored) => SourcesChanged::default(),
            Some(DeltaOutcome::Applied { changed }) => self.peer_changed(peer_id, changed, handles),
            Some(DeltaOutcome::Gap) => {
                self.refresh_library(peer_id, handles);
                SourcesChanged::default()
            }
        }
    }

    /// Ends the fetch of a library on a connection that is gone. It may wait for its turn, and would not notice.
    pub(in crate::runtime) fn stop_fetching(&mut self, peer_id: PeerId, link_id: LinkId) {
        if let Some(awaited) = self.awaited.get_mut(&peer_id).filter(|it| it.link.id == link_id) {
            awaited.fetch = None;
        }
    }

    fn is_behind(&self, peer_id: PeerId, told_rev: u64) -> bool {
        self.peers.library_rev(peer_id).is_some_and(|rev| rev < told_rev)
    }

    fn refresh_library(&mut self, peer_id: PeerId, handles: &Handles) {
        if let Some(link) = self.links.get(peer_id)
            && !self.awaited.contains_key(&peer_id)
        {
            self.ask_for_library(link, None, Vec::new(), handles);
        }
    }

    fn joined(
        &mut self,
        link: &PeerLink,
        library: Option<&RemoteLibrary>,
        replies: Vec<Reply<PeerId, ConnectError>>,
        handles: &Handles,
    ) -> SourcesChanged {
        let peer_id = link.peer_id();
        let (upserted, changed) =
            self.peers.upsert(&link.hello, link.addr, library, Instant::now());
        if let Some(info) = self.peers.info(peer_id, Instant::now()) {
            match upserted {
                Upserted::New => {
                    handles.emit(PeerEvent::PeerDiscovered(info));
                    self.emit_peer_count(handles);
                }
                Upserted::Changed => handles.emit(PeerEvent::PeerUpdated(info)),
                Upserted::Same => {}
            }
        }
        let sources_changed = self.remote_games_changed(changed, handles);
        for reply in replies {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Ok(peer_id));
        }
        sources_changed
    }

    /// Lets a peer go that does not tell its library. One that is known stays so, and tells its library on
    /// a new connection.
    fn library_missing(
        &mut self,
        link: &PeerLink,
        joins_at: Option<SocketAddr>,
        error: SourceError,
        replies: Vec<Reply<PeerId, ConnectError>>,
        handles: &Handles,
    ) {
        let peer_id = link.peer_id();
        tracing::debug!(%peer_id, %error, "a peer did not tell its library");
        link.close(CloseCode::Protocol);
        let is_known = self.peers.get(peer_id).is_some();
        let is_newest = self.links.get(peer_id).is_none_or(|newest| newest.id == link.id);
        if !is_known && is_newest {
            self.links.remove(peer_id);
            self.dials.lost(peer_id, Instant::now());
        }
        let addr = joins_at.unwrap_or(link.addr);
        let is_broken = matches!(error, SourceError::Protocol(_));
        if is_broken && !is_known {
            // It would be as broken a moment later.
            self.dials.rejected(peer_id);
            let (reason, message) = (RejectReason::Protocol, error.to_string());
            let refused = Refused { peer_id: Some(peer_id), addr, reason, message };
            self.tell_refused(refused, !replies.is_empty(), handles);
        }
        let failure = match error {
            SourceError::Protocol(message) => {
                let (peer_id, reason) = (Some(peer_id), RejectReason::Protocol);
                ConnectError::Rejected { addr, peer_id, reason, message }
            }
            other => ConnectError::Unreachable { addr, reason: other.to_string() },
        };
        for reply in replies {
            let _ = reply.send(Err(failure.clone()));
        }
    }

    /// Answers those who wait for a peer that is gone.
    pub(in crate::runtime) fn stop_awaiting(&mut self, peer_id: PeerId) {
        let Some(awaited) = self.awaited.remove(&peer_id) else { return };
        let addr = awaited.joins_at.unwrap_or(awaited.link.addr);
        for reply in awaited.replies {
            let reason = "it left".to_owned();
            let _ = reply.send(Err(ConnectError::Unreachable { addr, reason }));
        }
    }

    fn peer_changed(
        &mut self,
        peer_id: PeerId,
        changed: BTreeSet<CatalogPosition>,
        handles: &Handles,
    ) -> SourcesChanged {
        if let Some(info) = self.peers.info(peer_id, Instant::now()) {
            handles.emit(PeerEvent::PeerUpdated(info));
        }
        self.remote_games_changed(changed, handles)
    }

    pub(in crate::runtime) fn remote_games_changed(
        &mut self,
        changed: BTreeSet<CatalogPosition>,
        handles: &Handles,
    ) -> SourcesChanged {
        let named = |position| Some(handles.catalog.at(position)?.id.clone());
        let changed: BTreeSet<GameId> = changed.into_iter().filter_map(named).collect();
        if changed.is_empty() {
            return SourcesChanged::default();
        }
        let game_count = self.peers.remote_game_count();
        let told = changed.iter().cloned().collect();
        handles.emit(PeerEvent::GamesListUpdated { game_count, changed: told });
        SourcesChanged::new(changed)
    }

    pub(in crate::runtime) fn emit_peer_count(&mut self, handles: &Handles) {
        let peer_count = self.peers.len();
        handles.emit(PeerEvent::PeerCountUpdated { peer_count });
    }
}
