//! What a journal of a download says.

use lanspread_proto::ContentHash;

use crate::layout::ChunkIndex;

/// One thing that a journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The bytes of a chunk are on disk and have this hash.
    Written(ChunkIndex, ContentHash),
    /// A chunk is not what was thought, and has to be fetched again.
    Struck(ChunkIndex),
    /// All that was on disk before the download has been looked at: what was of use is entered.
    Surveyed,
    /// The download is cancelled, and what it brought is being removed.
    Discarding,
}
