//! What a packet of the link says, as far as the gate has to know it.
//!
//! Only packets about Lanspread are read. The daemon reads the rest of what the gate admits.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lanspread_proto::PeerId;

use crate::record::{SERVICE_TYPE, peer_of_instance};

/// Longest packet that is read: one frame of Ethernet. Peers write at most 1,452 bytes.
pub(crate) const PACKET_MAX_BYTES: usize = 1500;
/// Longest TXT record: five values of at most 63 bytes with their keys, and room for later versions.
const TXT_MAX_BYTES: usize = 1024;
/// Shortest time to live but the 0 of a goodbye. Peers write 120 s and more; a shorter one would have the daemon
/// ask again and again.
const TTL_MIN_S: u32 = 60;
/// Longest name in bytes (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 255;

const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_NSEC: u16 = 47;
const CLASS_CACHE_FLUSH: u16 = 0x8000;

/// A packet that the daemon may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Somebody asks for peers.
    Query,
    /// One peer or several say where they are, or that they go.
    Response(Response),
}

/// What the records of a response are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// Every peer that a record is about.
    pub(crate) peers: BTreeSet<PeerId>,
    /// Those that are pointed to.
    pointed: BTreeSet<PeerId>,
    /// Those of which it is told at which port they listen.
    located: BTreeSet<PeerId>,
    /// Those with an address, and which.
    pub(crate) addrs: BTreeSet<(PeerId, IpAddr)>,
    /// Whether a record ends here.
    pub(crate) is_goodbye: bool,
    /// How many records are about something else, or of another form.
    pub(crate) foreign: u32,
}

impl Response {
    fn add(&mut self, record: Record) {
        let Record { peer_id, says, is_goodbye } = record;
        self.peers.insert(peer_id);
        self.is_goodbye |= is_goodbye;
        match says {
            Says::Exists => drop(self.pointed.insert(peer_id)),
            Says::Listens => drop(self.located.insert(peer_id)),
            Says::IsAt(ip) => drop(self.addrs.insert((peer_id, ip))),
            Says::Else => {}
        }
    }

    /// Returns whether the packet says of a peer what makes it one: that it exists, and where it listens.
    pub(crate) fn introduces(&self, peer_id: PeerId) -> bool {
        self.pointed.contains(&peer_id) && self.located.contains(&peer_id)
    }
}

/// A record about a peer.
struct Record {
    peer_id: PeerId,
    says: Says,
    is_goodbye: bool,
}

enum Says {
    Exists,
    Listens,
    IsAt(IpAddr),
    Else,
}

/// Returns how many questions and records the header of a packet promises.
pub(crate) fn promised(packet: &[u8]) -> Option<u32> {
    let header = Reader { packet, at: 0 }.header()?;
    Some(header.counts.iter().map(|count| u32::from(*count)).sum())
}

/// Reads a packet; `None` where it is not about Lanspread, or not of the form that peers write.
pub(crate) fn read(packet: &[u8]) -> Option<Packet> {
    if packet.len() > PACKET_MAX_BYTES {
        return None;
    }
    let mut reader = Reader { packet, at: 0 };
    let Header { is_response, counts: [questions, answers, authorities, additionals] } =
        reader.header()?;
    if !is_response {
        let mut is_ours = false;
        for _ in 0..questions {
            let name = reader.name()?;
            reader.take(4)?;
            is_ours |= Owner::of(&name).is_some();
        }
        return is_ours.then_some(Packet::Query);
    }
    if questions > 0 {
        return None;
    }
    let mut response = Response::default();
    let records = u32::from(answers) + u32::from(authorities) + u32::from(additionals);
    for _ in 0..records {
        match reader.record()? {
            Some(record) => response.add(record),
            None => response.foreign += 1,
        }
    }
    (!response.peers.is_empty()).then_some(Packet::Response(response))
}

/// Whose name a name is.
enum Owner {
    /// The type of all peers.
    Service,
    /// A service instance.
    Instance(PeerId),
    /// A host.
    Host(PeerId),
}

