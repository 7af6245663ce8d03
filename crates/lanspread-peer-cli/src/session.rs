//! One running peer and whoever drives it: lines in, records out.
//!
//! One task owns the commands in flight, the waits and the output. It promises that every command
//! gets exactly one terminal record, that an event which the runtime sent before an answer is
//! printed before it, that what an answer to a question tells is true at its place among the events,
//! and that `stopped` is the last record.

mod dispatch;
mod in_flight;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use lanspread_peer::{EventReceiver, PeerCommand, PeerEvent, PeerRuntimeHandle};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::in_flight::{CommandsInFlight, InFlight};
use crate::answers::{Answer, Answers};
use crate::commands::{BadLine, Request, parse};
use crate::errors::{ErrorBody, ErrorCode};
use crate::input::{Input, Line};
use crate::output::{Output, Reader};
use crate::protocol::commands::Command;
use crate::protocol::events::Event;
use crate::protocol::results::CommandResult;
use crate::ticket::Ticket;
use crate::waits::{Outcome, PastEvent, PendingWaits};

/// How long the end of input waits for questions that were asked before it, so that a script can
/// be piped in. Questions are answered from memory; `get-game` may ask a source.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(1);
/// How long a clean end may take after the last answers: goodbyes and rollbacks take a fraction of it.
/// With the last answers and a busy machine it stays within the 10 s that the documentation promises.
const STOP_MAX: Duration = Duration::from_secs(8);
/// How long the process that ends in vain waits for its last message to be taken.
const LAST_WORDS_MAX: Duration = Duration::from_millis(100);

/// What the session is connected to.
pub(crate) struct SessionIo {
    pub(crate) peer: PeerRuntimeHandle,
    pub(crate) events: EventReceiver,
    pub(crate) input: Input,
    pub(crate) signal: oneshot::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The end is wanted; questions are still being answered.
    LastAnswers {
        until: Instant,
    },
    /// The peer has been told to stop.
    Stopping,
}

/// What wakes the session.
enum SessionEvent {
    Signal,
    Event(Option<PeerEvent>),
    Answer(Ticket, Answer),
    /// A wait has ended.
    Ended(Ticket, Outcome),
    /// The runtime takes commands again.
    Room,
    Deadline,
    Line(Option<Line>),
    /// Nothing is ready and records wait to be written.
    Idle,
}

/// What an event is printed as, apart from what every record has.
#[derive(Deserialize)]
pub(crate) struct Printed {
    pub(crate) event: String,
    pub(crate) data: Box<RawValue>,
}

impl From<PeerEvent> for Printed {
    #[expect(clippy::expect_used, reason = "plain data becomes JSON that can be read again")]
    fn from(event: PeerEvent) -> Self {
        let text = serde_json::to_string(&Event::from(event)).expect("events serialise");
        serde_json::from_str(&text).expect("events have a name and data")
    }
}

/// See the module.
pub(crate) struct Session {
    io: SessionIo,
    commands: mpsc::Sender<PeerCommand>,
    output: Output,
    phase: Phase,
    signalled: bool,
    input_ended: bool,
    /// Nobody can write to the input any more; there may be lines left in it.
    input_hung_up: bool,
    /// A `shutdown` was seen while the output was blocked; its line comes again.
    has_shutdown_ahead: bool,
    peer_stopped: bool,
    next_ticket: u64,
    in_flight: CommandsInFlight,
    answers: Answers,
    waits: PendingWaits,
    /// Waits that have ended and are not answered yet. One event can end all of them, and each answer repeats it: so
    /// they are answered one by one, with room in the output.
    ended: VecDeque<(Ticket, Outcome)>,
    /// A command for which the runtime had no room. Until it has, no line is read.
    parked: Option<PeerCommand>,
}

impl Session {
    pub(crate) fn new(io: SessionIo, output: Output) -> Self {
        Self {
            commands: io.peer.sender(),
            io,
            output,
            phase: Phase::Running,
            signalled: false,
            input_ended: false,
            input_hung_up: false,
            has_shutdown_ahead: false,
            peer_stopped: false,
            next_ticket: 0,
            in_flight: CommandsInFlight::default(),
            answers: Answers::default(),
            waits: PendingWaits::default(),
            ended: VecDeque::new(),
            parked: None,
        }
    }

