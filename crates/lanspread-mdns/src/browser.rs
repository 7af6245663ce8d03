//! Turns what the daemon resolves into changes of the link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanspread_proto::PeerId;
use mdns_sd::{ResolvedService, ServiceEvent};

use crate::gate::Gate;
use crate::link::Links;
use crate::record::{Advertisement, PeerRecord, RecordError, other_version, peer_of_instance};
use crate::tracker::{BrowseEvent, Tracker};

/// Most records off the link that are looked at again when this host gets another address.
const OFF_LINK_MAX: usize = 64;
/// How often it is told that a record is left out because it is off the link: whoever set up a reflector reads
/// it once.
const TELL_OFF_LINK_EVERY: Duration = Duration::from_secs(600);

pub(crate) struct Browser {
    own: Advertisement,
    links: Links,
    gate: Arc<Gate>,
    tracker: Tracker,
    /// The records with an address off the link.
    off_link: BTreeMap<PeerId, Box<ResolvedService>>,
    told_off_link_at: Option<Instant>,
}

impl Browser {
    pub(crate) fn new(own: Advertisement, links: Links, gate: Arc<Gate>) -> Self {
        let (tracker, off_link) = (Tracker::new(own.peer_id), BTreeMap::new());
        Self { own, links, gate, tracker, off_link, told_off_link_at: None }
    }

    /// Takes in what the daemon tells; returns what that changes.
    pub(crate) fn on_event(&mut self, event: ServiceEvent) -> Vec<BrowseEvent> {
        match event {
            ServiceEvent::ServiceResolved(service) => self.on_resolved(service),
            ServiceEvent::ServiceRemoved(_, fullname) => {
                let Ok(peer_id) = peer_of_instance(&fullname) else { return Vec::new() };
                self.off_link.remove(&peer_id);
                self.tracker.on_removed(peer_id).into_iter().collect()
            }
            ServiceEvent::SearchStarted(search) => {
                tracing::debug!(%search, "mDNS query");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Looks whether this host has other addresses, and so other peers on its links; returns what that changes.
    pub(crate) fn on_tick(&mut self, now: Instant) -> Vec<BrowseEvent> {
        if !self.links.refresh(now) {
            return Vec::new();
        }
        let again = std::mem::take(&mut self.off_link);
        again.into_values().flat_map(|service| self.on_resolved(service)).collect()
    }

    fn on_resolved(&mut self, service: Box<ResolvedService>) -> Vec<BrowseEvent> {
        let Ok(peer_id) = peer_of_instance(service.get_fullname()) else { return Vec::new() };
        let vouched = self.gate.vouched(peer_id);
        let changes = match PeerRecord::read(&service, &self.links, &vouched) {
            Ok(PeerRecord { addrs, .. }) if peer_id == self.own.peer_id => {
                let scope = self.links.scope();
                let others = addrs.into_iter().filter(|addr| !scope.is_own(*addr, self.own.port));
                self.tracker.on_own_name(others.collect()).into_iter().collect()
            }
            Ok(record) => self.tracker.on_record(record),
            Err(error) => {
                tracing::debug!(instance = service.get_fullname(), %error, "mDNS record left out");
                if let RecordError::OffLink(ip) = error {
                    self.tell_off_link(&ip.to_string(), Instant::now());
                }
                let other = other_version(&service, &self.own, &self.links);
                other.map(|record| self.tracker.on_other_version(record)).unwrap_or_default()
            }
        };
        self.keep_off_link(peer_id, service);
        changes
    }

    /// Keeps a record for the time when its addresses may be on the link.
    fn keep_off_link(&mut self, peer_id: PeerId, service: Box<ResolvedService>) {
        self.off_link.remove(&peer_id);
        let is_off = |ip: &mdns_sd::ScopedIp| {
            self.links.place(ip.to_ip_addr()) == crate::link::Place::OffLink
        };
        if !service.get_addresses().iter().any(is_off) {
            return;
        }
        if self.off_link.len() >= OFF_LINK_MAX {
            self.off_link.pop_first();
        }
        self.off_link.insert(peer_id, service);
    }

    fn tell_off_link(&mut self, ip: &str, now: Instant) {
        if self.told_off_link_at.is_some_and(|at| now < at + TELL_OFF_LINK_EVERY) {
            return;
        }
        self.told_off_link_at = Some(now);
        tracing::warn!(
            ip,
            "an mDNS record leads to an address that is not on a network of this machine, and is left out; if \
             a reflector passes records on from there, name its network with --mdns-network"
        );
    }
}
