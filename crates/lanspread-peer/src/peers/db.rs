//! The peers that are known, and their libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use lanspread_catalog::{Catalog, CatalogPosition};
use lanspread_library::{DeltaOutcome, KnownGame, Libraries, RemoteDelta, RemoteLibrary};
use lanspread_net::address::CountedAddress;
use lanspread_proto::message::Hello;
use lanspread_proto::{GameId, PeerId, PeerName};
use tokio::time::Instant;

use crate::info::{PeerInfo, SourceInfo};

/// The table of known peers. Owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct PeerGameDb {
    peers: BTreeMap<PeerId, PeerEntry>,
    /// Counted by the address at which a peer is known.
    libraries: Libraries<CountedAddress>,
}

/// A known peer.
#[derive(Debug)]
pub(crate) struct PeerEntry {
    pub(crate) name: PeerName,
    pub(crate) addr: SocketAddr,
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
    /// Takes in what a peer said of itself, and its library unless that is known to be the one that it has. Returns also the
    /// games that are announced otherwise.
    pub(crate) fn upsert(
        &mut self,
        hello: &Hello,
        addr: SocketAddr,
        library: Option<&RemoteLibrary>,
        now: Instant,
    ) -> (Upserted, BTreeSet<CatalogPosition>) {
        let (peer_id, name, session) = (hello.peer_id, hello.name.clone(), hello.session);
        let rev = self.libraries.rev(peer_id);
        let changed =
            library.map(|library| self.libraries.replace(peer_id, addr.ip().into(), library));
        let changed = changed.unwrap_or_default();
        let fresh = PeerEntry { name, addr, session, last_sign_of_life: now };
        let Some(known) = self.peers.get_mut(&peer_id) else {
            self.peers.insert(peer_id, fresh);
            return (Upserted::New, changed);
        };
        let is_same = known.name == fresh.name
            && known.addr == fresh.addr
            && rev == self.libraries.rev(peer_id)
            && changed.is_empty();
        *known = fresh;
        (if is_same { Upserted::Same } else { Upserted::Changed }, changed)
    }

    /// Returns whether the library of a peer is known to be the one that the peer has.
    pub(crate) fn has_current_library(&self, hello: &Hello) -> bool {
        let is_same_start =
            self.peers.get(&hello.peer_id).is_some_and(|known| known.session == hello.session);
        is_same_start && self.libraries.rev(hello.peer_id) == Some(hello.library_rev)
    }

    /// Forgets a peer. Returns the games it announced.
    pub(crate) fn remove(&mut self, peer_id: PeerId) -> Option<BTreeSet<CatalogPosition>> {
        self.peers.remove(&peer_id)?;
        Some(self.libraries.remove(peer_id))
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
        self.libraries.apply(peer_id, delta)
    }

    /// Replaces a peer's library by a newer one. Returns the games that are announced otherwise; `None`
    /// when the peer is not known or the library is not newer.
    pub(crate) fn replace_library(
        &mut self,
        peer_id: PeerId,
        library: &RemoteLibrary,
    ) -> Option<BTreeSet<CatalogPosition>> {
        let entry = self.peers.get(&peer_id)?;
        let is_newer = self.libraries.rev(peer_id).is_none_or(|known| known < library.rev);
        is_newer.then(|| self.libraries.replace(peer_id, entry.addr.ip().into(), library))
    }

    /// Returns the revision of the library of a known peer.
    pub(crate) fn library_rev(&self, peer_id: PeerId) -> Option<u64> {
        self.libraries.rev(peer_id)
    }

    /// How many games at least one peer can serve.
    pub(crate) fn remote_game_count(&self) -> usize {
        self.libraries.usable_games()
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
            library_rev: self.libraries.rev(peer_id).unwrap_or_default(),
            game_count: self.libraries.len_of(peer_id),
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

    /// Returns what a peer that can serve a game announces it as.
    pub(crate) fn announced(
        &self,
        catalog: &Catalog,
        game_id: &GameId,
        peer_id: PeerId,
    ) -> Option<&KnownGame> {
        self.libraries.usable_at(peer_id, catalog.position(game_id)?)
    }

    fn usable(
        &self,
        catalog: &Catalog,
        game_id: &GameId,
    ) -> impl Iterator<Item = (PeerId, &PeerEntry, &KnownGame)> {
        let position = catalog.position(game_id);
        self.iter().filter_map(move |(peer_id, entry)| {
            Some((peer_id, entry, self.libraries.usable_at(peer_id, position?)?))
        })
    }

    /// Every game that at least one peer can serve: how many can, and the size the first one tells.
    pub(crate) fn remote_games(&self, catalog: &Catalog) -> BTreeMap<GameId, RemoteGame> {
        let named = |(position, (peer_count, size))| {
            Some((catalog.at(position)?.id.clone(), RemoteGame { peer_count, size }))
        };
        self.libraries.usable().filter_map(named).collect()
    }

    /// What [`Self::remote_games`] says of one game.
    pub(crate) fn remote_game(&self, catalog: &Catalog, game_id: &GameId) -> Option<RemoteGame> {
        let (peer_count, size) = self.libraries.usable_by(catalog.position(game_id)?)?;
        Some(RemoteGame { peer_count, size })
    }
}

/// A game that peers can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteGame {
    pub(crate) peer_count: usize,
    pub(crate) size: u64,
}
