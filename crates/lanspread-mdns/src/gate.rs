//! Which packets of the link the daemon is given.
//!
//! The daemon keeps every record that it reads for as long as the record says, and walks through all of them for
//! each packet. Anyone on the link can write any number of records, so packets are counted before the daemon sees
//! them: by the address that they come from, and in total. One machine can tell of so many peers and no more; where
//! many machines tell of too many, those that tell of most lose theirs first.
//!
//! The gate also sees what the daemon does not tell: whether a packet came from one of the addresses that it
//! advertises. Such a record is *vouched for*: whoever wrote it leads others to itself and to nobody else.
//!
//! Not promised: that a packet came from the address that it names. A machine that forges the addresses of
//! others on its link gets as much as all of those together. IPv6 addresses cost nothing at all, so what comes by
//! IPv6 takes nothing from what comes by IPv4.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lanspread_proto::PeerId;
use mdns_sd::MDNS_PORT;

use crate::packet::{self, Packet, Response};
use crate::tracker::MAX_TRACKED_PEERS;

/// Peers of which one address may tell: a dozen on one machine, and room for five times as many.
const PEERS_PER_SOURCE: usize = 64;
/// Records from one address: a dozen peers announce themselves twice, with eight records each, and answer several
/// questions at the same time.
const SOURCE_RATE: Rate = Rate { interval: Duration::from_millis(16), burst: 600 };
/// Records from one address that come before all others: one peer announces itself twice, and 250 addresses that
/// keep to this rate take half of what there is.
const LIGHT_RATE: Rate = Rate { interval: Duration::from_millis(500), burst: 24 };
/// Records from all addresses of a family: 200 peers that all change at once. A record costs the daemon 10 to 200 µs,
/// and a thousand events may wait for the browse thread: two for each new peer of five records.
const TOTAL_RATE: Rate = Rate { interval: Duration::from_millis(1), burst: 2_000 };
/// The part of them that addresses may take which send more than [`LIGHT_RATE`].
const HEAVY_RATE: Rate = Rate { burst: TOTAL_RATE.burst / 2, ..TOTAL_RATE };
/// Addresses of a family that are counted apart, several times the largest party. Further ones share what one may
/// do.
const SOURCES_MAX: usize = 1024;
/// How often addresses that were not heard lately are forgotten: a walk through all of them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long a word of a peer counts: as long as its address may be remembered without a new record.
const SILENT_AFTER: Duration = Duration::from_secs(120);
/// Addresses that are remembered as those from which a peer told of itself: one for each network of a host.
const SOURCES_PER_PEER: usize = 4;
/// After so many peers the daemon is to be started anew, since it does not forget those that the gate does.
const WORN_AFTER: usize = MAX_TRACKED_PEERS + MAX_TRACKED_PEERS / 2;
/// No more peers than that get to one daemon: 4 MiB of records at most.
const TOLD_MAX: usize = 2 * MAX_TRACKED_PEERS;

/// How much may pass.
struct Rate {
    /// Time after which one more may pass.
    interval: Duration,
    /// How much may pass at once after a quiet time.
    burst: u32,
}

/// What may pass at a [`Rate`] and did.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it is as if nothing had passed.
    quiet_at: Instant,
}

impl Bucket {
    fn take(&mut self, cost: u32, rate: &Rate, now: Instant) -> bool {
        let quiet_at = self.quiet_at.max(now) + rate.interval * cost;
        let passes = quiet_at <= now + rate.interval * rate.burst;
        if passes {
            self.quiet_at = quiet_at;
        }
        passes
    }

    fn is_empty(&self, rate: &Rate, now: Instant) -> bool {
        self.quiet_at >= now + rate.interval * rate.burst
    }
}

/// Counts the packets of one service.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whether packets of others may be passed on to this link, with foreign records among them.
    has_reflector: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    v4: Family,
    v6: Family,
    peers: BTreeMap<PeerId, Told>,
    /// Of how many peers, and other names, the daemon was told.
    told: usize,
}

/// What came by IPv4, or by IPv6.
#[derive(Debug)]
struct Family {
    sources: BTreeMap<IpAddr, Source>,
    /// Those for which there is no room in `sources`.
    crowd: Source,
    total: Bucket,
    swept_at: Instant,
}

