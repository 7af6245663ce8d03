use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use lanspread_net::limit::{Limiter, RateLimit};
use lanspread_net::transport::TransportError;
use lanspread_proto::PeerId;
use lanspread_proto::stream::StreamExtent;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::*;
use crate::admission::fair_semaphore::Asker;
use crate::admission::stream_queue::StreamQueue;

/// A receiver that takes so many bytes a second, and pauses once.
struct Receiver {
    bytes_per_second: u64,
    pause: Duration,
    taking: Option<Pin<Box<Sleep>>>,
    taken: u64,
}

impl Receiver {
    fn new(bytes_per_second: u64, pause: Duration) -> Self {
        Self { bytes_per_second, pause, taking: None, taken: 0 }
    }
}

impl StreamSender for Receiver {
    fn poll_send(
        &mut self,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        let (len, rate) = (bytes.len() as u64, self.bytes_per_second);
        let taking = self.taking.get_or_insert_with(|| {
            let time = Duration::from_micros(len * 1_000_000 / rate);
            Box::pin(sleep(time + std::mem::take(&mut self.pause)))
        });
        ready!(taking.as_mut().poll(cx));
        self.taking = None;
        self.taken += len;
        bytes.clear();
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_delivered(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn is_unwanted(&mut self) -> bool {
        false
    }

    fn reset(&mut self) {}
}

fn asker(host: u8) -> Asker {
    let peer = PeerId::from_public_key(&[host]);
    Asker { addr: IpAddr::from([10, 0, 0, host]).into(), peer }
}

/// Streams `bytes` to a receiver, in its turn.
async fn stream_to(
    queue: &StreamQueue,
    host: u8,
    upload: &Upload,
    receiver: &mut Receiver,
    bytes: usize,
) -> Result<Ended, ExchangeError> {
    let ticket = queue.join(asker(host)).unwrap();
    ticket.granted().await;
    let (frames, unpacked) = mpsc::channel(BLOCKS_WAITING);
    let unpack = async move {
        for _ in 0..bytes / (64 * 1024) {
            let block = Outgoing::Data(Bytes::from(vec![0; 64 * 1024]));
            if frames.send(block).await.is_err() {
                return;
            }
        }
        let bytes = bytes as u64;
        let end = StreamFrame::End(StreamExtent { archives: 1, entries: 1, files: 1, bytes });
        let _ = frames.send(Outgoing::Frame(end)).await;
    };
    let mut out = FrameWriter::new(receiver).unwrap();
    let sent = async {
        let sent = send_all(unpacked, upload, &ticket, &mut out).await;
        drop(ticket);
        sent
    };
    tokio::join!(unpack, sent).1
}

const GAME: usize = 64 * 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn two_slow_receivers_do_not_keep_both_turns_from_a_third() {
    let (queue, upload) = (StreamQueue::new(2), Upload::new(Limiter::new(None)));
    let slow = async |host| {
        let mut receiver = Receiver::new(50 * 1024, Duration::ZERO);
        stream_to(&queue, host, &upload, &mut receiver, GAME).await.unwrap()
    };
    let third = async {
        sleep(Duration::from_secs(5)).await;
        let began = Instant::now();
        let mut receiver = Receiver::new(50 * 1024 * 1024, Duration::ZERO);
        let ended = stream_to(&queue, 3, &upload, &mut receiver, GAME).await.unwrap();
        assert!(matches!(ended, Ended::Sent));
        began.elapsed()
    };
    let (one, other, third) = tokio::join!(slow(1), slow(2), third);
    let lost = [one, other].iter().filter(|ended| matches!(ended, Ended::TurnLost)).count();
    assert!(lost >= 1);
    assert!(third < Duration::from_secs(45), "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_goes_on_while_nobody_waits() {
    let (queue, upload) = (StreamQueue::new(2), Upload::new(Limiter::new(None)));
    let mut receiver = Receiver::new(50 * 1024, Duration::ZERO);
    let ended = stream_to(&queue, 1, &upload, &mut receiver, GAME / 8).await.unwrap();
    assert!(matches!(ended, Ended::Sent));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_whose_disk_pauses_keeps_its_turn() {
    let (queue, upload) = (StreamQueue::new(1), Upload::new(Limiter::new(None)));
    let mut receiver = Receiver::new(1024 * 1024, Duration::from_secs(25));
    let first = stream_to(&queue, 1, &upload, &mut receiver, GAME);
    let other = async {
        let ticket = queue.join(asker(2)).unwrap();
        ticket.granted().await;
    };
    let (first, ()) = tokio::join!(first, other);
    assert!(matches!(first.unwrap(), Ended::Sent));
}

/// The lowest limit with as many streams as it lets go on: its slowness is not that of the receivers, and each of them
/// gets more than it has to before it would give up.
#[tokio::test(start_paused = true)]
async fn a_low_limit_makes_no_receiver_slow() {
    let limit = RateLimit::new(RateLimit::MIN);
    let upload = Arc::new(Upload::new(Limiter::new(limit)));
    let queue = StreamQueue::new(16);
    let mut streams = JoinSet::new();
    for host in 0..16 {
        let (queue, upload) = (queue.clone(), Arc::clone(&upload));
        streams.spawn(async move {
            let mut receiver = Receiver::new(10 * 1024 * 1024, Duration::ZERO);
            let sending = stream_to(&queue, host, &upload, &mut receiver, GAME);
            let ended = timeout(Duration::from_secs(600), sending).await;
            assert!(ended.is_err(), "it went on");
            receiver.taken
        });
    }
    let chunks = async {
        loop {
            upload.pass(Sent::Chunks, asker(99), PACED_BYTES).await;
        }
    };
    sleep(Duration::from_secs(1)).await;
    let _waiting = queue.join(asker(98)).unwrap();
    let _ = timeout(Duration::from_secs(600), chunks).await;
    for taken in streams.join_all().await {
        assert!(taken >= 600 * 7 * 1024, "{taken}");
    }
}
