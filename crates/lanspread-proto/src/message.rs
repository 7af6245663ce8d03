//! The messages of the wire protocol.
//!
//! Each request travels on a bidirectional stream of its own: a [`Request`] header one way, a
//! [`Response`] header the other way; each is followed by raw bytes where it announces them. The first
//! request on a connection is [`Request::Hello`], from the side that dialled.

use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::ids::{GameId, GameVersion, NetworkName, PeerId, PeerName};
use crate::manifest::Manifest;
use crate::path::RelPath;

/// Most features one peer may announce.
pub const FEATURES_MAX: usize = 64;

/// What one peer asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Opens the conversation; answered by [`Response::HelloAck`].
    Hello(Hello),
    /// Asks for a page of the library; answered by [`Response::LibraryPage`] and the page.
    GetLibrary(GetLibrary),
    /// Tells what changed in the sender's library, in the page that follows; answered by
    /// [`Response::Done`].
    LibraryDelta(LibraryDelta),
    /// Asks what a game is; answered by [`Response::Game`].
    GetGame(GetGame),
    /// Asks for a page of a part of a game; answered by [`Response::Page`] and its bytes.
    GetPage(GetPage),
    /// Asks for chunks; answered by [`Response::Chunks`] and their bytes.
    GetChunks(GetChunks),
    /// Tells that a chunk came wrong; answered by [`Response::Done`] if it is right at the source, else
    /// refused.
    WrongChunk(WrongChunk),
    /// Tells that the sender fetches a game and, in the bytes that follow, what it has of it; answered by
    /// [`Response::Fetching`] if the receiver fetches the same content, else by [`Response::Done`].
    Fetching(Fetching),
    /// Tells what more the sender has; answered by [`Response::Done`].
    Have(Have),
    /// The sender no longer fetches a game; answered by [`Response::Done`].
    FetchEnded(FetchEnded),
    /// Asks for the unpacked content of a game; answered by [`Response::Stream`].
    StreamInstall(StreamInstall),
    /// Asks for a sign of life; answered by [`Response::Done`].
    Ping {},
    /// The sender is leaving; answered by [`Response::Done`].
    Goodbye {},
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    /// Answers [`Request::Hello`].
    HelloAck(Hello),
    /// Answers [`Request::GetLibrary`]; the page follows.
    LibraryPage(LibraryPageHeader),
    /// Answers [`Request::GetGame`].
    Game(GameHead),
    /// Answers [`Request::GetPage`]; the raw bytes of the page follow.
    Page {
        /// How many bytes follow: at most [`crate::limits::PAGE_MAX_BYTES`].
        len: u32,
    },
    /// Answers [`Request::GetChunks`]; the raw bytes of all chunks follow.
    Chunks {
        /// One for each chunk that was asked for, in the same order.
        chunks: Vec<ChunkHeader>,
    },
    /// Answers [`Request::Fetching`]: what the receiver has, in the bytes that follow.
    Fetching(Fetching),
    /// Answers [`Request::StreamInstall`]; frames follow ([`crate::stream`]).
    Stream {},
    /// Answers a request that has nothing to say in return.
    Done {},
    /// The request was understood and is refused.
    Refused(Refusal),
}

/// Who a peer is: the body of `Hello` and of `HelloAck`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Must be [`crate::PROTOCOL_VERSION`]. Behind `type` the first field in every version from 4 on, and
    /// read before all else.
    pub proto_ver: u32,
    /// Must be the id that the sender's certificate gives.
    pub peer_id: PeerId,
    /// Drawn anew by each start of the sender, so that a restart is told from a second connection.
    pub session: u64,
    /// What the sender calls itself.
    pub name: PeerName,
    /// The party the sender belongs to.
    pub network: NetworkName,
    /// Proof of the network key over the TLS exporter of this connection; absent in an open party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_proof: Option<ContentHash>,
    /// The UDP port on which the sender accepts connections.
    pub listen_port: u16,
    /// What the sender can do beyond the base protocol; unknown names are ignored.
    pub features: Vec<String>,
    /// The revision of the sender's library, which the receiver asks for next.
    pub library_rev: u64,
}

