//! Every error code of the protocol, in one table.
//!
//! The `error` record, the failure events, `schema` and the documentation are made from it.

use std::net::SocketAddr;

use lanspread_proto::{ContentHash, PeerId};
use schemars::JsonSchema;
use serde::Serialize;

/// An error as it stands in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// which kind of error: one of the names in `errors`
    // Not an enumeration: `errors` has the same names, and the schema is to be short.
    #[schemars(with = "String")]
    code: ErrorCode,
    /// what failed and on what, for people
    message: String,
    /// whether the same command can work later, unchanged
    retryable: bool,
    /// what to do about it
    hint: String,
    /// what to choose from, with `content-disputed`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<CandidateData>,
}

/// A content to choose, where sources disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CandidateData {
    pub(crate) content_root: Option<ContentHash>,
    /// its bytes, as announced
    pub(crate) bytes: Option<u64>,
    /// who has it
    pub(crate) sources: Vec<CandidateSourceData>,
}

/// A source of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CandidateSourceData {
    pub(crate) peer_id: PeerId,
    pub(crate) addr: Option<SocketAddr>,
}

impl ErrorBody {
    /// The error `code`, said of something in particular.
    pub(crate) fn new(code: ErrorCode, message: impl ToString) -> Self {
        let spec = code.spec();
        Self {
            code,
            message: message.to_string(),
            retryable: spec.retryable,
            hint: spec.hint.to_owned(),
            candidates: Vec::new(),
        }
    }

    /// Adds what there is to choose from.
    pub(crate) fn with_candidates(self, candidates: Vec<CandidateData>) -> Self {
        Self { candidates, ..self }
    }

