//! Services that find each other. Everything here stays on the loopback interface.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lanspread_mdns::{
    Advertisement, BrowseEvent, MdnsConfig, MdnsInterface, MdnsService, PeerRecord, SERVICE_TYPE,
    SHUTDOWN_LIMIT,
};
use lanspread_proto::{PROTOCOL_VERSION, PeerId};
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon, ServiceInfo, TxtProperty};

/// Far more than any step takes, so that only a step that never happens fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Peer {
    service: Option<MdnsService>,
    advertisement: Advertisement,
    events: Receiver<BrowseEvent>,
}

impl Peer {
    /// A peer whose id is unlike that of any other test run on this host.
    fn start(name: &str, port: u16) -> Self {
        let peer_id = PeerId::from_public_key(
            format!("{name} {} {:?}", std::process::id(), Instant::now()).as_bytes(),
        );
        Self::start_as(peer_id, name, port, "127.0.0.1")
    }

    fn start_as(peer_id: PeerId, name: &str, port: u16, listen: &str) -> Self {
        let advertisement = Advertisement {
            peer_id,
            proto_ver: PROTOCOL_VERSION,
            library_rev: 1,
            network: format!("{name}-net").parse().unwrap(),
            hostname: name.parse().unwrap(),
            port,
        };
        let config = MdnsConfig {
            interface: MdnsInterface::Name("lo".to_owned()),
            listen: listen.parse().unwrap(),
            networks: Vec::new(),
            advertisement: advertisement.clone(),
        };
        let (sender, events) = channel();
        let service =
            MdnsService::start(config, move |event| drop(sender.send(event))).unwrap().unwrap();
        Self { service: Some(service), advertisement, events }
    }

    fn id(&self) -> PeerId {
        self.advertisement.peer_id
    }

    /// The next event that is about `peer`: other tests run on the same link.
    fn next_about(&self, peer: PeerId) -> Result<BrowseEvent, RecvTimeoutError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event =
                self.events.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
            let about = match &event {
                BrowseEvent::Appeared(record) | BrowseEvent::Updated(record) => record.peer_id,
                BrowseEvent::Gone(peer_id) => *peer_id,
                BrowseEvent::OtherVersion(other) => other.peer_id,
                BrowseEvent::OwnNameElsewhere(_) => self.id(),
            };
            if about == peer {
                return Ok(event);
            }
        }
    }

    /// What the others should read of this peer.
    fn record(&self, library_rev: u64, addrs: &[&str]) -> PeerRecord {
        let own = self.advertisement.clone();
        PeerRecord {
            peer_id: own.peer_id,
            proto_ver: own.proto_ver,
            library_rev,
            network: own.network,
            hostname: own.hostname,
            addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
            is_vouched: true,
        }
    }
}

#[test]
fn two_peers_appear_update_and_go() {
    let start = Instant::now();
    let mut alpha = Peer::start("alpha", 4001);
    let bravo = Peer::start("bravo", 4002);
    let bravo_record = bravo.record(1, &["127.0.0.1:4002"]);
    assert_eq!(alpha.next_about(bravo.id()).unwrap(), BrowseEvent::Appeared(bravo_record));
    let alpha_record = alpha.record(1, &["127.0.0.1:4001"]);
    assert_eq!(bravo.next_about(alpha.id()).unwrap(), BrowseEvent::Appeared(alpha_record));
    println!("both found after {:?}", start.elapsed());

    let start = Instant::now();
    for library_rev in 2..=4 {
        alpha.service.as_mut().unwrap().set_library_rev(library_rev).unwrap();
        let updated = alpha.record(library_rev, &["127.0.0.1:4001"]);
        assert_eq!(bravo.next_about(alpha.id()).unwrap(), BrowseEvent::Updated(updated));
    }
    println!("three updates after {:?}", start.elapsed());

    let start = Instant::now();
    alpha.service.take().unwrap().shutdown();
    println!("shut down after {:?}", start.elapsed());
    assert_eq!(bravo.next_about(alpha.id()).unwrap(), BrowseEvent::Gone(alpha.id()));
    println!("gone after {:?}", start.elapsed());
}

