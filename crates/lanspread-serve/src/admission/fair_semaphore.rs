//! A semaphore that is fair by address, then by peer, then by arrival.
//!
//! The order of a plain semaphore is the order of arrival: a peer with many requests gets most of the permits, and a
//! machine with many identities gets them all. Here the next free permit goes to the waiter that [`Order`] names, and a
//! waiter can ask how many come first.
//!
//! ```text
//!   join(asker) ──> QueueTicket ──granted──> the permit, until the ticket is dropped
//!                     │
//!                     └──dropped while it waits──> leaves no trace
//! ```
//!
//! One lock guards all state, and every change ends with the grants that it makes possible. So no permit is free while
//! somebody waits who may have it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanspread_net::address::CountedAddress;
use lanspread_proto::PeerId;
use tokio::sync::{Notify, watch};

/// The semaphore. Clones are the same semaphore.
#[derive(Debug, Clone)]
pub(crate) struct FairSemaphore(Arc<Shared>);

/// Who gets the next free permit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Address by address, then peer by peer of that address, then by arrival: for permits that are held for
    /// milliseconds. The number is the most permits of one address while another address waits. Twice that number must
    /// be at least the number of permits, or permits stay free while peers wait.
    TurnsWhileOthersWait(usize),
    /// The address that holds the fewest permits first, then the one that was granted one longest ago, then the peer that
    /// holds the fewest, then by arrival: for permits that are held for minutes. An IPv4 address that holds one never gets
    /// the last free permit, so that whoever comes later does not wait for receivers that may be slow with all of them. Nor
    /// does a peer of an IPv6 network that holds one.
    FewestHeldFirst,
}

/// Who wants a permit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub addr: CountedAddress,
    pub peer: PeerId,
}

/// Most waiters and holders of a semaphore.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TicketsMax {
    pub(crate) in_all: usize,
    pub(crate) of_address: usize,
    pub(crate) of_peer: usize,
}

/// How many waiters come before a ticket, itself included; 0 when its permit is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuePosition(pub usize);

/// A permit, until it is dropped.
#[derive(Debug)]
pub(crate) struct FairPermit {
    _ticket: QueueTicket,
}

/// A place in the queue, and the permit once it is granted. Dropping it gives up either.
#[derive(Debug)]
pub(crate) struct QueueTicket {
    semaphore: FairSemaphore,
    number: u64,
    asker: Asker,
    granted: Arc<Notify>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts changes of the queue.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    order: Order,
    free: usize,
    next_number: u64,
    /// No address, and no peer of an address, is in it without a waiter.
    waiting: BTreeMap<CountedAddress, WaitingPeers>,
    /// Holders by the number of their ticket.
    held: BTreeMap<u64, Asker>,
    /// How many permits each address holds. An address without one is not in it.
    held_by_addr: BTreeMap<CountedAddress, usize>,
    /// Which address got the last permit.
    last_addr: Option<CountedAddress>,
    /// Counts the grants: an order in time.
    grants: u64,
}

/// The waiters of one address, by peer and then by arrival.
#[derive(Debug, Default)]
struct WaitingPeers {
    peers: BTreeMap<PeerId, BTreeMap<u64, Arc<Notify>>>,
    /// Which peer got the last permit.
    last_peer: Option<PeerId>,
    /// The number of the last grant to the address, or of the last one before it came.
    last_grant: u64,
}

