//! An address as fairness counts it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many of the 16 bytes of an IPv6 address name its network: 64 bits.
const NETWORK_BYTES: usize = 8;

/// An address as bounds and turns count it: an IPv4 address as it is, an IPv6 address by its network of 64 bits.
///
/// A machine gives itself as many addresses of an IPv6 network as it likes, link-local ones too, so all of them count as one.
/// An IPv6 address that stands for an IPv4 address (`::ffff:10.0.0.1`) counts as that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountedAddress(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Ipv4(Ipv4Addr),
    Ipv6Network([u8; NETWORK_BYTES]),
}

impl CountedAddress {
    /// Returns whether this is one IPv4 address, and not a network of IPv6 addresses.
    pub fn is_ipv4(self) -> bool {
        matches!(self.0, Kind::Ipv4(_))
    }
}

impl From<IpAddr> for CountedAddress {
    fn from(addr: IpAddr) -> Self {
        Self(match addr.to_canonical() {
            IpAddr::V4(addr) => Kind::Ipv4(addr),
            IpAddr::V6(addr) => {
                let [a, b, c, d, e, f, g, h, ..] = addr.octets();
                Kind::Ipv6Network([a, b, c, d, e, f, g, h])
            }
        })
    }
}

impl fmt::Display for CountedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Ipv4(addr) => addr.fmt(f),
            Kind::Ipv6Network([a, b, c, d, e, g, h, i]) => {
                let first = Ipv6Addr::from([a, b, c, d, e, g, h, i, 0, 0, 0, 0, 0, 0, 0, 0]);
                write!(f, "{first}/{}", 8 * NETWORK_BYTES)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(addr: &str) -> CountedAddress {
        addr.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn ipv4_addresses_count_one_by_one() {
        assert_ne!(counted("10.0.0.1"), counted("10.0.0.2"));
        assert!(counted("10.0.0.1").is_ipv4());
        assert_eq!(counted("10.0.0.1").to_string(), "10.0.0.1");
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_address_counts_as_itself() {
        assert_eq!(counted("::ffff:10.0.0.1"), counted("10.0.0.1"));
        assert_ne!(counted("::ffff:10.0.0.1"), counted("::ffff:10.0.0.2"));
        assert_ne!(counted("::1"), counted("::ffff:0.0.0.1"));
    }

    #[test]
    fn ipv6_addresses_count_by_their_network() {
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:1:2:3"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("fe80::1"), counted("fe80::a:b:c:d"), "also link-local ones");
        assert!(!counted("::1").is_ipv4());
        assert_eq!(counted("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
    }
}
