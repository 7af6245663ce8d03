//! What a peer can be told and asked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_install::setup::SetupStarted;
use lanspread_library::{GameProblems, VerifyReference};
use lanspread_proto::{Attributes, ContentHash, GameId, GameVersion, Manifest, PeerId, PeerName};
use tokio::sync::oneshot;

use crate::error::{CommandError, ConnectError};
use crate::event::{ActiveOperation, Availability, Operation};
use crate::peers::versions::OtherVersionPeer;

/// Where the answer to a command goes. Dropping the receiver does not undo the command.
pub type Reply<T, E = CommandError> = oneshot::Sender<Result<T, E>>;

/// The answer to a question, and when it was true: it holds for the moment between two events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf<T> {
    /// How many events had been sent.
    pub events: u64,
    /// The answer.
    pub value: T,
}

/// One command. Each gets exactly one answer; a dropped [`Reply`] means that the peer has stopped.
///
/// Where a command starts an operation, `wait: false` answers when the operation has begun and
/// `wait: true` when it has ended, after its terminal event was sent: the event is in the event
/// channel before the answer is.
#[derive(Debug)]
pub enum PeerCommand {
    /// Asks how the peer is.
    Status {
        /// Where the answer goes.
        reply: Reply<AsOf<PeerStatus>>,
    },
    /// Asks who is known.
    ListPeers {
        /// Where the answer goes; in peer id order.
        reply: Reply<AsOf<Vec<PeerInfo>>>,
    },
    /// Asks which games are known.
    ListGames {
        /// Which of them.
        scope: GameScope,
        /// Where the answer goes; in game id order.
        reply: Reply<AsOf<Vec<GameInfo>>>,
    },
    /// Asks for all that is known of one game.
    GetGame {
        /// Which game.
        game_id: GameId,
        /// Where the answer goes.
        reply: Reply<AsOf<GameDetails>>,
    },
    /// Dials a peer; answers once both know each other's library.
    Connect {
        /// Where it listens.
        addr: SocketAddr,
        /// Where the answer goes.
        reply: Reply<PeerId, ConnectError>,
    },
    /// Changes the games directory and announces what is there.
    SetGameDir {
        /// The new games directory.
        path: PathBuf,
        /// Where the answer goes: the canonical path.
        reply: Reply<PathBuf>,
    },
    /// Fetches a game from its sources. What is installed stays as it is.
    Download {
        /// Which game.
        game_id: GameId,
        /// Whether to install it afterwards; `None` takes [`crate::PeerConfig::auto_install`].
        install: Option<bool>,
        /// Whether to answer at the end (of the installation, if there is one).
        wait: bool,
        /// Where the answer goes.
        reply: Reply<DownloadSummary>,
    },
    /// Fetches a game from its sources also where a copy of it is on this disk, which it replaces.
    /// Events and cancellation are those of a download.
    Update {
        /// Which game.
        game_id: GameId,
        /// Whether to install it afterwards, in place of an old installation; `None` takes
        /// [`crate::PeerConfig::auto_install`].
        install: Option<bool>,
        /// Whether to answer at the end (of the installation, if there is one).
        wait: bool,
        /// Where the answer goes.
        reply: Reply<DownloadSummary>,
    },
    /// Ends a download or update and discards what it brought; answers after `DownloadCancelled`.
    /// Ends an installation, from archives or streamed, as well: it is rolled back, and the answer comes
    /// after `InstallFailed` or `StreamInstallFailed`.
    CancelDownload {
        /// Which game.
        game_id: GameId,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Reads a downloaded game and says what is wrong with it. Ended by `CancelDownload` as well.
    Verify {
        /// Which game.
        game_id: GameId,
        /// Whether to fetch what is wrong from sources, as an update does.
        repair: bool,
        /// Whether to answer at the end (of the repair, if there is one).
        wait: bool,
        /// Where the answer goes.
        reply: Reply<VerifySummary>,
    },
    /// Unpacks a downloaded game into `local/`.
    Install {
        /// Which game.
        game_id: GameId,
        /// Whether to answer at the end.
        wait: bool,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Installs a game that is not downloaded from what a source unpacks. No archive is stored; an old
    /// `local/` is replaced whole.
    StreamInstall {
        /// Which game.
        game_id: GameId,
        /// Whether to answer at the end, rather than when a source has said what it will send.
        wait: bool,
        /// Where the answer goes.
        reply: Reply<StreamSummary>,
    },
    /// Removes `local/` alone.
    Uninstall {
        /// Which game.
        game_id: GameId,
        /// Whether to answer at the end.
        wait: bool,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Starts the setup script of an installed game; answers when it runs, and not when it ends.
    RunSetup {
        /// Which game.
        game_id: GameId,
        /// Where the answer goes.
        reply: Reply<SetupStarted>,
    },
    /// Deletes a downloaded game that is not installed from the disk, or what a download left that did
    /// not come to its end. Of the latter `local/` stays.
    RemoveDownload {
        /// Which game.
        game_id: GameId,
        /// Whether to answer at the end.
        wait: bool,
        /// Where the answer goes.
        reply: Reply<()>,
    },
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// No game.
    None,
    /// All games on this disk.
    AllGames,
    /// One game, as it is on this disk.
    Game(&'a GameId),
}

impl PeerCommand {
    /// What it is about: that has to be known before it is carried out.
    pub(crate) fn subject(&self) -> Subject<'_> {
        match self {
            Self::Status { .. }
            | Self::ListPeers { .. }
            | Self::Connect { .. }
            | Self::SetGameDir { .. }
            | Self::ListGames { scope: GameScope::Remote, .. } => Subject::None,
            Self::ListGames { scope: GameScope::All | GameScope::Local, .. } => Subject::AllGames,
            Self::GetGame { game_id, .. }
            | Self::Download { game_id, .. }
            | Self::Update { game_id, .. }
            | Self::CancelDownload { game_id, .. }
            | Self::Verify { game_id, .. }
            | Self::Install { game_id, .. }
            | Self::StreamInstall { game_id, .. }
            | Self::Uninstall { game_id, .. }
            | Self::RunSetup { game_id, .. }
            | Self::RemoveDownload { game_id, .. } => Subject::Game(game_id),
        }
    }
}

/// Which games [`PeerCommand::ListGames`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GameScope {
    /// Those on this disk and those of the peers.
    #[default]
    All,
    /// Those on this disk.
    Local,
    /// Those that at least one peer announces.
    Remote,
}

/// The answer to [`PeerCommand::StreamInstall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSummary {
    /// Which source sends the game, or has sent it.
    pub peer_id: PeerId,
    /// How many files it has.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// The answer to [`PeerCommand::Status`].
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
    /// none. The next download goes on from there, and [`PeerCommand::RemoveDownload`] deletes it.
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

/// The answer to [`PeerCommand::GetGame`].
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

/// The answer to [`PeerCommand::Download`].
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

/// The answer to [`PeerCommand::Verify`].
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
