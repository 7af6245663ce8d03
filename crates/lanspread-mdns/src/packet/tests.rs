use proptest::prelude::*;

use super::*;

/// What a peer tells of itself, as the daemon writes it, without compression.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) id: PeerId,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) ttl_s: u32,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Told {
    pub(crate) fn new(n: usize, ip: impl Into<IpAddr>) -> Self {
        let id = PeerId::from_public_key(&n.to_be_bytes());
        Self { id, ips: vec![ip.into()], ttl_s: 120, host: format!("{id}.local."), port: 4433 }
    }

    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        let instance = format!("{}.{SERVICE_TYPE}", self.id);
        let mut srv = vec![0, 0, 0, 0];
        srv.extend(self.port.to_be_bytes());
        srv.extend(name(&self.host));
        let mut records = vec![
            record(SERVICE_TYPE, TYPE_PTR, 1, self.ttl_s, &name(&instance)),
            record(&instance, TYPE_SRV, 0x8001, self.ttl_s, &srv),
            record(&instance, TYPE_TXT, 0x8001, self.ttl_s, b"\x03a=b"),
        ];
        for ip in &self.ips {
            let (kind, data) = match ip {
                IpAddr::V4(v4) => (TYPE_A, v4.octets().to_vec()),
                IpAddr::V6(v6) => (TYPE_AAAA, v6.octets().to_vec()),
            };
            records.push(record(&format!("{}.local.", self.id), kind, 0x8001, self.ttl_s, &data));
        }
        records
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        response(&self.records())
    }
}

pub(crate) fn response(records: &[Vec<u8>]) -> Vec<u8> {
    let answers = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, answers[0], answers[1], 0, 0, 0, 0];
    packet.extend(records.concat());
    packet
}

pub(crate) fn query(asked: &str) -> Vec<u8> {
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(name(asked));
    packet.extend([0, 12, 0, 1]);
    packet
}

pub(crate) fn record(owner: &str, kind: u16, class: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let mut record = name(owner);
    record.extend(kind.to_be_bytes());
    record.extend(class.to_be_bytes());
    record.extend(ttl_s.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split_terminator('.');
    let mut name: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    name.push(0);
    name
}

fn read_response(packet: &[u8]) -> Response {
    match read(packet) {
        Some(Packet::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_peer_tells_of_itself_is_read() {
    let told = Told {
        ips: vec![[10, 0, 0, 3].into(), "fe80::3".parse().unwrap()],
        ..Told::new(1, [0; 4])
    };
    let response = read_response(&told.packet());
    assert_eq!(response.peers, BTreeSet::from([told.id]));
    assert!(response.introduces(told.id) && !response.is_goodbye && response.foreign == 0);
    assert_eq!(response.addrs, told.ips.iter().map(|ip| (told.id, *ip)).collect());
    assert_eq!(promised(&told.packet()), Some(5));
    let goodbye = Told { ttl_s: 0, ..told };
    assert!(read_response(&goodbye.packet()).is_goodbye);
}

#[test]
fn names_may_continue_at_an_earlier_place_and_at_no_later_one() {
    let told = Told::new(1, [10, 0, 0, 3]);
    let plain = told.packet();
    // The owner of the second record continues in the data of the first, which begins with the instance.
    let first =
        record(SERVICE_TYPE, TYPE_PTR, 1, 120, &name(&format!("{}.{SERVICE_TYPE}", told.id)));
    let data_at = HEADER_BYTES + first.len() - name(&format!("{}.{SERVICE_TYPE}", told.id)).len();
    let pointer = |at: usize| [0xC0 | u8::try_from(at >> 8).unwrap(), at.to_be_bytes()[7]];
    let mut txt = pointer(data_at).to_vec();
    txt.extend(&record("", TYPE_TXT, 0x8001, 120, b"\x01a")[1..]);
    let packed = response(&[first.clone(), txt]);
    assert_eq!(read_response(&packed).peers, BTreeSet::from([told.id]));
    let mut looping = plain;
    let at = HEADER_BYTES + first.len();
    looping[at..at + 2].copy_from_slice(&pointer(at));
    assert_eq!(read(&looping), None);
}

#[test]
fn only_questions_about_peers_are_read() {
    assert_eq!(read(&query(SERVICE_TYPE)), Some(Packet::Query));
    let id = Told::new(1, [0; 4]).id;
    assert_eq!(read(&query(&format!("{id}.{SERVICE_TYPE}"))), Some(Packet::Query));
    assert_eq!(read(&query(&format!("{id}.local."))), Some(Packet::Query));
    for other in ["_services._dns-sd._udp.local.", "_http._tcp.local.", "printer.local.", "."] {
        assert_eq!(read(&query(other)), None, "{other}");
    }
}

#[test]
fn records_of_another_form_count_as_foreign() {
    let told = Told::new(1, [10, 0, 0, 3]);
    let host = format!("{}.local.", told.id);
    let instance = format!("{}.{SERVICE_TYPE}", told.id);
    let odd = [
        record("printer.local.", TYPE_A, 0x8001, 120, &[10, 0, 0, 3]),
        record(&host, TYPE_A, 1, 120, &[10, 0, 0, 3]),
        record(&host, TYPE_A, 0x8001, 120, &[10, 0, 0]),
        record(&host, TYPE_AAAA, 0x8001, 120, &[10, 0, 0, 3]),
        record(&host, TYPE_A, 0x8001, 1, &[10, 0, 0, 3]),
        record(&instance, TYPE_TXT, 0x8001, 120, &[0; TXT_MAX_BYTES + 1]),
        record(&instance, TYPE_TXT, 1, 120, &[0]),
        record(SERVICE_TYPE, TYPE_PTR, 1, 120, &name("printer.local.")),
        record("\u{7}\n.local.", TYPE_A, 0x8001, 120, &[10, 0, 0, 3]),
    ];
    for odd in odd {
        let mut records = told.records();
        records.push(odd);
        assert_eq!(read_response(&response(&records)).foreign, 1);
    }
    let elsewhere = Told { host: "victim.local.".to_owned(), ..told.clone() };
    assert!(!read_response(&elsewhere.packet()).introduces(told.id));
    assert_eq!(read(&response(&[record("printer.local.", TYPE_A, 0x8001, 120, &[0; 4])])), None);
    let long = Told { ips: vec![[10, 0, 0, 3].into(); 40], ..told };
    assert!(long.packet().len() > PACKET_MAX_BYTES);
    assert_eq!(read(&long.packet()), None);
}

proptest! {
    #[test]
    fn no_packet_breaks_the_reader(
        packet in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        read(&packet);
        let mut changed = Told::new(1, [10, 0, 0, 3]).packet();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        read(&changed);
        let cut = cut.index(changed.len());
        prop_assert_eq!(read(&Told::new(1, [10, 0, 0, 3]).packet()[..cut]), None);
    }
}
