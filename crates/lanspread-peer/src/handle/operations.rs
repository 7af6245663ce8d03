//! Operations that a handle describes and that have not begun.

use lanspread_proto::{ContentHash, GameId};
use tokio::sync::mpsc;

use super::ask;
use crate::command::{PeerCommand, Reply};
use crate::error::CommandError;
use crate::info::{DownloadSummary, StreamSummary, VerifySummary};

/// Where the commands of a handle go.
type Commands = mpsc::Sender<PeerCommand>;

async fn run<T>(
    commands: &Commands,
    command: impl FnOnce(Reply<T>) -> PeerCommand,
) -> Result<T, CommandError> {
    ask(commands, command).await.unwrap_or(Err(CommandError::ShuttingDown))
}

/// A download or update that has not begun.
///
/// # Errors
/// [`Self::start`] and [`Self::wait`] fail with [`CommandError::UnknownGame`], [`CommandError::NoSource`],
/// [`CommandError::GameBusy`], [`CommandError::OtherContentRoot`], [`CommandError::AlreadyDownloaded`] (a
/// download) or [`CommandError::UpToDate`] (an update) before anything is fetched. Later failures are
/// [`CommandError::Download`], [`CommandError::AllPeersGone`], [`CommandError::Cancelled`] and, with an
/// installation, [`CommandError::Install`].
///
/// # Cancellation
/// Dropping the future of `start` or `wait` leaves the download running.
/// [`crate::PeerRuntimeHandle::cancel`] ends it.
#[derive(Debug)]
#[must_use = "a download begins with `start` or `wait`"]
pub struct Download {
    commands: Commands,
    game_id: GameId,
    is_update: bool,
    content_root: Option<ContentHash>,
    install: Option<bool>,
}

impl Download {
    pub(super) fn new(commands: Commands, game_id: GameId, is_update: bool) -> Self {
        Self { commands, game_id, is_update, content_root: None, install: None }
    }

    /// Sets the one content that is wanted, as after a [`lanspread_net::dispute::ContentDispute`]. Sources
    /// with another one are not used.
    pub fn content_root(self, content_root: ContentHash) -> Self {
        Self { content_root: Some(content_root), ..self }
    }

    /// Sets whether to install the game afterwards. [`crate::PeerConfig::auto_install`] is the default. Only
    /// an update replaces an old installation.
    pub fn install(self, install: bool) -> Self {
        Self { install: Some(install), ..self }
    }

    /// Begins the download. Returns when the first chunks are asked for: files and bytes of the game, and the
    /// peers that serve it.
    ///
    /// # Errors
    /// See [`Download`].
    pub async fn start(self) -> Result<DownloadSummary, CommandError> {
        self.run(false).await
    }

    /// Runs the download, and the installation where there is one. Returns after the terminal event was sent.
    ///
    /// # Errors
    /// See [`Download`].
    pub async fn wait(self) -> Result<DownloadSummary, CommandError> {
        self.run(true).await
    }

    async fn run(self, wait: bool) -> Result<DownloadSummary, CommandError> {
        let Self { commands, game_id, is_update, content_root, install } = self;
        let command = |reply| match is_update {
            false => PeerCommand::Download { game_id, content_root, install, wait, reply },
            true => PeerCommand::Update { game_id, content_root, install, wait, reply },
        };
        run(&commands, command).await
    }
}

/// A verification that has not begun.
///
/// # Errors
/// [`Self::start`] and [`Self::wait`] fail with [`CommandError::UnknownGame`],
/// [`CommandError::NotDownloaded`] or [`CommandError::GameBusy`] before anything is read. Later failures are
/// [`CommandError::Verify`] and, with a repair, those of [`Download`]. A game that is not what it should be
/// is no failure: the report says so.
///
/// # Cancellation
/// Dropping the future of `start` or `wait` leaves the verification running.
/// [`crate::PeerRuntimeHandle::cancel`] ends it.
#[derive(Debug)]
#[must_use = "a verification begins with `start` or `wait`"]
pub struct Verification {
    commands: Commands,
    game_id: GameId,
    repair: bool,
}

impl Verification {
    pub(super) fn new(commands: Commands, game_id: GameId) -> Self {
        Self { commands, game_id, repair: false }
    }

    /// Sets whether to fetch from sources what is wrong, as an update does. `false` is the default.
    pub fn repair(self, repair: bool) -> Self {
        Self { repair, ..self }
    }

