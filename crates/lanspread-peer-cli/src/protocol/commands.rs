//! The commands, as they stand on standard input.

use std::net::SocketAddr;
use std::path::PathBuf;

use lanspread_proto::{ContentHash, GameId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest wait in milliseconds: a day. Waits hold a place among the commands in flight.
pub(crate) const TIMEOUT_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// Most files of a manifest that one answer has: with the longest paths, a line of 1.5 MiB.
pub(crate) const FILES_MAX: usize = 1_000;

/// Which games `list-games` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Scope {
    #[default]
    All,
    Local,
    Remote,
}

/// One command by its name, with its fields. The comments are what `schema` says of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    /// How the peer is.
    #[schemars(extend("example" = r#"{"id":1,"cmd":"status"}"#))]
    Status {},
    /// Who is known.
    #[schemars(extend("example" = r#"{"id":2,"cmd":"list-peers"}"#))]
    ListPeers {},
    /// Which games of the catalog are on this disk (`local`), announced by peers (`remote`), or
    /// either (`all`).
    #[schemars(extend("example" = r#"{"id":3,"cmd":"list-games","scope":"remote"}"#))]
    ListGames {
        /// which games; default all
        scope: Option<Scope>,
    },
    /// All that is known of one game: its state here, its sources and its files. Files come in
    /// pieces of 1000 at most: `manifest.next_file` is where the next one begins. Start again at 0
    /// if `manifest_hash` or `content_root` differs between two answers.
    #[schemars(extend("example" = r#"{"id":4,"cmd":"get-game","game_id":"doom"}"#))]
    GetGame {
        game_id: GameId,
        /// the position of the first file; default 0
        files_from: Option<usize>,
        /// how many files at most; default 1000
        #[schemars(range(min = 1, max = FILES_MAX))]
        files_max: Option<usize>,
    },
    /// Dials a peer, for networks without mDNS. Answers once both know each other's library.
    #[schemars(extend("example" = r#"{"id":5,"cmd":"connect","addr":"192.168.1.20:40000"}"#))]
    Connect {
        /// its address, `IP:PORT`
        addr: SocketAddr,
    },
    /// Waits until at least `count` peers are known.
    #[schemars(extend("example" = r#"{"id":6,"cmd":"wait-peers","count":1,"timeout_ms":10000}"#))]
    WaitPeers {
        /// how many
        count: usize,
        /// how long to wait; default 30000
        #[schemars(range(max = TIMEOUT_MAX_MS))]
        timeout_ms: Option<u64>,
    },
    /// Waits for the first event that has this name and these field values.
    #[schemars(extend("example" = r#"{"id":7,"cmd":"wait-for","event":"download-finished","where":{"game_id":"doom"},"timeout_ms":60000,"since_seq":0}"#))]
    WaitFor {
        /// its name; default any
        event: Option<String>,
        /// fields of its data with equal values; default none
        r#where: Option<Map<String, Value>>,
        /// how long to wait
        #[schemars(range(max = TIMEOUT_MAX_MS))]
        timeout_ms: u64,
        /// also past events with a greater `seq`; default: from now on
        since_seq: Option<u64>,
    },
    /// Changes the games directory and announces what is there. Refused while a game is worked on.
    #[schemars(extend("example" = r#"{"id":8,"cmd":"set-game-dir","path":"/srv/games"}"#))]
    SetGameDir {
        /// an existing directory
        path: PathBuf,
    },
    /// Fetches a game from all its sources at once. Resumes what an earlier, failed download left.
    /// Another version on this disk is replaced; what is installed stays as it is.
    #[schemars(extend("example" = r#"{"id":9,"cmd":"download","game_id":"doom","install":true,"wait":true}"#))]
    Download {
        game_id: GameId,
        /// fetch this content alone
        content_root: Option<ContentHash>,
        /// install it afterwards, unless it is installed; default as `--auto-install`
        install: Option<bool>,
        wait: Option<bool>,
    },
    /// Fetches a game like `download`, also where a copy of it is on this disk. It replaces a copy of
    /// another version, of other content than a source announces, or one that is no longer what this
    /// peer has read. Before it says `up-to-date` it looks at the disk. Its events are those of a
    /// download.
    #[schemars(extend("example" = r#"{"id":10,"cmd":"update","game_id":"doom","install":true,"wait":true}"#))]
    Update {
        game_id: GameId,
        /// fetch this content alone
        content_root: Option<ContentHash>,
        /// install it afterwards, in place of the whole `local/`; default as `--auto-install`
        install: Option<bool>,
        wait: Option<bool>,
    },
    /// Ends a download or update and deletes the root of the game with all in it, whoever
    /// put it there. Never deletes `local/` or [foreign files](wire.md#foreign-files); answers after
    /// `download-cancelled`. Ends an installation, streamed or from archives, likewise: the old
    /// `local/` stays, and so does the download; answers after `stream-install-failed` or
    /// `install-failed`, with the code `cancelled`. Ends a verification; answers after
    /// `verify-failed`.
    #[schemars(extend("example" = r#"{"id":11,"cmd":"cancel-download","game_id":"doom"}"#))]
    CancelDownload { game_id: GameId },
    /// Reads every file of a downloaded game and says what is wrong with it. The reference is the
    /// content root of the catalog; else what most of the sources have that have hashed the game;
    /// else what this peer read the last time, and then nobody can tell whether that was right. What
    /// is read is from then on what this peer knows. `local/` belongs to the user and is not read.
    /// The game is served meanwhile. `cancel-download` ends it. With `repair`, what is wrong is
    /// fetched as `update` fetches it: right chunks stay, and a file that does not belong to the
    /// game is removed.
    #[schemars(extend("example" = r#"{"id":18,"cmd":"verify","game_id":"doom","repair":true,"wait":true}"#))]
    Verify {
        game_id: GameId,
        /// whether to fetch what is wrong; default false
        repair: Option<bool>,
        wait: Option<bool>,
    },
    /// Unpacks the archives of a downloaded game into `local/`.
    #[schemars(extend("example" = r#"{"id":12,"cmd":"install","game_id":"doom","wait":true}"#))]
    Install { game_id: GameId, wait: Option<bool> },
    /// Installs a game that is not downloaded: a source sends the content of its
    /// archives straight into `local/`. No archive is stored, so this peer is no source afterwards. An
    /// old `local/` is replaced whole, once everything has arrived and was verified. Up to three
    /// sources are tried, one after another. Refused with `already-downloaded` where `install` does
    /// it from this disk.
    #[schemars(extend("example" = r#"{"id":13,"cmd":"stream-install","game_id":"doom","wait":true}"#))]
    StreamInstall {
        game_id: GameId,
        /// fetch this content alone
        content_root: Option<ContentHash>,
        /// answer at the end, not when a source has agreed; default false
        wait: Option<bool>,
    },
    /// Removes `local/`, and nothing else.
    #[schemars(extend("example" = r#"{"id":14,"cmd":"uninstall","game_id":"doom","wait":true}"#))]
    Uninstall { game_id: GameId, wait: Option<bool> },
    /// Deletes the root of a downloaded game with all in it; peers that fetch it are
    /// stopped first. Of a download that did not come to its end (`partial_bytes`) it also deletes what
    /// somebody else put into the root, and leaves `local/` as it is. Refused while the game is busy
    /// or outside the catalog, where it is downloaded and installed, and where the root has no
    /// `version.ini` and no journal of a download: its files are then not known to be a peer's.
    #[schemars(extend("example" = r#"{"id":15,"cmd":"remove-download","game_id":"doom","wait":true}"#))]
    RemoveDownload { game_id: GameId, wait: Option<bool> },
    /// Starts the setup script of an installed game (`game_setup.sh`, on Windows
    /// `game_setup.cmd`) and answers when it runs. It runs in `local/`, in a
    /// process group of its own, without input; it goes on when the peer ends, and may be run again.
    /// A script that begins with `#!` and the absolute path of an interpreter is run by that,
    /// whether it is executable or not; any other one by `/bin/sh`.
    #[schemars(extend("example" = r#"{"id":15,"cmd":"run-setup","game_id":"doom"}"#))]
    RunSetup { game_id: GameId },
    /// Answers, says goodbye to every peer, and ends the process with status 0.
    #[schemars(extend("example" = r#"{"id":16,"cmd":"shutdown"}"#))]
    Shutdown {},
}

impl Command {
    /// Whether it changes nothing and is answered soon.
    pub(crate) fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Status {} | Self::ListPeers {} | Self::ListGames { .. } | Self::GetGame { .. }
        )
    }
}
