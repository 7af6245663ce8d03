//! The libraries of all other peers, in little memory.
//!
//! Most peers of a party announce a game in the same way, so each way is kept once, and a peer holds two bytes for each game
//! of the catalog:
//!
//! ```text
//!   games:  doom  ── [ 700 MiB, root A: 48 peers ] [ 1 byte, root B: 1 peer ]
//!           quake ── [ 90 MiB, root C: 49 peers ]
//!   peers:  alpha ── doom: 1st, quake: 1st
//!           mallory ─ doom: 2nd, quake: none
//! ```
//!
//! A way in which nobody announced a game before is held to the account of an owner, which has a budget and a share of what
//! is left of all budgets. What goes beyond is dropped, as if the peer did not announce the game. So whoever announces what nobody
//! else does takes room from nobody else.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lanspread_catalog::CatalogPosition;
use lanspread_proto::PeerId;
use lanspread_proto::limits::LIBRARY_MAX_GAMES;

use crate::remote::{Announcement, DeltaOutcome, KnownGame, RemoteDelta, RemoteLibrary};

/// Most announcements of one owner that nobody made before it: one library of the largest size, with games that no other peer has.
pub const OWNER_ANNOUNCEMENTS_MAX: usize = LIBRARY_MAX_GAMES as usize;
/// Most announcements in all: six libraries that have nothing in common, at some 110 bytes each 63 MiB.
const ANNOUNCEMENTS_MAX: usize = 6 * OWNER_ANNOUNCEMENTS_MAX;
/// Which part of the announcements that are left one owner may have.
const SHARE: usize = 4;

/// The libraries of all other peers. `A` names who answers for the memory of a peer.
#[derive(Debug)]
pub struct Libraries<A> {
    /// By position in the catalog, as far as one was announced.
    games: Vec<AnnouncedGame<A>>,
    peers: BTreeMap<PeerId, PeerLibrary<A>>,
    /// How many announcements each owner was the first to make.
    accounts: BTreeMap<A, usize>,
    /// The sum of all accounts.
    announcements: usize,
    /// How many games at least one peer can serve.
    usable_games: usize,
}

/// The ways in which a game is announced. A way keeps its place as long as a peer announces it; others take places that are free.
#[derive(Debug)]
struct AnnouncedGame<A>(Vec<Option<Way<A>>>);

#[derive(Debug)]
struct Way<A> {
    game: KnownGame,
    /// How many peers announce it.
    peers: u16,
    /// Who announced it first.
    owner: A,
}

#[derive(Debug)]
struct PeerLibrary<A> {
    owner: A,
    rev: u64,
    /// By position in the catalog, as far as one is announced.
    held: Vec<Held>,
    /// How many of them are announced.
    games: usize,
}

/// What a peer announces a game as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held(u16);

impl Held {
    const NOTHING: Self = Self(0);
    const OTHER_VERSION: Self = Self(1);
    /// The number of the first way.
    const FIRST_WAY: u16 = 2;

    /// Returns the way at an index; `None` beyond what fits, which is more ways than there are peers.
    fn way(index: usize) -> Option<Self> {
        u16::try_from(index).ok()?.checked_add(Self::FIRST_WAY).map(Self)
    }

    fn way_index(self) -> Option<usize> {
        self.0.checked_sub(Self::FIRST_WAY).map(usize::from)
    }
}

impl<A> Default for Libraries<A> {
    fn default() -> Self {
        Self {
            games: Vec::new(),
            peers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            announcements: 0,
            usable_games: 0,
        }
    }
}

impl<A: Copy + Ord> Libraries<A> {
    /// Replaces the library of a peer. Returns the games that it announces otherwise than before.
    pub fn replace(
        &mut self,
        peer_id: PeerId,
        owner: A,
        library: &RemoteLibrary,
    ) -> BTreeSet<CatalogPosition> {
        let mut mine = self.peers.remove(&peer_id).unwrap_or_else(|| PeerLibrary::new(owner));
        (mine.owner, mine.rev) = (owner, library.rev);
        let mut told = library.games.iter().copied().peekable();
        let mut changed = BTreeSet::new();
        let end = library.games.last().map_or(0, |(position, _)| position.index() + 1);
        for index in 0..mine.held.len().max(end) {
            let Some(position) = CatalogPosition::from_index(index) else { break };
            let announcement = told.next_if(|(at, _)| *at == position).map(|(_, it)| it);
            if self.announce(&mut mine, position, announcement) {
                changed.insert(position);
            }
        }
        self.peers.insert(peer_id, mine);
        changed
    }

