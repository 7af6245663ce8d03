//! The messages of the wire protocol.
//!
//! Each request travels on a bidirectional stream of its own: a [`Request`] header one way, a
//! [`Response`] header the other way, then raw bytes where the response announces them. The first
//! request on a connection is [`Request::Hello`], from the side that dialled.

use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::ids::{GameId, GameVersion, NetworkName, PeerId, PeerName};
use crate::manifest::Manifest;
use crate::path::RelPath;
use crate::piece_set::PieceSet;

/// Most features one peer may announce.
pub const FEATURES_MAX: usize = 64;

/// What one peer asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Opens the conversation; answered by [`Response::HelloAck`].
    Hello(Hello),
    /// Asks for the whole library; answered by [`Response::Library`].
    GetLibrary {},
    /// Tells what changed in the sender's library; answered by [`Response::Done`].
    LibraryDelta(LibraryDelta),
    /// Asks for a manifest; answered by [`Response::Game`] or [`Response::Unchanged`].
    GetGame(GetGame),
    /// Asks for chunks; answered by [`Response::Chunks`] and their bytes.
    GetChunks(GetChunks),
    /// Tells that the sender fetches a game and what it has of it; answered by
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
    /// Answers [`Request::GetLibrary`].
    Library(LibrarySnapshot),
    /// Answers [`Request::GetGame`].
    Game {
        /// The manifest, with the hashes known so far.
        manifest: Manifest,
    },
    /// Answers [`Request::GetGame`] when the asker's manifest still holds.
    Unchanged {},
    /// Answers [`Request::GetChunks`]; the raw bytes of all chunks follow.
    Chunks {
        /// One for each chunk that was asked for, in the same order.
        chunks: Vec<ChunkHeader>,
    },
    /// Answers [`Request::Fetching`]: what the receiver has.
    Fetching(Fetching),
    /// Answers [`Request::StreamInstall`]; frames follow ([`crate::stream`]).
    Stream {},
    /// Answers a request that has nothing to say in return.
    Done {},
    /// The request was understood and is refused.
    Refused(Refusal),
}

/// Who a peer is and what it holds: the body of `Hello` and of `HelloAck`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Must be the id that the sender's certificate gives.
    pub peer_id: PeerId,
    /// Must be [`crate::PROTOCOL_VERSION`].
    pub proto_ver: u32,
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
    /// The sender's library.
    pub library: LibrarySnapshot,
}

/// One announced game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GameSummary {
    /// Which game.
    pub id: GameId,
    /// The version that the sender holds.
    pub version: GameVersion,
    /// Bytes of all transferable files.
    pub size: u64,
    /// [`Manifest::manifest_hash`].
    pub manifest_hash: ContentHash,
    /// [`Manifest::content_root`], once the sender has hashed the game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_root: Option<ContentHash>,
}

/// All games a peer announces, as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibrarySnapshot {
    /// Grows with every change of the sender's library.
    pub rev: u64,
    /// The games in id order.
    pub games: Vec<GameSummary>,
}

/// What changed between two revisions of a library.
///
/// A receiver that knows `to_rev` or more ignores it; one that does not know exactly `from_rev`
/// asks for a snapshot. A sender whose change does not fit [`crate::codec::CONTROL_HEADER_MAX_BYTES`]
/// sends an empty delta with `from_rev == to_rev`, which nobody can know yet, so that every
/// receiver asks for the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryDelta {
    /// The revision this builds on.
    pub from_rev: u64,
    /// The revision this leads to.
    pub to_rev: u64,
    /// Games that are new.
    pub added: Vec<GameSummary>,
    /// Games that changed.
    pub updated: Vec<GameSummary>,
    /// Games that are gone.
    pub removed: Vec<GameId>,
}

/// Asks for a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetGame {
    /// Which game.
    pub game_id: GameId,
    /// The manifest the asker has, so that an unchanged one need not travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_manifest: Option<KnownManifest>,
    /// Whether to answer only once every file is hashed, or after a long time with what there is.
    pub await_hashes: bool,
}

/// Names a manifest by its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownManifest {
    /// [`Manifest::manifest_hash`].
    pub manifest_hash: ContentHash,
    /// [`Manifest::content_root`], if it was hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_root: Option<ContentHash>,
}

/// Most chunks of one [`GetChunks`]; their bytes together are at most [`crate::CHUNK_SIZE_BYTES`].
pub const GET_CHUNKS_MAX: usize = 256;

/// Asks for chunks of one game: one of full size, or several small ones. All are given, or none.
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
    /// The pieces that it has verified and gives to others.
    pub have: PieceSet,
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
            Self::ReadFailed => "read-failed",
            Self::Busy => "busy",
        })
    }
}
