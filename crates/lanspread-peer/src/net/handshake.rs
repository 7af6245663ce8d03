//! `Hello` and `HelloAck`: who is on the other side, and is it let in?
//!
//! TLS has already proved which key each side holds. Here both sides check that the id fits the
//! key, that protocol version and network are the same and, in a closed party, that the other side
//! knows the network key. The proof is a keyed hash over keying material of this very connection, so
//! it cannot be replayed, and it names the side that made it, so it cannot be reflected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, LIBRARY_HEADER_MAX_BYTES};
use lanspread_proto::message::{
    FEATURES_MAX, Hello, LibrarySnapshot, Refusal, RefusalCode, Request, Response,
};
use lanspread_proto::{ContentHash, NetworkName, PROTOCOL_VERSION, PeerId, PeerName};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::exchange::{ExchangeError, Incoming, ask, send_header};
use super::link::PeerLink;
use super::transport::{
    CloseCode, Connection, Dialer, NewConnection, Stream, StreamAcceptor, StreamSender,
};
use super::view::View;
use crate::config::NetworkKey;
use crate::event::RejectReason;
use crate::library::normalise;

/// Longest time for the whole handshake after TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refused peer has to read the refusal before the connection is closed.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);
/// How long an address of a peer is tried before the next one is tried as well: many round trips of a
/// LAN, and a fraction of what an address costs that leads nowhere.
const NEXT_ADDR_AFTER: Duration = Duration::from_millis(250);

/// What this peer says of itself in every handshake.
#[derive(Clone)]
pub(crate) struct LocalPeer {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) network: NetworkName,
    pub(crate) network_key: Option<NetworkKey>,
    pub(crate) session: u64,
    pub(crate) listen_port: u16,
    pub(crate) view: watch::Receiver<Arc<View>>,
}

/// Why no link came of a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// Nobody answered, or the answer broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The other side is this peer.
    #[error("the address is this peer's own")]
    Myself,
    /// The connection is not needed any more.
    #[error("the connection is not needed any more")]
    Unneeded,
    /// One side does not let the other in.
    #[error("{message}")]
    Rejected {
        /// Who is on the other side.
        peer_id: PeerId,
        /// Why.
        reason: RejectReason,
        /// In words.
        message: String,
    },
}

impl LocalPeer {
    /// What is announced. At a start it is waited for; how long at most, the view says.
    async fn library(&self) -> Arc<LibrarySnapshot> {
        let mut view = self.view.clone();
        // Whoever shows the view is gone only when the peer is.
        let _ = view.wait_for(|view| !view.is_being_made()).await;
        view.borrow().snapshot()
    }
}

/// A peer that is let in, and the streams it will open.
pub(crate) struct Admitted {
    pub(crate) link: Arc<PeerLink>,
    pub(crate) streams: Box<dyn StreamAcceptor>,
}

/// Which end of a connection made a proof.
#[derive(Clone, Copy)]
enum Side {
    Dialler,
    Acceptor,
}

/// Dials `addr` and shakes hands; with `expected`, only with that peer.
#[cfg(test)]
pub(crate) async fn dial(
    dialer: &dyn Dialer,
    addr: SocketAddr,
    expected: Option<PeerId>,
    me: &LocalPeer,
) -> Result<Admitted, HandshakeError> {
    dial_first(dialer, &[addr], expected, me, || true).await.1
}

/// Dials all of `addrs`, one [`NEXT_ADDR_AFTER`] the other, and shakes hands with the first one that
/// answers as `expected`; returns which address that was, or which one failed last. Hands are shaken on
/// one connection at a time, so the other side never sees two of this dial.
///
/// `is_needed` is asked before that: a connection that the other side takes for its newest one must not
/// come of a dial that is not needed any more.
pub(crate) async fn dial_first(
    dialer: &dyn Dialer,
    addrs: &[SocketAddr],
    expected: Option<PeerId>,
    me: &LocalPeer,
    is_needed: impl Fn() -> bool,
) -> (SocketAddr, Result<Admitted, HandshakeError>) {
    let mut dials: FuturesUnordered<_> = (0_u32..)
        .zip(addrs)
        .map(|(n, addr)| async move {
            sleep(NEXT_ADDR_AFTER * n).await;
            (*addr, dialer.dial(*addr).await)
        })
        .collect();
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut last = (nowhere, Err(HandshakeError::Unreachable("it has no address".to_owned())));
    while let Some((addr, opened)) = dials.next().await {
        let opened = match opened {
            Ok(opened) => opened,
            // What was said elsewhere tells more.
            Err(_) if matches!(last.1, Err(HandshakeError::Rejected { .. })) => continue,
            Err(error) => {
                last = (addr, Err(HandshakeError::Unreachable(error.to_string())));
                continue;
            }
        };
        let connection = Arc::clone(&opened.connection);
        let shaken = match is_needed() {
            true => within_time(greet(opened, expected, me)).await,
            false => Err(HandshakeError::Unneeded),
        };
        let has_ended = matches!(shaken, Ok(_) | Err(HandshakeError::Unneeded));
        if shaken.is_err() {
            connection.close(CloseCode::Refused);
        }
        last = (addr, shaken);
        if has_ended {
            break;
        }
    }
    last
}

