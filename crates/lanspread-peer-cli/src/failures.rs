//! From what went wrong in the runtime to its error code. Every `match` is exhaustive, so that a new
//! failure cannot be forgotten here.

use lanspread_peer::{
    CommandError, ConnectError, ContentDispute, DownloadFailure, InstallFailure, Operation,
    RemoveFailure, SetupFailure, StartError, StreamFailure, VerifyFailure,
};
use lanspread_proto::stream::StreamErrorCode;

use crate::convert::all;
use crate::errors::{ErrorBody, ErrorCode};

/// Of a game that is busy: when that has ended, and whether it can be ended early.
fn busy_hint(error: &CommandError) -> Option<String> {
    let operation = match error {
        CommandError::GameBusy { operation, .. }
        | CommandError::OperationsActive { operation, .. } => operation,
        CommandError::SetupStarting(_) => return Some("the answer to `run-setup` tells it".into()),
        _ => return None,
    };
    let (event, is_cancellable) = match operation {
        Operation::Downloading | Operation::Updating => ("download", true),
        Operation::StreamInstalling => ("stream-install", true),
        Operation::Installing => ("install", false),
        Operation::Uninstalling => ("uninstall", false),
        Operation::Removing => ("remove", false),
        Operation::Verifying => ("verify", true),
    };
    let end = match is_cancellable {
        true => ", and `cancel-download` ends it early",
        false => "; it cannot be cancelled",
    };
    Some(format!("`{event}-finished` or `{event}-failed` tells it{end}"))
}

/// Gives each variant of a failure its code: first those that are called like it, then each other code
/// with its variants, and after `@` those that hold another failure.
macro_rules! codes {
    ($of:ident$(, hint: $hint:ident)?: $($same:ident)*; $($code:ident: $($variant:ident)*;)* $(@ $($inner:ident)*;)?) => {
        impl From<&$of> for ErrorBody {
            fn from(failure: &$of) -> Self {
                let code = match failure {
                    $($of::$same { .. } => ErrorCode::$same,)*
                    $($($of::$variant { .. })|* => ErrorCode::$code,)*
                    $($($of::$inner(inner) => return inner.into(),)*)?
                };
                let body = Self::new(code, failure);
                $(if let Some(more) = $hint(failure) {
                    return body.with_hint(&more);
                })?
                body
            }
        }
    };
}

codes! { CommandError, hint: busy_hint:
    UnknownGame NoSource AlreadyDownloaded UpToDate NotDownloaded AlreadyInstalled NotInstalled
    StillInstalled NotDownloading Cancelled AllPeersGone ShuttingDown;
    GameBusy: GameBusy OperationsActive SetupStarting;
    InvalidParams: OtherContentRoot;
    GamesDirUnusable: GamesDir;
    GamesDirChanging: ChangingGamesDir;
    @ Download Install Stream Remove Verify Setup;
}

codes! { ConnectError:
    ShuttingDown;
    PeerUnreachable: Unreachable;
    PeerRejected: Rejected;
    ConnectSelf: Myself;
}

codes! { StartError:
    StateDirNewer StateDirLocked;
    GamesDirUnusable: GamesDir;
    StateDirUnusable: StateDir StateInsideGames;
    IdentityBroken: Identity;
    ListenFailed: Listen;
    MdnsFailed: Mdns;
    InvalidConfig: Timeouts;
}

codes! { DownloadFailure:
    NoManifest BadSources ContentMismatch NamesClash DiskFull;
    NamesClash: NameNotKept;
    DiskFull: NotEnoughSpace;
    IoError: Io;
    @ ContentDisputed;
}

impl From<&ContentDispute> for ErrorBody {
    fn from(dispute: &ContentDispute) -> Self {
        let candidates = all(dispute.candidates.iter().cloned());
        Self::new(ErrorCode::ContentDisputed, dispute).with_candidates(candidates)
    }
}

codes! { InstallFailure:
    NoArchive PasswordProtected UnsafeArchive NamesClash MissingVolume BadArchive UnsupportedArchive
    DiskFull Cancelled Interrupted;
    IoError: Io;
}

codes! { VerifyFailure:
    Cancelled Interrupted;
    IoError: Io;
}

codes! { SetupFailure:
    ;
    NoSetupScript: Unsupported NoScript;
    SetupNotStarted: Io;
}

codes! { RemoveFailure:
    NotDownloaded DiskFull Interrupted;
    StillInstalled: Installation;
    IoError: Io;
}

impl From<&StreamFailure> for ErrorBody {
    fn from(failure: &StreamFailure) -> Self {
        let code = match failure {
            StreamFailure::SourceFailed { .. }
            | StreamFailure::SourceLost { .. }
            | StreamFailure::TurnLost { .. } => ErrorCode::SourceFailed,
            StreamFailure::BadSource { .. } => ErrorCode::BadSources,
            StreamFailure::Archive { code, .. } => match code {
                StreamErrorCode::NoArchive => ErrorCode::NoArchive,
                StreamErrorCode::PasswordProtected => ErrorCode::PasswordProtected,
                StreamErrorCode::UnsafeArchive => ErrorCode::UnsafeArchive,
                StreamErrorCode::MissingVolume => ErrorCode::MissingVolume,
                StreamErrorCode::BadArchive => ErrorCode::BadArchive,
                StreamErrorCode::UnsupportedArchive => ErrorCode::UnsupportedArchive,
                StreamErrorCode::ReadFailed
                | StreamErrorCode::Stopped
                | StreamErrorCode::TooSlow => ErrorCode::SourceFailed,
            },
            StreamFailure::ContentDisputed(dispute) => return dispute.into(),
            StreamFailure::NotEnoughSpace(_) => ErrorCode::DiskFull,
            StreamFailure::Cancelled => ErrorCode::Cancelled,
            StreamFailure::Install(failure) => return failure.into(),
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
