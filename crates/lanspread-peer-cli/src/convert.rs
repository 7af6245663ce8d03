//! From what the runtime says to what is printed. Every `match` is exhaustive, so that a new event
//! of the runtime cannot be forgotten here.

use std::path::Path;

use lanspread_peer::{
    Candidate, CandidateSource, GameDetails, GameInfo, GameProblems, IdentityConflict, MdnsStatus,
    PeerEvent, PeerInfo, PeerStatus, SetupStarted, StreamSummary, VerifySummary,
};
use lanspread_proto::{Attributes, FileHashes, Manifest, ManifestFile, PROTOCOL_VERSION};

use crate::errors::{CandidateData, CandidateSourceData, ErrorBody, ErrorCode};
use crate::protocol::data::{
    ConflictData, FileData, GameData, ManifestData, OutboundData, PeerData, ProblemsData,
    ReportData,
};
use crate::protocol::events::{BegunData, Event, FailedData, OneGameData, StreamedData};
use crate::protocol::results::{CommandResult, GameDetailsData, MdnsName, StatusData};

/// What to do about two peers with one identity.
const CONFLICT_HINT: &str = "a state directory was copied: stop one of the two peers, delete the directory \
    `identity` in its state directory, and start it again";

/// Makes the event of the same name: of those whose fields have the same names, of those that name a
/// game alone, of those with a failure, and of all others.
macro_rules! same_name {
    (
        $event:expr;
        $($name:ident { $($field:ident),* })*;
        game: $($game:ident)*;
        failed: $($failed:ident)*;
        $($other:pat => $made:expr,)*
    ) => {
        match $event {
            $(PeerEvent::$name { $($field),* } => Event::$name { $($field: $field.into()),* },)*
            $(PeerEvent::$game { game_id } => Event::$game(OneGameData { game_id }),)*
            $(PeerEvent::$failed { game_id, failure } => {
                Event::$failed(FailedData { game_id, error: (&failure).into() })
            })*
            $($other => $made,)*
        }
    };
}

impl From<PeerEvent> for Event {
    fn from(event: PeerEvent) -> Self {
        same_name! { event;
            PeerCountUpdated { peer_count }
            PeerRejected { peer_id, addr, reason, message, count }
            GamesListUpdated { game_count, changed }
            GameIncomplete { game_id, problems }
            ContentVoted { game_id, content_root, voters, others }
            VerifyBegin { game_id, files, bytes }
            VerifyProgress { game_id, bytes_done, bytes_total }
            VerifyFinished { game_id, files, bytes, report }
            InstallProgress { game_id, bytes_done }
            InstallFinished { game_id, files, bytes }
            StreamInstallWaiting { game_id, peer_id, position }
            SourceDropped { game_id, peer_id, reason }
            OutboundTransferCountChanged { game_id, count }
            MdnsRecovered {}
            EventsDropped { count }
            RuntimeFailed { service, message }
            Stopped {};
            game: DownloadCancelled DownloadAllPeersGone InstallBegin UninstallBegin UninstallFinished
                RemoveBegin;
            failed: VerifyFailed DownloadFailed InstallFailed StreamInstallFailed UninstallFailed
                RemoveFailed;
            PeerEvent::PeerDiscovered(peer) => Self::PeerDiscovered(peer.into()),
            PeerEvent::PeerUpdated(peer) => Self::PeerUpdated(peer.into()),
            PeerEvent::PeerLost { peer_id, reason, is_advertised } => {
                Self::PeerLost { peer_id, reason: reason.into(), advertised: is_advertised }
            },
            PeerEvent::LocalGamesUpdated { library_rev, game_count, changed, active_operations } => {
                let active_operations = all(active_operations);
                Self::LocalGamesUpdated { library_rev, game_count, changed, active_operations }
            },
            PeerEvent::GotGameFiles { game_id, files, bytes, sources } => {
                Self::GotGameFiles(BegunData { game_id, files, bytes, sources })
            },
            PeerEvent::DownloadBegin { game_id, files, bytes, sources } => {
                Self::DownloadBegin(BegunData { game_id, files, bytes, sources })
            },
            PeerEvent::DownloadProgress(it) => Self::DownloadProgress {
                game_id: it.game_id,
                bytes_done: it.bytes_done,
                bytes_total: it.bytes_total,
                bytes_per_second: it.bytes_per_second,
                active_peers: it.active_peers,
                sources: all(it.sources.iter().cloned()),
            },
            PeerEvent::DownloadFinished { game_id, files, bytes, sources } => {
                Self::DownloadFinished { game_id, files, bytes, sources: all(sources) }
            },
            PeerEvent::StreamInstallBegin { game_id, peer_id, files, bytes } => {
                Self::StreamInstallBegin(StreamedData { game_id, peer_id, files, bytes })
            },
            PeerEvent::StreamInstallProgress(it) => Self::StreamInstallProgress {
                game_id: it.game_id,
                peer_id: it.peer_id,
                bytes_done: it.bytes_done,
                bytes_total: it.bytes_total,
                bytes_per_second: it.bytes_per_second,
            },
            PeerEvent::StreamInstallFinished { game_id, peer_id, files, bytes } => {
                Self::StreamInstallFinished(StreamedData { game_id, peer_id, files, bytes })
            },
            PeerEvent::RemoveFinished { game_id, kept } => {
                Self::RemoveFinished { game_id, kept: kept.as_deref().map(path_text) }
            },
            PeerEvent::PeersOfOtherVersion(peers) => {
                Self::PeersOfOtherVersion { own: PROTOCOL_VERSION, peers: all(peers) }
            },
            PeerEvent::IdentityConflict { peer_id, is_own, addrs } => {
                let message = match is_own {
                    true => "another running peer has the identity of this one".to_owned(),
                    false => format!("two running peers have the identity {peer_id}"),
                };
                let hint = CONFLICT_HINT.to_owned();
                Self::IdentityConflict { peer_id, own: is_own, addrs, message, hint }
            },
            PeerEvent::MdnsFailed { message } => {
                Self::MdnsFailed { error: ErrorBody::new(ErrorCode::MdnsFailed, message) }
            },
        }
    }
}

