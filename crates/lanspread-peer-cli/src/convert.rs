//! From what the runtime says to what is printed. Every `match` is exhaustive, so that a new event
//! or error of the runtime cannot be forgotten here.

use std::path::Path;
use std::time::Duration;

use lanspread_peer::{
    ActiveOperation, Availability, CommandError, ConnectError, DownloadFailure, DownloadSummary,
    GameDetails, GameInfo, GameProblems, IdentityConflict, InstallFailure, LostReason, MdnsStatus,
    Operation, OtherVersionPeer, PeerEvent, PeerInfo, PeerStatus, ProblemReason, RejectReason,
    RemoveFailure, SetupFailure, SetupStarted, SourceBytes, SourceInfo, StartError, StreamFailure,
    StreamProgress, StreamSummary, VerifyFailure, VerifyReference, VerifyReport, VerifySummary,
};
use lanspread_proto::stream::StreamErrorCode;
use lanspread_proto::{Attributes, Manifest, ManifestFile, PROTOCOL_VERSION};

use crate::commands::FileRange;
use crate::errors::{ErrorBody, ErrorCode};
use crate::records::{
    ActiveOperationData, EventData, FileData, GameData, GameDetailsData, IdentityConflictData,
    ManifestData, OtherVersionData, OutboundData, PeerData, ProblemData, ReportData, ResultData,
    SourceBytesData, SourceData, StatusData,
};

/// What to do about two peers with one identity.
const CONFLICT_HINT: &str = "a state directory was copied: stop one of the two peers, delete the directory \
    `identity` in its state directory, and start it again";

