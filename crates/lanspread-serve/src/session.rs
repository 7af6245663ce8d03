//! Looks after one connection: answers what the other side asks, and tells it what changes here.

mod context;
pub(crate) mod pace;
mod request;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lanspread_library::diff;
use lanspread_net::link::PeerLink;
use lanspread_net::transport::{CloseCode, StreamAcceptor, TransportError};
use lanspread_proto::SourceError;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use context::{SessionContext, SessionEvent, SessionObserver};
pub use pace::Pace;
pub(crate) use request::handle_request;

use crate::admission::requester::Requester;
use crate::server::Server;
use crate::swarm::{AnnouncedFetches, Announcement, OPENING_BYTES, Swarm};

/// How long changes are gathered before they are told: a scan that finds many games becomes one
/// delta, and nobody notices the wait.
const DELTA_DEBOUNCE: Duration = Duration::from_millis(50);
/// Shortest time between two times that a peer is told what was fetched since: ten a second.
const HAVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a peer is left alone that could not be told something.
const RETELL_PAUSE: Duration = Duration::from_secs(1);
/// Most requests of one peer that are answered at a time; the transport allows no more streams.
pub(crate) const REQUESTS_MAX: usize = 64;

/// Runs a session until its connection is gone, and then says so to the observer. Dropping it drops the requests that
/// are being answered.
pub async fn run_session(
    link: Arc<PeerLink>,
    streams: Box<dyn StreamAcceptor>,
    context: SessionContext,
) {
    let SessionContext { server, observer, .. } = &context;
    let requester = Arc::new(Requester::new(Arc::clone(&link)));
    let (is_conflict, error) = tokio::select! {
        error = answer_all(&requester, streams, &context) => {
            let is_conflict = matches!(error, TransportError::ClosedByPeer(CloseCode::Conflict));
            (is_conflict, error.to_string())
        }
        error = send_deltas(&requester, server) => (false, error.to_string()),
        never = send_fetches(&requester, server) => match never {},
    };
    server.swarm.on_disconnect(link.peer_id(), link.id).await;
    tracing::debug!(peer_id = %link.peer_id(), error, "connection ended");
    observer.on_session_event(&link, SessionEvent::Ended { is_conflict }).await;
}

async fn answer_all(
    requester: &Arc<Requester>,
    mut streams: Box<dyn StreamAcceptor>,
    context: &SessionContext,
) -> TransportError {
    let mut requests = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = streams.accept(), if requests.len() < REQUESTS_MAX => stream,
            Some(_) = requests.join_next() => continue,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let (requester, context) = (Arc::clone(requester), context.clone());
        requests.spawn(async move {
            if let Err(error) = handle_request(&requester, stream, &context).await {
                tracing::debug!(peer_id = %requester.link.peer_id(), %error, "a request failed");
            }
        });
    }
}

/// Sends a delta whenever the library differs from what the other side knows.
async fn send_deltas(requester: &Requester, server: &Server) -> SourceError {
    let link = &*requester.link;
    let (mut library, mut told) = (server.library.clone(), link.known_library.subscribe());
    loop {
        let known = Arc::clone(&told.borrow_and_update());
        if library.borrow_and_update().snapshot().rev == known.rev {
            let changed = tokio::select! {
                changed = library.changed() => changed,
                changed = told.changed() => changed,
            };
            if changed.is_err() {
                return SourceError::Gone("this peer is stopping".to_owned());
            }
            continue;
        }
        sleep(DELTA_DEBOUNCE).await;
        let known = Arc::clone(&told.borrow_and_update());
        let current = library.borrow_and_update().snapshot();
        if let Some(difference) = diff(&known, &current) {
            let room = server.admission.answers.page(requester).await;
            let (delta, page) = difference.encode();
            room.shrink_to(page.len());
            if let Err(error) = link.send_delta(delta, page).await {
                return error;
            }
        }
        link.known_library.send_if_modified(|told| {
            // Whoever has read a library meanwhile is told what changed since that one.
            if Arc::ptr_eq(told, &known) {
                *told = current;
            }
            false
        });
    }
}

/// Tells what this peer fetches, so that those that fetch the same can fetch from each other.
async fn send_fetches(requester: &Requester, server: &Server) -> Infallible {
    let (link, swarm) = (&*requester.link, &server.swarm);
    let (peer_id, mut told) = (link.peer_id(), AnnouncedFetches::default());
    let mut changes = swarm.subscribe();
    loop {
        // Before it is looked at, so that what changes meanwhile is not missed.
        changes.borrow_and_update();
        let due = swarm.due(peer_id, link.id, &told);
        let is_quiet = due.is_empty();
        for game_id in due {
            // It is made when there is memory for it.
            let room = server.admission.answers.bytes(requester, OPENING_BYTES).await;
            let announcement = swarm.announcement(&game_id, peer_id, link.id, &mut told);
            let Some(announcement) = announcement else { continue };
            room.shrink_to(announcement.bytes());
            let opened = announcement.opened().cloned();
            if let Err(error) = send(link, swarm, announcement).await {
                if let Some(game_id) = opened {
                    told.forget(&game_id);
                }
                tracing::debug!(%peer_id, %error, "a peer was not told what is being fetched");
                sleep(RETELL_PAUSE).await;
            }
        }
        if is_quiet {
            // The swarm lives as long as the peer.
            let _ = changes.changed().await;
        } else {
            sleep(HAVE_INTERVAL).await;
        }
    }
}

async fn send(
    link: &PeerLink,
    swarm: &Swarm,
    announcement: Announcement,
) -> Result<(), SourceError> {
    let peer_id = link.peer_id();
    match announcement {
        Announcement::Opening(opening) => {
            if let Some(theirs) = link.send_opening(&opening).await? {
                swarm.on_answer(peer_id, link.id, opening, theirs).await;
            }
            Ok(())
        }
        Announcement::More(have) => {
            let game_id = have.game_id.clone();
            let told = link.send_have(have).await;
            if let Err(error) = &told {
                let refused = matches!(error, SourceError::Refused(_));
                swarm.on_not_sent(peer_id, &game_id, refused);
            }
            told
        }
        Announcement::Ended(ended) => link.send_fetch_ended(ended).await,
    }
}
