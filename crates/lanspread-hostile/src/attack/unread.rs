//! Answers that are not read, or slowly.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use lanspread_proto::message::{
    GetChunks, GetGame, GetLibrary, GetPage, Part, Request, StreamInstall,
};
use quinn::{Connection, RecvStream};
use tokio::time::sleep;

use crate::arguments::{Ask, Unread};
use crate::content::{Content, learn};
use crate::exchange::ask;
use crate::guest;
use crate::host::{Library, Shelf, serve};
use crate::identity::Identity;
use crate::line::Line;
use crate::pace::Pace;
use crate::tally::Tally;

/// How often some bytes are read, where any are.
const READ_EVERY: Duration = Duration::from_millis(100);

struct Askers {
    options: Unread,
    line: Line,
    pace: Pace,
    content: Content,
    shelf: Arc<Shelf>,
    tally: Arc<Tally>,
}

pub(crate) async fn run(options: Unread, tally: Arc<Tally>) -> Result<()> {
    let content = learn(&options.subject, &options.aim, &options.crowd, &tally).await;
    let line = Line::bind(&options.aim.bind, options.window)?;
    let pace = Pace::new(options.aim.rate);
    let shelf = Arc::new(Shelf { library: Library::new(1, &[]), offer: None });
    tally.ready(None).await?;
    let askers = Arc::new(Askers { options, line, pace, content, shelf, tally });
    let members = (0..askers.options.crowd.identities).map(|number| {
        let askers = Arc::clone(&askers);
        tokio::spawn(async move { askers.member(number).await })
    });
    for member in members.collect::<Vec<_>>() {
        member.await?;
    }
    Ok(())
}

impl Askers {
    /// Is a peer that asks, and another one when it is let go.
    async fn member(self: &Arc<Self>, number: usize) {
        loop {
            self.pace.turn().await;
            if let Err(error) = self.visit(number).await {
                self.tally.failed(error);
            }
        }
    }

    async fn visit(self: &Arc<Self>, number: usize) -> Result<()> {
        let connection = self.join(number).await?;
        let requests = (0..self.options.requests).map(|slot| {
            let (askers, connection) = (Arc::clone(self), connection.clone());
            let turn = number * self.options.requests + slot;
            tokio::spawn(async move { askers.keep_asking(&connection, turn).await })
        });
        let requests: Vec<_> = requests.collect();
        // What the other side asks for meanwhile is answered: it is to have no other reason to let go.
        serve(&connection, &self.shelf, &self.tally).await;
        requests.iter().for_each(tokio::task::JoinHandle::abort);
        self.tally.closed.one();
        Ok(())
    }

    async fn join(&self, number: usize) -> Result<Connection> {
        let target = self.options.aim.target(number)?;
        let identity = Identity::new()?;
        let network = &self.options.crowd.network;
        let hello = guest::hello(identity.peer_id, network, &format!("asker {number}"), 1)?;
        guest::join(&self.line, &identity, target, hello, &self.tally).await
    }

    /// Has one request under way as long as the connection lives.
    async fn keep_asking(&self, connection: &Connection, first: usize) {
        let mut turn = first;
        while connection.close_reason().is_none() {
            self.pace.turn().await;
            if let Err(error) = self.ask(connection, turn).await {
                self.tally.failed(error);
            }
            turn += 1;
        }
    }

    async fn ask(&self, connection: &Connection, turn: usize) -> Result<()> {
        let mut receiver = ask(connection, &self.request(turn)?, Bytes::new()).await?;
        self.tally.asked.one();
        if self.options.bytes_per_s == 0 {
            tokio::select! {
                _ = receiver.received_reset() => {}
                _ = connection.closed() => {}
            }
        } else {
            self.sip(&mut receiver).await?;
        }
        self.tally.ended.one();
        Ok(())
    }

    /// Reads a few bytes at a time until the answer ends.
    async fn sip(&self, receiver: &mut RecvStream) -> Result<()> {
        let sip = (self.options.bytes_per_s / 10).max(1);
        while let Some(bytes) = receiver.read_chunk(sip, true).await? {
            self.tally.bytes_received.add(bytes.bytes.len());
            sleep(READ_EVERY).await;
        }
        Ok(())
    }

    fn request(&self, turn: usize) -> Result<Request> {
        let (game_id, head) = (self.content.game_id.clone(), &self.content.head);
        let turn = u32::try_from(turn).unwrap_or(0);
        Ok(match self.options.ask {
            Ask::Head => Request::GetGame(GetGame { game_id, await_hashes: false }),
            Ask::Pages => Request::GetPage(GetPage {
                game_id,
                part: Part::Layout,
                of: head.manifest_hash,
                page: turn.checked_rem(head.layout_pages).unwrap_or(0),
            }),
            Ask::Library => Request::GetLibrary(GetLibrary { rev: None, page: 0 }),
            Ask::Chunks => {
                let at = turn.checked_rem(head.chunks).unwrap_or(0);
                let chunk = self.content.chunk_names().nth(at as usize);
                let chunks = vec![chunk.context("a game without chunks")?];
                Request::GetChunks(GetChunks { game_id, version: head.version.clone(), chunks })
            }
            Ask::Stream => {
                Request::StreamInstall(StreamInstall { game_id, version: head.version.clone() })
            }
        })
    }
}
