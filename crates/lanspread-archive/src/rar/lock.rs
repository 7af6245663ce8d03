//! Whose turn it is in the `UnRAR` library.
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

static LIBRARY: Turns = Turns::new(HOLD_MAX);

/// Why somebody does not get a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// It was cancelled while it waited.
    Cancelled,
    /// Another one is inside and does not come forward.
    Stuck,
}

/// A turn, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(&'static Turns);

impl Turn {
    /// Waits for a turn in the library; `is_cancelled` is asked again and again meanwhile.
    pub(super) fn wait(is_cancelled: &mut dyn FnMut() -> bool) -> Result<Self, NoTurn> {
        LIBRARY.wait(is_cancelled)
    }

    /// Waits for as long as it takes: for who cannot leave the library without a turn.
    pub(super) fn wait_on() -> Self {
        LIBRARY.wait_on()
    }

    /// Waits for a turn unless another one is stuck inside.
    pub(super) fn unless_stuck() -> Option<Self> {
        LIBRARY.wait(&mut || false).ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().inside_since = None;
        self.0.changed.notify_all();
    }
}

#[derive(Debug)]
struct Turns {
    hold_max: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    inside_since: Option<Instant>,
    next_number: u64,
    waiting: VecDeque<u64>,
}

impl Turns {
    const fn new(hold_max: Duration) -> Self {
        let state = State { inside_since: None, next_number: 0, waiting: VecDeque::new() };
        Self { hold_max, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn wait(&'static self, is_cancelled: &mut dyn FnMut() -> bool) -> Result<Turn, NoTurn> {
        let mut state = self.lock();
        let number = state.join();
        loop {
            if state.is_turn_of(number) {
                return Ok(self.enter(state));
            }
            let stuck = state.inside_since.is_some_and(|since| since.elapsed() >= self.hold_max);
            let why_not = if stuck { Some(NoTurn::Stuck) } else { None };
            let why_not = why_not.or_else(|| is_cancelled().then_some(NoTurn::Cancelled));
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

    fn wait_on(&'static self) -> Turn {
        let mut state = self.lock();
        let number = state.join();
        while !state.is_turn_of(number) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.enter(state)
    }

    fn enter(&'static self, mut state: MutexGuard<'_, State>) -> Turn {
        state.waiting.pop_front();
        state.inside_since = Some(Instant::now());
        Turn(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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

    fn is_turn_of(&self, number: u64) -> bool {
        self.inside_since.is_none() && self.waiting.front() == Some(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn turns(hold_max: Duration) -> &'static Turns {
        Box::leak(Box::new(Turns::new(hold_max)))
    }

    /// Blocks until so many wait.
    fn wait_until_waiting(turns: &Turns, count: usize) {
        while turns.lock().waiting.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn who_waits_comes_in_the_order_of_arrival() {
        let turns = turns(HOLD_MAX);
        let first = turns.wait_on();
        let (order, came) = mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let order = order.clone();
                let thread = thread::spawn(move || {
                    let _turn = turns.wait(&mut || false).unwrap();
                    order.send(number).unwrap();
                });
                wait_until_waiting(turns, number + 1);
                thread
            })
            .collect();
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(came.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn who_is_cancelled_leaves_and_the_next_one_comes() {
        let turns = turns(HOLD_MAX);
        let first = turns.wait_on();
        assert_eq!(turns.wait(&mut || true).unwrap_err(), NoTurn::Cancelled);
        assert!(turns.lock().waiting.is_empty());
        drop(first);
        drop(turns.wait(&mut || true).unwrap());
    }

    #[test]
    fn one_that_is_stuck_inside_does_not_hold_up_those_that_begin() {
        let turns = turns(Duration::ZERO);
        let stuck = turns.wait_on();
        assert_eq!(turns.wait(&mut || false).unwrap_err(), NoTurn::Stuck);
        // It has come forward after all.
        drop(stuck);
        drop(turns.wait(&mut || false).unwrap());
    }
}
