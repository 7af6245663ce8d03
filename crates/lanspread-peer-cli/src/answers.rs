//! The answers that are to come, and where each belongs among the events.
//!
//! Events and answers come by different ways, so one may overtake the other. An answer to a question
//! says after how many events it was true, and is printed right there. Any other answer is printed
//! after all events that are there, as what it tells of was sent before it.

use std::collections::VecDeque;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::ticket::Ticket;
use crate::waits::Outcome;

/// What became of a command, and after how many events that was true, where it was a question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) after_events: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Answers {
    coming: FuturesUnordered<BoxFuture<'static, (Ticket, Answer)>>,
    /// Those that came while an event was being taken in that belongs before them.
    waiting: VecDeque<(Ticket, Answer)>,
    /// How many events were taken in.
    events: u64,
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

    /// Whether events that were sent before this answer have not been taken in yet.
    pub(crate) fn is_early(&self, answer: &Answer) -> bool {
        answer.after_events.is_none_or(|events| self.events < events)
    }

    /// Takes note of an event, and returns the answers that belong before it.
    ///
    /// Whatever was sent before the event is there when the event is.
    pub(crate) fn before_event(&mut self) -> Vec<(Ticket, Outcome)> {
        let mut ready: Vec<_> = self.waiting.drain(..).collect();
        while let Some(answer) = self.take_ready() {
            ready.push(answer);
        }
        let mut due = Vec::new();
        for (ticket, answer) in ready {
            if self.is_early(&answer) {
                self.waiting.push_back((ticket, answer));
            } else {
                due.push((ticket, answer.outcome));
            }
        }
        self.events += 1;
        due
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::protocol::results::CommandResult;

    fn answer(after_events: Option<u64>) -> Answer {
        Answer { outcome: Ok(CommandResult::Install {}), after_events }
    }

    fn asked(answers: &mut Answers, ticket: u64) -> oneshot::Sender<Answer> {
        let (sender, receiver) = oneshot::channel();
        answers.expect(Ticket(ticket), receiver.map(Result::unwrap).boxed());
        sender
    }

    fn tickets(due: Vec<(Ticket, Outcome)>) -> Vec<u64> {
        due.into_iter().map(|(Ticket(ticket), _)| ticket).collect()
    }

    #[test]
    fn an_answer_is_printed_after_the_events_that_it_knows_of_and_before_the_next() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        assert_eq!(tickets(answers.before_event()), [0; 0]);
        reply.send(answer(Some(3))).unwrap();
        assert_eq!(tickets(answers.before_event()), [0; 0]);
        assert_eq!(tickets(answers.before_event()), [0; 0]);
        assert_eq!(tickets(answers.before_event()), [7], "before the fourth event");
        assert_eq!(tickets(answers.before_event()), [0; 0]);
    }

    #[test]
    fn an_answer_that_comes_between_events_waits_for_those_it_knows_of() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        answers.before_event();
        reply.send(answer(Some(2))).unwrap();
        let (_, early) = answers.take_ready().unwrap();
        assert!(answers.is_early(&early));
        answers.before_event();
        assert!(!answers.is_early(&early));
    }

    #[test]
    fn the_end_of_an_operation_is_printed_after_its_last_event() {
        let mut answers = Answers::default();
        let reply = asked(&mut answers, 7);
        reply.send(answer(None)).unwrap();
        assert_eq!(tickets(answers.before_event()), [0; 0]);
        assert_eq!(answers.take_ready().unwrap().0, Ticket(7));
    }
}