    /// Applies what a peer says has changed; `None` where it has no library here.
    pub fn apply(&mut self, peer_id: PeerId, delta: RemoteDelta) -> Option<DeltaOutcome> {
        let RemoteDelta { from_rev, to_rev, changed, removed } = delta;
        let rev = self.peers.get(&peer_id)?.rev;
        if to_rev <= rev {
            return Some(DeltaOutcome::Ignored);
        }
        if from_rev != rev {
            return Some(DeltaOutcome::Gap);
        }
        let mut mine = self.peers.remove(&peer_id)?;
        let mut named = removed;
        for position in &named {
            self.announce(&mut mine, *position, None);
        }
        for (position, announcement) in changed {
            self.announce(&mut mine, position, Some(announcement));
            named.insert(position);
        }
        mine.rev = to_rev;
        self.peers.insert(peer_id, mine);
        Some(DeltaOutcome::Applied { changed: named })
    }

    /// Forgets the library of a peer. Returns the games that it announced.
    pub fn remove(&mut self, peer_id: PeerId) -> BTreeSet<CatalogPosition> {
        let Some(mut mine) = self.peers.remove(&peer_id) else { return BTreeSet::new() };
        let held = std::mem::take(&mut mine.held);
        let positions = held.iter().enumerate().filter(|(_, held)| **held != Held::NOTHING);
        let positions: BTreeSet<_> =
            positions.filter_map(|(index, _)| CatalogPosition::from_index(index)).collect();
        for position in &positions {
            let held = held.get(position.index()).copied().unwrap_or(Held::NOTHING);
            self.release(*position, held);
        }
        positions
    }

    /// Returns the revision of the library of a peer; `None` where it has none here.
    #[must_use]
    pub fn rev(&self, peer_id: PeerId) -> Option<u64> {
        self.peers.get(&peer_id).map(|library| library.rev)
    }

    /// Returns how many games of the catalog a peer announces, in whichever version.
    #[must_use]
    pub fn len_of(&self, peer_id: PeerId) -> usize {
        self.peers.get(&peer_id).map_or(0, |library| library.games)
    }

    /// Returns what a peer announces a game as, if it has the version of the catalog.
    #[must_use]
    pub fn usable_at(&self, peer_id: PeerId, position: CatalogPosition) -> Option<&KnownGame> {
        let held = self.peers.get(&peer_id)?.at(position);
        let way = self.games.get(position.index())?.0.get(held.way_index()?)?;
        way.as_ref().map(|way| &way.game)
    }

    /// Returns how many games at least one peer can serve.
    #[must_use]
    pub fn usable_games(&self) -> usize {
        self.usable_games
    }

    /// Returns how many peers can serve a game, and the size that the first of them tells; `None` where no one can.
    #[must_use]
    pub fn usable_by(&self, position: CatalogPosition) -> Option<(usize, u64)> {
        let ways =
            || self.games.get(position.index()).into_iter().flat_map(|it| it.0.iter().flatten());
        let mut sizes = ways().map(|way| way.game.size);
        let first = sizes.next()?;
        let size = match sizes.all(|size| size == first) {
            true => first,
            false => {
                let mut told = self.peers.keys();
                told.find_map(|peer_id| self.usable_at(*peer_id, position))?.size
            }
        };
        Some((ways().map(|way| usize::from(way.peers)).sum(), size))
    }

    /// Returns every game that at least one peer can serve, as [`Self::usable_by`] does.
    pub fn usable(&self) -> impl Iterator<Item = (CatalogPosition, (usize, u64))> {
        let positions = (0..self.games.len()).filter_map(CatalogPosition::from_index);
        positions.filter_map(|position| Some((position, self.usable_by(position)?)))
    }

