//! Which interfaces and addresses take part.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use if_addrs::Interface;

/// Where to advertise and browse: the flag `NAME|all|off`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MdnsInterface {
    /// Nowhere.
    Off,
    /// On every interface but loopback ones; on loopback ones alone where the peer listens there.
    #[default]
    All,
    /// On the interface of this name alone.
    Name(String),
}

/// A flag that is neither `all`, `off` nor a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interface name is empty; give the name of an interface, all or off")]
pub struct InterfaceNameError;

impl FromStr for MdnsInterface {
    type Err = InterfaceNameError;

    fn from_str(s: &str) -> Result<Self, InterfaceNameError> {
        match s.trim() {
            "" => Err(InterfaceNameError),
            "off" => Ok(Self::Off),
            "all" => Ok(Self::All),
            name => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl fmt::Display for MdnsInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::All => "all",
            Self::Name(name) => name,
        })
    }
}

/// Why a choice of interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The system does not tell its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    List(#[from] io::Error),
    /// No usable interface has the name.
    #[error("no network interface {name:?} is up with an address; there are: {}", .known.join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The interfaces that could be named.
        known: Vec<String>,
    },
    /// There is no interface to use at the moment.
    #[error("no network interface that could be used is up with an address")]
    NoneUp,
    /// Whoever found the peer there could not reach it.
    #[error(
        "a peer that listens on {listen} alone cannot be reached through interface {name:?}; \
         listen on an address of that interface, or on all"
    )]
    ListensElsewhere {
        /// The interface.
        name: String,
        /// The address on which the peer listens.
        listen: IpAddr,
    },
}

/// The interfaces and addresses that take part, decided once at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    name: Option<String>,
    listen: IpAddr,
    is_loopback: bool,
}

impl Scope {
    /// The scope of a peer that listens on `listen`; `None` where mDNS is off.
    pub(crate) fn of_this_host(
        choice: &MdnsInterface,
        listen: IpAddr,
    ) -> Result<Option<Self>, InterfaceError> {
        Self::choose(choice, listen, &if_addrs::get_if_addrs()?)
    }

    fn choose(
        choice: &MdnsInterface,
        listen: IpAddr,
        interfaces: &[Interface],
    ) -> Result<Option<Self>, InterfaceError> {
        let name = match choice {
            MdnsInterface::Off => return Ok(None),
            MdnsInterface::All => {
                let is_loopback = listen.is_loopback();
                return Ok(Some(Self { name: None, listen, is_loopback }));
            }
            MdnsInterface::Name(name) => name,
        };
        let usable = interfaces.iter().filter(|interface| is_usable(interface));
        let named: Vec<_> = usable.clone().filter(|interface| interface.name == *name).collect();
        let Some(first) = named.first() else {
            let mut known: Vec<_> = usable.map(|interface| interface.name.clone()).collect();
            known.sort();
            known.dedup();
            return Err(InterfaceError::Unknown { name: name.clone(), known });
        };
        let is_loopback = first.is_loopback();
        let reachable = if listen.is_unspecified() {
            true
        } else if listen.is_loopback() {
            is_loopback
        } else {
            named.iter().any(|interface| interface.ip() == listen)
        };
        if !reachable {
            return Err(InterfaceError::ListensElsewhere { name: name.clone(), listen });
        }
        Ok(Some(Self { name: Some(name.clone()), listen, is_loopback }))
    }

    /// Checks that packets can leave and arrive through some interface at the moment.
    pub(crate) fn check_interfaces(&self) -> Result<(), InterfaceError> {
        self.check_among(&if_addrs::get_if_addrs()?)
    }

    fn check_among(&self, interfaces: &[Interface]) -> Result<(), InterfaceError> {
        let is_any = |interface: &Interface| is_usable(interface) && self.selects(interface);
        if interfaces.iter().any(is_any) { Ok(()) } else { Err(InterfaceError::NoneUp) }
    }

