//! The handle of a running peer: its public face.
//!
//! A method sends one [`PeerCommand`] and returns the answer. Operations have two steps: a method names
//! the operation and returns a builder, and `start` or `wait` begins it.

mod operations;

use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_install::setup::SetupStarted;
use lanspread_proto::{GameId, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::operations::{Download, PendingOperation, StreamedInstallation, Verification};
use crate::command::{GameScope, PeerCommand, Reply};
use crate::error::{CommandError, ConnectError, RuntimeFailure};
use crate::info::{AsOf, GameDetails, GameInfo, PeerInfo, PeerStatus};

/// A running peer. Dropping the handle stops it without waiting.
///
/// Every method but [`Self::begin_shutdown`] needs the peer to run: once it stops, the answer is
/// [`CommandError::ShuttingDown`] or [`ConnectError::ShuttingDown`].
///
/// # Cancellation
/// A future that is dropped before it is polled, or while 256 earlier commands wait, sends no command. Commands wait
/// while 1,024 beginnings and ends of operations are unread ([`crate::EventClass::Kept`]). After
/// that the peer carries the command out, and only the answer is lost. [`Self::cancel`] ends an operation.
#[derive(Debug)]
pub struct PeerRuntimeHandle {
    peer_id: PeerId,
    listen_addr: SocketAddr,
    commands: mpsc::Sender<PeerCommand>,
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), RuntimeFailure>>>,
}

impl PeerRuntimeHandle {
    pub(crate) fn new(
        peer_id: PeerId,
        listen_addr: SocketAddr,
        commands: mpsc::Sender<PeerCommand>,
        shutdown: CancellationToken,
        task: JoinHandle<Result<(), RuntimeFailure>>,
    ) -> Self {
        Self { peer_id, listen_addr, commands, shutdown, task: Some(task) }
    }

    /// Returns the identity of the peer.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Returns the address at which the peer listens, with the real port.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// Returns the state of the peer: its settings, its operations and whom it serves.
    ///
    /// # Errors
    /// [`CommandError::ShuttingDown`].
    pub async fn status(&self) -> Result<AsOf<PeerStatus>, CommandError> {
        self.ask(|reply| PeerCommand::Status { reply }).await
    }

    /// Returns the known peers, in peer id order.
    ///
    /// # Errors
    /// [`CommandError::ShuttingDown`].
    pub async fn list_peers(&self) -> Result<AsOf<Vec<PeerInfo>>, CommandError> {
        self.ask(|reply| PeerCommand::ListPeers { reply }).await
    }

    /// Returns the known games of the catalog that are in `scope`, in game id order.
    ///
    /// In the first second after a start, a question about games on this disk waits until all of them were
    /// looked at.
    ///
    /// # Errors
    /// [`CommandError::ShuttingDown`].
    pub async fn list_games(&self, scope: GameScope) -> Result<AsOf<Vec<GameInfo>>, CommandError> {
        self.ask(|reply| PeerCommand::ListGames { scope, reply }).await
    }

    /// Returns all that is known of a game. Asks a source for the files of a game that is not downloaded.
    ///
    /// # Errors
    /// [`CommandError::UnknownGame`] or [`CommandError::ShuttingDown`].
    pub async fn get_game(&self, game_id: GameId) -> Result<AsOf<GameDetails>, CommandError> {
        self.ask(|reply| PeerCommand::GetGame { game_id, reply }).await
    }

    /// Connects to the peer that listens at `addr`. Returns its identity once both know each other's library.
    ///
    /// # Errors
    /// [`ConnectError`] when no peer answers there, when one side refuses the other, or when the address is
    /// this peer's own.
    pub async fn connect(&self, addr: SocketAddr) -> Result<PeerId, ConnectError> {
        let command = |reply| PeerCommand::Connect { addr, reply };
        ask(&self.commands, command).await.unwrap_or(Err(ConnectError::ShuttingDown))
    }

    /// Changes the games directory. Returns its canonical path once its games are announced.
    ///
    /// # Errors
    /// [`CommandError::GamesDir`] when the directory cannot be used, [`CommandError::OperationsActive`] while
    /// games are worked on, [`CommandError::ChangingGamesDir`] during another change, or
    /// [`CommandError::ShuttingDown`].
    pub async fn set_game_dir(&self, path: impl Into<PathBuf>) -> Result<PathBuf, CommandError> {
        let path = path.into();
        self.ask(|reply| PeerCommand::SetGamesDir { path, reply }).await
    }

    /// Describes a download of a game that is not on this disk. An installation stays as it is.
    pub fn download(&self, game_id: GameId) -> Download {
        Download::new(self.commands.clone(), game_id, false)
    }

