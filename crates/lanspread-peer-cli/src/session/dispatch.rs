//! What is done about each command: the one `match` over all of them.

use std::time::Duration;

use futures_util::FutureExt;
use lanspread_peer::{AsOf, GameScope, PeerCommand, Reply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::{Session, shutting_down};
use crate::answers::Answer;
use crate::commands::Request;
use crate::convert::{all, game_details, path_text};
use crate::errors::ErrorBody;
use crate::protocol::commands::{Command, FILES_MAX, Scope};
use crate::protocol::results::CommandResult;
use crate::ticket::Ticket;
use crate::waits::EventPattern;

/// How long `wait-peers` waits when it does not say: three times what discovery takes on a slow LAN.
const WAIT_PEERS_DEFAULT_MS: u64 = 30_000;

impl Session {
    /// Begins a command, whose line has so many bytes.
    pub(super) fn begin(&mut self, Request { id, cmd, command }: Request, line_bytes: usize) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let is_question = command.is_question();
        let is_list = matches!(command, Command::ListGames { .. });
        let in_flight = InFlight { id, cmd, is_question, is_list, line_bytes };
        self.in_flight.insert(ticket, in_flight);
        let now = Instant::now();
        match command {
            Command::Status {} => {
                self.question(ticket, |reply| PeerCommand::Status { reply }, CommandResult::from);
            }
            Command::ListPeers {} => self.question(
                ticket,
                |reply| PeerCommand::ListPeers { reply },
                |peers| CommandResult::ListPeers { peers: all(peers) },
            ),
            Command::ListGames { scope } => self.question(
                ticket,
                |reply| PeerCommand::ListGames { scope: scope.unwrap_or_default().into(), reply },
                |games| CommandResult::ListGames { games: all(games) },
            ),
            Command::GetGame { game_id, files_from, files_max } => self.question(
                ticket,
                |reply| PeerCommand::GetGame { game_id, reply },
                move |details| {
                    game_details(details, files_from.unwrap_or(0), files_max.unwrap_or(FILES_MAX))
                },
            ),
            Command::Connect { addr } => self.ask(
                ticket,
                |reply| PeerCommand::Connect { addr, reply },
                |peer_id| CommandResult::Connect { peer_id },
            ),
            Command::SetGameDir { path } => self.ask(
                ticket,
                |reply| PeerCommand::SetGamesDir { path, reply },
                |path| CommandResult::SetGameDir { games_dir: path_text(&path) },
            ),
            Command::Download { game_id, content_root, install, wait } => {
                let wait = is(wait);
                self.ask(
                    ticket,
                    |reply| PeerCommand::Download { game_id, content_root, install, wait, reply },
                    |summary| CommandResult::Download(summary.into()),
                );
            }
            Command::Update { game_id, content_root, install, wait } => {
                let wait = is(wait);
                self.ask(
                    ticket,
                    |reply| PeerCommand::Update { game_id, content_root, install, wait, reply },
                    |summary| CommandResult::Update(summary.into()),
                );
            }
            Command::CancelDownload { game_id } => self.ask(
                ticket,
                |reply| PeerCommand::Cancel { game_id, reply },
                |()| CommandResult::CancelDownload {},
            ),
            Command::Verify { game_id, repair, wait } => self.ask(
                ticket,
                |reply| PeerCommand::Verify { game_id, repair: is(repair), wait: is(wait), reply },
                CommandResult::from,
            ),
            Command::Install { game_id, wait } => self.ask(
                ticket,
                |reply| PeerCommand::Install { game_id, wait: is(wait), reply },
                |()| CommandResult::Install {},
            ),
            Command::StreamInstall { game_id, content_root, wait } => {
                let wait = is(wait);
                self.ask(
                    ticket,
                    |reply| PeerCommand::StreamInstall { game_id, content_root, wait, reply },
                    CommandResult::from,
                );
            }
            Command::Uninstall { game_id, wait } => self.ask(
                ticket,
                |reply| PeerCommand::Uninstall { game_id, wait: is(wait), reply },
                |()| CommandResult::Uninstall {},
            ),
            Command::RemoveDownload { game_id, wait } => self.ask(
                ticket,
                |reply| PeerCommand::Remove { game_id, wait: is(wait), reply },
                |()| CommandResult::RemoveDownload {},
            ),
            Command::RunSetup { game_id } => self.ask(
                ticket,
                |reply| PeerCommand::RunSetup { game_id, reply },
                CommandResult::from,
            ),
            Command::WaitPeers { count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms.unwrap_or(WAIT_PEERS_DEFAULT_MS));
                let outcome = self.waits.for_peers(ticket, count, timeout, now);
                outcome.into_iter().for_each(|outcome| self.complete(ticket, outcome));
            }
            Command::WaitFor { event, r#where, timeout_ms, since_seq } => {
                let pattern = EventPattern { event, fields: r#where.unwrap_or_default() };
                let timeout = Duration::from_millis(timeout_ms);
                let outcome = self.waits.for_event(ticket, pattern, since_seq, timeout, now);
                outcome.into_iter().for_each(|outcome| self.complete(ticket, outcome));
            }
            Command::Shutdown {} => {
                self.stop_after_answers();
                self.complete(ticket, Ok(CommandResult::Shutdown {}));
            }
        }
    }

    /// Asks the runtime for something that is true at one moment.
    fn question<T: Send + 'static>(
        &mut self,
        ticket: Ticket,
        command: impl FnOnce(Reply<AsOf<T>>) -> PeerCommand,
        result: impl FnOnce(T) -> CommandResult + Send + 'static,
    ) {
        let result = |AsOf { events, value }| Answer::new(Some(events), || Ok(result(value)));
        self.expect(ticket, command, result);
    }

    /// Asks the runtime to do something.
    fn ask<T: Send + 'static, E: Send + 'static>(
        &mut self,
        ticket: Ticket,
        command: impl FnOnce(Reply<T, E>) -> PeerCommand,
        result: impl FnOnce(T) -> CommandResult + Send + 'static,
    ) where
        for<'a> ErrorBody: From<&'a E>,
    {
        self.expect(ticket, command, |value| Answer::new(None, || Ok(result(value))));
    }

    fn expect<T: Send + 'static, E: Send + 'static>(
        &mut self,
        ticket: Ticket,
        command: impl FnOnce(Reply<T, E>) -> PeerCommand,
        result: impl FnOnce(T) -> Answer + Send + 'static,
    ) where
        for<'a> ErrorBody: From<&'a E>,
    {
        let (reply, answer) = oneshot::channel::<Result<T, E>>();
        let answer = answer.map(|answer| match answer {
            Ok(Ok(value)) => result(value),
            Ok(Err(error)) => Answer::new(None, move || Err((&error).into())),
            // A dropped reply means that the runtime has stopped.
            Err(_) => Answer::new(None, || Err(shutting_down())),
        });
        self.answers.expect(ticket, answer.boxed());
        self.submit(command(reply));
    }
}

/// A flag that may be left out.
fn is(flag: Option<bool>) -> bool {
    flag.unwrap_or(false)
}

impl From<Scope> for GameScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Local => Self::Local,
            Scope::Remote => Self::Remote,
        }
    }
}