#[derive(Debug)]
struct Source {
    bucket: Bucket,
    light: Bucket,
    /// Of how many peers it was the first to tell.
    peers: usize,
}

#[derive(Debug)]
struct Told {
    first: IpAddr,
    /// Who told of it and when, the latest first.
    sources: Vec<(IpAddr, Instant)>,
    /// Those of them that it advertises.
    vouched: Vec<IpAddr>,
    heard_at: Instant,
}

impl socket_pktinfo::Gate for Gate {
    fn admits(&self, packet: &[u8], from: SocketAddr, _if_index: u64) -> bool {
        self.admits_at(packet, from, Instant::now())
    }
}

impl Gate {
    /// Returns a gate through which nothing has passed. With `has_reflector`, one address may tell of
    /// all peers, and records of other services may come along with theirs.
    pub(crate) fn new(has_reflector: bool) -> Self {
        let (v4, v6) = (Family::new(Instant::now()), Family::new(Instant::now()));
        let state = State { v4, v6, peers: BTreeMap::new(), told: 0 };
        Self { has_reflector, state: Mutex::new(state) }
    }

    /// Returns the addresses of a peer from which it told of itself, the latest first.
    pub(crate) fn vouched(&self, peer_id: PeerId) -> Vec<IpAddr> {
        self.state().peers.get(&peer_id).map(|told| told.vouched.clone()).unwrap_or_default()
    }

    /// Returns whether the daemon was told of so much that it is to be started anew.
    pub(crate) fn is_worn(&self) -> bool {
        self.state().told >= WORN_AFTER
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits_at(&self, packet: &[u8], from: SocketAddr, now: Instant) -> bool {
        // Answers come from the port of mDNS (RFC 6762, section 6). A question from another port would be
        // answered to its sender alone, who may be a victim anywhere.
        if from.port() != MDNS_PORT {
            return false;
        }
        let mut state = self.state();
        let source = from.ip();
        if !source.is_loopback() && state.source(source, now).bucket.is_empty(&SOURCE_RATE, now) {
            return false;
        }
        let Some(promised) = packet::promised(packet) else { return false };
        match packet::read(packet) {
            None => false,
            Some(Packet::Query) => state.take(source, 1 + promised / 8, now),
            Some(Packet::Response(response)) => {
                let is_known_form = response.foreign == 0 || self.has_reflector;
                is_known_form && state.admits(&response, source, self.peers_max(source), now) && {
                    let passes = state.take(source, 1 + promised, now);
                    if passes {
                        state.note(&response, source, now);
                    }
                    passes
                }
            }
        }
    }

    /// Returns of how many peers an address may tell. All that comes from loopback is this host.
    fn peers_max(&self, source: IpAddr) -> usize {
        let is_many = self.has_reflector || source.is_loopback();
        if is_many { MAX_TRACKED_PEERS } else { PEERS_PER_SOURCE }
    }
}

impl Family {
    fn new(now: Instant) -> Self {
        let (total, crowd) = (Bucket { quiet_at: now }, Source::new(now));
        Self { sources: BTreeMap::new(), crowd, total, swept_at: now }
    }

    fn source(&mut self, ip: IpAddr, now: Instant) -> &mut Source {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&ip) {
            if now >= self.swept_at + SWEEP_EVERY {
                self.swept_at = now;
                self.sources.retain(|_, source| source.peers > 0 || source.light.quiet_at > now);
            }
            if self.sources.len() >= SOURCES_MAX {
                return &mut self.crowd;
            }
        }
        self.sources.entry(ip).or_insert_with(|| Source::new(now))
    }
}

impl Source {
    fn new(now: Instant) -> Self {
        let bucket = Bucket { quiet_at: now };
        Self { bucket, light: bucket, peers: 0 }
    }

    /// Takes records from what this address may send. Returns from how much of what all may send they are taken.
    fn take(&mut self, cost: u32, now: Instant) -> Option<&'static Rate> {
        if !self.bucket.take(cost, &SOURCE_RATE, now) {
            return None;
        }
        let is_light = self.light.take(cost, &LIGHT_RATE, now);
        Some(if is_light { &TOTAL_RATE } else { &HEAVY_RATE })
    }
}

impl State {
    fn take(&mut self, source: IpAddr, cost: u32, now: Instant) -> bool {
        let family = self.family(source);
        let rate = match source.is_loopback() {
            true => Some(&TOTAL_RATE),
            false => family.source(source, now).take(cost, now),
        };
        rate.is_some_and(|rate| family.total.take(cost, rate, now))
    }

