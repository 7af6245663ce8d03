//! The command loop's part about dials and handshakes: which connections are made, and which are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanspread_net::handshake::{self, Admitted, Glimpse, HandshakeError, RejectReason};
use lanspread_net::link::PeerLink;
use lanspread_net::transport::{CloseCode, StreamAcceptor};
use lanspread_proto::PeerId;
use lanspread_serve::session;
use tokio::time::{Instant, sleep, timeout};

use super::{Membership, SourcesChanged};
use crate::command::Reply;
use crate::error::ConnectError;
use crate::event::LostReason;
use crate::info::OtherVersionPeer;
use crate::messages::{DialFor, Encounter, InboxMessage, SessionEvents};
use crate::peers::duplicate_connection::{LinkFacts, should_replace};
use crate::peers::places::{Admission, Occupant, admission};
use crate::peers::refusals::Refused;
use crate::runtime::handles::Handles;

/// How long the dialling side of a connection that is not kept has to find that out itself.
const RETIRE_GRACE: Duration = Duration::from_secs(1);

impl Membership {
    /// Makes the dials whose time has come.
    pub(in crate::runtime) fn dial_due(&mut self, handles: &Handles) {
        for dial in self.dials.take_due(Instant::now()) {
            let purpose = DialFor::Peer(dial.peer_id, dial.attempt);
            self.dial(dial.addrs, purpose, dial.doubted_at, handles);
        }
    }

    pub(in crate::runtime) fn connect(
        &mut self,
        addr: SocketAddr,
        reply: Reply<PeerId, ConnectError>,
        handles: &Handles,
    ) {
        self.dial(vec![addr], DialFor::Command(reply), None, handles);
    }

    /// Dials a peer; a sign of life after `doubted_at` on its connection makes that needless.
    fn dial(
        &self,
        addrs: Vec<SocketAddr>,
        purpose: DialFor,
        doubted_at: Option<Instant>,
        handles: &Handles,
    ) {
        let (dialer, me, inbox_sender) =
            (Arc::clone(&handles.dialer), handles.me.clone(), handles.inbox_sender.clone());
        let links = self.links.clone();
        handles.spawn(async move {
            let expected = match &purpose {
                DialFor::Peer(peer_id, _) => Some(*peer_id),
                DialFor::Command(_) => None,
            };
            let is_needed = || {
                let link = expected.and_then(|peer_id| links.get(peer_id));
                link.zip(doubted_at).is_none_or(|(link, at)| link.last_sign_of_life() <= at)
            };
            let dialled = handshake::dial_first(&*dialer, &addrs, expected, &me, is_needed).await;
            let (addr, outcome) = dialled;
            let encounter = Encounter { addr, dial: Some(purpose), outcome };
            let _ = inbox_sender.send(InboxMessage::HandshakeEnded(encounter)).await;
        });
    }

