//! One request of a peer, from its header to its answer.

use bytes::Bytes;
use lanspread_library::RemoteDelta;
use lanspread_net::exchange::{ExchangeError, Incoming};
use lanspread_net::transport::{Stream, StreamSender};
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, decode_header};
use lanspread_proto::limits::PAGE_MAX_BYTES;
use lanspread_proto::message::{Fetching, LibraryDelta, RefusalCode, Request, Response};
use lanspread_proto::opening::Opening;
use lanspread_proto::piece_set::PIECE_SET_MAX_BYTES;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::context::{SessionContext, SessionEvent};
use crate::admission::requester::Requester;
use crate::admission::requests::{READ_TIMEOUT, REQUEST_BYTES, RequestRoom, Requests};
use crate::reply::{confirm, not_served, refused, reply_briefly};

/// Answers one request. What the peer tells is passed on before it is confirmed: the peer may
/// close the connection on the confirmation, which ends this task.
pub(crate) async fn handle_request(
    requester: &Requester,
    stream: Stream,
    context: &SessionContext,
) -> Result<(), ExchangeError> {
    let SessionContext { server, observer, pace, .. } = context;
    let (link, requests) = (&*requester.link, &server.admission.requests);
    let addr = link.addr.ip().into();
    // Before anything is read: until then the transport lets no more than a window come.
    let _room = requests.room(requester, REQUEST_BYTES).await?;
    let turn = requester.turn_to_read_header().await;
    let RequestRead { request, mut incoming, mut sender, _header_room } =
        read_request(requester, stream, requests).await?;
    drop(turn);
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
            server.handle_get_game(requester, wanted, &mut *sender).await
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
            let turn = turn_to_receive(requester).await?;
            let delta = read_delta(requester, incoming.as_mut(), delta, context).await?;
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
            let turn = turn_to_receive(requester).await?;
            let theirs = read_opening(requester, incoming.as_mut(), theirs, requests).await?;
            pace.fetch_news(addr).await;
            server.handle_fetching(requester, theirs, turn, sender).await
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

/// A request, and what is behind it.
struct RequestRead {
    request: Request,
    /// Where bytes follow the request. Elsewhere its end of the stream is dropped, with whatever else comes on it.
    incoming: Option<Incoming>,
    sender: Box<dyn StreamSender>,
    /// For a header that does not fit beside the rest of a request.
    _header_room: Option<RequestRoom>,
}

/// Reads the request on a stream that a peer has opened.
///
/// # Errors
/// [`ExchangeError`] when there is no valid request, or none in time.
async fn read_request(
    requester: &Requester,
    stream: Stream,
    requests: &Requests,
) -> Result<RequestRead, ExchangeError> {
    let Stream { sender, receiver } = stream;
    let mut incoming = Incoming::new(receiver);
    let header = in_time(incoming.raw_header(CONTROL_HEADER_MAX_BYTES)).await?;
    requester.link.note_sign_of_life();
    // It is in memory as bytes and as a request.
    let len = 2 * header.len();
    let _header_room = match len > REQUEST_BYTES {
        true => Some(requests.room(requester, len).await?),
        false => None,
    };
    let request = decode_header(&header)?;
    let has_bytes = matches!(request, Request::LibraryDelta(_) | Request::Fetching(_));
    let incoming = has_bytes.then_some(incoming);
    Ok(RequestRead { request, incoming, sender, _header_room })
}

/// Waits until the bytes behind a request of this peer may be read. It has one such request at a time in memory, until
/// what that says is taken over.
async fn turn_to_receive(
    requester: &Requester,
) -> Result<Option<SemaphorePermit<'_>>, ExchangeError> {
    in_time(async { Ok(requester.turn_to_receive().await) }).await
}

/// Reads the bytes behind a request.
///
/// # Errors
/// [`ExchangeError`] when they are not `len` bytes, or more than `max`, or do not come in time.
async fn read_page(
    requester: &Requester,
    incoming: Option<&mut Incoming>,
    len: u32,
    max: usize,
    requests: &Requests,
) -> Result<Bytes, ExchangeError> {
    let incoming = incoming.ok_or(ExchangeError::EndedEarly)?;
    let read = async {
        let _room = requests.room(requester, max.min(len.try_into().unwrap_or(max))).await?;
        incoming.page(len, max, || requester.link.note_sign_of_life()).await
    };
    in_time(read).await
}

async fn in_time<T>(
    read: impl Future<Output = Result<T, ExchangeError>>,
) -> Result<T, ExchangeError> {
    timeout(READ_TIMEOUT, read).await.unwrap_or(Err(ExchangeError::Silent))
}

/// Reads what changed in the library of the peer. One that cannot be read is a gap: the whole library is asked for.
async fn read_delta(
    requester: &Requester,
    incoming: Option<&mut Incoming>,
    delta: LibraryDelta,
    context: &SessionContext,
) -> Result<RemoteDelta, ExchangeError> {
    let LibraryDelta { from_rev, to_rev, len } = delta;
    let requests = &context.server.admission.requests;
    let page = read_page(requester, incoming, len, PAGE_MAX_BYTES, requests).await?;
    let delta = RemoteDelta::read(from_rev, to_rev, &page, &context.catalog);
    Ok(delta.unwrap_or_else(|error| {
        tracing::debug!(peer_id = %requester.link.peer_id(), %error, "a change of a library cannot be read: the whole library is asked for");
        RemoteDelta::gap(to_rev)
    }))
}

/// Reads what the peer fetches and has of it; `None` where its set of pieces is none.
async fn read_opening(
    requester: &Requester,
    incoming: Option<&mut Incoming>,
    theirs: Fetching,
    requests: &Requests,
) -> Result<Option<Opening>, ExchangeError> {
    let len = theirs.have_bytes;
    let have = read_page(requester, incoming, len, PIECE_SET_MAX_BYTES, requests).await?;
    // It has at most as many bytes as a set may have.
    Ok(Opening::decode(theirs, &have).ok())
}
