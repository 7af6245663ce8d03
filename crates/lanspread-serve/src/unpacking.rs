//! Unpacks games to be streamed to others.
//!
//! Unpacking blocks a thread; what it finds goes through a short channel to the task that sends it, so
//! that the thread waits while the receiver does.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use lanspread_archive::{
    StreamInstallProvider, StreamItem, StreamSink, StreamTotals, UnpackControl, UnpackError,
    root_archives,
};
use lanspread_net::limit::RateLimit;
use lanspread_proto::stream::{
    STREAM_ENTRIES_MAX, STREAM_MESSAGE_MAX_BYTES, StreamErrorCode, StreamExtent, StreamFrame,
};
use tokio::sync::mpsc;

use crate::admission::stream_queue::StreamQueue;
use crate::admission::upload::streams_at_once;

/// Content travels in blocks of this size.
const BLOCK_BYTES: usize = 64 * 1024;

/// What it takes to stream games.
#[derive(Clone)]
pub struct StreamService {
    pub(crate) provider: Arc<dyn StreamInstallProvider>,
    max_streams: NonZeroUsize,
    pub(crate) queue: StreamQueue,
}

impl StreamService {
    /// Makes a service that streams what `provider` unpacks, to `max_streams` receivers at a time.
    pub fn new(provider: Arc<dyn StreamInstallProvider>, max_streams: NonZeroUsize) -> Self {
        Self { provider, max_streams, queue: StreamQueue::new(max_streams.get()) }
    }

    /// Gives as many turns at a time as an upload limit lets go on.
    pub(crate) fn within(self, limit: Option<RateLimit>) -> Self {
        let queue = StreamQueue::new(streams_at_once(self.max_streams.get(), limit));
        Self { queue, ..self }
    }
}

/// What the unpacking thread has for the sending task.
pub(crate) enum Outgoing {
    Frame(StreamFrame),
    Data(Bytes),
}

/// Unpacks the game into `frames` as far as somebody takes them.
pub(crate) fn unpack(
    provider: &dyn StreamInstallProvider,
    root: &Path,
    frames: &mpsc::Sender<Outgoing>,
) {
    let last = match try_unpack(provider, root, frames) {
        Ok(totals) => StreamFrame::End(extent(totals)),
        Err(frame) => frame,
    };
    // Whoever wanted it may be gone.
    let _ = frames.blocking_send(Outgoing::Frame(last));
}

/// Gives the totals, or the frame that says why there are none.
fn try_unpack(
    provider: &dyn StreamInstallProvider,
    root: &Path,
    frames: &mpsc::Sender<Outgoing>,
) -> Result<StreamTotals, StreamFrame> {
    let archives = root_archives(root).map_err(|error| {
        failed(
            StreamErrorCode::ReadFailed,
            root,
            &format!("cannot read {}: {error}", root.display()),
        )
    })?;
    if archives.is_empty() {
        return Err(failed(StreamErrorCode::NoArchive, root, "the game has no archive"));
    }
    let unpack_failed = |error: UnpackError| failed(code(&error), root, &error.to_string());
    let mut control = UntilClosed(frames);
    let stream = provider.open(&archives, &mut control).map_err(unpack_failed)?;
    let totals = stream.totals();
    if totals.entries > STREAM_ENTRIES_MAX {
        let message = format!("the archives hold more than {STREAM_ENTRIES_MAX} entries");
        return Err(failed(StreamErrorCode::UnsupportedArchive, root, &message));
    }
    let mut sink = ChannelSink(frames);
    sink.send(Outgoing::Frame(StreamFrame::Begin(extent(totals))));
    stream.run(&mut sink, &mut control).map_err(unpack_failed)
}

fn extent(totals: StreamTotals) -> StreamExtent {
    let StreamTotals { archives, entries, files, bytes } = totals;
    StreamExtent { archives, entries, files, bytes }
}

fn code(error: &UnpackError) -> StreamErrorCode {
    match error {
        UnpackError::PasswordProtected { .. } => StreamErrorCode::PasswordProtected,
        UnpackError::UnsafeEntry { .. } => StreamErrorCode::UnsafeArchive,
        UnpackError::MissingVolume { .. } => StreamErrorCode::MissingVolume,
        // Only those who write meet a clash of names.
        UnpackError::Io { .. } | UnpackError::External { .. } | UnpackError::NamesClash { .. } => {
            StreamErrorCode::ReadFailed
        }
        UnpackError::Cancelled => StreamErrorCode::Stopped,
        UnpackError::TooManyEntries { .. } | UnpackError::Unsupported { .. } => {
            StreamErrorCode::UnsupportedArchive
        }
        UnpackError::Damaged { .. }
        | UnpackError::NotFirstVolume { .. }
        | UnpackError::UnknownFormat { .. } => StreamErrorCode::BadArchive,
    }
}

/// Makes the frame of a failure. Where the game lies here is nobody else's business: paths are told from its root on.
fn failed(code: StreamErrorCode, root: &Path, message: &str) -> StreamFrame {
    let mut message = message.replace(&format!("{}/", root.display()), "");
    let end = message.floor_char_boundary(STREAM_MESSAGE_MAX_BYTES);
    message.truncate(end);
    StreamFrame::Error { code, message }
}

/// Ends an unpacking once nobody takes it.
struct UntilClosed<'a>(&'a mpsc::Sender<Outgoing>);

impl UnpackControl for UntilClosed<'_> {
    fn is_cancelled(&mut self) -> bool {
        self.0.is_closed()
    }

    fn on_progress(&mut self, _: u64) {}
}

struct ChannelSink<'a>(&'a mpsc::Sender<Outgoing>);

impl ChannelSink<'_> {
    fn send(&mut self, outgoing: Outgoing) -> bool {
        self.0.blocking_send(outgoing).is_ok()
    }
}

impl StreamSink for ChannelSink<'_> {
    fn take(&mut self, item: StreamItem<'_>) -> bool {
        let frame = match item {
            StreamItem::Directory(path) => StreamFrame::Directory { path: path.clone() },
            StreamItem::File { path, size_bytes, modified, executable } => StreamFrame::File {
                path: path.clone(),
                size: size_bytes,
                modified_ms: modified.and_then(unix_ms),
                executable,
            },
            StreamItem::Data(data) => {
                let mut blocks = data.chunks(BLOCK_BYTES);
                return blocks
                    .all(|block| self.send(Outgoing::Data(Bytes::copy_from_slice(block))));
            }
            StreamItem::EndFile { crc32 } => StreamFrame::FileEnd { crc32 },
            StreamItem::Copy { path, from, modified, executable } => StreamFrame::Copy {
                path: path.clone(),
                from: from.clone(),
                modified_ms: modified.and_then(unix_ms),
                executable,
            },
            StreamItem::EndArchive => StreamFrame::ArchiveEnd {},
        };
        self.send(Outgoing::Frame(frame))
    }
}

/// Milliseconds since 1970, where they are few enough for the wire.
fn unix_ms(time: SystemTime) -> Option<i64> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(error) => i64::try_from(error.duration().as_millis()).ok().map(|before| -before),
    }
}