    /// Describes a download that replaces the copy of the game on this disk, where there is one. Its events
    /// and its cancellation are those of a download.
    pub fn update(&self, game_id: GameId) -> Download {
        Download::new(self.commands.clone(), game_id, true)
    }

    /// Describes a verification: a downloaded game is read and held against what it should be.
    pub fn verify(&self, game_id: GameId) -> Verification {
        Verification::new(self.commands.clone(), game_id)
    }

    /// Describes an installation: the archives of a downloaded game are unpacked into `local/`.
    pub fn install(&self, game_id: GameId) -> PendingOperation<()> {
        let command = |game_id, wait, reply| PeerCommand::Install { game_id, wait, reply };
        PendingOperation::new(self.commands.clone(), game_id, command)
    }

    /// Describes an installation of a game that is not downloaded, from what a source unpacks. No archive is
    /// stored; an old `local/` is replaced whole.
    pub fn stream_install(&self, game_id: GameId) -> StreamedInstallation {
        StreamedInstallation::new(self.commands.clone(), game_id)
    }

    /// Describes the removal of `local/` alone.
    pub fn uninstall(&self, game_id: GameId) -> PendingOperation<()> {
        let command = |game_id, wait, reply| PeerCommand::Uninstall { game_id, wait, reply };
        PendingOperation::new(self.commands.clone(), game_id, command)
    }

    /// Describes the deletion of a downloaded game that is not installed, or of what an unfinished download
    /// left. Of the latter `local/` stays.
    pub fn remove(&self, game_id: GameId) -> PendingOperation<()> {
        let command = |game_id, wait, reply| PeerCommand::Remove { game_id, wait, reply };
        PendingOperation::new(self.commands.clone(), game_id, command)
    }

    /// Ends the download, update, verification or installation of a game. Returns after the terminal event.
    ///
    /// What a download brought is discarded, and an installation is rolled back.
    ///
    /// # Errors
    /// [`CommandError::NotDownloading`] when there is nothing to end, or it ended well before. Another error
    /// is the one with which the operation ended.
    pub async fn cancel(&self, game_id: GameId) -> Result<(), CommandError> {
        self.ask(|reply| PeerCommand::Cancel { game_id, reply }).await
    }

    /// Starts the setup script of an installed game. Returns when the script runs, and not when it ends.
    ///
    /// # Errors
    /// [`CommandError::NotInstalled`], [`CommandError::GameBusy`], [`CommandError::SetupStarting`],
    /// [`CommandError::Setup`] when the script cannot be started, [`CommandError::UnknownGame`] or
    /// [`CommandError::ShuttingDown`].
    pub async fn run_setup(&self, game_id: GameId) -> Result<SetupStarted, CommandError> {
        self.ask(|reply| PeerCommand::RunSetup { game_id, reply }).await
    }

    /// Returns where commands go, for whoever makes its own [`PeerCommand`]s. Sending fails once the peer has
    /// stopped.
    #[must_use]
    pub fn sender(&self) -> mpsc::Sender<PeerCommand> {
        self.commands.clone()
    }

    /// Begins a clean stop: goodbyes are said, operations are cancelled, and within 2 s all is
    /// ended. Calling it again changes nothing.
    pub fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the peer has stopped; [`crate::PeerEvent::Stopped`] was sent by then. Cancel safe.
    ///
    /// # Errors
    /// [`RuntimeFailure`] when it stopped because a required service died.
    pub async fn wait_stopped(&mut self) -> Result<(), RuntimeFailure> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let outcome = task.await;
        self.task = None;
        outcome.unwrap_or_else(|e| {
            Err(RuntimeFailure { service: "command loop", message: e.to_string() })
        })
    }

    /// Stops the peer as [`Self::begin_shutdown`] does, and waits for that, 2 s at most. A dropped future leaves
    /// the peer stopping.
    ///
    /// # Errors
    /// [`RuntimeFailure`] when a required service had died before.
    pub async fn shutdown(mut self) -> Result<(), RuntimeFailure> {
        self.begin_shutdown();
        self.wait_stopped().await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> PeerCommand,
    ) -> Result<T, CommandError> {
        ask(&self.commands, command).await.unwrap_or(Err(CommandError::ShuttingDown))
    }
}

impl Drop for PeerRuntimeHandle {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Sends a command. Returns its answer, or `None` when the peer stops.
async fn ask<T, E>(
    commands: &mpsc::Sender<PeerCommand>,
    command: impl FnOnce(Reply<T, E>) -> PeerCommand,
) -> Option<Result<T, E>> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.ok()?;
    answer.await.ok()
}
