//! The sessions between this peer and others: what is answered, and what is told.
//!
//! A [`session`] answers the requests of one peer and tells it what changes here. A [`Server`] gives out what the published
//! [`view`] allows, and what a [`swarm`] shares of games that are being fetched. [`outbound`] counts what others fetch, so
//! that nothing touches files that are being read.

mod copies;
mod doubts;
mod libraries;
pub mod library_fetch;
pub mod outbound;
mod pages;
mod place;
mod queue;
mod reading;
pub mod session;
mod stream;
pub mod swarm;
mod turns;
pub mod view;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copies::{Copy, FirstCopies};
use lanspread_library::looks_like;
use lanspread_net::exchange::{ExchangeError, Incoming, send_bytes, send_header};
use lanspread_net::limit::Limiter;
use lanspread_net::link::PeerLink;
use lanspread_net::transport::{Stream, StreamSender, TransportError};
use lanspread_proto::GameId;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{
    ChunkHeader, ChunkName, GetChunks, GetGame, GetLibrary, Refusal, RefusalCode, Request,
    Response, WrongChunk,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::outbound::OutboundTransfers;
use crate::swarm::Swarm;
use crate::turns::Asker;
use crate::view::{ServedGame, View};
pub use doubts::Contradiction;
use doubts::Doubts;
use libraries::Libraries;
use pages::{Pages, head_of};
use place::{PLACE_WAIT, Place, Places};
use reading::{Check, known_hash, no_such_chunk, read_chunks, read_shared};
pub use stream::StreamService;

/// Longest time that an answer may take to be taken over by the asker. Beyond it the asker is gone or
/// does not read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is sent at once under a limit: it goes out evenly, and who is sent something at the same time
/// gets as much of it.
const PACED_BYTES: usize = 32 * 1024;

/// Longest wait for the hashes of a game: what half a terabyte takes on a hard disk of 300 MiB/s. A
/// game that cannot be hashed must not hold the asker's stream for ever.
const HASHES_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How often it is looked whether somebody still waits for hashes: one who does not holds a stream.
const ASKER_CHECK: Duration = Duration::from_secs(5);
/// How long a chunk waits until the one before it is on its way to the same peer. One stream at a time
/// is faster than several at once; below 4 MiB/s that is of no consequence, and there a chunk
/// must not wait so long that its asker takes the silence for the end.
const TURN_WAIT: Duration = Duration::from_millis(500);
/// How long a request for a page of a library waits: a third of the time in which its asker, which asks again
/// then, wants the whole library.
const LIBRARY_WAIT: Duration = Duration::from_secs(5);
/// How long an asker waits for the new look of a game that has changed: less than its own patience. A
/// look takes milliseconds.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// What it takes to answer.
#[derive(Clone)]
pub struct Server {
    /// What may be served.
    pub view: watch::Receiver<Arc<View>>,
    /// Counts what others fetch.
    pub outbound: OutboundTransfers,
    /// What is shared of games that are being fetched.
    pub swarm: Swarm,
    upload: Limiter,
    first_copies: FirstCopies,
    places: Places,
    pages: Pages,
    libraries: Libraries,
    streams: StreamService,
    doubts: Doubts,
}

/// Reads the request on a stream that a peer has opened, and returns what is behind it and where the
/// answer goes.
///
/// # Errors
/// [`ExchangeError`] when there is no valid request.
pub async fn read_request(
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
pub async fn read_page(
    link: &PeerLink,
    incoming: &mut Incoming,
    len: u32,
    max: usize,
) -> Result<Bytes, ExchangeError> {
    // Nobody closes it.
    let _permit = link.receiving.acquire().await;
    incoming.page(len, max, || link.heard()).await
}

/// Confirms what a peer told.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub async fn confirm(sender: Box<dyn StreamSender>) -> Result<(), ExchangeError> {
    reply_briefly(sender, &Response::Done {}).await
}

/// Answers with no more than a header.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub async fn reply_briefly(
    mut sender: Box<dyn StreamSender>,
    response: &Response,
) -> Result<(), ExchangeError> {
    reply(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await
}

/// Answers with a header and a few raw bytes behind it.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub async fn reply_with(
    mut sender: Box<dyn StreamSender>,
    response: &Response,
    body: Bytes,
) -> Result<(), ExchangeError> {
    let send = async {
        send_header(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await?;
        Ok(send_bytes(&mut *sender, body).await?)
    };
    timeout(ANSWER_TIMEOUT, send).await.unwrap_or(Err(ExchangeError::Silent))?;
    Ok(sender.finish()?)
}

impl Server {
    /// Makes a server that tells `contradictions` which games are not what their manifests say.
    pub fn new(
        view: watch::Receiver<Arc<View>>,
        outbound: OutboundTransfers,
        swarm: Swarm,
        upload: Limiter,
        streams: StreamService,
        contradictions: mpsc::Sender<Contradiction>,
    ) -> Self {
        let places = Places::new(upload.limit());
        let (first_copies, doubts) = (FirstCopies::new(), Doubts::new(contradictions));
        let pages = Pages::new();
        let libraries = Libraries::new(pages.encodings());
        Self {
            view,
            outbound,
            swarm,
            upload,
            first_copies,
            places,
            pages,
            libraries,
            streams,
            doubts,
        }
    }

    /// Answers a question. What a peer tells unasked is not for this server: it is refused.
    ///
    /// # Errors
    /// [`ExchangeError`] when the answer cannot be sent.
    pub async fn answer(
        &self,
        link: &PeerLink,
        request: Request,
        mut sender: Box<dyn StreamSender>,
    ) -> Result<(), ExchangeError> {
        let sender = &mut *sender;
        match request {
            Request::GetChunks(wanted) => self.send_chunks(link, wanted, sender).await,
            Request::WrongChunk(wrong) => {
                let response = self.look_into(link, wrong).await;
                reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await
            }
            Request::StreamInstall(wanted) => self.stream_install(link, wanted, sender).await,
            Request::GetGame(wanted) => {
                let response = self.game(wanted, sender).await?;
                reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await
            }
            Request::GetPage(wanted) => self.send_page(link, wanted, sender).await,
            Request::GetLibrary(wanted) => self.send_library(link, wanted, sender).await,
            Request::Ping {} => reply(sender, &Response::Done {}, CONTROL_HEADER_MAX_BYTES).await,
            Request::Hello(_)
            | Request::LibraryDelta(_)
            | Request::Fetching(_)
            | Request::Have(_)
            | Request::FetchEnded(_)
            | Request::Goodbye {} => {
                let refusal = refused(RefusalCode::OutOfOrder, "this is not the time for that");
                reply(sender, &Response::Refused(refusal), CONTROL_HEADER_MAX_BYTES).await
            }
        }
    }

    async fn send_library(
        &self,
        link: &PeerLink,
        wanted: GetLibrary,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        let busy = || refused(RefusalCode::Busy, "too many peers ask for pages");
        let prepare = async {
            let newest = self.view.borrow().snapshot();
            let page = self.libraries.page(wanted, link.peer_id(), newest).await?;
            Ok((self.pages.room(asker(link)).await.ok_or_else(busy)?, page))
        };
        match timeout(LIBRARY_WAIT, prepare).await.unwrap_or_else(|_| Err(busy())) {
            Ok((room, (header, page, read))) => {
                let sent = send_at_once(sender, &Response::LibraryPage(header), page).await;
                drop(room);
                sent?;
                if let Some(read) = read {
                    link.told.send_replace(read);
                }
                Ok(())
            }
            Err(refusal) => {
                reply(sender, &Response::Refused(refusal), CONTROL_HEADER_MAX_BYTES).await
            }
        }
    }

    async fn game(
        &self,
        wanted: GetGame,
        sender: &mut dyn StreamSender,
    ) -> Result<Response, ExchangeError> {
        self.look_first(&wanted.game_id).await;
        let mut view = self.view.clone();
        let is_settled = |view: &Arc<View>| match view.game(&wanted.game_id) {
            Some(game) => !wanted.await_hashes || game.manifest.content_root().is_some(),
            None => true,
        };
        // Whether settled or not: after that time the asker gets what there is.
        let gives_up_at = Instant::now() + HASHES_TIMEOUT;
        while timeout(ASKER_CHECK, view.wait_for(is_settled)).await.is_err()
            && Instant::now() < gives_up_at
        {
            if sender.is_unwanted() {
                return Err(TransportError::Reset.into());
            }
        }
        let served = self.view.borrow().game(&wanted.game_id).cloned();
        Ok(match served {
            Some(game) => Response::Game(head_of(&game)),
            None => Response::Refused(not_served(&wanted.game_id)),
        })
    }

    async fn send_chunks(
        &self,
        link: &PeerLink,
        wanted: GetChunks,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        let is_served = self.swarm.is_shared(&wanted.game_id)
            || self.view.borrow().game(&wanted.game_id).is_some();
        if !is_served {
            let refusal = Response::Refused(not_served(&wanted.game_id));
            return reply(sender, &refusal, CONTROL_HEADER_MAX_BYTES).await;
        }
        // Registered before the view is asked for good: whoever takes the game out of it from here
        // on knows of this transfer.
        let transfer = self.outbound.begin(&wanted.game_id, link.peer_id());
        let room = tokio::select! {
            room = timeout(PLACE_WAIT, self.room(link, &wanted)) => {
                let too_many = || refused(RefusalCode::Busy, "too many peers ask for chunks");
                room.unwrap_or_else(|_| Err(too_many()))
            }
            () = transfer.stopped() => Err(not_served(&wanted.game_id)),
        };
        let prepared = match room {
            Err(refusal) => Err(refusal),
            Ok(room) => self.chunks(&wanted).await.map(|chunks| (room, chunks)),
        };
        let ((mut copy, mut place), (chunks, bytes)) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                drop(transfer);
                let response = Response::Refused(refusal);
                return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
            }
        };
        let sent = copy.while_sent(async {
            let hand_over = async {
                let _turn = timeout(TURN_WAIT, link.sending.acquire()).await;
                let response = Response::Chunks { chunks };
                let header = send_header(&mut *sender, &response, CONTROL_HEADER_MAX_BYTES);
                place.hold_for(header).await?;
                self.send_paced(&mut *sender, bytes, &mut place).await?;
                Ok(sender.finish()?)
            };
            tokio::select! {
                handed_over = hand_over => handed_over,
                () = transfer.stopped() => Err(ExchangeError::EndedEarly),
            }?;
            // Nobody reads the files any more. The transport has the bytes in memory until they arrive.
            drop(transfer);
            place.hold_for(poll_fn(|cx| sender.poll_delivered(cx))).await
        });
        match sent.await {
            Ok(()) => {
                copy.delivered();
                Ok(())
            }
            Err(error) => {
                sender.reset();
                Err(error)
            }
        }
    }

    /// Makes sure that a game whose files have changed is looked at before anybody is told what it is.
    pub(crate) async fn look_first(&self, game_id: &GameId) {
        let served = self.view.borrow().game(game_id).cloned();
        let Some(ServedGame { root, fingerprint, .. }) = served else { return };
        // It is never closed.
        let permit = self.doubts.looks.acquire().await;
        let seen = fingerprint.clone();
        let is_as_known = tokio::task::spawn_blocking(move || looks_like(&root, &seen)).await;
        drop(permit);
        if is_as_known.unwrap_or(true) {
            return;
        }
        self.doubts.tell(game_id, None);
        let is_other = |view: &Arc<View>| {
            view.game(game_id).is_none_or(|game| game.fingerprint != fingerprint)
        };
        // Who waits in vain gets what there is, and the read of it is judged again.
        let _ = timeout(LOOK_WAIT, self.view.clone().wait_for(is_other)).await;
    }

    /// Reads a chunk once more that came wrong, and holds it against the manifest.
    async fn look_into(&self, link: &PeerLink, wrong: WrongChunk) -> Response {
        let WrongChunk { game_id, content_root, path, index } = wrong;
        let Some(game) = self.view.borrow().game(&game_id).cloned() else {
            return Response::Refused(not_served(&game_id));
        };
        if game.manifest.content_root() != Some(content_root) {
            let message = "the game has another content, or none is known yet";
            return Response::Refused(refused(RefusalCode::Changed, message));
        }
        if !self.doubts.is_complaint_due(link.addr.ip()) {
            return Response::Refused(refused(RefusalCode::Busy, "too many complaints"));
        }
        let file = game.manifest.file(&path);
        let Some(hash) = file.and_then(|file| known_hash(file, index)) else {
            return Response::Refused(no_such_chunk("the game has no such chunk"));
        };
        let _transfer = self.outbound.begin(&game_id, link.peer_id());
        let version = game.manifest.version().clone();
        let chunks = vec![ChunkName { path: path.clone(), index }];
        let wanted = GetChunks { game_id, version, chunks };
        match read_chunks(game.root, game.manifest, &wanted, Check::Hashes(vec![hash])).await {
            Ok(_) => Response::Done {},
            Err(failure) => {
                self.doubts.tell(&wanted.game_id, Some(path));
                // Whatever else the read found, the chunk that the manifest names is not there.
                let message = failure.refusal.message;
                Response::Refused(refused(RefusalCode::ReadFailed, &message))
            }
        }
    }

    /// Waits until the chunks may be in memory.
    async fn room<'a>(
        &'a self,
        link: &'a PeerLink,
        wanted: &GetChunks,
    ) -> Result<(Copy, Place<'a>), Refusal> {
        // Of what is still being fetched here, others have the rest.
        let fetching = match self.swarm.is_shared(&wanted.game_id) {
            true => 0,
            false => self.outbound.count(&wanted.game_id),
        };
        let copy = self.first_copies.wait(wanted, asker(link), fetching).await;
        let on_its_way = || refused(RefusalCode::Busy, "it is on its way to another peer");
        Ok((copy.ok_or_else(on_its_way)?, self.places.take(link).await))
    }
}

