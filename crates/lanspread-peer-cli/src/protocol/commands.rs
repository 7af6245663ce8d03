//! The table of commands.

use super::{
    ACTIVE_OPERATIONS, BYTES, CONFLICT_ADDRS, CONFLICT_ID, CONFLICT_OWN, CommandSpec, FILES,
    GAME_ID, LIBRARY_REV, OPERATIONS, OTHER_VERSION, OTHER_VERSION_DOC, PEER, PEER_ID,
    PROBLEM_COUNT, PROBLEMS, REPORT, SOURCE_IDS, STREAM_SOURCE,
};
use crate::commands::{FILES_MAX, TIMEOUT_MAX_MS};
use crate::errors::ERROR;
use crate::shape::{COUNT, Field, Shape, field, optional};

const TIMEOUT: Shape = Shape::Integer(0, TIMEOUT_MAX_MS);
const AVAILABILITY: Shape = Shape::OneOf(&["ready", "downloading", "local_only", "incomplete"]);

const GAME: &[Field] = &[
    field("id", Shape::Text, "which game"),
    field("title", Shape::Text, "its title in the catalog"),
    field("version", Shape::Nullable(&Shape::Text), "the version on this disk, if downloaded"),
    field("expected_version", Shape::Text, "the version in the catalog"),
    field("size", COUNT, "bytes: on this disk, else as announced, else of the catalog, else 0"),
    field("downloaded", Shape::Flag, "whether `version.ini` is there"),
    field("installed", Shape::Flag, "whether `local/` is there"),
    field(
        "availability",
        Shape::Nullable(&AVAILABILITY),
        "what it can be used for; null when nothing of it is on this disk",
    ),
    field("peer_count", COUNT, "how many peers announce it at the catalog's version"),
    field(
        "operation",
        Shape::Nullable(&Shape::OneOf(OPERATIONS)),
        "what is being done with it; null when it is idle",
    ),
    field(
        "partial_bytes",
        Shape::Nullable(&COUNT),
        "bytes that a download which did not come to its end takes on this disk: the next one goes on from there, and `remove-download` deletes it; null where there is none",
    ),
    PROBLEM_COUNT,
    PROBLEMS,
];

const SOURCE: &[Field] = &[
    PEER_ID,
    field("name", Shape::Text, "what it calls itself"),
    field("addr", Shape::Text, "where it listens"),
    field("content_root", Shape::Nullable(&Shape::Hash), "its content, once it is hashed"),
];

const MANIFEST: &[Field] = &[
    field("version", Shape::Text, "the version of the game"),
    field("manifest_hash", Shape::Hash, "hash of version, paths and sizes"),
    field("content_root", Shape::Nullable(&Shape::Hash), "hash of the content, once hashed"),
    field("total_size", COUNT, "bytes of all files together"),
    field("file_count", COUNT, "how many files there are"),
    field(
        "next_file",
        Shape::Nullable(&COUNT),
        "the position after the last one of `files`; null when there are no more",
    ),
    field(
        "directories",
        Shape::List(&Shape::Text),
        "the innermost directories without content files, in path order; 4096 at most",
    ),
    field(
        "files",
        Shape::List(&Shape::Object(&[
            field("path", Shape::Text, "where it lies in the game root, with `/`"),
            field("size", COUNT, "its bytes"),
            field("hash", Shape::Nullable(&Shape::Hash), "its BLAKE3 hash, once hashed"),
            field("chunks", COUNT, "how many chunks it has"),
            field(
                "executable",
                Shape::Nullable(&Shape::Flag),
                "whether it is executable; null where nobody can tell",
            ),
        ])),
        "content files in path order, from `files_from` on",
    ),
];

const WAIT: Field = optional(
    "wait",
    Shape::Flag,
    "answer at the end, after the terminal event, instead of at the start; default false",
);

