//! The records on standard output, as plain data.
//!
//! Field order here is the order on the line. `protocol` describes the same fields for readers; a
//! test holds every record against it.

use std::net::SocketAddr;

use lanspread_proto::{ContentHash, GameId, GameVersion, NetworkName, PeerId, PeerName, RelPath};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::errors::ErrorBody;

/// What a command is called by, exactly as it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct CommandId(Box<RawValue>);

impl CommandId {
    /// Takes `raw` if it is text or a number.
    pub(crate) fn new(raw: Box<RawValue>) -> Option<Self> {
        matches!(raw.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')).then(|| Self(raw))
    }
}

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Record<'a> {
    /// The peer has started.
    Ready { seq: u64, t_us: u64, protocol: u32, version: &'a str, data: &'a ReadyData },
    /// A command was carried out.
    Result { seq: u64, t_us: u64, id: &'a CommandId, cmd: &'a str, data: &'a ResultData },
    /// A command was not carried out, a line was not understood, or the peer did not start.
    Error {
        seq: u64,
        t_us: u64,
        id: Option<&'a CommandId>,
        cmd: Option<&'a str>,
        error: &'a ErrorBody,
    },
    /// Something happened.
    Event { seq: u64, t_us: u64, event: &'a str, data: &'a RawValue },
}

#[derive(Debug, Serialize)]
pub(crate) struct ReadyData {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) listen_addr: SocketAddr,
    pub(crate) network: NetworkName,
    pub(crate) games_dir: String,
    pub(crate) pid: u32,
}

/// The `data` of a `result`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum ResultData {
    Status(Box<StatusData>),
    Peers { peers: Vec<PeerData> },
    Games { games: Vec<GameData> },
    Game(Box<GameDetailsData>),
    Connected { peer_id: PeerId },
    PeerCount { peer_count: usize },
    Awaited { event: &'static str, seq: u64, t_us: u64, data: Box<RawValue> },
    GamesDir { games_dir: String },
    Download { files: usize, bytes: u64, sources: Vec<PeerId> },
    Streamed { peer_id: PeerId, files: u64, bytes: u64 },
    Verified { files: usize, bytes: u64, report: Option<ReportData>, repaired: bool },
    Setup { script: String, log: String, pid: u32, already_done: bool },
    Done {},
}