/// The name and the data of an event.
pub(crate) fn event_data(event: PeerEvent) -> (&'static str, EventData) {
    match event {
        PeerEvent::PeerDiscovered(peer) => ("peer-discovered", EventData::Peer(peer_data(peer))),
        PeerEvent::PeerUpdated(peer) => ("peer-updated", EventData::Peer(peer_data(peer))),
        PeerEvent::PeerLost { peer_id, reason, is_advertised } => {
            let reason = lost_reason(reason);
            ("peer-lost", EventData::PeerLost { peer_id, reason, advertised: is_advertised })
        }
        PeerEvent::PeerCountUpdated { peer_count } => {
            ("peer-count-updated", EventData::PeerCount { peer_count })
        }
        PeerEvent::PeerRejected { peer_id, addr, reason, message } => {
            let reason = reject_reason(reason);
            ("peer-rejected", EventData::PeerRejected { peer_id, addr, reason, message })
        }
        PeerEvent::GamesListUpdated { game_count, changed } => {
            ("games-list-updated", EventData::GamesList { game_count, changed })
        }
        PeerEvent::LocalGamesUpdated { library_rev, game_count, changed, active_operations } => {
            let active_operations = active_data(active_operations);
            let data =
                EventData::LocalGames { library_rev, game_count, changed, active_operations };
            ("local-games-updated", data)
        }
        PeerEvent::GameIncomplete { game_id, problems } => {
            let (problem_count, problems) = problems_data(problems);
            ("game-incomplete", EventData::Incomplete { game_id, problem_count, problems })
        }
        PeerEvent::VerifyBegin { game_id, files, bytes } => {
            ("verify-begin", EventData::VerifyBegun { game_id, files, bytes })
        }
        PeerEvent::VerifyProgress { game_id, bytes_done, bytes_total } => {
            ("verify-progress", EventData::VerifyProgress { game_id, bytes_done, bytes_total })
        }
        PeerEvent::VerifyFinished { game_id, files, bytes, report } => {
            let report = report_data(report);
            ("verify-finished", EventData::Verified { game_id, files, bytes, report })
        }
        PeerEvent::VerifyFailed { game_id, failure } => {
            ("verify-failed", EventData::Failed { game_id, error: verify_error(&failure) })
        }
        PeerEvent::GotGameFiles { game_id, files, bytes, sources } => {
            ("got-game-files", EventData::Begun { game_id, files, bytes, sources })
        }
        PeerEvent::DownloadBegin { game_id, files, bytes, sources } => {
            ("download-begin", EventData::Begun { game_id, files, bytes, sources })
        }
        PeerEvent::DownloadProgress(progress) => {
            let data = EventData::DownloadProgress {
                game_id: progress.game_id,
                bytes_done: progress.bytes_done,
                bytes_total: progress.bytes_total,
                bytes_per_second: progress.bytes_per_second,
                active_peers: progress.active_peers,
                sources: source_bytes(&progress.sources),
            };
            ("download-progress", data)
        }
        PeerEvent::DownloadFinished { game_id, files, bytes, sources } => {
            let sources = source_bytes(&sources);
            ("download-finished", EventData::DownloadFinished { game_id, files, bytes, sources })
        }
        PeerEvent::DownloadFailed { game_id, failure } => {
            ("download-failed", EventData::Failed { game_id, error: download_error(&failure) })
        }
        PeerEvent::DownloadCancelled { game_id } => {
            ("download-cancelled", EventData::Game { game_id })
        }
        PeerEvent::DownloadAllPeersGone { game_id } => {
            ("download-all-peers-gone", EventData::Game { game_id })
        }
        PeerEvent::InstallBegin { game_id } => ("install-begin", EventData::Game { game_id }),
        PeerEvent::InstallProgress { game_id, bytes_done } => {
            ("install-progress", EventData::InstallProgress { game_id, bytes_done })
        }
        PeerEvent::InstallFinished { game_id, files, bytes } => {
            ("install-finished", EventData::InstallFinished { game_id, files, bytes })
        }
        PeerEvent::InstallFailed { game_id, failure } => {
            ("install-failed", EventData::Failed { game_id, error: install_error(&failure) })
        }
        PeerEvent::StreamInstallWaiting { game_id, peer_id, position } => {
            ("stream-install-waiting", EventData::StreamWaiting { game_id, peer_id, position })
        }
        PeerEvent::StreamInstallBegin { game_id, peer_id, files, bytes } => {
            ("stream-install-begin", EventData::Streamed { game_id, peer_id, files, bytes })
        }
        PeerEvent::StreamInstallProgress(progress) => {
            let StreamProgress { game_id, peer_id, bytes_done, bytes_total, bytes_per_second } =
                progress;
            let data = EventData::StreamProgress {
                game_id,
                peer_id,
                bytes_done,
                bytes_total,
                bytes_per_second,
            };
            ("stream-install-progress", data)
        }
        PeerEvent::StreamInstallFinished { game_id, peer_id, files, bytes } => {
            ("stream-install-finished", EventData::Streamed { game_id, peer_id, files, bytes })
        }
        PeerEvent::StreamInstallFailed { game_id, failure } => {
            ("stream-install-failed", EventData::Failed { game_id, error: stream_error(&failure) })
        }
        PeerEvent::UninstallBegin { game_id } => ("uninstall-begin", EventData::Game { game_id }),
        PeerEvent::UninstallFinished { game_id } => {
            ("uninstall-finished", EventData::Game { game_id })
        }
        PeerEvent::UninstallFailed { game_id, failure } => {
            ("uninstall-failed", EventData::Failed { game_id, error: install_error(&failure) })
        }
        PeerEvent::RemoveBegin { game_id } => ("remove-begin", EventData::Game { game_id }),
        PeerEvent::RemoveFinished { game_id, kept } => {
            let kept = kept.map(|path| path.display().to_string());
            ("remove-finished", EventData::Removed { game_id, kept })
        }
        PeerEvent::RemoveFailed { game_id, failure } => {
            ("remove-failed", EventData::Failed { game_id, error: remove_error(&failure) })
        }
        PeerEvent::SourceDropped { game_id, peer_id, reason } => {
            ("source-dropped", EventData::SourceDropped { game_id, peer_id, reason })
        }
        PeerEvent::OutboundTransferCountChanged { game_id, count } => {
            ("outbound-transfer-count-changed", EventData::OutboundTransfers { game_id, count })
        }
        PeerEvent::MdnsFailed { message } => {
            let error = ErrorBody::new(ErrorCode::MdnsFailed, message);
            ("mdns-failed", EventData::MdnsFailed { error })
        }
        PeerEvent::MdnsRecovered => ("mdns-recovered", EventData::MdnsRecovered {}),
        PeerEvent::PeersOfOtherVersion(peers) => {
            let (own, peers) = (PROTOCOL_VERSION, other_version_data(peers));
            ("peers-of-other-version", EventData::OtherVersions { own, peers })
        }
        PeerEvent::IdentityConflict { peer_id, is_own, addrs } => {
            let message = match is_own {
                true => "another running peer has the identity of this one".to_owned(),
                false => format!("two running peers have the identity {peer_id}"),
            };
            let hint = CONFLICT_HINT.to_owned();
            let data = EventData::IdentityConflict { peer_id, own: is_own, addrs, message, hint };
            ("identity-conflict", data)
        }
        PeerEvent::RuntimeFailed { service, message } => {
            ("runtime-failed", EventData::RuntimeFailed { service, message })
        }
        PeerEvent::Stopped => ("stopped", EventData::Stopped {}),
    }
}

