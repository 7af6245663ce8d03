//! Keeps all bytes of one direction to a number of bytes a second.
//!
//! [`Limiter::book`] reserves the time of some bytes and returns how long they wait, so that those that wait go in the
//! order in which they came, whatever their size.
//!
//! The crate `governor` (0.10) reserves nothing: a waiter of `until_n_ready` sleeps and then competes anew, so a large
//! piece is overtaken by small ones again and again, and a piece that is larger than the burst is an error
//! (`InsufficientCapacity`). It sleeps by `futures-timer`, which the paused time of tokio's tests does not move.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How much time may be made up for: a sleep that took too long costs no speed, and a pause saves
/// nothing up.
const MADE_UP_MAX: Duration = Duration::from_millis(50);

/// A limit in bytes per second.
///
/// Not below [`RateLimit::MIN`]: a chunk of 2 MiB has to arrive while its asker still waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit(NonZeroU64);

impl RateLimit {
    /// The lowest limit in bytes per second: a chunk takes 8 s.
    pub const MIN: u64 = 256 * 1024;

    /// Returns a limit of that many bytes per second; `None` below [`Self::MIN`].
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        NonZeroU64::new(bytes_per_second).filter(|rate| rate.get() >= Self::MIN).map(Self)
    }

    /// Returns the limit in bytes per second.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }

    fn time_for(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.0.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// When bytes may go that keep to a limit. Pure: whoever uses it says what time it is.
#[derive(Debug)]
struct Schedule {
    limit: RateLimit,
    /// When all that was let through so far is paid for.
    paid_at: Duration,
}

impl Schedule {
    /// Takes in that `bytes` want to go; returns how long they have to wait.
    fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let from = self.paid_at.max(now.saturating_sub(MADE_UP_MAX));
        self.paid_at = from + self.limit.time_for(bytes);
        self.paid_at.saturating_sub(now)
    }
}

/// A limit that everything in one direction shares. Clones are the same limit.
#[derive(Debug, Clone)]
pub struct Limiter(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    schedule: Mutex<Schedule>,
    limit: RateLimit,
    began: Instant,
}

impl Limiter {
    /// Keeps to `limit`, or to nothing.
    pub fn new(limit: Option<RateLimit>) -> Self {
        Self(limit.map(|limit| {
            let schedule = Mutex::new(Schedule { limit, paid_at: Duration::ZERO });
            Arc::new(Shared { schedule, limit, began: Instant::now() })
        }))
    }

    /// Returns the limit, if there is one.
    pub fn limit(&self) -> Option<RateLimit> {
        self.0.as_ref().map(|shared| shared.limit)
    }

    /// Books `bytes`, and returns how long they have to wait. Nothing takes a booking back.
    pub fn book(&self, bytes: u64) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |shared| {
            let mut schedule = shared.schedule.lock().unwrap_or_else(PoisonError::into_inner);
            schedule.take(bytes, shared.began.elapsed())
        })
    }

    /// Waits until `bytes` may go. Those that wait go in the order in which they came. Not cancel safe: the
    /// bytes of a dropped wait stay booked.
    pub async fn pass(&self, bytes: usize) {
        let wait = self.book(bytes as u64);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn limiter(rate: u64) -> Limiter {
        Limiter::new(Some(RateLimit::new(rate).unwrap()))
    }

    #[test]
    fn a_limit_that_would_starve_a_chunk_is_none() {
        assert!(RateLimit::new(RateLimit::MIN - 1).is_none());
        assert_eq!(RateLimit::new(RateLimit::MIN).unwrap().bytes_per_second(), RateLimit::MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_keeps_to_the_limit_whatever_its_size() {
        for piece in [1_000, 32 * 1024, 2 * 1024 * 1024] {
            let (limiter, began) = (limiter(10 * MIB), Instant::now());
            let mut passed = 0;
            while passed < 50 * MIB {
                limiter.pass(piece).await;
                passed += piece as u64;
            }
            let rate = passed as f64 / began.elapsed().as_secs_f64() / (10 * MIB) as f64;
            assert!((0.95..=1.05).contains(&rate), "{rate} with pieces of {piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_pass_at_the_same_time_share_it() {
        let (limiter, began) = (limiter(4 * MIB), Instant::now());
        let pass = |limiter: Limiter| async move {
            for _ in 0..64 {
                limiter.pass(64 * 1024).await;
            }
            Instant::now()
        };
        let (one, other) = tokio::join!(pass(limiter.clone()), pass(limiter.clone()));
        let took = one.max(other) - began;
        assert!(took.abs_diff(Duration::from_secs(2)) < Duration::from_millis(100), "{took:?}");
        assert!(one.max(other) - one.min(other) < Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_nothing_up() {
        let limiter = limiter(10 * MIB);
        limiter.pass(1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let began = Instant::now();
        limiter.pass(10 * 1024 * 1024).await;
        assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let began = Instant::now();
        Limiter::new(None).pass(usize::MAX).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
