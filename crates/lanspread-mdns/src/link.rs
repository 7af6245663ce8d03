//! Which addresses of other peers are on the link.
//!
//! A record can name any address in the world. Only those are dialled that the interfaces in use reach without a
//! router, and those in networks that the user named, because a reflector passes records on from there.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};

use crate::interface::Scope;
use crate::network::IpNetwork;

/// How often the addresses of the interfaces are read at most: others dial a new address within seconds.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nobody can be there, or this peer does not reach it.
    Nowhere,
    /// Behind a router.
    OffLink,
    /// On the link of an interface.
    OnLink,
    /// In a network that the user named.
    Named,
}

/// The networks of the interfaces that take part, and those that the user named.
#[derive(Debug)]
pub(crate) struct Links {
    scope: Scope,
    named: Vec<IpNetwork>,
    on_link: Vec<IpNetwork>,
    read_at: Instant,
}

impl Links {
    /// Reads the interfaces.
    pub(crate) fn read(scope: Scope, named: Vec<IpNetwork>) -> Self {
        let on_link = networks(&scope, &interfaces());
        Self { scope, named, on_link, read_at: Instant::now() }
    }

    /// Reads the interfaces again if that is due. Returns whether they have other networks than before.
    pub(crate) fn refresh(&mut self, now: Instant) -> bool {
        if now < self.read_at + READ_EVERY {
            return false;
        }
        self.read_at = now;
        let on_link = networks(&self.scope, &interfaces());
        let before = std::mem::replace(&mut self.on_link, on_link);
        before != self.on_link
    }

    /// Returns where an address is. The link of a link-local one is that of its interface.
    pub(crate) fn place(&self, ip: IpAddr) -> Place {
        let is_link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let has_host = |network: &IpNetwork| network.has_host(ip);
        if !self.scope.can_reach(ip) {
            Place::Nowhere
        } else if is_link_local || self.on_link.iter().any(has_host) {
            Place::OnLink
        } else if self.named.iter().any(has_host) {
            Place::Named
        } else {
            Place::OffLink
        }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Links without a machine, for tests.
    #[cfg(test)]
    pub(crate) fn of(scope: Scope, on_link: &[&str], named: &[&str]) -> Self {
        let parse = |text: &&str| {
            let (ip, bits) = text.split_once('/').unwrap();
            IpNetwork::of_host(ip.parse().unwrap(), bits.parse().unwrap())
        };
        let (named, on_link) = (named.iter().map(parse), on_link.iter().map(parse));
        let read_at = Instant::now();
        Self { scope, named: named.collect(), on_link: on_link.collect(), read_at }
    }
}

fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_default()
}

fn networks(scope: &Scope, interfaces: &[Interface]) -> Vec<IpNetwork> {
    let in_use = interfaces.iter().filter(|interface| scope.selects(interface));
    let mut networks: Vec<_> = in_use
        .map(|interface| {
            let bits = match &interface.addr {
                IfAddr::V4(v4) => v4.prefixlen,
                IfAddr::V6(v6) => v6.prefixlen,
            };
            IpNetwork::of_host(interface.ip(), bits)
        })
        .collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::MdnsInterface;

    fn links(listen: &str, on_link: &[&str], named: &[&str]) -> Links {
        let scope = Scope::of_this_host(&MdnsInterface::All, listen.parse().unwrap());
        Links::of(scope.unwrap().unwrap(), on_link, named)
    }

    #[test]
    fn an_address_is_on_the_link_if_an_interface_has_its_network() {
        let links = links("::", &["10.0.0.2/24", "10.7.0.1/16", "fd00::2/64"], &["192.168.0.0/24"]);
        for (ip, place) in [
            ("10.0.0.1", Place::OnLink),
            ("10.7.255.254", Place::OnLink),
            ("fd00::1234", Place::OnLink),
            ("fe80::1", Place::OnLink),
            ("192.168.0.9", Place::Named),
            ("10.0.0.0", Place::OffLink),
            ("10.0.0.255", Place::OffLink),
            ("192.168.0.255", Place::OffLink),
            ("10.0.1.1", Place::OffLink),
            ("8.8.8.8", Place::OffLink),
            ("fd00:0:0:1::1", Place::OffLink),
            ("0.0.0.0", Place::Nowhere),
            ("255.255.255.255", Place::Nowhere),
            ("224.0.0.251", Place::Nowhere),
            ("ff02::fb", Place::Nowhere),
            ("::", Place::Nowhere),
            ("127.0.0.1", Place::Nowhere),
            ("::1", Place::Nowhere),
        ] {
            assert_eq!(links.place(ip.parse().unwrap()), place, "{ip}");
        }
    }

    #[test]
    fn all_of_loopback_is_on_the_link_of_a_peer_that_listens_there() {
        let links = links("127.0.0.1", &["127.0.0.1/8"], &["10.0.0.0/8"]);
        assert_eq!(links.place("127.1.2.3".parse().unwrap()), Place::OnLink);
        assert_eq!(links.place("10.0.0.1".parse().unwrap()), Place::Nowhere);
    }

    #[test]
    fn interfaces_are_read_again_every_two_seconds() {
        let mut links = links("127.0.0.1", &["10.9.9.9/32"], &[]);
        let read_at = links.read_at;
        assert!(!links.refresh(read_at + READ_EVERY / 2));
        assert!(links.refresh(read_at + READ_EVERY));
        assert_eq!(links.place("127.0.0.1".parse().unwrap()), Place::OnLink);
        assert!(!links.refresh(read_at + 2 * READ_EVERY));
    }
}
