//! The JSONL protocol as types: what is read and what is printed.
//!
//! Their comments are what `schema` and `docs/jsonl.md` say of commands, events and fields. A field
//! that has no comment is described in [`FIELD_DOCS`].

pub(crate) mod commands;
pub(crate) mod data;
pub(crate) mod events;
pub(crate) mod records;
pub(crate) mod results;

/// The version of the JSONL protocol. It changes when a record or command changes its meaning.
pub(crate) const VERSION: u32 = 1;

/// What a field is for, wherever it has no comment of its own.
pub(crate) const FIELD_DOCS: &[(&str, &str)] = &[
    ("active_operations", "all that is going on, in game id order"),
    ("addr", "where it listens"),
    ("addrs", "where other peers with it were seen lately, in order"),
    ("bytes", "their bytes together"),
    ("bytes_per_second", "speed over the last second"),
    ("changed", "the ids of the games that changed, in order"),
    ("content_root", "hash of the content, once hashed"),
    ("count", "how many transfers are under way"),
    ("error", "why"),
    ("files", "how many files the game has"),
    ("game_id", "which game"),
    ("games_dir", "where its games are"),
    ("id", "which game"),
    ("library_rev", "revision of the announced library"),
    ("listen_addr", "where it listens, with the real port"),
    ("message", "the reason in words"),
    ("name", "what it calls itself"),
    ("operation", "what is being done with it"),
    ("own", "whether it is the one of this peer"),
    ("peer_count", "how many peers are known"),
    ("peer_id", "who it is"),
    ("problem_count", "how many problems there are"),
    ("problems", "the first 100, in path order"),
    ("sources", "who serves it, in peer id order"),
    (
        "wait",
        "answer at the end, also of an installation or repair that follows, instead of at the start; default false",
    ),
];