/// Shakes hands with a peer that dialled.
pub(crate) async fn accept(
    opened: NewConnection,
    me: &LocalPeer,
) -> Result<Admitted, HandshakeError> {
    let connection = Arc::clone(&opened.connection);
    let shaken = within_time(answer(opened, me)).await;
    if shaken.is_err() {
        connection.close(CloseCode::Refused);
    }
    shaken
}

async fn within_time(
    handshake: impl Future<Output = Result<Admitted, HandshakeError>>,
) -> Result<Admitted, HandshakeError> {
    let late = |_| HandshakeError::Unreachable("no handshake in time".to_owned());
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?
}

async fn greet(
    opened: NewConnection,
    expected: Option<PeerId>,
    me: &LocalPeer,
) -> Result<Admitted, HandshakeError> {
    let NewConnection { connection, streams } = opened;
    let peer_id = connection.peer_id();
    if peer_id == me.peer_id {
        return Err(HandshakeError::Myself);
    }
    if let Some(expected) = expected.filter(|expected| *expected != peer_id) {
        let message = format!("expected peer {expected}, found {peer_id}");
        return Err(HandshakeError::Rejected { peer_id, reason: RejectReason::Identity, message });
    }
    let told = me.library().await;
    let hello = hello(me, &*connection, Side::Dialler, told.as_ref().clone());
    let mut incoming = ask(&*connection, &Request::Hello(hello), LIBRARY_HEADER_MAX_BYTES)
        .await
        .map_err(|e| failed(peer_id, &e))?;
    let response =
        incoming.header(LIBRARY_HEADER_MAX_BYTES).await.map_err(|e| failed(peer_id, &e))?;
    match response {
        Response::HelloAck(theirs) => {
            let theirs = check(theirs, me, &*connection, Side::Acceptor)
                .map_err(|refusal| rejected(peer_id, refusal))?;
            let link = PeerLink::new(connection, theirs, told, true);
            Ok(Admitted { link: Arc::new(link), streams })
        }
        Response::Refused(refusal) => Err(rejected(peer_id, refusal)),
        _ => Err(protocol_broken(peer_id, "answered hello with another message")),
    }
}

async fn answer(opened: NewConnection, me: &LocalPeer) -> Result<Admitted, HandshakeError> {
    let NewConnection { connection, mut streams } = opened;
    let peer_id = connection.peer_id();
    let stream = streams.accept().await.map_err(|e| HandshakeError::Unreachable(e.to_string()))?;
    let Stream { mut sender, receiver } = stream;
    let mut incoming = Incoming::new(receiver);
    let request =
        incoming.header(LIBRARY_HEADER_MAX_BYTES).await.map_err(|e| failed(peer_id, &e))?;
    let checked = match request {
        Request::Hello(theirs) => check(theirs, me, &*connection, Side::Dialler),
        _ => Err(refusal(RefusalCode::OutOfOrder, "the first request must be hello")),
    };
    match checked {
        Ok(theirs) => {
            let told = me.library().await;
            let ack = hello(me, &*connection, Side::Acceptor, told.as_ref().clone());
            respond(&mut *sender, &Response::HelloAck(ack), LIBRARY_HEADER_MAX_BYTES)
                .await
                .map_err(|e| failed(peer_id, &e))?;
            let link = PeerLink::new(connection, theirs, told, false);
            Ok(Admitted { link: Arc::new(link), streams })
        }
        Err(refusal) => {
            let response = Response::Refused(refusal.clone());
            if respond(&mut *sender, &response, CONTROL_HEADER_MAX_BYTES).await.is_ok() {
                // The other side closes once it has read why; a close of ours could overtake that.
                let _ = timeout(REFUSAL_GRACE, streams.accept()).await;
            }
            if peer_id == me.peer_id {
                return Err(HandshakeError::Myself);
            }
            Err(rejected(peer_id, refusal))
        }
    }
}

async fn respond(
    sender: &mut dyn StreamSender,
    response: &Response,
    max: usize,
) -> Result<(), ExchangeError> {
    send_header(sender, response, max).await?;
    Ok(sender.finish()?)
}

fn hello(
    me: &LocalPeer,
    connection: &dyn Connection,
    side: Side,
    library: LibrarySnapshot,
) -> Hello {
    Hello {
        peer_id: me.peer_id,
        proto_ver: PROTOCOL_VERSION,
        session: me.session,
        name: me.name.clone(),
        network: me.network.clone(),
        network_proof: me.network_key.as_ref().map(|key| proof(key, connection.exporter(), side)),
        listen_port: me.listen_port,
        features: Vec::new(),
        library,
    }
}

fn proof(key: &NetworkKey, exporter: &[u8; 32], side: Side) -> ContentHash {
    let label: &[u8] = match side {
        Side::Dialler => b"dialler",
        Side::Acceptor => b"acceptor",
    };
    let mut hasher = blake3::Hasher::new_keyed(key.as_bytes());
    hasher.update(label);
    hasher.update(exporter);
    hasher.finalize().into()
}

