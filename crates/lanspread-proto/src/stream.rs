//! The frames of a streamed installation.
//!
//! They follow [`crate::message::Response::Stream`] on its stream, each a header of its own
//! ([`crate::codec`]); behind [`StreamFrame::Data`] come as many raw bytes as it says. The order is
//! [`StreamFrame::Begin`], the entries, [`StreamFrame::End`], and then the stream ends;
//! [`StreamFrame::Waiting`] may stand between any two, and [`StreamFrame::Error`] in place of any
//! that is still to come.

use serde::{Deserialize, Serialize};

use crate::limits::MANIFEST_MAX_FILES;
use crate::path::RelPath;

/// Longest header of a frame: a copy with two of the longest paths, with room to spare.
pub const FRAME_HEADER_MAX_BYTES: usize = 8 * 1024;
/// Most raw bytes behind one [`StreamFrame::Data`]: few frames a second on a fast link, and little
/// memory for each.
pub const STREAM_DATA_MAX_BYTES: u32 = 256 * 1024;
/// Most files and directories of one stream, those included that hold another one and are not named.
/// More than twice what a manifest may list. Both ends keep the names in memory; without a bound a source
/// could fill that, or a disk with empty directories, which take no announced bytes.
pub const STREAM_ENTRIES_MAX: u64 = 250_000;
/// Most archives of one stream: each is a file of its game's manifest.
pub const STREAM_ARCHIVES_MAX: u64 = MANIFEST_MAX_FILES as u64;
/// Longest message of [`StreamFrame::Error`] in bytes: a path, and what is wrong with it.
pub const STREAM_MESSAGE_MAX_BYTES: usize = 2 * 1024;

/// One frame, from the source to the receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamFrame {
    /// Nothing to send yet, and a sign of life.
    Waiting {
        /// How many streams come first; 0 when it is this one's turn.
        position: u32,
    },
    /// What will come. The first frame but [`StreamFrame::Waiting`], once.
    Begin(StreamExtent),
    /// A directory. Those that hold something need not be named.
    Directory {
        /// Where it belongs.
        path: RelPath,
    },
    /// A file: its content and [`StreamFrame::FileEnd`] follow.
    File {
        /// Where it belongs.
        path: RelPath,
        /// How many bytes of content follow.
        size: u64,
        /// When it was changed last, in milliseconds since 1970, where its archive tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified_ms: Option<i64>,
        /// Whether it may be run. Left out where not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
    },
    /// Content of the file, as raw bytes behind this header.
    Data {
        /// How many: 1 to [`STREAM_DATA_MAX_BYTES`].
        len: u32,
    },
    /// The file is whole.
    FileEnd {
        /// CRC32 of its content.
        crc32: u32,
    },
    /// A file with the content of another one, complete with that.
    Copy {
        /// Where it belongs.
        path: RelPath,
        /// The other one: a file or a copy of the same archive that came before.
        from: RelPath,
        /// When it was changed last, in milliseconds since 1970, where its archive tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified_ms: Option<i64>,
        /// Whether it may be run. Left out where not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
    },
    /// An archive is whole.
    ArchiveEnd {},
    /// Everything is whole: the same as in [`StreamFrame::Begin`].
    End(StreamExtent),
    /// The source gives up. Nothing follows.
    Error {
        /// What a program acts on.
        code: StreamErrorCode,
        /// What a person reads.
        message: String,
    },
}

/// How much a stream brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamExtent {
    /// Archives: at most [`STREAM_ARCHIVES_MAX`].
    pub archives: u64,
    /// Files and directories: at most [`STREAM_ENTRIES_MAX`].
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// Bytes of their contents, those of copies included: the disk must hold them.
    pub bytes: u64,
}

/// Why a source gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamErrorCode {
    /// The game has no archive.
    NoArchive,
    /// An archive needs a password.
    PasswordProtected,
    /// An archive holds an entry that is refused.
    UnsafeArchive,
    /// An archive continues in a file that is not there.
    MissingVolume,
    /// An archive is damaged, incomplete, or of an unknown format.
    BadArchive,
    /// An archive needs something that is missing at the source: memory, or a newer program.
    UnsupportedArchive,
    /// An archive could not be read.
    ReadFailed,
    /// The game is about to change or to go away.
    Stopped,
    /// The receiver takes too little while others wait. It may ask again.
    TooSlow,
}

impl std::fmt::Display for StreamErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoArchive => "no-archive",
            Self::PasswordProtected => "password-protected",
            Self::UnsafeArchive => "unsafe-archive",
            Self::MissingVolume => "missing-volume",
            Self::BadArchive => "bad-archive",
            Self::UnsupportedArchive => "unsupported-archive",
            Self::ReadFailed => "read-failed",
            Self::Stopped => "stopped",
            Self::TooSlow => "too-slow",
        })
    }
}
