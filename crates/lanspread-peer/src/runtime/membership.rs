//! The command loop's part about peers: who comes, goes, falls silent and changes.

mod conflicts;
mod handshakes;
mod libraries;
mod mdns;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lanspread_catalog::Catalog;
use lanspread_mdns::{BrowseEvent, OtherRecord, PeerRecord};
use lanspread_net::dispute::ContentDispute;
use lanspread_net::link::LinkId;
use lanspread_net::links::{LinkTable, LinkedSource};
use lanspread_net::source::Source;
use lanspread_net::transport::CloseCode;
use lanspread_proto::{GameId, PROTOCOL_VERSION, PeerId};
use lanspread_serve::library_fetch::LibraryFetches;
use lanspread_serve::session::Pace;
use lanspread_transfer::progress::SourceBytes;
use tokio::time::Instant;

use self::libraries::Awaited;
use super::handles::Handles;
use crate::event::{LostReason, PeerEvent};
use crate::info::{MdnsStatus, PeerInfo};
use crate::messages::InboxMessage;
use crate::peers::conflicts::Conflicts;
use crate::peers::db::PeerGameDb;
use crate::peers::dialling::{DialTable, Found};
use crate::peers::liveness::{Limits, SilenceWatch, Verdict};
use crate::peers::places::Deliverers;
use crate::peers::refusals::Refusals;
use crate::peers::versions::OtherVersions;

/// How long a connection may take for a sign of life whose address is not advertised any more. Most are
/// dead: a machine that can be reached at an address says so.
const MOVED_PATIENCE: Duration = Duration::from_secs(1);

/// The other peers: who is known, connected, dialled and asked, and which games they announce.
pub(super) struct Membership {
    pub(super) links: LinkTable,
    pub(super) peers: PeerGameDb,
    pub(super) dials: DialTable,
    /// Who has delivered something verified.
    deliverers: Deliverers,
    /// Identities that two peers have.
    pub(super) conflicts: Conflicts,
    /// Whether another peer with the identity of this one is being looked for.
    pub(super) is_looking_for_clones: bool,
    /// Refusals that no command asked for.
    pub(super) refusals: Refusals,
    /// Peers that speak another version of the protocol.
    pub(super) versions: OtherVersions,
    /// Whether mDNS works.
    pub(super) mdns: MdnsStatus,
    pub(super) liveness: SilenceWatch,
    /// Peers that are being asked for a sign of life.
    asking: BTreeSet<PeerId>,
    /// Peers whose library is being asked for.
    awaited: BTreeMap<PeerId, Awaited>,
    fetches: LibraryFetches,
    /// How often peers may tell something.
    pace: Pace,
}

/// Games that other peers announce otherwise than before. Running downloads of them get or lose sources.
#[must_use = "running downloads have to hear of it"]
#[derive(Debug, Default)]
pub(super) struct SourcesChanged(BTreeSet<GameId>);

impl SourcesChanged {
    pub(super) fn new(games: BTreeSet<GameId>) -> Self {
        Self(games)
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn games(&self) -> &BTreeSet<GameId> {
        &self.0
    }
}

impl Membership {
    /// No peer is known yet.
    pub(super) fn new(me: PeerId, links: LinkTable, mdns: MdnsStatus, limits: Limits) -> Self {
        Self {
            links,
            peers: PeerGameDb::default(),
            dials: DialTable::new(me),
            deliverers: Deliverers::default(),
            conflicts: Conflicts::default(),
            is_looking_for_clones: false,
            refusals: Refusals::default(),
            versions: OtherVersions::default(),
            mdns,
            liveness: SilenceWatch::new(limits),
            asking: BTreeSet::new(),
            awaited: BTreeMap::new(),
            fetches: LibraryFetches::default(),
            pace: Pace::default(),
        }
    }

    /// Returns who is known, in peer id order.
    pub(super) fn list_peers(&mut self) -> Vec<PeerInfo> {
        let now = Instant::now();
        let peer_ids: Vec<_> = self.peers.iter().map(|(peer_id, _)| peer_id).collect();
        for peer_id in &peer_ids {
            self.note_heard(*peer_id);
        }
        peer_ids.into_iter().filter_map(|peer_id| self.peers.info(peer_id, now)).collect()
    }

    /// Returns who can serve a game at the catalog's version.
    pub(super) fn source_ids(&self, game_id: &GameId, catalog: &Catalog) -> BTreeSet<PeerId> {
        let sources = self.peers.sources(catalog, game_id);
        sources.into_iter().map(|source| source.peer_id).collect()
    }