    fn family(&mut self, ip: IpAddr) -> &mut Family {
        if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    fn source(&mut self, ip: IpAddr, now: Instant) -> &mut Source {
        self.family(ip).source(ip, now)
    }

    /// Returns whether what a response says of peers may be said by this source.
    fn admits(
        &mut self,
        response: &Response,
        source: IpAddr,
        peers_max: usize,
        now: Instant,
    ) -> bool {
        if response.is_goodbye {
            return self.admits_goodbye(response, source, now);
        }
        let new: Vec<_> =
            response.peers.iter().filter(|peer_id| !self.peers.contains_key(peer_id)).collect();
        if new.is_empty() {
            return true;
        }
        if self.told + new.len() > TOLD_MAX || !new.iter().all(|id| response.introduces(**id)) {
            return false;
        }
        while self.source(source, now).peers + new.len() > peers_max {
            let own = self.peers.iter().filter(|(_, told)| told.first == source);
            let oldest = own.min_by_key(|(_, told)| told.heard_at);
            match oldest.map(|(peer_id, told)| (*peer_id, told.heard_at)) {
                Some((peer_id, heard_at)) if now > heard_at + SILENT_AFTER => self.forget(peer_id),
                _ => return false,
            }
        }
        while self.peers.len() + new.len() > MAX_TRACKED_PEERS {
            if !self.make_room(source, new.len(), now) {
                return false;
            }
        }
        true
    }

    /// Returns whether peers are gone: whoever told of them lately says so, one after the other.
    fn admits_goodbye(&mut self, response: &Response, source: IpAddr, now: Instant) -> bool {
        let mut is_last_word = true;
        for peer_id in &response.peers {
            let Some(told) = self.peers.get_mut(peer_id) else { return false };
            let is_teller = told.sources.iter().any(|(ip, _)| *ip == source);
            told.sources.retain(|(ip, at)| *ip != source && now <= *at + SILENT_AFTER);
            is_last_word &= is_teller && told.sources.is_empty();
        }
        is_last_word
    }

    /// Forgets a peer of the address that told of most, unless that is `source`.
    fn make_room(&mut self, source: IpAddr, wanted: usize, now: Instant) -> bool {
        let own = self.source(source, now).peers;
        let sources = self.v4.sources.iter().chain(&self.v6.sources);
        let most = sources.max_by_key(|(_, source)| source.peers);
        let Some((crowded, count)) = most.map(|(ip, source)| (*ip, source.peers)) else {
            return false;
        };
        if own + wanted > count {
            return false;
        }
        let theirs = self.peers.iter().filter(|(_, told)| told.first == crowded);
        let Some(oldest) = theirs.min_by_key(|(_, told)| told.heard_at).map(|(id, _)| *id) else {
            return false;
        };
        self.forget(oldest);
        true
    }

    fn forget(&mut self, peer_id: PeerId) {
        let Some(told) = self.peers.remove(&peer_id) else { return };
        let family = self.family(told.first);
        let source = family.sources.get_mut(&told.first).unwrap_or(&mut family.crowd);
        source.peers = source.peers.saturating_sub(1);
    }

    fn note(&mut self, response: &Response, source: IpAddr, now: Instant) {
        self.told += usize::try_from(response.foreign).unwrap_or(usize::MAX);
        for peer_id in &response.peers {
            if !self.peers.contains_key(peer_id) {
                self.told += 1;
                self.source(source, now).peers += 1;
                let (sources, vouched) = (Vec::new(), Vec::new());
                let told = Told { first: source, sources, vouched, heard_at: now };
                self.peers.insert(*peer_id, told);
            }
            let Some(told) = self.peers.get_mut(peer_id) else { continue };
            if response.is_goodbye {
                continue;
            }
            told.heard_at = now;
            told.sources.retain(|(ip, _)| *ip != source);
            told.sources.insert(0, (source, now));
            told.sources.truncate(SOURCES_PER_PEER);
            if response.addrs.contains(&(*peer_id, source)) {
                told.vouched.retain(|ip| *ip != source);
                told.vouched.insert(0, source);
                told.vouched.truncate(SOURCES_PER_PEER);
            }
        }
    }
}

#[cfg(test)]
mod tests;
