//! The log of what happens: what a person looks for at `info`, the rest at `debug`.
//!
//! Strangers come, go and are refused as often as they like. Lines about them have a budget for each minute, so that
//! no stranger fills a disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{LostReason, PeerEvent};
use crate::event_channel::EventClass;
use crate::info::OtherVersionPeer;

/// Most events in a [`MINUTE`] that strangers can cause and that the log has: a party of 50 peers that comes or
/// goes. Lines have a few hundred bytes, so a day of them has less than 50 MB.
const STRANGERS_MAX: usize = 120;
/// The time that the budget is for.
const MINUTE: Duration = Duration::from_secs(60);
/// How many peers of another version one event names in the log; `status` has more of them.
const VERSIONS_LOGGED_MAX: usize = 8;
/// How many problems of one game the log names; the event has more of them.
const PROBLEMS_LOGGED_MAX: usize = 20;

/// How many changed games one line names: a library of 100,000 games would be megabytes.
const GAMES_LOGGED_MAX: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    budget: Mutex<Option<Budget>>,
}

/// What was logged about strangers since a moment, and how much was not.
#[derive(Debug)]
struct Budget {
    since: Instant,
    logged: usize,
    left_out: usize,
}

impl EventLog {
    /// Writes an event to the log.
    pub(super) fn write(&self, event: &PeerEvent) {
        let is_of_strangers = matches!(event, PeerEvent::PeersOfOtherVersion(_))
            || event.class() == EventClass::Droppable
                && !matches!(event, PeerEvent::PeerUpdated(_));
        if !is_of_strangers || self.spend(Instant::now()) {
            write(event);
        }
    }

    /// Takes an event from the budget, if there is one left.
    fn spend(&self, now: Instant) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match budget.take() {
            Some(current) if now < current.since + MINUTE => current,
            before => {
                if let Some(left_out @ 1..) = before.map(|it| it.left_out) {
                    tracing::info!(
                        left_out,
                        "the log leaves out events of other peers: they are too many"
                    );
                }
                Budget { since: now, logged: 0, left_out: 0 }
            }
        };
        let is_left = current.logged < STRANGERS_MAX;
        *budget = Some(Budget {
            logged: current.logged + usize::from(is_left),
            left_out: current.left_out + usize::from(!is_left),
            ..current
        });
        is_left
    }
}

fn write(event: &PeerEvent) {
    match event {
        PeerEvent::DownloadProgress(_)
        | PeerEvent::InstallProgress { .. }
        | PeerEvent::VerifyProgress { .. }
        | PeerEvent::StreamInstallProgress(_) => {
            tracing::trace!(?event);
        }
        PeerEvent::GamesListUpdated { game_count, changed }
        | PeerEvent::LocalGamesUpdated { game_count, changed, .. }
            if changed.len() > GAMES_LOGGED_MAX =>
        {
            let changed = changed.len();
            tracing::debug!(changed, game_count, "many games changed");
        }
        PeerEvent::PeerUpdated(_)
        | PeerEvent::PeerCountUpdated { .. }
        | PeerEvent::GamesListUpdated { .. }
        | PeerEvent::LocalGamesUpdated { .. }
        | PeerEvent::OutboundTransferCountChanged { .. } => tracing::debug!(?event),
        PeerEvent::PeersOfOtherVersion(peers) if peers.is_empty() => {
            tracing::info!("no peer speaks another version of the protocol any more");
        }
        PeerEvent::PeersOfOtherVersion(peers) => {
            for OtherVersionPeer { name, addr, proto_ver } in peers.iter().take(VERSIONS_LOGGED_MAX)
            {
                tracing::warn!(?name, %addr, ?proto_ver, "a peer speaks another version of the protocol");
            }
            if let Some(others @ 1..) = peers.len().checked_sub(VERSIONS_LOGGED_MAX) {
                tracing::warn!(others, "more peers speak another version of the protocol");
            }
        }
        PeerEvent::IdentityConflict { peer_id, addrs, .. } => {
            tracing::warn!(%peer_id, ?addrs, "two running peers have the same identity");
        }
        PeerEvent::PeerLost { peer_id, reason: LostReason::Timeout, is_advertised: false } => {
            tracing::info!(
                %peer_id,
                "a peer is lost that no mDNS record tells of; if it has another address now, only \
                 `connect` finds it"
            );
        }
        PeerEvent::MdnsFailed { message } => {
            tracing::warn!(message, "peers cannot be found by mDNS; it is tried again");
        }
        PeerEvent::GameIncomplete { game_id, problems } => {
            for problem in problems.told.iter().take(PROBLEMS_LOGGED_MAX) {
                tracing::warn!(%game_id, "the game is not shared, because it is not whole: {problem}");
            }
            let count = problems.count;
            tracing::warn!(%game_id, count, "the game is not shared until that is put right");
        }
        _ => tracing::info!(?event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_get_so_many_lines_a_minute_and_no_more() {
        let log = EventLog::default();
        let began = Instant::now();
        for minute in 0..3 {
            let now = began + MINUTE * minute;
            let logged = (0..10_000).filter(|_| log.spend(now)).count();
            assert_eq!(logged, STRANGERS_MAX);
        }
        assert_eq!(log.budget.lock().unwrap().as_ref().unwrap().left_out, 10_000 - STRANGERS_MAX);
    }
}
