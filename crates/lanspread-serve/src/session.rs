//! Looks after one connection: answers what the other side asks, and tells it what changes here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lanspread_catalog::Catalog;
use lanspread_library::{RemoteDelta, diff};
use lanspread_net::exchange::{ExchangeError, Incoming};
use lanspread_net::link::PeerLink;
use lanspread_net::transport::{CloseCode, Stream, StreamAcceptor, StreamSender, TransportError};
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::limits::PAGE_MAX_BYTES;
use lanspread_proto::message::{GetGame, LibraryDelta, Request, Response};
use lanspread_proto::opening::Opening;
use lanspread_proto::piece_set::PIECE_SET_MAX_BYTES;
use lanspread_proto::{GameId, SourceError};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::reply::{confirm, not_served, reply_briefly, reply_with};
use crate::server::Server;
use crate::swarm::{Swarm, Telling, ToldFetches};

/// How long changes are gathered before they are told: a scan that finds many games becomes one
/// delta, and nobody notices the wait.
const DELTA_DEBOUNCE: Duration = Duration::from_millis(50);
/// Shortest time between two times that a peer is told what was fetched since: ten a second.
const HAVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a peer is left alone that could not be told something.
const RETELL_PAUSE: Duration = Duration::from_secs(1);
/// Most requests of one peer that are answered at a time; the transport allows no more streams.
const REQUESTS_MAX: usize = 64;

/// What it takes to look after connections.
#[derive(Clone)]
pub struct Context {
    /// Answers requests.
    pub server: Server,
    /// Says which games of other libraries are known.
    pub catalog: Arc<Catalog>,
    /// Hears what peers tell.
    pub observer: Arc<dyn SessionObserver>,
}

/// What a session tells whoever keeps account of the peers.
#[derive(Debug)]
pub enum SessionEvent {
    /// A peer told what changed in its library.
    Delta(RemoteDelta),
    /// A peer said that it is leaving.
    Goodbye,
    /// A peer waits for the hashes of a game.
    HashesWanted(GameId),
    /// The connection is gone.
    Ended {
        /// Whether the other side knows another peer with the identity of this one.
        is_conflict: bool,
    },
}

/// Hears of what happens in sessions.
pub trait SessionObserver: Send + Sync {
    /// Takes in an event of the session of `link`. A request is confirmed after this returns.
    fn observe(&self, link: &PeerLink, event: SessionEvent) -> BoxFuture<'static, ()>;
}

/// Runs until the connection is gone, and tells the command loop.
pub async fn run(link: Arc<PeerLink>, streams: Box<dyn StreamAcceptor>, context: Context) {
    let Context { server, observer, .. } = &context;
    let (is_conflict, error) = tokio::select! {
        error = answer_all(&link, streams, &context) => {
            let is_conflict = matches!(error, TransportError::ClosedByPeer(CloseCode::Conflict));
            (is_conflict, error.to_string())
        }
        error = tell_changes(&link, server) => (false, error.to_string()),
        never = tell_fetches(&link, &server.swarm) => match never {},
    };
    server.swarm.unlinked(link.peer_id(), link.id).await;
    tracing::debug!(peer_id = %link.peer_id(), error, "connection ended");
    observer.observe(&link, SessionEvent::Ended { is_conflict }).await;
}

async fn answer_all(
    link: &Arc<PeerLink>,
    mut streams: Box<dyn StreamAcceptor>,
    context: &Context,
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
        let (link, context) = (Arc::clone(link), context.clone());
        requests.spawn(async move {
            if let Err(error) = answer_one(&link, stream, &context).await {
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
    context: &Context,
) -> Result<(), ExchangeError> {
    let Context { server, catalog, observer } = context;
    let (request, mut incoming, sender) = read_request(link, stream).await?;
    let (peer_id, link_id) = (link.peer_id(), link.id);
    let told = match request {
        Request::LibraryDelta(LibraryDelta { from_rev, to_rev, len }) => {
            let page = read_page(link, &mut incoming, len, PAGE_MAX_BYTES).await?;
            let delta = RemoteDelta::read(from_rev, to_rev, &page, catalog).unwrap_or_else(|error| {
                tracing::debug!(%peer_id, %error, "a change of a library cannot be read: the whole library is asked for");
                RemoteDelta::gap(to_rev)
            });
            SessionEvent::Delta(delta)
        }
        Request::Goodbye {} => SessionEvent::Goodbye,
        Request::Fetching(theirs) => {
            let len = theirs.have_bytes;
            let have = read_page(link, &mut incoming, len, PIECE_SET_MAX_BYTES).await?;
            let own = match Opening::decode(theirs, &have) {
                Ok(theirs) => server.swarm.heard(peer_id, link_id, &theirs).await,
                // It has at most as many bytes as a set may have.
                Err(_) => None,
            };
            let (response, have) = match own.map(|own| own.encode()) {
                Some((own, have)) => (Response::Fetching(own), have),
                None => (Response::Done {}, Bytes::new()),
            };
            return reply_with(sender, &response, have).await;
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
            observer.observe(link, SessionEvent::HashesWanted(game_id.clone())).await;
            return server.answer(link, request, sender).await;
        }
        question => return server.answer(link, question, sender).await,
    };
    observer.observe(link, told).await;
    confirm(sender).await
}

/// Reads the request on a stream that a peer has opened, and returns what is behind it and where the
/// answer goes.
///
/// # Errors
/// [`ExchangeError`] when there is no valid request.
pub(crate) async fn read_request(
    link: &PeerLink,
    stream: Stream,
) -> Result<(Request, Incoming, Box<dyn StreamSender>), ExchangeError> {
    let Stream { sender, receiver } = stream;
    let mut incoming = Incoming::new(receiver);
    let request = incoming.header(CONTROL_HEADER_MAX_BYTES).await?;
    link.heard();
    Ok((request, incoming, sender))
}

/// Reads the bytes behind a request, of which one peer has one at a time in memory.
///
/// # Errors
/// [`ExchangeError`] when they are not `len` bytes, or more than `max`.
async fn read_page(
    link: &PeerLink,
    incoming: &mut Incoming,
    len: u32,
    max: usize,
) -> Result<Bytes, ExchangeError> {
    // Nobody closes it.
    let _permit = link.receiving.acquire().await;
    incoming.page(len, max, || link.heard()).await
}

/// Sends a delta whenever the library differs from what the other side knows.
async fn tell_changes(link: &PeerLink, server: &Server) -> SourceError {
    let (mut view, mut told) = (server.view.clone(), link.told.subscribe());
    loop {
        let known = Arc::clone(&told.borrow_and_update());
        if view.borrow_and_update().snapshot().rev == known.rev {
            let changed = tokio::select! {
                changed = view.changed() => changed,
                changed = told.changed() => changed,
            };
            if changed.is_err() {
                return SourceError::Gone("this peer is stopping".to_owned());
            }
            continue;
        }
        sleep(DELTA_DEBOUNCE).await;
        let known = Arc::clone(&told.borrow_and_update());
        let current = view.borrow_and_update().snapshot();
        if let Some(difference) = diff(&known, &current) {
            let (delta, page) = difference.encode();
            if let Err(error) = link.push_delta(delta, page).await {
                return error;
            }
        }
        link.told.send_if_modified(|told| {
            // Whoever has read a library meanwhile is told what changed since that one.
            if Arc::ptr_eq(told, &known) {
                *told = current;
            }
            false
        });
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
            if let Some(theirs) = link.tell_fetching(&opening).await? {
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