/// The result of `status`.
pub(crate) fn status_data(status: PeerStatus) -> ResultData {
    let outbound = status.outbound_transfers.into_iter();
    let (mdns, mdns_error) = mdns_status(status.mdns);
    ResultData::Status(Box::new(StatusData {
        peer_id: status.peer_id,
        name: status.name,
        listen_addr: status.listen_addr,
        games_dir: path_text(&status.games_dir),
        state_dir: path_text(&status.state_dir),
        library_rev: status.library_rev,
        peer_count: status.peer_count,
        mdns,
        mdns_error,
        peers_of_other_version: other_version_data(status.peers_of_other_version),
        identity_conflicts: status.identity_conflicts.into_iter().map(conflict_data).collect(),
        active_operations: active_data(status.active_operations),
        outbound_transfers: outbound
            .map(|(game_id, count)| OutboundData { game_id, count })
            .collect(),
    }))
}

/// The result of `list-peers`.
pub(crate) fn peers_data(peers: Vec<PeerInfo>) -> ResultData {
    ResultData::Peers { peers: peers.into_iter().map(peer_data).collect() }
}

/// The result of `list-games`.
pub(crate) fn games_data(games: Vec<GameInfo>) -> ResultData {
    ResultData::Games { games: games.into_iter().map(game_data).collect() }
}

/// The result of `get-game`.
///
/// Of the files of the manifest it has those in `range`.
pub(crate) fn details_data(details: GameDetails, range: FileRange) -> ResultData {
    ResultData::Game(Box::new(GameDetailsData {
        game: game_data(details.game),
        sources: details.sources.into_iter().map(source_data).collect(),
        setup_done: details.setup_done,
        manifest: details
            .manifest
            .as_deref()
            .map(|manifest| manifest_data(manifest, details.attributes.as_deref(), range)),
    }))
}

/// The result of `download`.
pub(crate) fn download_data(summary: DownloadSummary) -> ResultData {
    let DownloadSummary { files, bytes, sources } = summary;
    ResultData::Download { files, bytes, sources }
}

/// The result of `verify`.
pub(crate) fn verify_data(summary: VerifySummary) -> ResultData {
    let VerifySummary { files, bytes, report, repaired } = summary;
    ResultData::Verified { files, bytes, report: report.map(report_data), repaired }
}

fn report_data(report: VerifyReport) -> ReportData {
    let reference = match report.reference {
        VerifyReference::Catalog => "catalog",
        VerifyReference::Sources => "sources",
        VerifyReference::Index => "index",
        VerifyReference::Nothing => "nothing",
    };
    let (problem_count, problems) = problems_data(report.problems);
    ReportData { reference, problem_count, problems }
}

