//! Sends chunks, and reads those once more that came wrong.

use std::future::poll_fn;

use bytes::Bytes;
use lanspread_net::exchange::{ExchangeError, send_bytes, send_header};
use lanspread_net::transport::StreamSender;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{
    ChunkHeader, ChunkName, GetChunks, Refusal, RefusalCode, Response, WrongChunk,
};
use tokio::time::timeout;

use super::Server;
use crate::admission::answers::{AnswerRoom, CHUNK_BYTES, ROOM_WAIT, SHORT_ROOM_WAIT};
use crate::admission::requester::Requester;
use crate::admission::super_seeding::Delivery;
use crate::admission::upload::Sent;
use crate::chunk_reader::{Check, known_hash, no_such_chunk, read_chunks, read_shared};
use crate::outbound::TransferGuard;
use crate::reply::{not_served, refused, reply};
use crate::swarm::SharedChunks;

/// Where the chunks of a request are.
enum Found {
    /// In a game that is being fetched; `None` where one of them is not there, or is one of another version.
    Shared(Option<SharedChunks>),
    /// In a game of the library.
    InLibrary,
}

impl Server {
    pub(crate) async fn handle_get_chunks(
        &self,
        requester: &Requester,
        wanted: GetChunks,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        let (game_id, peer_id) = (&wanted.game_id, requester.link.peer_id());
        let (transfer, found) =
            match self.outbound.begin_if(game_id, peer_id, || self.find(&wanted)) {
                Ok(found) => found,
                Err(refusal) => {
                    let response = Response::Refused(refusal);
                    return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
                }
            };
        let ((mut delivery, room), (chunks, bytes)) =
            match self.prepare(requester, &wanted, &found, &transfer).await {
                Ok(prepared) => prepared,
                Err(refusal) => {
                    drop(transfer);
                    let response = Response::Refused(refusal);
                    return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
                }
            };
        let sent = delivery.while_sent(async {
            let hand_over = async {
                let _turn = requester.turn_to_send().await;
                let response = Response::Chunks { chunks };
                let header = send_header(&mut *sender, &response, CONTROL_HEADER_MAX_BYTES);
                room.hold_for(header).await?;
                self.send_paced(requester, &mut *sender, bytes, &room).await?;
                Ok(sender.finish()?)
            };
            tokio::select! {
                handed_over = hand_over => handed_over,
                () = transfer.stopped() => Err(ExchangeError::EndedEarly),
            }?;
            // Nobody reads the files any more. The transport has the bytes in memory until they arrive.
            drop(transfer);
            room.hold_for(poll_fn(|cx| sender.poll_delivered(cx))).await
        });
        match sent.await {
            Ok(()) => {
                delivery.delivered();
                room.arrived();
                Ok(())
            }
            Err(error) => {
                sender.reset();
                Err(error)
            }
        }
    }

    /// Reads a chunk once more that came wrong, and holds it against the manifest.
    pub(crate) async fn handle_wrong_chunk(
        &self,
        requester: &Requester,
        wrong: WrongChunk,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        let response = self.read_again(requester, wrong).await;
        reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await
    }

    async fn read_again(&self, requester: &Requester, wrong: WrongChunk) -> Response {
        let WrongChunk { game_id, content_root, path, index } = wrong;
        let Some(game) = self.library.borrow().game(&game_id).cloned() else {
            return Response::Refused(not_served(&game_id));
        };
        if game.manifest.content_root() != Some(content_root) {
            let message = "the game has another content, or none is known yet";
            return Response::Refused(refused(RefusalCode::Changed, message));
        }
        let too_many = || Response::Refused(refused(RefusalCode::Busy, "too many complaints"));
        if !self.admission.complaints.is_due(requester.asker().addr) {
            return too_many();
        }
        // It is read into memory like one that is sent.
        let room = timeout(SHORT_ROOM_WAIT, self.admission.answers.bytes(requester, CHUNK_BYTES));
        let Ok(_room) = room.await else { return too_many() };
        let file = game.manifest.file(&path);
        let Some(hash) = file.and_then(|file| known_hash(file, index)) else {
            return Response::Refused(no_such_chunk("the game has no such chunk"));
        };
        // The content root holds all hashes, so that the hash is the right one for this look as well.
        let look = || {
            let library = self.library.borrow();
            let game = library.game(&game_id);
            let is_same = game.and_then(|game| game.manifest.content_root()) == Some(content_root);
            is_same.then_some(()).ok_or_else(|| not_served(&game_id))
        };
        let _transfer = match self.outbound.begin_if(&game_id, requester.link.peer_id(), look) {
            Ok((transfer, ())) => transfer,
            Err(refusal) => return Response::Refused(refusal),
        };
        let version = game.manifest.version().clone();
        let chunks = vec![ChunkName { path: path.clone(), index }];
        let wanted = GetChunks { game_id, version, chunks };
        let (check, reads) = (Check::Hashes(vec![hash]), &self.admission.reads);
        match read_chunks(game.root, game.manifest, &wanted, check, reads).await {
            Ok(_) => Response::Done {},
            Err(failure) => {
                self.contradictions.report(&wanted.game_id, Some(path));
                // Whatever else the read found, the chunk that the manifest names is not there.
                let message = failure.refusal.message;
                Response::Refused(refused(RefusalCode::ReadFailed, &message))
            }
        }
    }

