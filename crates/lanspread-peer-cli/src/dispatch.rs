//! From a command to the runtime's command, and from its answer to an outcome.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lanspread_peer::{AsOf, CommandError, ConnectError, PeerCommand};
use tokio::sync::oneshot;

use crate::answers::Answer;
use crate::commands::PeerRequest;
use crate::convert::{
    command_error, connect_error, details_data, download_data, games_data, path_text, peers_data,
    setup_data, status_data, stream_data, verify_data,
};
use crate::errors::ErrorBody;
use crate::records::ResultData;

/// A command for the runtime, and its outcome to come.
pub(crate) struct Dispatched {
    pub(crate) command: PeerCommand,
    pub(crate) answer: BoxFuture<'static, Answer>,
}

/// Makes the command and what becomes of its answer.
pub(crate) fn dispatch(request: PeerRequest) -> Dispatched {
    match request {
        PeerRequest::Status => question(|reply| PeerCommand::Status { reply }, status_data),
        PeerRequest::ListPeers => question(|reply| PeerCommand::ListPeers { reply }, peers_data),
        PeerRequest::ListGames { scope } => {
            question(|reply| PeerCommand::ListGames { scope, reply }, games_data)
        }
        PeerRequest::GetGame { game_id, files } => question(
            |reply| PeerCommand::GetGame { game_id, reply },
            move |details| details_data(details, files),
        ),
        PeerRequest::Connect { addr } => {
            let (reply, answer) = oneshot::channel();
            let connected = |peer_id| (ResultData::Connected { peer_id }, None);
            let stopped = || connect_error(&ConnectError::ShuttingDown);
            let answer = outcome(answer, connected, |error| connect_error(&error), stopped);
            Dispatched { command: PeerCommand::Connect { addr, reply }, answer: answer.boxed() }
        }
        PeerRequest::SetGameDir { path } => ask(
            |reply| PeerCommand::SetGameDir { path, reply },
            |path| ResultData::GamesDir { games_dir: path_text(&path) },
        ),
        PeerRequest::Download { game_id, install, wait } => {
            ask(|reply| PeerCommand::Download { game_id, install, wait, reply }, download_data)
        }
        PeerRequest::Update { game_id, install, wait } => {
            ask(|reply| PeerCommand::Update { game_id, install, wait, reply }, download_data)
        }
        PeerRequest::CancelDownload { game_id } => {
            ask(|reply| PeerCommand::CancelDownload { game_id, reply }, done)
        }
        PeerRequest::Verify { game_id, repair, wait } => {
            ask(|reply| PeerCommand::Verify { game_id, repair, wait, reply }, verify_data)
        }
        PeerRequest::Install { game_id, wait } => {
            ask(|reply| PeerCommand::Install { game_id, wait, reply }, done)
        }
        PeerRequest::StreamInstall { game_id, wait } => {
            ask(|reply| PeerCommand::StreamInstall { game_id, wait, reply }, stream_data)
        }
        PeerRequest::Uninstall { game_id, wait } => {
            ask(|reply| PeerCommand::Uninstall { game_id, wait, reply }, done)
        }
        PeerRequest::RunSetup { game_id } => {
            ask(|reply| PeerCommand::RunSetup { game_id, reply }, setup_data)
        }
        PeerRequest::RemoveDownload { game_id, wait } => {
            ask(|reply| PeerCommand::RemoveDownload { game_id, wait, reply }, done)
        }
    }
}

fn done((): ()) -> ResultData {
    ResultData::Done {}
}

fn ask<T: Send + 'static>(
    command: impl FnOnce(lanspread_peer::Reply<T>) -> PeerCommand,
    data: impl FnOnce(T) -> ResultData + Send + 'static,
) -> Dispatched {
    let (reply, answer) = oneshot::channel();
    let stopped = || command_error(&CommandError::ShuttingDown);
    let data = |value| (data(value), None);
    let answer = outcome(answer, data, |error| command_error(&error), stopped);
    Dispatched { command: command(reply), answer: answer.boxed() }
}

fn question<T: Send + 'static>(
    command: impl FnOnce(lanspread_peer::Reply<AsOf<T>>) -> PeerCommand,
    data: impl FnOnce(T) -> ResultData + Send + 'static,
) -> Dispatched {
    let (reply, answer) = oneshot::channel();
    let stopped = || command_error(&CommandError::ShuttingDown);
    let data = |told: AsOf<T>| (data(told.value), Some(told.events));
    let answer = outcome(answer, data, |error| command_error(&error), stopped);
    Dispatched { command: command(reply), answer: answer.boxed() }
}

/// A dropped reply means that the runtime has stopped.
fn outcome<T: Send, E: Send>(
    answer: oneshot::Receiver<Result<T, E>>,
    data: impl FnOnce(T) -> (ResultData, Option<u64>) + Send,
    error: impl FnOnce(E) -> ErrorBody + Send,
    stopped: impl FnOnce() -> ErrorBody + Send,
) -> impl Future<Output = Answer> + Send {
    answer.map(|answer| match answer {
        Ok(Ok(value)) => {
            let (data, after_events) = data(value);
            Answer { outcome: Ok(data), after_events }
        }
        Ok(Err(fault)) => Answer { outcome: Err(error(fault)), after_events: None },
        Err(_) => Answer { outcome: Err(stopped()), after_events: None },
    })
}
