//! From what the runtime says to what is printed. Every `match` is exhaustive, so that a new event
//! or error of the runtime cannot be forgotten here.

use std::path::Path;
use std::time::Duration;

use lanspread_peer::{
    ActiveOperation, Availability, CommandError, ConnectError, DownloadFailure, DownloadSummary,
    GameDetails, GameInfo, InstallFailure, LostReason, Operation, PeerEvent, PeerInfo, PeerStatus,
    RejectReason, RemoveFailure, SetupFailure, SetupStarted, SourceBytes, SourceInfo, StartError,
    StreamFailure, StreamProgress, StreamSummary,
};
use lanspread_proto::stream::StreamErrorCode;
use lanspread_proto::{Manifest, ManifestFile};

use crate::errors::{ErrorBody, ErrorCode};
use crate::records::{
    ActiveOperationData, EventData, FileData, GameData, GameDetailsData, ManifestData,
    OutboundData, PeerData, ResultData, SourceBytesData, SourceData, StatusData,
};

/// The name and the data of an event.
pub(crate) fn event_data(event: PeerEvent) -> (&'static str, EventData) {
    match event {
        PeerEvent::PeerDiscovered(peer) => ("peer-discovered", EventData::Peer(peer_data(peer))),
        PeerEvent::PeerUpdated(peer) => ("peer-updated", EventData::Peer(peer_data(peer))),
        PeerEvent::PeerLost { peer_id, reason } => {
            ("peer-lost", EventData::PeerLost { peer_id, reason: lost_reason(reason) })
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
        PeerEvent::RemoveFinished { game_id } => ("remove-finished", EventData::Game { game_id }),
        PeerEvent::RemoveFailed { game_id, failure } => {
            ("remove-failed", EventData::Failed { game_id, error: remove_error(&failure) })
        }
        PeerEvent::SourceDropped { game_id, peer_id, reason } => {
            ("source-dropped", EventData::SourceDropped { game_id, peer_id, reason })
        }
        PeerEvent::OutboundTransferCountChanged { game_id, count } => {
            ("outbound-transfer-count-changed", EventData::OutboundTransfers { game_id, count })
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
    ResultData::Status(StatusData {
        peer_id: status.peer_id,
        name: status.name,
        listen_addr: status.listen_addr,
        games_dir: path_text(&status.games_dir),
        state_dir: path_text(&status.state_dir),
        library_rev: status.library_rev,
        peer_count: status.peer_count,
        active_operations: active_data(status.active_operations),
        outbound_transfers: outbound
            .map(|(game_id, count)| OutboundData { game_id, count })
            .collect(),
    })
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
pub(crate) fn details_data(details: GameDetails) -> ResultData {
    ResultData::Game(Box::new(GameDetailsData {
        game: game_data(details.game),
        sources: details.sources.into_iter().map(source_data).collect(),
        setup_done: details.setup_done,
        manifest: details.manifest.as_deref().map(manifest_data),
    }))
}

/// The result of `download`.
pub(crate) fn download_data(summary: DownloadSummary) -> ResultData {
    let DownloadSummary { files, bytes, sources } = summary;
    ResultData::Download { files, bytes, sources }
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

fn manifest_data(manifest: &Manifest) -> ManifestData {
    ManifestData {
        version: manifest.version().clone(),
        manifest_hash: manifest.manifest_hash(),
        content_root: manifest.content_root(),
        total_size: manifest.total_size(),
        files: manifest.files().iter().map(file_data).collect(),
    }
}

fn file_data(file: &ManifestFile) -> FileData {
    FileData {
        path: file.path.clone(),
        size: file.size,
        hash: file.hashes.as_ref().map(lanspread_proto::FileHashes::file),
        chunks: file.chunk_count(),
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
    }
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Ready => "ready",
        Availability::Downloading => "downloading",
        Availability::LocalOnly => "local_only",
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
        CommandError::Setup(failure) => return setup_error(failure),
        CommandError::ShuttingDown => ErrorCode::ShuttingDown,
    };
    ErrorBody::new(code, error)
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
        DownloadFailure::DiskFull { .. } => ErrorCode::DiskFull,
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
        InstallFailure::DiskFull { .. } => ErrorCode::DiskFull,
        InstallFailure::Io { .. } => ErrorCode::IoError,
        InstallFailure::Interrupted => ErrorCode::Interrupted,
    };
    ErrorBody::new(code, failure)
}

fn stream_error(failure: &StreamFailure) -> ErrorBody {
    let code = match failure {
        StreamFailure::SourceFailed { .. } => ErrorCode::SourceFailed,
        StreamFailure::BadSource { .. } => ErrorCode::BadSources,
        StreamFailure::Archive { code, .. } => match code {
            StreamErrorCode::NoArchive => ErrorCode::NoArchive,
            StreamErrorCode::PasswordProtected => ErrorCode::PasswordProtected,
            StreamErrorCode::UnsafeArchive => ErrorCode::UnsafeArchive,
            StreamErrorCode::MissingVolume => ErrorCode::MissingVolume,
            StreamErrorCode::BadArchive => ErrorCode::BadArchive,
            StreamErrorCode::ReadFailed | StreamErrorCode::Stopped => ErrorCode::SourceFailed,
        },
        StreamFailure::NotEnoughRoom { .. } => ErrorCode::DiskFull,
        StreamFailure::Cancelled => ErrorCode::Cancelled,
        StreamFailure::Install(failure) => return install_error(failure),
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
        RemoveFailure::Io { .. } => ErrorCode::IoError,
        RemoveFailure::Interrupted => ErrorCode::Interrupted,
    };
    ErrorBody::new(code, failure)
}
