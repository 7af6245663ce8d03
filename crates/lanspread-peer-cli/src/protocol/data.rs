//! What several records have: peers, games, problems, sources.
//!
//! Field order here is the order on the line.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use lanspread_proto::{ContentHash, GameId, GameVersion, NetworkName, PeerId, PeerName, RelPath};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// An object as it was printed. All answers that repeat it share it.
#[derive(Debug, Clone)]
pub(crate) struct RawData(Arc<RawValue>);

impl RawData {
    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }
}

impl From<Box<RawValue>> for RawData {
    fn from(data: Box<RawValue>) -> Self {
        Self(data.into())
    }
}

impl Serialize for RawData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for RawData {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Map::<String, Value>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Map::<String, Value>::json_schema(generator)
    }
}

/// Makes the printed form of an enum or a struct of the runtime that has the same names: `schema` and
/// what is printed then follow from the same lines.
macro_rules! mirror {
    (enum $name:ident of $of:ident in $case:literal { $($variant:ident),* $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(rename_all = $case)]
        pub(crate) enum $name {
            $($variant),*
        }

        impl From<lanspread_peer::$of> for $name {
            fn from(value: lanspread_peer::$of) -> Self {
                match value {
                    $(lanspread_peer::$of::$variant => Self::$variant,)*
                }
            }
        }
    };
    (struct $name:ident of $of:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Serialize, JsonSchema)]
        pub(crate) struct $name {
            $($(#[$about])* pub(crate) $field: $type,)*
        }

        impl From<lanspread_peer::$of> for $name {
            fn from(value: lanspread_peer::$of) -> Self {
                let lanspread_peer::$of { $($field),* } = value;
                Self { $($field: $field.into()),* }
            }
        }
    };
}

mirror! { enum OperationName of Operation in "kebab-case" {
    Downloading, Updating, Installing, StreamInstalling, Uninstalling, Removing, Verifying,
} }
mirror! { enum AvailabilityName of Availability in "snake_case" {
    Ready, Downloading, LocalOnly, Incomplete,
} }
mirror! { enum ProblemName of ProblemReason in "kebab-case" {
    Name, NotUtf8, TooDeep, Special, Unreadable, TooManyFiles, PathsTooLong, TooManyDirectories,
    TooLarge, BadVersion, Missing, Size, Content, Extra,
} }
mirror! { enum ReferenceName of VerifyReference in "kebab-case" {
    Catalog, Sources, Index, Nothing,
} }
mirror! { enum LostName of LostReason in "kebab-case" { Goodbye, Timeout, Displaced } }
mirror! { enum RejectName of RejectReason in "snake_case" {
    ProtocolVersion, Network, NetworkKey, Identity, Protocol,
} }

/// The `data` of `ready`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadyData {
    /// who the peer is; stable across restarts
    pub(crate) peer_id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) listen_addr: SocketAddr,
    /// which party it belongs to
    pub(crate) network: NetworkName,
    pub(crate) games_dir: String,
    /// its process id
    pub(crate) pid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PeerData {
    pub(crate) peer_id: PeerId,
    /// what it calls itself; neither unique nor proven
    pub(crate) name: PeerName,
    pub(crate) addr: SocketAddr,
    pub(crate) library_rev: u64,
    /// how many games of the own catalog it announces
    pub(crate) game_count: usize,
    /// milliseconds since its last sign of life
    pub(crate) last_seen_ms: u64,
}

mirror! { struct OtherVersionData of OtherVersionPeer {
    /// what it calls itself, if it said so
    name: Option<PeerName>,
    /// where it listens if it said so, else where it dialled from
    addr: SocketAddr,
    /// its protocol version, if it said so
    #[schemars(range(max = u32::MAX))]
    proto_ver: Option<u32>,
} }

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConflictData {
    /// which identity
    pub(crate) peer_id: PeerId,
    pub(crate) own: bool,
    pub(crate) addrs: Vec<SocketAddr>,
}

mirror! { struct ActiveOperationData of ActiveOperation {
    game_id: GameId,
    operation: OperationName,
} }

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OutboundData {
    pub(crate) game_id: GameId,
    pub(crate) count: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GameData {
    pub(crate) id: GameId,
    /// its title in the catalog
    pub(crate) title: String,
    /// the version on this disk, if downloaded
    pub(crate) version: Option<GameVersion>,
    /// the version in the catalog
    pub(crate) expected_version: GameVersion,
    /// bytes: on this disk, else as announced, else of the catalog, else 0
    pub(crate) size: u64,
    /// whether `version.ini` is there
    pub(crate) downloaded: bool,
    /// whether `local/` is there
    pub(crate) installed: bool,
    /// what it can be used for, if it is on this disk
    pub(crate) availability: Option<AvailabilityName>,
    /// how many peers announce it at the catalog's version
    pub(crate) peer_count: usize,
    /// what is being done with it; null when it is idle
    pub(crate) operation: Option<OperationName>,
    /// bytes of an unfinished download on this disk, if there is one
    pub(crate) partial_bytes: Option<u64>,
    #[serde(flatten)]
    pub(crate) problems: ProblemsData,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemsData {
    pub(crate) problem_count: usize,
    pub(crate) problems: Vec<ProblemData>,
}

mirror! { struct ProblemData of GameProblem {
    /// where in the game root; bytes that are not UTF-8 as `\xE9`; empty for the root
    path: String,
    /// what kind of problem it is
    reason: ProblemName,
    message: String,
} }

mirror! { struct ReportData of VerifyReport {
    /// what it was held against; `index` is what this peer read last
    reference: ReferenceName,
    #[serde(flatten)]
    problems: ProblemsData,
} }

mirror! { struct SourceData of SourceInfo {
    peer_id: PeerId,
    name: PeerName,
    addr: SocketAddr,
    content_root: Option<ContentHash>,
} }

mirror! { struct SourceBytesData of SourceBytes {
    /// which source
    peer_id: PeerId,
    /// verified bytes that it gave
    bytes: u64,
} }

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ManifestData {
    /// the version of the game
    pub(crate) version: GameVersion,
    /// hash of version, paths and sizes
    pub(crate) manifest_hash: ContentHash,
    pub(crate) content_root: Option<ContentHash>,
    /// bytes of all files together
    pub(crate) total_size: u64,
    /// how many files there are
    pub(crate) file_count: usize,
    /// where the next files begin; null when there are no more
    pub(crate) next_file: Option<usize>,
    /// innermost directories without content files, in path order
    pub(crate) directories: Vec<RelPath>,
    /// content files in path order, from `files_from` on
    pub(crate) files: Vec<FileData>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileData {
    /// where it lies in the game root, with `/`
    pub(crate) path: RelPath,
    /// its bytes
    pub(crate) size: u64,
    /// its BLAKE3 hash, once hashed
    pub(crate) hash: Option<ContentHash>,
    /// how many chunks it has
    pub(crate) chunks: u32,
    /// whether it is executable; null where nobody can tell
    pub(crate) executable: Option<bool>,
}

mirror! { struct DownloadData of DownloadSummary {
    files: usize,
    bytes: u64,
    sources: Vec<PeerId>,
} }
