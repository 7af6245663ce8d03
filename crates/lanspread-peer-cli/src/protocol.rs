//! The table of the JSONL protocol: every command, record and event, once.
//!
//! Parameter checks, `schema` and the generated part of `docs/jsonl.md` are made from it. The typed
//! records are kept in step by a test that holds every one of them against its schema.

mod commands;
mod events;

pub(crate) use commands::COMMANDS;
pub(crate) use events::EVENTS;

use crate::shape::{COUNT, Field, Shape, field};

/// The version of the JSONL protocol. It changes when a record or command changes its meaning.
pub(crate) const PROTOCOL: u32 = 1;

/// One command.
#[derive(Debug)]
pub(crate) struct CommandSpec {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) params: &'static [Field],
    pub(crate) result: &'static [Field],
    /// A line that works as it stands, for the documentation.
    pub(crate) example: &'static str,
}

/// One event.
#[derive(Debug)]
pub(crate) struct EventSpec {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) data: &'static [Field],
}

/// What `ready` carries.
pub(crate) const READY: &[Field] = &[
    field("peer_id", Shape::PeerId, "who the peer is; stable across restarts"),
    field("name", Shape::Text, "what it calls itself"),
    field("listen_addr", Shape::Text, "where it listens, with the real port"),
    field("network", Shape::Text, "which party it belongs to"),
    field("games_dir", Shape::Text, "where its games are"),
    field("pid", COUNT, "its process id"),
];

/// What is being done with a game.
pub(crate) const OPERATIONS: &[&str] = &[
    "downloading",
    "updating",
    "installing",
    "stream-installing",
    "uninstalling",
    "removing",
    "verifying",
];

/// What kind of problem a file of a game has.
const PROBLEM_REASONS: &[&str] = &[
    "name",
    "not-utf8",
    "too-deep",
    "special",
    "unreadable",
    "too-many-files",
    "paths-too-long",
    "too-many-directories",
    "too-large",
    "bad-version",
    "missing",
    "size",
    "content",
    "extra",
];

const PROBLEM_COUNT: Field = field("problem_count", COUNT, "how many problems there are");
const PROBLEMS: Field = field(
    "problems",
    Shape::List(&Shape::Object(&[
        field(
            "path",
            Shape::Text,
            "where in the game root, with `/`; bytes that are not UTF-8 stand as `\\xE9`; empty for the root itself",
        ),
        field("reason", Shape::OneOf(PROBLEM_REASONS), "what kind of problem it is"),
        field("message", Shape::Text, "the problem in words"),
    ])),
    "the first 100, in path order",
);

/// What a verification found.
const REPORT: &[Field] = &[
    field(
        "reference",
        Shape::OneOf(&["catalog", "sources", "index", "nothing"]),
        "what the game was held against: the content that the catalog states, what most of the sources have, what this peer read the last time (whether that was right nobody can tell), or nothing",
    ),
    PROBLEM_COUNT,
    PROBLEMS,
];

const ACTIVE_OPERATIONS: Field = field(
    "active_operations",
    Shape::List(&Shape::Object(&[
        GAME_ID,
        field("operation", Shape::OneOf(OPERATIONS), "what is being done with it"),
    ])),
    "all that is going on, in game id order",
);

const GAME_ID: Field = field("game_id", Shape::Text, "which game");
const PEER_ID: Field = field("peer_id", Shape::PeerId, "who it is");
const FILES: Field = field("files", COUNT, "how many files the game has");
const BYTES: Field = field("bytes", COUNT, "their bytes together");
const SOURCE_IDS: Field =
    field("sources", Shape::List(&Shape::PeerId), "who serves it, in peer id order");
const STREAM_SOURCE: Field = field("peer_id", Shape::PeerId, "which source unpacks it");
const LIBRARY_REV: Field = field("library_rev", COUNT, "revision of the announced library");

/// Peers of another protocol version, in `status` and in the event about them.
const OTHER_VERSION: &[Field] = &[
    field("name", Shape::Nullable(&Shape::Text), "what it calls itself, if it said so"),
    field("addr", Shape::Text, "where it listens if it said so, else where it dialled from"),
    field("proto_ver", Shape::Nullable(&VERSION_NUMBER), "its protocol version, if it said so"),
];
const OTHER_VERSION_DOC: &str = "peers of this party that cannot be used, as they speak another version of the \
     protocol; in the order of their addresses, at most 64";
const VERSION_NUMBER: Shape = Shape::Integer(0, u32::MAX as u64);

const CONFLICT_ID: Field = field("peer_id", Shape::PeerId, "which identity");
const CONFLICT_OWN: Field = field("own", Shape::Flag, "whether it is the one of this peer");
const CONFLICT_ADDRS: Field = field(
    "addrs",
    Shape::List(&Shape::Text),
    "where peers with it were seen lately, without this one, in order; empty where only another peer knows",
);

/// A known peer, in `list-peers` and in the events about peers.
const PEER: &[Field] = &[
    PEER_ID,
    field("name", Shape::Text, "what it calls itself; neither unique nor proven"),
    field("addr", Shape::Text, "where it listens"),
    LIBRARY_REV,
    field("game_count", COUNT, "how many games of the own catalog it announces"),
    field("last_seen_ms", COUNT, "milliseconds since its last sign of life"),
];

/// The command called `name`.
pub(crate) fn command(name: &str) -> Option<&'static CommandSpec> {
    COMMANDS.iter().find(|spec| spec.name == name)
}

/// The event called `name`.
pub(crate) fn event(name: &str) -> Option<&'static EventSpec> {
    EVENTS.iter().find(|spec| spec.name == name)
}