    /// Adds a sentence to the hint, where more is known than the table can say.
    pub(crate) fn with_hint(mut self, more: &str) -> Self {
        self.hint.push_str("; ");
        self.hint.push_str(more);
        self
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct ErrorSpec {
    pub(crate) name: &'static str,
    pub(crate) retryable: bool,
    pub(crate) meaning: &'static str,
    pub(crate) hint: &'static str,
}

macro_rules! error_table {
    ($($code:ident = $name:literal, retryable: $retryable:literal, $meaning:literal, $hint:literal;)*) => {
        /// Which kind of error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub(crate) enum ErrorCode {
            $(#[serde(rename = $name)] $code,)*
        }

        impl ErrorCode {
            /// The row of this code.
            pub(crate) const fn spec(self) -> &'static ErrorSpec {
                match self {
                    $(Self::$code => &ErrorSpec {
                        name: $name,
                        retryable: $retryable,
                        meaning: $meaning,
                        hint: $hint,
                    },)*
                }
            }
        }

        /// Every error code, in the order of the documentation.
        pub(crate) const ERRORS: &[&ErrorSpec] = &[$(ErrorCode::$code.spec()),*];
    };
}

error_table! {
    BadJson = "bad-json", retryable: false,
        "The line is not one JSON object in UTF-8, or names a field twice.",
        "send one JSON object a line, in UTF-8";
    LineTooLong = "line-too-long", retryable: false,
        "The line is longer than 1 MiB. It was skipped.",
        "split the command; no command needs such a line";
    UnknownCommand = "unknown-command", retryable: false,
        "There is no command of this name.",
        "run `lanspread-peer-cli schema` for the commands";
    InvalidParams = "invalid-params", retryable: false,
        "A field is missing, unknown, of the wrong type, or breaks a rule.",
        "correct the field that the message names";
    Timeout = "timeout", retryable: true,
        "What was waited for did not happen in time.",
        "look at the state with `status`, `list-peers` or `list-games`, or wait longer";
    ShuttingDown = "shutting-down", retryable: false,
        "The peer is stopping, so the command was not carried out or not to its end.",
        "start the peer again";
    UnknownGame = "unknown-game", retryable: false,
        "The catalog has no such game.",
        "take an id from `list-games`, or add the game to the catalog and restart the peer";
    GameBusy = "game-busy", retryable: true,
        "Something else is being done with the game.",
        "wait until that has ended";
    GamesDirChanging = "games-dir-changing", retryable: true,
        "`set-game-dir` is under way, and nothing else begins meanwhile.",
        "wait for its answer";
    NoSource = "no-source", retryable: true,
        "No known peer announces the game at the catalog's version.",
        "wait for a peer that has it (`games-list-updated`), or `connect` to one";
    AlreadyDownloaded = "already-downloaded", retryable: false,
        "The game is already on this disk at the catalog's version.",
        "nothing needs to be fetched; `install` it if that was the aim, `verify` it with `repair` if files of it are damaged, `update` it if its content is another one";
    UpToDate = "up-to-date", retryable: false,
        "The game is ready at the catalog's version, and no source announces other content of it.",
        "nothing needs to be fetched; `install` it if that was the aim, `verify` it with `repair` if files of it may be damaged";
    NotDownloaded = "not-downloaded", retryable: false,
        "The game is not on this disk, and there is no unfinished download of it.",
        "`download` it first; `partial_bytes` in `get-game` tells what an unfinished download takes";
    AlreadyInstalled = "already-installed", retryable: false,
        "The game is already installed.",
        "`uninstall` it first to install it anew";
    NotInstalled = "not-installed", retryable: false,
        "The game is not installed.",
        "nothing needs to be removed; `install` it first to run its setup";
    NoSetupScript = "no-setup-script", retryable: false,
        "`local/` has no `game_setup.sh`, or on Windows no `game_setup.cmd`.",
        "nothing needs to be set up; look into `local/`";
    SetupNotStarted = "setup-not-started", retryable: true,
        "The setup script, its interpreter or its log is not usable; links are never followed.",
        "correct what the message names, then try again";
    StillInstalled = "still-installed", retryable: false,
        "The game is installed, or may be, so its download stays.",
        "`uninstall` it first; move away what the message names, if it is none of a peer's";
    NotDownloading = "not-downloading", retryable: false,
        "Nothing is being done with the game that can be cancelled.",
        "look at `active_operations` in `status`";
    Cancelled = "cancelled", retryable: true,
        "The download, installation or verification was cancelled.",
        "repeat the command";
    AllPeersGone = "download-all-peers-gone", retryable: true,
        "Nobody serves the game any more. Verified chunks are kept.",
        "wait for a source (`games-list-updated`), then `download` again: it resumes";
    SourceFailed = "source-failed", retryable: true,
        "The source of a streamed installation is gone, fell silent, refused or gave up. Everything is as it was before.",
        "look at the `source-dropped` events for each source; repeat the command once there is a source";
    NoManifest = "no-manifest", retryable: true,
        "No source gave a usable list of the game's files.",
        "look at the sources with `get-game`, then try again";
    BadSources = "bad-sources", retryable: true,
        "Every source was dropped for what it sent.",
        "look at the `source-dropped` events; try again once there is another source";
    ContentDisputed = "content-disputed", retryable: true,
        "The sources disagree, and no content has more than half of their addresses.",
        "give the `content_root` of a candidate that you trust, or put it into the catalog; another source may decide as well";
    ContentMismatch = "content-mismatch", retryable: true,
        "What arrived is not the content that the catalog or most sources have.",
        "compare the content roots in `get-game`; the game or the catalog of a source is wrong";
    DiskFull = "disk-full", retryable: true,
        "There is not enough room on the disk; the message has the figures.",
        "free some space, then try again; `partial_bytes` in `list-games` tells what unfinished downloads take";
    NamesClash = "names-clash", retryable: false,
        "The disk takes two names of the game for one, or spells them in its own way. The game is as it was before.",
        "put the games directory on a disk that keeps names as they are, or rename what the message names at the source";
    IoError = "io-error", retryable: true,
        "A file could not be read, written, moved or removed.",
        "correct what the message names (rights, file system, disk), then try again";
    NoArchive = "no-archive", retryable: false,
        "The game has no archive to install.",
        "the game needs an `.eti` archive in its root; look at its files with `get-game`";
    PasswordProtected = "password-protected", retryable: false,
        "The archive needs a password, and passwords are not supported.",
        "replace the archive by one without a password";
    UnsafeArchive = "unsafe-archive", retryable: false,
        "An entry of the archive would leave its folder, is no plain file or folder, or refers to no file before it.",
        "do not trust this archive; get the game elsewhere";
    MissingVolume = "missing-volume", retryable: false,
        "The archive continues in another volume, which is not beside it.",
        "put all volumes beside the first, in the game root of whoever unpacks it, as `NAME.part1.eti`, `NAME.part2.eti`, … or as `NAME.eti`, `NAME.e00`, `NAME.e01`, …";
    BadArchive = "bad-archive", retryable: false,
        "The archive is damaged, incomplete, or of an unknown format.",
        "compare its hash with that of other sources; get the game again";
    UnsupportedArchive = "unsupported-archive", retryable: false,
        "The archive needs a larger dictionary than allowed where it is unpacked, more memory, a newer program, or fewer entries.",
        "the game need not be damaged: raise `--max-dictionary` if the message names it, or unpack with a newer program (`--unrar`), at the peer that unpacks";
    Interrupted = "interrupted", retryable: true,
        "The peer stopped before the operation ended; what was begun is rolled back.",
        "start the peer again and repeat the command";
    PeerUnreachable = "peer-unreachable", retryable: true,
        "Nobody answered at the address, or not in time.",
        "check address, port and firewall, and that the other peer runs";
    PeerRejected = "peer-rejected", retryable: false,
        "One of the two peers did not let the other in.",
        "as the message says: both need the same program version, `--network` and network key, and each an identity of its own";
    ConnectSelf = "connect-self", retryable: false,
        "The address is this peer's own.",
        "give the address of another peer";
    GamesDirUnusable = "games-dir-unusable", retryable: false,
        "The games directory is missing, no directory, or not readable.",
        "name an existing, readable directory that is not, holds or lies in the state directory";
    StateDirUnusable = "state-dir-unusable", retryable: false,
        "The state directory cannot be used, or lies inside the games directory.",
        "name a writable directory outside the games directory";
    StateDirNewer = "state-dir-newer", retryable: false,
        "A newer version of the program has written the state directory. Nothing in it was changed.",
        "start the newer version, or name another state directory; a new one makes this another peer";
    StateDirLocked = "state-dir-locked", retryable: true,
        "Another peer runs on the state directory.",
        "stop the other peer, or give each peer a state directory of its own";
    IdentityBroken = "identity-broken", retryable: false,
        "The private key or certificate is broken. It is never replaced silently.",
        "restore it, or remove the `identity` directory to become another peer";
    ListenFailed = "listen-failed", retryable: true,
        "The listen address cannot be bound.",
        "choose an address of this machine and a free port; port 0 takes any";
    MdnsFailed = "mdns-failed", retryable: true,
        "Discovery over mDNS cannot start.",
        "check `--mdns-interface`; `--mdns-interface off` with `connect` does without";
    CatalogUnusable = "catalog-unusable", retryable: false,
        "The catalog cannot be read, is broken, or breaks a rule.",
        "correct the catalog as the message says, or name another with `--catalog`";
    NetworkKeyUnusable = "network-key-unusable", retryable: false,
        "The network key file cannot be read, or its secret is too short.",
        "name a readable file with a secret of at least 8 bytes";
    InvalidConfig = "invalid-config", retryable: false,
        "Two settings do not go together.",
        "change the flags as the message says";
    Internal = "internal", retryable: false,
        "The program did what it never should.",
        "report it, with the log (`--log debug`)";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let names: BTreeSet<_> = ERRORS.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), ERRORS.len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
    }

    #[test]
    fn meanings_are_sentences_and_hints_are_not() {
        for spec in ERRORS {
            assert!(spec.meaning.ends_with('.'), "{}", spec.name);
            assert!(!spec.hint.ends_with('.'), "{}", spec.name);
        }
    }
}