/// Asks for a page of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetLibrary {
    /// The revision of which the asker has pages; absent for the newest one. One that is not there any more
    /// is refused as [`RefusalCode::Changed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
    /// Which page, from 0.
    pub page: u32,
}

/// Announces a page of a library ([`crate::library`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryPageHeader {
    /// Which revision of the library. It grows with every change.
    pub rev: u64,
    /// How many games the library has: at most [`crate::limits::LIBRARY_MAX_GAMES`].
    pub games: u32,
    /// How many pages the library has: at least one.
    pub pages: u32,
    /// How many bytes follow: at most [`crate::limits::PAGE_MAX_BYTES`].
    pub len: u32,
}

/// Announces what changed between two revisions of a library, in one page ([`crate::library`]).
///
/// A receiver that knows `to_rev` or more ignores it; one that does not know exactly `from_rev` asks for
/// the library. A sender whose change does not fit a page sends an empty one with `from_rev == to_rev`,
/// which nobody can know yet, so that every receiver asks for the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryDelta {
    /// The revision this builds on.
    pub from_rev: u64,
    /// The revision this leads to.
    pub to_rev: u64,
    /// How many bytes follow: at most [`crate::limits::PAGE_MAX_BYTES`].
    pub len: u32,
}

/// Asks what a game is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetGame {
    /// Which game.
    pub game_id: GameId,
    /// Whether to answer only once every file is hashed, or after a long time with what there is.
    pub await_hashes: bool,
}

/// What a source says of a game: the identities of its parts, and how large they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GameHead {
    /// The version of the game.
    pub version: GameVersion,
    /// How many content files it has.
    pub files: u32,
    /// How many chunks they have.
    pub chunks: u32,
    /// Bytes of all their paths together.
    pub path_bytes: u64,
    /// Identity of the layout: [`Manifest::manifest_hash`].
    pub manifest_hash: ContentHash,
    /// How many pages the layout has.
    pub layout_pages: u32,
    /// Identity of the hashes: [`Manifest::content_root`], once the source has hashed the game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_root: Option<ContentHash>,
    /// The content roots that the game had in older versions of the protocol: a hint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_content_roots: Vec<ContentHash>,
    /// Identity of the attributes: [`crate::Attributes::identity`].
    pub attributes: ContentHash,
}

impl GameHead {
    /// What a source of `manifest` says, whose attributes have this identity.
    #[must_use]
    pub fn of(
        manifest: &Manifest,
        old_content_roots: Vec<ContentHash>,
        attributes: ContentHash,
    ) -> Self {
        Self {
            version: manifest.version().clone(),
            // At most `MANIFEST_MAX_FILES`.
            files: u32::try_from(manifest.files().len()).unwrap_or(u32::MAX),
            chunks: manifest.chunk_count(),
            path_bytes: manifest.path_bytes(),
            manifest_hash: manifest.manifest_hash(),
            layout_pages: manifest.layout_pages(),
            content_root: manifest.content_root(),
            old_content_roots,
            attributes,
        }
    }
}

/// A part of a game that travels in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Paths and sizes ([`crate::layout`]).
    Layout,
    /// The hashes of all chunks, 32 bytes each, in chunk order.
    Hashes,
    /// [`crate::Attributes`].
    Attributes,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Layout => "layout",
            Self::Hashes => "hashes",
            Self::Attributes => "attributes",
        })
    }
}

/// Asks for one page of a part. It is asked for by the identity of the part, so that pages of two
/// states of a game never mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetPage {
    /// Which game.
    pub game_id: GameId,
    /// Which part of it.
    pub part: Part,
    /// The identity of the part; another one is refused.
    pub of: ContentHash,
    /// Which page, from 0.
    pub page: u32,
}

