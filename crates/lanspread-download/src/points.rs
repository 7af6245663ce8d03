//! The points of this crate.

lanspread_disk::points! {
    /// The sentinel of the version before is about to be parked.
    PARK = "download.park",
    /// It is, and the root is about to be synced.
    PARK_SYNC = "download.park-sync",
    /// A directory of the game is about to be made.
    GAME_DIR_CREATE = "download.dir-create",
    /// A file of the version before is about to be brought to its new size.
    GAME_FILE_RESIZE = "download.file-resize",
    /// A file of the game is about to be made.
    GAME_FILE_CREATE = "download.file-create",
    /// All files are made, and a directory of the game is about to be synced.
    GAME_DIR_SYNC = "download.dir-sync",
    /// A chunk is verified and about to be written.
    CHUNK_WRITE = "download.chunk-write",
    /// Chunks are written, and their file is about to be synced.
    CHUNK_SYNC = "download.chunk-sync",
    /// They are durable and about to be entered into the journal.
    JOURNAL_APPEND = "journal.append",
    /// They are entered, and the journal is about to be synced.
    JOURNAL_SYNC = "journal.sync",
    /// The journal is about to be told that the download is cancelled.
    DISCARD_MARK = "journal.discard-mark",
    /// It is told, and about to be synced.
    DISCARD_MARK_SYNC = "journal.discard-mark-sync",
    /// All chunks are there, and a file is about to be synced for the last time.
    COMMIT_FILE_SYNC = "commit.file-sync",
    /// A file that the new version no longer has is about to be removed.
    COMMIT_UNLIST = "commit.unlist",
    /// A directory that this left empty is about to be removed.
    COMMIT_UNLIST_DIR = "commit.unlist-dir",
    /// A directory without content is about to be made.
    COMMIT_DIR_CREATE = "commit.dir-create",
    /// A directory of the game is about to be synced for the last time.
    COMMIT_DIR_SYNC = "commit.dir-sync",
    /// The unfinished sentinel is about to be written.
    SENTINEL_WRITE = "commit.sentinel-write",
    /// It is written and about to be synced.
    SENTINEL_SYNC = "commit.sentinel-sync",
    /// It is about to become the sentinel.
    SENTINEL_RENAME = "commit.sentinel-rename",
    /// It has, and the root is about to be synced.
    SENTINEL_RENAME_SYNC = "commit.sentinel-rename-sync",
    /// The game is committed, and the parked sentinel is about to be removed.
    PARKED_REMOVE = "commit.parked-remove",
    /// A sentinel, parked or not, is about to be discarded.
    DISCARD_SENTINEL = "discard.sentinel",
    /// None is left, and the root is about to be synced.
    DISCARD_SENTINEL_SYNC = "discard.sentinel-sync",
    /// Something that a cancelled download brought is about to be removed.
    DISCARD_ENTRY = "discard.entry",
    /// All of it is, and the root is about to be removed if it is empty.
    DISCARD_ROOT = "discard.root",
    /// That is done, and what remains is about to be synced.
    DISCARD_SYNC = "discard.sync",
    /// The sentinel of a game that is to go is about to be removed.
    REMOVAL_SENTINEL = "removal.sentinel",
    /// It is, and the root is about to be synced.
    REMOVAL_SENTINEL_SYNC = "removal.sentinel-sync",
    /// The root is about to be removed.
    REMOVAL_ROOT = "removal.root",
    /// It is, and the games directory is about to be synced.
    REMOVAL_ROOT_SYNC = "removal.root-sync",
}
