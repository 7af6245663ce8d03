//! Asking for no more than a limit allows.

use std::time::Duration;

use lanspread_net::limit::Limiter;
use lanspread_proto::CHUNK_SIZE_BYTES;

/// Pays for a chunk before it is asked for, once, of however many sources it is asked. Not while its bytes come in: what is under way already
/// cannot be slowed down without looking like a slow source.
pub(super) struct Pacer {
    limiter: Limiter,
    /// Bytes that are paid for and not asked for yet. Chunks that are shorter leave something.
    credit: i64,
    /// When the next payment is through.
    paid_at: Option<Duration>,
}

impl Pacer {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self { limiter, credit: 0, paid_at: None }
    }

    /// Whether a chunk may be asked for now.
    pub(super) fn may_ask(&mut self, now: Duration) -> bool {
        if self.limiter.limit().is_none() {
            return true;
        }
        if self.credit <= 0 {
            let paid_at =
                *self.paid_at.get_or_insert_with(|| now + self.limiter.book(CHUNK_SIZE_BYTES));
            if paid_at <= now {
                self.paid_at = None;
                self.credit += CHUNK_SIZE_BYTES.cast_signed();
            }
        }
        self.credit > 0
    }

    /// So many bytes have been asked for, or have come of an answer that is not waited for any more.
    pub(super) fn spend(&mut self, bytes: u64) {
        if self.limiter.limit().is_some() {
            self.credit = self.credit.saturating_sub_unsigned(bytes);
        }
    }

    /// When to ask again.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.paid_at
    }
}

#[cfg(test)]
mod tests {
    use lanspread_net::limit::RateLimit;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn chunks_of_any_length_keep_to_the_limit() {
        let rate = 10 * 1024 * 1024;
        for len in [10_000, 1024 * 1024, 2 * 1024 * 1024] {
            let mut pacer = Pacer::new(Limiter::new(RateLimit::new(rate)));
            let began = tokio::time::Instant::now();
            let mut asked = 0_u64;
            while asked < 8 * rate {
                let now = began.elapsed();
                if pacer.may_ask(now) {
                    pacer.spend(len);
                    asked += len;
                } else {
                    tokio::time::sleep_until(began + pacer.wake_at().unwrap()).await;
                }
            }
            let factor = asked as f64 / began.elapsed().as_secs_f64() / rate as f64;
            assert!((0.95..=1.05).contains(&factor), "{factor} with chunks of {len}");
        }
    }
}
