//! Who holds and who waits, and what follows from it. Pure but for the signals that it gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use lanspread_net::address::CountedAddress;
use lanspread_proto::PeerId;
use tokio::sync::Notify;

use crate::admission::fair_semaphore::Asker;
use crate::admission::standing::Standing;

/// From so many addresses on, those are forgotten that neither wait nor hold: a party has fewer.
const ADDRESSES_REMEMBERED: usize = 256;

/// How many times the share of an IPv4 address a network of IPv6 addresses has: it may be a whole party, or one machine.
const IPV6_SHARES: usize = 2;

/// What may be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most bytes of all addresses together.
    pub(crate) total: usize,
    /// Most bytes of one address; [`IPV6_SHARES`] times as many for a network of IPv6 addresses.
    pub(crate) per_address: usize,
    /// Whether an address holds no more than it leaves free. So there is always something left for an address that comes
    /// next.
    pub(crate) leaves_room: bool,
    /// Most turns to send at a time; `None` where nobody needs one.
    pub(crate) turns: Option<usize>,
}

/// What somebody needs.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// Bytes of memory, no more than the share of an address.
    pub(crate) bytes: usize,
    /// Whether one of the turns to send is needed as well.
    pub(crate) is_turn: bool,
    /// Whether the peer takes what it is sent. One that does not waits behind all others, holds one thing
    /// at a time of the first half of what there is, and makes room for the others. `None` where nothing is sent.
    pub(crate) standing: Option<Standing>,
}

impl Bounds {
    /// Returns the most bytes of an address.
    fn share(&self, addr: CountedAddress) -> usize {
        let shares = if addr.is_ipv4() { 1 } else { IPV6_SHARES };
        self.per_address * shares
    }
}

impl Need {
    fn is_slow(&self) -> bool {
        self.standing.as_ref().is_some_and(Standing::is_slow)
    }
}

#[derive(Debug)]
pub(super) struct State {
    bounds: Bounds,
    turns_free: Option<usize>,
    held: usize,
    next_number: u64,
    /// Counts the grants: an order in time.
    grants: u64,
    /// Those that wait or hold, and some that did.
    addresses: BTreeMap<CountedAddress, OfAddress>,
    holdings: BTreeMap<u64, Holding>,
    /// How many of the holders are stalled.
    stalled: usize,
}

#[derive(Debug)]
struct OfAddress {
    held: usize,
    /// The number of its last grant, or of the last one before it came.
    last_grant: u64,
    /// Those that wait or hold.
    peers: BTreeMap<PeerId, OfPeer>,
}

#[derive(Debug)]
struct OfPeer {
    held: usize,
    last_grant: u64,
    holdings: usize,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    need: Need,
    signal: Arc<Notify>,
}

#[derive(Debug)]
struct Holding {
    asker: Asker,
    bytes: usize,
    has_turn: bool,
    is_stalled: bool,
    is_evicted: bool,
    signal: Arc<Notify>,
}

/// A waiter, and what decides when it is its turn: the lowest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    is_slow: bool,
    held_by_address: usize,
    address_granted_at: u64,
    held_by_peer: usize,
    peer_granted_at: u64,
    number: u64,
    addr: CountedAddress,
    peer: PeerId,
    bytes: usize,
}

impl State {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            turns_free: bounds.turns,
            held: 0,
            next_number: 0,
            grants: 0,
            addresses: BTreeMap::new(),
            holdings: BTreeMap::new(),
            stalled: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn is_granted(&self, number: u64) -> bool {
        self.holdings.contains_key(&number)
    }

    pub(super) fn is_evicted(&self, number: u64) -> bool {
        self.holdings.get(&number).is_some_and(|holding| holding.is_evicted)
    }

    /// Takes in a waiter, and returns its number.
    pub(super) fn join(&mut self, asker: Asker, need: Need, signal: Arc<Notify>) -> u64 {
        let (number, last_grant) = (self.next_number, self.grants);
        self.next_number += 1;
        let peers = BTreeMap::new;
        let of_addr = self.addresses.entry(asker.addr);
        let of_addr = of_addr.or_insert_with(|| OfAddress { held: 0, last_grant, peers: peers() });
        let of_peer = of_addr.peers.entry(asker.peer).or_insert_with(|| OfPeer {
            held: 0,
            last_grant,
            holdings: 0,
            waiting: BTreeMap::new(),
        });
        of_peer.waiting.insert(number, Waiting { need, signal });
        self.advance();
        number
    }

