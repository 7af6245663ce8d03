//! From what went wrong in the runtime to its error code. Every `match` is exhaustive, so that a new
//! failure cannot be forgotten here.

use lanspread_peer::{
    CommandError, ConnectError, DownloadFailure, InstallFailure, Operation, RemoveFailure,
    SetupFailure, StartError, StreamFailure, VerifyFailure,
};
use lanspread_proto::stream::StreamErrorCode;

use crate::errors::{ErrorBody, ErrorCode};

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

impl From<&CommandError> for ErrorBody {
    fn from(error: &CommandError) -> Self {
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
            CommandError::Download(failure) => return failure.into(),
            CommandError::Cancelled(_) => ErrorCode::Cancelled,
            CommandError::AllPeersGone(_) => ErrorCode::AllPeersGone,
            CommandError::Install(failure) => return failure.into(),
            CommandError::Stream(failure) => return failure.into(),
            CommandError::Remove(failure) => return failure.into(),
            CommandError::Verify(failure) => return failure.into(),
            CommandError::Setup(failure) => return failure.into(),
            CommandError::ShuttingDown => ErrorCode::ShuttingDown,
        };
        let body = Self::new(code, error);
        match error {
            CommandError::GameBusy { operation, .. }
            | CommandError::OperationsActive { operation, .. } => {
                body.with_hint(busy_hint(*operation))
            }
            CommandError::SetupStarting(_) => body.with_hint("the answer to `run-setup` tells it"),
            _ => body,
        }
    }
}

impl From<&ConnectError> for ErrorBody {
    fn from(error: &ConnectError) -> Self {
        let code = match error {
            ConnectError::Unreachable { .. } => ErrorCode::PeerUnreachable,
            ConnectError::Rejected { .. } => ErrorCode::PeerRejected,
            ConnectError::Myself(_) => ErrorCode::ConnectSelf,
            ConnectError::ShuttingDown => ErrorCode::ShuttingDown,
        };
        Self::new(code, error)
    }
}

impl From<&StartError> for ErrorBody {
    fn from(error: &StartError) -> Self {
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
        Self::new(code, error)
    }
}

impl From<&DownloadFailure> for ErrorBody {
    fn from(failure: &DownloadFailure) -> Self {
        let code = match failure {
            DownloadFailure::NoManifest { .. } => ErrorCode::NoManifest,
            DownloadFailure::BadSources { .. } => ErrorCode::BadSources,
            DownloadFailure::ContentMismatch { .. } => ErrorCode::ContentMismatch,
            DownloadFailure::NamesClash { .. } | DownloadFailure::NameNotKept { .. } => {
                ErrorCode::NamesClash
            }
            DownloadFailure::NotEnoughRoom(_) | DownloadFailure::DiskFull { .. } => {
                ErrorCode::DiskFull
            }
            DownloadFailure::Io { .. } => ErrorCode::IoError,
        };
        Self::new(code, failure)
    }
}

impl From<&InstallFailure> for ErrorBody {
    fn from(failure: &InstallFailure) -> Self {
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
        Self::new(code, failure)
    }
}

impl From<&StreamFailure> for ErrorBody {
    fn from(failure: &StreamFailure) -> Self {
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
            StreamFailure::Install(failure) => return failure.into(),
        };
        Self::new(code, failure)
    }
}

impl From<&VerifyFailure> for ErrorBody {
    fn from(failure: &VerifyFailure) -> Self {
        let code = match failure {
            VerifyFailure::Cancelled => ErrorCode::Cancelled,
            VerifyFailure::Io { .. } => ErrorCode::IoError,
            VerifyFailure::Interrupted => ErrorCode::Interrupted,
        };
        Self::new(code, failure)
    }
}

impl From<&SetupFailure> for ErrorBody {
    fn from(failure: &SetupFailure) -> Self {
        let code = match failure {
            SetupFailure::Unsupported | SetupFailure::NoScript { .. } => ErrorCode::NoSetupScript,
            SetupFailure::Io { .. } => ErrorCode::SetupNotStarted,
        };
        Self::new(code, failure)
    }
}

impl From<&RemoveFailure> for ErrorBody {
    fn from(failure: &RemoveFailure) -> Self {
        let code = match failure {
            RemoveFailure::NotDownloaded(_) => ErrorCode::NotDownloaded,
            RemoveFailure::Installation { .. } => ErrorCode::StillInstalled,
            RemoveFailure::DiskFull { .. } => ErrorCode::DiskFull,
            RemoveFailure::Io { .. } => ErrorCode::IoError,
            RemoveFailure::Interrupted => ErrorCode::Interrupted,
        };
        Self::new(code, failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(operation: Operation) -> String {
        let game_id = "quake".parse().unwrap();
        let body = ErrorBody::from(&CommandError::GameBusy { game_id, operation });
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
