//! Accepts peers that dial. Required: without it nobody can fetch from this peer.
//!
//! Accepting never waits. Connections wait in two rooms until the command loop has taken them over: in the first until
//! their hello is read and right, in the second until it is answered, which takes up to a second after a start of this peer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanspread_net::address::CountedAddress;
use lanspread_net::handshake::{self, HandshakeError, LocalPeer};
use lanspread_net::transport::{CloseCode, Listener, NewConnection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::messages::{Encounter, InboxMessage, InboxSender};
use crate::peers::waiting_room::{Place, Places, WaitingRoom};

/// Most connections whose hello is not proven. Each may be sent 1 MiB before that shows (64 requests of 16 KiB that are not
/// read), which is 64 MiB together; an honest one has sent some hundred bytes. Forty-eight for one address are enough for fifty
/// peers on one machine that start at once.
const UNPROVEN_MAX: Places = Places { in_all: 64, per_address: 48 };
/// Most connections with a proven hello that is not answered yet. As many as there can be peers, and half of them for one
/// address.
const PROVEN_MAX: Places = Places { in_all: 256, per_address: 128 };

/// Runs until cancelled.
///
/// # Errors
/// A message when the listener is dead.
pub(crate) async fn run(
    mut listener: Box<dyn Listener>,
    me: LocalPeer,
    inbox_sender: InboxSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    let (rooms, tasks) = (Rooms::default(), TaskTracker::new());
    loop {
        let opened = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            opened = listener.accept() => opened,
        };
        let Some(opened) = opened else {
            return Err("the QUIC endpoint stopped accepting".to_owned());
        };
        let visit = rooms.enter(opened.connection.remote_addr().ip().into());
        let (me, inbox_sender, cancel) = (me.clone(), inbox_sender.clone(), cancel.clone());
        tasks.spawn(cancel.run_until_cancelled_owned(receive(opened, visit, me, inbox_sender)));
    }
}

/// Shakes hands on a connection, and hands it to the command loop.
async fn receive(
    opened: NewConnection,
    mut visit: Visit,
    me: LocalPeer,
    inbox_sender: InboxSender,
) {
    let (addr, connection) = (opened.connection.remote_addr(), Arc::clone(&opened.connection));
    let put_out = visit.put_out.clone();
    let reception = async {
        let outcome = handshake::accept(opened, &me, || visit.prove()).await;
        if let Err(HandshakeError::Unreachable(unreachable)) = &outcome {
            let reason = unreachable.to_string();
            tracing::debug!(%addr, reason, "an incoming handshake broke off");
            return;
        }
        let message = InboxMessage::HandshakeEnded(Encounter { addr, dial: None, outcome });
        // The loop is gone only when the whole runtime is.
        let _ = inbox_sender.send(message).await;
    };
    if put_out.run_until_cancelled(reception).await.is_none() {
        tracing::debug!(%addr, "a connection has to go for newer ones");
        connection.close(CloseCode::Refused);
    }
}

/// The rooms of one listener. Clones are the same.
#[derive(Clone)]
struct Rooms(Arc<Mutex<RoomTable>>);

struct RoomTable {
    unproven: WaitingRoom<CancellationToken>,
    proven: WaitingRoom<CancellationToken>,
}

/// A place in one of the rooms, given back when it is dropped.
struct Visit {
    rooms: Rooms,
    addr: CountedAddress,
    place: Place,
    is_proven: bool,
    /// Cancelled when the place is given to somebody else.
    put_out: CancellationToken,
}

impl Default for Rooms {
    fn default() -> Self {
        let (unproven, proven) = (WaitingRoom::new(UNPROVEN_MAX), WaitingRoom::new(PROVEN_MAX));
        Self(Arc::new(Mutex::new(RoomTable { unproven, proven })))
    }
}

impl Rooms {
    fn enter(&self, addr: CountedAddress) -> Visit {
        let put_out = CancellationToken::new();
        let (place, goes) = self.lock().unproven.enter(addr, put_out.clone());
        ask_out(goes);
        Visit { rooms: self.clone(), addr, place, is_proven: false, put_out }
    }

    fn lock(&self) -> MutexGuard<'_, RoomTable> {
        // A room is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Goes on to the room of those whose hello is proven.
    fn prove(&mut self) {
        let mut rooms = self.rooms.lock();
        rooms.unproven.leave(self.place);
        let (place, goes) = rooms.proven.enter(self.addr, self.put_out.clone());
        drop(rooms);
        ask_out(goes);
        (self.place, self.is_proven) = (place, true);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut rooms = self.rooms.lock();
        let room = if self.is_proven { &mut rooms.proven } else { &mut rooms.unproven };
        room.leave(self.place);
    }
}

fn ask_out(goes: Option<CancellationToken>) {
    if let Some(put_out) = goes {
        put_out.cancel();
    }
}

#[cfg(test)]
mod tests;
