//! Streams games to others: unpacked here, so that they need no room for archives.
//!
//! Unpacking blocks a thread; what it finds goes through a short channel to the task that sends it, so
//! that the thread waits while the receiver does. A receiver that takes nothing for
//! [`STALL_TIMEOUT`] loses its place. The game counts as being transferred from before it is looked
//! at until no thread reads it any more.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lanspread_archive::{
    StreamInstallProvider, StreamItem, StreamSink, StreamTotals, UnpackControl, UnpackError,
    root_archives,
};
use lanspread_net::exchange::{ExchangeError, FrameWriter};
use lanspread_net::limit::Limiter;
use lanspread_net::link::PeerLink;
use lanspread_net::transport::StreamSender;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{RefusalCode, Response, StreamInstall};
use lanspread_proto::stream::{
    STREAM_ENTRIES_MAX, STREAM_MESSAGE_MAX_BYTES, StreamErrorCode, StreamExtent, StreamFrame,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::queue::{Place, StreamQueue};
use super::{Server, not_served, refused, reply};
use crate::outbound::TransferGuard;
use crate::view::ServedGame;

/// How long a receiver may take nothing before its stream ends: far above a disk that syncs, and not
/// so long that those who wait for its place notice much.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of a source that has nothing to send: half of what a receiver puts up with.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long what is being sent may take once the game is wanted by an operation, which waits for it.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Content travels in blocks of this size.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks that wait to be sent: 12 MiB a stream, to even out disk and network. Solid archives come out
/// in bursts of 4 MiB, and whoever unpacks should not have to wait at the end of each.
const BLOCKS_WAITING: usize = 192;

/// What it takes to stream games.
#[derive(Clone)]
pub struct StreamService {
    provider: Arc<dyn StreamInstallProvider>,
    queue: StreamQueue,
}

impl StreamService {
    /// Streams what `provider` unpacks, to `max_streams` receivers at a time.
    pub fn new(provider: Arc<dyn StreamInstallProvider>, max_streams: NonZeroUsize) -> Self {
        Self { provider, queue: StreamQueue::new(max_streams) }
    }
}

/// What the unpacking thread has for the sending task.
enum Outgoing {
    Frame(StreamFrame),
    Data(Bytes),
}

impl Server {
    pub(super) async fn stream_install(
        &self,
        link: &PeerLink,
        wanted: StreamInstall,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        self.look_first(&wanted.game_id).await;
        let is_wanted = |game: &ServedGame| *game.manifest.version() == wanted.version;
        if !self.view.borrow().game(&wanted.game_id).is_some_and(is_wanted) {
            let refusal = Response::Refused(not_served(&wanted.game_id));
            return reply(sender, &refusal, CONTROL_HEADER_MAX_BYTES).await;
        }
        let Some(place) = self.streams.queue.join(link.peer_id()) else {
            let refusal = refused(RefusalCode::Busy, "too many wait to be streamed to");
            return reply(sender, &Response::Refused(refusal), CONTROL_HEADER_MAX_BYTES).await;
        };
        // Registered before the view is asked for good, as with chunks.
        let transfer = Arc::new(self.outbound.begin(&wanted.game_id, link.peer_id()));
        let served =
            self.view.borrow().game(&wanted.game_id).filter(|game| is_wanted(game)).cloned();
        let Some(game) = served else {
            // Whoever has taken the game out of the view waits for it.
            drop(transfer);
            let refusal = Response::Refused(not_served(&wanted.game_id));
            return reply(sender, &refusal, CONTROL_HEADER_MAX_BYTES).await;
        };
        let mut out = FrameWriter::new(sender)?;
        let stream = self.stream(&game, place, &transfer, &mut out);
        let outcome = tokio::select! {
            outcome = stream => outcome,
            () = transfer.stopped() => stop(&mut out).await,
        };
        match outcome {
            Ok(()) => out.finish(),
            Err(error) => {
                out.reset();
                Err(error)
            }
        }
    }

    /// Waits for the turn, then sends everything. Cancel safe as far as `out` is.
    async fn stream(
        &self,
        game: &ServedGame,
        place: Place,
        transfer: &Arc<TransferGuard>,
        out: &mut FrameWriter<'_>,
    ) -> Result<(), ExchangeError> {
        flush(out).await?;
        wait_for_turn(&place, out).await?;
        let (frames, unpacked) = mpsc::channel(BLOCKS_WAITING);
        let (provider, root) = (Arc::clone(&self.streams.provider), game.root.clone());
        let transfer = Arc::clone(transfer);
        // Nobody waits for the thread: it ends at its next block once the channel is gone, and keeps
        // the place and the transfer until then.
        tokio::task::spawn_blocking(move || {
            unpack(&*provider, &root, &frames);
            drop((place, transfer));
        });
        send_all(unpacked, &self.upload, out).await
    }
}

async fn wait_for_turn(place: &Place, out: &mut FrameWriter<'_>) -> Result<(), ExchangeError> {
    let mut position = place.position();
    while position > 0 {
        out.push(&waiting(position))?;
        flush(out).await?;
        position = timeout(HEARTBEAT, place.moved(position)).await.unwrap_or(position);
    }
    Ok(())
}

fn waiting(position: usize) -> StreamFrame {
    StreamFrame::Waiting { position: u32::try_from(position).unwrap_or(u32::MAX) }
}

async fn send_all(
    mut unpacked: mpsc::Receiver<Outgoing>,
    upload: &Limiter,
    out: &mut FrameWriter<'_>,
) -> Result<(), ExchangeError> {
    let mut is_told = false;
    loop {
        match timeout(HEARTBEAT, unpacked.recv()).await {
            Err(_) => out.push(&waiting(0))?,
            // A thread that panicked told nobody why: the receiver sees a reset.
            Ok(None) => return if is_told { Ok(()) } else { Err(ExchangeError::EndedEarly) },
            Ok(Some(first)) => {
                let mut next = Some(first);
                while let Some(outgoing) = next {
                    is_told = match &outgoing {
                        Outgoing::Frame(frame) => {
                            out.push(frame)?;
                            matches!(frame, StreamFrame::End(_) | StreamFrame::Error { .. })
                        }
                        Outgoing::Data(data) => {
                            out.push_data(data)?;
                            false
                        }
                    };
                    // Under a limit little goes at a time: others share it, and all that goes at once is
                    // waited for without a sign of life.
                    let is_enough = out.is_full() || upload.limit().is_some();
                    next = if is_enough { None } else { unpacked.try_recv().ok() };
                }
            }
        }
        upload.pass(out.gathered_bytes()).await;
        flush(out).await?;
    }
}

async fn flush(out: &mut FrameWriter<'_>) -> Result<(), ExchangeError> {
    timeout(STALL_TIMEOUT, out.flush()).await.unwrap_or(Err(ExchangeError::Silent))
}

/// Tells that the game is wanted here, after the frame that is being sent.
async fn stop(out: &mut FrameWriter<'_>) -> Result<(), ExchangeError> {
    let message = "the game is about to change or to go away here".to_owned();
    out.push(&StreamFrame::Error { code: StreamErrorCode::Stopped, message })?;
    timeout(STOP_GRACE, out.flush()).await.unwrap_or(Err(ExchangeError::Silent))
}

/// Unpacks the game into `frames` as far as somebody takes them.
fn unpack(provider: &dyn StreamInstallProvider, root: &Path, frames: &mpsc::Sender<Outgoing>) {
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

/// Where the game lies here is nobody else's business: paths are told from its root on.
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
