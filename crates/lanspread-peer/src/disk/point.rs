//! The moments at which a crash is tried.

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A moment at which the disk is about to change. The crash tests reach every one of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Point {
            $($(#[$doc])* $point,)*
        }

        #[cfg(test)]
        impl Point {
            /// Every point.
            pub(crate) const ALL: &[Self] = &[$(Self::$point),*];

            /// What reports and `LANSPREAD_CRASH_CASE` call it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    // Files of the state directory, and files that are written or removed in the same way. They
    // are told apart by the name of the file.
    /// The temporary file is about to be written.
    StateWrite = "state.write",
    /// It is written and about to be synced.
    StateSync = "state.sync",
    /// It is about to take its place.
    StateRename = "state.rename",
    /// It has, and the directory is about to be synced.
    StateRenameSync = "state.rename-sync",
    /// A file is about to be removed.
    FileRemove = "file.remove",
    /// It is, and the directory is about to be synced.
    FileRemoveSync = "file.remove-sync",
    /// A directory for state is about to be made.
    StateDirCreate = "state-dir.create",
    /// It is, and the one above is about to be synced.
    StateDirSync = "state-dir.sync",
    /// A broken file is about to be moved aside.
    AsideRename = "aside.rename",
    /// It is, and the directory is about to be synced.
    AsideSync = "aside.sync",

    /// What changed in the library is about to be appended to the log of the index.
    IndexAppend = "index.append",
    /// It is, and the log is about to be synced.
    IndexAppendSync = "index.append-sync",
    /// The log is new, and the directory is about to be synced.
    IndexLogSync = "index.log-sync",
    /// The log says nothing any more and is about to be removed.
    IndexLogRemove = "index.log-remove",
    /// The index of an older format says nothing beside the new one and is about to be removed.
    IndexLegacyRemove = "index.legacy-remove",
    /// More revisions are about to be reserved, in place.
    RevisionWrite = "revision.write",
    /// They are, and their file is about to be synced.
    RevisionSync = "revision.sync",

    /// The root of a game is about to be made, for a download or a streamed installation.
    RootCreate = "download.root-create",
    /// It is, and the games directory is about to be synced.
    RootSync = "download.root-sync",
    /// The sentinel of the version before is about to be parked.
    Park = "download.park",
    /// It is, and the root is about to be synced.
    ParkSync = "download.park-sync",
    /// A directory of the game is about to be made.
    GameDirCreate = "download.dir-create",
    /// A file of the version before is about to be brought to its new size.
    GameFileResize = "download.file-resize",
    /// A file of the game is about to be made.
    GameFileCreate = "download.file-create",
    /// All files are made, and a directory of the game is about to be synced.
    GameDirSync = "download.dir-sync",
    /// A chunk is verified and about to be written.
    ChunkWrite = "download.chunk-write",
    /// Chunks are written, and their file is about to be synced.
    ChunkSync = "download.chunk-sync",
    /// They are durable and about to be entered into the journal.
    JournalAppend = "journal.append",
    /// They are entered, and the journal is about to be synced.
    JournalSync = "journal.sync",
    /// The journal is about to be told that the download is cancelled.
    DiscardMark = "journal.discard-mark",
    /// It is told, and about to be synced.
    DiscardMarkSync = "journal.discard-mark-sync",
    /// All chunks are there, and a file is about to be synced for the last time.
    CommitFileSync = "commit.file-sync",
    /// A file that the new version no longer has is about to be removed.
    CommitUnlist = "commit.unlist",
    /// A directory that this left empty is about to be removed.
    CommitUnlistDir = "commit.unlist-dir",
    /// A directory without content is about to be made.
    CommitDirCreate = "commit.dir-create",
    /// A directory of the game is about to be synced for the last time.
    CommitDirSync = "commit.dir-sync",
    /// The unfinished sentinel is about to be written.
    SentinelWrite = "commit.sentinel-write",
    /// It is written and about to be synced.
    SentinelSync = "commit.sentinel-sync",
    /// It is about to become the sentinel.
    SentinelRename = "commit.sentinel-rename",
    /// It has, and the root is about to be synced.
    SentinelRenameSync = "commit.sentinel-rename-sync",
    /// The game is committed, and the parked sentinel is about to be removed.
    ParkedRemove = "commit.parked-remove",
    /// A sentinel, parked or not, is about to be discarded.
    DiscardSentinel = "discard.sentinel",
    /// None is left, and the root is about to be synced.
    DiscardSentinelSync = "discard.sentinel-sync",
    /// Something that a cancelled download brought is about to be removed.
    DiscardEntry = "discard.entry",
    /// All of it is, and the root is about to be removed if it is empty.
    DiscardRoot = "discard.root",
    /// That is done, and what remains is about to be synced.
    DiscardSync = "discard.sync",

    /// `.local.installing/` is about to be made.
    InstallingCreate = "install.create",
    /// A mark is about to be written.
    MarkWrite = "install.mark-write",
    /// It is written and about to be synced.
    MarkSync = "install.mark-sync",
    /// The directory in which it lies is about to be synced.
    MarkDirSync = "install.mark-dir-sync",
    /// An archive is about to be unpacked.
    UnpackArchive = "install.unpack-archive",
    /// A block of an archive is about to be unpacked. Only a crash happens here, no failure.
    UnpackBlock = "install.unpack-block",
    /// All is unpacked, and a file is about to be synced.
    UnpackedFileSync = "install.file-sync",
    /// All files are synced, and a directory is about to be.
    UnpackedDirSync = "install.dir-sync",
    /// The old `local/` is about to be put aside.
    PutAside = "install.put-aside",
    /// It is, and the root is about to be synced.
    PutAsideSync = "install.put-aside-sync",
    /// The new `local/` is about to take its place.
    Promote = "install.promote",
    /// The old `local/` is about to come back.
    RestoreBackup = "settle.restore",
    /// What was just settled in the root is about to be synced.
    SettleSync = "settle.sync",
    /// Something in a marked directory is about to be removed.
    OwnedRemove = "settle.remove-entry",
    /// Nothing but the mark is left, and the directory is about to be synced.
    OwnedSync = "settle.remove-sync",
    /// The mark is gone too, and the directory is about to be removed.
    OwnedDirRemove = "settle.remove-dir",
    /// A directory without a mark is about to be removed if it is empty.
    EmptyDirRemove = "settle.remove-empty-dir",

    /// The sentinel of a game that is to go is about to be removed.
    RemovalSentinel = "removal.sentinel",
    /// It is, and the root is about to be synced.
    RemovalSentinelSync = "removal.sentinel-sync",
    /// The root is about to be removed.
    RemovalRoot = "removal.root",
    /// It is, and the games directory is about to be synced.
    RemovalRootSync = "removal.root-sync",

    /// A directory for what is deleted in the background is about to be made.
    TrashCreate = "trash.create",
    /// It is and carries its mark, and the games directory is about to be synced.
    TrashCreateSync = "trash.create-sync",
    /// Something is about to be put into it.
    TrashPut = "trash.put",
    /// It is, and the directory is about to be synced.
    TrashPutSync = "trash.put-sync",
    /// Something in it is about to be removed, in the background.
    TrashRemove = "trash.remove-entry",
    /// Nothing but the mark is left, and the directory is about to be synced.
    TrashSync = "trash.remove-sync",
    /// The mark is gone too, and the directory is about to be removed.
    TrashDirRemove = "trash.remove-dir",

    /// An old file is copied and about to be removed.
    LegacyRemove = "migration.remove",
    /// It is, and the directory is about to be synced.
    LegacySync = "migration.sync",
    /// The directory of the old index is about to be removed if it is empty.
    LegacyDirRemove = "migration.dir-remove",
}