    /// Notes which peers have delivered something that turned out right. They keep their places.
    pub(super) fn note_deliveries(&mut self, sources: &[SourceBytes]) {
        let now = Instant::now();
        for source in sources.iter().filter(|source| source.bytes > 0) {
            self.deliverers.note(source.peer_id, now);
        }
    }

    /// Returns a peer as a source of games. It uses the connection that there is when it is asked.
    pub(super) fn source(&self, peer_id: PeerId) -> Arc<dyn Source> {
        Arc::new(self.linked(peer_id))
    }

    /// Returns a peer as a source of games or streams.
    pub(super) fn linked(&self, peer_id: PeerId) -> LinkedSource {
        let known_addr = self.peers.get(peer_id).map(|entry| entry.addr);
        LinkedSource::new(peer_id, known_addr, self.links.clone())
    }

    /// Returns at most `max` sources of a game: one at each address before a second one at any.
    pub(super) fn sources_by_address(
        &self,
        game_id: &GameId,
        catalog: &Catalog,
        max: usize,
    ) -> Vec<LinkedSource> {
        let mut turns: BTreeMap<_, usize> = BTreeMap::new();
        let mut sources = self.peers.sources(catalog, game_id);
        sources.sort_by_cached_key(|source| {
            let turn = turns.entry(source.addr.ip().to_canonical()).or_default();
            *turn += 1;
            *turn
        });
        sources.iter().take(max).map(|source| self.linked(source.peer_id)).collect()
    }

    /// Adds the sizes that sources announce of what there is to choose from.
    pub(super) fn with_sizes(&self, dispute: ContentDispute, catalog: &Catalog) -> ContentDispute {
        let ContentDispute { game_id, mut candidates } = dispute;
        for candidate in &mut candidates {
            let announced = candidate.sources.iter().filter_map(|source| {
                let game = self.peers.announced(catalog, &game_id, source.peer_id)?;
                (game.content_root == candidate.content_root).then_some(game.size)
            });
            candidate.bytes = announced.min();
        }
        ContentDispute { game_id, candidates }
    }

    /// Takes in some of what mDNS tells; the loop comes back for the rest.
    pub(super) fn on_sightings(&mut self, handles: &Handles) {
        for event in handles.sightings.take() {
            self.on_discovery(event, handles);
        }
        self.dial_due(handles);
    }

    fn on_discovery(&mut self, event: BrowseEvent, handles: &Handles) {
        match event {
            BrowseEvent::Appeared(record) | BrowseEvent::Updated(record) => {
                self.seen(record, handles)
            }
            BrowseEvent::Gone(peer_id) => {
                self.versions.gone(peer_id);
                self.dials.vanished(peer_id, Instant::now());
            }
            BrowseEvent::OtherVersion(record) => self.seen_other(record),
            BrowseEvent::OwnNameElsewhere(addrs) => self.look_for_clones(addrs, handles),
        }
    }

    fn seen(&mut self, record: PeerRecord, handles: &Handles) {
        if record.network != handles.me.network || record.peer_id == handles.me.peer_id {
            return;
        }
        if record.proto_ver != PROTOCOL_VERSION {
            let PeerRecord { peer_id, proto_ver, hostname, addrs, .. } = record;
            // A record has at least one address.
            let Some(addr) = addrs.into_iter().next() else { return };
            return self.seen_other(OtherRecord { peer_id, proto_ver, name: Some(hostname), addr });
        }
        self.versions.gone(record.peer_id);
        let linked = self.links.get(record.peer_id).map(|link| link.addr);
        let PeerRecord { peer_id, addrs, is_vouched, .. } = record;
        match self.dials.found(peer_id, addrs, is_vouched, linked, Instant::now()) {
            Found::Settled => {}
            Found::Elsewhere => self.ask_for_life(peer_id, MOVED_PATIENCE, handles),
        }
    }

    fn seen_other(&mut self, record: OtherRecord) {
        self.dials.vanished(record.peer_id, Instant::now());
        self.versions.advertised(record);
    }

    pub(super) fn on_link_down(
        &mut self,
        peer_id: PeerId,
        link_id: LinkId,
        is_conflict: bool,
        handles: &Handles,
    ) {
        self.stop_fetching(peer_id, link_id);
        if self.is_current(peer_id, link_id) {
            self.note_heard(peer_id);
            self.links.remove(peer_id);
            self.dials.unlinked(peer_id, Instant::now());
            if is_conflict {
                self.dials.put_off(peer_id, Instant::now());
            }
        }
        if is_conflict {
            // Where the other one is, the one that refused this one does not say.
            self.identity_conflict(handles.me.peer_id, None, handles);
        }
    }