impl Server {
    /// Sends bytes as fast as the limit allows. All at once where there is none.
    async fn send_paced(
        &self,
        sender: &mut dyn StreamSender,
        mut bytes: Bytes,
        place: &mut Place<'_>,
    ) -> Result<(), ExchangeError> {
        let piece_len = if self.upload.limit().is_some() { PACED_BYTES } else { bytes.len() };
        while !bytes.is_empty() {
            let piece = bytes.split_to(piece_len.min(bytes.len()));
            self.upload.pass(piece.len()).await;
            place.hold_for(send_bytes(sender, piece)).await?;
        }
        Ok(())
    }

    /// Chunks of a game that is being fetched, or else of one in the library. In this order: a
    /// finished download is in the library before it is taken out of the swarm.
    async fn chunks(&self, wanted: &GetChunks) -> Result<(Vec<ChunkHeader>, Bytes), Refusal> {
        match self.swarm.chunks(wanted) {
            Some(Some(chunks)) => read_shared(chunks, wanted).await,
            Some(None) => Err(not_served(&wanted.game_id)),
            None => {
                let served = self.view.borrow().game(&wanted.game_id).cloned();
                let game = served.ok_or_else(|| not_served(&wanted.game_id))?;
                if *game.manifest.version() != wanted.version {
                    return Err(not_served(&wanted.game_id));
                }
                let check = Check::Looks(game.fingerprint);
                let read = read_chunks(game.root, game.manifest, wanted, check).await;
                read.map_err(|failure| {
                    if failure.is_contradiction {
                        self.doubts.tell(&wanted.game_id, None);
                    }
                    failure.refusal
                })
            }
        }
    }
}