fn problems_data(problems: GameProblems) -> (usize, Vec<ProblemData>) {
    let data = problems.told.into_iter().map(|problem| ProblemData {
        path: problem.path,
        reason: problem_reason(problem.reason),
        message: problem.message,
    });
    (problems.count, data.collect())
}

fn problem_reason(reason: ProblemReason) -> &'static str {
    match reason {
        ProblemReason::Name => "name",
        ProblemReason::NotUtf8 => "not-utf8",
        ProblemReason::TooDeep => "too-deep",
        ProblemReason::Special => "special",
        ProblemReason::Unreadable => "unreadable",
        ProblemReason::TooManyFiles => "too-many-files",
        ProblemReason::PathsTooLong => "paths-too-long",
        ProblemReason::TooManyDirectories => "too-many-directories",
        ProblemReason::TooLarge => "too-large",
        ProblemReason::BadVersion => "bad-version",
        ProblemReason::Missing => "missing",
        ProblemReason::Size => "size",
        ProblemReason::Content => "content",
        ProblemReason::Extra => "extra",
    }
}

/// The result of `stream-install`.
pub(crate) fn stream_data(summary: StreamSummary) -> ResultData {
    let StreamSummary { peer_id, files, bytes } = summary;
    ResultData::Streamed { peer_id, files, bytes }
}

/// The result of `run-setup`.
pub(crate) fn setup_data(started: SetupStarted) -> ResultData {
    ResultData::Setup {
        script: path_text(&started.script),
        log: path_text(&started.log),
        pid: started.pid,
        already_done: started.was_done,
    }
}

/// A path as text. Bytes that are no UTF-8 become replacement characters: JSON has no others.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn peer_data(peer: PeerInfo) -> PeerData {
    PeerData {
        peer_id: peer.peer_id,
        name: peer.name,
        addr: peer.addr,
        library_rev: peer.library_rev,
        game_count: peer.game_count,
        last_seen_ms: millis(peer.last_seen),
    }
}

fn game_data(game: GameInfo) -> GameData {
    let (problem_count, problems) = problems_data(game.problems);
    GameData {
        id: game.id,
        title: game.title,
        version: game.version,
        expected_version: game.expected_version,
        size: game.size,
        downloaded: game.downloaded,
        installed: game.installed,
        availability: game.availability.map(availability),
        peer_count: game.peer_count,
        operation: game.operation.map(operation),
        partial_bytes: game.partial_bytes,
        problem_count,
        problems,
    }
}

fn source_data(source: SourceInfo) -> SourceData {
    SourceData {
        peer_id: source.peer_id,
        name: source.name,
        addr: source.addr,
        content_root: source.content_root,
    }
}

fn manifest_data(
    manifest: &Manifest,
    attributes: Option<&Attributes>,
    range: FileRange,
) -> ManifestData {
    let FileRange { from, max } = range;
    let file_count = manifest.files().len();
    let end = from.saturating_add(max).min(file_count);
    let files = manifest.files().iter().enumerate().take(end).skip(from);
    let bits = attributes.and_then(|it| it.executable.as_ref());
    let bit = |number: usize| bits.map(|bits| bits.get(number));
    ManifestData {
        version: manifest.version().clone(),
        manifest_hash: manifest.manifest_hash(),
        content_root: manifest.content_root(),
        total_size: manifest.total_size(),
        file_count,
        next_file: (end < file_count).then_some(end),
        directories: attributes.map(|it| it.directories.clone()).unwrap_or_default(),
        files: files.map(|(number, file)| file_data(file, bit(number))).collect(),
    }
}

fn file_data(file: &ManifestFile, executable: Option<bool>) -> FileData {
    FileData {
        path: file.path.clone(),
        size: file.size,
        hash: file.hashes.as_ref().map(lanspread_proto::FileHashes::file),
        chunks: file.chunk_count(),
        executable,
    }
}

