//! Networks as people write them: `10.1.0.0/16`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses that begin with the same bits: the flag `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpNetwork {
    first: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpNetworkError {
    /// It has another form.
    #[error(
        "{0:?} is not a network; write an address, a slash and a number of bits, such as 10.1.0.0/16"
    )]
    Form(String),
    /// There are not so many bits in an address.
    #[error("an address of this family has {max} bits, not {bits}")]
    Bits {
        /// What was given.
        bits: u8,
        /// How many there are.
        max: u8,
    },
    /// The address names a host.
    #[error("{given} has bits after the first {}; the network is {network}", .network.bits)]
    Host {
        /// What was given.
        given: IpAddr,
        /// The network of that host.
        network: IpNetwork,
    },
    /// It has addresses that nobody can listen on.
    #[error("{0} has more than hosts in it; give a network of hosts")]
    NoHosts(IpNetwork),
}

impl IpNetwork {
    /// Returns the network of a host, whose address begins with `bits` bits of the network.
    pub(crate) fn of_host(host: IpAddr, bits: u8) -> Self {
        let first = match host {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask_v4(bits)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask_v6(bits)).into(),
        };
        Self { first, bits }
    }

    /// Returns whether a host of the network may have this address: not the first and last one of an IPv4
    /// network, which are the network itself and all of its hosts.
    pub fn has_host(&self, ip: IpAddr) -> bool {
        if Self::of_host(ip, self.bits).first != self.first || ip.is_ipv4() != self.first.is_ipv4()
        {
            return false;
        }
        match ip {
            IpAddr::V4(v4) if self.bits < 31 => {
                let host = v4.to_bits() & !mask_v4(self.bits);
                host != 0 && host != !mask_v4(self.bits)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => true,
        }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let form = || IpNetworkError::Form(text.to_owned());
        let (given, bits) = text.trim().split_once('/').ok_or_else(form)?;
        let given: IpAddr = given.parse().map_err(|_| form())?;
        let bits: u8 = bits.parse().map_err(|_| form())?;
        let max = if given.is_ipv4() { 32 } else { 128 };
        if bits > max {
            return Err(IpNetworkError::Bits { bits, max });
        }
        let network = Self::of_host(given, bits);
        if network.first != given {
            return Err(IpNetworkError::Host { given, network });
        }
        if bits == 0 || given.is_multicast() || given.is_loopback() {
            return Err(IpNetworkError::NoHosts(network));
        }
        Ok(network)
    }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_round_trips() {
        for text in ["10.1.0.0/16", "192.168.7.4/30", "10.0.0.5/32", "fd00:1::/32", "fd00::7/128"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        for (text, reason) in [
            ("10.1.0.0", "is not a network"),
            ("10.1.0.0/x", "is not a network"),
            ("eth0/8", "is not a network"),
            ("", "is not a network"),
            ("10.0.0.0/33", "has 32 bits, not 33"),
            ("fd00::/129", "has 128 bits, not 129"),
            ("10.1.2.3/16", "the network is 10.1.0.0/16"),
            ("0.0.0.0/0", "more than hosts"),
            ("224.0.0.0/8", "more than hosts"),
            ("ff02::/16", "more than hosts"),
            ("127.0.0.0/8", "more than hosts"),
        ] {
            let message = text.parse::<IpNetwork>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
    }

    #[test]
    fn only_addresses_of_hosts_are_in_it() {
        let has = |text: &str, ip: &str| network(text).has_host(ip.parse().unwrap());
        assert!(has("10.1.0.0/16", "10.1.0.1") && has("10.1.0.0/16", "10.1.255.254"));
        for ip in ["10.1.0.0", "10.1.255.255", "10.2.0.1", "::ffff:10.1.0.1"] {
            assert!(!has("10.1.0.0/16", ip), "{ip}");
        }
        assert!(has("10.0.0.4/31", "10.0.0.4") && has("10.0.0.4/31", "10.0.0.5"));
        assert!(has("10.0.0.4/32", "10.0.0.4") && !has("10.0.0.4/32", "10.0.0.5"));
        assert!(has("fd00::/64", "fd00::1") && !has("fd00::/64", "fd00:0:0:1::1"));
    }
}
