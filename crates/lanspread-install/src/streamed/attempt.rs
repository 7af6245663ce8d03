//! One source: what it says, what is passed on to the disk, and what came of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lanspread_net::exchange::{ExchangeError, FrameReader};
use lanspread_net::limit::Limiter;
use lanspread_net::progress::ProgressMeter;
use lanspread_net::source::StreamOrigin;
use lanspread_net::transport::{CloseCode, TransportError};
use lanspread_proto::message::StreamInstall;
use lanspread_proto::stream::{
    STREAM_ARCHIVES_MAX, STREAM_DATA_MAX_BYTES, STREAM_ENTRIES_MAX, StreamErrorCode, StreamExtent,
    StreamFrame,
};
use lanspread_proto::{PeerId, SourceError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::receive::{ReceivedItem, Reception, broken_off};
use super::source_pace::{FLOOR_BYTES_PER_SECOND, SourcePace};
use super::{StreamJob, StreamNotice, StreamedGame};
use crate::InstallSummary;
use crate::error::{InstallFailure, StreamFailure};

/// Items that wait for the disk. Sources send blocks of 64 KiB, so that is 4 MiB, and 16 MiB from
/// one that sends the longest blocks allowed.
const ITEMS_WAITING: usize = 64;
/// How long a source may take for the next frame that is more than a sign of life: far above what a
/// slow disk and a low limit make of a block.
const ITEM_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a source may take to list its archives once it is the turn of this peer: they may be many,
/// on a disk that does other things as well.
const LISTING_TIMEOUT: Duration = Duration::from_secs(600);
/// Highest place in a queue that is believed: far above the places that any source has, and few enough
/// to tell each.
const POSITION_MAX: u32 = 1_000;

/// Asks one source for the game and installs what it sends.
pub(super) async fn install_from(
    job: &StreamJob,
    source: &dyn StreamOrigin,
    notices: &mpsc::Sender<StreamNotice>,
    cancel: &CancellationToken,
) -> Result<StreamedGame, StreamFailure> {
    let interrupted = || StreamFailure::Install(InstallFailure::Interrupted);
    let peer_id = source.peer_id();
    let request = StreamInstall { game_id: job.game_id.clone(), version: job.version.clone() };
    let opening = async {
        let frames = source.open(request).await.map_err(|error| source_failure(peer_id, error))?;
        let mut incoming = Incoming { peer_id, frames };
        let announced = incoming.announced(notices).await?;
        Ok::<_, StreamFailure>((incoming, announced))
    };
    let (mut incoming, announced) =
        cancel.run_until_cancelled(opening).await.ok_or_else(interrupted)??;
    let (written, progress) = watch::channel(0);
    let (root, free_space, written_so_far) =
        (job.root.clone(), job.free_space.clone(), progress.clone());
    // Beside everything that is there, an old `local/` included.
    let left = move || announced.bytes.saturating_sub(*written_so_far.borrow());
    let reserving = tokio::task::spawn_blocking(move || free_space.reserve(&root, Arc::new(left)));
    // Held to the end.
    let _reservation = reserving.await.map_err(|_| interrupted())??;
    let StreamExtent { files, bytes, .. } = announced;
    // Here and below: the command loop is gone only when the whole runtime is.
    let _ = notices.send(StreamNotice::Began { peer_id, files, bytes }).await;

    let (arrived, arriving) = mpsc::channel(ITEMS_WAITING);
    let reception = Reception {
        root: job.root.clone(),
        state_dir: job.state_dir.clone(),
        game_id: job.game_id.clone(),
        peer_id,
        announced,
        arriving,
        written,
        cancel: cancel.clone(),
    };
    let installing = tokio::task::spawn_blocking(move || reception.install());
    let pump = async {
        // Dropped at the end, so that the disk never waits for a stream that is over.
        let arrived = arrived;
        let pass_on = incoming.pass_on(announced, &job.limiter, &arrived);
        // A disk that takes no more ends it at once, however long the source has nothing to send.
        let pass_on = async {
            tokio::select! {
                biased;
                passed = pass_on => passed,
                () = arrived.closed() => Ok(()),
            }
        };
        cancel.run_until_cancelled(pass_on).await
    };
    let mut teller = Teller::new(peer_id, bytes, notices);
    let work = async { tokio::join!(pump, installing) };
    let (pumped, installed) = tokio::select! {
        biased;
        done = work => done,
        never = teller.follow(progress) => match never {},
    };
    let installed = installed.unwrap_or_else(|_| Err(interrupted()));
    let InstallSummary { files, bytes } = verdict(pumped.unwrap_or(Ok(())), installed)?;
    teller.finish().await;
    Ok(StreamedGame { peer_id, files, bytes })
}

/// What came of it: where the stream broke off, that is why the disk got too little.
fn verdict(
    pumped: Result<(), StreamFailure>,
    installed: Result<InstallSummary, StreamFailure>,
) -> Result<InstallSummary, StreamFailure> {
    match (pumped, installed) {
        (_, Ok(summary)) => Ok(summary),
        (Err(cause), Err(effect)) if effect.is_of_source() => Err(cause),
        (_, Err(failure)) => Err(failure),
    }
}

/// A stream from one source.
struct Incoming {
    peer_id: PeerId,
    frames: FrameReader,
}

impl Incoming {
    /// Waits for what will come.
    ///
    /// For a turn it waits as long as the source gives signs of life: how long those who come first
    /// take has no bound, a big game under a low limit takes days. The place is told, and whoever does
    /// not want to wait that long cancels.
    async fn announced(
        &mut self,
        notices: &mpsc::Sender<StreamNotice>,
    ) -> Result<StreamExtent, StreamFailure> {
        let mut turn_ends = None;
        let mut queue = QueuePosition::default();
        loop {
            match self.frame_by(turn_ends.unwrap_or_else(next_item_by)).await? {
                StreamFrame::Waiting { position } if position > POSITION_MAX => {
                    return Err(self.bad(&format!("it says that {position} come first")));
                }
                StreamFrame::Waiting { position } => {
                    if position == 0 {
                        turn_ends.get_or_insert_with(|| Instant::now() + LISTING_TIMEOUT);
                    }
                    if let Some(position) = queue.heard(position) {
                        let peer_id = self.peer_id;
                        let _ = notices.send(StreamNotice::Waiting { peer_id, position }).await;
                    }
                }
                StreamFrame::Begin(extent) if extent.archives > STREAM_ARCHIVES_MAX => {
                    return Err(self.bad(&format!("it announces {} archives", extent.archives)));
                }
                StreamFrame::Begin(extent) if extent.entries > STREAM_ENTRIES_MAX => {
                    return Err(self.bad(&format!("it announces {} entries", extent.entries)));
                }
                StreamFrame::Begin(extent) if extent.files > extent.entries => {
                    return Err(self.bad("it announces more files than entries"));
                }
                // It would put an empty directory in the place of what is installed.
                StreamFrame::Begin(extent) if extent.archives == 0 || extent.entries == 0 => {
                    return Err(self.bad("it announces nothing to install"));
                }
                StreamFrame::Begin(extent) => return Ok(extent),
                StreamFrame::Error { code, message } => return Err(self.given_up(code, message)),
                _ => return Err(self.bad("it does not begin with its totals")),
            }
        }
    }

    /// Passes everything on to the disk. Ends without an error when the disk takes no more.
    async fn pass_on(
        &mut self,
        announced: StreamExtent,
        limiter: &Limiter,
        disk: &mpsc::Sender<ReceivedItem>,
    ) -> Result<(), StreamFailure> {
        let (mut until, mut pace) = (next_item_by(), SourcePace::default());
        loop {
            let arrived = match self.frame_in_pace(until, &mut pace).await? {
                StreamFrame::Waiting { .. } => continue,
                StreamFrame::Directory { path } => ReceivedItem::Directory(path),
                StreamFrame::File { path, size, modified_ms, executable } => {
                    ReceivedItem::File { path, size, modified_ms, executable }
                }
                StreamFrame::Data { len: len @ 1..=STREAM_DATA_MAX_BYTES } => {
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    // What is not taken yet holds up the source, which is all that a limit can do.
                    limiter.pass(len).await;
                    let asked_at = Instant::now();
                    let data = self.data_by(next_item_by(), len).await?;
                    pace.wait(asked_at.elapsed());
                    pace.take(data.len() as u64);
                    ReceivedItem::Data(data)
                }
                StreamFrame::Data { len } => {
                    return Err(self.bad(&format!("it sends a block of {len} bytes")));
                }
                StreamFrame::FileEnd { crc32 } => ReceivedItem::FileEnd { crc32 },
                StreamFrame::Copy { path, from, modified_ms, executable } => {
                    ReceivedItem::Copy { path, from, modified_ms, executable }
                }
                StreamFrame::ArchiveEnd {} => ReceivedItem::ArchiveEnd,
                StreamFrame::End(extent) if extent == announced => {
                    self.require_end().await?;
                    let _ = disk.send(ReceivedItem::Complete).await;
                    return Ok(());
                }
                StreamFrame::End(_) => return Err(self.bad("it ends with other totals")),
                StreamFrame::Begin(_) => return Err(self.bad("it begins twice")),
                StreamFrame::Error { code, message } => return Err(self.given_up(code, message)),
            };
            if disk.send(arrived).await.is_err() {
                return Ok(());
            }
            // Only now: what the own disk and the own limit take is not the time of the source.
            until = next_item_by();
        }
    }

    async fn frame_by(&mut self, until: Instant) -> Result<StreamFrame, StreamFailure> {
        // Of frames that are there already no timeout hears, however many they are.
        if Instant::now() >= until {
            return Err(self.too_slow());
        }
        match timeout_at(until, self.frames.frame()).await {
            Ok(Ok(Some(frame))) => Ok(frame),
            Ok(Ok(None)) => Err(broken_off(self.peer_id)),
            Ok(Err(error)) => Err(exchange_failure(self.peer_id, error)),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Waits for a frame, and holds the source to the floor.
    async fn frame_in_pace(
        &mut self,
        until: Instant,
        pace: &mut SourcePace,
    ) -> Result<StreamFrame, StreamFailure> {
        let (asked_at, before) = (Instant::now(), self.frames.taken_bytes());
        let frame = self.frame_by(until).await?;
        pace.wait(asked_at.elapsed());
        if !matches!(frame, StreamFrame::Waiting { .. }) {
            pace.take(self.frames.taken_bytes() - before);
            if pace.is_below_floor() {
                return Err(self.below_floor());
            }
        }
        Ok(frame)
    }

    async fn data_by(&mut self, until: Instant, len: usize) -> Result<Bytes, StreamFailure> {
        match timeout_at(until, self.frames.data(len)).await {
            Ok(data) => data.map_err(|error| exchange_failure(self.peer_id, error)),
            Err(_) => Err(self.too_slow()),
        }
    }

    async fn require_end(&mut self) -> Result<(), StreamFailure> {
        match timeout_at(next_item_by(), self.frames.frame()).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(_))) => Err(self.bad("it goes on after its end")),
            Ok(Err(error)) => Err(exchange_failure(self.peer_id, error)),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> StreamFailure {
        let reason = "nothing of the game arrived in time".to_owned();
        StreamFailure::SourceFailed { peer_id: self.peer_id, reason }
    }

    fn below_floor(&self) -> StreamFailure {
        let floor = FLOOR_BYTES_PER_SECOND / 1024;
        let reason = format!("it sends less than {floor} KiB a second");
        StreamFailure::SourceFailed { peer_id: self.peer_id, reason }
    }

    fn bad(&self, reason: &str) -> StreamFailure {
        StreamFailure::BadSource { peer_id: self.peer_id, reason: reason.to_owned() }
    }

    fn given_up(&self, code: StreamErrorCode, message: String) -> StreamFailure {
        let peer_id = self.peer_id;
        match code {
            StreamErrorCode::ReadFailed | StreamErrorCode::Stopped => {
                StreamFailure::SourceFailed { peer_id, reason: message }
            }
            StreamErrorCode::TooSlow => StreamFailure::TurnLost { peer_id, reason: message },
            StreamErrorCode::NoArchive
            | StreamErrorCode::PasswordProtected
            | StreamErrorCode::UnsafeArchive
            | StreamErrorCode::MissingVolume
            | StreamErrorCode::BadArchive
            | StreamErrorCode::UnsupportedArchive => {
                StreamFailure::Archive { peer_id, code, message }
            }
        }
    }
}

/// When the next frame must be there that is more than a sign of life.
fn next_item_by() -> Instant {
    Instant::now() + ITEM_TIMEOUT
}

/// The place in the queue of a source. Only a better one is told, so that a source cannot make more
/// notices than a queue has places.
#[derive(Default)]
struct QueuePosition {
    lowest: Option<u32>,
}

impl QueuePosition {
    /// The source says that so many come first; returns what there is to tell.
    fn heard(&mut self, position: u32) -> Option<u32> {
        // Who has the turn at once has waited for nobody.
        let is_told = self.lowest.map_or(position > 0, |lowest| position < lowest);
        self.lowest = Some(self.lowest.map_or(position, |lowest| lowest.min(position)));
        is_told.then_some(position)
    }
}

fn source_failure(peer_id: PeerId, error: SourceError) -> StreamFailure {
    let reason = error.to_string();
    match error {
        SourceError::Gone(_) | SourceError::Refused(_) => {
            StreamFailure::SourceFailed { peer_id, reason }
        }
        SourceError::Protocol(_) => StreamFailure::BadSource { peer_id, reason },
    }
}

fn exchange_failure(peer_id: PeerId, error: ExchangeError) -> StreamFailure {
    let reason = error.to_string();
    match error {
        ExchangeError::Transport(
            TransportError::Lost(_) | TransportError::ClosedByPeer(CloseCode::Duplicate),
        )
        | ExchangeError::Silent => StreamFailure::SourceLost { peer_id, reason },
        ExchangeError::Transport(TransportError::Reset | TransportError::ClosedByPeer(_))
        | ExchangeError::EndedEarly => StreamFailure::SourceFailed { peer_id, reason },
        ExchangeError::Codec(_) | ExchangeError::TooLong => {
            StreamFailure::BadSource { peer_id, reason }
        }
    }
}

/// Tells how much is written.
struct Teller<'a> {
    peer_id: PeerId,
    bytes_total: u64,
    begun: Instant,
    meter: ProgressMeter,
    last_told: Option<u64>,
    notices: &'a mpsc::Sender<StreamNotice>,
}

impl<'a> Teller<'a> {
    fn new(peer_id: PeerId, bytes_total: u64, notices: &'a mpsc::Sender<StreamNotice>) -> Self {
        let (begun, meter) = (Instant::now(), ProgressMeter::new(Duration::ZERO));
        Self { peer_id, bytes_total, begun, meter, last_told: None, notices }
    }

    /// Runs until it is dropped.
    async fn follow(&mut self, mut written: watch::Receiver<u64>) -> Infallible {
        while written.changed().await.is_ok() {
            let bytes_done = *written.borrow_and_update();
            sleep_until(self.begun + self.meter.due_at(bytes_done)).await;
            let bytes_done = *written.borrow_and_update();
            self.tell(bytes_done).await;
        }
        std::future::pending().await
    }

    /// Makes sure that the last report is of all bytes.
    async fn finish(mut self) {
        if self.last_told != Some(self.bytes_total) {
            self.tell(self.bytes_total).await;
        }
    }

    async fn tell(&mut self, bytes_done: u64) {
        self.last_told = Some(bytes_done);
        let bytes_per_second = self.meter.report(self.begun.elapsed(), bytes_done);
        let (peer_id, bytes_total) = (self.peer_id, self.bytes_total);
        let progress =
            StreamNotice::Progress { peer_id, bytes_done, bytes_total, bytes_per_second };
        let _ = self.notices.send(progress).await;
    }
}
