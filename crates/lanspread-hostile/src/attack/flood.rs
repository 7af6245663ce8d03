//! Requests of one kind, without a pause.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use lanspread_proto::PieceSet;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::library::encode_delta;
use lanspread_proto::message::{self, Fetching, GetGame, LibraryDelta, WrongChunk};
use quinn::{Connection, SendStream, VarInt};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::arguments::{Flood, Request};
use crate::content::{Content, learn};
use crate::exchange::{ask, header};
use crate::guest;
use crate::host::{Library, Shelf, serve};
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::pace::Pace;
use crate::tally::Tally;

/// Requests of one identity whose answers are waited for: more than a peer answers at a time.
const AT_A_TIME: usize = 128;

struct Flooders {
    options: Flood,
    line: Line,
    pace: Pace,
    content: Content,
    shelf: Arc<Shelf>,
    tally: Arc<Tally>,
}

pub(crate) async fn run(options: Flood, tally: Arc<Tally>) -> Result<()> {
    let content = learn(&options.subject, &options.aim, &options.crowd, &tally).await;
    let line = Line::bind(&options.aim.bind, READING_WINDOW_BYTES)?;
    let pace = Pace::new(options.aim.rate);
    let shelf = Arc::new(Shelf { library: Library::new(1, &[]), offer: None });
    tally.ready(None).await?;
    let flooders = Arc::new(Flooders { options, line, pace, content, shelf, tally });
    let members = (0..flooders.options.crowd.identities).map(|number| {
        let flooders = Arc::clone(&flooders);
        tokio::spawn(async move { flooders.member(number).await })
    });
    for member in members.collect::<Vec<_>>() {
        member.await?;
    }
    Ok(())
}

impl Flooders {
    /// Is a peer that floods, and another one when it is let go.
    async fn member(self: &Arc<Self>, number: usize) {
        loop {
            self.pace.turn().await;
            if let Err(error) = self.visit(number).await {
                self.tally.failed(error);
            }
        }
    }

    async fn visit(self: &Arc<Self>, number: usize) -> Result<()> {
        let target = self.options.aim.target(number)?;
        let identity = Identity::new()?;
        let network = &self.options.crowd.network;
        let hello = guest::hello(identity.peer_id, network, &format!("flood {number}"), 1)?;
        let connection = guest::join(&self.line, &identity, target, hello, &self.tally).await?;
        tokio::select! {
            () = serve(&connection, &self.shelf, &self.tally) => {}
            result = self.flood(&connection) => result?,
        }
        self.tally.closed.one();
        Ok(())
    }

    async fn flood(self: &Arc<Self>, connection: &Connection) -> Result<()> {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        let mut rev = 1;
        loop {
            self.pace.turn().await;
            let place = Arc::clone(&places).acquire_owned().await?;
            rev += 1;
            let (flooders, connection) = (Arc::clone(self), connection.clone());
            connection.close_reason().map_or(Ok(()), Err)?;
            tokio::spawn(async move {
                flooders.tally.asked.one();
                if let Err(error) = flooders.send(&connection, rev).await {
                    flooders.tally.failed(error);
                }
                flooders.tally.ended.one();
                drop(place);
            });
        }
    }

    async fn send(&self, connection: &Connection, rev: u64) -> Result<()> {
        match self.options.request {
            Request::Reset => {
                let (mut sender, mut receiver) = connection.open_bi().await?;
                sender.write_chunk(Bytes::from_static(&[0, 0, 4, 0, b'{'])).await?;
                let _ = sender.reset(VarInt::from_u32(4));
                let _ = receiver.stop(VarInt::from_u32(4));
                Ok(())
            }
            Request::Slow => {
                let (mut sender, _receiver) = connection.open_bi().await?;
                slowly(&mut sender, &message::Request::Ping {}).await
            }
            _ => {
                let (request, body) = self.request(rev)?;
                self.tally.bytes_sent.add(body.len());
                let mut receiver = ask(connection, &request, body).await?;
                header::<message::Response>(&mut receiver).await.map(drop)
            }
        }
    }

    fn request(&self, rev: u64) -> Result<(message::Request, Bytes)> {
        let (content, game_id) = (&self.content, self.content.game_id.clone());
        let root = || content.head.content_root.context("a game that is not hashed");
        Ok(match self.options.request {
            Request::Complaint => {
                let chunk = content.chunk_names().next().context("a game without chunks")?;
                let (path, index) = (chunk.path, chunk.index);
                let wrong = WrongChunk { game_id, content_root: root()?, path, index };
                (message::Request::WrongChunk(wrong), Bytes::new())
            }
            Request::Delta => {
                let mut game = content.summary();
                game.size = rev;
                let page = encode_delta(&[game], &[]).context("a delta that fits no page")?;
                let len = u32::try_from(page.len())?;
                let delta = LibraryDelta { from_rev: rev - 1, to_rev: rev, len };
                (message::Request::LibraryDelta(delta), page)
            }
            Request::Fetching => {
                let mut have = PieceSet::default();
                for piece in 0..content.head.chunks {
                    have.insert(piece);
                }
                let have = Bytes::copy_from_slice(have.as_bytes());
                let fetching = Fetching {
                    game_id,
                    manifest_hash: content.head.manifest_hash,
                    content_root: root()?,
                    have_bytes: u32::try_from(have.len())?,
                    asking: Vec::new(),
                };
                (message::Request::Fetching(fetching), have)
            }
            Request::Head => {
                (message::Request::GetGame(GetGame { game_id, await_hashes: false }), Bytes::new())
            }
            Request::Ping | Request::Reset | Request::Slow => {
                (message::Request::Ping {}, Bytes::new())
            }
        })
    }
}

async fn slowly(sender: &mut SendStream, request: &message::Request) -> Result<()> {
    for byte in encode_header(request, CONTROL_HEADER_MAX_BYTES)? {
        sender.write_all(&[byte]).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(sender.finish()?)
}