fn active_data(operations: Vec<ActiveOperation>) -> Vec<ActiveOperationData> {
    let data = |active: ActiveOperation| ActiveOperationData {
        game_id: active.game_id,
        operation: operation(active.operation),
    };
    operations.into_iter().map(data).collect()
}

fn source_bytes(sources: &[SourceBytes]) -> Vec<SourceBytesData> {
    let data =
        |source: &SourceBytes| SourceBytesData { peer_id: source.peer_id, bytes: source.bytes };
    sources.iter().map(data).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Downloading => "downloading",
        Operation::Updating => "updating",
        Operation::Installing => "installing",
        Operation::StreamInstalling => "stream-installing",
        Operation::Uninstalling => "uninstalling",
        Operation::Removing => "removing",
        Operation::Verifying => "verifying",
    }
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Ready => "ready",
        Availability::Downloading => "downloading",
        Availability::LocalOnly => "local_only",
        Availability::Incomplete => "incomplete",
    }
}

fn other_version_data(peers: Vec<OtherVersionPeer>) -> Vec<OtherVersionData> {
    let data =
        |OtherVersionPeer { name, addr, proto_ver }| OtherVersionData { name, addr, proto_ver };
    peers.into_iter().map(data).collect()
}

fn conflict_data(conflict: IdentityConflict) -> IdentityConflictData {
    let IdentityConflict { peer_id, is_own, addrs } = conflict;
    IdentityConflictData { peer_id, own: is_own, addrs }
}

fn mdns_status(status: MdnsStatus) -> (&'static str, Option<ErrorBody>) {
    match status {
        MdnsStatus::Off => ("off", None),
        MdnsStatus::Starting => ("starting", None),
        MdnsStatus::Working => ("working", None),
        MdnsStatus::Failed(reason) => {
            ("failed", Some(ErrorBody::new(ErrorCode::MdnsFailed, reason)))
        }
    }
}

fn lost_reason(reason: LostReason) -> &'static str {
    match reason {
        LostReason::Goodbye => "goodbye",
        LostReason::Timeout => "timeout",
    }
}

fn reject_reason(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::ProtocolVersion => "protocol_version",
        RejectReason::Network => "network",
        RejectReason::NetworkKey => "network_key",
        RejectReason::Identity => "identity",
        RejectReason::Protocol => "protocol",
    }
}

/// When an operation has ended, and whether it can be ended early.
fn busy_hint(operation: Operation) -> &'static str {
    match operation {
        Operation::Downloading | Operation::Updating => {
            "`download-finished` or `download-failed` tells it, and `cancel-download` ends it early"
        }
        Operation::StreamInstalling => {
            "`stream-install-finished` or `stream-install-failed` tells it, and `cancel-download` \
             ends it early"
        }
        Operation::Installing => {
            "`install-finished` or `install-failed` tells it; it cannot be cancelled"
        }
        Operation::Uninstalling => {
            "`uninstall-finished` or `uninstall-failed` tells it; it cannot be cancelled"
        }
        Operation::Removing => {
            "`remove-finished` or `remove-failed` tells it; it cannot be cancelled"
        }
        Operation::Verifying => {
            "`verify-finished` or `verify-failed` tells it, and `cancel-download` ends it early"
        }
    }
}