/// Checks what `side` said of itself.
fn check(
    theirs: Hello,
    me: &LocalPeer,
    connection: &dyn Connection,
    side: Side,
) -> Result<Hello, Refusal> {
    if theirs.proto_ver != PROTOCOL_VERSION {
        let message = format!("protocol version {} is not {PROTOCOL_VERSION}", theirs.proto_ver);
        return Err(refusal(RefusalCode::ProtocolVersion, &message));
    }
    if theirs.peer_id != connection.peer_id() {
        let message =
            format!("the certificate gives peer {}, not {}", connection.peer_id(), theirs.peer_id);
        return Err(refusal(RefusalCode::Identity, &message));
    }
    if theirs.peer_id == me.peer_id {
        return Err(refusal(RefusalCode::Identity, "this is the dialling peer itself"));
    }
    if theirs.network != me.network {
        return Err(refusal(RefusalCode::Network, "the networks are not the same"));
    }
    match (&me.network_key, theirs.network_proof) {
        (None, None) => {}
        (Some(key), Some(shown)) => {
            // Through `blake3::Hash`, which compares in constant time.
            let expected = blake3::Hash::from(*proof(key, connection.exporter(), side).as_bytes());
            if expected != blake3::Hash::from(*shown.as_bytes()) {
                return Err(refusal(RefusalCode::NetworkKey, "the network keys are not the same"));
            }
        }
        _ => {
            let message = "one side has a network key and the other has none";
            return Err(refusal(RefusalCode::NetworkKey, message));
        }
    }
    if theirs.listen_port == 0 || theirs.features.len() > FEATURES_MAX {
        return Err(refusal(RefusalCode::OutOfOrder, "hello is out of bounds"));
    }
    let library =
        normalise(theirs.library).map_err(|e| refusal(RefusalCode::OutOfOrder, &e.to_string()))?;
    Ok(Hello { library, ..theirs })
}

fn refusal(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

fn rejected(peer_id: PeerId, refusal: Refusal) -> HandshakeError {
    let reason = match refusal.code {
        RefusalCode::ProtocolVersion => RejectReason::ProtocolVersion,
        RefusalCode::Network => RejectReason::Network,
        RefusalCode::NetworkKey => RejectReason::NetworkKey,
        RefusalCode::Identity => RejectReason::Identity,
        RefusalCode::OutOfOrder
        | RefusalCode::NotServed
        | RefusalCode::NoSuchChunk
        | RefusalCode::ReadFailed
        | RefusalCode::Busy => RejectReason::Protocol,
    };
    HandshakeError::Rejected { peer_id, reason, message: refusal.message }
}

/// A message that cannot be read may come from another version of the protocol: that is a
/// rejection. A connection that broke off is not.
fn failed(peer_id: PeerId, error: &ExchangeError) -> HandshakeError {
    match error {
        ExchangeError::Codec(_) | ExchangeError::TooLong => {
            protocol_broken(peer_id, &error.to_string())
        }
        ExchangeError::Transport(_) | ExchangeError::EndedEarly | ExchangeError::Silent => {
            HandshakeError::Unreachable(error.to_string())
        }
    }
}

fn protocol_broken(peer_id: PeerId, message: &str) -> HandshakeError {
    let message = message.to_owned();
    HandshakeError::Rejected { peer_id, reason: RejectReason::Protocol, message }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::send_bytes;
    use super::super::memory::{OneDial, pair};
    use super::*;
    use bytes::Bytes;

    fn peer(name: &str) -> LocalPeer {
        LocalPeer {
            peer_id: PeerId::from_public_key(name.as_bytes()),
            name: PeerName::new(name).unwrap(),
            network: NetworkName::new("test").unwrap(),
            network_key: None,
            session: 1,
            listen_port: 9,
            view: watch::channel(Arc::default()).1,
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
        let (dialled, accepted) = tokio::join!(dial(&dialer, addr(), None, one), accept(far, two));
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
        let (near, far) = pair(one.peer_id, one.peer_id);
        let outcome = dial(&OneDial::new(near), addr(), None, &one).await;
        assert!(matches!(outcome, Err(HandshakeError::Myself)));
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_garbage_and_wrong_first_requests_end_in_time() {
        let (one, two) = (peer("one"), peer("two"));
        let openings: [&[u8]; 4] = [
            b"",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x02{]",
            b"\x00\x00\x00\x0f{\"type\":\"ping\"}",
        ];
        for bytes in openings {
            let (near, far) = pair(one.peer_id, two.peer_id);
            let mut stream = near.connection.open().await.unwrap();
            send_bytes(&mut *stream.sender, Bytes::from_static(bytes)).await.unwrap();
            let outcome = accept(far, &two).await;
            assert!(outcome.is_err(), "{bytes:?}");
            let mut streams = near.streams;
            assert!(streams.accept().await.is_err(), "the connection stays open");
        }
    }
}
