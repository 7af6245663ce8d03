use std::future::pending;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_proto::library::LibrarySnapshot;
use tokio::time::Instant;

use super::super::exchange::send_bytes;
use super::super::memory::{OneDial, pair};
use super::super::transport::TransportError;
use super::*;

fn peer(name: &str) -> LocalPeer {
    LocalPeer {
        peer_id: PeerId::from_public_key(name.as_bytes()),
        name: PeerName::new(name).unwrap(),
        network: NetworkName::new("test").unwrap(),
        network_key: None,
        session: 1,
        listen_port: 9,
        announcer: Arc::new(Arc::<LibrarySnapshot>::default()),
        echoes: Echoes::default(),
    }
}

fn addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// Lets `one` dial `two`; the certificates give `proved_one` and `proved_two`.
async fn shake(
    one: &LocalPeer,
    two: &LocalPeer,
    proved_one: PeerId,
    proved_two: PeerId,
) -> [Result<PeerId, HandshakeError>; 2] {
    let (near, far) = pair(proved_one, proved_two);
    let dialer = OneDial::new(near);
    let (dialled, accepted) =
        tokio::join!(dial(&dialer, addr(), None, one), accept(far, two, || {}));
    [dialled, accepted].map(|outcome| outcome.map(|admitted| admitted.link.peer_id()))
}

