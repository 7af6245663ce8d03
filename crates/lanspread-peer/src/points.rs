//! The points of this crate.

lanspread_disk::points! {
    /// An old file is copied and about to be removed.
    LEGACY_REMOVE = "migration.remove",
    /// It is, and the directory is about to be synced.
    LEGACY_SYNC = "migration.sync",
    /// The directory of the old index is about to be removed if it is empty.
    LEGACY_DIR_REMOVE = "migration.dir-remove",
}