/// The error of a command.
pub(crate) fn command_error(error: &CommandError) -> ErrorBody {
    let code = match error {
        CommandError::UnknownGame(_) => ErrorCode::UnknownGame,
        CommandError::GameBusy { .. }
        | CommandError::OperationsActive { .. }
        | CommandError::SetupStarting(_) => ErrorCode::GameBusy,
        CommandError::NoSource(_) => ErrorCode::NoSource,
        CommandError::AlreadyDownloaded(_) => ErrorCode::AlreadyDownloaded,
        CommandError::UpToDate(_) => ErrorCode::UpToDate,
        CommandError::NotDownloaded(_) => ErrorCode::NotDownloaded,
        CommandError::AlreadyInstalled(_) => ErrorCode::AlreadyInstalled,
        CommandError::NotInstalled(_) => ErrorCode::NotInstalled,
        CommandError::StillInstalled(_) => ErrorCode::StillInstalled,
        CommandError::NotDownloading(_) => ErrorCode::NotDownloading,
        CommandError::GamesDir(_) => ErrorCode::GamesDirUnusable,
        CommandError::ChangingGamesDir => ErrorCode::GamesDirChanging,
        CommandError::Download(failure) => return download_error(failure),
        CommandError::Cancelled(_) => ErrorCode::Cancelled,
        CommandError::AllPeersGone(_) => ErrorCode::AllPeersGone,
        CommandError::Install(failure) => return install_error(failure),
        CommandError::Stream(failure) => return stream_error(failure),
        CommandError::Remove(failure) => return remove_error(failure),
        CommandError::Verify(failure) => return verify_error(failure),
        CommandError::Setup(failure) => return setup_error(failure),
        CommandError::ShuttingDown => ErrorCode::ShuttingDown,
    };
    let body = ErrorBody::new(code, error);
    match error {
        CommandError::GameBusy { operation, .. }
        | CommandError::OperationsActive { operation, .. } => body.with_hint(busy_hint(*operation)),
        CommandError::SetupStarting(_) => body.with_hint("the answer to `run-setup` tells it"),
        _ => body,
    }
}

/// The error of `connect`.
pub(crate) fn connect_error(error: &ConnectError) -> ErrorBody {
    let code = match error {
        ConnectError::Unreachable { .. } => ErrorCode::PeerUnreachable,
        ConnectError::Rejected { .. } => ErrorCode::PeerRejected,
        ConnectError::Myself(_) => ErrorCode::ConnectSelf,
        ConnectError::ShuttingDown => ErrorCode::ShuttingDown,
    };
    ErrorBody::new(code, error)
}

/// The error of a peer that did not start.
pub(crate) fn start_error(error: &StartError) -> ErrorBody {
    let code = match error {
        StartError::GamesDir(_) => ErrorCode::GamesDirUnusable,
        StartError::StateDir { .. } | StartError::StateInsideGames { .. } => {
            ErrorCode::StateDirUnusable
        }
        StartError::StateDirNewer { .. } => ErrorCode::StateDirNewer,
        StartError::StateDirLocked { .. } => ErrorCode::StateDirLocked,
        StartError::Identity { .. } => ErrorCode::IdentityBroken,
        StartError::Listen { .. } => ErrorCode::ListenFailed,
        StartError::Mdns(_) => ErrorCode::MdnsFailed,
        StartError::Timeouts => ErrorCode::InvalidConfig,
    };
    ErrorBody::new(code, error)
}

fn download_error(failure: &DownloadFailure) -> ErrorBody {
    let code = match failure {
        DownloadFailure::NoManifest { .. } => ErrorCode::NoManifest,
        DownloadFailure::BadSources { .. } => ErrorCode::BadSources,
        DownloadFailure::ContentMismatch { .. } => ErrorCode::ContentMismatch,
        DownloadFailure::NamesClash { .. } | DownloadFailure::NameNotKept { .. } => {
            ErrorCode::NamesClash
        }
        DownloadFailure::NotEnoughRoom(_) | DownloadFailure::DiskFull { .. } => ErrorCode::DiskFull,
        DownloadFailure::Io { .. } => ErrorCode::IoError,
    };
    ErrorBody::new(code, failure)
}

