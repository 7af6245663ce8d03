//! What a peer finds in its state directory: a crash, or a broken disk, may have left anything.

/// The journal of a download.
#[cfg(feature = "peer")]
pub fn journal(data: &[u8]) {
    lanspread_download::fuzzing::journal(data);
}

/// The snapshot and the log of the library index.
pub fn index(data: &[u8]) {
    lanspread_library::fuzzing::index(data);
}
