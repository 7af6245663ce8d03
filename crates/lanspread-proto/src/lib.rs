//! What Lanspread peers say to each other, as plain data.
//!
//! Ids, safe relative paths, manifests and their hashes, every wire message, and the bounded codec
//! that frames them. Nothing here does input or output: the crate takes bytes and values and
//! returns bytes and values, so that all of it can be tested without a socket or a disk.
//!
//! Ids and paths in a header that [`codec::decode_header`] returns are valid: one that breaks a rule is a decoding
//! error. Pages are checked by their readers: [`layout`], [`library`] and [`attributes`].
//!
//! One peer asks for a chunk, and another one reads the request from the pieces of a stream:
//!
//! ```
//! use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, HeaderReader, decode_header, encode_header};
//! use lanspread_proto::message::{ChunkName, GetChunks, Request};
//! use lanspread_proto::{GameId, GameVersion, RelPath};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let request = Request::GetChunks(GetChunks {
//!     game_id: GameId::new("quake")?,
//!     version: GameVersion::new("20240131")?,
//!     chunks: vec![ChunkName { path: RelPath::new("id1/pak0.pak")?, index: 7 }],
//! });
//! let frame = encode_header(&request, CONTROL_HEADER_MAX_BYTES)?;
//!
//! let (first, second) = frame.split_at(20);
//! let mut reader = HeaderReader::new(CONTROL_HEADER_MAX_BYTES);
//! assert!(reader.push(first)?.is_none());
//! let read = reader.push(second)?.ok_or("the header is incomplete")?;
//! assert_eq!(decode_header::<Request>(&read.header)?, request);
//!
//! // A path that leaves the game root is no path, in a header neither.
//! assert!(RelPath::new("../quake.eti").is_err());
//! # Ok(())
//! # }
//! ```

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod attributes;
pub mod chunk;
pub mod codec;
pub mod file_hashes;
pub mod fold;
pub mod foreign;
pub mod hash;
pub mod ids;
#[cfg(feature = "schemars")]
mod json_schema;
pub mod layout;
pub mod library;
pub mod limits;
pub mod manifest;
pub mod message;
pub mod opening;
pub mod path;
pub mod piece_set;
pub mod records;
pub mod reserved;
pub mod source;
pub mod stream;
pub mod text;
pub mod version_ini;

pub use attributes::{Attributes, FileBits};
pub use chunk::CHUNK_SIZE_BYTES;
pub use file_hashes::FileHashes;
pub use hash::ContentHash;
pub use ids::{GameId, GameVersion, NetworkName, PeerId, PeerName};
pub use manifest::{Manifest, ManifestFile};
pub use path::RelPath;
pub use piece_set::PieceSet;
pub use source::SourceError;

/// The version of the wire protocol. A peer of another version is refused and reported; no messages are translated.
pub const PROTOCOL_VERSION: u32 = 4;