/// Asks for chunks of one game: one of full size, or several small ones, at most
/// [`crate::limits::GET_CHUNKS_MAX`], none twice. All are given, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetChunks {
    /// Which game.
    pub game_id: GameId,
    /// Which version of it; another one is refused.
    pub version: GameVersion,
    /// Which chunks; at least one.
    pub chunks: Vec<ChunkName>,
}

/// Names a chunk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkName {
    /// Which file of the manifest.
    pub path: RelPath,
    /// Which chunk of the file, from 0.
    pub index: u32,
}

/// Reports a chunk whose bytes do not match the manifest, so that the source reads it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongChunk {
    /// Which game.
    pub game_id: GameId,
    /// [`Manifest::content_root`] of the content that the chunk was to be of.
    pub content_root: ContentHash,
    /// Which file of the manifest.
    pub path: RelPath,
    /// Which chunk of the file, from 0.
    pub index: u32,
}

/// Asks for what the archives of a game hold, unpacked on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamInstall {
    /// Which game.
    pub game_id: GameId,
    /// Which version of it; another one is refused.
    pub version: GameVersion,
}

/// Most pieces that one [`Have`] may list: a sender that has more to tell sends another one.
pub const HAVE_MAX_PIECES: usize = 4096;

/// What a peer that fetches a game has of it so far. A piece is a chunk, or several small ones that
/// follow each other; which ones follows from the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetching {
    /// Which game.
    pub game_id: GameId,
    /// [`Manifest::manifest_hash`] of what it fetches, which is decided.
    pub manifest_hash: ContentHash,
    /// [`Manifest::content_root`] of what it fetches, which is decided.
    pub content_root: ContentHash,
    /// How many bytes follow: the pieces that it has verified and gives to others ([`crate::PieceSet`]).
    pub have_bytes: u32,
    /// The pieces that it is asking those for that have the whole game, or is about to store.
    pub asking: Vec<u32>,
}

/// What has changed since a peer told what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Have {
    /// Which game.
    pub game_id: GameId,
    /// [`Manifest::content_root`] of what it fetches.
    pub content_root: ContentHash,
    /// The pieces that it has besides.
    pub more: Vec<u32>,
    /// The pieces that it is asking those for, now, that have the whole game, or is about to store.
    pub asking: Vec<u32>,
}

/// Names a download that has ended, finished or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchEnded {
    /// Which game.
    pub game_id: GameId,
    /// [`Manifest::content_root`] of what was fetched.
    pub content_root: ContentHash,
}

/// Announces the bytes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkHeader {
    /// How many bytes follow: at most [`crate::CHUNK_SIZE_BYTES`].
    pub len: u32,
    /// The chunk hash: of the manifest where the file is hashed, else of the bytes as just read.
    pub hash: ContentHash,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What a program acts on.
    pub code: RefusalCode,
    /// What a person reads.
    pub message: String,
}

/// The reasons for a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The sender speaks another [`crate::PROTOCOL_VERSION`].
    ProtocolVersion,
    /// The sender belongs to another network.
    Network,
    /// The sender did not prove the network key, or proved one where none is in use.
    NetworkKey,
    /// The sender's id is not the one its certificate gives, or is the receiver's own.
    Identity,
    /// The request is not allowed at this moment of the conversation.
    OutOfOrder,
    /// The game is not served here: unknown, not ready, or of another version.
    NotServed,
    /// The game has no such file or chunk.
    NoSuchChunk,
    /// The requested part or revision has changed, or is not available yet.
    Changed,
    /// What was asked for has no such page.
    NoSuchPage,
    /// The bytes could not be read.
    ReadFailed,
    /// Too much is going on; try again later.
    Busy,
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ProtocolVersion => "protocol-version",
            Self::Network => "network",
            Self::NetworkKey => "network-key",
            Self::Identity => "identity",
            Self::OutOfOrder => "out-of-order",
            Self::NotServed => "not-served",
            Self::NoSuchChunk => "no-such-chunk",
            Self::Changed => "changed",
            Self::NoSuchPage => "no-such-page",
            Self::ReadFailed => "read-failed",
            Self::Busy => "busy",
        })
    }
}