    /// Runs until the peer has stopped and everything is printed. Returns whether all went well.
    pub(crate) async fn run(mut self) -> bool {
        while !self.peer_stopped {
            match self.wake().await {
                SessionEvent::Signal => {
                    self.signalled = true;
                    self.stop();
                }
                SessionEvent::Event(Some(event)) => self.on_event(event),
                SessionEvent::Event(None) => self.peer_stopped = true,
                SessionEvent::Answer(ticket, answer) => self.on_answer(ticket, answer),
                SessionEvent::Ended(ticket, outcome) => self.complete(ticket, outcome),
                SessionEvent::Room => {
                    if let Some(command) = self.parked.take() {
                        self.submit(command);
                    }
                }
                SessionEvent::Deadline => self.on_deadline(),
                SessionEvent::Line(Some(line)) => self.on_line(&line),
                SessionEvent::Line(None) => {
                    self.input_ended = true;
                    self.stop_after_answers();
                }
                SessionEvent::Idle => self.flush().await,
            }
            if self.output.batch_is_full() {
                self.flush().await;
            }
            self.advance();
        }
        self.finish().await
    }

    async fn wake(&mut self) -> SessionEvent {
        let reads_lines = !self.input_ended && self.parked.is_none() && self.in_flight.has_room();
        let deadline = self.next_deadline();
        if let Some((ticket, outcome)) = self.ended.pop_front() {
            return SessionEvent::Ended(ticket, outcome);
        }
        if let Some((ticket, answer)) = self.answers.take_waiting() {
            return SessionEvent::Answer(ticket, answer);
        }
        tokio::select! {
            biased;
            _ = &mut self.io.signal, if !self.signalled => SessionEvent::Signal,
            event = self.io.events.recv() => SessionEvent::Event(event),
            Some((ticket, answer)) = self.answers.next() => SessionEvent::Answer(ticket, answer),
            _ = self.commands.reserve(), if self.parked.is_some() => SessionEvent::Room,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                SessionEvent::Deadline
            }
            line = self.io.input.next(), if reads_lines => SessionEvent::Line(line),
            () = std::future::ready(()), if self.output.has_batch() => SessionEvent::Idle,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waits = self.waits.next_deadline();
        match self.phase {
            Phase::LastAnswers { until } => Some(waits.map_or(until, |at| at.min(until))),
            Phase::Running | Phase::Stopping => waits,
        }
    }

    fn on_event(&mut self, event: PeerEvent) {
        for (ticket, answer) in self.answers.before_event(self.io.events.taken()) {
            self.complete(ticket, answer.outcome());
        }
        let peer_count = match event {
            // Printed by `finish`, after the last terminal records.
            PeerEvent::Stopped => {
                self.peer_stopped = true;
                return;
            }
            PeerEvent::PeerCountUpdated { peer_count } => Some(peer_count),
            _ => None,
        };
        let past = self.print_event(event);
        self.ended.extend(self.waits.on_event(past));
        let enough = peer_count.into_iter().flat_map(|count| self.waits.on_peer_count(count));
        self.ended.extend(enough);
    }

    fn print_event(&mut self, event: PeerEvent) -> PastEvent {
        let class = event.class();
        let Printed { event, data } = Printed::from(event);
        let data = data.into();
        let (seq, t_us) = self.output.event(&event, &data);
        PastEvent::new(seq, t_us, class, event, data)
    }

    fn on_answer(&mut self, ticket: Ticket, answer: Answer) {
        // The runtime sends an event before the answer that follows from it; keep that order.
        let events = answer.after_events.unwrap_or_else(|| self.io.events.emitted());
        while let Some(event) = self.io.events.take_until(events) {
            self.on_event(event);
        }
        self.complete(ticket, answer.outcome());
    }

    fn complete(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(InFlight { id, cmd, .. }) = self.in_flight.remove(ticket) else { return };
        match outcome {
            Ok(result) => self.output.result(&id, &result),
            Err(error) => self.output.error(Some(&id), Some(cmd), &error),
        }
    }

    fn on_deadline(&mut self) {
        self.ended.extend(self.waits.on_time(Instant::now()));
    }

