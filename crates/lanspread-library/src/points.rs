//! The points of this crate.

lanspread_disk::points! {
    /// What changed in the library is about to be appended to the log of the index.
    INDEX_APPEND = "index.append",
    /// It is, and the log is about to be synced.
    INDEX_APPEND_SYNC = "index.append-sync",
    /// The log is new, and the directory is about to be synced.
    INDEX_LOG_SYNC = "index.log-sync",
    /// The log says nothing any more and is about to be removed.
    INDEX_LOG_REMOVE = "index.log-remove",
    /// The index of an older format says nothing beside the new one and is about to be removed.
    INDEX_LEGACY_REMOVE = "index.legacy-remove",
    /// More revisions are about to be reserved, in place.
    REVISION_WRITE = "revision.write",
    /// They are, and their file is about to be synced.
    REVISION_SYNC = "revision.sync",
}
