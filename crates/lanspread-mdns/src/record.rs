//! What a peer says of itself in mDNS records, and how that is read from others.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use lanspread_proto::ids::IdError;
use lanspread_proto::{NetworkName, PeerId, PeerName};
use mdns_sd::{IfKind, IfPredicate, ResolvedService, ScopedIp, ServiceInfo, TxtProperties};

use crate::interface::Scope;
use crate::link::{Links, Place};

/// The DNS-SD type of a Lanspread peer.
pub const SERVICE_TYPE: &str = "_lanspread._udp.local.";
/// Most addresses kept of one peer: a host with several networks has a handful.
pub const PEER_MAX_ADDRS: usize = 16;

const KEY_PEER_ID: &str = "peer_id";
const KEY_PROTO_VER: &str = "proto_ver";
const KEY_LIBRARY_REV: &str = "library_rev";
const KEY_NETWORK: &str = "network";
const KEY_HOSTNAME: &str = "hostname";

/// What this peer tells the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// Who this peer is; also the name of its service instance and of its host.
    pub peer_id: PeerId,
    /// Its protocol version.
    pub proto_ver: u32,
    /// The revision of its library.
    pub library_rev: u64,
    /// The party it belongs to.
    pub network: NetworkName,
    /// What it calls itself.
    pub hostname: PeerName,
    /// The UDP port on which it accepts connections.
    pub port: u16,
}

/// What another peer tells the link. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Who it says it is.
    pub peer_id: PeerId,
    /// Its protocol version.
    pub proto_ver: u32,
    /// The revision of its library.
    pub library_rev: u64,
    /// The party it belongs to.
    pub network: NetworkName,
    /// What it calls itself.
    pub hostname: PeerName,
    /// Where to dial it: at least one and at most [`PEER_MAX_ADDRS`] addresses that this peer can
    /// reach. Those that are vouched for come first; then IPv4, routable IPv6, and link-local IPv6 with its scope.
    pub addrs: Vec<SocketAddr>,
    /// Whether the first address is vouched for: the record came from there, or the user named its network.
    pub is_vouched: bool,
}

/// What this version can read of the record of a peer of another protocol version. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRecord {
    /// Who it says it is.
    pub peer_id: PeerId,
    /// Its protocol version.
    pub proto_ver: u32,
    /// What it calls itself, where that can be read.
    pub name: Option<PeerName>,
    /// Where it listens: the best of its addresses that this peer can reach.
    pub addr: SocketAddr,
}

