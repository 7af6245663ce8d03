//! What a hostile source says of a game: what an honest one says, or something else that fits together as well.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use lanspread_proto::chunk::chunk_len;
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::layout::{LayoutPage, encode_layout};
use lanspread_proto::library::GameSummary;
use lanspread_proto::limits::HASHES_PER_PAGE;
use lanspread_proto::message::{ChunkName, GameHead, GetGame, GetPage, Part, Request, Response};
use lanspread_proto::{ContentHash, FileHashes, GameId, Manifest, ManifestFile};
use quinn::Connection;
use tokio::time::sleep;

use crate::arguments::{Aim, Crowd, Subject};
use crate::exchange::{answer_to, bytes};
use crate::guest;
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::tally::Tally;

/// After this time a source is asked again what a game is.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Every byte of a false chunk.
const FALSE_BYTE: u8 = 0xbd;

/// A game in all its parts but the chunks.
pub(crate) struct Content {
    pub(crate) game_id: GameId,
    pub(crate) head: GameHead,
    manifest: Manifest,
    layout: Vec<Bytes>,
    attributes: Bytes,
}

/// Learns a game from a peer that has it, and asks again as honest peers do, until it knows.
pub(crate) async fn learn(subject: &Subject, aim: &Aim, crowd: &Crowd, tally: &Tally) -> Content {
    loop {
        match learn_once(subject, aim, crowd).await {
            Ok(content) => return content,
            Err(error) => tally.failed(format!("{error:#}")),
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}

async fn learn_once(subject: &Subject, aim: &Aim, crowd: &Crowd) -> Result<Content> {
    let target = subject.learn_from.as_ref().or(aim.target.first());
    let from = *target.context("a target is needed")?;
    let line = Line::bind(&aim.bind, READING_WINDOW_BYTES)?;
    let identity = Identity::new()?;
    let hello = guest::hello(identity.peer_id, &crowd.network, "scout", 0)?;
    let connection = guest::join(&line, &identity, from, hello, &Tally::new("scout", None)).await?;
    let content = Content::of_source(&connection, &subject.game).await;
    let _ = answer_to(&connection, &Request::Goodbye {}).await;
    content.with_context(|| format!("failed to learn {} from {from}", subject.game))
}

impl Content {
    async fn of_source(connection: &Connection, game_id: &GameId) -> Result<Self> {
        let request = Request::GetGame(GetGame { game_id: game_id.clone(), await_hashes: true });
        let head = match answer_to(connection, &request).await? {
            (Response::Game(head), _) => head,
            (other, _) => bail!("the answer is {other:?}"),
        };
        let pages = |part, of, pages| pages_of(connection, game_id, part, of, pages);
        let mut files = Vec::new();
        for page in pages(Part::Layout, head.manifest_hash, head.layout_pages).await? {
            for file in LayoutPage::new(&page)? {
                let (path, size) = file?;
                files.push(ManifestFile { path, size, hashes: None });
            }
        }
        let mut manifest = Manifest::new(head.version.clone(), files)?;
        if let Some(root) = head.content_root {
            let hash_pages = head.chunks.div_ceil(HASHES_PER_PAGE);
            let hashes = pages(Part::Hashes, root, hash_pages).await?;
            manifest = manifest.with_hashes(hashes.concat().into())?;
        }
        let attributes = pages(Part::Attributes, head.attributes, 1).await?.concat();
        Ok(Self::new(game_id.clone(), head, manifest, attributes.into()))
    }

    fn new(game_id: GameId, head: GameHead, manifest: Manifest, attributes: Bytes) -> Self {
        let layout = encode_layout(manifest.files().iter().map(|file| (&file.path, file.size)));
        Self { game_id, head, manifest, layout, attributes }
    }

    /// Returns a game with the same files, whose bytes are those that [`Self::chunk`] gives.
    pub(crate) fn falsified(&self) -> Result<Self> {
        let files = self.manifest.files().iter().map(|file| {
            let hashes = (0..file.chunk_count()).map(|index| {
                chunk_hash(file.size, index, &false_bytes(chunk_len(file.size, index)))
            });
            let hashes = Some(FileHashes::from_chunks(hashes));
            ManifestFile { path: file.path.clone(), size: file.size, hashes }
        });
        let manifest = Manifest::new(self.head.version.clone(), files.collect())?;
        let head = GameHead::of(&manifest, Vec::new(), self.head.attributes);
        Ok(Self::new(self.game_id.clone(), head, manifest, self.attributes.clone()))
    }

    /// Returns what a library says of the game.
    pub(crate) fn summary(&self) -> GameSummary {
        GameSummary {
            id: self.game_id.clone(),
            version: self.head.version.clone(),
            size: self.manifest.total_size(),
            manifest_hash: self.head.manifest_hash,
            content_root: self.head.content_root,
        }
    }

    /// Returns a page of a part.
    pub(crate) fn page(&self, part: Part, page: u32) -> Option<Bytes> {
        match part {
            Part::Layout => self.layout.get(page as usize).cloned(),
            Part::Hashes => self.manifest.hash_page(page),
            Part::Attributes => (page == 0).then(|| self.attributes.clone()),
        }
    }

    /// Returns what the hashes say of a chunk, and false bytes of its length.
    pub(crate) fn chunk(&self, name: &ChunkName) -> Option<(ContentHash, Bytes)> {
        let file = self.manifest.file(&name.path)?;
        let bytes = false_bytes(chunk_len(file.size, name.index));
        let hash = file.hashes.as_ref().and_then(|hashes| hashes.chunk(name.index));
        Some((hash.unwrap_or_else(|| chunk_hash(file.size, name.index, &bytes)), bytes))
    }

    /// Returns the names of all chunks; none of a game without chunks.
    pub(crate) fn chunk_names(&self) -> impl Iterator<Item = ChunkName> + Clone + '_ {
        self.manifest.files().iter().flat_map(|file| {
            (0..file.chunk_count()).map(|index| ChunkName { path: file.path.clone(), index })
        })
    }
}

async fn pages_of(
    connection: &Connection,
    game_id: &GameId,
    part: Part,
    of: ContentHash,
    pages: u32,
) -> Result<Vec<Bytes>> {
    let mut received = Vec::new();
    for page in 0..pages {
        let request = Request::GetPage(GetPage { game_id: game_id.clone(), part, of, page });
        match answer_to(connection, &request).await? {
            (Response::Page { len }, mut receiver) => {
                received.push(bytes(&mut receiver, len as usize).await?);
            }
            (other, _) => bail!("page {page} of the {part} is {other:?}"),
        }
    }
    Ok(received)
}

fn false_bytes(len: u64) -> Bytes {
    BytesMut::from_iter(std::iter::repeat_n(FALSE_BYTE, usize::try_from(len).unwrap_or(0))).freeze()
}
