//! The blocking half: writes what arrives, under an install transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lanspread_archive::{
    Damage, StreamItem, StreamSource, StreamTotals, UnpackControl, UnpackError, unpack_stream,
};
use lanspread_disk::root::remove_empty_root;
use lanspread_disk::{Dir, IoFailure};
use lanspread_proto::stream::StreamExtent;
use lanspread_proto::{GameId, PeerId, RelPath};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{InstallFailure, StreamFailure};
use crate::step::Hook;
use crate::transaction::{GameContext, names_clash, replace_local};
use crate::{InstallSummary, panicked};

/// What the network has for the disk.
#[derive(Debug)]
pub(super) enum ReceivedItem {
    Directory(RelPath),
    File {
        path: RelPath,
        size: u64,
        modified_ms: Option<i64>,
        executable: bool,
    },
    Data(Bytes),
    FileEnd {
        crc32: u32,
    },
    Copy {
        path: RelPath,
        from: RelPath,
        modified_ms: Option<i64>,
        executable: bool,
    },
    ArchiveEnd,
    /// The source has confirmed what it announced, and nothing came after that. Without it nothing
    /// is installed.
    Complete,
}

/// One stream, from its first entry on.
pub(super) struct Reception {
    pub(super) root: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) game_id: GameId,
    pub(super) peer_id: PeerId,
    pub(super) announced: StreamExtent,
    pub(super) arriving: mpsc::Receiver<ReceivedItem>,
    /// Told how many bytes are written.
    pub(super) written: watch::Sender<u64>,
    pub(super) cancel: CancellationToken,
}

impl Reception {
    /// Writes the stream and puts it in the place of `local/`, or leaves everything as it was, also
    /// where it panics.
    pub(super) fn install(self) -> Result<InstallSummary, StreamFailure> {
        self.install_or_roll_back(&mut |_| Ok(()))
    }

    pub(super) fn install_or_roll_back(
        self,
        hook: &mut Hook<'_>,
    ) -> Result<InstallSummary, StreamFailure> {
        let (root, state_dir) = (self.root.clone(), self.state_dir.clone());
        let game_id = self.game_id.clone();
        let installed = catch_unwind(AssertUnwindSafe(|| self.install_with(hook)));
        installed.unwrap_or_else(|_| Err(panicked(&root, &state_dir, &game_id).into()))
    }

    pub(super) fn install_with(self, hook: &mut Hook<'_>) -> Result<InstallSummary, StreamFailure> {
        let Self { root, state_dir, game_id, peer_id, announced, arriving, written, cancel } = self;
        let mut stream = Stream { arriving, current: None, is_complete: false };
        let mut control = Control { written, cancel: cancel.clone() };
        let mut fill = |installing: &Dir| {
            let unpacked = unpack_stream(
                &mut stream,
                totals(announced),
                Path::new("stream"),
                installing,
                &mut control,
            );
            let totals = unpacked.map_err(|error| match error {
                UnpackError::Damaged { damage: Damage::Truncated, .. } if !stream.is_complete => {
                    broken_off(peer_id)
                }
                error => unpack_failure(peer_id, error),
            })?;
            Ok(InstallSummary { files: totals.files, bytes: totals.bytes })
        };
        let game = GameContext { root: &root, state_dir: &state_dir, game_id: &game_id };
        let result = replace_local(game, &|| cancel.is_cancelled(), &mut fill, hook);
        if result.is_err()
            && let Err(error) = remove_empty_root(&root)
        {
            tracing::warn!(%game_id, %error, "an empty game root could not be removed");
        }
        result
    }
}

/// Returns what stands for a stream that ends in the middle, where nobody knows better.
pub(super) fn broken_off(peer_id: PeerId) -> StreamFailure {
    StreamFailure::SourceFailed { peer_id, reason: "the stream broke off".to_owned() }
}

fn totals(extent: StreamExtent) -> StreamTotals {
    let StreamExtent { archives, entries, files, bytes } = extent;
    StreamTotals { archives, entries, files, bytes }
}

/// The entries as they arrive.
struct Stream {
    arriving: mpsc::Receiver<ReceivedItem>,
    /// What the item that was given out last borrows from.
    current: Option<ReceivedItem>,
    is_complete: bool,
}

impl StreamSource for Stream {
    fn next_item(&mut self) -> Option<StreamItem<'_>> {
        self.current = self.arriving.blocking_recv();
        match self.current.as_ref()? {
            ReceivedItem::Directory(path) => Some(StreamItem::Directory(path)),
            ReceivedItem::File { path, size, modified_ms, executable } => Some(StreamItem::File {
                path,
                size_bytes: *size,
                modified: modified_ms.and_then(system_time),
                executable: *executable,
            }),
            ReceivedItem::Data(data) => Some(StreamItem::Data(data)),
            ReceivedItem::FileEnd { crc32 } => Some(StreamItem::EndFile { crc32: *crc32 }),
            ReceivedItem::Copy { path, from, modified_ms, executable } => {
                let (modified, executable) = (modified_ms.and_then(system_time), *executable);
                Some(StreamItem::Copy { path, from, modified, executable })
            }
            ReceivedItem::ArchiveEnd => Some(StreamItem::EndArchive),
            ReceivedItem::Complete => {
                self.is_complete = true;
                None
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }
}

fn system_time(unix_ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(unix_ms.unsigned_abs());
    if unix_ms < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

struct Control {
    written: watch::Sender<u64>,
    cancel: CancellationToken,
}

impl UnpackControl for Control {
    fn is_cancelled(&mut self) -> bool {
        self.cancel.is_cancelled()
    }

    fn on_progress(&mut self, unpacked_bytes: u64) {
        self.written.send_replace(unpacked_bytes);
    }
}

/// What is not the fault of this disk is that of the source: it has checked what it sends.
fn unpack_failure(peer_id: PeerId, error: UnpackError) -> StreamFailure {
    match error {
        UnpackError::Cancelled => StreamFailure::Install(InstallFailure::Interrupted),
        UnpackError::NamesClash { target, first, second } => {
            StreamFailure::Install(names_clash(target, &first, &second))
        }
        UnpackError::Io { operation, path, source } => {
            IoFailure::new(operation, path, source).into()
        }
        error => StreamFailure::BadSource { peer_id, reason: error.to_string() },
    }
}
