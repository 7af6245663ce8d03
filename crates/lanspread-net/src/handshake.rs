//! `Hello` and `HelloAck`: who is on the other side, and is it let in?
//!
//! TLS has already proved which key each side holds. Here both sides check that the id fits the
//! key, that protocol version and network are the same and, in a closed party, that the other side
//! knows the network key. The proof is a keyed hash over keying material of this very connection, so
//! it cannot be replayed, and it names the side that made it, so it cannot be reflected.

mod glimpse;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lanspread_proto::codec::{
    CONTROL_HEADER_MAX_BYTES, CodecError, HeaderBytes, HeaderReader, decode_header,
};
use lanspread_proto::message::{FEATURES_MAX, Hello, Refusal, RefusalCode, Request, Response};
use lanspread_proto::{ContentHash, NetworkName, PROTOCOL_VERSION, PeerId, PeerName};
use tokio::time::{sleep, timeout};

use super::announcer::Announcer;
use super::echoes::Echoes;
use super::exchange::{ExchangeError, Incoming, ask, send_header};
use super::link::PeerLink;
use super::transport::{
    CloseCode, Connection, Dialer, NewConnection, Stream, StreamAcceptor, StreamSender,
    TransportError,
};
use crate::network_key::NetworkKey;

pub use glimpse::Glimpse;

/// Longest time for the whole handshake after TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refused peer has to read the refusal before the connection is closed.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);
/// Longest hello of an old version, which held the library.
const OLD_HELLO_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How much is kept of a hello of an old version that is longer than one may be: all but its library, which
/// comes last.
const OLD_HELLO_KEPT_BYTES: usize = 4 * 1024;
/// How long an address of a peer is tried before the next one is tried as well: many round trips of a
/// LAN, and a fraction of what an address costs that leads nowhere.
const NEXT_ADDR_AFTER: Duration = Duration::from_millis(250);

/// What this peer says of itself in every handshake.
#[derive(Clone)]
pub struct LocalPeer {
    /// Its id, which its certificate proves.
    pub peer_id: PeerId,
    /// What it calls itself.
    pub name: PeerName,
    /// The party that it belongs to.
    pub network: NetworkName,
    /// The secret of a closed party.
    pub network_key: Option<NetworkKey>,
    /// Another number at each start.
    pub session: u64,
    /// The UDP port on which it can be dialled.
    pub listen_port: u16,
    /// Tells which library it announces.
    pub announcer: Arc<dyn Announcer>,
    /// Tells its own hello from that of another peer.
    pub echoes: Echoes,
}

/// Why a peer was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// It speaks another protocol version.
    ProtocolVersion,
    /// It belongs to another network.
    Network,
    /// It did not prove the network key, or one side has none.
    NetworkKey,
    /// It showed another id than its certificate gives, or than was expected.
    Identity,
    /// It did not keep to the protocol.
    Protocol,
}

/// Why nobody answered at an address.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// There is no address to dial.
    #[error("it has no address")]
    NoAddress,
    /// The handshake took longer than 5 s.
    #[error("no handshake in time")]
    Late,
    /// The connection did not come about, or broke off.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// Why no link came of a connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Nobody answered, or the answer broke off.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The other side is this peer.
    #[error("the address is this peer's own")]
    Myself,
    /// Another running peer has the identity of this one; it listens at this address.
    #[error("another running peer has the identity of this one; it is at {0}")]
    Cloned(SocketAddr),
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
        /// What the other side said of itself, where it speaks another version.
        glimpse: Glimpse,
        /// In words.
        message: String,
    },
}

/// A peer that is let in, and the streams it will open.
pub struct Admitted {
    /// The connection to it.
    pub link: Arc<PeerLink>,
    /// The streams that it opens.
    pub streams: Box<dyn StreamAcceptor>,
}

/// Which end of a connection made a proof.
#[derive(Clone, Copy)]
enum Side {
    Dialler,
    Acceptor,
}

/// Dials `addr` and shakes hands; with `expected`, only with that peer.
#[cfg(any(test, feature = "testing"))]
pub async fn dial(
    dialer: &dyn Dialer,
    addr: SocketAddr,
    expected: Option<PeerId>,
    me: &LocalPeer,
) -> Result<Admitted, HandshakeError> {
    dial_first(dialer, &[addr], expected, me, || true).await.1
}