    fn on_line(&mut self, line: &Line) {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(request)) if self.phase == Phase::Running => self.begin(request, line.len()),
            Ok(Some(Request { id, command: Command::Shutdown {}, .. }))
                if std::mem::take(&mut self.has_shutdown_ahead) =>
            {
                self.output.result(&id, &CommandResult::Shutdown {});
            }
            Ok(Some(Request { id, cmd, .. })) => {
                self.output.error(Some(&id), Some(cmd), &shutting_down());
            }
            Err(BadLine { id, cmd, error }) => {
                self.output.error(id.as_ref(), cmd.as_deref(), &error);
            }
        }
    }

    fn submit(&mut self, command: PeerCommand) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(command)) => self.parked = Some(command),
            // The answer's sender is dropped with the command: that answers "shutting down".
            Err(TrySendError::Closed(_)) => {}
        }
    }

    fn stop_after_answers(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::LastAnswers { until: Instant::now() + LAST_ANSWERS_MAX };
        }
    }

    /// Goes on from the last answers when there are no more.
    fn advance(&mut self) {
        if let Phase::LastAnswers { until } = self.phase
            && (!self.in_flight.has_question() || until <= Instant::now())
        {
            self.stop();
        }
    }

    fn stop(&mut self) {
        begin_stop(&mut self.phase, &self.io.peer);
    }

    /// Writes what waits. While nobody reads, the peer goes on, and a signal, a `shutdown` and the end of the
    /// input begin the end all the same.
    async fn flush(&mut self) {
        let began = Instant::now();
        let hung_up = Arc::clone(&self.io.input.hung_up);
        let reader = {
            let mut flush = std::pin::pin!(self.output.flush());
            loop {
                let is_end_wanted = self.input_hung_up || self.has_shutdown_ahead;
                let looks_ahead = !is_end_wanted && self.io.input.may_look_ahead();
                let patience = match self.phase {
                    Phase::Running => is_end_wanted.then(|| began + LAST_ANSWERS_MAX),
                    Phase::LastAnswers { until } => Some(until),
                    Phase::Stopping => None,
                };
                tokio::select! {
                    biased;
                    reader = &mut flush => break reader,
                    _ = &mut self.io.signal, if !self.signalled => {
                        self.signalled = true;
                        begin_stop(&mut self.phase, &self.io.peer);
                    }
                    () = hung_up.notified(), if !self.input_hung_up => {
                        self.input_hung_up = true;
                    }
                    line = self.io.input.look_ahead(), if looks_ahead => match line {
                        Some(line) => self.has_shutdown_ahead = is_shutdown(line),
                        None => self.input_hung_up = true,
                    },
                    () = sleep_until(patience.unwrap_or(began)), if patience.is_some() => {
                        begin_stop(&mut self.phase, &self.io.peer);
                    }
                }
            }
        };
        if reader != Reader::There {
            self.stop();
        }
    }

    async fn finish(mut self) -> bool {
        self.stop();
        while let Some((ticket, outcome)) = self.ended.pop_front() {
            self.complete(ticket, outcome);
        }
        while let Some((ticket, answer)) = self.answers.take_ready() {
            self.complete(ticket, answer.outcome());
        }
        while let Some(line) = self.io.input.try_next() {
            self.on_line(&line);
        }
        for InFlight { id, cmd, .. } in self.in_flight.take_all() {
            self.output.error(Some(&id), Some(cmd), &shutting_down());
        }
        self.print_event(PeerEvent::Stopped);
        let written = self.output.flush().await != Reader::Failed;
        let stopped = self.io.peer.wait_stopped().await;
        if let Err(error) = &stopped {
            tracing::error!(%error, "the peer failed");
        }
        written && stopped.is_ok()
    }
}

fn is_shutdown(line: &Line) -> bool {
    matches!(parse(line), Ok(Some(Request { command: Command::Shutdown {}, .. })))
}

/// Tells the peer to stop, and sees to it that the process ends even if it does not.
fn begin_stop(phase: &mut Phase, peer: &PeerRuntimeHandle) {
    if *phase == Phase::Stopping {
        return;
    }
    *phase = Phase::Stopping;
    peer.begin_shutdown();
    end_in_time();
}

/// Ends the process after [`STOP_MAX`], whatever still waits then: for the peer, for a reader of standard
/// output, or for one of standard error. A thread of its own depends on none of them.
pub(crate) fn end_in_time() {
    let end = || {
        thread::sleep(STOP_MAX);
        let (said, waiting) = sync_channel(1);
        thread::spawn(move || {
            let _ = writeln!(
                std::io::stderr(),
                "error: the end took longer than {} s; ending with what is not written lost",
                STOP_MAX.as_secs()
            );
            let _ = said.send(());
        });
        let _ = waiting.recv_timeout(LAST_WORDS_MAX);
        std::process::exit(1);
    };
    if let Err(error) = thread::Builder::new().name("end".to_owned()).spawn(end) {
        tracing::warn!(%error, "nothing bounds the time that the end takes");
    }
}

fn shutting_down() -> ErrorBody {
    ErrorBody::new(ErrorCode::ShuttingDown, "the peer is shutting down")
}
