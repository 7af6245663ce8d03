//! What Lanspread peers say to each other, as plain data.
//!
//! Ids, safe relative paths, manifests and their hashes, every wire message, and the bounded codec
//! that frames them. Nothing here does input or output: the crate takes bytes and values and
//! returns bytes and values, so that all of it can be tested without a socket or a disk.
//!
//! What arrives through [`codec::decode_header`] is already checked: an id, a path or a manifest that breaks a rule
//! is a decoding error and never a value.

pub mod attributes;
pub mod codec;
pub mod foreign;
pub mod hash;
pub mod ids;
pub mod layout;
pub mod library;
pub mod limits;
pub mod manifest;
pub mod message;
pub mod path;
pub mod piece_set;
pub mod stream;
pub mod text;

pub use attributes::{Attributes, FileBits};
pub use hash::ContentHash;
pub use ids::{GameId, GameVersion, NetworkName, PeerId, PeerName};
pub use manifest::{CHUNK_SIZE_BYTES, FileHashes, Manifest, ManifestFile};
pub use path::RelPath;
pub use piece_set::PieceSet;

/// The version of the wire protocol. Peers of another version are ignored: there are no shims.
pub const PROTOCOL_VERSION: u32 = 4;