impl FairSemaphore {
    /// Makes a semaphore of so many permits.
    pub(crate) fn new(permits: usize, order: Order) -> Self {
        let state = State {
            order,
            free: permits,
            next_number: 0,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            held_by_addr: BTreeMap::new(),
            last_addr: None,
            grants: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changes: watch::channel(0).0 }))
    }

    /// Waits for a permit. Cancel safe: a dropped wait leaves no trace.
    pub(crate) async fn acquire(&self, asker: Asker) -> FairPermit {
        let ticket = self.join(asker);
        ticket.granted().await;
        FairPermit { _ticket: ticket }
    }

    /// Joins the queue, which has no bound: whoever calls this has bounded it.
    pub(crate) fn join(&self, asker: Asker) -> QueueTicket {
        let mut state = self.lock();
        self.join_locked(&mut state, asker)
    }

    /// Joins the queue, unless it has as many waiters and holders as `most` allows.
    pub(crate) fn join_within(&self, asker: Asker, most: TicketsMax) -> Option<QueueTicket> {
        let mut state = self.lock();
        let is_within = state.tickets(|_| true) < most.in_all
            && state.tickets(|other| other.addr == asker.addr) < most.of_address
            && state.tickets(|other| other.peer == asker.peer) < most.of_peer;
        is_within.then(|| self.join_locked(&mut state, asker))
    }

    fn join_locked(&self, state: &mut State, asker: Asker) -> QueueTicket {
        let (number, granted) = (state.next_number, Arc::new(Notify::new()));
        state.next_number += 1;
        let last_grant = state.grants;
        let of_addr = state.waiting.entry(asker.addr);
        let of_addr = of_addr.or_insert_with(|| WaitingPeers { last_grant, ..Default::default() });
        of_addr.peers.entry(asker.peer).or_default().insert(number, Arc::clone(&granted));
        state.grant_free();
        self.changed();
        QueueTicket { semaphore: self.clone(), number, asker, granted }
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueuePosition {
    /// The position of a ticket whose permit is granted.
    pub(crate) const GRANTED: Self = Self(0);

    /// Returns whether the permit is granted.
    pub(crate) fn is_granted(self) -> bool {
        self.0 == 0
    }
}

impl QueueTicket {
    /// Waits until the permit is granted. Cancel safe: the ticket keeps its place.
    pub(crate) async fn granted(&self) {
        // A grant stays noted until somebody waits for it.
        while !self.semaphore.lock().held.contains_key(&self.number) {
            self.granted.notified().await;
        }
    }

    /// Returns how many waiters, this one included, have arrived no later. Under [`Order::FewestHeldFirst`] a later
    /// one may be granted first. The position can only become less, and 0 lasts.
    pub(crate) fn position(&self) -> QueuePosition {
        let state = self.semaphore.lock();
        QueuePosition(match state.held.contains_key(&self.number) {
            true => 0,
            false => 1 + state.waiting_before(self.number),
        })
    }

    /// Returns who joined.
    pub(crate) fn asker(&self) -> Asker {
        self.asker
    }

    /// Returns whether other peers wait.
    pub(crate) fn do_others_wait(&self) -> bool {
        let state = self.semaphore.lock();
        state.waiters().any(|(waiter, _)| waiter.peer != self.asker.peer)
    }

    /// Waits until the position is another one than `known`, and returns it. Cancel safe.
    pub(crate) async fn moved(&self, known: QueuePosition) -> QueuePosition {
        let mut changes = self.semaphore.0.changes.subscribe();
        loop {
            let position = self.position();
            // The ticket holds the sender.
            if position != known || changes.changed().await.is_err() {
                return position;
            }
        }
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        let mut state = self.semaphore.lock();
        match state.held.remove(&self.number) {
            Some(asker) => state.give_back(asker),
            None => drop(state.remove_waiting(self.number, self.asker)),
        }
        state.grant_free();
        self.semaphore.changed();
    }
}

impl State {
    /// Grants every permit that is free and that a waiter may have.
    fn grant_free(&mut self) {
        while self.free > 0
            && let Some((number, asker)) = self.next()
            && let Some(granted) = self.remove_waiting(number, asker)
        {
            self.free -= 1;
            self.grants += 1;
            if let Some(of_addr) = self.waiting.get_mut(&asker.addr) {
                of_addr.last_grant = self.grants;
            }
            self.held.insert(number, asker);
            *self.held_by_addr.entry(asker.addr).or_default() += 1;
            granted.notify_one();
        }
    }

    /// Returns the waiter that gets the next permit.
    fn next(&mut self) -> Option<(u64, Asker)> {
        match self.order {
            Order::TurnsWhileOthersWait(most) => {
                let is_alone = self.waiting.len() == 1;
                self.next_in_turn(|held| held < most || is_alone)
            }
            Order::FewestHeldFirst => self.next_with_fewest(),
        }
    }

    /// Returns the next waiter of the peer and the address whose turn it is, of the addresses that may have one more.
    fn next_in_turn(&mut self, may_have_more: impl Fn(usize) -> bool) -> Option<(u64, Asker)> {
        let held = |addr: &CountedAddress| self.held_by_addr.get(addr).copied().unwrap_or(0);
        let addrs = in_turn(&self.waiting, self.last_addr);
        let addr = addrs.map(|(addr, _)| *addr).find(|addr| may_have_more(held(addr)))?;
        let of_addr = self.waiting.get_mut(&addr)?;
        let (peer, numbers) = in_turn(&of_addr.peers, of_addr.last_peer).next()?;
        let (peer, number) = (*peer, *numbers.first_key_value()?.0);
        of_addr.last_peer = Some(peer);
        self.last_addr = Some(addr);
        Some((number, Asker { addr, peer }))
    }

    /// Returns the first waiter of the addresses, and of their peers, that hold the fewest permits.
    fn next_with_fewest(&self) -> Option<(u64, Asker)> {
        let waiters = self.waiting.iter().flat_map(|(addr, of_addr)| {
            let held_by_addr = self.held_by_addr.get(addr).copied().unwrap_or(0);
            of_addr.peers.iter().filter_map(move |(peer, numbers)| {
                let (number, _) = numbers.first_key_value()?;
                let held = self.held_by_peer(*peer);
                let order = (held_by_addr, of_addr.last_grant, held, *number);
                // An IPv6 network may be a whole party.
                let is_served = if addr.is_ipv4() { held_by_addr > 0 } else { held > 0 };
                let may_have_one = self.free > usize::from(is_served);
                may_have_one.then_some((order, Asker { addr: *addr, peer: *peer }))
            })
        });
        let ((.., number), asker) = waiters.min_by_key(|(order, _)| *order)?;
        Some((number, asker))
    }

    fn held_by_peer(&self, peer: PeerId) -> usize {
        self.held.values().filter(|holder| holder.peer == peer).count()
    }

    fn waiters(&self) -> impl Iterator<Item = (Asker, u64)> {
        self.waiting.iter().flat_map(|(addr, of_addr)| {
            of_addr.peers.iter().flat_map(|(peer, numbers)| {
                let asker = Asker { addr: *addr, peer: *peer };
                numbers.keys().map(move |number| (asker, *number))
            })
        })
    }

    fn waiting_before(&self, number: u64) -> usize {
        self.waiters().filter(|(_, other)| *other < number).count()
    }

    fn tickets(&self, is_of: impl Fn(Asker) -> bool) -> usize {
        let waiters = self.waiters().map(|(waiter, _)| waiter);
        waiters.chain(self.held.values().copied()).filter(|asker| is_of(*asker)).count()
    }

    fn give_back(&mut self, holder: Asker) {
        self.free += 1;
        if let Some(held) = self.held_by_addr.get_mut(&holder.addr) {
            *held -= 1;
            if *held == 0 {
                self.held_by_addr.remove(&holder.addr);
            }
        }
    }

    /// Takes a waiter out of the queue, and with it what is empty then.
    fn remove_waiting(&mut self, number: u64, asker: Asker) -> Option<Arc<Notify>> {
        let of_addr = self.waiting.get_mut(&asker.addr)?;
        let numbers = of_addr.peers.get_mut(&asker.peer)?;
        let granted = numbers.remove(&number);
        if numbers.is_empty() {
            of_addr.peers.remove(&asker.peer);
        }
        if of_addr.peers.is_empty() {
            self.waiting.remove(&asker.addr);
        }
        granted
    }
}

/// Returns the entries behind `last`, and then all.
fn in_turn<K: Ord, V>(map: &BTreeMap<K, V>, last: Option<K>) -> impl Iterator<Item = (&K, &V)> {
    let after = last.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((after, Bound::Unbounded)).chain(map)
}

#[cfg(test)]
mod tests;