fn install_error(failure: &InstallFailure) -> ErrorBody {
    let code = match failure {
        InstallFailure::NoArchive(_) => ErrorCode::NoArchive,
        InstallFailure::PasswordProtected { .. } => ErrorCode::PasswordProtected,
        InstallFailure::UnsafeArchive { .. } => ErrorCode::UnsafeArchive,
        InstallFailure::NamesClash { .. } => ErrorCode::NamesClash,
        InstallFailure::MissingVolume { .. } => ErrorCode::MissingVolume,
        InstallFailure::BadArchive { .. } => ErrorCode::BadArchive,
        InstallFailure::UnsupportedArchive { .. } => ErrorCode::UnsupportedArchive,
        InstallFailure::DiskFull { .. } => ErrorCode::DiskFull,
        InstallFailure::Io { .. } => ErrorCode::IoError,
        InstallFailure::Cancelled => ErrorCode::Cancelled,
        InstallFailure::Interrupted => ErrorCode::Interrupted,
    };
    ErrorBody::new(code, failure)
}

fn stream_error(failure: &StreamFailure) -> ErrorBody {
    let code = match failure {
        StreamFailure::SourceFailed { .. } | StreamFailure::SourceLost { .. } => {
            ErrorCode::SourceFailed
        }
        StreamFailure::BadSource { .. } => ErrorCode::BadSources,
        StreamFailure::Archive { code, .. } => match code {
            StreamErrorCode::NoArchive => ErrorCode::NoArchive,
            StreamErrorCode::PasswordProtected => ErrorCode::PasswordProtected,
            StreamErrorCode::UnsafeArchive => ErrorCode::UnsafeArchive,
            StreamErrorCode::MissingVolume => ErrorCode::MissingVolume,
            StreamErrorCode::BadArchive => ErrorCode::BadArchive,
            StreamErrorCode::UnsupportedArchive => ErrorCode::UnsupportedArchive,
            StreamErrorCode::ReadFailed | StreamErrorCode::Stopped => ErrorCode::SourceFailed,
        },
        StreamFailure::NotEnoughRoom(_) => ErrorCode::DiskFull,
        StreamFailure::Cancelled => ErrorCode::Cancelled,
        StreamFailure::Install(failure) => return install_error(failure),
    };
    ErrorBody::new(code, failure)
}

fn verify_error(failure: &VerifyFailure) -> ErrorBody {
    let code = match failure {
        VerifyFailure::Cancelled => ErrorCode::Cancelled,
        VerifyFailure::Io { .. } => ErrorCode::IoError,
        VerifyFailure::Interrupted => ErrorCode::Interrupted,
    };
    ErrorBody::new(code, failure)
}

fn setup_error(failure: &SetupFailure) -> ErrorBody {
    let code = match failure {
        SetupFailure::Unsupported | SetupFailure::NoScript { .. } => ErrorCode::NoSetupScript,
        SetupFailure::Io { .. } => ErrorCode::SetupNotStarted,
    };
    ErrorBody::new(code, failure)
}

fn remove_error(failure: &RemoveFailure) -> ErrorBody {
    let code = match failure {
        RemoveFailure::NotDownloaded(_) => ErrorCode::NotDownloaded,
        RemoveFailure::Installation { .. } => ErrorCode::StillInstalled,
        RemoveFailure::DiskFull { .. } => ErrorCode::DiskFull,
        RemoveFailure::Io { .. } => ErrorCode::IoError,
        RemoveFailure::Interrupted => ErrorCode::Interrupted,
    };
    ErrorBody::new(code, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(operation: Operation) -> String {
        let game_id = "quake".parse().unwrap();
        let body = command_error(&CommandError::GameBusy { game_id, operation });
        serde_json::to_value(body).unwrap()["hint"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_busy_game_is_only_said_to_be_cancellable_where_it_is() {
        for operation in [Operation::Downloading, Operation::Updating, Operation::StreamInstalling]
        {
            assert!(hint(operation).contains("`cancel-download` ends it early"), "{operation}");
        }
        for operation in [Operation::Installing, Operation::Uninstalling, Operation::Removing] {
            assert!(hint(operation).contains("cannot be cancelled"), "{operation}");
            assert!(!hint(operation).contains("`cancel-download`"), "{operation}");
        }
    }
}