/// Dials all of `addrs`, one 250 ms after the other, and shakes hands with the first one that
/// answers as `expected`; returns which address that was, or which one failed last. Hands are shaken on
/// one connection at a time, so the other side never sees two of this dial.
///
/// `is_needed` is asked before that: a connection that the other side takes for its newest one must not
/// come of a dial that is not needed any more.
pub async fn dial_first(
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
    let mut last = (nowhere, Err(Unreachable::NoAddress.into()));
    while let Some((addr, opened)) = dials.next().await {
        let opened = match opened {
            Ok(opened) => opened,
            // What was said elsewhere tells more.
            Err(_) if !matches!(last.1, Err(HandshakeError::Unreachable(_))) => continue,
            Err(error) => {
                last = (addr, Err(unreachable(error)));
                continue;
            }
        };
        let connection = Arc::clone(&opened.connection);
        let shaken = match is_needed() {
            true => within_time(greet(opened, expected, me)).await,
            false => Err(HandshakeError::Unneeded),
        };
        let has_ended =
            matches!(shaken, Ok(_) | Err(HandshakeError::Unneeded | HandshakeError::Cloned(_)));
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

/// Shakes hands with a peer that dialled. `on_proven` is called once its hello is read and right, which is before it is
/// answered. Until then nothing of the other side is held but its hello.
pub async fn accept(
    opened: NewConnection,
    me: &LocalPeer,
    on_proven: impl FnOnce(),
) -> Result<Admitted, HandshakeError> {
    let connection = Arc::clone(&opened.connection);
    let shaken = within_time(answer(opened, me, on_proven)).await;
    if shaken.is_err() {
        connection.close(CloseCode::Refused);
    }
    shaken
}

async fn within_time(
    handshake: impl Future<Output = Result<Admitted, HandshakeError>>,
) -> Result<Admitted, HandshakeError> {
    let late = |_| HandshakeError::from(Unreachable::Late);
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?
}

async fn greet(
    opened: NewConnection,
    expected: Option<PeerId>,
    me: &LocalPeer,
) -> Result<Admitted, HandshakeError> {
    let NewConnection { connection, streams } = opened;
    let peer_id = connection.peer_id();
    let own_call = (peer_id == me.peer_id).then(|| me.echoes.call(connection.exporter()));
    if own_call.is_none()
        && let Some(expected) = expected.filter(|expected| *expected != peer_id)
    {
        let message = format!("expected peer {expected}, found {peer_id}");
        let reason = RejectReason::Identity;
        let glimpse = Glimpse::default();
        return Err(HandshakeError::Rejected { peer_id, reason, glimpse, message });
    }
    let told = me.announcer.library().await;
    let hello = hello(me, &*connection, Side::Dialler, told.rev);
    let mut incoming = ask(&*connection, &Request::Hello(hello), Bytes::new())
        .await
        .map_err(|e| failed(peer_id, e))?;
    let response =
        incoming.raw_header(CONTROL_HEADER_MAX_BYTES).await.map_err(|e| failed(peer_id, e))?;
    if let Some(call) = own_call {
        return Err(match call.has_come_back() {
            true => HandshakeError::Myself,
            false => HandshakeError::Cloned(connection.remote_addr()),
        });
    }
    if let Some(glimpse) = of_other_version(&response) {
        return Err(rejected(peer_id, version_refusal(&glimpse), glimpse));
    }
    match decode_header(&response).map_err(|error| failed(peer_id, error.into()))? {
        Response::HelloAck(theirs) => {
            let theirs = check(theirs, me, &*connection, Side::Acceptor)
                .map_err(|refusal| rejected(peer_id, refusal, Glimpse::default()))?;
            let link = PeerLink::new(connection, theirs, told, true);
            Ok(Admitted { link: Arc::new(link), streams })
        }
        // Which version the other side has, its refusal says in words alone.
        Response::Refused(refusal) => Err(rejected(peer_id, refusal, Glimpse::default())),
        _ => Err(protocol_broken(peer_id, "answered hello with another message")),
    }
}

async fn answer(
    opened: NewConnection,
    me: &LocalPeer,
    on_proven: impl FnOnce(),
) -> Result<Admitted, HandshakeError> {
    let NewConnection { connection, mut streams } = opened;
    let peer_id = connection.peer_id();
    let stream = streams.accept().await.map_err(unreachable)?;
    let Stream { mut sender, receiver } = stream;
    let request = tokio::select! {
        request = first_request(Incoming::new(receiver)) => request.map_err(|e| failed(peer_id, e))?,
        // What comes on it would be held by a peer that does not know for whom.
        second = streams.accept() => return Err(match second {
            Ok(_) => protocol_broken(peer_id, "opened a second stream before its hello was answered"),
            Err(error) => unreachable(error),
        }),
    };
    let other = of_other_version(&request);
    let request = match &other {
        // The rest of it only another version can read.
        Some(glimpse) => Err(version_refusal(glimpse)),
        None => Ok(decode_header(&request).map_err(|error| failed(peer_id, error.into()))?),
    };
    // Known only now: whoever dials itself notes that before it says hello.
    let is_own_call = peer_id == me.peer_id && me.echoes.is_own_call(connection.exporter());
    let mut listen_port = connection.remote_addr().port();
    let checked = match request {
        Ok(Request::Hello(theirs)) => {
            listen_port = theirs.listen_port;
            check(theirs, me, &*connection, Side::Dialler)
        }
        Ok(_) => Err(refusal(RefusalCode::OutOfOrder, "the first request must be hello")),
        Err(refusal) => Err(refusal),
    };
    match checked {
        Ok(theirs) => {
            on_proven();
            let told = me.announcer.library().await;
            let ack = Response::HelloAck(hello(me, &*connection, Side::Acceptor, told.rev));
            respond(&mut *sender, &ack).await.map_err(|e| failed(peer_id, e))?;
            let link = PeerLink::new(connection, theirs, told, false);
            Ok(Admitted { link: Arc::new(link), streams })
        }
        Err(refusal) => {
            let response = Response::Refused(refusal.clone());
            if respond(&mut *sender, &response).await.is_ok() {
                // The other side closes once it has read why; a close of ours could overtake that.
                let _ = timeout(REFUSAL_GRACE, streams.accept()).await;
            }
            if is_own_call {
                return Err(HandshakeError::Myself);
            }
            if peer_id == me.peer_id {
                let addr = SocketAddr::new(connection.remote_addr().ip(), listen_port);
                return Err(HandshakeError::Cloned(addr));
            }
            Err(rejected(peer_id, refusal, other.unwrap_or_default()))
        }
    }
}

/// Receives the first header of a connection. One over [`CONTROL_HEADER_MAX_BYTES`] can only come from an older
/// version: its first bytes are kept and the rest is discarded, so that the sender can read the refusal. What is behind the
/// header is refused.
async fn first_request(mut incoming: Incoming) -> Result<Bytes, ExchangeError> {
    let reader = HeaderReader::new(CONTROL_HEADER_MAX_BYTES)
        .or_beginning(OLD_HELLO_KEPT_BYTES, OLD_HELLO_MAX_BYTES);
    let HeaderBytes { header, missing, .. } = incoming.read_header(reader).await?;
    if missing > 0 {
        let is_old = Glimpse::of(&header).proto_ver.is_some_and(|theirs| theirs < PROTOCOL_VERSION);
        if !is_old {
            let (len, max) = (header.len() + missing, CONTROL_HEADER_MAX_BYTES);
            return Err(CodecError::TooLong { len, max }.into());
        }
        incoming.skip(missing).await?;
    }
    Ok(header)
}

async fn respond(sender: &mut dyn StreamSender, response: &Response) -> Result<(), ExchangeError> {
    send_header(sender, response, CONTROL_HEADER_MAX_BYTES).await?;
    Ok(sender.finish()?)
}

fn hello(me: &LocalPeer, connection: &dyn Connection, side: Side, library_rev: u64) -> Hello {
    Hello {
        proto_ver: PROTOCOL_VERSION,
        peer_id: me.peer_id,
        session: me.session,
        name: me.name.clone(),
        network: me.network.clone(),
        network_proof: me.network_key.as_ref().map(|key| proof(key, connection.exporter(), side)),
        listen_port: me.listen_port,
        features: Vec::new(),
        library_rev,
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
    Ok(theirs)
}

fn version_refusal(theirs: &Glimpse) -> Refusal {
    let theirs = theirs.proto_ver.unwrap_or_default();
    let message = format!(
        "this peer speaks version {PROTOCOL_VERSION} and yours {theirs}: bring all machines to one version"
    );
    refusal(RefusalCode::ProtocolVersion, &message)
}

/// Returns what a hello of another version says. It is read before all else, as the rest may be anything.
fn of_other_version(header: &[u8]) -> Option<Glimpse> {
    let glimpse = Glimpse::of(header);
    glimpse.proto_ver.is_some_and(|theirs| theirs != PROTOCOL_VERSION).then_some(glimpse)
}

fn refusal(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

fn rejected(peer_id: PeerId, refusal: Refusal, glimpse: Glimpse) -> HandshakeError {
    let reason = match refusal.code {
        RefusalCode::ProtocolVersion => RejectReason::ProtocolVersion,
        RefusalCode::Network => RejectReason::Network,
        RefusalCode::NetworkKey => RejectReason::NetworkKey,
        RefusalCode::Identity => RejectReason::Identity,
        RefusalCode::OutOfOrder
        | RefusalCode::NotServed
        | RefusalCode::NoSuchChunk
        | RefusalCode::Changed
        | RefusalCode::NoSuchPage
        | RefusalCode::ReadFailed
        | RefusalCode::Busy => RejectReason::Protocol,
    };
    HandshakeError::Rejected { peer_id, reason, glimpse, message: refusal.message }
}

/// Judges a failed exchange. A message that cannot be read may come from another version of the protocol: that is a
/// rejection. A connection that broke off is not.
fn failed(peer_id: PeerId, error: ExchangeError) -> HandshakeError {
    match error {
        ExchangeError::Codec(_) | ExchangeError::TooLong => {
            protocol_broken(peer_id, &error.to_string())
        }
        ExchangeError::Transport(_) | ExchangeError::EndedEarly | ExchangeError::Silent => {
            Unreachable::from(error).into()
        }
    }
}

fn unreachable(error: TransportError) -> HandshakeError {
    Unreachable::from(ExchangeError::from(error)).into()
}

fn protocol_broken(peer_id: PeerId, message: &str) -> HandshakeError {
    let (reason, message) = (RejectReason::Protocol, message.to_owned());
    HandshakeError::Rejected { peer_id, reason, glimpse: Glimpse::default(), message }
}