    pub(super) fn set_stalled(&mut self, number: u64, is_stalled: bool) {
        let Some(holding) = self.holdings.get_mut(&number) else { return };
        self.stalled -= usize::from(holding.is_stalled);
        self.stalled += usize::from(is_stalled);
        holding.is_stalled = is_stalled;
        if is_stalled && std::mem::take(&mut holding.has_turn) {
            self.turns_free = self.turns_free.map(|free| free + 1);
        }
        self.advance();
    }

    pub(super) fn shrink_to(&mut self, number: u64, bytes: usize) {
        let Some(holding) = self.holdings.get_mut(&number) else { return };
        let less = holding.bytes.saturating_sub(bytes);
        holding.bytes -= less;
        let asker = holding.asker;
        self.give_back(asker, less);
        self.advance();
    }

    /// Lets go of a waiter or a holder.
    pub(super) fn leave(&mut self, number: u64, asker: Asker) {
        match self.holdings.remove(&number) {
            Some(holding) => {
                self.stalled -= usize::from(holding.is_stalled);
                if holding.has_turn {
                    self.turns_free = self.turns_free.map(|free| free + 1);
                }
                self.give_back(asker, holding.bytes);
                if let Some(of_peer) = self.of_peer(asker) {
                    of_peer.holdings -= 1;
                }
            }
            None => {
                if let Some(of_peer) = self.of_peer(asker) {
                    of_peer.waiting.remove(&number);
                }
            }
        }
        self.forget_if_idle(asker);
        self.advance();
    }

    /// Grants whatever can be granted, and evicts whoever is in the way of the rest and takes nothing.
    fn advance(&mut self) {
        while let Some(candidate) = self.next() {
            self.grant(candidate);
        }
        self.evict();
    }

    /// Returns the waiter that is granted its bytes next.
    fn next(&self) -> Option<Candidate> {
        let first = self.candidates().filter(|candidate| self.is_within_share(candidate)).min()?;
        (self.held + first.bytes <= self.bounds.total).then_some(first)
    }