    /// Sets what a peer, which is not in the table meanwhile, announces a game as. Returns whether that is other than before.
    fn announce(
        &mut self,
        mine: &mut PeerLibrary<A>,
        position: CatalogPosition,
        announcement: Option<Announcement>,
    ) -> bool {
        let before = mine.at(position);
        let is_same = match announcement {
            None => before == Held::NOTHING,
            Some(Announcement::OtherVersion) => before == Held::OTHER_VERSION,
            Some(Announcement::Usable(game)) => self.is_way(position, before, &game),
        };
        if is_same {
            return false;
        }
        // First, so that a peer that changes its announcement needs no room for both.
        self.release(position, before);
        let after = match announcement {
            None => Held::NOTHING,
            Some(Announcement::OtherVersion) => Held::OTHER_VERSION,
            Some(Announcement::Usable(game)) => {
                self.take(position, game, mine.owner).unwrap_or(Held::NOTHING)
            }
        };
        mine.set(position, after);
        (before, after) != (Held::NOTHING, Held::NOTHING)
    }

    fn is_way(&self, position: CatalogPosition, held: Held, game: &KnownGame) -> bool {
        let ways = self.games.get(position.index()).map(|game| &game.0);
        let way = ways.zip(held.way_index()).and_then(|(ways, index)| ways.get(index)?.as_ref());
        way.is_some_and(|way| way.game == *game)
    }

    /// Takes part in a way of announcing a game, or begins one on the account of `owner`; `None` where that has no room.
    fn take(&mut self, position: CatalogPosition, game: KnownGame, owner: A) -> Option<Held> {
        if self.games.len() <= position.index() {
            self.games.resize_with(position.index() + 1, || AnnouncedGame(Vec::new()));
        }
        let may_begin = self.has_room(owner);
        let ways = &mut self.games.get_mut(position.index())?.0;
        let is_first = ways.iter().all(Option::is_none);
        let known = ways.iter_mut().enumerate().find_map(|(index, way)| {
            way.as_mut().filter(|way| way.game == game).map(|way| (index, way))
        });
        if let Some((index, way)) = known {
            way.peers = way.peers.saturating_add(1);
            return Held::way(index);
        }
        let free = ways.iter().position(Option::is_none).unwrap_or(ways.len());
        let held = Held::way(free).filter(|_| may_begin)?;
        let way = Some(Way { game, peers: 1, owner });
        match ways.get_mut(free) {
            Some(place) => *place = way,
            None => {
                // Most games have one way, for which a vector would set aside four.
                ways.reserve_exact(1);
                ways.push(way);
            }
        }
        *self.accounts.entry(owner).or_default() += 1;
        self.announcements += 1;
        self.usable_games += usize::from(is_first);
        Some(held)
    }

    fn has_room(&self, owner: A) -> bool {
        let left = ANNOUNCEMENTS_MAX.saturating_sub(self.announcements);
        let most = OWNER_ANNOUNCEMENTS_MAX.min(left / SHARE);
        self.accounts.get(&owner).copied().unwrap_or_default() < most
    }

    /// Gives up a part in a way of announcing a game, which ends with the last one.
    fn release(&mut self, position: CatalogPosition, held: Held) {
        let Some(game) = self.games.get_mut(position.index()) else { return };
        let Some(place) = held.way_index().and_then(|index| game.0.get_mut(index)) else { return };
        let Some(way) = place else { return };
        way.peers = way.peers.saturating_sub(1);
        if way.peers > 0 {
            return;
        }
        let owner = way.owner;
        *place = None;
        if game.0.iter().all(Option::is_none) {
            game.0 = Vec::new();
            self.usable_games -= 1;
        }
        self.announcements -= 1;
        if let Some(account) = self.accounts.get_mut(&owner) {
            *account -= 1;
            if *account == 0 {
                self.accounts.remove(&owner);
            }
        }
    }
}

impl<A> PeerLibrary<A> {
    fn new(owner: A) -> Self {
        Self { owner, rev: 0, held: Vec::new(), games: 0 }
    }

    fn at(&self, position: CatalogPosition) -> Held {
        self.held.get(position.index()).copied().unwrap_or(Held::NOTHING)
    }

    fn set(&mut self, position: CatalogPosition, held: Held) {
        let index = position.index();
        if self.held.len() <= index {
            self.held.resize(index + 1, Held::NOTHING);
        }
        let Some(place) = self.held.get_mut(index) else { return };
        let before = std::mem::replace(place, held);
        self.games += usize::from(held != Held::NOTHING);
        self.games -= usize::from(before != Held::NOTHING);
    }
}