    /// Returns an address of each family that takes part.
    pub(crate) fn families(&self) -> Vec<IpAddr> {
        let any = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        any.into_iter().filter(|family| self.speaks_family_of(*family)).collect()
    }

    /// Returns whether `addr` is one of this peer's own, which listens on `port`.
    pub(crate) fn is_own(&self, addr: SocketAddr, port: u16) -> bool {
        let is_of_host = || {
            let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
            interfaces.iter().any(|interface| interface.ip() == addr.ip())
        };
        addr.port() == port
            && match self.listen.is_unspecified() {
                true => addr.ip().is_loopback() || is_of_host(),
                false => addr.ip() == self.listen,
            }
    }

    /// Whether only this host takes part.
    pub(crate) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether packets may leave and arrive through this address of an interface.
    pub(crate) fn selects(&self, interface: &Interface) -> bool {
        let is_named = self.name.as_ref().is_none_or(|name| *name == interface.name);
        is_named
            && interface.is_loopback() == self.is_loopback
            && self.speaks_family_of(interface.ip())
    }

    /// The address to advertise where no interface tells it: all of 127.0.0.0/8 is this host, and
    /// the loopback interface has one address of it.
    pub(crate) fn fixed_addr(&self) -> Option<IpAddr> {
        self.listen.is_loopback().then_some(self.listen)
    }

    /// Whether this peer can be reached at `own`, one of the selected addresses.
    pub(crate) fn advertises(&self, own: IpAddr) -> bool {
        self.listen.is_unspecified() || self.listen == own
    }

    /// Whether this peer can reach another one at `addr`.
    pub(crate) fn can_reach(&self, addr: IpAddr) -> bool {
        let is_host = match addr {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
        };
        is_host && addr.is_loopback() == self.is_loopback && self.speaks_family_of(addr)
    }

    /// A socket on an IPv6 wildcard address speaks both families, any other one its own.
    fn speaks_family_of(&self, addr: IpAddr) -> bool {
        let is_dual = self.listen.is_ipv6() && self.listen.is_unspecified();
        is_dual || self.listen.is_ipv4() == addr.is_ipv4()
    }
}

