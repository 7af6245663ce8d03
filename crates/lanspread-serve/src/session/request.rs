//! One request of a peer, from its header to its answer.

use bytes::Bytes;
use lanspread_library::RemoteDelta;
use lanspread_net::exchange::{ExchangeError, Incoming};
use lanspread_net::link::PeerLink;
use lanspread_net::transport::{Stream, StreamSender};
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::limits::PAGE_MAX_BYTES;
use lanspread_proto::message::{Fetching, LibraryDelta, RefusalCode, Request, Response};
use lanspread_proto::opening::Opening;
use lanspread_proto::piece_set::PIECE_SET_MAX_BYTES;

use super::context::{SessionContext, SessionEvent};
use crate::admission::requester::Requester;
use crate::reply::{confirm, not_served, refused, reply_briefly, reply_with};

/// Answers one request. What the peer tells is passed on before it is confirmed: the peer may
/// close the connection on the confirmation, which ends this task.
pub(crate) async fn handle_request(
    requester: &Requester,
    stream: Stream,
    context: &SessionContext,
) -> Result<(), ExchangeError> {
    let SessionContext { server, observer, pace, .. } = context;
    let link = &*requester.link;
    let addr = link.addr.ip().into();
    let (request, mut incoming, mut sender) = read_request(link, stream).await?;
    match request {
        // Asked.
        Request::Ping {} => confirm(sender).await,
        Request::GetLibrary(wanted) => {
            server.handle_get_library(requester, wanted, &mut *sender).await
        }
        Request::GetGame(wanted) => {
            if wanted.await_hashes {
                pace.library_news(addr).await;
                observer
                    .on_session_event(link, SessionEvent::HashesWanted(wanted.game_id.clone()))
                    .await;
            }
            server.handle_get_game(wanted, &mut *sender).await
        }
        Request::GetPage(wanted) => server.handle_get_page(requester, wanted, &mut *sender).await,
        Request::GetChunks(wanted) => {
            server.handle_get_chunks(requester, wanted, &mut *sender).await
        }
        Request::WrongChunk(wrong) => {
            server.handle_wrong_chunk(requester, wrong, &mut *sender).await
        }
        Request::StreamInstall(wanted) => {
            server.handle_stream_install(requester, wanted, &mut *sender).await
        }
        // Told.
        Request::LibraryDelta(delta) => {
            // Until it is taken over, so that a peer has one in memory.
            let turn = requester.turn_to_receive().await;
            let delta = read_delta(link, &mut incoming, delta, context).await?;
            pace.library_news(addr).await;
            observer.on_session_event(link, SessionEvent::Delta(delta)).await;
            drop(turn);
            confirm(sender).await
        }
        Request::Goodbye {} => {
            observer.on_session_event(link, SessionEvent::Goodbye).await;
            confirm(sender).await
        }
        Request::Fetching(theirs) => {
            let turn = requester.turn_to_receive().await;
            let theirs = read_opening(link, &mut incoming, theirs).await?;
            pace.fetch_news(addr).await;
            let own = match theirs {
                Some(theirs) => server.swarm.on_opening(link.peer_id(), link.id, &theirs).await,
                None => None,
            };
            drop(turn);
            let (response, have) = match own.map(|own| own.encode()) {
                Some((own, have)) => (Response::Fetching(own), have),
                None => (Response::Done {}, Bytes::new()),
            };
            reply_with(sender, &response, have).await
        }
        Request::Have(have) => {
            pace.fetch_news(addr).await;
            let refusal = not_served(&have.game_id);
            let response = match server.swarm.on_have(link.peer_id(), have).await {
                true => Response::Done {},
                false => Response::Refused(refusal),
            };
            reply_briefly(sender, &response).await
        }
        Request::FetchEnded(ended) => {
            pace.fetch_news(addr).await;
            server.swarm.on_fetch_ended(link.peer_id(), &ended).await;
            confirm(sender).await
        }
        // Only the handshake may say it.
        Request::Hello(_) => {
            let refusal = refused(RefusalCode::OutOfOrder, "this is not the time for that");
            reply_briefly(sender, &Response::Refused(refusal)).await
        }
    }
}

/// Reads the request on a stream that a peer has opened, and returns what is behind it and where the
/// answer goes.
///
/// # Errors
/// [`ExchangeError`] when there is no valid request.
async fn read_request(
    link: &PeerLink,
    stream: Stream,
) -> Result<(Request, Incoming, Box<dyn StreamSender>), ExchangeError> {
    let Stream { sender, receiver } = stream;
    let mut incoming = Incoming::new(receiver);
    let request = incoming.header(CONTROL_HEADER_MAX_BYTES).await?;
    link.note_sign_of_life();
    Ok((request, incoming, sender))
}

/// Reads what changed in the library of the peer. One that cannot be read is a gap: the whole library is asked for.
async fn read_delta(
    link: &PeerLink,
    incoming: &mut Incoming,
    delta: LibraryDelta,
    context: &SessionContext,
) -> Result<RemoteDelta, ExchangeError> {
    let LibraryDelta { from_rev, to_rev, len } = delta;
    let page = incoming.page(len, PAGE_MAX_BYTES, || link.note_sign_of_life()).await?;
    let delta = RemoteDelta::read(from_rev, to_rev, &page, &context.catalog);
    Ok(delta.unwrap_or_else(|error| {
        tracing::debug!(peer_id = %link.peer_id(), %error, "a change of a library cannot be read: the whole library is asked for");
        RemoteDelta::gap(to_rev)
    }))
}

/// Reads what the peer fetches and has of it; `None` where its set of pieces is none.
async fn read_opening(
    link: &PeerLink,
    incoming: &mut Incoming,
    theirs: Fetching,
) -> Result<Option<Opening>, ExchangeError> {
    let len = theirs.have_bytes;
    let have = incoming.page(len, PIECE_SET_MAX_BYTES, || link.note_sign_of_life()).await?;
    // It has at most as many bytes as a set may have.
    Ok(Opening::decode(theirs, &have).ok())
}
