//! The lock of the `UnRAR` library.
//!
//! One thread at a time is inside, and those that wait come in their order. A thread inside can hang:
//! in a read from a disk or server that is gone. Then those that wait to begin something are told so
//! after a while, rather than to wait with it, and they can be cancelled while they wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest time that one thread may be inside at a time before others give up. It leaves with every
/// block of some megabytes: even from a slow disk that takes seconds.
const HOLD_MAX: Duration = Duration::from_secs(120);
/// How often those that wait look whether they are cancelled.
const POLL: Duration = Duration::from_millis(50);

static LIBRARY: FairLock = FairLock::new(HOLD_MAX);

/// Why a thread does not get the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockError {
    /// The operation was cancelled while it waited.
    Cancelled,
    /// Another thread holds the lock and does not come forward.
    Stuck,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct LibraryGuard(&'static FairLock);

impl LibraryGuard {
    /// Waits for the lock; `is_cancelled` is asked again and again meanwhile.
    pub(super) fn lock(is_cancelled: &mut dyn FnMut() -> bool) -> Result<Self, LockError> {
        LIBRARY.lock(is_cancelled)
    }

    /// Waits for as long as it takes: for a thread that cannot leave the library without the lock.
    pub(super) fn lock_without_limit() -> Self {
        LIBRARY.lock_without_limit()
    }

    /// Waits for the lock unless another thread is stuck inside.
    pub(super) fn lock_unless_stuck() -> Option<Self> {
        LIBRARY.lock(&mut || false).ok()
    }
}

impl Drop for LibraryGuard {
    fn drop(&mut self) {
        self.0.state().held_since = None;
        self.0.changed.notify_all();
    }
}

#[derive(Debug)]
struct FairLock {
    hold_max: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    held_since: Option<Instant>,
    next_number: u64,
    waiting: VecDeque<u64>,
}

impl FairLock {
    const fn new(hold_max: Duration) -> Self {
        let state = State { held_since: None, next_number: 0, waiting: VecDeque::new() };
        Self { hold_max, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(
        &'static self,
        is_cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<LibraryGuard, LockError> {
        let mut state = self.state();
        let number = state.join();
        loop {
            if state.is_next(number) {
                return Ok(self.enter(state));
            }
            let stuck = state.held_since.is_some_and(|since| since.elapsed() >= self.hold_max);
            let why_not = if stuck { Some(LockError::Stuck) } else { None };
            let why_not = why_not.or_else(|| is_cancelled().then_some(LockError::Cancelled));
            if let Some(why_not) = why_not {
                state.waiting.retain(|waiting| *waiting != number);
                self.changed.notify_all();
                return Err(why_not);
            }
            state = self
                .changed
                .wait_timeout(state, POLL)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    fn lock_without_limit(&'static self) -> LibraryGuard {
        let mut state = self.state();
        let number = state.join();
        while !state.is_next(number) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.enter(state)
    }

    fn enter(&'static self, mut state: MutexGuard<'_, State>) -> LibraryGuard {
        state.waiting.pop_front();
        state.held_since = Some(Instant::now());
        LibraryGuard(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back(number);
        number
    }

    fn is_next(&self, number: u64) -> bool {
        self.held_since.is_none() && self.waiting.front() == Some(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn lock(hold_max: Duration) -> &'static FairLock {
        Box::leak(Box::new(FairLock::new(hold_max)))
    }

    /// Blocks until so many wait.
    fn wait_until_waiting(lock: &FairLock, count: usize) {
        while lock.state().waiting.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn who_waits_comes_in_the_order_of_arrival() {
        let lock = lock(HOLD_MAX);
        let first = lock.lock_without_limit();
        let (order, came) = mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let order = order.clone();
                let thread = thread::spawn(move || {
                    let _guard = lock.lock(&mut || false).unwrap();
                    order.send(number).unwrap();
                });
                wait_until_waiting(lock, number + 1);
                thread
            })
            .collect();
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(came.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn who_is_cancelled_leaves_and_the_next_one_comes() {
        let lock = lock(HOLD_MAX);
        let first = lock.lock_without_limit();
        assert_eq!(lock.lock(&mut || true).unwrap_err(), LockError::Cancelled);
        assert!(lock.state().waiting.is_empty());
        drop(first);
        drop(lock.lock(&mut || true).unwrap());
    }

    #[test]
    fn one_that_is_stuck_inside_does_not_hold_up_those_that_begin() {
        let lock = lock(Duration::ZERO);
        let stuck = lock.lock_without_limit();
        assert_eq!(lock.lock(&mut || false).unwrap_err(), LockError::Stuck);
        // It has come forward after all.
        drop(stuck);
        drop(lock.lock(&mut || false).unwrap());
    }
}
