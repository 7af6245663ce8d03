//! The peers that are known, and their libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use lanspread_catalog::{Catalog, CatalogPosition};
use lanspread_library::{DeltaOutcome, KnownGame, RemoteDelta, RemoteLibrary};
use lanspread_proto::message::Hello;
use lanspread_proto::{GameId, PeerId, PeerName};
use tokio::time::Instant;

use crate::info::{PeerInfo, SourceInfo};

/// The table of known peers. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct PeerGameDb {
    peers: BTreeMap<PeerId, PeerEntry>,
}

/// A known peer.
#[derive(Debug)]
pub(crate) struct PeerEntry {
    pub(crate) name: PeerName,
    pub(crate) addr: SocketAddr,
    pub(crate) library: RemoteLibrary,
    /// The start of the peer that told the library: another one numbers its libraries anew.
    session: u64,
    pub(crate) last_sign_of_life: Instant,
}

/// What a handshake changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upserted {
    /// The peer was not known.
    New,
    /// The peer was known under another name, at another address or with another library.
    Changed,
    /// Nothing new.
    Same,
}

impl PeerGameDb {
    /// Takes in what a peer said of itself, and its library. Returns also the games that are announced
    /// otherwise.
    pub(crate) fn upsert(
        &mut self,
        hello: &Hello,
        addr: SocketAddr,
        library: RemoteLibrary,
        now: Instant,
    ) -> (Upserted, BTreeSet<CatalogPosition>) {
        let (name, session) = (hello.name.clone(), hello.session);
        let fresh = PeerEntry { name, addr, library, session, last_sign_of_life: now };
        let Some(known) = self.peers.get_mut(&hello.peer_id) else {
            let changed = fresh.library.positions();
            self.peers.insert(hello.peer_id, fresh);
            return (Upserted::New, changed);
        };
        let changed = known.library.differences(&fresh.library);
        let is_same = known.name == fresh.name
            && known.addr == fresh.addr
            && known.library.rev() == fresh.library.rev()
            && changed.is_empty();
        *known = fresh;
        (if is_same { Upserted::Same } else { Upserted::Changed }, changed)
    }

    /// Returns the library of a peer, if it is known to be the one that the peer has.
    pub(crate) fn current_library(&self, hello: &Hello) -> Option<&RemoteLibrary> {
        let known = self.peers.get(&hello.peer_id)?;
        let is_current = known.session == hello.session && known.library.rev() == hello.library_rev;
        is_current.then_some(&known.library)
    }

    /// Forgets a peer. Returns the games it announced.
    pub(crate) fn remove(&mut self, peer_id: PeerId) -> Option<BTreeSet<CatalogPosition>> {
        Some(self.peers.remove(&peer_id)?.library.positions())
    }

    /// Notes when a peer was last heard.
    pub(crate) fn heard(&mut self, peer_id: PeerId, at: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer_id) {
            entry.last_sign_of_life = entry.last_sign_of_life.max(at);
        }
    }

    /// Applies a delta to a peer's library; `None` when the peer is not known.
    pub(crate) fn apply_delta(
        &mut self,
        peer_id: PeerId,
        delta: RemoteDelta,
    ) -> Option<DeltaOutcome> {
        Some(self.peers.get_mut(&peer_id)?.library.apply(delta))
    }

    /// Replaces a peer's library by a newer one. Returns the games that are announced otherwise; `None`
    /// when the peer is not known or the library is not newer.
    pub(crate) fn replace_library(
        &mut self,
        peer_id: PeerId,
        library: RemoteLibrary,
    ) -> Option<BTreeSet<CatalogPosition>> {
        let entry = self.peers.get_mut(&peer_id)?;
        if library.rev() <= entry.library.rev() {
            return None;
        }
        let changed = entry.library.differences(&library);
        entry.library = library;
        Some(changed)
    }

    /// A known peer.
    pub(crate) fn get(&self, peer_id: PeerId) -> Option<&PeerEntry> {
        self.peers.get(&peer_id)
    }

    /// The known peers in id order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &PeerEntry)> {
        self.peers.iter().map(|(id, entry)| (*id, entry))
    }

    /// How many peers are known.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// What is told of a peer.
    pub(crate) fn info(&self, peer_id: PeerId, now: Instant) -> Option<PeerInfo> {
        let entry = self.get(peer_id)?;
        Some(PeerInfo {
            peer_id,
            name: entry.name.clone(),
            addr: entry.addr,
            library_rev: entry.library.rev(),
            game_count: entry.library.len(),
            last_seen: now.saturating_duration_since(entry.last_sign_of_life),
        })
    }

    /// Who can serve a game: those that announce it at the catalog's version. In peer id order.
    ///
    /// Whether what they announce is the content that the catalog states shows when they tell more: a
    /// catalog may state it in the form of wire version 3, which no library tells.
    pub(crate) fn sources(&self, catalog: &Catalog, game_id: &GameId) -> Vec<SourceInfo> {
        self.usable(catalog, game_id)
            .map(|(peer_id, entry, summary)| SourceInfo {
                peer_id,
                name: entry.name.clone(),
                addr: entry.addr,
                content_root: summary.content_root,
            })
            .collect()
    }

    /// What those who can serve a game announce it as, in peer id order.
    pub(crate) fn announcements(
        &self,
        catalog: &Catalog,
        game_id: &GameId,
    ) -> impl Iterator<Item = &KnownGame> {
        self.usable(catalog, game_id).map(|(_, _, game)| game)
    }

    fn usable(
        &self,
        catalog: &Catalog,
        game_id: &GameId,
    ) -> impl Iterator<Item = (PeerId, &PeerEntry, &KnownGame)> {
        let position = catalog.position(game_id);
        self.iter().filter_map(move |(peer_id, entry)| {
            Some((peer_id, entry, entry.library.usable_at(position?)?))
        })
    }

    /// Every game that at least one peer can serve: how many can, and the size the first one tells.
    pub(crate) fn remote_games(&self, catalog: &Catalog) -> BTreeMap<GameId, RemoteGame> {
        let mut games: BTreeMap<CatalogPosition, RemoteGame> = BTreeMap::new();
        for known in self.peers.values().flat_map(|entry| entry.library.usable()) {
            let fresh = RemoteGame { peer_count: 0, size: known.size };
            games.entry(known.position).or_insert(fresh).peer_count += 1;
        }
        let named = |(position, game)| Some((catalog.at(position)?.id.clone(), game));
        games.into_iter().filter_map(named).collect()
    }
}

/// A game that peers can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteGame {
    pub(crate) peer_count: usize,
    pub(crate) size: u64,
}
