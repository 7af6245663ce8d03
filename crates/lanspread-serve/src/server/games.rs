//! Says what a game is, and sends the pages of its parts.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lanspread_net::exchange::{ExchangeError, send_bytes, send_header};
use lanspread_net::transport::{StreamSender, TransportError};
use lanspread_proto::Attributes;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{GameHead, GetGame, GetPage, Part, Refusal, RefusalCode, Response};
use tokio::time::{Instant, timeout};

use super::Server;
use crate::admission::answers::{AnswerRoom, ROOM_WAIT};
use crate::admission::requester::Requester;
use crate::admission::upload::Sent;
use crate::published_library::{PublishedLibrary, ServedGame};
use crate::reply::{not_served, refused, reply};

/// Longest wait for the hashes of a game: what half a terabyte takes on a hard disk of 300 MiB/s. A
/// game that cannot be hashed must not hold the asker's stream for ever.
pub(crate) const HASHES_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How often it is looked whether somebody still waits for hashes: one who does not holds a stream.
pub(crate) const ASKER_CHECK: Duration = Duration::from_secs(5);

impl Server {
    /// Says what a game is. Where hashes are awaited, that takes as long as they do, at most [`HASHES_TIMEOUT`].
    pub(crate) async fn handle_get_game(
        &self,
        requester: &Requester,
        wanted: GetGame,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        self.look_first(requester, &wanted.game_id).await;
        let mut library = self.library.clone();
        let is_settled = |library: &Arc<PublishedLibrary>| match library.game(&wanted.game_id) {
            Some(game) => !wanted.await_hashes || game.manifest.content_root().is_some(),
            None => true,
        };
        // Whether settled or not: after that time the asker gets what there is.
        let gives_up_at = Instant::now() + HASHES_TIMEOUT;
        while timeout(ASKER_CHECK, library.wait_for(is_settled)).await.is_err()
            && Instant::now() < gives_up_at
        {
            if sender.is_unwanted() {
                return Err(TransportError::Reset.into());
            }
        }
        let served = self.library.borrow().game(&wanted.game_id).cloned();
        let response = match served {
            Some(game) => Response::Game(head_of(&game)),
            None => Response::Refused(not_served(&wanted.game_id)),
        };
        reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await
    }

    /// Sends one page of a part. It is refused if the part is another one by now.
    pub(crate) async fn handle_get_page(
        &self,
        requester: &Requester,
        wanted: GetPage,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        // Before the page is there, so that what waits for its turn costs nothing.
        let too_many = |_| refused(RefusalCode::Busy, "too many pages are on their way");
        let prepare = async {
            let room = timeout(ROOM_WAIT, self.admission.answers.page_in_turn(requester)).await;
            let room = room.map_err(too_many)?;
            Ok((room, self.page(requester, &wanted).await?))
        };
        let (room, page) = match prepare.await {
            Ok(prepared) => prepared,
            Err(refusal) => {
                let response = Response::Refused(refusal);
                return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
            }
        };
        room.shrink_to(page.len());
        // A page has at most `PAGE_MAX_BYTES`.
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let sent =
            self.send_paced_page(requester, sender, &Response::Page { len }, page, &room).await;
        match sent {
            Ok(()) => room.arrived(),
            Err(_) => sender.reset(),
        }
        sent
    }

    async fn page(&self, requester: &Requester, wanted: &GetPage) -> Result<Bytes, Refusal> {
        let served = self.library.borrow().game(&wanted.game_id).cloned();
        let game = served.ok_or_else(|| not_served(&wanted.game_id))?;
        let manifest = &game.manifest;
        let identity = match wanted.part {
            Part::Layout => Some(manifest.manifest_hash()),
            Part::Hashes => manifest.content_root(),
            Part::Attributes => Some(Attributes::identity(&game.attributes)),
        };
        if identity != Some(wanted.of) {
            let message = format!("the {} of {} have changed", wanted.part, wanted.game_id);
            return Err(refused(RefusalCode::Changed, &message));
        }
        let page = match wanted.part {
            Part::Layout => {
                let abandoned = || refused(RefusalCode::Busy, "the layout could not be encoded");
                let pages = self.layouts.layout(requester.asker(), manifest).await;
                let pages = pages.ok_or_else(abandoned)?;
                usize::try_from(wanted.page).ok().and_then(|page| pages.get(page).cloned())
            }
            Part::Hashes => manifest.hash_page(wanted.page),
            Part::Attributes => (wanted.page == 0).then(|| game.attributes.clone()),
        };
        page.ok_or_else(|| {
            let message = format!("the {} have no page {}", wanted.part, wanted.page);
            refused(RefusalCode::NoSuchPage, &message)
        })
    }

    async fn send_paced_page(
        &self,
        requester: &Requester,
        sender: &mut dyn StreamSender,
        header: &Response,
        mut page: Bytes,
        room: &AnswerRoom<'_>,
    ) -> Result<(), ExchangeError> {
        room.hold_for(send_header(&mut *sender, header, CONTROL_HEADER_MAX_BYTES)).await?;
        let upload = &self.admission.upload;
        while !page.is_empty() {
            let piece = page.split_to(upload.piece_len(page.len()));
            upload.pass(Sent::Chunks, requester.asker(), piece.len()).await;
            room.hold_for(send_bytes(&mut *sender, piece)).await?;
        }
        sender.finish()?;
        // It is in memory until it has arrived.
        room.hold_for(poll_fn(|cx| sender.poll_delivered(cx))).await
    }
}

/// Returns what a source says of a game that it serves.
fn head_of(game: &ServedGame) -> GameHead {
    let attributes = Attributes::identity(&game.attributes);
    GameHead::of(&game.manifest, game.old_content_roots.to_vec(), attributes)
}
