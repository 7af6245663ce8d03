//! The points of this crate.

lanspread_disk::points! {
    /// `.local.installing/` is about to be made.
    INSTALLING_CREATE = "install.create",
    /// An archive is about to be unpacked.
    UNPACK_ARCHIVE = "install.unpack-archive",
    /// A block of an archive is about to be unpacked. Only a crash happens here, no failure.
    UNPACK_BLOCK = "install.unpack-block",
    /// All is unpacked, and a file is about to be synced.
    UNPACKED_FILE_SYNC = "install.file-sync",
    /// All files are synced, and a directory is about to be.
    UNPACKED_DIR_SYNC = "install.dir-sync",
    /// The old `local/` is about to be put aside.
    PUT_ASIDE = "install.put-aside",
    /// It is, and the root is about to be synced.
    PUT_ASIDE_SYNC = "install.put-aside-sync",
    /// The new `local/` is about to take its place.
    PROMOTE = "install.promote",
    /// The old `local/` is about to come back.
    RESTORE_BACKUP = "settle.restore",
    /// What was just settled in the root is about to be synced.
    SETTLE_SYNC = "settle.sync",
    /// Something in a marked directory is about to be removed.
    OWNED_REMOVE = "settle.remove-entry",
    /// Nothing but the mark is left, and the directory is about to be synced.
    OWNED_SYNC = "settle.remove-sync",
    /// The mark is gone too, and the directory is about to be removed.
    OWNED_DIR_REMOVE = "settle.remove-dir",
}
