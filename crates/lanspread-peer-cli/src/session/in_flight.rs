//! The commands that have no terminal record yet, and how many there may be.

use std::collections::BTreeMap;

use crate::protocol::records::CommandId;
use crate::ticket::Ticket;

/// Commands without their terminal record. Beyond that no line is read: far more than an agent
/// needs at once, and their memory is small.
const COMMANDS_MAX: usize = 1024;
/// Bytes of their lines. Ids and patterns of waits are kept until the end, in some ten times as much memory.
const LINES_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Those among them that ask for all games: an answer about a catalog of 100,000 games has tens of MB, and comes
/// at once.
const LISTS_MAX: usize = 4;

/// A command in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: CommandId,
    pub(super) cmd: &'static str,
    /// It only asks, so that the answer comes soon.
    pub(super) is_question: bool,
    /// Its answer is as large as the catalog.
    pub(super) is_list: bool,
    pub(super) line_bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CommandsInFlight {
    commands: BTreeMap<Ticket, InFlight>,
    line_bytes: usize,
    lists: usize,
}

impl CommandsInFlight {
    /// Whether a further line may be read.
    pub(super) fn has_room(&self) -> bool {
        self.commands.len() < COMMANDS_MAX
            && self.line_bytes < LINES_MAX_BYTES
            && self.lists < LISTS_MAX
    }

    pub(super) fn insert(&mut self, ticket: Ticket, command: InFlight) {
        self.line_bytes += command.line_bytes;
        self.lists += usize::from(command.is_list);
        self.commands.insert(ticket, command);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<InFlight> {
        let command = self.commands.remove(&ticket)?;
        self.line_bytes -= command.line_bytes;
        self.lists -= usize::from(command.is_list);
        Some(command)
    }

    /// Whether one of them only asks.
    pub(super) fn has_question(&self) -> bool {
        self.commands.values().any(|command| command.is_question)
    }

    /// Takes all of them, in the order of their lines.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = InFlight> + use<> {
        std::mem::take(self).commands.into_values()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn command(is_list: bool, line_bytes: usize) -> InFlight {
        let id = CommandId::new(RawValue::from_string("1".to_owned()).unwrap()).unwrap();
        InFlight { id, cmd: "status", is_question: true, is_list, line_bytes }
    }

    /// How many such commands are taken before there is no room, and that there is room again after each end.
    fn taken(is_list: bool, line_bytes: usize) -> usize {
        let mut in_flight = CommandsInFlight::default();
        let mut count = 0;
        while in_flight.has_room() {
            in_flight.insert(Ticket(count), command(is_list, line_bytes));
            count += 1;
        }
        assert!(in_flight.remove(Ticket(0)).is_some() && in_flight.has_room());
        assert!(in_flight.remove(Ticket(0)).is_none() && in_flight.has_question());
        let rest = in_flight.take_all().count();
        assert_eq!((in_flight.line_bytes, in_flight.lists), (0, 0));
        rest + 1
    }

    #[test]
    fn commands_are_bounded_in_number_in_bytes_and_by_their_answers() {
        assert_eq!(taken(false, 40), COMMANDS_MAX);
        assert_eq!(taken(false, 1024 * 1024), 4);
        assert_eq!(taken(true, 40), LISTS_MAX);
    }
}