    /// Begins the verification. Returns files and bytes of the game at once, without a report.
    ///
    /// # Errors
    /// See [`Verification`].
    pub async fn start(self) -> Result<VerifySummary, CommandError> {
        self.run(false).await
    }

    /// Runs the verification, and the repair where there is one. Returns the report after the terminal event
    /// was sent.
    ///
    /// # Errors
    /// See [`Verification`].
    pub async fn wait(self) -> Result<VerifySummary, CommandError> {
        self.run(true).await
    }

    async fn run(self, wait: bool) -> Result<VerifySummary, CommandError> {
        let Self { commands, game_id, repair } = self;
        run(&commands, |reply| PeerCommand::Verify { game_id, repair, wait, reply }).await
    }
}

/// A streamed installation that has not begun.
///
/// # Errors
/// [`Self::start`] and [`Self::wait`] fail with [`CommandError::UnknownGame`], [`CommandError::NoSource`],
/// [`CommandError::GameBusy`], [`CommandError::OtherContentRoot`] or
/// [`CommandError::AlreadyDownloaded`] before anything is fetched. Later failures are
/// [`CommandError::Stream`].
///
/// # Cancellation
/// Dropping the future of `start` or `wait` leaves the installation running.
/// [`crate::PeerRuntimeHandle::cancel`] ends it and rolls it back.
#[derive(Debug)]
#[must_use = "a streamed installation begins with `start` or `wait`"]
pub struct StreamedInstallation {
    commands: Commands,
    game_id: GameId,
    content_root: Option<ContentHash>,
}

impl StreamedInstallation {
    pub(super) fn new(commands: Commands, game_id: GameId) -> Self {
        Self { commands, game_id, content_root: None }
    }

    /// Sets the one content that sources must claim, as for a [`Download`].
    pub fn content_root(self, content_root: ContentHash) -> Self {
        Self { content_root: Some(content_root), ..self }
    }

    /// Begins the installation. Returns when a source has said how many files and bytes it will send.
    ///
    /// # Errors
    /// See [`StreamedInstallation`].
    pub async fn start(self) -> Result<StreamSummary, CommandError> {
        self.run(false).await
    }

    /// Runs the installation. Returns after the terminal event was sent.
    ///
    /// # Errors
    /// See [`StreamedInstallation`].
    pub async fn wait(self) -> Result<StreamSummary, CommandError> {
        self.run(true).await
    }

    async fn run(self, wait: bool) -> Result<StreamSummary, CommandError> {
        let Self { commands, game_id, content_root } = self;
        let command = |reply| PeerCommand::StreamInstall { game_id, content_root, wait, reply };
        run(&commands, command).await
    }
}

/// An installation, uninstallation or removal that has not begun.
///
/// # Errors
/// [`Self::start`] and [`Self::wait`] fail with [`CommandError::UnknownGame`], [`CommandError::GameBusy`], or
/// the error for a game that is not as the operation needs it: [`CommandError::NotDownloaded`],
/// [`CommandError::AlreadyInstalled`], [`CommandError::NotInstalled`] or
/// [`CommandError::StillInstalled`]. Later failures are [`CommandError::Install`] and
/// [`CommandError::Remove`].
///
/// # Cancellation
/// Dropping the future of `start` or `wait` leaves the operation running.
/// [`crate::PeerRuntimeHandle::cancel`] ends an installation and rolls it back. What is being deleted is
/// deleted to the end.
#[derive(Debug)]
#[must_use = "an operation begins with `start` or `wait`"]
pub struct PendingOperation<T> {
    commands: Commands,
    game_id: GameId,
    command: fn(GameId, bool, Reply<T>) -> PeerCommand,
}

impl<T> PendingOperation<T> {
    pub(super) fn new(
        commands: Commands,
        game_id: GameId,
        command: fn(GameId, bool, Reply<T>) -> PeerCommand,
    ) -> Self {
        Self { commands, game_id, command }
    }

    /// Begins the operation. Returns when it has begun.
    ///
    /// # Errors
    /// See [`PendingOperation`].
    pub async fn start(self) -> Result<T, CommandError> {
        self.run(false).await
    }

    /// Runs the operation. Returns after the terminal event was sent.
    ///
    /// # Errors
    /// See [`PendingOperation`].
    pub async fn wait(self) -> Result<T, CommandError> {
        self.run(true).await
    }

    async fn run(self, wait: bool) -> Result<T, CommandError> {
        let Self { commands, game_id, command } = self;
        run(&commands, |reply| command(game_id, wait, reply)).await
    }
}
