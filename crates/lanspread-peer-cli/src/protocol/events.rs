//! What happens: the `event` and the `data` of an event.

use std::net::{Ipv4Addr, SocketAddr};

use lanspread_proto::{ContentHash, GameId, PeerId};
use schemars::JsonSchema;
use serde::Serialize;

use super::data::{
    ActiveOperationData, LostName, OtherVersionData, PeerData, ProblemsData, RejectName,
    ReportData, SourceBytesData,
};
use crate::errors::ErrorBody;

/// One event by its name, with its data. The comments are what `schema` says of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A peer is now known, with its library.
    PeerDiscovered(PeerData),
    /// A known peer changed its name, address or library.
    PeerUpdated(PeerData),
    /// A peer is no longer known.
    PeerLost {
        peer_id: PeerId,
        /// it left, was silent, or made room
        reason: LostName,
        /// whether mDNS still tells of it, else only `connect` finds it
        advertised: bool,
    },
    /// The number of known peers changed.
    PeerCountUpdated { peer_count: usize },
    /// A peer was not let in, or did not let this one in. The first of an address is told at once, and
    /// the next ones in sums, 5 s apart.
    PeerRejected {
        /// who it claimed to be, if it said so
        peer_id: Option<PeerId>,
        /// where it was
        addr: SocketAddr,
        /// what did not fit
        reason: RejectName,
        message: String,
        /// how many refusals this sums up
        count: u64,
    },
    /// What the peers announce changed.
    GamesListUpdated {
        /// how many games at least one peer announces
        game_count: usize,
        changed: Vec<GameId>,
    },
    /// The games on this disk, or what is being done with them, changed.
    LocalGamesUpdated {
        library_rev: u64,
        /// how many games of the catalog are on this disk
        game_count: usize,
        changed: Vec<GameId>,
        active_operations: Vec<ActiveOperationData>,
    },
    /// A game on this disk is not whole: something in its root cannot travel or cannot be read. It is
    /// not announced. Told once for each change of the problems; `local-games-updated` tells when it
    /// is whole again.
    GameIncomplete {
        game_id: GameId,
        #[serde(flatten)]
        problems: ProblemsData,
    },
    /// A game is being verified.
    VerifyBegin { game_id: GameId, files: usize, bytes: u64 },
    /// How far a verification is: at most ten a second.
    VerifyProgress {
        game_id: GameId,
        /// bytes read so far
        bytes_done: u64,
        /// bytes of all files
        bytes_total: u64,
    },
    /// A game was verified. With `repair`, `download-begin` or `download-failed` follows where
    /// something is wrong.
    VerifyFinished {
        game_id: GameId,
        files: usize,
        bytes: u64,
        /// what was found
        report: ReportData,
    },
    /// A verification ended without a result, or was cancelled.
    VerifyFailed(FailedData),
    /// The manifest of a game to download has arrived.
    GotGameFiles(BegunData),
    /// The first chunks of a game are being asked for.
    DownloadBegin(BegunData),
    /// A game is fetched on votes alone. Neither the catalog nor the command states its content. Once
    /// for each download, update, repair and streamed installation. Each IPv4 address of a source has
    /// a vote, and IPv6 addresses have none.
    ContentVoted {
        game_id: GameId,
        content_root: Option<ContentHash>,
        /// addresses that are for it
        voters: Vec<Ipv4Addr>,
        /// those against it, or silent
        others: Vec<Ipv4Addr>,
    },
    /// How far a download is: at most ten a second, and a last one at the end.
    DownloadProgress {
        game_id: GameId,
        /// verified bytes on disk
        bytes_done: u64,
        /// bytes of the whole game
        bytes_total: u64,
        bytes_per_second: u64,
        /// how many sources a chunk is being asked of
        active_peers: usize,
        /// what each source gave, in peer id order
        sources: Vec<SourceBytesData>,
    },
    /// A game is downloaded, committed and announced.
    DownloadFinished {
        game_id: GameId,
        files: usize,
        bytes: u64,
        /// what each source gave, in peer id order
        sources: Vec<SourceBytesData>,
    },
    /// A download ended without the game. Verified chunks are kept for the next one.
    DownloadFailed(FailedData),
    /// A download or update was cancelled and its root deleted, but for `local/` and foreign files.
    DownloadCancelled(OneGameData),
    /// A download ended because nobody serves the game any more; in place of `download-failed`.
    DownloadAllPeersGone(OneGameData),
    /// A game is being installed.
    InstallBegin(OneGameData),
    /// How far an installation is: at most ten a second.
    InstallProgress {
        game_id: GameId,
        /// bytes unpacked so far
        bytes_done: u64,
    },
    /// A game is installed.
    InstallFinished {
        game_id: GameId,
        /// how many files were unpacked
        files: u64,
        bytes: u64,
    },
    /// An installation ended, and everything is as it was before.
    InstallFailed(FailedData),
    /// A source of a streamed installation has others to serve first.
    StreamInstallWaiting {
        game_id: GameId,
        peer_id: PeerId,
        /// how many come first; 0 when it is the turn of this peer
        position: u32,
    },
    /// A source has said what it will send, and there is room for it. Once, also where a later source
    /// says something else.
    StreamInstallBegin(StreamedData),
    /// How far a streamed installation is: at most ten a second, and a last one at the end. After
    /// `source-dropped` another source begins at 0 again.
    StreamInstallProgress {
        game_id: GameId,
        peer_id: PeerId,
        /// bytes written so far
        bytes_done: u64,
        /// bytes of all files that the source sends
        bytes_total: u64,
        bytes_per_second: u64,
    },
    /// A game is installed from what a source unpacked.
    StreamInstallFinished(StreamedData),
    /// A streamed installation ended or was cancelled, and everything is as it was before.
    StreamInstallFailed(FailedData),
    /// The `local/` of a game is being removed.
    UninstallBegin(OneGameData),
    /// The `local/` of a game is gone.
    UninstallFinished(OneGameData),
    /// The `local/` of a game could not be removed whole.
    UninstallFailed(FailedData),
    /// The root of a game is being deleted.
    RemoveBegin(OneGameData),
    /// The root of a game is gone, or all in it that was the peer's.
    RemoveFinished {
        game_id: GameId,
        /// the root, if it stayed with files of others
        kept: Option<String>,
    },
    /// The root of a game is still there, or parts of it without `version.ini`.
    RemoveFailed(FailedData),
    /// A source is no longer used for a game.
    SourceDropped {
        game_id: GameId,
        /// which source
        peer_id: PeerId,
        /// why, in words
        reason: String,
    },
    /// The number of transfers of a game to other peers changed.
    OutboundTransferCountChanged { game_id: GameId, count: usize },
    /// Peers of this party speak another version of the protocol. They are not let in until all have
    /// the same program version. All that are known, told 5 s after a change; an empty list says that
    /// there are none any more.
    PeersOfOtherVersion {
        /// the protocol version of this peer
        #[schemars(range(max = u32::MAX))]
        own: u32,
        /// all that are known, by address, at most 64
        peers: Vec<OtherVersionData>,
    },
    /// Two running peers have the same identity: a state directory was copied. At most once a minute
    /// for each identity.
    IdentityConflict {
        /// which identity
        peer_id: PeerId,
        own: bool,
        addrs: Vec<SocketAddr>,
        message: String,
        /// what to do
        hint: String,
    },
    /// Peers cannot be found by mDNS at the moment. It is tried again.
    MdnsFailed { error: ErrorBody },
    /// Peers can be found by mDNS again.
    MdnsRecovered {},
    /// Events are missing here that nobody read in time. Ask `list-peers` anew.
    EventsDropped {
        /// how many
        count: u64,
    },
    /// A required service died. The peer stops, with exit status 1.
    RuntimeFailed {
        /// which service
        service: &'static str,
        message: String,
    },
    /// The last record: the peer has stopped.
    Stopped {},
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OneGameData {
    pub(crate) game_id: GameId,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailedData {
    pub(crate) game_id: GameId,
    pub(crate) error: ErrorBody,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BegunData {
    pub(crate) game_id: GameId,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) sources: Vec<PeerId>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StreamedData {
    pub(crate) game_id: GameId,
    pub(crate) peer_id: PeerId,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}
