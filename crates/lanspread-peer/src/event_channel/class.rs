//! What may become of an event that nobody takes.

use lanspread_library::GameProblem;
use lanspread_proto::{GameId, PeerId};

use crate::event::PeerEvent;

/// What may become of an event when whoever takes events falls behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventClass {
    /// It is always there: the beginning or the end of an operation, or of the peer. There are few of them for each
    /// command.
    Kept,
    /// A newer one may take its place, which says all that it said: progress, counts and lists.
    Latest,
    /// It may be missing, and [`PeerEvent::EventsDropped`] counts it: what strangers can cause at will.
    Droppable,
}

impl PeerEvent {
    /// Returns what may become of the event when whoever takes events falls behind.
    #[must_use]
    pub fn class(&self) -> EventClass {
        match rule(self) {
            Rule::Keep => EventClass::Kept,
            Rule::Latest(_) => EventClass::Latest,
            Rule::Drop(_) => EventClass::Droppable,
        }
    }
}

/// What an event is about, of which the newest event says all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    PeerCount,
    GamesList,
    LocalGames,
    Mdns,
    OtherVersions,
    Peer(PeerId),
    Progress(GameId),
    StreamTurn(GameId),
    OutboundCount(GameId),
    Incomplete(GameId),
}

/// The class of an event, with what it is about where a newer one may take its place.
#[derive(Debug)]
pub(super) enum Rule {
    Keep,
    Latest(Subject),
    Drop(Option<Subject>),
}

/// The one table of all events.
pub(super) fn rule(event: &PeerEvent) -> Rule {
    match event {
        PeerEvent::GotGameFiles { .. }
        | PeerEvent::DownloadBegin { .. }
        | PeerEvent::DownloadFinished { .. }
        | PeerEvent::DownloadFailed { .. }
        | PeerEvent::DownloadCancelled { .. }
        | PeerEvent::DownloadAllPeersGone { .. }
        | PeerEvent::VerifyBegin { .. }
        | PeerEvent::VerifyFinished { .. }
        | PeerEvent::VerifyFailed { .. }
        | PeerEvent::InstallBegin { .. }
        | PeerEvent::InstallFinished { .. }
        | PeerEvent::InstallFailed { .. }
        | PeerEvent::StreamInstallBegin { .. }
        | PeerEvent::StreamInstallFinished { .. }
        | PeerEvent::StreamInstallFailed { .. }
        | PeerEvent::UninstallBegin { .. }
        | PeerEvent::UninstallFinished { .. }
        | PeerEvent::UninstallFailed { .. }
        | PeerEvent::RemoveBegin { .. }
        | PeerEvent::RemoveFinished { .. }
        | PeerEvent::RemoveFailed { .. }
        | PeerEvent::ContentVoted { .. }
        | PeerEvent::EventsDropped { .. }
        | PeerEvent::RuntimeFailed { .. }
        | PeerEvent::Stopped => Rule::Keep,
        PeerEvent::PeerCountUpdated { .. } => Rule::Latest(Subject::PeerCount),
        PeerEvent::GamesListUpdated { .. } => Rule::Latest(Subject::GamesList),
        PeerEvent::LocalGamesUpdated { .. } => Rule::Latest(Subject::LocalGames),
        PeerEvent::MdnsFailed { .. } | PeerEvent::MdnsRecovered => Rule::Latest(Subject::Mdns),
        PeerEvent::PeersOfOtherVersion(_) => Rule::Latest(Subject::OtherVersions),
        // One operation per game, so one progress.
        PeerEvent::DownloadProgress(progress) => {
            Rule::Latest(Subject::Progress(progress.game_id.clone()))
        }
        PeerEvent::StreamInstallProgress(progress) => {
            Rule::Latest(Subject::Progress(progress.game_id.clone()))
        }
        PeerEvent::InstallProgress { game_id, .. } | PeerEvent::VerifyProgress { game_id, .. } => {
            Rule::Latest(Subject::Progress(game_id.clone()))
        }
        PeerEvent::StreamInstallWaiting { game_id, .. } => {
            Rule::Latest(Subject::StreamTurn(game_id.clone()))
        }
        PeerEvent::OutboundTransferCountChanged { game_id, .. } => {
            Rule::Latest(Subject::OutboundCount(game_id.clone()))
        }
        PeerEvent::GameIncomplete { game_id, .. } => {
            Rule::Latest(Subject::Incomplete(game_id.clone()))
        }
        PeerEvent::PeerUpdated(peer) => Rule::Drop(Some(Subject::Peer(peer.peer_id))),
        PeerEvent::PeerDiscovered(_)
        | PeerEvent::PeerLost { .. }
        | PeerEvent::PeerRejected { .. }
        | PeerEvent::SourceDropped { .. }
        | PeerEvent::IdentityConflict { .. } => Rule::Drop(None),
    }
}

/// Lets `newer` say what `older` of the same subject said and `newer` does not.
pub(super) fn absorb(newer: &mut PeerEvent, older: PeerEvent) {
    if let (
        PeerEvent::GamesListUpdated { changed, .. } | PeerEvent::LocalGamesUpdated { changed, .. },
        PeerEvent::GamesListUpdated { changed: before, .. }
        | PeerEvent::LocalGamesUpdated { changed: before, .. },
    ) = (newer, older)
    {
        changed.extend(before);
        changed.sort();
        changed.dedup();
    }
}

/// Returns about how many bytes an event holds, as far as that differs from event to event.
pub(super) fn held_bytes(event: &PeerEvent) -> usize {
    let text: usize = match event {
        PeerEvent::GamesListUpdated { changed, .. }
        | PeerEvent::LocalGamesUpdated { changed, .. } => {
            changed.iter().map(|id| size_of::<GameId>() + id.as_str().len()).sum()
        }
        PeerEvent::GameIncomplete { problems, .. } => {
            let texts = |it: &GameProblem| it.path.len() + it.message.len();
            problems.told.iter().map(|problem| size_of_val(problem) + texts(problem)).sum()
        }
        PeerEvent::DownloadProgress(progress) => size_of_val(&*progress.sources),
        PeerEvent::PeerRejected { message, .. } => message.len(),
        PeerEvent::SourceDropped { reason, .. } => reason.len(),
        PeerEvent::IdentityConflict { addrs, .. } => size_of_val(addrs.as_slice()),
        _ => 0,
    };
    size_of::<PeerEvent>() + text
}