impl Owner {
    fn of(name: &str) -> Option<Self> {
        if name == SERVICE_TYPE {
            return Some(Self::Service);
        }
        if let Ok(peer_id) = peer_of_instance(name) {
            return Some(Self::Instance(peer_id));
        }
        let host = name.strip_suffix(".local.")?;
        let peer_id: PeerId = host.parse().ok()?;
        (peer_id.to_string() == host).then_some(Self::Host(peer_id))
    }
}

struct Header {
    is_response: bool,
    counts: [u16; 4],
}

struct Reader<'packet> {
    packet: &'packet [u8],
    at: usize,
}

impl Reader<'_> {
    fn header(&mut self) -> Option<Header> {
        let flags = self.packet.get(..HEADER_BYTES)?.get(2)?;
        let is_response = flags & 0x80 != 0;
        self.at = 4;
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = self.u16()?;
        }
        Some(Header { is_response, counts })
    }

    /// Reads a record; `Some(None)` where it is about something else, or of another form than peers write.
    fn record(&mut self) -> Option<Option<Record>> {
        let name = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl_s = self.u32()?;
        let len = usize::from(self.u16()?);
        let end = self.at.checked_add(len)?;
        let data = self.packet.get(self.at..end)?;
        let says = Owner::of(&name).and_then(|owner| {
            // Without it the daemon would keep every record of the name beside the others.
            let replaces = class & CLASS_CACHE_FLUSH != 0;
            match (owner, kind) {
                (Owner::Service, TYPE_PTR) => match Owner::of(&self.name()?)? {
                    Owner::Instance(peer_id) => Some((peer_id, Says::Exists)),
                    Owner::Service | Owner::Host(_) => None,
                },
                (Owner::Instance(peer_id), TYPE_SRV) if replaces => {
                    self.take(6)?;
                    match Owner::of(&self.name()?)? {
                        Owner::Host(host) if host == peer_id => Some((peer_id, Says::Listens)),
                        _ => None,
                    }
                }
                (Owner::Instance(peer_id), TYPE_TXT) if replaces && len <= TXT_MAX_BYTES => {
                    Some((peer_id, Says::Else))
                }
                (Owner::Host(peer_id), TYPE_A) if replaces => {
                    let octets: [u8; 4] = data.try_into().ok()?;
                    Some((peer_id, Says::IsAt(octets.into())))
                }
                (Owner::Host(peer_id), TYPE_AAAA) if replaces => {
                    let octets: [u8; 16] = data.try_into().ok()?;
                    Some((peer_id, Says::IsAt(octets.into())))
                }
                (Owner::Host(peer_id) | Owner::Instance(peer_id), TYPE_NSEC) => {
                    Some((peer_id, Says::Else))
                }
                _ => None,
            }
        });
        self.at = end;
        let is_fleeting = ttl_s != 0 && ttl_s < TTL_MIN_S;
        let says = says.filter(|_| !is_fleeting);
        Some(says.map(|(peer_id, says)| Record { peer_id, says, is_goodbye: ttl_s == 0 }))
    }

    /// Reads a name, which may continue at an earlier place.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let (mut at, mut after) = (self.at, None);
        loop {
            let len = *self.packet.get(at)?;
            match len {
                0 => break,
                1..=63 => {
                    let start = at + 1;
                    let end = start + usize::from(len);
                    name.push_str(std::str::from_utf8(self.packet.get(start..end)?).ok()?);
                    name.push('.');
                    if name.len() > NAME_MAX_BYTES {
                        return None;
                    }
                    at = end;
                }
                0xC0.. => {
                    let low = *self.packet.get(at + 1)?;
                    let to = usize::from(u16::from_be_bytes([len & 0x3F, low]));
                    // Only backwards, so that it ends.
                    if to >= at {
                        return None;
                    }
                    after.get_or_insert(at + 2);
                    at = to;
                }
                64..=0xBF => return None,
            }
        }
        self.at = after.unwrap_or(at + 1);
        Some(name)
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let taken = self.packet.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
pub(crate) mod tests;
