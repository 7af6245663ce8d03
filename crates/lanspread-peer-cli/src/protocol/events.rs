//! The table of events.

use super::{
    ACTIVE_OPERATIONS, BYTES, CONFLICT_ADDRS, CONFLICT_ID, CONFLICT_OWN, EventSpec, FILES, GAME_ID,
    LIBRARY_REV, OTHER_VERSION, OTHER_VERSION_DOC, PEER, PEER_ID, PROBLEM_COUNT, PROBLEMS, REPORT,
    SOURCE_IDS, STREAM_SOURCE, VERSION_NUMBER,
};
use crate::errors::ERROR;
use crate::shape::{COUNT, Field, Shape, field};

const GAME_ONLY: &[Field] = &[GAME_ID];
const FAILED: &[Field] = &[GAME_ID, field("error", Shape::Object(ERROR), "why")];
const BEGUN: &[Field] = &[GAME_ID, FILES, BYTES, SOURCE_IDS];
const CHANGED: Field =
    field("changed", Shape::List(&Shape::Text), "the ids of the games that changed, in order");
const SOURCE_BYTES: Field = field(
    "sources",
    Shape::List(&Shape::Object(&[
        field("peer_id", Shape::PeerId, "which source"),
        field("bytes", COUNT, "verified bytes that it gave"),
    ])),
    "what each source gave, in peer id order",
);

