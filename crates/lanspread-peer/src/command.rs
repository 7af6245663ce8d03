//! What a peer can be told and asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_install::setup::SetupStarted;
use lanspread_proto::{ContentHash, GameId, PeerId};
use tokio::sync::oneshot;

use crate::error::{CommandError, ConnectError};
use crate::info::{
    AsOf, DownloadSummary, GameDetails, GameInfo, PeerInfo, PeerStatus, StreamSummary,
    VerifySummary,
};

/// Where the answer to a command goes. Dropping the receiver does not undo the command.
pub type Reply<T, E = CommandError> = oneshot::Sender<Result<T, E>>;

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
    SetGamesDir {
        /// The new games directory.
        path: PathBuf,
        /// Where the answer goes: the canonical path.
        reply: Reply<PathBuf>,
    },
    /// Fetches a game from its sources. What is installed stays as it is.
    Download {
        /// Which game.
        game_id: GameId,
        /// The one content that is wanted, as a root of the catalog; `None` leaves it to the catalog, else
        /// to the sources.
        content_root: Option<ContentHash>,
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
        /// The one content that is wanted, as for [`Self::Download`].
        content_root: Option<ContentHash>,
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
    Cancel {
        /// Which game.
        game_id: GameId,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Reads a downloaded game and says what is wrong with it. Ended by `Cancel` as well.
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
        /// The one content that is wanted, as for [`Self::Download`].
        content_root: Option<ContentHash>,
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
    Remove {
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
            | Self::SetGamesDir { .. }
            | Self::ListGames { scope: GameScope::Remote, .. } => Subject::None,
            Self::ListGames { scope: GameScope::All | GameScope::Local, .. } => Subject::AllGames,
            Self::GetGame { game_id, .. }
            | Self::Download { game_id, .. }
            | Self::Update { game_id, .. }
            | Self::Cancel { game_id, .. }
            | Self::Verify { game_id, .. }
            | Self::Install { game_id, .. }
            | Self::StreamInstall { game_id, .. }
            | Self::Uninstall { game_id, .. }
            | Self::RunSetup { game_id, .. }
            | Self::Remove { game_id, .. } => Subject::Game(game_id),
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