const WAIT_FOR_INSTALL: Field = optional(
    "wait",
    Shape::Flag,
    "answer at the end (of the installation, if there is one), after the terminal event, instead of at the start; default false",
);

/// Every command, in the order of the documentation.
pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "status",
        doc: "How the peer is.",
        params: &[],
        result: &[
            PEER_ID,
            field("name", Shape::Text, "what it calls itself"),
            field("listen_addr", Shape::Text, "where it listens, with the real port"),
            field("games_dir", Shape::Text, "where its games are"),
            field("state_dir", Shape::Text, "where its state is"),
            LIBRARY_REV,
            field("peer_count", COUNT, "how many peers are known"),
            field(
                "mdns",
                Shape::OneOf(&["off", "starting", "working", "failed"]),
                "whether peers can be found by mDNS",
            ),
            field(
                "mdns_error",
                Shape::Nullable(&Shape::Object(ERROR)),
                "why not, where it has failed; it is tried again",
            ),
            field(
                "peers_of_other_version",
                Shape::List(&Shape::Object(OTHER_VERSION)),
                OTHER_VERSION_DOC,
            ),
            field(
                "identity_conflicts",
                Shape::List(&Shape::Object(&[CONFLICT_ID, CONFLICT_OWN, CONFLICT_ADDRS])),
                "identities that two running peers have, as far as noticed in the last three minutes",
            ),
            ACTIVE_OPERATIONS,
            field(
                "outbound_transfers",
                Shape::List(&Shape::Object(&[
                    GAME_ID,
                    field("count", COUNT, "how many transfers are under way"),
                ])),
                "transfers to other peers, in game id order",
            ),
        ],
        example: r#"{"id":1,"cmd":"status"}"#,
    },
    CommandSpec {
        name: "list-peers",
        doc: "Who is known.",
        params: &[],
        result: &[field("peers", Shape::List(&Shape::Object(PEER)), "in peer id order")],
        example: r#"{"id":2,"cmd":"list-peers"}"#,
    },
    CommandSpec {
        name: "list-games",
        doc: "Which games of the catalog are on this disk (`local`), announced by peers (`remote`), or either (`all`).",
        params: &[optional(
            "scope",
            Shape::OneOf(&["all", "local", "remote"]),
            "which games; default all",
        )],
        result: &[field("games", Shape::List(&Shape::Object(GAME)), "in game id order")],
        example: r#"{"id":3,"cmd":"list-games","scope":"remote"}"#,
    },
    CommandSpec {
        name: "get-game",
        doc: "All that is known of one game: its state here, its sources and its files. Files come in pieces of 1000 at most: `manifest.next_file` is where the next one begins. Start again at 0 if `manifest_hash` or `content_root` differs between two answers.",
        params: &[
            GAME_ID,
            optional("files_from", COUNT, "the position of the first file; default 0"),
            optional(
                "files_max",
                Shape::Integer(1, FILES_MAX as u64),
                "how many files at most; default 1000",
            ),
        ],
        result: &[
            field("game", Shape::Object(GAME), "the game, as in `list-games`"),
            field("sources", Shape::List(&Shape::Object(SOURCE)), "who serves it"),
            field(
                "setup_done",
                Shape::Flag,
                "whether it is installed and `run-setup` has started its setup script since",
            ),
            field(
                "manifest",
                Shape::Nullable(&Shape::Object(MANIFEST)),
                "its files; null when neither this peer nor a source can tell them",
            ),
        ],
        example: r#"{"id":4,"cmd":"get-game","game_id":"doom"}"#,
    },
    CommandSpec {
        name: "connect",
        doc: "Dials a peer, for networks without mDNS. Answers once both know each other's library.",
        params: &[field("addr", Shape::Text, "its address, `IP:PORT`")],
        result: &[PEER_ID],
        example: r#"{"id":5,"cmd":"connect","addr":"192.168.1.20:40000"}"#,
    },
    CommandSpec {
        name: "wait-peers",
        doc: "Waits until at least `count` peers are known.",
        params: &[
            field("count", COUNT, "how many"),
            optional("timeout_ms", TIMEOUT, "how long to wait; default 30000"),
        ],
        result: &[field("peer_count", COUNT, "how many are known now")],
        example: r#"{"id":6,"cmd":"wait-peers","count":1,"timeout_ms":10000}"#,
    },
    CommandSpec {
        name: "wait-for",
        doc: "Waits for the first event that has this name and these field values.",
        params: &[
            optional("event", Shape::Text, "its name; default any"),
            optional(
                "where",
                Shape::AnyObject,
                "fields of its data that must be there with an equal value; default none",
            ),
            field("timeout_ms", TIMEOUT, "how long to wait"),
            optional(
                "since_seq",
                COUNT,
                "also look at past events with a greater `seq`; default: events from now on",
            ),
        ],
        result: &[
            field("event", Shape::Text, "the name of the event"),
            field("seq", COUNT, "the `seq` of its record"),
            field("t_us", COUNT, "the `t_us` of its record"),
            field("data", Shape::AnyObject, "its data"),
        ],
        example: r#"{"id":7,"cmd":"wait-for","event":"download-finished","where":{"game_id":"doom"},"timeout_ms":60000,"since_seq":0}"#,
    },
    CommandSpec {
        name: "set-game-dir",
        doc: "Changes the games directory and announces what is there. Refused while a game is worked on.",
        params: &[field("path", Shape::Text, "an existing directory")],
        result: &[field("games_dir", Shape::Text, "its canonical path")],
        example: r#"{"id":8,"cmd":"set-game-dir","path":"/srv/games"}"#,
    },
    CommandSpec {
        name: "download",
        doc: "Fetches a game from all its sources at once. Resumes what an earlier, failed download left. Another version on this disk is replaced; what is installed stays as it is.",
        params: &[
            GAME_ID,
            optional(
                "install",
                Shape::Flag,
                "whether to install it afterwards, unless it is installed; default as `--auto-install`",
            ),
            WAIT_FOR_INSTALL,
        ],
        result: &[FILES, BYTES, SOURCE_IDS],
        example: r#"{"id":9,"cmd":"download","game_id":"doom","install":true,"wait":true}"#,
    },
    CommandSpec {
        name: "update",
        doc: "Fetches a game like `download`, also where a copy of it is on this disk: that of another version, of other content than a source announces, or one that is no longer what this peer has read. Before it says `up-to-date` it looks at the disk. Its events are those of a download.",
        params: &[
            GAME_ID,
            optional(
                "install",
                Shape::Flag,
                "whether to install it afterwards, in place of the whole old `local/`; default as `--auto-install`",
            ),
            WAIT_FOR_INSTALL,
        ],
        result: &[FILES, BYTES, SOURCE_IDS],
        example: r#"{"id":10,"cmd":"update","game_id":"doom","install":true,"wait":true}"#,
    },
    CommandSpec {
        name: "cancel-download",
        doc: "Ends a download or update and deletes the root of the game with all that is in it, whoever put it there, but never `local/` or [foreign files](wire.md#foreign-files); answers after `download-cancelled`. Ends an installation, streamed or from archives, likewise: the old `local/` stays, and so does the download; answers after `stream-install-failed` or `install-failed`, with the code `cancelled`. Ends a verification; answers after `verify-failed`.",
        params: &[GAME_ID],
        result: &[],
        example: r#"{"id":11,"cmd":"cancel-download","game_id":"doom"}"#,
    },
    CommandSpec {
        name: "verify",
        doc: "Reads every file of a downloaded game and says what is wrong with it. The reference is the content root of the catalog; else what most of the sources have that have hashed the game; else what this peer read the last time, and then nobody can tell whether that was right. What is read is from then on what this peer knows. `local/` belongs to the user and is not read. The game is served meanwhile. `cancel-download` ends it. With `repair`, what is wrong is fetched as `update` fetches it: right chunks stay, and a file that does not belong to the game is removed.",
        params: &[
            GAME_ID,
            optional("repair", Shape::Flag, "whether to fetch what is wrong; default false"),
            optional(
                "wait",
                Shape::Flag,
                "answer at the end (of the repair, if there is one), after the terminal event, instead of at the start; default false",
            ),
        ],
        result: &[
            field("files", COUNT, "how many files the game has on this disk"),
            BYTES,
            field(
                "report",
                Shape::Nullable(&Shape::Object(REPORT)),
                "what was found; null when the answer comes at the start",
            ),
            field("repaired", Shape::Flag, "whether what was wrong has been fetched"),
        ],
        example: r#"{"id":18,"cmd":"verify","game_id":"doom","repair":true,"wait":true}"#,
    },
    CommandSpec {
        name: "install",
        doc: "Unpacks the archives of a downloaded game into `local/`.",
        params: &[GAME_ID, WAIT],
        result: &[],
        example: r#"{"id":12,"cmd":"install","game_id":"doom","wait":true}"#,
    },
    CommandSpec {
        name: "stream-install",
        doc: "Installs a game that is not downloaded: a source unpacks its archives and sends what they hold straight into `local/`. No archive is stored, so this peer is no source afterwards. An old `local/` is replaced whole, once everything has arrived and was verified. Up to three sources are tried, one after another. Refused with `already-downloaded` where `install` does it from this disk.",
        params: &[
            GAME_ID,
            optional(
                "wait",
                Shape::Flag,
                "whether to answer at the end, rather than when a source has said what it will send; default false",
            ),
        ],
        result: &[STREAM_SOURCE, FILES, BYTES],
        example: r#"{"id":13,"cmd":"stream-install","game_id":"doom","wait":true}"#,
    },
    CommandSpec {
        name: "uninstall",
        doc: "Removes `local/`, and nothing else.",
        params: &[GAME_ID, WAIT],
        result: &[],
        example: r#"{"id":14,"cmd":"uninstall","game_id":"doom","wait":true}"#,
    },
    CommandSpec {
        name: "remove-download",
        doc: "Deletes the root of a downloaded game with all that is in it; peers that fetch it are told to stop first. Of a download that did not come to its end (`partial_bytes`) it also deletes what somebody else put into the root, and leaves `local/` as it is. Refused while the game is busy or outside the catalog, where it is downloaded and installed, and where the root has no `version.ini` and no journal of a download: its files are then not known to be a peer's.",
        params: &[GAME_ID, WAIT],
        result: &[],
        example: r#"{"id":15,"cmd":"remove-download","game_id":"doom","wait":true}"#,
    },
    CommandSpec {
        name: "run-setup",
        doc: "Starts the setup script of an installed game (`game_setup.sh` in `local/`, on Windows `game_setup.cmd`) and answers when it runs, not when it ends. It runs in `local/`, in a process group of its own, without input; it goes on when the peer ends, and may be run again. A script that begins with `#!` and the absolute path of an interpreter is run by that, whether it is executable or not; any other one by `/bin/sh`.",
        params: &[GAME_ID],
        result: &[
            field("script", Shape::Text, "the script"),
            field("log", Shape::Text, "the file to which its output goes"),
            field("pid", COUNT, "its process, which leads a group of its own"),
            field(
                "already_done",
                Shape::Flag,
                "whether it was started before since the game was installed",
            ),
        ],
        example: r#"{"id":15,"cmd":"run-setup","game_id":"doom"}"#,
    },
    CommandSpec {
        name: "shutdown",
        doc: "Answers, says goodbye to every peer, and ends the process with status 0.",
        params: &[],
        result: &[],
        example: r#"{"id":16,"cmd":"shutdown"}"#,
    },
];