    /// Returns the first waiter of each peer, without those that need a turn where none is free.
    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let has_turns = self.turns_free != Some(0);
        self.addresses.iter().flat_map(move |(addr, of_addr)| {
            of_addr.peers.iter().filter_map(move |(peer, of_peer)| {
                let mut waiting = of_peer.waiting.iter();
                let (number, waiting) = waiting.find(|(_, it)| has_turns || !it.need.is_turn)?;
                Some(Candidate {
                    is_slow: waiting.need.is_slow(),
                    held_by_address: of_addr.held,
                    address_granted_at: of_addr.last_grant,
                    held_by_peer: of_peer.held,
                    peer_granted_at: of_peer.last_grant,
                    number: *number,
                    addr: *addr,
                    peer: *peer,
                    bytes: waiting.need.bytes,
                })
            })
        })
    }

    fn is_within_share(&self, candidate: &Candidate) -> bool {
        let Bounds { total, leaves_room, .. } = self.bounds;
        let share = self.bounds.share(candidate.addr);
        let of_addr = candidate.held_by_address + candidate.bytes;
        // One answer at a time shows whether it takes something again. The other half is for whoever does.
        if candidate.is_slow {
            let in_all = self.held + candidate.bytes;
            return candidate.held_by_peer == 0 && of_addr <= share / 2 && in_all <= total / 2;
        }
        of_addr <= share && (!leaves_room || of_addr <= total.saturating_sub(self.held))
    }

    fn grant(&mut self, candidate: Candidate) {
        let Candidate { number, addr, peer, bytes, is_slow, .. } = candidate;
        self.grants += 1;
        let grants = self.grants;
        let Some(of_addr) = self.addresses.get_mut(&addr) else { return };
        let Some(of_peer) = of_addr.peers.get_mut(&peer) else { return };
        let Some(Waiting { need, signal }) = of_peer.waiting.remove(&number) else { return };
        of_addr.held += bytes;
        of_addr.last_grant = grants;
        of_peer.held += bytes;
        of_peer.last_grant = grants;
        of_peer.holdings += 1;
        self.held += bytes;
        let has_turn = need.is_turn && self.turns_free.is_some();
        if has_turn {
            self.turns_free = self.turns_free.map(|free| free.saturating_sub(1));
        }
        signal.notify_one();
        let asker = Asker { addr, peer };
        // A slow peer has to show that it takes something.
        self.stalled += usize::from(is_slow);
        let (is_stalled, is_evicted) = (is_slow, false);
        let holding = Holding { asker, bytes, has_turn, is_stalled, is_evicted, signal };
        self.holdings.insert(number, holding);
    }

    /// Makes room for the first waiter of each address that is not slow itself.
    fn evict(&mut self) {
        if self.stalled == 0 {
            return;
        }
        let mut firsts = BTreeMap::<CountedAddress, Candidate>::new();
        for candidate in self.candidates().filter(|candidate| !candidate.is_slow) {
            let first = firsts.entry(candidate.addr).or_insert(candidate);
            *first = candidate.min(*first);
        }
        for (addr, waiter) in firsts {
            let over = waiter.held_by_address + waiter.bytes;
            let over = over.saturating_sub(self.bounds.share(addr));
            self.evict_from(waiter.peer, over, |holding| holding.asker.addr == addr);
            let over = (self.held + waiter.bytes).saturating_sub(self.bounds.total);
            self.evict_from(waiter.peer, over, |_| true);
        }
    }

    /// Evicts stalled holders until `bytes` will be free: of the address that holds the most first, then of its peer that
    /// holds the most. Those that were evicted before and still hold count.
    fn evict_from(&mut self, by: PeerId, bytes: usize, is_in: impl Fn(&Holding) -> bool) {
        let evicted = self.holdings.values().filter(|holding| holding.is_evicted && is_in(holding));
        let mut left = bytes.saturating_sub(evicted.map(|holding| holding.bytes).sum());
        while left > 0 {
            let stalled = self.holdings.iter().filter(|(_, holding)| {
                holding.is_stalled
                    && !holding.is_evicted
                    && holding.asker.peer != by
                    && is_in(holding)
            });
            let most = stalled.max_by_key(|(_, holding)| self.held_by(holding.asker));
            let Some(number) = most.map(|(number, _)| *number) else { return };
            let Some(holding) = self.holdings.get_mut(&number) else { return };
            holding.is_evicted = true;
            holding.signal.notify_one();
            left = left.saturating_sub(holding.bytes);
        }
    }

    /// Returns what the address and the peer of somebody hold.
    fn held_by(&self, asker: Asker) -> (usize, usize) {
        let of_addr = self.addresses.get(&asker.addr);
        let of_peer = of_addr.and_then(|of_addr| of_addr.peers.get(&asker.peer));
        (of_addr.map_or(0, |it| it.held), of_peer.map_or(0, |it| it.held))
    }

    fn give_back(&mut self, asker: Asker, bytes: usize) {
        self.held -= bytes;
        if let Some(of_addr) = self.addresses.get_mut(&asker.addr) {
            of_addr.held -= bytes;
            if let Some(of_peer) = of_addr.peers.get_mut(&asker.peer) {
                of_peer.held -= bytes;
            }
        }
    }

    fn of_peer(&mut self, asker: Asker) -> Option<&mut OfPeer> {
        self.addresses.get_mut(&asker.addr)?.peers.get_mut(&asker.peer)
    }

    fn forget_if_idle(&mut self, asker: Asker) {
        let Some(of_addr) = self.addresses.get_mut(&asker.addr) else { return };
        let of_peer = of_addr.peers.get(&asker.peer);
        if of_peer.is_some_and(|it| it.holdings == 0 && it.waiting.is_empty()) {
            of_addr.peers.remove(&asker.peer);
        }
        // One that gave up waiting, and comes again, does not begin anew at the end.
        if of_addr.peers.is_empty() && self.addresses.len() > ADDRESSES_REMEMBERED {
            self.addresses.remove(&asker.addr);
        }
    }
}