/// Converts each item.
pub(crate) fn all<T, U: From<T>>(items: impl IntoIterator<Item = T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

/// A path as text. Bytes that are no UTF-8 become replacement characters: JSON has no others.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl From<PeerStatus> for CommandResult {
    fn from(status: PeerStatus) -> Self {
        let outbound = status.outbound_transfers.into_iter();
        let (mdns, mdns_error) = match status.mdns {
            MdnsStatus::Off => (MdnsName::Off, None),
            MdnsStatus::Starting => (MdnsName::Starting, None),
            MdnsStatus::Working => (MdnsName::Working, None),
            MdnsStatus::Failed(reason) => {
                (MdnsName::Failed, Some(ErrorBody::new(ErrorCode::MdnsFailed, reason)))
            }
        };
        Self::Status(Box::new(StatusData {
            peer_id: status.peer_id,
            name: status.name,
            listen_addr: status.listen_addr,
            games_dir: path_text(&status.games_dir),
            state_dir: path_text(&status.state_dir),
            library_rev: status.library_rev,
            peer_count: status.peer_count,
            mdns,
            mdns_error,
            peers_of_other_version: all(status.peers_of_other_version),
            identity_conflicts: all(status.identity_conflicts),
            active_operations: all(status.active_operations),
            outbound_transfers: outbound
                .map(|(game_id, count)| OutboundData { game_id, count })
                .collect(),
        }))
    }
}

/// The result of `get-game`, with at most `files_max` files of the manifest from `files_from` on.
pub(crate) fn game_details(
    details: GameDetails,
    files_from: usize,
    files_max: usize,
) -> CommandResult {
    let attributes = details.attributes.as_deref();
    let manifest = details.manifest.as_deref();
    CommandResult::GetGame(Box::new(GameDetailsData {
        game: details.game.into(),
        sources: all(details.sources),
        setup_done: details.setup_done,
        manifest: manifest.map(|it| manifest_data(it, attributes, files_from, files_max)),
    }))
}

fn manifest_data(
    manifest: &Manifest,
    attributes: Option<&Attributes>,
    from: usize,
    max: usize,
) -> ManifestData {
    let file_count = manifest.files().len();
    let end = from.saturating_add(max).min(file_count);
    let files = manifest.files().iter().enumerate().take(end).skip(from);
    let bits = attributes.and_then(|it| it.executable.as_ref());
    let file = |(number, file): (usize, &ManifestFile)| FileData {
        path: file.path.clone(),
        size: file.size,
        hash: file.hashes.as_ref().map(FileHashes::file),
        chunks: file.chunk_count(),
        executable: bits.map(|bits| bits.get(number)),
    };
    ManifestData {
        version: manifest.version().clone(),
        manifest_hash: manifest.manifest_hash(),
        content_root: manifest.content_root(),
        total_size: manifest.total_size(),
        file_count,
        next_file: (end < file_count).then_some(end),
        directories: attributes.map(|it| it.directories.clone()).unwrap_or_default(),
        files: files.map(file).collect(),
    }
}

impl From<VerifySummary> for CommandResult {
    fn from(VerifySummary { files, bytes, report, repaired }: VerifySummary) -> Self {
        Self::Verify { files, bytes, report: report.map(ReportData::from), repaired }
    }
}

impl From<StreamSummary> for CommandResult {
    fn from(StreamSummary { peer_id, files, bytes }: StreamSummary) -> Self {
        Self::StreamInstall { peer_id, files, bytes }
    }
}

impl From<SetupStarted> for CommandResult {
    fn from(SetupStarted { script, log, pid, was_done }: SetupStarted) -> Self {
        let (script, log) = (path_text(&script), path_text(&log));
        Self::RunSetup { script, log, pid, already_done: was_done }
    }
}

impl From<GameProblems> for ProblemsData {
    fn from(GameProblems { told, count }: GameProblems) -> Self {
        Self { problem_count: count, problems: all(told) }
    }
}

impl From<PeerInfo> for PeerData {
    fn from(peer: PeerInfo) -> Self {
        Self {
            peer_id: peer.peer_id,
            name: peer.name,
            addr: peer.addr,
            library_rev: peer.library_rev,
            game_count: peer.game_count,
            last_seen_ms: u64::try_from(peer.last_seen.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<GameInfo> for GameData {
    fn from(game: GameInfo) -> Self {
        Self {
            id: game.id,
            title: game.title,
            version: game.version,
            expected_version: game.expected_version,
            size: game.size,
            downloaded: game.downloaded,
            installed: game.installed,
            availability: game.availability.map(Into::into),
            peer_count: game.peer_count,
            operation: game.operation.map(Into::into),
            partial_bytes: game.partial_bytes,
            problems: game.problems.into(),
        }
    }
}

impl From<Candidate> for CandidateData {
    fn from(Candidate { content_root, bytes, sources }: Candidate) -> Self {
        Self { content_root, bytes, sources: all(sources) }
    }
}

impl From<CandidateSource> for CandidateSourceData {
    fn from(CandidateSource { peer_id, addr }: CandidateSource) -> Self {
        Self { peer_id, addr }
    }
}

impl From<IdentityConflict> for ConflictData {
    fn from(IdentityConflict { peer_id, is_own, addrs }: IdentityConflict) -> Self {
        Self { peer_id, own: is_own, addrs }
    }
}
