//! What the command loop is told by the tasks around it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_download::error::RemoveFailure;
use lanspread_download::{DownloadEnd, DownloadNotice, DownloadOutcome};
use lanspread_install::error::{InstallFailure, SetupFailure, StreamFailure};
use lanspread_install::setup::SetupStarted;
use lanspread_install::{InstallSummary, StreamNotice, StreamedGame};
use lanspread_library::{
    HashError, Hashed, LocalGame, QuickScan, RemoteDelta, RemoteLibrary, Scan, ScanError,
    ScanWarning, VerifyFailure,
};
use lanspread_net::handshake::{Admitted, HandshakeError};
use lanspread_net::link::{LinkId, PeerLink};
use lanspread_proto::{Attributes, ContentHash, GameId, Manifest, PeerId, SourceError};
use lanspread_serve::Contradiction;
use lanspread_serve::outbound::OutboundCount;
use lanspread_serve::session::{SessionEvent, SessionObserver};
use lanspread_transfer::consensus::VoteCount;
use tokio::sync::mpsc;

use crate::command::{GameScope, Reply};
use crate::error::{ConnectError, GamesDirError, RuntimeFailure};
use crate::info::{AsOf, DownloadSummary, GameDetails, GameInfo, VerifyReport};
use crate::peers::dialling::Attempt;

/// Where tasks send what they have to tell.
pub(crate) type InboxSender = mpsc::Sender<InboxMessage>;

/// Passes on to the command loop what happens in sessions.
pub(crate) struct SessionEvents(pub(crate) InboxSender);

impl SessionObserver for SessionEvents {
    fn on_session_event(&self, link: &PeerLink, event: SessionEvent) -> BoxFuture<'static, ()> {
        let (inbox_sender, peer_id, link_id) = (self.0.clone(), link.peer_id(), link.id);
        let message = match event {
            SessionEvent::Delta(delta) => InboxMessage::Delta { peer_id, link_id, delta },
            SessionEvent::Goodbye => InboxMessage::Goodbye { peer_id, link_id },
            SessionEvent::HashesWanted(game_id) => InboxMessage::HashesWanted { game_id },
            SessionEvent::Ended { is_conflict } => {
                InboxMessage::LinkDown { peer_id, link_id, is_conflict }
            }
        };
        async move {
            // The loop is gone only when the whole runtime is.
            let _ = inbox_sender.send(message).await;
        }
        .boxed()
    }
}

/// Everything that can happen to the command loop besides commands and shutdown.
pub(crate) enum InboxMessage {
    /// A handshake ended.
    HandshakeEnded(Encounter),
    /// A handshake ended with a peer that has a connection already and says that it was started anew;
    /// it is known now whether that connection is alive.
    Contested(Box<Contest>),
    /// No other peer with the identity of this one is being looked for any more.
    ClonesLookedFor,
    /// A connection is gone; `is_conflict` where the other side knows another peer of this identity.
    LinkDown { peer_id: PeerId, link_id: LinkId, is_conflict: bool },
    /// Somebody needs a connection to a peer that has none.
    LinkNeeded { peer_id: PeerId },
    /// A peer told what changed in its library.
    Delta { peer_id: PeerId, link_id: LinkId, delta: RemoteDelta },
    /// A peer answered what its library is, or did not.
    Library { peer_id: PeerId, link_id: LinkId, outcome: Result<RemoteLibrary, SourceError> },
    /// By now, what a peer has told of its library is known, or was lost.
    LibraryBehind { peer_id: PeerId, told_rev: u64 },
    /// A peer is leaving.
    Goodbye { peer_id: PeerId, link_id: LinkId },
    /// A ping on a connection was answered, or not.
    Pinged { peer_id: PeerId, link_id: LinkId, is_answered: bool },
    /// It is time to judge who has fallen silent.
    JudgeSilence,
    /// mDNS can work, or cannot for this reason.
    Mdns(Result<(), String>),
    /// The number of peers that fetch a game changed.
    Outbound(OutboundCount),
    /// A whole games directory was scanned on the way to becoming the one in use.
    GamesDirScanned { outcome: Result<(PathBuf, Scan), GamesDirError>, reply: Reply<PathBuf> },
    /// Games were looked at for the first time since the start.
    FirstLookProgress { games_dir: PathBuf, outcome: Result<FirstLookBatch, ScanError> },
    /// What only a disk or a source knows of a game was looked up.
    GameLookedUp(GameLookup),
    /// What unfinished downloads take was looked up.
    GamesLookedUp {
        scope: GameScope,
        unfinished: BTreeMap<GameId, u64>,
        reply: Reply<AsOf<Vec<GameInfo>>>,
    },
    /// A peer waits for the hashes of a game.
    HashesWanted { game_id: GameId },
    /// The files of a game were hashed.
    Hashed { game_id: GameId, scanned: LocalGame, outcome: Result<Hashed, HashError> },
    /// By now, files that are read again are told from files that change.
    Settled { game_id: GameId },
    /// What was read of a game is not what is known of it.
    Contradicted(Contradiction),
    /// Something on the disk may have changed.
    DiskChanged(DiskChange),
    /// The roots of a games directory were listed.
    QuickScanned {
        games_dir: PathBuf,
        /// In which mount it lay all the time; `None` where that changed, or is not known.
        mount: Option<u64>,
        outcome: Result<BTreeMap<GameId, QuickScan>, ScanError>,
    },
    /// The roots of these games were looked at; those that were not found are not there.
    Rescanned {
        games_dir: PathBuf,
        game_ids: BTreeSet<GameId>,
        outcome: Result<BTreeMap<GameId, LocalGame>, ScanError>,
    },
    /// The root of a game was looked at that seems to be up to date.
    UpdateLooked { fetch: Fetch, local: Option<LocalGame> },
    /// A verification is that far.
    VerifyProgress { game_id: GameId, bytes_done: u64, bytes_total: u64 },
    /// A verification ended.
    VerifyEnded { game_id: GameId, outcome: Result<Verified, VerifyFailure> },
    /// A download has something to tell.
    DownloadNotice { game_id: GameId, notice: DownloadNotice },
    /// A download ended, and the root was looked at.
    DownloadEnded {
        game_id: GameId,
        outcome: Result<DownloadOutcome, DownloadEnd>,
        local: Option<LocalGame>,
    },
    /// An installation is that far.
    InstallProgress { game_id: GameId, bytes_done: u64 },
    /// An installation ended, and the root was looked at.
    InstallEnded {
        game_id: GameId,
        outcome: Result<InstallSummary, InstallFailure>,
        local: Option<LocalGame>,
    },
    /// A streamed installation has something to tell.
    StreamNotice { game_id: GameId, notice: StreamNotice },
    /// The sources of a streamed installation have voted on its content.
    StreamVoted { game_id: GameId, count: VoteCount },
    /// A streamed installation ended, and the root was looked at.
    StreamEnded {
        game_id: GameId,
        outcome: Result<StreamedGame, StreamFailure>,
        local: Option<LocalGame>,
    },
    /// An uninstallation ended, and the root was looked at.
    UninstallEnded {
        game_id: GameId,
        outcome: Result<(), InstallFailure>,
        local: Option<LocalGame>,
    },
    /// It was looked whether there is an unfinished download to remove.
    UnfinishedLooked { game_id: GameId, is_there: bool, wait: bool, reply: Reply<()> },
    /// A removal ended, and the root was looked at.
    RemoveEnded {
        game_id: GameId,
        /// The root, if something of it stayed.
        outcome: Result<Option<PathBuf>, RemoveFailure>,
        local: Option<LocalGame>,
    },
    /// A setup script was started, or not.
    SetupStarted {
        game_id: GameId,
        outcome: Result<SetupStarted, SetupFailure>,
        reply: Reply<SetupStarted>,
    },
    /// A required service died.
    ServiceDied(RuntimeFailure),
}

