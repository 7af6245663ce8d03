//! Streams games to others: unpacked here, so that they need no room for archives.
//!
//! A receiver that takes nothing for [`STALL_TIMEOUT`] loses its turn, and so does one that takes little while others wait
//! ([`ReceiverPace`]). The game counts as being
//! transferred from before it is looked at until no thread reads it any more.

use std::sync::Arc;
use std::time::Duration;

use lanspread_net::exchange::{ExchangeError, FrameWriter};
use lanspread_net::transport::StreamSender;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{RefusalCode, Response, StreamInstall};
use lanspread_proto::stream::{StreamErrorCode, StreamFrame};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Server;
use crate::admission::fair_semaphore::{QueuePosition, QueueTicket};
use crate::admission::receiver_pace::ReceiverPace;
use crate::admission::requester::Requester;
use crate::admission::upload::{PACED_BYTES, Sent, Upload};
use crate::outbound::TransferGuard;
use crate::published_library::ServedGame;
use crate::reply::{not_served, refused, reply};
use crate::unpacking::{Outgoing, unpack};

/// How long a receiver may take nothing before its stream ends: far above a disk that syncs, and not
/// so long that those who wait for its turn notice much.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of a source that has nothing to send: half of what a receiver puts up with.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long what is being sent may take once the source gives up: an operation or another receiver waits.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Blocks that wait to be sent: 12 MiB a stream, to even out disk and network. Solid archives come out
/// in bursts of 4 MiB, and whoever unpacks should not have to wait at the end of each.
pub(crate) const BLOCKS_WAITING: usize = 192;

/// How a stream ended that did not fail.
enum Ended {
    Sent,
    /// An operation wants the game.
    GameWanted,
    /// The receiver takes little, and others wait.
    TurnLost,
}

