//! At most one operation per game.

use std::collections::BTreeMap;

use lanspread_proto::GameId;

use crate::operation::{ActiveOperation, Operation};

/// Which operation each game is under. Pure; owned by the command loop.
#[derive(Debug, Default)]
pub(crate) struct OperationTable {
    active: BTreeMap<GameId, Operation>,
}

impl OperationTable {
    /// Marks a game, unless something is being done with it: then says what.
    pub(crate) fn begin(
        &mut self,
        game_id: &GameId,
        operation: Operation,
    ) -> Result<(), Operation> {
        match self.active.get(game_id) {
            Some(active) => Err(*active),
            None => {
                self.active.insert(game_id.clone(), operation);
                Ok(())
            }
        }
    }

    /// Clears a game.
    pub(crate) fn end(&mut self, game_id: &GameId) {
        self.active.remove(game_id);
    }

    /// What is being done with a game.
    pub(crate) fn get(&self, game_id: &GameId) -> Option<Operation> {
        self.active.get(game_id).copied()
    }

    /// All that is going on, in game id order.
    pub(crate) fn all(&self) -> Vec<ActiveOperation> {
        self.active
            .iter()
            .map(|(game_id, operation)| ActiveOperation {
                game_id: game_id.clone(),
                operation: *operation,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_takes_one_operation_at_a_time() {
        let quake = GameId::new("quake").unwrap();
        let doom = GameId::new("doom").unwrap();
        let mut table = OperationTable::default();
        assert_eq!(table.begin(&quake, Operation::Downloading), Ok(()));
        assert_eq!(table.begin(&quake, Operation::Installing), Err(Operation::Downloading));
        assert_eq!(table.begin(&doom, Operation::Installing), Ok(()));
        assert_eq!(table.all().len(), 2);
        table.end(&quake);
        assert_eq!(table.get(&quake), None);
        assert_eq!(table.begin(&quake, Operation::Installing), Ok(()));
    }
}
