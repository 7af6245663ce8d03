//! The engine's part about sources: who comes and who goes.

use std::sync::Arc;
use std::time::Duration;

use lanspread_net::source::Source;
use lanspread_proto::PeerId;

use super::{Engine, Stage};

impl Engine {
    pub(super) fn join(&mut self, source: Arc<dyn Source>) {
        self.retry.joined(source.peer_id());
        self.sources.insert(source.peer_id(), Arc::clone(&source));
        self.invite(source);
    }

    /// Asks those once more that were given up for a while.
    pub(super) fn invite_again(&mut self, now: Duration) {
        if !matches!(self.stage, Stage::Transferring(_)) {
            return;
        }
        for peer in self.retry.due(now) {
            if let Some(source) = self.sources.get(&peer) {
                self.invite(Arc::clone(source));
            }
        }
    }

    pub(super) fn invite(&mut self, source: Arc<dyn Source>) {
        let peer = source.peer_id();
        match &mut self.stage {
            Stage::Gathering(gathering) => gathering.asked(peer),
            Stage::Describing(description) => description.asked(peer),
            Stage::Transferring(transfer) => {
                if !transfer.joining(peer) {
                    return;
                }
            }
            Stage::Committing(_) => return,
        }
        let request = self.get_game(false);
        self.requests.ask_head(source, request);
    }

    pub(super) fn leave(&mut self, peer: PeerId) {
        let now = self.now();
        self.retry.left(peer);
        let (was_source, is_part) = match &mut self.stage {
            Stage::Gathering(gathering) => {
                gathering.left(peer);
                (true, false)
            }
            Stage::Describing(description) => {
                description.left(peer);
                (true, false)
            }
            Stage::Transferring(transfer) => (transfer.left(peer, now), transfer.is_part(peer)),
            Stage::Committing(_) => (true, false),
        };
        if was_source {
            self.requests.end_all_of(peer);
        }
        if !is_part {
            self.sources.remove(&peer);
        }
    }
}
