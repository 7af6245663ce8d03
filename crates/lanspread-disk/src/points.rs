//! The points of this crate.

crate::points! {
    // Files of the state directory, and files that are written or removed in the same way. They
    // are told apart by the name of the file.
    /// The temporary file is about to be written.
    STATE_WRITE = "state.write",
    /// It is written and about to be synced.
    STATE_SYNC = "state.sync",
    /// It is about to take its place.
    STATE_RENAME = "state.rename",
    /// It has, and the directory is about to be synced.
    STATE_RENAME_SYNC = "state.rename-sync",
    /// A file is about to be removed.
    FILE_REMOVE = "file.remove",
    /// It is, and the directory is about to be synced.
    FILE_REMOVE_SYNC = "file.remove-sync",
    /// A directory for state is about to be made.
    STATE_DIR_CREATE = "state-dir.create",
    /// It is, and the one above is about to be synced.
    STATE_DIR_SYNC = "state-dir.sync",
    /// A broken file is about to be moved aside.
    ASIDE_RENAME = "aside.rename",
    /// It is, and the directory is about to be synced.
    ASIDE_SYNC = "aside.sync",
    /// The root of a game is about to be made, for a download or a streamed installation.
    ROOT_CREATE = "download.root-create",
    /// It is, and the games directory is about to be synced.
    ROOT_SYNC = "download.root-sync",
    /// A mark is about to be written.
    MARK_WRITE = "install.mark-write",
    /// It is written and about to be synced.
    MARK_SYNC = "install.mark-sync",
    /// The directory in which it lies is about to be synced.
    MARK_DIR_SYNC = "install.mark-dir-sync",
    /// A directory without a mark is about to be removed if it is empty.
    EMPTY_DIR_REMOVE = "settle.remove-empty-dir",
    /// A directory for what is deleted in the background is about to be made.
    TRASH_CREATE = "trash.create",
    /// It is and carries its mark, and the games directory is about to be synced.
    TRASH_CREATE_SYNC = "trash.create-sync",
    /// Something is about to be put into it.
    TRASH_PUT = "trash.put",
    /// It is, and the directory is about to be synced.
    TRASH_PUT_SYNC = "trash.put-sync",
    /// Something in it is about to be removed, in the background.
    TRASH_REMOVE = "trash.remove-entry",
    /// Nothing but the mark is left, and the directory is about to be synced.
    TRASH_SYNC = "trash.remove-sync",
    /// The mark is gone too, and the directory is about to be removed.
    TRASH_DIR_REMOVE = "trash.remove-dir",
}
