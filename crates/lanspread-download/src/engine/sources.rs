//! The engine's part about sources: who comes and who goes.

use std::sync::Arc;
use std::time::Duration;

use lanspread_net::source::Source;
use lanspread_proto::PeerId;

use super::{Engine, Stage};

impl Engine {
    pub(super) fn join(&mut self, source: Arc<dyn Source>) {
        let peer = source.peer_id();
        self.sources.announce(source);
        self.invite(peer);
    }

    /// Asks those once more that were given up for a while.
    pub(super) fn invite_again(&mut self, now: Duration) {
        if !matches!(self.stage, Stage::Transferring(_)) {
            return;
        }
        for peer in self.sources.take_due(now) {
            self.invite(peer);
        }
    }

    /// Tells the stage at which address a source is.
    pub(super) fn locate(&mut self, peer: PeerId) {
        let group = self.sources.group(peer);
        match &mut self.stage {
            Stage::Gathering(gathering) => gathering.locate(peer, group),
            Stage::Describing(description) => description.locate(peer, group),
            Stage::Transferring(transfer) => transfer.locate(peer, group),
            Stage::Committing(_) => {}
        }
    }

    /// Asks a source what it has.
    pub(super) fn invite(&mut self, peer: PeerId) {
        let voter = self.sources.voter(peer);
        match &mut self.stage {
            Stage::Gathering(gathering) => gathering.await_head(peer, voter),
            Stage::Describing(description) => description.await_head(peer, voter),
            Stage::Transferring(transfer) => {
                if !transfer.await_claim(peer) {
                    return;
                }
            }
            Stage::Committing(_) => return,
        }
        let request = self.get_game(false);
        self.sources.ask_head(peer, request);
    }

    pub(super) fn leave(&mut self, peer: PeerId) {
        let now = self.now();
        self.sources.withdraw(peer);
        let (was_source, is_partial) = match &mut self.stage {
            Stage::Gathering(gathering) => {
                gathering.on_left(peer);
                (true, false)
            }
            Stage::Describing(description) => {
                description.on_left(peer);
                (true, false)
            }
            Stage::Transferring(transfer) => {
                (transfer.on_left(peer, now), transfer.is_partial_source(peer))
            }
            Stage::Committing(_) => (true, false),
        };
        if was_source {
            self.sources.end_all_of(peer);
        }
        if !is_partial {
            self.sources.remove(peer);
        }
    }

    /// A source is no longer used. One that is announced, and did not send what is wrong, is tried again.
    pub(super) fn drop_source(&mut self, peer: PeerId, is_for_good: bool) {
        self.sources.end_all_of(peer);
        if !is_for_good {
            self.sources.given_up(peer, self.now());
        }
        self.sources.remove_unannounced(peer);
    }
}