/// What may have changed on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskChange {
    /// The roots of these games.
    Games(BTreeSet<GameId>),
    /// Anything, the games directory itself included.
    Anything,
}

/// A handshake that ended one way or the other.
pub(crate) struct Encounter {
    /// Where the other side is.
    pub(crate) addr: SocketAddr,
    /// Why this side dialled; `None` where the other side did.
    pub(crate) dial: Option<DialFor>,
    /// What came of it.
    pub(crate) outcome: Result<Admitted, HandshakeError>,
}

/// Two connections to one identity from different starts of a peer.
pub(crate) struct Contest {
    /// Where the newer one leads.
    pub(crate) addr: SocketAddr,
    /// Why this side dialled it; `None` where the other side did.
    pub(crate) dial: Option<DialFor>,
    /// The newer one.
    pub(crate) admitted: Admitted,
    /// The older one.
    pub(crate) old: LinkId,
    /// Whether the older one still gives signs of life.
    pub(crate) is_alive: bool,
}

/// Why a peer was dialled.
#[derive(Debug)]
pub(crate) enum DialFor {
    /// Discovery found it, or it is known and has lost its connection, or doubts that.
    Peer(PeerId, Attempt),
    /// A command asks for it.
    Command(Reply<PeerId, ConnectError>),
}

/// A `download` or `update` command, or what a `verify` command that repairs makes of itself.
pub(crate) struct Fetch {
    pub(crate) game_id: GameId,
    pub(crate) is_update: bool,
    pub(crate) copy: CopyCheck,
    /// The one content that is wanted.
    pub(crate) content_root: Option<ContentHash>,
    pub(crate) install: Option<bool>,
    pub(crate) wait: bool,
    pub(crate) reply: Reply<DownloadSummary>,
}

/// What is known of the copy that an update would replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyCheck {
    /// What the library says. If that is that it is up to date, the disk is asked.
    Known,
    /// What the disk says.
    Looked,
    /// It is wrong: a verification has said so.
    IsWrong,
}

/// What a part of a first look found.
#[derive(Default)]
pub(crate) struct FirstLookBatch {
    /// `None` where there is neither a download nor an installation.
    pub(crate) games: Vec<(GameId, Option<LocalGame>)>,
    pub(crate) warnings: Vec<ScanWarning>,
    pub(crate) is_last: bool,
}

/// What was looked up of a game that somebody asks about.
pub(crate) struct GameLookup {
    pub(crate) game_id: GameId,
    /// As a source tells it; absent where it is known here.
    pub(crate) told: Option<ManifestClaim>,
    /// Whether a setup script was started, of an installation that may be gone.
    pub(crate) setup_done: bool,
    /// Bytes that an unfinished download takes, if there is one.
    pub(crate) unfinished: Option<u64>,
    pub(crate) reply: Reply<AsOf<GameDetails>>,
}

/// What a source tells of a game.
#[derive(Debug, Clone)]
pub(crate) struct ManifestClaim {
    pub(crate) manifest: Arc<Manifest>,
    /// `None` where they did not come.
    pub(crate) attributes: Option<Arc<Attributes>>,
}

/// What a verification found.
pub(crate) struct Verified {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) local: Option<LocalGame>,
    pub(crate) report: VerifyReport,
}