/// Every event, in the order of the documentation.
pub(crate) const EVENTS: &[EventSpec] = &[
    EventSpec {
        name: "peer-discovered",
        doc: "A peer is now known, with its library.",
        data: PEER,
    },
    EventSpec {
        name: "peer-updated",
        doc: "A known peer changed its name, address or library.",
        data: PEER,
    },
    EventSpec {
        name: "peer-lost",
        doc: "A peer is no longer known.",
        data: &[
            PEER_ID,
            field("reason", Shape::OneOf(&["goodbye", "timeout"]), "it said so, or was silent"),
            field(
                "advertised",
                Shape::Flag,
                "whether mDNS still tells of it; one that mDNS does not tell of is found by `connect` alone",
            ),
        ],
    },
    EventSpec {
        name: "peer-count-updated",
        doc: "The number of known peers changed.",
        data: &[field("peer_count", COUNT, "how many are known now")],
    },
    EventSpec {
        name: "peer-rejected",
        doc: "A peer was not let in, or did not let this one in.",
        data: &[
            field(
                "peer_id",
                Shape::Nullable(&Shape::PeerId),
                "who it claimed to be, if it came to that",
            ),
            field("addr", Shape::Text, "where it was"),
            field(
                "reason",
                Shape::OneOf(&[
                    "protocol_version",
                    "network",
                    "network_key",
                    "identity",
                    "protocol",
                ]),
                "what did not fit",
            ),
            field("message", Shape::Text, "the reason in words"),
        ],
    },
    EventSpec {
        name: "games-list-updated",
        doc: "What the peers announce changed.",
        data: &[field("game_count", COUNT, "how many games at least one peer announces"), CHANGED],
    },
    EventSpec {
        name: "local-games-updated",
        doc: "The games on this disk, or what is being done with them, changed.",
        data: &[
            LIBRARY_REV,
            field("game_count", COUNT, "how many games of the catalog are on this disk"),
            CHANGED,
            ACTIVE_OPERATIONS,
        ],
    },
    EventSpec {
        name: "game-incomplete",
        doc: "A game on this disk is not whole: something in its root cannot travel or cannot be read. It is not announced. Told once for each change of the problems; `local-games-updated` tells when it is whole again.",
        data: &[GAME_ID, PROBLEM_COUNT, PROBLEMS],
    },
    EventSpec {
        name: "verify-begin",
        doc: "A game is being verified.",
        data: &[
            GAME_ID,
            field("files", COUNT, "how many files it is known to have"),
            field("bytes", COUNT, "their bytes together"),
        ],
    },
    EventSpec {
        name: "verify-progress",
        doc: "How far a verification is: at most ten a second.",
        data: &[
            GAME_ID,
            field("bytes_done", COUNT, "bytes read so far"),
            field("bytes_total", COUNT, "bytes of all files"),
        ],
    },
    EventSpec {
        name: "verify-finished",
        doc: "A game was verified. With `repair`, `download-begin` or `download-failed` follows where something is wrong.",
        data: &[
            GAME_ID,
            field("files", COUNT, "how many files the game has on this disk"),
            BYTES,
            field("report", Shape::Object(REPORT), "what was found"),
        ],
    },
    EventSpec {
        name: "verify-failed",
        doc: "A verification ended without a result, or was cancelled.",
        data: FAILED,
    },
    EventSpec {
        name: "got-game-files",
        doc: "The manifest of a game to download has arrived.",
        data: BEGUN,
    },
    EventSpec {
        name: "download-begin",
        doc: "The first chunks of a game are being asked for.",
        data: BEGUN,
    },
    EventSpec {
        name: "download-progress",
        doc: "How far a download is: at most ten a second, and a last one at the end.",
        data: &[
            GAME_ID,
            field("bytes_done", COUNT, "verified bytes on disk"),
            field("bytes_total", COUNT, "bytes of the whole game"),
            field("bytes_per_second", COUNT, "speed over the last second"),
            field("active_peers", COUNT, "how many sources a chunk is being asked of"),
            SOURCE_BYTES,
        ],
    },
    EventSpec {
        name: "download-finished",
        doc: "A game is downloaded, committed and announced.",
        data: &[GAME_ID, FILES, BYTES, SOURCE_BYTES],
    },
    EventSpec {
        name: "download-failed",
        doc: "A download ended without the game. Verified chunks are kept for the next one.",
        data: FAILED,
    },
    EventSpec {
        name: "download-cancelled",
        doc: "A download or update was cancelled and its root deleted, but for `local/` and foreign files.",
        data: GAME_ONLY,
    },
    EventSpec {
        name: "download-all-peers-gone",
        doc: "A download ended because nobody serves the game any more; in place of `download-failed`.",
        data: GAME_ONLY,
    },
    EventSpec { name: "install-begin", doc: "A game is being installed.", data: GAME_ONLY },
    EventSpec {
        name: "install-progress",
        doc: "How far an installation is: at most ten a second.",
        data: &[GAME_ID, field("bytes_done", COUNT, "bytes unpacked so far")],
    },
    EventSpec {
        name: "install-finished",
        doc: "A game is installed.",
        data: &[GAME_ID, field("files", COUNT, "how many files were unpacked"), BYTES],
    },
    EventSpec {
        name: "install-failed",
        doc: "An installation ended, and everything is as it was before.",
        data: FAILED,
    },
    EventSpec {
        name: "stream-install-waiting",
        doc: "A source of a streamed installation has others to serve first.",
        data: &[
            GAME_ID,
            STREAM_SOURCE,
            field("position", COUNT, "how many come first; 0 when it is the turn of this peer"),
        ],
    },
    EventSpec {
        name: "stream-install-begin",
        doc: "A source has said what it will send, and there is room for it. Once, also where a later source says something else.",
        data: &[GAME_ID, STREAM_SOURCE, FILES, BYTES],
    },
    EventSpec {
        name: "stream-install-progress",
        doc: "How far a streamed installation is: at most ten a second, and a last one at the end. After `source-dropped` another source begins at 0 again.",
        data: &[
            GAME_ID,
            STREAM_SOURCE,
            field("bytes_done", COUNT, "bytes written so far"),
            field("bytes_total", COUNT, "bytes of all files that the source sends"),
            field("bytes_per_second", COUNT, "speed over the last second"),
        ],
    },
    EventSpec {
        name: "stream-install-finished",
        doc: "A game is installed from what a source unpacked.",
        data: &[GAME_ID, STREAM_SOURCE, FILES, BYTES],
    },
    EventSpec {
        name: "stream-install-failed",
        doc: "A streamed installation ended or was cancelled, and everything is as it was before.",
        data: FAILED,
    },
    EventSpec {
        name: "uninstall-begin",
        doc: "The `local/` of a game is being removed.",
        data: GAME_ONLY,
    },
    EventSpec {
        name: "uninstall-finished",
        doc: "The `local/` of a game is gone.",
        data: GAME_ONLY,
    },
    EventSpec {
        name: "uninstall-failed",
        doc: "The `local/` of a game could not be removed whole.",
        data: FAILED,
    },
    EventSpec {
        name: "remove-begin",
        doc: "The root of a game is being deleted.",
        data: GAME_ONLY,
    },
    EventSpec {
        name: "remove-finished",
        doc: "The root of a game is gone, or all in it that was the peer's.",
        data: &[
            GAME_ID,
            field(
                "kept",
                Shape::Nullable(&Shape::Text),
                "the root, if it stayed: system files or files of other programs are in it",
            ),
        ],
    },
    EventSpec {
        name: "remove-failed",
        doc: "The root of a game is still there, or parts of it without `version.ini`.",
        data: FAILED,
    },
    EventSpec {
        name: "source-dropped",
        doc: "A source is no longer used for a game.",
        data: &[
            GAME_ID,
            field("peer_id", Shape::PeerId, "which source"),
            field("reason", Shape::Text, "why, in words"),
        ],
    },
    EventSpec {
        name: "outbound-transfer-count-changed",
        doc: "The number of transfers of a game to other peers changed.",
        data: &[GAME_ID, field("count", COUNT, "how many are under way now")],
    },
    EventSpec {
        name: "peers-of-other-version",
        doc: "There are peers of this party that speak another version of the protocol: they are neither listed nor let in, until all have the same program version. All that are known, told 5 s after a change; an empty list says that there are none any more.",
        data: &[
            field("own", VERSION_NUMBER, "the protocol version of this peer"),
            field("peers", Shape::List(&Shape::Object(OTHER_VERSION)), OTHER_VERSION_DOC),
        ],
    },
    EventSpec {
        name: "identity-conflict",
        doc: "Two running peers have the same identity: a state directory was copied. At most once a minute for each identity.",
        data: &[
            CONFLICT_ID,
            CONFLICT_OWN,
            CONFLICT_ADDRS,
            field("message", Shape::Text, "what it is in words"),
            field("hint", Shape::Text, "what to do"),
        ],
    },
    EventSpec {
        name: "mdns-failed",
        doc: "Peers cannot be found by mDNS at the moment. It is tried again.",
        data: &[field("error", Shape::Object(ERROR), "why")],
    },
    EventSpec { name: "mdns-recovered", doc: "Peers can be found by mDNS again.", data: &[] },
    EventSpec {
        name: "runtime-failed",
        doc: "A required service died. The peer stops, with exit status 1.",
        data: &[
            field("service", Shape::Text, "which service"),
            field("message", Shape::Text, "why"),
        ],
    },
    EventSpec { name: "stopped", doc: "The last record: the peer has stopped.", data: &[] },
];
