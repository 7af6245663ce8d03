//! What a peer answers about itself, other peers and games.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_library::{GameProblems, VerifyReference};
use lanspread_proto::{Attributes, ContentHash, GameId, GameVersion, Manifest, PeerId, PeerName};

use crate::operation::{ActiveOperation, Operation};

/// The answer to a question, and when it was true: it holds for the moment between two events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf<T> {
    /// How many events had been sent.
    pub events: u64,
    /// The answer.
    pub value: T,
}

/// The answer to [`crate::PeerCommand::StreamInstall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSummary {
    /// Which source sends the game, or has sent it.
    pub peer_id: PeerId,
    /// How many files it has.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// The answer to [`crate::PeerCommand::Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who the peer is.
    pub peer_id: PeerId,
    /// What it calls itself.
    pub name: PeerName,
    /// Where it listens, with the real port.
    pub listen_addr: SocketAddr,
    /// Where its games are.
    pub games_dir: PathBuf,
    /// Where its state is.
    pub state_dir: PathBuf,
    /// Revision of the announced library.
    pub library_rev: u64,
    /// How many peers are known.
    pub peer_count: usize,
    /// Whether peers can be found by mDNS.
    pub mdns: MdnsStatus,
    /// Identities that two running peers have, as far as that was noticed lately; in peer id order.
    pub identity_conflicts: Vec<IdentityConflict>,
    /// Peers of this party that speak another version of the protocol, in the order of their addresses.
    pub peers_of_other_version: Vec<OtherVersionPeer>,
    /// What is going on, in game id order.
    pub active_operations: Vec<ActiveOperation>,
    /// How many transfers to others are under way, by game.
    pub outbound_transfers: Vec<(GameId, usize)>,
}

/// Whether peers can be found by mDNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MdnsStatus {
    /// The peer was started without it.
    Off,
    /// It has just been started.
    Starting,
    /// It can work.
    Working,
    /// It cannot for this reason, and is tried again.
    Failed(String),
}

/// An identity that two running peers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityConflict {
    /// Which identity.
    pub peer_id: PeerId,
    /// Whether it is the one of this peer.
    pub is_own: bool,
    /// Where peers with it were seen lately, without this one; in order.
    pub addrs: Vec<SocketAddr>,
}

/// A peer of another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherVersionPeer {
    /// What it calls itself, where it said so.
    pub name: Option<PeerName>,
    /// Where it is: where it listens if it said so, else where it dialled from.
    pub addr: SocketAddr,
    /// Its version, where it said so.
    pub proto_ver: Option<u32>,
}

/// A known peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who it is.
    pub peer_id: PeerId,
    /// What it calls itself.
    pub name: PeerName,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Revision of its library.
    pub library_rev: u64,
    /// How many games it announces.
    pub game_count: usize,
    /// How long ago it gave a sign of life.
    pub last_seen: Duration,
}

/// A known game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameInfo {
    /// Which game.
    pub id: GameId,
    /// Its title in the catalog.
    pub title: String,
    /// The version on this disk, if it is downloaded.
    pub version: Option<GameVersion>,
    /// The version in the catalog.
    pub expected_version: GameVersion,
    /// Bytes: on this disk, else as announced by peers, else of the catalog, else 0.
    pub size: u64,
    /// Whether `version.ini` is there.
    pub downloaded: bool,
    /// Whether `local/` is there.
    pub installed: bool,
    /// What it can be used for; `None` when nothing of it is on this disk.
    pub availability: Option<Availability>,
    /// How many peers announce it at the catalog's version.
    pub peer_count: usize,
    /// What is being done with it.
    pub operation: Option<Operation>,
    /// Bytes that a download which did not come to its end has on this disk; `None` where there is
    /// none. The next download goes on from there, and [`crate::PeerCommand::Remove`] deletes it.
    pub partial_bytes: Option<u64>,
    /// What keeps the copy on this disk from being whole.
    pub problems: GameProblems,
}

impl GameInfo {
    /// Whether what lies in its root can be an unfinished download.
    pub(crate) fn may_be_partial(&self) -> bool {
        !self.downloaded && self.operation.is_none()
    }
}

/// What a game on this disk can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Downloaded at the catalog's version and idle: announced and served.
    Ready,
    /// On its way.
    Downloading,
    /// For this machine alone: not downloaded, not at the catalog's version, or busy.
    LocalOnly,
    /// Something of it cannot travel or cannot be read: neither announced nor served.
    Incomplete,
}

/// The answer to [`crate::PeerCommand::GetGame`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameDetails {
    /// The game.
    pub game: GameInfo,
    /// Who announces it at the catalog's version, in peer id order.
    pub sources: Vec<SourceInfo>,
    /// Whether it is installed and its setup script was started since.
    pub setup_done: bool,
    /// Its files, when it is downloaded here, or as a source tells them.
    pub manifest: Option<Arc<Manifest>>,
    /// What goes with it beside the content, where that is known.
    pub attributes: Option<Arc<Attributes>>,
}

/// A peer that announces a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// Who it is.
    pub peer_id: PeerId,
    /// What it calls itself.
    pub name: PeerName,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The content root it announces, once it has hashed the game.
    pub content_root: Option<ContentHash>,
}

/// The answer to [`crate::PeerCommand::Download`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadSummary {
    /// How many files the game has.
    pub files: usize,
    /// Their bytes together.
    pub bytes: u64,
    /// Who serves the game, in peer id order.
    pub sources: Vec<PeerId>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// What the game was held against.
    pub reference: VerifyReference,
    /// What is wrong with it.
    pub problems: GameProblems,
}

/// The answer to [`crate::PeerCommand::Verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifySummary {
    /// How many files the game has on this disk.
    pub files: usize,
    /// Their bytes together.
    pub bytes: u64,
    /// What was found; `None` when the answer comes at the start.
    pub report: Option<VerifyReport>,
    /// Whether what was wrong has been fetched.
    pub repaired: bool,
}