#[test]
fn a_restart_on_another_port_is_an_update_and_nothing_else() {
    let watcher = Peer::start("watcher", 4010);
    let first = Peer::start("mover", 4011);
    let id = first.id();
    let before = first.record(1, &["127.0.0.1:4011"]);
    assert_eq!(watcher.next_about(id).unwrap(), BrowseEvent::Appeared(before));
    drop(first);
    let second = Peer::start_as(id, "mover", 4012, "127.0.0.1");
    let after = second.record(1, &["127.0.0.1:4012"]);
    assert_eq!(watcher.next_about(id).unwrap(), BrowseEvent::Updated(after));
    drop(second);
    assert_eq!(watcher.next_about(id).unwrap(), BrowseEvent::Gone(id));
}

#[test]
fn two_services_of_one_name_tell_each_other() {
    let first = Peer::start("first", 4013);
    let id = first.id();
    let second = Peer::start_as(id, "second", 4014, "127.0.0.1");
    for (peer, other) in [(&first, "127.0.0.1:4014"), (&second, "127.0.0.1:4013")] {
        let expected = BrowseEvent::OwnNameElsewhere(vec![other.parse().unwrap()]);
        assert_eq!(peer.next_about(id).unwrap(), expected);
    }
}

#[test]
fn every_way_to_listen_on_loopback_is_advertised_as_such() {
    let watcher = Peer::start("watcher", 4020);
    let cases = [
        ("127.0.0.1", "127.0.0.1:4021"),
        ("127.0.0.2", "127.0.0.2:4021"),
        ("0.0.0.0", "127.0.0.1:4021"),
        ("::", "127.0.0.1:4021"),
    ];
    for (listen, addr) in cases {
        let id = PeerId::from_public_key(format!("{listen} {}", std::process::id()).as_bytes());
        let peer = Peer::start_as(id, "peer", 4021, listen);
        let expected = peer.record(1, &[addr]);
        assert_eq!(watcher.next_about(id).unwrap(), BrowseEvent::Appeared(expected));
    }
}

#[test]
fn ten_peers_find_each_other() {
    let start = Instant::now();
    let peers: Vec<_> = (0..10).map(|n| Peer::start(&format!("mesh{n}"), 4100 + n)).collect();
    for peer in &peers {
        let mut missing: Vec<_> =
            peers.iter().map(Peer::id).filter(|id| *id != peer.id()).collect();
        while !missing.is_empty() {
            if let BrowseEvent::Appeared(record) = peer.events.recv_timeout(PATIENCE).unwrap() {
                missing.retain(|id| *id != record.peer_id);
            }
        }
    }
    println!("mesh of ten after {:?}", start.elapsed());
}