    pub(in crate::runtime) fn on_handshake(
        &mut self,
        encounter: Encounter,
        handles: &Handles,
    ) -> SourcesChanged {
        let Encounter { addr, dial, outcome } = encounter;
        let now = Instant::now();
        if let Some(DialFor::Peer(_, attempt)) = &dial {
            let is_found =
                matches!(outcome, Ok(_) | Err(HandshakeError::Unneeded | HandshakeError::Myself));
            self.dials.ended(*attempt, is_found, now);
        }
        let answer = match outcome {
            Ok(admitted) => {
                let link = &admitted.link;
                let old = self.links.get(link.peer_id());
                if let Some(old) = old.filter(|old| old.hello.session != link.hello.session) {
                    self.contest(addr, dial, admitted, old, handles);
                    return SourcesChanged::default();
                }
                return self.admit(addr, dial, admitted, handles);
            }
            Err(HandshakeError::Myself) => {
                if let Some(DialFor::Peer(expected, attempt)) = &dial {
                    self.dials.failed(*expected, *attempt, now);
                }
                Err(ConnectError::Myself(addr))
            }
            Err(error @ HandshakeError::Cloned(clone)) => {
                if let Some(DialFor::Peer(peer_id, attempt)) = &dial {
                    self.dials.failed(*peer_id, *attempt, now);
                }
                let peer_id = handles.me.peer_id;
                self.identity_conflict(peer_id, [clone], handles);
                let (peer_id, reason) = (Some(peer_id), RejectReason::Identity);
                Err(ConnectError::Rejected { addr, peer_id, reason, message: error.to_string() })
            }
            Err(error @ HandshakeError::Unneeded) => {
                if let Some(DialFor::Peer(peer_id, _)) = &dial {
                    self.dials.heard(*peer_id, now);
                }
                Err(ConnectError::Unreachable { addr, reason: error.to_string() })
            }
            Err(HandshakeError::Unreachable(unreachable)) => {
                let reason = unreachable.to_string();
                if let Some(DialFor::Peer(peer_id, attempt)) = &dial {
                    tracing::debug!(%peer_id, %addr, reason, "a dial failed");
                    self.dials.failed(*peer_id, *attempt, now);
                }
                Err(ConnectError::Unreachable { addr, reason })
            }
            Err(HandshakeError::Rejected { peer_id, reason, glimpse, message }) => {
                if reason == RejectReason::ProtocolVersion {
                    let Glimpse { proto_ver, name, listen_port } = glimpse;
                    let port = listen_port.unwrap_or(addr.port());
                    let addr = SocketAddr::new(addr.ip(), port);
                    self.versions.met(peer_id, OtherVersionPeer { name, addr, proto_ver }, now);
                }
                match &dial {
                    // Somebody else is at this address; the peer may be at another one.
                    Some(DialFor::Peer(expected, attempt)) if *expected != peer_id => {
                        self.dials.failed(*expected, *attempt, now);
                    }
                    Some(DialFor::Peer(expected, _)) => self.dials.rejected(*expected),
                    Some(DialFor::Command(_)) | None => {}
                }
                Err(self.refuse(peer_id, addr, reason, message, dial.as_ref(), handles))
            }
        };
        if let Some(DialFor::Command(reply)) = dial {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
        SourcesChanged::default()
    }

    /// Tells of a refusal. Returns the answer to whoever asked for the connection.
    fn refuse(
        &mut self,
        peer_id: PeerId,
        addr: SocketAddr,
        reason: RejectReason,
        message: String,
        dial: Option<&DialFor>,
        handles: &Handles,
    ) -> ConnectError {
        let (peer_id, is_asked) = (Some(peer_id), matches!(dial, Some(DialFor::Command(_))));
        let refused = Refused { peer_id, addr, reason, message: message.clone() };
        self.tell_refused(refused, is_asked, handles);
        ConnectError::Rejected { addr, peer_id, reason, message }
    }

    pub(in crate::runtime) fn admit(
        &mut self,
        addr: SocketAddr,
        dial: Option<DialFor>,
        admitted: Admitted,
        handles: &Handles,
    ) -> SourcesChanged {
        let Admitted { link, streams } = admitted;
        let peer_id = link.peer_id();
        if let Some(old) = self.links.get(peer_id)
            && !should_replace(handles.me.peer_id, peer_id, &facts(&old), &facts(&link))
        {
            self.dials.linked(peer_id, old.addr, Instant::now());
            self.retire(link, Some(streams), handles);
            self.answer_when_joined(peer_id, reply_of(dial));
            return SourcesChanged::default();
        }
        let mut sources_changed = SourcesChanged::default();
        match self.place_for(&link) {
            Admission::Free => {}
            Admission::InsteadOf(other) => {
                sources_changed = self.lose(other, LostReason::Displaced, handles);
            }
            Admission::Full => {
                self.dials.rejected(peer_id);
                link.close(CloseCode::Refused);
                let message = "there is no place for another peer".to_owned();
                let reason = RejectReason::Protocol;
                let error = self.refuse(peer_id, addr, reason, message, dial.as_ref(), handles);
                if let Some(reply) = reply_of(dial) {
                    let _ = reply.send(Err(error));
                }
                return sources_changed;
            }
        }
        self.versions.gone(peer_id);
        self.dials.linked(peer_id, link.addr, Instant::now());
        if let Some(old) = self.links.insert(Arc::clone(&link)) {
            self.retire(old, None, handles);
        }
        let context = session::SessionContext {
            server: handles.server.clone(),
            catalog: Arc::clone(&handles.catalog),
            observer: Arc::new(SessionEvents(handles.inbox_sender.clone())),
            pace: self.pace.clone(),
        };
        handles.spawn(session::run_session(Arc::clone(&link), streams, context));
        sources_changed.extend(self.join(addr, link, reply_of(dial), handles));
        sources_changed
    }

    /// Decides whether there is a place for the peer of a new connection, and whose it is.
    fn place_for(&mut self, link: &PeerLink) -> Admission {
        let peer_id = link.peer_id();
        if self.peers.get(peer_id).is_some() || self.awaited.contains_key(&peer_id) {
            return Admission::Free;
        }
        let occupant = |peer_id, addr: SocketAddr, heard| Occupant {
            peer_id,
            addr: addr.ip().into(),
            heard,
            has_delivered: self.deliverers.contains(peer_id),
        };
        let known = self.peers.iter().map(|(peer_id, entry)| {
            let link = self.links.get(peer_id);
            let heard = link.map_or(entry.last_sign_of_life, |link| link.last_sign_of_life());
            occupant(peer_id, entry.addr, heard)
        });
        let joining = self
            .joining()
            .map(|link| occupant(link.peer_id(), link.addr, link.last_sign_of_life()));
        let occupants: Vec<_> = known.chain(joining).collect();
        admission(&occupant(peer_id, link.addr, Instant::now()), &occupants)
    }

    /// Closes a connection that another one has taken the place of.
    ///
    /// The side that dialled it closes at once. The other side gives it [`RETIRE_GRACE`]: a close
    /// could overtake the answer to hello, and a dial that led to a known peer would look failed.
    fn retire(
        &self,
        link: Arc<PeerLink>,
        streams: Option<Box<dyn StreamAcceptor>>,
        handles: &Handles,
    ) {
        if link.is_dialled {
            link.close(CloseCode::Duplicate);
            return;
        }
        handles.spawn(async move {
            match streams {
                Some(mut streams) => drop(timeout(RETIRE_GRACE, streams.accept()).await),
                None => sleep(RETIRE_GRACE).await,
            }
            link.close(CloseCode::Duplicate);
        });
    }
}

/// Who waits for the answer to a dial.
fn reply_of(dial: Option<DialFor>) -> Option<Reply<PeerId, ConnectError>> {
    match dial {
        Some(DialFor::Command(reply)) => Some(reply),
        Some(DialFor::Peer(..)) | None => None,
    }
}

fn facts(link: &PeerLink) -> LinkFacts {
    LinkFacts {
        session: link.hello.session,
        is_dialled: link.is_dialled,
        established: link.established,
    }
}