fn reason(outcome: &Result<PeerId, HandshakeError>) -> Option<RejectReason> {
    match outcome {
        Err(HandshakeError::Rejected { reason, .. }) => Some(*reason),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn honest_peers_admit_each_other() {
    let (one, two) = (peer("one"), peer("two"));
    let [dialled, accepted] = shake(&one, &two, one.peer_id, two.peer_id).await;
    assert_eq!((dialled.unwrap(), accepted.unwrap()), (two.peer_id, one.peer_id));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_certificate_does_not_give_is_refused() {
    let (one, two, three) = (peer("one"), peer("two"), peer("three"));
    let [dialled, accepted] = shake(&one, &two, three.peer_id, two.peer_id).await;
    assert_eq!(reason(&dialled), Some(RejectReason::Identity));
    assert_eq!(reason(&accepted), Some(RejectReason::Identity));
    let [dialled, _] = shake(&one, &two, one.peer_id, three.peer_id).await;
    assert_eq!(reason(&dialled), Some(RejectReason::Identity));
}

#[tokio::test(start_paused = true)]
async fn another_peer_than_the_expected_one_is_refused_before_anything_is_said() {
    let (one, two, three) = (peer("one"), peer("two"), peer("three"));
    let (near, mut far) = pair(one.peer_id, two.peer_id);
    let outcome = dial(&OneDial::new(near), addr(), Some(three.peer_id), &one).await;
    let outcome = outcome.map(|admitted| admitted.link.peer_id());
    assert_eq!(reason(&outcome), Some(RejectReason::Identity));
    assert!(far.streams.accept().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_proof_cannot_be_reflected() {
    let key = NetworkKey::from_secret(b"long secret").unwrap();
    let exporter = [7; 32];
    assert_ne!(proof(&key, &exporter, Side::Dialler), proof(&key, &exporter, Side::Acceptor));
    let mut one = peer("one");
    let mut two = peer("two");
    one.network_key = Some(key.clone());
    let [dialled, accepted] = shake(&one, &two, one.peer_id, two.peer_id).await;
    assert_eq!(reason(&dialled), Some(RejectReason::NetworkKey));
    assert_eq!(reason(&accepted), Some(RejectReason::NetworkKey));
    two.network_key = Some(key);
    let [dialled, accepted] = shake(&one, &two, one.peer_id, two.peer_id).await;
    assert!(dialled.is_ok() && accepted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn dialling_oneself_is_noticed_on_both_ends() {
    let one = peer("one");
    let [dialled, accepted] = shake(&one, &one.clone(), one.peer_id, one.peer_id).await;
    assert!(matches!(dialled, Err(HandshakeError::Myself)));
    assert!(matches!(accepted, Err(HandshakeError::Myself)));
}

#[tokio::test(start_paused = true)]
async fn another_peer_with_the_own_identity_is_noticed_on_both_ends() {
    let (one, clone) = (peer("one"), peer("one"));
    let [dialled, accepted] = shake(&one, &clone, one.peer_id, one.peer_id).await;
    assert!(matches!(dialled, Err(HandshakeError::Cloned(_))));
    let Err(HandshakeError::Cloned(addr)) = accepted else { panic!("it took it for itself") };
    assert_eq!(addr.port(), one.listen_port);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leads_nowhere_holds_up_the_next_one_for_a_moment() {
    struct Silent(OneDial);
    impl Dialer for Silent {
        fn dial(&self, to: SocketAddr) -> BoxFuture<'_, Result<NewConnection, TransportError>> {
            if to == addr() { pending().boxed() } else { self.0.dial(to) }
        }
    }
    let (one, two) = (peer("one"), peer("two"));
    let (near, far) = pair(one.peer_id, two.peer_id);
    let (dialer, began) = (Silent(OneDial::new(near)), Instant::now());
    let other = SocketAddr::from(([127, 0, 0, 2], 1));
    let addrs = [addr(), other];
    let dial = dial_first(&dialer, &addrs, Some(two.peer_id), &one, || true);
    let ((addr, dialled), accepted) = tokio::join!(dial, accept(far, &two, || {}));
    assert!(dialled.is_ok() && accepted.is_ok());
    assert_eq!((addr, began.elapsed()), (other, NEXT_ADDR_AFTER));
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_not_needed_any_more_leaves_no_connection() {
    let (one, two) = (peer("one"), peer("two"));
    let (near, far) = pair(one.peer_id, two.peer_id);
    let (dialer, addrs) = (OneDial::new(near), [addr()]);
    let dial = dial_first(&dialer, &addrs, Some(two.peer_id), &one, || false);
    let ((_, dialled), accepted) = tokio::join!(dial, accept(far, &two, || {}));
    assert!(matches!(dialled, Err(HandshakeError::Unneeded)) && accepted.is_err());
}

#[tokio::test(start_paused = true)]
async fn another_version_is_told_also_where_its_hello_cannot_be_read() {
    let (one, two) = (peer("one"), peer("two"));
    for (hello, known) in [
        (&br#"{"type":"hello","proto_ver":77,"what":[1]}"#[..], true),
        (br#"{"proto_ver":77}"#, true),
        (br#"{"type":"hello","what":[1]}"#, false),
        (&format!(r#"{{"type":"hello","proto_ver":{PROTOCOL_VERSION}}}"#).into_bytes(), false),
    ] {
        let (near, far) = pair(one.peer_id, two.peer_id);
        let mut stream = near.connection.open().await.unwrap();
        let len = u32::try_from(hello.len()).unwrap().to_be_bytes();
        let bytes = Bytes::from([&len, hello].concat());
        send_bytes(&mut *stream.sender, bytes).await.unwrap();
        let outcome = accept(far, &two, || {}).await;
        let Err(HandshakeError::Rejected { reason, glimpse, .. }) = outcome else { panic!() };
        let expected = match known {
            true => (RejectReason::ProtocolVersion, Some(77)),
            false => (RejectReason::Protocol, None),
        };
        assert_eq!((reason, glimpse.proto_ver), expected);
        drop(near);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_too_long_is_answered_if_it_is_of_an_old_version_and_read_over() {
    let (one, two) = (peer("one"), peer("two"));
    let hello = |proto_ver: u32, len: usize| {
        let said = r#""type":"hello","peer_id":"?","#.to_owned();
        let head =
            format!(r#"{{{said}"proto_ver":{proto_ver},"name":"old","listen_port":7,"library":""#);
        format!(r#"{head}{}"}}"#, "x".repeat(len))
    };
    let old = PROTOCOL_VERSION - 1;
    for (hello, glimpsed) in [
        (hello(old, 10), Some(Some(old))),
        (hello(old, 2 * 1024 * 1024), Some(Some(old))),
        (hello(old, OLD_HELLO_MAX_BYTES), None),
        (hello(PROTOCOL_VERSION, 2 * 1024 * 1024), None),
        (hello(PROTOCOL_VERSION + 1, 2 * 1024 * 1024), None),
    ] {
        let (near, far) = pair(one.peer_id, two.peer_id);
        let say = async {
            let Stream { mut sender, receiver } = near.connection.open().await.unwrap();
            let len = u32::try_from(hello.len()).unwrap().to_be_bytes();
            let bytes = Bytes::from([&len, hello.as_bytes()].concat());
            send_bytes(&mut *sender, bytes).await.unwrap();
            let answer: Result<Response, _> =
                Incoming::new(receiver).header(CONTROL_HEADER_MAX_BYTES).await;
            // It has read why.
            near.connection.close(CloseCode::Goodbye);
            answer.ok()
        };
        let (answer, outcome) = tokio::join!(say, accept(far, &two, || {}));
        let Err(HandshakeError::Rejected { reason, glimpse, .. }) = outcome else { panic!() };
        let Some(proto_ver) = glimpsed else {
            assert_eq!((reason, answer), (RejectReason::Protocol, None));
            continue;
        };
        assert_eq!(reason, RejectReason::ProtocolVersion);
        let expected = (proto_ver, Some(PeerName::new("old").unwrap()), Some(7));
        assert_eq!((glimpse.proto_ver, glimpse.name, glimpse.listen_port), expected);
        let Some(Response::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, RefusalCode::ProtocolVersion);
        let told = format!("this peer speaks version {PROTOCOL_VERSION} and yours {old}");
        assert!(refusal.message.starts_with(&told), "{}", refusal.message);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_garbage_and_wrong_first_requests_end_in_time() {
    let (one, two) = (peer("one"), peer("two"));
    let openings: [&[u8]; 4] =
        [b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{]", b"\x00\x00\x00\x0f{\"type\":\"ping\"}"];
    for bytes in openings {
        let (near, far) = pair(one.peer_id, two.peer_id);
        let mut stream = near.connection.open().await.unwrap();
        send_bytes(&mut *stream.sender, Bytes::from_static(bytes)).await.unwrap();
        let outcome = accept(far, &two, || {}).await;
        assert!(outcome.is_err(), "{bytes:?}");
        let mut streams = near.streams;
        assert!(streams.accept().await.is_err(), "the connection stays open");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_is_proven_before_the_own_library_is_waited_for() {
    struct Never;
    impl Announcer for Never {
        fn library(&self) -> BoxFuture<'_, Arc<LibrarySnapshot>> {
            pending().boxed()
        }
    }
    let one = peer("one");
    let two = LocalPeer { announcer: Arc::new(Never), ..peer("two") };
    let (near, far) = pair(one.peer_id, two.peer_id);
    let (dialer, mut is_proven) = (OneDial::new(near), false);
    let dial = dial(&dialer, addr(), None, &one);
    let (dialled, accepted) = tokio::join!(dial, accept(far, &two, || is_proven = true));
    assert!(dialled.is_err() && accepted.is_err() && is_proven);
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_before_the_hello_ends_the_handshake_at_once() {
    let (one, two) = (peer("one"), peer("two"));
    let (near, far) = pair(one.peer_id, two.peer_id);
    let _first = near.connection.open().await.unwrap();
    let (began, mut is_proven) = (Instant::now(), false);
    let open = async {
        sleep(Duration::from_millis(1)).await;
        near.connection.open().await
    };
    let (_second, outcome) = tokio::join!(open, accept(far, &two, || is_proven = true));
    let outcome = outcome.map(|admitted| admitted.link.peer_id());
    assert_eq!(reason(&outcome), Some(RejectReason::Protocol));
    assert!(!is_proven && began.elapsed() < HANDSHAKE_TIMEOUT);
}
