//! Answering what an attacked peer asks, as a source would, or worse.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::library::{GameSummary, encode_library};
use lanspread_proto::message::{
    ChunkHeader, ChunkName, LibraryPageHeader, Refusal, RefusalCode, Request, Response,
};
use quinn::{Connection, SendStream};
use tokio::time::sleep;

use crate::arguments::Give;
use crate::content::Content;
use crate::exchange::{header, send};
use crate::tally::Tally;

/// How often a trickle brings bytes.
const TRICKLE_EVERY: Duration = Duration::from_millis(100);

/// A library in pages.
pub(crate) struct Library {
    pub(crate) rev: u64,
    games: u32,
    pages: Vec<Bytes>,
}

impl Library {
    /// Encodes games, which are in id order.
    pub(crate) fn new(rev: u64, games: &[GameSummary]) -> Self {
        let count = u32::try_from(games.len()).unwrap_or(u32::MAX);
        Self { rev, games: count, pages: encode_library(games) }
    }

    fn page(&self, page: u32) -> Option<(Response, Bytes)> {
        let bytes = self.pages.get(page as usize)?.clone();
        let header = LibraryPageHeader {
            rev: self.rev,
            games: self.games,
            pages: u32::try_from(self.pages.len()).unwrap_or(u32::MAX),
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        };
        Some((Response::LibraryPage(header), bytes))
    }
}

/// What a hostile peer answers with.
pub(crate) struct Shelf {
    pub(crate) library: Library,
    pub(crate) offer: Option<Offer>,
}

/// A game that is announced.
pub(crate) struct Offer {
    pub(crate) content: Content,
    pub(crate) give: Give,
    pub(crate) bytes_per_s: usize,
}

/// Answers all requests on a connection until it ends.
pub(crate) async fn serve(connection: &Connection, shelf: &Arc<Shelf>, tally: &Arc<Tally>) {
    while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
        let (shelf, tally) = (Arc::clone(shelf), Arc::clone(tally));
        tokio::spawn(async move {
            let Ok(request) = header(&mut receiver).await else { return };
            tally.requests.one();
            if let Err(error) = shelf.answer(&mut sender, &request, &tally).await {
                tally.failed(error);
            }
        });
    }
}

impl Shelf {
    async fn answer(
        &self,
        sender: &mut SendStream,
        request: &Request,
        tally: &Tally,
    ) -> Result<()> {
        let (response, body) = match (request, &self.offer) {
            (Request::GetLibrary(asked), _) => {
                self.library.page(asked.page).context("a page that the library does not have")?
            }
            (Request::GetGame(_) | Request::GetPage(_) | Request::GetChunks(_), Some(offer)) => {
                return offer.answer(sender, request, tally).await;
            }
            _ => (Response::Done {}, Bytes::new()),
        };
        send(sender, &response, body).await
    }
}

impl Offer {
    async fn answer(
        &self,
        sender: &mut SendStream,
        request: &Request,
        tally: &Tally,
    ) -> Result<()> {
        let (response, body) = match request {
            _ if self.give == Give::Nothing => return silence(sender).await,
            Request::GetGame(_) => (Response::Game(self.content.head.clone()), Bytes::new()),
            Request::GetPage(asked) => {
                let page = self.content.page(asked.part, asked.page);
                let page = page.context("a page that the game does not have")?;
                (Response::Page { len: u32::try_from(page.len())? }, page)
            }
            Request::GetChunks(_) if self.give == Give::Head => return silence(sender).await,
            Request::GetChunks(_) if self.give == Give::Busy => (busy(), Bytes::new()),
            Request::GetChunks(asked) => {
                let (response, body) = self.chunks(&asked.chunks).context("an unknown chunk")?;
                tally.chunks.add(asked.chunks.len());
                if self.give == Give::Trickle {
                    return self.trickle(sender, &response, body, tally).await;
                }
                (response, body)
            }
            _ => (Response::Done {}, Bytes::new()),
        };
        tally.bytes_sent.add(body.len());
        send(sender, &response, body).await
    }

    fn chunks(&self, names: &[ChunkName]) -> Option<(Response, Bytes)> {
        let chunks: Vec<_> = names.iter().map(|name| self.content.chunk(name)).collect();
        let chunks: Vec<_> = chunks.into_iter().collect::<Option<_>>()?;
        let header = |bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let headers =
            chunks.iter().map(|(hash, bytes)| ChunkHeader { len: header(bytes), hash: *hash });
        let response = Response::Chunks { chunks: headers.collect() };
        let bytes: Vec<_> = chunks.into_iter().map(|(_, bytes)| bytes).collect();
        Some((response, bytes.concat().into()))
    }

    async fn trickle(
        &self,
        sender: &mut SendStream,
        response: &Response,
        mut body: Bytes,
        tally: &Tally,
    ) -> Result<()> {
        sender.write_chunk(encode_header(response, CONTROL_HEADER_MAX_BYTES)?).await?;
        let drop_bytes = (self.bytes_per_s / 10).max(1);
        while !body.is_empty() {
            let drop = body.split_to(drop_bytes.min(body.len()));
            tally.bytes_sent.add(drop.len());
            sender.write_chunk(drop).await?;
            sleep(TRICKLE_EVERY).await;
        }
        Ok(sender.finish()?)
    }
}

fn busy() -> Response {
    Response::Refused(Refusal { code: RefusalCode::Busy, message: "too much is going on".into() })
}

/// Answers nothing until nobody waits for it.
async fn silence(sender: &mut SendStream) -> Result<()> {
    let _ = sender.stopped().await;
    Ok(())
}
