//! The answers that are to come, and where each belongs among the events.
//!
//! Events and answers come by different ways, so one may overtake the other. An answer to a question
//! says after how many events it was true, and is printed right there. Any other answer is printed
//! after all events that are there, as what it tells of was sent before it. An answer becomes a record when it is
//! printed, so that many of them take little memory.

use std::collections::VecDeque;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::ticket::Ticket;
use crate::waits::Outcome;

/// What became of a command, and after how many events that was true, where it was a question.
pub(crate) struct Answer {
    pub(crate) after_events: Option<u64>,
    outcome: Box<dyn FnOnce() -> Outcome + Send>,
}

impl Answer {
    pub(crate) fn new(
        after_events: Option<u64>,
        outcome: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Self {
        Self { after_events, outcome: Box::new(outcome) }
    }

    /// Makes what is printed.
    pub(crate) fn outcome(self) -> Outcome {
        (self.outcome)()
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Answers {
    coming: FuturesUnordered<BoxFuture<'static, (Ticket, Answer)>>,
    /// Those that came while an event was being taken in that belongs before them.
    waiting: VecDeque<(Ticket, Answer)>,
}

impl Answers {
    pub(crate) fn expect(&mut self, ticket: Ticket, answer: BoxFuture<'static, Answer>) {
        self.coming.push(answer.map(move |answer| (ticket, answer)).boxed());
    }

    /// An answer that waits already.
    pub(crate) fn take_waiting(&mut self) -> Option<(Ticket, Answer)> {
        self.waiting.pop_front()
    }

    /// The next answer to come; `None` where none is to come.
    pub(crate) async fn next(&mut self) -> Option<(Ticket, Answer)> {
        self.coming.next().await
    }

    /// An answer that is there, without waiting.
    pub(crate) fn take_ready(&mut self) -> Option<(Ticket, Answer)> {
        if let Some(waiting) = self.take_waiting() {
            return Some(waiting);
        }
        // The budget of the task must not make an answer look as if it were not there yet.
        tokio::task::unconstrained(self.coming.next()).now_or_never().flatten()
    }

    /// Returns the answers that belong before the event at `position` among all that were sent.
    ///
    /// Whatever was sent before the event is there when the event is.
    pub(crate) fn before_event(&mut self, position: u64) -> Vec<(Ticket, Answer)> {
        let mut ready: Vec<_> = self.waiting.drain(..).collect();
        while let Some(answer) = self.take_ready() {
            ready.push(answer);
        }
        let mut due = Vec::new();
        for (ticket, answer) in ready {
            if answer.after_events.is_some_and(|events| events < position) {
                due.push((ticket, answer));
            } else {
                self.waiting.push_back((ticket, answer));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::protocol::results::CommandResult;

    fn answer(after_events: Option<u64>) -> Answer {
        Answer::new(after_events, || Ok(CommandResult::Install {}))
    }

    fn asked(answers: &mut Answers, ticket: u64) -> oneshot::Sender<Answer> {
        let (sender, receiver) = oneshot::channel();
        answers.expect(Ticket(ticket), receiver.map(|it| it.ok().unwrap()).boxed());
        sender
    }

    /// The answers that belong before an event.
    fn before(answers: &mut Answers, position: u64) -> Vec<u64> {
        answers.before_event(position).into_iter().map(|(Ticket(ticket), _)| ticket).collect()
    }

    #[test]
    fn an_answer_is_printed_after_the_events_that_it_knows_of_and_before_the_next() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        assert_eq!(before(&mut answers, 1), [0; 0]);
        assert!(reply.send(answer(Some(3))).is_ok());
        assert_eq!(before(&mut answers, 2), [0; 0]);
        assert_eq!(before(&mut answers, 3), [0; 0]);
        assert_eq!(before(&mut answers, 4), [7]);
        assert_eq!(before(&mut answers, 5), [0; 0]);
    }

    #[test]
    fn an_answer_is_printed_before_a_newer_event_that_took_the_place_of_one_it_knows_of() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        assert!(reply.send(answer(Some(3))).is_ok());
        assert_eq!(before(&mut answers, 9), [7]);
    }

    #[test]
    fn the_end_of_an_operation_is_printed_after_its_last_event() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        assert!(reply.send(answer(None)).is_ok());
        assert_eq!(before(&mut answers, 1), [0; 0]);
        assert_eq!(answers.take_ready().unwrap().0, Ticket(7));
    }
}