#[test]
fn shutdown_ends_the_browse_thread_in_time() {
    for by_drop in [false, true] {
        let mut peer = Peer::start("short", 4030);
        let service = peer.service.take().unwrap();
        let start = Instant::now();
        if by_drop {
            drop(service);
        } else {
            service.shutdown();
        }
        let took = start.elapsed();
        // The thread owned the sender, so a closed channel is a thread that has ended.
        while let Ok(event) = peer.events.try_recv() {
            drop(event);
        }
        assert_eq!(peer.events.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
        assert!(took < SHUTDOWN_LIMIT, "took {took:?}");
    }
}

#[test]
fn a_blocked_callback_does_not_hold_up_the_shutdown() {
    let other = Peer::start("other", 4040);
    let (entered_sender, entered) = channel();
    let (gate, opened) = channel::<()>();
    let config = MdnsConfig {
        interface: MdnsInterface::Name("lo".to_owned()),
        listen: IpAddr::from([127, 0, 0, 1]),
        networks: Vec::new(),
        advertisement: Advertisement {
            peer_id: PeerId::from_public_key(b"blocked"),
            ..other.advertisement.clone()
        },
    };
    let on_event = move |_| {
        let _ = entered_sender.send(());
        let _ = opened.recv();
    };
    let service = MdnsService::start(config, on_event).unwrap().unwrap();
    entered.recv_timeout(PATIENCE).unwrap();
    let start = Instant::now();
    service.shutdown();
    assert!(start.elapsed() < 4 * SHUTDOWN_LIMIT, "took {:?}", start.elapsed());
    drop(gate);
}

#[test]
fn hostile_records_are_left_out() {
    let watcher = Peer::start("watcher", 4050);
    let daemon = ServiceDaemon::new().unwrap();
    let others = IfPredicate::new(|interface| !interface.is_loopback());
    daemon.disable_interface(IfKind::Predicate(others)).unwrap();
    let id = |n: u32| PeerId::from_public_key(format!("{n} {}", std::process::id()).as_bytes());
    let host = |instance: &str| format!("{instance}.local.");
    let register = |instance: &str, port: u16, says: PeerId, library_rev: &[u8]| {
        let says = says.to_string();
        let txt: Vec<TxtProperty> = vec![
            ("peer_id", says.as_bytes()).into(),
            ("proto_ver", b"1").into(),
            ("library_rev", library_rev).into(),
            ("network", b"lan").into(),
            ("hostname", b"mallory").into(),
        ];
        let mut service =
            ServiceInfo::new(SERVICE_TYPE, instance, &host(instance), "127.0.0.1", port, txt)
                .unwrap();
        service.set_requires_probe(false);
        daemon.register(service).unwrap();
    };
    register(&id(1).to_string(), 1, id(2), b"1");
    register(&id(2).to_string(), 0, id(2), b"1");
    register(&id(3).to_string(), 1, id(3), b"\xff\xfe");
    register("no peer", 1, id(4), b"1");
    let mut bare = ServiceInfo::new(
        SERVICE_TYPE,
        &id(6).to_string(),
        &host(&id(6).to_string()),
        "127.0.0.1",
        1,
        &[("proto_ver", "99")][..],
    )
    .unwrap();
    bare.set_requires_probe(false);
    daemon.register(bare).unwrap();
    register(&id(5).to_string(), 1, id(5), b"1");
    let hostile = [1, 2, 3, 4, 6].map(id);
    let (mut is_good_one_there, mut is_other_there) = (false, false);
    while !is_good_one_there || !is_other_there {
        match watcher.events.recv_timeout(PATIENCE).unwrap() {
            BrowseEvent::Appeared(record) if record.peer_id == id(5) => is_good_one_there = true,
            BrowseEvent::Appeared(record) => assert!(!hostile.contains(&record.peer_id)),
            BrowseEvent::OtherVersion(other) if other.peer_id == id(6) => {
                is_other_there = other.proto_ver == 99 && other.addr.port() == 1;
            }
            _ => {}
        }
    }
    daemon.shutdown().unwrap().recv_timeout(PATIENCE).unwrap();
    assert_eq!(watcher.next_about(id(5)).unwrap(), BrowseEvent::Gone(id(5)));
}

#[test]
fn off_starts_nothing() {
    let advertisement = Advertisement {
        peer_id: PeerId::from_public_key(b"off"),
        proto_ver: 1,
        library_rev: 1,
        network: "off".parse().unwrap(),
        hostname: "off".parse().unwrap(),
        port: 1,
    };
    let listen = IpAddr::from([127, 0, 0, 1]);
    let config =
        MdnsConfig { interface: MdnsInterface::Off, listen, networks: Vec::new(), advertisement };
    assert!(MdnsService::start(config.clone(), |_| ()).unwrap().is_none());
    let unknown = MdnsConfig { interface: MdnsInterface::Name("nosuch0".to_owned()), ..config };
    let message = MdnsService::start(unknown, |_| ()).unwrap_err().to_string();
    assert!(message.contains("nosuch0") && message.contains("lo"), "{message}");
}
