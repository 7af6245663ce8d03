//! Looks after one connection: answers what the other side asks, and tells it what changes here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::message::{GetGame, LibraryDelta, LibrarySnapshot, Request, Response};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::download::{SourceError, Swarm, Telling, ToldFetches};
use crate::library::diff;
use crate::net::exchange::ExchangeError;
use crate::net::link::PeerLink;
use crate::net::serve::{Server, confirm, not_served, read_request, reply_briefly};
use crate::net::transport::{CloseCode, Stream, StreamAcceptor, TransportError};
use crate::runtime::{CoreMessage, CoreSender};

/// How long changes are gathered before they are told: a scan that finds many games becomes one
/// delta, and nobody notices the wait.
const DELTA_DEBOUNCE: Duration = Duration::from_millis(50);
/// Shortest time between two times that a peer is told what was fetched since: ten a second.
const HAVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a peer is left alone that could not be told something.
const RETELL_PAUSE: Duration = Duration::from_secs(1);
/// Most requests of one peer that are answered at a time; the transport allows no more streams.
const REQUESTS_MAX: usize = 64;

/// Runs until the connection is gone, and tells the command loop.
pub(crate) async fn run(
    link: Arc<PeerLink>,
    streams: Box<dyn StreamAcceptor>,
    server: Server,
    core: CoreSender,
) {
    let (is_conflict, error) = tokio::select! {
        error = answer_all(&link, streams, &server, &core) => {
            let is_conflict = matches!(error, TransportError::ClosedByPeer(CloseCode::Conflict));
            (is_conflict, error.to_string())
        }
        error = tell_changes(&link, &server) => (false, error.to_string()),
        never = tell_fetches(&link, &server.swarm) => match never {},
    };
    server.swarm.unlinked(link.peer_id(), link.id).await;
    tracing::debug!(peer_id = %link.peer_id(), error, "connection ended");
    let (peer_id, link_id) = (link.peer_id(), link.id);
    let message = CoreMessage::LinkDown { peer_id, link_id, is_conflict };
    // The loop is gone only when the whole runtime is.
    let _ = core.send(message).await;
}

async fn answer_all(
    link: &Arc<PeerLink>,
    mut streams: Box<dyn StreamAcceptor>,
    server: &Server,
    core: &CoreSender,
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
        let (link, server, core) = (Arc::clone(link), server.clone(), core.clone());
        requests.spawn(async move {
            if let Err(error) = answer_one(&link, stream, &server, &core).await {
                tracing::debug!(peer_id = %link.peer_id(), %error, "a request failed");
            }
        });
    }
}

/// Answers one request. What the peer tells is passed on before it is confirmed: the peer may
/// close the connection on the confirmation, which ends this task.
async fn answer_one(
    link: &PeerLink,
    stream: Stream,
    server: &Server,
    core: &CoreSender,
) -> Result<(), ExchangeError> {
    let (request, sender) = read_request(link, stream).await?;
    let (peer_id, link_id) = (link.peer_id(), link.id);
    let told = match request {
        Request::LibraryDelta(delta) => CoreMessage::Delta { peer_id, link_id, delta },
        Request::Goodbye {} => CoreMessage::Goodbye { peer_id, link_id },
        Request::Fetching(theirs) => {
            let own = server.swarm.heard(peer_id, link_id, &theirs).await;
            return reply_briefly(sender, &own.map_or(Response::Done {}, Response::Fetching)).await;
        }
        Request::Have(have) => {
            let refused = not_served(&have.game_id);
            let is_of_interest = server.swarm.heard_more(peer_id, have).await;
            let response =
                if is_of_interest { Response::Done {} } else { Response::Refused(refused) };
            return reply_briefly(sender, &response).await;
        }
        Request::FetchEnded(ended) => {
            server.swarm.heard_end(peer_id, &ended).await;
            return confirm(sender).await;
        }
        Request::GetGame(GetGame { ref game_id, await_hashes: true, .. }) => {
            let game_id = game_id.clone();
            let _ = core.send(CoreMessage::HashesWanted { game_id }).await;
            return server.answer(link, request, sender).await;
        }
        question => return server.answer(link, question, sender).await,
    };
    // The loop is gone only when the whole runtime is.
    let _ = core.send(told).await;
    confirm(sender).await
}

/// Sends a delta whenever the library differs from what the other side knows.
async fn tell_changes(link: &PeerLink, server: &Server) -> SourceError {
    let mut view = server.view.clone();
    let mut told: Arc<LibrarySnapshot> = Arc::clone(&link.told);
    loop {
        let changed = view.wait_for(|view| view.snapshot().rev != told.rev).await.is_ok();
        if !changed {
            return SourceError::Gone("this peer is stopping".to_owned());
        }
        sleep(DELTA_DEBOUNCE).await;
        let current = view.borrow_and_update().snapshot();
        if let Some(delta) = diff(&told, &current)
            && let Err(error) = link.push_delta(fitting(delta)).await
        {
            return error;
        }
        told = current;
    }
}

/// Tells what this peer fetches, so that those that fetch the same can fetch from each other.
async fn tell_fetches(link: &PeerLink, swarm: &Swarm) -> Infallible {
    let (peer_id, mut told) = (link.peer_id(), ToldFetches::default());
    let mut changes = swarm.subscribe();
    loop {
        // Before it is looked at, so that what changes meanwhile is not missed.
        changes.borrow_and_update();
        let tellings = swarm.tellings(peer_id, link.id, &mut told);
        let is_quiet = tellings.is_empty();
        for telling in tellings {
            let opened = telling.opened().cloned();
            if let Err(error) = tell(link, swarm, telling).await {
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

async fn tell(link: &PeerLink, swarm: &Swarm, telling: Telling) -> Result<(), SourceError> {
    let peer_id = link.peer_id();
    match telling {
        Telling::Opening(opening) => {
            if let Some(theirs) = link.tell_fetching(opening.clone()).await? {
                swarm.answered(peer_id, link.id, opening, theirs).await;
            }
            Ok(())
        }
        Telling::More(have) => {
            let game_id = have.game_id.clone();
            let told = link.tell_more(have).await;
            if let Err(error) = &told {
                let refused = matches!(error, SourceError::Refused(_));
                swarm.not_told(peer_id, &game_id, refused);
            }
            told
        }
        Telling::Ended(ended) => link.tell_fetch_ended(ended).await,
    }
}

/// The delta itself, or where it is too long for a request the one that makes its receiver ask for
/// the snapshot.
fn fitting(delta: LibraryDelta) -> LibraryDelta {
    let rev = delta.to_rev;
    let request = Request::LibraryDelta(delta);
    match (encode_header(&request, CONTROL_HEADER_MAX_BYTES), request) {
        (Ok(_), Request::LibraryDelta(delta)) => delta,
        _ => LibraryDelta {
            from_rev: rev,
            to_rev: rev,
            added: Vec::new(),
            updated: Vec::new(),
            removed: Vec::new(),
        },
    }
}
