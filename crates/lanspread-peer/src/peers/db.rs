//! The peers that are known, and their libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use lanspread_catalog::Catalog;
use lanspread_proto::message::{GameSummary, Hello, LibraryDelta, LibrarySnapshot};
use lanspread_proto::{GameId, PeerId, PeerName};
use tokio::time::Instant;

use crate::command::{PeerInfo, SourceInfo};
use crate::library::{DeltaOutcome, apply};

/// Most peers that are known at once: several LAN parties.
pub(crate) const PEERS_MAX: usize = 256;

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
    pub(crate) library: LibrarySnapshot,
    pub(crate) last_heard: Instant,
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
    /// There are already [`PEERS_MAX`].
    Full,
}

impl PeerGameDb {
    /// Takes in what a peer said of itself. Returns also the games whose announcement changed.
    pub(crate) fn upsert(
        &mut self,
        hello: &Hello,
        addr: SocketAddr,
        now: Instant,
    ) -> (Upserted, BTreeSet<GameId>) {
        let is_full = self.peers.len() >= PEERS_MAX;
        let fresh = PeerEntry {
            name: hello.name.clone(),
            addr,
            library: hello.library.clone(),
            last_heard: now,
        };
        match self.peers.get_mut(&hello.peer_id) {
            None if is_full => (Upserted::Full, BTreeSet::new()),
            None => {
                let changed = hello.library.games.iter().map(|game| game.id.clone()).collect();
                self.peers.insert(hello.peer_id, fresh);
                (Upserted::New, changed)
            }
            Some(known) => {
                let changed = changed_games(&known.library, &fresh.library);
                let is_same = known.name == fresh.name
                    && known.addr == fresh.addr
                    && known.library == fresh.library;
                *known = fresh;
                (if is_same { Upserted::Same } else { Upserted::Changed }, changed)
            }
        }
    }

    /// Forgets a peer. Returns the games it announced.
    pub(crate) fn remove(&mut self, peer_id: PeerId) -> Option<BTreeSet<GameId>> {
        let entry = self.peers.remove(&peer_id)?;
        Some(entry.library.games.into_iter().map(|game| game.id).collect())
    }

    /// Notes when a peer was last heard.
    pub(crate) fn heard(&mut self, peer_id: PeerId, at: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer_id) {
            entry.last_heard = entry.last_heard.max(at);
        }
    }

    /// Applies a delta to a peer's library; `None` when the peer is not known.
    pub(crate) fn apply_delta(
        &mut self,
        peer_id: PeerId,
        delta: LibraryDelta,
    ) -> Option<DeltaOutcome> {
        Some(apply(&mut self.peers.get_mut(&peer_id)?.library, delta))
    }

    /// Replaces a peer's library by a newer one. Returns the games whose announcement changed;
    /// `None` when the peer is not known or the snapshot is not newer.
    pub(crate) fn replace_library(
        &mut self,
        peer_id: PeerId,
        snapshot: LibrarySnapshot,
    ) -> Option<BTreeSet<GameId>> {
        let entry = self.peers.get_mut(&peer_id)?;
        if snapshot.rev <= entry.library.rev {
            return None;
        }
        let changed = changed_games(&entry.library, &snapshot);
        entry.library = snapshot;
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
            library_rev: entry.library.rev,
            game_count: entry.library.games.len(),
            last_seen: now.saturating_duration_since(entry.last_heard),
        })
    }

    /// Who can serve a game: those that announce it at the catalog's version and, where the catalog
    /// knows the content, do not announce another content. In peer id order.
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
    ) -> impl Iterator<Item = &GameSummary> {
        self.usable(catalog, game_id).map(|(_, _, summary)| summary)
    }

    fn usable(
        &self,
        catalog: &Catalog,
        game_id: &GameId,
    ) -> impl Iterator<Item = (PeerId, &PeerEntry, &GameSummary)> {
        self.iter().filter_map(move |(peer_id, entry)| {
            let summary = find(&entry.library, game_id)?;
            is_usable(catalog, summary).then_some((peer_id, entry, summary))
        })
    }

    /// Every game that at least one peer can serve: how many can, and the size the first one tells.
    pub(crate) fn remote_games(&self, catalog: &Catalog) -> BTreeMap<GameId, RemoteGame> {
        let mut games: BTreeMap<GameId, RemoteGame> = BTreeMap::new();
        let summaries = self.peers.values().flat_map(|entry| &entry.library.games);
        for summary in summaries.filter(|summary| is_usable(catalog, summary)) {
            let fresh = RemoteGame { peer_count: 0, size: summary.size };
            games.entry(summary.id.clone()).or_insert(fresh).peer_count += 1;
        }
        games
    }
}

/// A game that peers can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteGame {
    pub(crate) peer_count: usize,
    pub(crate) size: u64,
}

fn is_usable(catalog: &Catalog, summary: &GameSummary) -> bool {
    let Some(game) = catalog.get(&summary.id) else { return false };
    let is_other_content = match (game.content_root, summary.content_root) {
        (Some(expected), Some(announced)) => expected != announced,
        _ => false,
    };
    game.version == summary.version && !is_other_content
}

fn find<'a>(library: &'a LibrarySnapshot, game_id: &GameId) -> Option<&'a GameSummary> {
    // Libraries are in id order: the handshake and the delta rules see to it.
    let at = library.games.binary_search_by(|game| game.id.cmp(game_id)).ok()?;
    library.games.get(at)
}

fn changed_games(old: &LibrarySnapshot, new: &LibrarySnapshot) -> BTreeSet<GameId> {
    let by_id = |library: &LibrarySnapshot| -> BTreeMap<GameId, GameSummary> {
        library.games.iter().map(|game| (game.id.clone(), game.clone())).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let ids: BTreeSet<&GameId> = old.keys().chain(new.keys()).collect();
    ids.into_iter().filter(|id| old.get(*id) != new.get(*id)).cloned().collect()
}