impl Server {
    pub(crate) async fn handle_stream_install(
        &self,
        requester: &Requester,
        wanted: StreamInstall,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        self.look_first(requester, &wanted.game_id).await;
        let look = || {
            let library = self.library.borrow();
            let game = library.game(&wanted.game_id);
            let game = game.filter(|game| *game.manifest.version() == wanted.version).cloned();
            let game = game.ok_or_else(|| not_served(&wanted.game_id))?;
            let too_many = || refused(RefusalCode::Busy, "too many wait to be streamed to");
            let ticket = self.streams.queue.join(requester.asker()).ok_or_else(too_many)?;
            Ok((game, ticket))
        };
        let (transfer, (game, ticket)) =
            match self.outbound.begin_if(&wanted.game_id, requester.link.peer_id(), look) {
                Ok(begun) => begun,
                Err(refusal) => {
                    let response = Response::Refused(refusal);
                    return reply(sender, &response, CONTROL_HEADER_MAX_BYTES).await;
                }
            };
        let (transfer, ticket) = (Arc::new(transfer), Arc::new(ticket));
        let mut out = FrameWriter::new(sender)?;
        let stream = self.stream(&game, &ticket, &transfer, &mut out);
        let outcome = tokio::select! {
            outcome = stream => outcome,
            () = transfer.stopped() => Ok(Ended::GameWanted),
        };
        let outcome = match outcome {
            Ok(Ended::Sent) => Ok(()),
            Ok(Ended::GameWanted) => {
                let message = "the game is about to change or to go away here";
                stop(&mut out, StreamErrorCode::Stopped, message).await
            }
            Ok(Ended::TurnLost) => {
                let message = "others wait, and too little of it was taken";
                stop(&mut out, StreamErrorCode::TooSlow, message).await
            }
            Err(error) => Err(error),
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
        ticket: &Arc<QueueTicket>,
        transfer: &Arc<TransferGuard>,
        out: &mut FrameWriter<'_>,
    ) -> Result<Ended, ExchangeError> {
        flush(out).await?;
        wait_for_turn(ticket, out).await?;
        let (frames, unpacked) = mpsc::channel(BLOCKS_WAITING);
        let (provider, root) = (Arc::clone(&self.streams.provider), game.root.clone());
        let held = (Arc::clone(ticket), Arc::clone(transfer));
        // Nobody waits for the thread: it ends at its next block once the channel is gone, and keeps
        // the ticket and the transfer until then.
        tokio::task::spawn_blocking(move || {
            unpack(&*provider, &root, &frames);
            drop(held);
        });
        send_all(unpacked, &self.admission.upload, ticket, out).await
    }
}

async fn wait_for_turn(
    ticket: &QueueTicket,
    out: &mut FrameWriter<'_>,
) -> Result<(), ExchangeError> {
    let mut position = ticket.position();
    while !position.is_granted() {
        out.push(&waiting(position))?;
        flush(out).await?;
        position = timeout(HEARTBEAT, ticket.moved(position)).await.unwrap_or(position);
    }
    Ok(())
}

fn waiting(QueuePosition(position): QueuePosition) -> StreamFrame {
    StreamFrame::Waiting { position: u32::try_from(position).unwrap_or(u32::MAX) }
}

/// Sends what is unpacked, until all is sent or the receiver loses its turn.
async fn send_all(
    mut unpacked: mpsc::Receiver<Outgoing>,
    upload: &Upload,
    ticket: &QueueTicket,
    out: &mut FrameWriter<'_>,
) -> Result<Ended, ExchangeError> {
    let (mut is_told, mut pace) = (false, ReceiverPace::default());
    loop {
        let mut entries = 0;
        match timeout(HEARTBEAT, unpacked.recv()).await {
            Err(_) => out.push(&waiting(QueuePosition::GRANTED))?,
            // A thread that panicked told nobody why: the receiver sees a reset.
            Ok(None) if is_told => return Ok(Ended::Sent),
            Ok(None) => return Err(ExchangeError::EndedEarly),
            Ok(Some(first)) => {
                let mut next = Some(first);
                while let Some(outgoing) = next {
                    is_told = false;
                    match outgoing {
                        Outgoing::Frame(frame) => {
                            out.push(&frame)?;
                            entries += u64::from(is_entry(&frame));
                            is_told =
                                matches!(frame, StreamFrame::End(_) | StreamFrame::Error { .. });
                        }
                        Outgoing::Data(data) if upload.limit().is_some() => {
                            push_paced(&data, upload, ticket, &mut pace, out).await?;
                        }
                        Outgoing::Data(data) => out.push_data(&data)?,
                    }
                    // Under a limit little goes at a time: others share it, and all that goes at once is
                    // waited for without a sign of life.
                    let is_enough = out.is_full() || upload.limit().is_some();
                    next = if is_enough { None } else { unpacked.try_recv().ok() };
                }
            }
        }
        send(entries, upload, ticket, &mut pace, out).await?;
        if pace.is_slow() && !is_told && ticket.do_others_wait() {
            return Ok(Ended::TurnLost);
        }
    }
}

/// Sends all of a block but its last piece, which is gathered.
async fn push_paced(
    data: &[u8],
    upload: &Upload,
    ticket: &QueueTicket,
    pace: &mut ReceiverPace,
    out: &mut FrameWriter<'_>,
) -> Result<(), ExchangeError> {
    for piece in data.chunks(PACED_BYTES) {
        if out.gathered_bytes() > 0 {
            send(0, upload, ticket, pace, out).await?;
        }
        out.push_data(piece)?;
    }
    Ok(())
}

/// Sends what is gathered, with so many entries in it.
async fn send(
    entries: u64,
    upload: &Upload,
    ticket: &QueueTicket,
    pace: &mut ReceiverPace,
    out: &mut FrameWriter<'_>,
) -> Result<(), ExchangeError> {
    let bytes = out.gathered_bytes();
    upload.pass(Sent::Stream, ticket.asker(), bytes).await;
    let began = Instant::now();
    flush(out).await?;
    pace.note(bytes, entries, began.elapsed());
    Ok(())
}

fn is_entry(frame: &StreamFrame) -> bool {
    matches!(
        frame,
        StreamFrame::File { .. } | StreamFrame::Directory { .. } | StreamFrame::Copy { .. }
    )
}

async fn flush(out: &mut FrameWriter<'_>) -> Result<(), ExchangeError> {
    timeout(STALL_TIMEOUT, out.flush()).await.unwrap_or(Err(ExchangeError::Silent))
}

/// Tells why the source gives up, after the frame that is being sent. The receiver may ask again.
async fn stop(
    out: &mut FrameWriter<'_>,
    code: StreamErrorCode,
    message: &str,
) -> Result<(), ExchangeError> {
    out.push(&StreamFrame::Error { code, message: message.to_owned() })?;
    timeout(STOP_GRACE, out.flush()).await.unwrap_or(Err(ExchangeError::Silent))
}

#[cfg(test)]
mod tests;