async fn reply(
    sender: &mut dyn StreamSender,
    response: &Response,
    max: usize,
) -> Result<(), ExchangeError> {
    let send = send_header(sender, response, max);
    timeout(ANSWER_TIMEOUT, send).await.unwrap_or(Err(ExchangeError::Silent))?;
    Ok(sender.finish()?)
}

/// Sends a page of a library, and waits until it has arrived. No limit holds it up: it is short, and a peer
/// that waits for it does not appear meanwhile.
async fn send_at_once(
    sender: &mut dyn StreamSender,
    response: &Response,
    page: Bytes,
) -> Result<(), ExchangeError> {
    let send = async {
        send_header(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await?;
        send_bytes(&mut *sender, page).await?;
        sender.finish()?;
        Ok(poll_fn(|cx| sender.poll_delivered(cx)).await?)
    };
    let sent = timeout(ANSWER_TIMEOUT, send).await.unwrap_or(Err(ExchangeError::Silent));
    if sent.is_err() {
        sender.reset();
    }
    sent
}

fn asker(link: &PeerLink) -> Asker {
    Asker { addr: link.addr.ip(), peer: link.peer_id() }
}

fn refused(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

/// The refusal of a game that is not served.
pub fn not_served(game_id: &GameId) -> Refusal {
    refused(RefusalCode::NotServed, &format!("game {game_id} is not served here"))
}

#[cfg(test)]
mod tests;
