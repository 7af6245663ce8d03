//! The way of events from the command loop to whoever started the peer.
//!
//! The loop puts an event into the queue and goes on: it never waits for a consumer. A consumer that keeps up
//! sees every event. For one that falls behind, newer events take the place of older ones, and what is too much
//! becomes one [`PeerEvent::EventsDropped`]. [`EventClass`] says which event is of which kind. An operation's
//! beginning and end are always there: while too many of them are unread, the loop takes no command.

mod class;
mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::coop::consume_budget;

pub use self::class::EventClass;
use self::queue::EventQueue;
use crate::event::PeerEvent;

/// Makes the two ends of the way that the events of one peer take.
#[must_use]
pub fn event_channel() -> (EventSender, EventReceiver) {
    let shared = Arc::new(Shared::default());
    (EventSender(Arc::clone(&shared)), EventReceiver { shared, taken: 0 })
}

/// Where a peer sends its events: what [`crate::start_peer`] takes.
#[derive(Debug)]
pub struct EventSender(Arc<Shared>);

/// Where whoever started a peer takes its events.
///
/// A dropped receiver takes nothing any more: the peer goes on, and its events are forgotten.
#[derive(Debug)]
pub struct EventReceiver {
    shared: Arc<Shared>,
    taken: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when an event has come, or none will come any more.
    arrived: Notify,
    /// Notified when there is room for commands again.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: EventQueue,
    /// The peer has stopped, or never started.
    has_ended: bool,
    /// Nobody takes events any more.
    is_abandoned: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSender {
    /// Sends an event. Never waits.
    pub(crate) fn emit(&self, event: PeerEvent) {
        let mut state = self.0.state();
        state.queue.push(event);
        if state.is_abandoned {
            state.queue.clear();
        }
        drop(state);
        self.0.arrived.notify_one();
    }

    /// Returns how many events were sent.
    pub(crate) fn emitted(&self) -> u64 {
        self.0.state().queue.emitted()
    }

    /// Whether so few beginnings and ends of operations are unread that commands may be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.0.state().queue.has_room()
    }

    /// Waits until [`Self::has_room`]. Cancel safe.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            self.0.room.notified().await;
        }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.arrived.notify_one();
    }
}

impl EventReceiver {
    /// Returns the next event, once there is one; `None` once the peer has stopped and all events are taken.
    /// Cancel safe: a dropped future takes no event.
    pub async fn recv(&mut self) -> Option<PeerEvent> {
        // A flood of events must not keep the task that takes them from what else it has to do.
        consume_budget().await;
        loop {
            match self.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.shared.arrived.notified().await,
            }
        }
    }

    /// Returns the next event if there is one. An event that was sent before an answer is there when the answer
    /// is.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] when none is there, [`TryRecvError::Disconnected`] when none will come any more.
    pub fn try_recv(&mut self) -> Result<PeerEvent, TryRecvError> {
        // Asked first: an event may come before the end does.
        let has_ended = self.shared.state().has_ended;
        match self.take_until(u64::MAX) {
            Some(event) => Ok(event),
            None if has_ended => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Returns the next event if it is one of the first `events` that were sent. What is [`crate::AsOf`] that many
    /// events knows these, and none after them.
    pub fn take_until(&mut self, events: u64) -> Option<PeerEvent> {
        let mut state = self.shared.state();
        state.queue.next_position().filter(|at| *at <= events)?;
        let had_room = state.queue.has_room();
        let (at, event) = state.queue.pop()?;
        let is_room_news = !had_room && state.queue.has_room();
        drop(state);
        if is_room_news {
            self.shared.room.notify_one();
        }
        self.taken = at;
        Some(event)
    }

    /// Returns the position of the event that was taken last among all that were sent, from 1 on. A position that is
    /// left out is of an event whose place a newer one took, or that [`PeerEvent::EventsDropped`] counts.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns how many events were sent so far.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.shared.state().queue.emitted()
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_abandoned = true;
        state.queue.clear();
        drop(state);
        self.shared.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lanspread_proto::GameId;
    use tokio::time::timeout;

    use super::queue::KEPT_MAX;
    use super::*;

    fn begin() -> PeerEvent {
        PeerEvent::InstallBegin { game_id: GameId::new("doom").unwrap() }
    }

    async fn has_room_in_time(sender: &EventSender) -> bool {
        timeout(Duration::from_secs(1), sender.room()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn commands_wait_while_too_many_ends_are_unread_and_for_nobody_who_is_gone() {
        let (sender, mut receiver) = event_channel();
        for _ in 0..KEPT_MAX {
            assert!(has_room_in_time(&sender).await);
            sender.emit(begin());
        }
        assert!(!has_room_in_time(&sender).await);
        receiver.recv().await.unwrap();
        assert!(has_room_in_time(&sender).await);
        sender.emit(begin());
        assert!(!has_room_in_time(&sender).await);
        drop(receiver);
        assert!(has_room_in_time(&sender).await);
        (0..2 * KEPT_MAX).for_each(|_| sender.emit(begin()));
        assert!(has_room_in_time(&sender).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_after_the_last_event() {
        let (sender, mut receiver) = event_channel();
        let taken = tokio::spawn(async move {
            let mut taken = 0;
            while receiver.recv().await.is_some() {
                taken += 1;
            }
            taken
        });
        tokio::task::yield_now().await;
        sender.emit(begin());
        tokio::task::yield_now().await;
        sender.emit(PeerEvent::Stopped);
        drop(sender);
        assert_eq!(taken.await.unwrap(), 2);
    }
}