    /// Dials a known peer that has no connection, at once.
    pub(super) fn on_link_needed(&mut self, peer_id: PeerId, handles: &Handles) {
        if self.peers.get(peer_id).is_some() && self.links.get(peer_id).is_none() {
            self.dials.dial_now(peer_id, Instant::now());
            self.dial_due(handles);
        }
    }

    pub(super) fn on_goodbye(
        &mut self,
        peer_id: PeerId,
        link_id: LinkId,
        handles: &Handles,
    ) -> SourcesChanged {
        if self.is_current(peer_id, link_id) {
            self.dials.vanished(peer_id, Instant::now());
            return self.lose(peer_id, LostReason::Goodbye, handles);
        }
        SourcesChanged::default()
    }

    pub(super) fn judge_silence(&mut self, handles: &Handles) -> SourcesChanged {
        let now = Instant::now();
        self.liveness.begin(now);
        let mut changed = SourcesChanged::default();
        let peer_ids: Vec<PeerId> = self.peers.iter().map(|(peer_id, _)| peer_id).collect();
        for peer_id in peer_ids {
            self.note_heard(peer_id);
            let Some(entry) = self.peers.get(peer_id) else { continue };
            let link = self.links.get(peer_id);
            let owing_since = link.as_ref().and_then(|link| link.owing_since());
            let heard = entry.last_sign_of_life;
            self.dials.heard(peer_id, heard);
            match self.liveness.judge(peer_id, heard, owing_since, now) {
                Verdict::Fine => {}
                Verdict::Ask if link.is_some() => {
                    self.ask_for_life(peer_id, self.liveness.limits().ping_patience(), handles);
                }
                Verdict::Ask => self.dials.needed(peer_id, now),
                Verdict::Lost => {
                    changed.extend(self.lose(peer_id, LostReason::Timeout, handles));
                }
            }
        }
        self.dial_due(handles);
        if let Some(peers) = self.versions.report(now) {
            handles.emit(PeerEvent::PeersOfOtherVersion(peers));
        }
        changed
    }

    /// Asks a peer for a sign of life on the connection to it, once at a time.
    fn ask_for_life(&mut self, peer_id: PeerId, patience: Duration, handles: &Handles) {
        let Some(link) = self.links.get(peer_id) else { return };
        if !self.asking.insert(peer_id) {
            return;
        }
        let inbox_sender = handles.inbox_sender.clone();
        handles.spawn(async move {
            let answer = link.ping(patience).await;
            if let Err(error) = &answer {
                tracing::debug!(%peer_id, %error, "a ping was not answered");
            }
            let (link_id, is_answered) = (link.id, answer.is_ok());
            let _ = inbox_sender.send(InboxMessage::Pinged { peer_id, link_id, is_answered }).await;
        });
    }

    pub(super) fn on_ping(
        &mut self,
        peer_id: PeerId,
        link_id: LinkId,
        is_answered: bool,
        handles: &Handles,
    ) {
        self.asking.remove(&peer_id);
        if !is_answered && self.is_current(peer_id, link_id) {
            self.dials.doubted(peer_id, Instant::now());
            self.dial_due(handles);
        }
    }

    fn lose(&mut self, peer_id: PeerId, reason: LostReason, handles: &Handles) -> SourcesChanged {
        self.stop_awaiting(peer_id);
        if let Some(link) = self.links.remove(peer_id) {
            link.close(match reason {
                LostReason::Goodbye | LostReason::Timeout => CloseCode::Goodbye,
                LostReason::Displaced => CloseCode::Refused,
            });
        }
        self.liveness.forget(peer_id);
        let is_advertised = self.dials.lost(peer_id, Instant::now());
        if reason == LostReason::Displaced {
            // Its place is gone: it comes by itself when there is one again.
            self.dials.rejected(peer_id);
        }
        // One whose library was not there yet has not appeared.
        let Some(games) = self.peers.remove(peer_id) else { return SourcesChanged::default() };
        handles.emit(PeerEvent::PeerLost { peer_id, reason, is_advertised });
        self.emit_peer_count(handles);
        self.remote_games_changed(games, handles)
    }

    pub(super) fn is_current(&self, peer_id: PeerId, link_id: LinkId) -> bool {
        self.links.get(peer_id).is_some_and(|link| link.id == link_id)
    }

    pub(super) fn note_heard(&mut self, peer_id: PeerId) {
        if let Some(link) = self.links.get(peer_id) {
            self.peers.heard(peer_id, link.last_sign_of_life());
        }
    }
}
