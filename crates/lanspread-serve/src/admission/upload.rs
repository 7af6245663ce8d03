//! Shares the upload limit.
//!
//! Streams get half of it, chunks and pages of games the other half, and either has all while the other has nothing to send.
//! So a chunk arrives before its asker gives up, however many streams there are. Within each half addresses take turns, then
//! the peers of an address.

use lanspread_net::limit::{Limiter, RateLimit};
use tokio::sync::Mutex;

use super::fair_semaphore::{Asker, FairSemaphore, Order};

/// What is sent at once under a limit: it goes out evenly, and who is sent something at the same time
/// gets as much of it.
pub(crate) const PACED_BYTES: usize = 32 * 1024;
/// What each stream has of the upload limit at least: four times the floor below which a receiver gives up a source, since
/// streams may have half of the limit only, and another half of that is for copies that are lost.
pub(crate) const STREAM_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// The upload limit of one peer, or none.
pub(crate) struct Upload {
    limiter: Limiter,
    chunks: FairSemaphore,
    streams: FairSemaphore,
    /// Held by either in turn, in the order of arrival.
    turn: Mutex<()>,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    /// Chunks and pages of games.
    Chunks,
    /// Streamed installations.
    Stream,
}

impl Upload {
    pub(crate) fn new(limiter: Limiter) -> Self {
        let [chunks, streams] =
            [1, 1].map(|turns| FairSemaphore::new(turns, Order::TurnsWhileOthersWait(turns)));
        Self { limiter, chunks, streams, turn: Mutex::new(()) }
    }

    /// Returns the limit, if there is one.
    pub(crate) fn limit(&self) -> Option<RateLimit> {
        self.limiter.limit()
    }

    /// Returns how much of `bytes` is sent at once.
    pub(crate) fn piece_len(&self, bytes: usize) -> usize {
        if self.limit().is_some() { bytes.min(PACED_BYTES) } else { bytes }
    }

    /// Waits until `bytes` may go. Not cancel safe: what is booked when it is dropped stays booked.
    pub(crate) async fn pass(&self, sent: Sent, asker: Asker, bytes: usize) {
        if self.limit().is_none() {
            return;
        }
        let of_kind = match sent {
            Sent::Chunks => &self.chunks,
            Sent::Stream => &self.streams,
        };
        let _of_kind = of_kind.acquire(asker).await;
        let _turn = self.turn.lock().await;
        self.limiter.pass(bytes).await;
    }
}

/// Returns how many streams may have their turn at a time under a limit, of `most` that are allowed.
pub(crate) fn streams_at_once(most: usize, limit: Option<RateLimit>) -> usize {
    limit.map_or(most, |limit| {
        let fitting = limit.bytes_per_second() / STREAM_BYTES_PER_SECOND_MIN;
        most.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use lanspread_proto::{CHUNK_SIZE_BYTES, PeerId};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, timeout};

    use super::*;

    fn asker(host: u8) -> Asker {
        let peer = PeerId::from_public_key(&[host]);
        Asker { addr: IpAddr::from([10, 0, 0, host]).into(), peer }
    }

    /// Streams that never end beside one chunk: the lowest limit.
    #[tokio::test(start_paused = true)]
    async fn a_chunk_comes_in_time_beside_many_streams() {
        let limit = RateLimit::new(RateLimit::MIN);
        assert_eq!(streams_at_once(64, limit), 16);
        let upload = Arc::new(Upload::new(Limiter::new(limit)));
        let mut streams = JoinSet::new();
        for host in 0..16 {
            let upload = Arc::clone(&upload);
            streams.spawn(async move {
                loop {
                    // No receiver takes the silence for the end.
                    let pass = upload.pass(Sent::Stream, asker(host), PACED_BYTES);
                    timeout(Duration::from_secs(5), pass).await.unwrap();
                }
            });
        }
        let began = Instant::now();
        for _ in 0..usize::try_from(CHUNK_SIZE_BYTES).unwrap() / PACED_BYTES {
            upload.pass(Sent::Chunks, asker(99), PACED_BYTES).await;
        }
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(17), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_kind_does_not_use_the_other_has() {
        let upload = Upload::new(Limiter::new(RateLimit::new(1024 * 1024)));
        let began = Instant::now();
        for _ in 0..64 {
            upload.pass(Sent::Chunks, asker(1), PACED_BYTES).await;
        }
        let took = began.elapsed();
        assert!(took.abs_diff(Duration::from_secs(2)) < Duration::from_millis(100), "{took:?}");
    }
}