/// Why a record of the link is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("instance {0:?} is not named after a peer id")]
    Instance(String),
    #[error("TXT key {0} is missing or not text")]
    MissingKey(&'static str),
    #[error("TXT key {key} has the bad value {value:?}")]
    BadNumber { key: &'static str, value: String },
    #[error("TXT key {key}: {source}")]
    BadId { key: &'static str, source: IdError },
    #[error("its peer_id is not the one of its instance name")]
    OtherPeer,
    #[error("it has no port or no address that this peer can reach")]
    Unreachable,
    #[error("its address {0} is not on the link")]
    OffLink(IpAddr),
}

impl Advertisement {
    /// The records of this peer for the daemon.
    pub(crate) fn to_service(&self, scope: &Scope) -> mdns_sd::Result<ServiceInfo> {
        let instance = self.peer_id.to_string();
        let host = format!("{instance}.local.");
        let properties = [
            (KEY_PEER_ID, instance.clone()),
            (KEY_PROTO_VER, self.proto_ver.to_string()),
            (KEY_LIBRARY_REV, self.library_rev.to_string()),
            (KEY_NETWORK, self.network.to_string()),
            (KEY_HOSTNAME, self.hostname.to_string()),
        ];
        let properties = &properties[..];
        let fixed = scope.fixed_addr();
        let fixed = fixed.as_slice();
        let mut service =
            ServiceInfo::new(SERVICE_TYPE, &instance, &host, fixed, self.port, properties)?;
        if fixed.is_empty() {
            service = service.enable_addr_auto();
            let scope = scope.clone();
            let advertised = IfPredicate::new(move |interface| {
                scope.selects(interface) && scope.advertises(interface.ip())
            });
            service.set_interfaces(vec![IfKind::Predicate(advertised)]);
        }
        // The names are made from the peer's key, so that no other host claims them: probing for a
        // conflict would only delay the announcement by a second.
        service.set_requires_probe(false);
        Ok(service)
    }
}

impl PeerRecord {
    /// Reads the records of another peer as the daemon has put them together.
    ///
    /// The peer told of itself from the addresses `vouched`.
    pub(crate) fn read(
        service: &ResolvedService,
        links: &Links,
        vouched: &[IpAddr],
    ) -> Result<Self, RecordError> {
        let peer_id = peer_of_instance(service.get_fullname())?;
        let txt = service.get_properties();
        if id::<PeerId>(txt, KEY_PEER_ID)? != peer_id {
            return Err(RecordError::OtherPeer);
        }
        // All of loopback is this host.
        let is_vouched = |ip: IpAddr| {
            ip.is_loopback() || vouched.contains(&ip) || links.place(ip) == Place::Named
        };
        let mut addrs = reachable_addrs(service, links);
        addrs.sort_by_key(|addr| !is_vouched(addr.ip()));
        addrs.truncate(PEER_MAX_ADDRS);
        let Some(first) = addrs.first().filter(|first| first.port() != 0) else {
            return Err(
                off_link(service, links).map_or(RecordError::Unreachable, RecordError::OffLink)
            );
        };
        Ok(Self {
            is_vouched: is_vouched(first.ip()),
            peer_id,
            proto_ver: number(txt, KEY_PROTO_VER)?,
            library_rev: number(txt, KEY_LIBRARY_REV)?,
            network: id(txt, KEY_NETWORK)?,
            hostname: id(txt, KEY_HOSTNAME)?,
            addrs,
        })
    }
}

/// Reads the record of a peer of another protocol version than `own`, where the party may be the same.
/// Records of other versions may lack what this one needs; one without an address is left out.
pub(crate) fn other_version(
    service: &ResolvedService,
    own: &Advertisement,
    links: &Links,
) -> Option<OtherRecord> {
    let peer_id = peer_of_instance(service.get_fullname()).ok()?;
    let txt = service.get_properties();
    let proto_ver: u32 = number(txt, KEY_PROTO_VER).ok()?;
    let is_ours = match text(txt, KEY_NETWORK) {
        Ok(network) => network == own.network.as_str(),
        Err(_) => true,
    };
    if !is_ours || proto_ver == own.proto_ver || peer_id == own.peer_id {
        return None;
    }
    let name = id(txt, KEY_HOSTNAME).ok();
    let addr =
        reachable_addrs(service, links).into_iter().next().filter(|addr| addr.port() != 0)?;
    Some(OtherRecord { peer_id, proto_ver, name, addr })
}

/// The peer after which the instance `fullname` is named, in exactly the form in
/// which a peer writes its own: two spellings of one id would be two instances of one peer.
pub(crate) fn peer_of_instance(fullname: &str) -> Result<PeerId, RecordError> {
    let bad = || RecordError::Instance(fullname.to_owned());
    let instance = fullname.strip_suffix(SERVICE_TYPE).and_then(|name| name.strip_suffix('.'));
    let instance = instance.ok_or_else(bad)?;
    let peer_id: PeerId = instance.parse().map_err(|_| bad())?;
    if peer_id.to_string() == instance { Ok(peer_id) } else { Err(bad()) }
}

fn text<'txt>(txt: &'txt TxtProperties, key: &'static str) -> Result<&'txt str, RecordError> {
    txt.get_property_val(key)
        .flatten()
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .ok_or(RecordError::MissingKey(key))
}

fn number<T: FromStr>(txt: &TxtProperties, key: &'static str) -> Result<T, RecordError> {
    let value = text(txt, key)?;
    value.parse().map_err(|_| RecordError::BadNumber { key, value: value.to_owned() })
}

fn id<T: FromStr<Err = IdError>>(txt: &TxtProperties, key: &'static str) -> Result<T, RecordError> {
    text(txt, key)?.parse().map_err(|source| RecordError::BadId { key, source })
}

/// An address of a record that is off the link.
fn off_link(service: &ResolvedService, links: &Links) -> Option<IpAddr> {
    let ips = service.get_addresses().iter().map(ScopedIp::to_ip_addr);
    ips.filter(|ip| links.place(*ip) == Place::OffLink).min()
}

fn reachable_addrs(service: &ResolvedService, links: &Links) -> Vec<SocketAddr> {
    let port = service.get_port();
    let is_reachable =
        |ip: &&ScopedIp| matches!(links.place(ip.to_ip_addr()), Place::OnLink | Place::Named);
    let reachable = service.get_addresses().iter().filter(is_reachable);
    let mut addrs: Vec<_> = reachable.map(|ip| socket_addr(ip, port)).collect();
    addrs.sort_by_key(|addr| (preference(addr.ip()), *addr));
    addrs.dedup();
    addrs
}

fn socket_addr(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        other => SocketAddr::new(other.to_ip_addr(), port),
    }
}

fn preference(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => 2,
        IpAddr::V6(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::MdnsInterface;
    use proptest::prelude::*;

    const ID: &str = "7d3f2b1c-0000-8000-8000-000000000001";

    fn scope(listen: &str) -> Scope {
        Scope::of_this_host(&MdnsInterface::All, listen.parse().unwrap()).unwrap().unwrap()
    }

    fn links(listen: &str) -> Links {
        Links::of(scope(listen), &["10.0.0.2/24", "fd00::2/64", "127.0.0.1/8"], &["10.9.0.0/16"])
    }

    fn resolved(
        instance: &str,
        addrs: &str,
        port: u16,
        txt: &[(&str, Vec<u8>)],
    ) -> ResolvedService {
        let txt: Vec<_> = txt.iter().map(|(key, value)| (*key, value.as_slice()).into()).collect();
        ServiceInfo::new(SERVICE_TYPE, instance, "h.local.", addrs, port, txt)
            .unwrap()
            .as_resolved_service()
    }

    fn good_txt() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("peer_id", ID.into()),
            ("proto_ver", "1".into()),
            ("library_rev", "18446744073709551615".into()),
            ("network", "lan 1".into()),
            ("hostname", "älpha".into()),
            ("future", "x".into()),
        ]
    }

    fn read(instance: &str, txt: &[(&str, Vec<u8>)]) -> Result<PeerRecord, RecordError> {
        PeerRecord::read(&resolved(instance, "10.0.0.3", 4433, txt), &links("0.0.0.0"), &[])
    }

    #[test]
    fn a_good_record_is_read_whole() {
        let record = read(ID, &good_txt()).unwrap();
        let expected = PeerRecord {
            peer_id: ID.parse().unwrap(),
            proto_ver: 1,
            library_rev: u64::MAX,
            network: "lan 1".parse().unwrap(),
            hostname: "älpha".parse().unwrap(),
            addrs: vec!["10.0.0.3:4433".parse().unwrap()],
            is_vouched: false,
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn what_an_advertisement_says_is_what_is_read() {
        let advertisement = Advertisement {
            peer_id: ID.parse().unwrap(),
            proto_ver: 7,
            library_rev: 8,
            network: "n".repeat(63).parse().unwrap(),
            hostname: "h".repeat(63).parse().unwrap(),
            port: 9,
        };
        let service = advertisement.to_service(&scope("127.0.0.1")).unwrap();
        assert_eq!(service.get_fullname(), format!("{ID}.{SERVICE_TYPE}"));
        let record = PeerRecord::read(
            &resolved(ID, "127.0.0.1", service.get_port(), &{
                let txt = service.get_properties().iter();
                txt.map(|p| (p.key(), p.val().unwrap().to_vec())).collect::<Vec<_>>()
            }),
            &links("127.0.0.1"),
            &[],
        )
        .unwrap();
        assert_eq!(
            (record.peer_id, record.proto_ver, record.library_rev),
            (advertisement.peer_id, 7, 8)
        );
        assert_eq!(
            (record.network, record.hostname),
            (advertisement.network, advertisement.hostname)
        );
    }

    #[test]
    fn each_missing_or_bad_value_is_refused() {
        for at in 0..5 {
            let mut missing = good_txt();
            missing.remove(at);
            assert!(read(ID, &missing).is_err(), "without {at}");
            for bad in [&b""[..], b"\xff", b"-1", b"x\n", &[b'9'; 200]] {
                let mut txt = good_txt();
                txt[at].1 = bad.to_vec();
                let allowed = at >= 3 && bad == b"-1";
                assert_eq!(read(ID, &txt).is_ok(), allowed, "{bad:?} at {at}");
            }
        }
    }

    #[test]
    fn a_record_of_another_version_tells_at_least_its_version() {
        let own = Advertisement {
            peer_id: ID.replace('1', "2").parse().unwrap(),
            proto_ver: 3,
            library_rev: 8,
            network: "lan 1".parse().unwrap(),
            hostname: "h".parse().unwrap(),
            port: 9,
        };
        let version = |txt: &[(&str, Vec<u8>)], own: &Advertisement| {
            let service = resolved(ID, "10.0.0.3", 4433, txt);
            other_version(&service, own, &links("0.0.0.0")).map(|other| other.proto_ver)
        };
        let bare = vec![("proto_ver", b"4".to_vec())];
        assert_eq!(version(&bare, &own), Some(4));
        let other_party = vec![("proto_ver", b"4".to_vec()), ("network", b"lan 2".to_vec())];
        assert_eq!(version(&other_party, &own), None);
        assert_eq!(version(&good_txt(), &Advertisement { proto_ver: 1, ..own.clone() }), None);
        for bad in ["", "x", "-1", "99999999999"] {
            assert_eq!(version(&[("proto_ver", bad.into())], &own), None, "{bad}");
        }
        let service = |addrs, port| resolved(ID, addrs, port, &good_txt());
        let read = |service| other_version(&service, &own, &links("0.0.0.0"));
        let expected = OtherRecord {
            peer_id: ID.parse().unwrap(),
            proto_ver: 1,
            name: Some("älpha".parse().unwrap()),
            addr: "10.0.0.3:4433".parse().unwrap(),
        };
        assert_eq!(read(service("10.0.0.3", 4433)), Some(expected));
        assert_eq!(read(service("224.0.0.1", 4433)), None, "nobody can be at this address");
    }

    #[test]
    fn the_instance_name_is_the_peer_id_in_its_one_spelling() {
        let txt = good_txt();
        let upper = ID.to_uppercase();
        let plain = ID.replace('-', "");
        let other = ID.replace('1', "2");
        for instance in [upper.as_str(), &plain, &other, "x", "7d3f", &format!("{ID} (2)")] {
            assert!(read(instance, &txt).is_err(), "{instance}");
        }
        assert!(peer_of_instance(&format!("{ID}._other._udp.local.")).is_err());
        assert!(peer_of_instance(&format!("{ID}.{SERVICE_TYPE}")).is_ok());
    }

    #[test]
    fn addresses_are_reachable_ordered_and_bounded() {
        let addrs = "fe80::1,fd00::1,10.0.0.9,10.0.0.10,127.0.0.1,224.0.0.1";
        let read = |listen: &str, addrs: &str, port| {
            PeerRecord::read(&resolved(ID, addrs, port, &good_txt()), &links(listen), &[])
        };
        let ordered: Vec<_> = read("::", addrs, 7).unwrap().addrs;
        let expected = ["10.0.0.9:7", "10.0.0.10:7", "[fd00::1]:7", "[fe80::1]:7"];
        assert_eq!(ordered, expected.map(|addr| addr.parse().unwrap()));
        let many: Vec<_> = (1..=100).map(|n| format!("10.0.0.{n}")).collect();
        assert_eq!(read("::", &many.join(","), 7).unwrap().addrs.len(), PEER_MAX_ADDRS);
        assert_eq!(read("::", "127.0.0.1", 7), Err(RecordError::Unreachable));
        assert_eq!(read("::", "10.0.0.1", 0), Err(RecordError::Unreachable));
    }

    #[test]
    fn addresses_off_the_link_are_left_out() {
        let read = |addrs: &str| {
            let record = resolved(ID, addrs, 7, &good_txt());
            PeerRecord::read(&record, &links("::"), &[]).map(|record| record.addrs)
        };
        assert_eq!(read("8.8.8.8,10.0.0.9"), Ok(vec!["10.0.0.9:7".parse().unwrap()]));
        assert_eq!(read("9.9.9.9,8.8.8.8"), Err(RecordError::OffLink([8, 8, 8, 8].into())));
        assert_eq!(read("10.0.0.255"), Err(RecordError::OffLink([10, 0, 0, 255].into())));
        assert_eq!(read("10.9.0.3"), Ok(vec!["10.9.0.3:7".parse().unwrap()]));
    }

    #[test]
    fn what_is_vouched_for_comes_first() {
        let read = |addrs: &str, vouched: &[IpAddr]| {
            let record = resolved(ID, addrs, 7, &good_txt());
            let record = PeerRecord::read(&record, &links("::"), vouched).unwrap();
            (record.addrs.first().unwrap().ip().to_string(), record.is_vouched)
        };
        let own = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert_eq!(read("10.0.0.3,10.0.0.4", &[]), ("10.0.0.3".to_owned(), false));
        assert_eq!(read("10.0.0.3,10.0.0.4", &[own(4)]), ("10.0.0.4".to_owned(), true));
        assert_eq!(read("10.0.0.3,10.0.0.4", &[own(9)]), ("10.0.0.3".to_owned(), false));
        assert_eq!(read("10.0.0.3,10.9.0.4", &[]), ("10.9.0.4".to_owned(), true));
        let many: Vec<_> = (1..=99).map(|n| format!("10.0.0.{n}")).collect();
        assert_eq!(read(&many.join(","), &[own(99)]), ("10.0.0.99".to_owned(), true));
    }

    proptest! {
        #[test]
        fn no_txt_breaks_the_reader(
            instance in "\\PC{1,40}",
            keep_instance: bool,
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 5),
        ) {
            let keys = ["peer_id", "proto_ver", "library_rev", "network", "hostname"];
            let mut txt: Vec<_> = keys.into_iter().zip(values).collect();
            let instance = if keep_instance { txt[0].1 = ID.into(); ID } else { &instance };
            if let Ok(record) = read(instance, &txt) {
                prop_assert_eq!(record.peer_id.to_string(), instance);
            }
        }
    }
}