/// Whether the daemon would use the interface: it leaves out those that are down, and tunnels,
/// which carry no multicast.
fn is_usable(interface: &Interface) -> bool {
    interface.is_oper_up() && !interface.is_p2p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(name: &str, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: [255, 255, 255, 0].into(),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: "ffff:ffff:ffff:ffff::".parse().unwrap(),
                prefixlen: 64,
                broadcast: None,
            }),
        };
        Interface {
            name: name.to_owned(),
            addr,
            index: Some(1),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn host() -> Vec<Interface> {
        let mut down = interface("wlan0", "10.1.1.2");
        down.oper_status = IfOperStatus::Down;
        vec![
            interface("lo", "127.0.0.1"),
            interface("lo", "::1"),
            interface("eth0", "10.0.0.2"),
            interface("eth0", "fd00::2"),
            interface("eth1", "10.0.1.2"),
            down,
        ]
    }

    fn choose(flag: &str, listen: &str) -> Result<Option<Scope>, InterfaceError> {
        Scope::choose(&flag.parse().unwrap(), listen.parse().unwrap(), &host())
    }

    fn selected(flag: &str, listen: &str) -> Vec<String> {
        let scope = choose(flag, listen).unwrap().unwrap();
        let up: Vec<_> = host().into_iter().filter(is_usable).collect();
        up.iter().filter(|i| scope.selects(i)).map(|i| i.ip().to_string()).collect()
    }

    #[test]
    fn the_flag_round_trips() {
        for flag in ["off", "all", "eth0"] {
            assert_eq!(flag.parse::<MdnsInterface>().unwrap().to_string(), flag);
        }
        assert_eq!(MdnsInterface::default(), MdnsInterface::All);
        assert!(" ".parse::<MdnsInterface>().is_err());
    }

    #[test]
    fn loopback_takes_part_only_where_the_peer_listens_there() {
        assert_eq!(selected("all", "0.0.0.0"), ["10.0.0.2", "10.0.1.2"]);
        assert_eq!(selected("all", "::"), ["10.0.0.2", "fd00::2", "10.0.1.2"]);
        assert_eq!(selected("all", "127.0.0.1"), ["127.0.0.1"]);
        assert_eq!(selected("all", "::1"), ["::1"]);
        assert_eq!(selected("lo", "0.0.0.0"), ["127.0.0.1"]);
        assert_eq!(selected("lo", "::"), ["127.0.0.1", "::1"]);
    }

    #[test]
    fn a_name_leaves_out_every_other_interface() {
        assert_eq!(selected("eth0", "0.0.0.0"), ["10.0.0.2"]);
        assert_eq!(selected("eth1", "10.0.1.2"), ["10.0.1.2"]);
        assert_eq!(choose("off", "0.0.0.0").unwrap(), None);
    }

    #[test]
    fn a_host_without_an_interface_that_is_up_is_told_of() {
        let all = choose("all", "0.0.0.0").unwrap().unwrap();
        all.check_among(&host()).unwrap();
        let mut pulled = host();
        pulled.retain(|interface| interface.is_loopback() || !interface.is_oper_up());
        assert!(matches!(all.check_among(&pulled), Err(InterfaceError::NoneUp)));
        let one = choose("eth1", "0.0.0.0").unwrap().unwrap();
        let others: Vec<_> = host().into_iter().filter(|i| i.name != "eth1").collect();
        assert!(matches!(one.check_among(&others), Err(InterfaceError::NoneUp)));
    }

    #[test]
    fn only_the_address_that_this_peer_listens_on_is_its_own() {
        let addr = |text: &str| text.parse().unwrap();
        let one = choose("all", "127.0.0.2").unwrap().unwrap();
        assert!(one.is_own(addr("127.0.0.2:7"), 7));
        assert!(!one.is_own(addr("127.0.0.2:8"), 7) && !one.is_own(addr("127.0.0.3:7"), 7));
        let any = choose("all", "0.0.0.0").unwrap().unwrap();
        assert!(any.is_own(addr("127.0.0.1:7"), 7));
        assert!(!any.is_own(addr("192.0.2.1:7"), 7) && !any.is_own(addr("127.0.0.1:8"), 7));
    }

    #[test]
    fn an_unusable_name_is_an_error_that_lists_the_others() {
        for name in ["eth7", "wlan0"] {
            let message = choose(name, "0.0.0.0").unwrap_err().to_string();
            assert!(message.contains(name) && message.ends_with("eth0, eth1, lo"), "{message}");
        }
    }

    #[test]
    fn a_listener_elsewhere_is_an_error() {
        for (name, listen) in [("eth0", "127.0.0.1"), ("lo", "10.0.0.2"), ("eth1", "10.0.0.2")] {
            let error = choose(name, listen).unwrap_err();
            assert!(matches!(error, InterfaceError::ListensElsewhere { .. }), "{error}");
        }
    }

    #[test]
    fn only_reachable_addresses_are_accepted() {
        let reaches = |listen: &str, addr: &str| {
            choose("all", listen).unwrap().unwrap().can_reach(addr.parse().unwrap())
        };
        assert!(reaches("0.0.0.0", "10.0.0.3"));
        assert!(reaches("::", "10.0.0.3") && reaches("::", "fe80::1"));
        assert!(reaches("127.0.0.1", "127.0.0.1"));
        for addr in ["127.0.0.1", "::1", "fd00::3", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            assert!(!reaches("0.0.0.0", addr), "{addr}");
        }
        assert!(!reaches("127.0.0.1", "10.0.0.3"));
        assert!(!reaches("::", "ff02::1") && !reaches("::", "::"));
    }

    #[test]
    fn a_peer_on_one_address_advertises_no_other() {
        let one = choose("all", "10.0.0.2").unwrap().unwrap();
        assert!(one.advertises("10.0.0.2".parse().unwrap()));
        assert!(!one.advertises("10.0.1.2".parse().unwrap()));
    }
}