#[derive(Debug, Serialize)]
pub(crate) struct StatusData {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) listen_addr: SocketAddr,
    pub(crate) games_dir: String,
    pub(crate) state_dir: String,
    pub(crate) library_rev: u64,
    pub(crate) peer_count: usize,
    pub(crate) mdns: &'static str,
    pub(crate) mdns_error: Option<ErrorBody>,
    pub(crate) peers_of_other_version: Vec<OtherVersionData>,
    pub(crate) identity_conflicts: Vec<IdentityConflictData>,
    pub(crate) active_operations: Vec<ActiveOperationData>,
    pub(crate) outbound_transfers: Vec<OutboundData>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OtherVersionData {
    pub(crate) name: Option<PeerName>,
    pub(crate) addr: SocketAddr,
    pub(crate) proto_ver: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct IdentityConflictData {
    pub(crate) peer_id: PeerId,
    pub(crate) own: bool,
    pub(crate) addrs: Vec<SocketAddr>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ActiveOperationData {
    pub(crate) game_id: GameId,
    pub(crate) operation: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutboundData {
    pub(crate) game_id: GameId,
    pub(crate) count: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct PeerData {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) addr: SocketAddr,
    pub(crate) library_rev: u64,
    pub(crate) game_count: usize,
    pub(crate) last_seen_ms: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct GameData {
    pub(crate) id: GameId,
    pub(crate) title: String,
    pub(crate) version: Option<GameVersion>,
    pub(crate) expected_version: GameVersion,
    pub(crate) size: u64,
    pub(crate) downloaded: bool,
    pub(crate) installed: bool,
    pub(crate) availability: Option<&'static str>,
    pub(crate) peer_count: usize,
    pub(crate) operation: Option<&'static str>,
    pub(crate) partial_bytes: Option<u64>,
    pub(crate) problem_count: usize,
    pub(crate) problems: Vec<ProblemData>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProblemData {
    pub(crate) path: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReportData {
    pub(crate) reference: &'static str,
    pub(crate) problem_count: usize,
    pub(crate) problems: Vec<ProblemData>,
}

#[derive(Debug, Serialize)]
pub(crate) struct GameDetailsData {
    pub(crate) game: GameData,
    pub(crate) sources: Vec<SourceData>,
    pub(crate) setup_done: bool,
    pub(crate) manifest: Option<ManifestData>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceData {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) addr: SocketAddr,
    pub(crate) content_root: Option<ContentHash>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ManifestData {
    pub(crate) version: GameVersion,
    pub(crate) manifest_hash: ContentHash,
    pub(crate) content_root: Option<ContentHash>,
    pub(crate) total_size: u64,
    pub(crate) file_count: usize,
    pub(crate) next_file: Option<usize>,
    pub(crate) directories: Vec<RelPath>,
    pub(crate) files: Vec<FileData>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileData {
    pub(crate) path: RelPath,
    pub(crate) size: u64,
    pub(crate) hash: Option<ContentHash>,
    pub(crate) chunks: u32,
    pub(crate) executable: Option<bool>,
}

/// The `data` of an `event`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum EventData {
    Peer(PeerData),
    PeerLost {
        peer_id: PeerId,
        reason: &'static str,
        advertised: bool,
    },
    PeerCount {
        peer_count: usize,
    },
    PeerRejected {
        peer_id: Option<PeerId>,
        addr: SocketAddr,
        reason: &'static str,
        message: String,
    },
    GamesList {
        game_count: usize,
        changed: Vec<GameId>,
    },
    LocalGames {
        library_rev: u64,
        game_count: usize,
        changed: Vec<GameId>,
        active_operations: Vec<ActiveOperationData>,
    },
    Incomplete {
        game_id: GameId,
        problem_count: usize,
        problems: Vec<ProblemData>,
    },
    VerifyBegun {
        game_id: GameId,
        files: usize,
        bytes: u64,
    },
    VerifyProgress {
        game_id: GameId,
        bytes_done: u64,
        bytes_total: u64,
    },
    Verified {
        game_id: GameId,
        files: usize,
        bytes: u64,
        report: ReportData,
    },
    Begun {
        game_id: GameId,
        files: usize,
        bytes: u64,
        sources: Vec<PeerId>,
    },
    DownloadProgress {
        game_id: GameId,
        bytes_done: u64,
        bytes_total: u64,
        bytes_per_second: u64,
        active_peers: usize,
        sources: Vec<SourceBytesData>,
    },
    DownloadFinished {
        game_id: GameId,
        files: usize,
        bytes: u64,
        sources: Vec<SourceBytesData>,
    },
    Failed {
        game_id: GameId,
        error: ErrorBody,
    },
    Game {
        game_id: GameId,
    },
    Removed {
        game_id: GameId,
        kept: Option<String>,
    },
    InstallProgress {
        game_id: GameId,
        bytes_done: u64,
    },
    InstallFinished {
        game_id: GameId,
        files: u64,
        bytes: u64,
    },
    StreamWaiting {
        game_id: GameId,
        peer_id: PeerId,
        position: u32,
    },
    Streamed {
        game_id: GameId,
        peer_id: PeerId,
        files: u64,
        bytes: u64,
    },
    StreamProgress {
        game_id: GameId,
        peer_id: PeerId,
        bytes_done: u64,
        bytes_total: u64,
        bytes_per_second: u64,
    },
    SourceDropped {
        game_id: GameId,
        peer_id: PeerId,
        reason: String,
    },
    OutboundTransfers {
        game_id: GameId,
        count: usize,
    },
    OtherVersions {
        own: u32,
        peers: Vec<OtherVersionData>,
    },
    IdentityConflict {
        peer_id: PeerId,
        own: bool,
        addrs: Vec<SocketAddr>,
        message: String,
        hint: String,
    },
    MdnsFailed {
        error: ErrorBody,
    },
    MdnsRecovered {},
    RuntimeFailed {
        service: &'static str,
        message: String,
    },
    Stopped {},
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceBytesData {
    pub(crate) peer_id: PeerId,
    pub(crate) bytes: u64,
}
