//! The command loop's part about identities that two running peers have.
//!
//! Three may notice it: a third peer, to which both connect, and the two themselves, which hear their own
//! name in mDNS from an address that is not theirs, or meet. The third one keeps the connection that it has
//! as long as that is alive, so that it does not change its mind with every record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanspread_net::handshake::{self, Admitted, HandshakeError, RejectReason};
use lanspread_net::link::PeerLink;
use lanspread_net::transport::CloseCode;
use lanspread_proto::PeerId;
use tokio::time::{Instant, sleep};

use super::{Membership, SourcesChanged};
use crate::error::ConnectError;
use crate::event::PeerEvent;
use crate::messages::{Contest, DialFor, Encounter, InboxMessage};
use crate::runtime::handles::Handles;

/// How long the older of two connections may take for a sign of life when a peer says that it was started
/// anew. A running peer needs milliseconds; a restart is held up for that long.
const OLD_PATIENCE: Duration = Duration::from_millis(500);
/// How often an address at which mDNS shows the own name is tried: a peer that is being started may not
/// answer yet.
const LOOKS_MAX: u32 = 3;
/// Pause between these attempts.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// How often a peer with the same identity is looked for once it is found: as often as it is told.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How many addresses of one record are tried: its host has a few, and anyone can write one.
const LOOKS_AT: usize = 2;

impl Membership {
    /// Asks the older of two connections for a sign of life; what follows is decided then.
    pub(in crate::runtime) fn contest(
        &self,
        addr: SocketAddr,
        dial: Option<DialFor>,
        admitted: Admitted,
        old: Arc<PeerLink>,
        handles: &Handles,
    ) {
        let inbox_sender = handles.inbox_sender.clone();
        handles.spawn(async move {
            let is_alive = old.ping(OLD_PATIENCE).await.is_ok();
            let contest = Contest { addr, dial, admitted, old: old.id, is_alive };
            let _ = inbox_sender.send(InboxMessage::Contested(Box::new(contest))).await;
        });
    }

    pub(in crate::runtime) fn on_contest(
        &mut self,
        contest: Contest,
        handles: &Handles,
    ) -> SourcesChanged {
        let Contest { addr, dial, admitted, old, is_alive } = contest;
        let peer_id = admitted.link.peer_id();
        let kept = self.links.get(peer_id).filter(|link| is_alive && link.id == old);
        let answer = match kept {
            None => return self.admit(addr, dial, admitted, handles),
            Some(kept) => {
                admitted.link.close(CloseCode::Conflict);
                self.dials.contested(peer_id, Instant::now());
                self.identity_conflict(peer_id, [kept.addr, admitted.link.addr], handles);
                let message = format!("another running peer, at {}, has this identity", kept.addr);
                let (peer_id, reason) = (Some(peer_id), RejectReason::Identity);
                Err(ConnectError::Rejected { addr, peer_id, reason, message })
            }
        };
        if let Some(DialFor::Command(reply)) = dial {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
        SourcesChanged::default()
    }

    /// Tells of an identity that peers at these addresses have.
    pub(in crate::runtime) fn identity_conflict(
        &mut self,
        peer_id: PeerId,
        addrs: impl IntoIterator<Item = SocketAddr>,
        handles: &Handles,
    ) {
        if let Some(addrs) = self.conflicts.seen(peer_id, addrs, Instant::now()) {
            let is_own = peer_id == handles.me.peer_id;
            handles.emit(PeerEvent::IdentityConflict { peer_id, is_own, addrs });
        }
    }

    /// Looks whether there is another peer with the identity of this one where mDNS shows its name. Records
    /// may be old, so only a handshake proves it.
    pub(in crate::runtime) fn look_for_clones(
        &mut self,
        mut addrs: Vec<SocketAddr>,
        handles: &Handles,
    ) {
        addrs.truncate(LOOKS_AT);
        if std::mem::replace(&mut self.is_looking_for_clones, true) {
            return;
        }
        let (dialer, me, inbox_sender) =
            (Arc::clone(&handles.dialer), handles.me.clone(), handles.inbox_sender.clone());
        handles.spawn(async move {
            let mut looks = 0;
            while looks < LOOKS_MAX {
                looks += 1;
                let dialled =
                    handshake::dial_first(&*dialer, &addrs, Some(me.peer_id), &me, || true).await;
                let mut pause = LOOK_PAUSE;
                if let (addr, outcome @ Err(HandshakeError::Cloned(_))) = dialled {
                    (looks, pause) = (0, LOOK_AGAIN);
                    let found = Encounter { addr, dial: None, outcome };
                    let _ = inbox_sender.send(InboxMessage::HandshakeEnded(found)).await;
                }
                sleep(pause).await;
            }
            let _ = inbox_sender.send(InboxMessage::ClonesLookedFor).await;
        });
    }
}
