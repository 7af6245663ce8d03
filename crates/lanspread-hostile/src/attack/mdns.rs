//! mDNS records of peers that are not there, and goodbyes of peers that are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use lanspread_proto::{PROTOCOL_VERSION, PeerId};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::arguments::Mdns;
use crate::guest::random;
use crate::pace::Pace;
use crate::tally::Tally;

/// The multicast groups of mDNS (RFC 6762, section 3).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The port of mDNS, from which alone answers count.
const PORT: u16 = 5353;
/// Hops that an mDNS packet has to be sent with.
const TTL: u32 = 255;
const SERVICE: &[&str] = &["_lanspread", "_udp", "local"];
/// Peers of one packet: as many as an Ethernet frame carries.
const PEERS_A_PACKET: usize = 2;
/// How long a record is good, in seconds.
const GOOD_FOR_S: u32 = 120;

/// A record on its way.
struct Record<'a> {
    peer_id: PeerId,
    points_to: SocketAddr,
    network: &'a str,
    good_for_s: u32,
}

pub(crate) async fn run(options: Mdns, tally: Arc<Tally>) -> Result<()> {
    let socket = open(options.bind)?;
    let group = match options.bind {
        IpAddr::V4(_) => SocketAddr::new(GROUP_V4.into(), options.port),
        IpAddr::V6(_) => SocketAddr::new(GROUP_V6.into(), options.port),
    };
    let pace = Pace::new(options.rate / PEERS_A_PACKET as f64);
    tally.ready(None).await?;
    let (mut number, salt) = (0_u64, random());
    for points_to in options.points_to.iter().cycle() {
        pace.turn().await;
        let mut packet = Packet::default();
        for _ in 0..PEERS_A_PACKET {
            packet.push(&next_record(&options, salt, number, *points_to)?);
            number += 1;
        }
        match socket.send_to(&packet.finish(), group).await {
            Ok(_) => tally.records.add(PEERS_A_PACKET),
            Err(error) => tally.failed(error),
        }
    }
    Ok(())
}

fn next_record(
    options: &Mdns,
    salt: u64,
    number: u64,
    points_to: SocketAddr,
) -> Result<Record<'_>> {
    let network = options.network.as_str();
    let goodbyes = options.goodbye.len() as u64;
    let forged = number.checked_rem(goodbyes).and_then(|at| usize::try_from(at).ok());
    if let Some(peer_id) = forged.and_then(|at| options.goodbye.get(at)) {
        return Ok(Record { peer_id: *peer_id, points_to, network, good_for_s: 0 });
    }
    let number = number.checked_rem(options.names).unwrap_or(number);
    let peer_id = PeerId::from_public_key(&[salt.to_be_bytes(), number.to_be_bytes()].concat());
    Ok(Record { peer_id, points_to, network, good_for_s: GOOD_FOR_S })
}

fn open(interface: IpAddr) -> Result<UdpSocket> {
    let (domain, any): (_, IpAddr) = match interface {
        IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    match interface {
        IpAddr::V4(addr) => {
            socket.set_multicast_ttl_v4(TTL)?;
            socket.set_multicast_loop_v4(true)?;
            if !addr.is_unspecified() {
                socket.set_multicast_if_v4(&addr)?;
            }
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(TTL)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.bind(&SocketAddr::new(any, PORT).into()).context("failed to bind the port of mDNS")?;
    Ok(UdpSocket::from_std(socket.into())?)
}

/// An unasked answer with the records of several peers (RFC 1035, section 4).
#[derive(Default)]
struct Packet {
    answers: u16,
    bytes: Vec<u8>,
}

impl Packet {
    fn push(&mut self, record: &Record<'_>) {
        let id = record.peer_id.to_string();
        let instance: Vec<&str> =
            std::iter::once(id.as_str()).chain(SERVICE.iter().copied()).collect();
        let host = [id.as_str(), "local"];
        self.answer(SERVICE, PTR, SHARED, record.good_for_s, &name(&instance));
        if record.good_for_s == 0 {
            return;
        }
        let mut target = vec![0, 0, 0, 0];
        target.extend(record.points_to.port().to_be_bytes());
        target.extend(name(&host));
        self.answer(&instance, SRV, UNIQUE, record.good_for_s, &target);
        self.answer(&instance, TXT, UNIQUE, record.good_for_s, &texts(&id, record.network));
        match record.points_to.ip() {
            IpAddr::V4(ip) => self.answer(&host, A, UNIQUE, record.good_for_s, &ip.octets()),
            IpAddr::V6(ip) => self.answer(&host, AAAA, UNIQUE, record.good_for_s, &ip.octets()),
        }
    }

    fn answer(&mut self, owner: &[&str], kind: u16, class: u16, good_for_s: u32, data: &[u8]) {
        self.bytes.extend(name(owner));
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(class.to_be_bytes());
        self.bytes.extend(good_for_s.to_be_bytes());
        // No record here has more than a few hundred bytes.
        self.bytes.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.bytes.extend(data);
        self.answers += 1;
    }

    fn finish(self) -> Vec<u8> {
        let mut packet = Vec::from(ANSWER_HEAD);
        packet.extend(self.answers.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(self.bytes);
        packet
    }
}

/// Id 0, an authoritative answer, no question.
const ANSWER_HEAD: [u8; 6] = [0, 0, 0x84, 0, 0, 0];
const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
/// The class of records that several hosts have.
const SHARED: u16 = 1;
/// The class of records that take the place of all before.
const UNIQUE: u16 = 0x8001;

/// Encodes a domain name. Labels here have at most 63 bytes.
fn name(labels: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    labels.iter().for_each(|label| push_text(&mut bytes, label));
    bytes.push(0);
    bytes
}

fn texts(peer_id: &str, network: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [
        format!("peer_id={peer_id}"),
        format!("proto_ver={PROTOCOL_VERSION}"),
        format!("library_rev={}", random() >> 32),
        format!("network={network}"),
        "hostname=nobody".to_owned(),
    ] {
        push_text(&mut bytes, &text);
    }
    bytes
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.bytes().take(usize::from(u8::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_fits_a_frame_and_counts_its_answers() {
        let peer_id = PeerId::from_public_key(b"somebody");
        let points_to = "198.18.0.9:4000".parse().unwrap();
        let network = "a party whose name is as long as one can be, which is 63 bytes!";
        let mut packet = Packet::default();
        for _ in 0..PEERS_A_PACKET {
            packet.push(&Record { peer_id, points_to, network, good_for_s: GOOD_FOR_S });
        }
        let bytes = packet.finish();
        assert!(bytes.len() < 1472, "{} bytes", bytes.len());
        assert_eq!(bytes[..8], [0, 0, 0x84, 0, 0, 0, 0, 8]);
        assert!(bytes.windows(4).any(|window| window == [198, 18, 0, 9]));
    }

    #[test]
    fn a_goodbye_is_the_pointer_alone() {
        let peer_id = PeerId::from_public_key(b"somebody");
        let points_to = "198.18.0.9:4000".parse().unwrap();
        let mut packet = Packet::default();
        packet.push(&Record { peer_id, points_to, network: "party", good_for_s: 0 });
        assert_eq!(packet.answers, 1);
        let instance = name(&[&peer_id.to_string(), "_lanspread", "_udp", "local"]);
        assert!(packet.finish().ends_with(&instance));
    }
}
