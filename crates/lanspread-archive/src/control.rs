//! How a caller watches and stops an unpacking.

/// Watches one unpacking and may end it.
///
/// Both methods run on the unpacking thread between two blocks, so they should return at once.
pub trait UnpackControl {
    /// Whether the unpacking should end with [`UnpackError::Cancelled`](crate::UnpackError::Cancelled).
    ///
    /// Asked before every entry and before every block of at most [`BLOCK_BYTES`](crate::BLOCK_BYTES).
    fn is_cancelled(&mut self) -> bool;

    /// Tells how many unpacked bytes of file content have been delivered since the archive was opened.
    ///
    /// The number never falls. It counts this archive only.
    fn on_progress(&mut self, unpacked_bytes: u64);
}

/// Nobody watches and nobody stops it.
impl UnpackControl for () {
    fn is_cancelled(&mut self) -> bool {
        false
    }

    fn on_progress(&mut self, _unpacked_bytes: u64) {}
}