    /// Waits until the chunks may be in memory, and reads them.
    async fn prepare<'a>(
        &'a self,
        requester: &'a Requester,
        wanted: &GetChunks,
        found: &Found,
        transfer: &TransferGuard,
    ) -> Result<((Delivery, AnswerRoom<'a>), (Vec<ChunkHeader>, Bytes)), Refusal> {
        let fetching = match found {
            // Of what is still being fetched here, others have the rest.
            Found::Shared(_) => 0,
            Found::InLibrary => self.outbound.count(&wanted.game_id),
        };
        let room = tokio::select! {
            room = timeout(ROOM_WAIT, self.room(requester, wanted, fetching)) => {
                let too_many = || refused(RefusalCode::Busy, "too many peers ask for chunks");
                room.unwrap_or_else(|_| Err(too_many()))
            }
            () = transfer.stopped() => Err(not_served(&wanted.game_id)),
        };
        let room = room?;
        // Meanwhile a chunk may have come, and a download may have ended.
        let found = self.find(wanted)?;
        let (chunks, bytes) = self.read(found, wanted).await?;
        room.1.shrink_to(bytes.len());
        Ok((room, (chunks, bytes)))
    }

    /// Waits until the chunks may be in memory. So many peers fetch their game from here.
    async fn room<'a>(
        &'a self,
        requester: &'a Requester,
        wanted: &GetChunks,
        fetching: usize,
    ) -> Result<(Delivery, AnswerRoom<'a>), Refusal> {
        let (asker, standing) = (requester.asker(), &requester.standing);
        let delivery = self.admission.super_seeding.wait(wanted, asker, standing, fetching).await;
        let on_its_way = || refused(RefusalCode::Busy, "it is on its way to another peer");
        let mut delivery = delivery.ok_or_else(on_its_way)?;
        // Who waits for memory behind its own address does not keep the turn of a first copy meanwhile.
        let room = delivery.while_sent(self.admission.answers.chunks(requester)).await;
        Ok((delivery, room))
    }

    /// Sends bytes as fast as the limit allows. All at once where there is none.
    async fn send_paced(
        &self,
        requester: &Requester,
        sender: &mut dyn StreamSender,
        mut bytes: Bytes,
        room: &AnswerRoom<'_>,
    ) -> Result<(), ExchangeError> {
        let upload = &self.admission.upload;
        while !bytes.is_empty() {
            let piece = bytes.split_to(upload.piece_len(bytes.len()));
            upload.pass(Sent::Chunks, requester.asker(), piece.len()).await;
            room.hold_for(send_bytes(sender, piece)).await?;
        }
        Ok(())
    }

    /// Looks where the chunks are, first in the swarm and then in the library. In this order: a finished download
    /// is in the library before it is taken out of the swarm.
    fn find(&self, wanted: &GetChunks) -> Result<Found, Refusal> {
        match self.swarm.chunks(wanted) {
            Some(chunks) => Ok(Found::Shared(chunks)),
            None if self.library.borrow().game(&wanted.game_id).is_some() => Ok(Found::InLibrary),
            None => Err(not_served(&wanted.game_id)),
        }
    }

    /// Reads the chunks from where they were found. A game of the library is read as the newest view has it: it may
    /// have been looked at anew while this request waited.
    async fn read(
        &self,
        found: Found,
        wanted: &GetChunks,
    ) -> Result<(Vec<ChunkHeader>, Bytes), Refusal> {
        match found {
            // Valid after the share has ended: that stops this request, unless the download has succeeded.
            Found::Shared(Some(chunks)) => read_shared(chunks, wanted, &self.admission.reads).await,
            Found::Shared(None) => Err(not_served(&wanted.game_id)),
            Found::InLibrary => {
                let served = self.library.borrow().game(&wanted.game_id).cloned();
                let game = served.ok_or_else(|| not_served(&wanted.game_id))?;
                if *game.manifest.version() != wanted.version {
                    return Err(not_served(&wanted.game_id));
                }
                let check = Check::Looks(game.fingerprint);
                let reads = &self.admission.reads;
                let read = read_chunks(game.root, game.manifest, wanted, check, reads).await;
                read.map_err(|failure| {
                    if failure.is_contradiction {
                        self.contradictions.report(&wanted.game_id, None);
                    }
                    failure.refusal
                })
            }
        }
    }
}
