//! What commands are answered: the `data` of a `result`.

use std::net::SocketAddr;

use lanspread_proto::{PeerId, PeerName};
use schemars::JsonSchema;
use serde::Serialize;

use super::data::{
    ActiveOperationData, ConflictData, DownloadData, GameData, ManifestData, OtherVersionData,
    OutboundData, PeerData, RawData, ReportData, SourceData,
};
use crate::errors::ErrorBody;

/// The `data` of a `result`, by the name of its command. The comments are what `schema` says of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "cmd", content = "data", rename_all = "kebab-case")]
pub(crate) enum CommandResult {
    Status(Box<StatusData>),
    ListPeers {
        /// in peer id order
        peers: Vec<PeerData>,
    },
    ListGames {
        /// in game id order
        games: Vec<GameData>,
    },
    GetGame(Box<GameDetailsData>),
    Connect {
        peer_id: PeerId,
    },
    WaitPeers {
        peer_count: usize,
    },
    WaitFor {
        /// the name of the event
        event: String,
        /// the `seq` of its record
        seq: u64,
        /// the `t_us` of its record
        t_us: u64,
        /// its data
        data: RawData,
    },
    SetGameDir {
        /// its canonical path
        games_dir: String,
    },
    Download(DownloadData),
    Update(DownloadData),
    CancelDownload {},
    Verify {
        files: usize,
        bytes: u64,
        /// what was found; null when the answer comes at the start
        report: Option<ReportData>,
        /// whether what was wrong has been fetched
        repaired: bool,
    },
    Install {},
    StreamInstall {
        /// which source unpacks it
        peer_id: PeerId,
        files: u64,
        bytes: u64,
    },
    Uninstall {},
    RemoveDownload {},
    RunSetup {
        /// the script
        script: String,
        /// the file to which its output goes
        log: String,
        /// its process; it leads a group
        pid: u32,
        /// whether it was started before since the game was installed
        already_done: bool,
    },
    Shutdown {},
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusData {
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) listen_addr: SocketAddr,
    pub(crate) games_dir: String,
    /// where its state is
    pub(crate) state_dir: String,
    pub(crate) library_rev: u64,
    pub(crate) peer_count: usize,
    /// whether peers can be found by mDNS
    pub(crate) mdns: MdnsName,
    /// why not, where it has failed; it is tried again
    pub(crate) mdns_error: Option<ErrorBody>,
    /// as in the event `peers-of-other-version`
    pub(crate) peers_of_other_version: Vec<OtherVersionData>,
    /// as in the event `identity-conflict`, of the last three minutes
    pub(crate) identity_conflicts: Vec<ConflictData>,
    pub(crate) active_operations: Vec<ActiveOperationData>,
    /// transfers to other peers, in game id order
    pub(crate) outbound_transfers: Vec<OutboundData>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MdnsName {
    Off,
    Starting,
    Working,
    Failed,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GameDetailsData {
    /// the game, as in `list-games`
    pub(crate) game: GameData,
    pub(crate) sources: Vec<SourceData>,
    /// whether it is installed and its setup was started since
    pub(crate) setup_done: bool,
    /// its files; null when nobody can tell them
    pub(crate) manifest: Option<ManifestData>,
}
